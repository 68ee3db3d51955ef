"""What weights alone say: above every attack and every row, attained where it can be, red when broken."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_checkpoints import LAYERS, ROWS, architecture_of, configuration, inputs, model_of, saved

import bounds.logit_range as module
from bounds.dial.calculators import worst_case_kappa
from bounds.logit_range import HARD_MASK, capped_range, norm_bound, plain_range, rotary_range, scaled_by_plane, side
from empirical.checkpoints.attach import places_of, routed
from empirical.checkpoints.attack import attack
from empirical.checkpoints.contexts import Labels, observing
from empirical.checkpoints.rotary import inverse_frequencies, phases
from empirical.checkpoints.weight_files import WeightFiles
from empirical.checkpoints.weights import beside, certify, outside, sides_of, table
from empirical.errors import BadInput
from empirical.figures import style
from empirical.figures.ranges import ranges

pytest.importorskip("transformers")
NAMES = tuple(ROWS)
SERVED = {"fidelity": 0.9, "n_keys": 24, "n_block": 6}


def watched(name, model):
    given = inputs(name, batch=6, tokens=24)
    labels = Labels(given.get("decoder_input_ids", given["input_ids"]) % 4, given["input_ids"] % 4)
    with torch.no_grad(), observing(model, labels, kinds=architecture_of(name).kinds) as rows:
        model(**given)
    return rows


def heads_of(config):
    """How many the model has in all."""
    if not config.is_encoder_decoder:
        return LAYERS * config.num_attention_heads
    stacks = [
        getattr(config, f"{stack}_attention_heads", config.num_attention_heads) for stack in ("encoder", "decoder")
    ]
    return LAYERS * (stacks[0] + 2 * stacks[1])


@pytest.mark.parametrize("name", NAMES)
def test_no_attacked_and_no_observed_row_lies_outside_what_weights_say(name, tmp_path):
    model = model_of(name)
    heads = beside(list(certify(saved(model, tmp_path), **SERVED, attacks=16)), watched(name, model))
    assert len({h.name for h in heads}) == len(heads) == heads_of(model.config)
    assert not outside(heads)
    exact = all(s.attention.rotation is None and s.attention.positions is None for s in sides_of(tmp_path))
    for head in heads:
        assert 0 < head.observed < head.logit_range  # every head was found among the rows
        if exact:
            assert head.attacked > (1 - 1e-6) * head.logit_range  # without rotation the certificate is attained
        assert head.attacked > 0.5 * head.logit_range
        assert head.kappa == worst_case_kappa(0.9, head.logit_range, 24, 6)
    assert max(h.observed / h.logit_range for h in heads) > 0.1  # not so far that nothing could be wrong


def normed(z, files, one, source):
    """What a head's norm makes of the projection of z, before its own gain."""
    site, norm = one.attention, source.by_head
    head = one.head if source is site.query else one.head * site.groups // site.heads
    rows = (head * site.width, (head + 1) * site.width)
    gain = files.rows(f"{source.norm.name}.weight") + source.norm.added
    shift = files.rows(f"{source.norm.name}.bias") if source.norm.shift else 0.0
    bias = files.rows(source.bias, *rows) if source.bias else 0.0
    features = (gain * z + shift) @ files.rows(source.weight, *rows).T + bias
    eps = files.config["layer_norm_eps" if norm.centred else "rms_norm_eps"]
    if norm.centred:
        features = features - features.mean(-1, keepdims=True)
    return features / np.sqrt((features**2).mean(-1, keepdims=True) + eps)


