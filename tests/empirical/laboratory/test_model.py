"""The reference transformer against a loop, and what its localist stream makes provable."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from small import TOPICS, configured

from empirical.laboratory.model import EPSILON, Layout, cap, cross_entropy, forward, initial_parameters
from empirical.laboratory.text import block_pattern
from empirical.penalise.proximal_gradient import cross_blocks

CPU = torch.device("cpu")


def model(settings=1, seed=1, dtype=torch.float64, **sections):
    config = configured(TOPICS, **sections)
    layout = Layout(block_pattern(config, config.task.queries), config, dtype)
    parameters = initial_parameters(config, seed, settings, CPU, dtype)
    generator = torch.Generator().manual_seed(seed)
    shape = (3, config.task.queries + 1)
    return config, layout, parameters, torch.randint(0, config.task.vocabulary, shape, generator=generator)


def localised(parameters):
    """The same with every cross block at zero."""
    forms = parameters["forms"]
    own = ~cross_blocks(forms.shape[-2])
    return {**parameters, "forms": forms * own[:, None, :, None]}


def logits_of(parameters, tokens, layout, config, **options):
    seen = []
    forward(parameters, tokens[:, :-1], layout, config, observe=lambda _, s: seen.append(s), **options)
    return seen


def rms(x):
    return x / np.sqrt((x**2).mean() + EPSILON)


def by_loops(parameters, tokens, config, layout):
    """The localist stream, one token, head and key at a time."""
    p = {name: value[0].numpy() for name, value in parameters.items()}
    blocks, d, heads, r = config.model.blocks, config.model.d_block, config.model.heads, config.anchors
    own, length = layout.query_block.tolist(), config.task.queries
    x = [rms(p["embedding"][t] + p["position"][i]) for i, t in enumerate(tokens[:length].tolist())]
    for layer in range(config.model.layers):
        features = [rms(v) for v in x]
        new = []
        for i in range(length):
            written = np.zeros(d)
            for head in range(heads):
                form, output = p["forms"][layer, head], p["output"][layer, head].reshape(blocks, d, d)
                logits, values = [], []
                for j in range(i + 1):
                    logits.append(features[i] @ form[own[i], :, own[j], :] @ features[j])
                    values.append(features[j] @ output[own[j]])
                for a in range(blocks * r):
                    key = rms(p["anchor_key"][layer, a])
                    block = a // r
                    given = config.model.anchor_logit
                    logits.append(given if block == own[i] else features[i] @ form[own[i], :, block, :] @ key)
                    values.append(p["anchor_value"][layer, head, a])
                weights = np.exp(np.array(logits) / config.setting.temperature)
                written += (weights / weights.sum()) @ np.array(values)
            new.append(x[i] + written)
        x = new
        if config.model.mlp:
            gelu = torch.nn.functional.gelu
            for i in range(length):
                inner = gelu(torch.tensor(rms(x[i]) @ p["mlp_in"][layer])).numpy()
                x[i] = x[i] + inner @ p["mlp_out"][layer]
    return np.array([rms(v) for v in x])


@pytest.mark.parametrize("mlp", [True, False])
def test_forward_is_the_loop(mlp):
    config, layout, parameters, tokens = model(model={"mlp": mlp}, setting={"n_anchors": 2, "temperature": 0.7})
    read = forward(parameters, tokens[:, :-1], layout, config)
    for sequence in range(2):
        want = by_loops(parameters, tokens[sequence], config, layout)
        np.testing.assert_allclose(read[0, sequence].numpy(), want, rtol=1e-10, atol=1e-12)


def test_zero_cross_blocks_make_every_outside_logit_zero_in_every_layer():
    config, layout, parameters, tokens = model()
    for logits in logits_of(localised(parameters), tokens, layout, config):
        outside = layout.visible & ~layout.in_block
        assert (logits[..., outside] == 0).all()
        own_anchor = layout.anchor & layout.in_block
        assert (logits[..., own_anchor] == config.model.anchor_logit).all()


def test_the_shared_stream_breaks_it_from_the_second_layer_on():
    config, layout, parameters, tokens = model(model={"stream": "shared"})
    first, second = logits_of(localised(parameters), tokens, layout, config)
    outside = layout.visible & ~layout.in_block
    assert (first[..., outside] == 0).all()
    assert (second[..., outside] != 0).any()


def test_in_the_shared_stream_the_anchor_floor_is_vacuous_from_the_second_layer_on():
    from bounds.theorems import Verdict, by_key
    from empirical.check.verdicts import check_dataset
    from empirical.laboratory.training import train
    from empirical.observe.files import _from_arrays

    for stream, silent in (("shared", True), ("localist", False)):
        config = configured(TOPICS, model={"stream": stream}, sweep={"penalties": [1e6], "max_steps": 2})
        arrays = train(config, 1, "random", (1e6,))
        fields = {name: value for name, value in arrays.items() if not name.startswith("parameter/")}
        dataset = _from_arrays("trained", fields)
        decided = []
        for layer in range(2):
            (outcome,) = check_dataset(dataset.isel(layer=[layer]), [by_key("anchor_floor")])
            assert outcome.counts[Verdict.VIOLATED] == 0
            decided.append(outcome.decided)
        assert decided[0] > 0
        assert (decided[1] == 0) is silent


def test_a_changed_future_token_changes_no_earlier_row():
    config, layout, parameters, tokens = model()
    before = logits_of(parameters, tokens, layout, config)
    for place in range(1, config.task.queries):
        changed = tokens.clone()
        changed[:, place] = (changed[:, place] + 1) % config.task.vocabulary
        for old, new in zip(before, logits_of(parameters, changed, layout, config)):
            assert torch.equal(old[..., :place, :], new[..., :place, :])
            assert not torch.equal(old[..., place, :], new[..., place, :])


def test_bidirectional_rows_see_everything():
    _, layout, _, _ = model(model={"causal": False})
    assert layout.visible.all()


def test_masking_is_the_dial_at_one():
    config, layout, parameters, tokens = model()
    for logits in logits_of(parameters, tokens, layout, config, masked=True):
        assert (logits[..., ~layout.in_block.expand(logits.shape[-2:])] == -math.inf).all()
    assert torch.isfinite(cross_entropy(parameters, tokens, layout, config, masked=True)).all()


def test_settings_never_interact():
    config, layout, parameters, tokens = model(settings=3)
    parameters["forms"][1] *= 5
    parameters["embedding"][2] = torch.nan
    together = cross_entropy(parameters, tokens, layout, config)
    alone = cross_entropy({k: v[:1] for k, v in parameters.items()}, tokens, layout, config)
    torch.testing.assert_close(together[0], alone[0], rtol=1e-13, atol=0)
    assert torch.isfinite(together[1])
    assert torch.isnan(together[2])


def test_caps_hold_after_projection():
    capped = {"layers": 1, "mlp": False, "value_norm": 0.5, "unembedding_norm": 0.25}
    config, layout, parameters, tokens = model(model=capped)
    for value in parameters.values():
        value.mul_(10)
    cap(parameters, config)
    assert parameters["unembedding"].norm(dim=-2).max() <= 0.25 * (1 + 1e-12)
    assert parameters["anchor_value"].norm(dim=-1).max() <= 0.5 * (1 + 1e-12)
    features = torch.randn(1000, config.model.d_block, dtype=torch.float64)
    features /= features.square().mean(-1, keepdim=True).sqrt()
    for block in parameters["output"][0, 0, 0].unflatten(0, (config.model.blocks, -1)):
        assert (features @ block).norm(dim=-1).max() <= 0.5 * (1 + 1e-12)
    assert torch.isfinite(cross_entropy(parameters, tokens, layout, config)).all()


def test_single_precision_is_near_double():
    config, layout, parameters, tokens = model()
    single = {name: value.float() for name, value in parameters.items()}
    short = Layout(layout.query_block, config, torch.float32)
    torch.testing.assert_close(
        cross_entropy(single, tokens, short, config).double(),
        cross_entropy(parameters, tokens, layout, config),
        rtol=1e-5,
        atol=0,
    )


def test_the_draw_depends_on_the_seed_alone():
    one, two, other = (model(seed=s, settings=n)[2] for s, n in ((1, 1), (1, 3), (2, 1)))
    for name, value in one.items():
        assert torch.equal(value[0], two[name][2])
        assert not torch.equal(value, other[name])