@pytest.mark.parametrize("name", NAMES)
def test_sides_are_those_of_the_model(name, tmp_path):
    """Layer inputs, undone by the norm named, have length sqrt(d) (and sum 0), and give the queries and keys in use."""
    model = model_of(name)
    folder, given, calls, taken = saved(model, tmp_path), inputs(name, 2, 7), {}, {}
    places = places_of(model)

    def take(module, positional, named):
        own = named.get("hidden_states", positional[0] if positional else None)
        taken[places[id(module)][1:]] = (own, named.get("key_value_states", named.get("encoder_hidden_states")))

    hooks = [m.register_forward_pre_hook(take, with_kwargs=True) for m in model.modules() if id(m) in places]
    with torch.no_grad(), routed(model, watch=lambda call, _: calls.__setitem__((call.kind, call.layer), call)):
        model(**given)
    for hook in hooks:
        hook.remove()
    files = WeightFiles(folder)

    def planes(features, turned):
        return np.concatenate([np.hypot(*np.split(features[..., :turned], 2, axis=-1)), features[..., turned:]], -1)

    seen = 0
    for one in sides_of(folder):
        site = one.attention
        call, (own, others) = calls[site.kind, site.layer], taken[site.kind, site.layer]
        group = one.head * site.groups // site.heads
        for source, states, of, features in (
            (site.query, own, one.query, call.query[:, one.head]),
            (site.key, own if site.kind != "cross" else others, one.key, call.key[:, group]),
        ):
            norm = source.norm
            shift = files.rows(f"{norm.name}.bias") if norm.shift else 0.0
            z = (states.numpy() - shift) / (files.rows(f"{norm.name}.weight") + norm.added if norm.gain else 1.0)
            np.testing.assert_allclose(np.linalg.norm(z, axis=-1), math.sqrt(z.shape[-1]), rtol=1e-3)
            wide = norm.centred and norm.gain  # RMSNorm, and OLMo's norm, compute in float32 whatever the model's dtype
            assert (np.linalg.norm(z, axis=-1) <= math.sqrt(z.shape[-1]) * (1 + (1e-14 if wide else 1e-6))).all()
            if norm.centred:
                np.testing.assert_allclose(z.sum(-1), 0, atol=1e-9 if wide else 1e-4)
            if source.by_head is not None:
                z = normed(z, files, one, source)
            expected, found = z @ of.matrix.T + of.offset, features.numpy()
            if site.rotation is not None:
                expected, found = (planes(each, site.rotation.features) for each in (expected, found))
            accuracy = 1e-6 if site.rotation is not None else 1e-9  # cosines and sines are float32
            np.testing.assert_allclose(found, expected, rtol=accuracy, atol=accuracy)
            seen += 1
        assert call.scaling == pytest.approx(site.scaling, rel=1e-12)
    assert seen == 2 * len(list(sides_of(folder)))
    assert set(calls) == {(one.attention.kind, one.attention.layer) for one in sides_of(folder)}


BREAKS = {
    "gain": lambda f: lambda weight, gain, *rest: f(weight, np.ones_like(gain), *rest),
    "bias": lambda f: lambda weight, gain, bias, *rest: f(weight, gain, None, *rest),
    "shift": lambda f: lambda weight, gain, bias, shift, *rest: f(weight, gain, bias, None, *rest),
}


@pytest.mark.parametrize("broken", [*BREAKS, "half", "scaling"])
@pytest.mark.parametrize("name", ["gpt2", "qwen2", "bert"])
def test_a_broken_certificate_lies_below_its_attack(name, broken, tmp_path, monkeypatch):
    """The attack is on the sides as they are; the certificate loses a gain, a bias, a shift, a half, a scaling."""
    import empirical.checkpoints.weights as weights

    folder = saved(model_of(name, seed=1), tmp_path)
    whole = list(sides_of(folder))
    if broken == "shift" and name == "qwen2":
        pytest.skip("RMSNorm has none")
    if broken in BREAKS:
        monkeypatch.setattr(weights, "side", BREAKS[broken](side))
    reached = [s.attacked(24) for s in whole]
    factor = {"half": 0.5, "scaling": 0.7}.get(broken, 1.0)
    certified = [factor * s.logit_range() for s in sides_of(folder)]
    assert any(a > c for a, c in zip(reached, certified))


def numbers(random, h, d, centred, scale=1.0):
    return side(
        random.normal(size=(h, d)), random.normal(size=d), scale * random.normal(size=h), random.normal(size=d), centred
    )


SHAPES = st.tuples(st.integers(1, 6), st.integers(2, 12))


@given(shape=SHAPES, seed=st.integers(0, 10**6), scale=st.sampled_from([0.0, 1e-6, 1.0, 100.0]))
def test_no_vector_of_the_ball_goes_further_and_one_goes_as_far(shape, seed, scale):
    random = np.random.default_rng(seed)
    h, d = shape
    matrix, offset = random.normal(size=(h, d)), scale * random.normal(size=h)
    one = side(matrix, np.ones(d), offset)
    bound = norm_bound(one)
    z = random.normal(size=(50, d))
    for _ in range(300):
        image = z @ matrix.T + offset
        z = image @ matrix
        z *= math.sqrt(d) / np.linalg.norm(z, axis=1, keepdims=True)
    found = np.linalg.norm(z @ matrix.T + offset, axis=1).max()
    assert found <= bound
    assert found > 0.9999 * bound
    assert bound <= (np.linalg.norm(matrix, 2) * math.sqrt(d) + np.linalg.norm(offset)) * (1 + 1e-9)


@given(shape=SHAPES, seed=st.integers(0, 10**6), centred=st.booleans())
def test_ranges_are_above_random_rows_and_the_plain_one_is_attained(shape, seed, centred):
    random = np.random.default_rng(seed)
    h, d = shape
    query, key = numbers(random, 2 * h, d, centred), numbers(random, 2 * h, d, centred)
    plain, rotary = plain_range(query, key, 0.5), rotary_range(query, key, 0.5)
    turns = phases(random.uniform(0, 3, h), 9)
    assert attack(query, key, 0.5, starts=8) <= plain
    assert attack(query, key, 0.5, starts=8) > 0.98 * plain
    assert attack(query, key, 0.5, turns, starts=8) <= rotary
    assert plain <= rotary * (1 + 1e-9)
    assert rotary <= 2 * 0.5 * norm_bound(query) * norm_bound(key) * (1 + 1e-12)
    x = random.normal(size=(40, d))
    x -= x.mean(1, keepdims=True) if centred else 0
    x *= math.sqrt(d) / np.linalg.norm(x, axis=1, keepdims=True)
    logits = 0.5 * (x @ query.matrix.T + query.offset) @ (x @ key.matrix.T + key.offset).T
    assert np.ptp(logits, axis=1).max() <= plain


def test_a_case_known_in_closed_form():
    """W = e_1 e_1^T with gain g and no offsets: D = 2 c d g^2 times the part of e_1 that survives centring."""
    weight, gain = np.zeros((2, 4)), np.full(4, 3.0)
    weight[0, 0] = 1.0
    for centred, part in ((False, 1.0), (True, 3 / 4)):
        one = side(weight, gain, centred=centred)
        assert plain_range(one, one, 0.5) == pytest.approx(2 * 0.5 * 4 * 9 * part, rel=1e-9)
        assert plain_range(one, one, 0.5) >= 2 * 0.5 * 4 * 9 * part
        assert rotary_range(one, one, 0.5) == pytest.approx(2 * 0.5 * 4 * 9 * part, rel=1e-9)


def test_what_keys_have_in_common_cancels_without_rotation_alone():
    random = np.random.default_rng(0)
    weight, gain = random.normal(size=(4, 8)), np.ones(8)
    query, key = side(weight, gain), side(weight, gain)
    far = side(weight, gain, bias=np.full(4, 1e3))
    assert plain_range(query, far, 1.0) == pytest.approx(plain_range(query, key, 1.0), rel=1e-9)
    assert rotary_range(query, far, 1.0) > 10 * rotary_range(query, key, 1.0)


def test_planes_of_unequal_size_are_balanced():
    """Keys large in one plane, queries in another: no plane is large in both, and the bound knows it."""
    weight = np.eye(4)
    query = side(weight * np.array([100.0, 1, 100, 1])[:, None], np.ones(4))
    key = side(weight * np.array([1.0, 100, 1, 100])[:, None], np.ones(4))
    assert rotary_range(query, key, 1.0) == pytest.approx(2 * 4 * 100, rel=0.02)
    assert 2 * norm_bound(query) * norm_bound(key) == pytest.approx(2 * 4 * 10_000, rel=1e-6)
    scaled = scaled_by_plane(query, np.array([2.0, 3.0]))
    np.testing.assert_array_equal(scaled.matrix, query.matrix * np.array([2.0, 3, 2, 3])[:, None])


@given(seed=st.integers(0, 10**6), turned=st.sampled_from([2, 4, 6]), cap=st.sampled_from([None, 0.5, 30.0]))
def test_a_part_that_is_turned_and_a_cap_stay_above_every_attack(seed, turned, cap):
    random = np.random.default_rng(seed)
    query, key = numbers(random, 6, 5, False), numbers(random, 6, 5, False)
    bound = rotary_range(query, key, 0.5, turned)
    bound = bound if cap is None else capped_range(bound, cap)
    turns = phases(random.uniform(0, 3, turned // 2), 9)
    assert attack(query, key, 0.5, turns, cap=cap, starts=8) <= bound
    if cap is None:
        assert bound <= 2 * 0.5 * norm_bound(query) * norm_bound(key) * (1 + 1e-12)
        assert plain_range(query, key, 0.5) <= bound * (1 + 1e-9)  # a key may stand where its query does


def test_what_is_not_turned_leaves_out_what_its_keys_have_in_common():
    random = np.random.default_rng(0)
    weight, gain, far = random.normal(size=(4, 8)), np.ones(8), np.array([0.0, 0.0, 1e3, 1e3])
    query = side(weight, gain)
    plain, offset = (rotary_range(query, side(weight, gain, bias=b), 1.0, 2) for b in (None, far))
    assert offset < 3 * plain < 0.1 * rotary_range(query, side(weight, gain, bias=far), 1.0)
    with pytest.raises(BadInput, match="turned must be an even number of the 4 features, got 3"):
        rotary_range(query, query, 1.0, 3)


@given(span=st.floats(0, 1e6), cap=st.floats(1e-3, 1e6), place=st.floats(-1, 1))
def test_capped_logits_span_at_most_what_is_said_and_do_so_around_zero(span, cap, place):
    bound = capped_range(span, cap)
    low = (place - 1) * span / 2
    assert cap * (math.tanh((low + span) / cap) - math.tanh(low / cap)) <= bound * (1 + 1e-12) + 1e-300
    assert 2 * cap * math.tanh(span / 2 / cap) <= bound * (1 + 1e-15) <= min(span, 2 * cap) * (1 + 1e-13)


def test_rounding_stands_against_sixty_digits():
    import mpmath

    random = np.random.default_rng(3)
    weight, gain, bias = random.normal(size=(2, 3)), random.normal(size=3), random.normal(size=2)
    one = side(weight, gain, bias)
    with mpmath.workdps(60):
        exact = mpmath.matrix((weight).tolist()) * mpmath.diag([mpmath.mpf(g) for g in gain])
        values, vectors = mpmath.eigsy(exact * exact.T)
        along = vectors.T * mpmath.matrix(bias.tolist())

        def squared(level):
            return level * (3 + sum(along[i] ** 2 / (level - values[i]) for i in range(2)))

        level = mpmath.findroot(lambda x: mpmath.diff(squared, x), max(values) * mpmath.mpf("1.5"))
        value = mpmath.sqrt(squared(level))
        assert value <= norm_bound(one) <= value * (1 + mpmath.mpf("1e-8"))


def test_rotary_frequencies_are_those_of_the_model():
    from transformers import AutoModel

    for name in ("llama", "mistral"):
        config = configuration(name)
        model = AutoModel.from_config(config)
        rope = dict(config.rope_parameters)
        expected = model.rotary_emb.inv_freq.numpy()
        np.testing.assert_allclose(inverse_frequencies(2 * len(expected), rope), expected, rtol=1e-6)


def test_a_head_of_which_only_a_mask_is_guaranteed_is_called_so(tmp_path):
    model = model_of("gpt2")
    folder = saved(model, tmp_path)
    heads = list(certify(folder, **SERVED))
    assert any(h.hard_mask_only for h in heads)
    assert all(h.hard_mask_only == (np.float32(np.exp(-h.kappa)) == 0) for h in heads)
    assert np.float32(np.exp(-HARD_MASK * 1.01)) == 0 < np.float32(np.exp(-HARD_MASK * 0.99))
    lines = table(heads).splitlines()
    assert len(lines) == len(heads) + 1
    assert sum("hard mask only" in line for line in lines) == sum(h.hard_mask_only for h in heads)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_weights_of_every_precision_in_shards(dtype, tmp_path):
    """What is certified are the weights as stored."""
    model = model_of("llama", dtype=dtype)
    model.save_pretrained(tmp_path, max_shard_size="10KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    wide = list(certify(saved(model.double(), tmp_path / "wide"), **SERVED))
    assert [h.logit_range for h in certify(tmp_path, **SERVED)] == [h.logit_range for h in wide]
    assert list(certify(tmp_path, **SERVED, layers=[1])) == [h for h in wide if h.layer == 1]


def test_arguments_are_refused_before_anything_is_read(tmp_path):
    with pytest.raises(ValueError, match="n_block must be in"):
        list(certify(tmp_path, fidelity=0.9, n_keys=4, n_block=4))
    folder = saved(model_of("gpt2", dtype=torch.float32), tmp_path)
    with pytest.raises(BadInput, match=r"layers must be among 0 to 1, got \[7\]"):
        list(certify(folder, **SERVED, layers=[0, 7]))
    with pytest.raises(ValueError, match="gain must be of shape"):
        side(np.ones((2, 3)), np.ones(2))
    assert pytest.approx(103.97, abs=0.01) == module.HARD_MASK


def test_a_figure_of_the_three_ranges(tmp_path):
    name = "bart"
    model = model_of(name)
    heads = beside(list(certify(saved(model, tmp_path), **SERVED, attacks=2)), watched(name, model))
    with style.drawing():
        files = style.save(ranges(heads), tmp_path, "ranges")
        axes = ranges(heads).axes[0]
        certified_alone = ranges([replace(h, attacked=None, observed=None) for h in heads]).axes[0]
    assert all(file.stat().st_size > 1000 for file in files)
    for dots, name in zip(axes.collections, ("logit_range", "attacked", "observed")):
        np.testing.assert_array_equal(dots.get_offsets()[:, 1], [getattr(h, name) for h in heads])
    assert [len(dots.get_offsets()) for dots in certified_alone.collections] == [len(heads), 0, 0]
    assert [label.get_text() for label in axes.get_xticklabels()][:3] == ["encoder 0", "encoder 1", "self 0"]
