"""The dial on a model: bits at 0 and 1, the odds law of the weights in use, composition, least dials, guard, file."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from small import SMALL, TOPICS, configured

from bounds.dial.calculators import dial_of_penalty, penalty_of_dial
from bounds.dial.closed_forms import kappa_leakage, kappa_needed
from bounds.theorems import Verdict, by_key
from empirical.check.verdicts import check
from empirical.dial.changes import adaptive_dial, dial, least_kappa, steer, turned
from empirical.dial.drift import Trace, least
from empirical.dial.guard import Guard, keeps
from empirical.errors import BadInput, Missed
from empirical.laboratory.model import Layout, forward, initial_parameters
from empirical.laboratory.model_file import load_model, save_model
from empirical.laboratory.tasks import make_task
from empirical.observe.rows import masses
from empirical.studies.dial.rows import DIMS, dial_rows

CONFIG = configured(TOPICS)
CPU = torch.device("cpu")
TAU = CONFIG.setting.temperature
MODEL = {"layers": 2, "heads": 2}


@pytest.fixture(scope="module")
def model():
    """Three untrained settings with logits of a few units, some tokens, the layout."""
    parameters = initial_parameters(CONFIG, 1, 3, CPU, torch.float64)
    parameters["forms"] *= torch.tensor([1.0, 2.0, 4.0]).view(3, 1, 1, 1, 1, 1, 1)
    task = make_task(CONFIG, 1, CPU)
    return parameters, task.heldout[:4, :-1], Layout(task.query_block, CONFIG, torch.float64)


def read(model, *changes):
    parameters, tokens, layout = model
    return forward(parameters, tokens, layout, CONFIG, weigh=steer(TAU, *changes))


def bits(x):
    return x.view(torch.int64)


def test_dial_0_is_the_plain_model_bit_for_bit_and_dial_1_the_masked_one(model):
    parameters, tokens, layout = model
    for value, masked in ((0.0, False), (1.0, True)):
        plain = forward(parameters, tokens, layout, CONFIG, masked=masked)
        assert torch.equal(bits(read(model, dial(CONFIG, layout.in_block, value))), bits(plain))
    assert not torch.equal(read(model, dial(CONFIG, layout.in_block, 1e-6)), read(model))


def test_a_head_at_dial_0_keeps_its_bits_beside_one_that_is_turned(model):
    layout, seen = model[2], {}
    each = [[0.7, 0.0], [0.0, 0.0]]

    def watch(layer, logits):
        seen[layer] = logits
        return logits

    before = {}
    read(model, lambda layer, logits: before.setdefault(layer, logits), dial(CONFIG, layout.in_block, each), watch)
    assert torch.equal(bits(seen[0][:, 1]), bits(before[0][:, 1]))
    assert not torch.equal(seen[0][:, 0], before[0][:, 0])
    assert torch.equal(bits(seen[1]), bits(before[1]))


@pytest.mark.parametrize("given", [{"dials": [0.0, 0.3, 0.9, 1 - 1e-12, 1.0]}])
def test_the_odds_law_holds_in_every_row_of_the_weights_in_use(model, given):
    parameters, tokens, layout = model
    before, after = dial_rows(parameters, tokens, layout, CONFIG, given["dials"])
    outcome = check(by_key("odds_law"), before, DIMS)
    assert outcome.verdict is Verdict.HOLDS
    assert outcome.counts[Verdict.HOLDS] > 4 * outcome.counts[Verdict.VACUOUS]
    assert check(by_key("worst_case_dial"), before, DIMS).verdict is Verdict.HOLDS
    for key in ("fidelity_floor", "entropy_ceiling", "frontier"):
        assert check(by_key(key), {k: v for k, v in after.items() if k != "dial"}, DIMS).verdict is Verdict.HOLDS


def test_rows_that_dial_1_cut_keep_what_is_defined_of_them(model):
    """Nothing leaks, the entropy is that of the block, no key outside comes near; the keys are counted as before."""
    before, after = dial_rows(*model, CONFIG, [0.0, 1.0])
    uncut, cut = ({name: values[at] for name, values in after.items()} for at in (0, 1))
    assert before["valid"].any()
    for name in ("valid", "n_keys", "n_block", "n_anchors"):
        np.testing.assert_array_equal(cut[name], uncut[name], err_msg=name)
    valid = cut["valid"]
    assert (cut["fidelity"][valid] == 1).all()
    assert (cut["margin"][valid] == np.inf).all()
    np.testing.assert_allclose(cut["entropy_nats"][0], before["entropy_inside"][1][0], atol=1e-12)


def test_a_bias_of_the_wrong_size_violates_it(model, monkeypatch):
    import empirical.dial.changes as module

    whole = module.turned
    monkeypatch.setattr(module, "turned", lambda logits, kappa, *rest: whole(logits, 1.001 * kappa, *rest))
    before, _ = dial_rows(*model, CONFIG, [0.5])
    assert check(by_key("odds_law"), before, DIMS).verdict is Verdict.VIOLATED


def test_settings_and_sequences_do_not_mix(model):
    parameters, tokens, layout = model
    several = np.array([0.2, 0.6, 1.0])[:, None, None]
    together = read(model, dial(CONFIG, layout.in_block, several))
    for setting, value in enumerate(several.ravel()):
        one = {name: tensor[setting : setting + 1] for name, tensor in parameters.items()}
        alone = forward(one, tokens, layout, CONFIG, weigh=steer(TAU, dial(CONFIG, layout.in_block, value)))
        torch.testing.assert_close(together[setting], alone[0], rtol=1e-13, atol=1e-13)


def test_dials_compose(model):
    layout = model[2]
    twice = read(model, dial(CONFIG, layout.in_block, 0.5), dial(CONFIG, layout.in_block, 0.6))
    torch.testing.assert_close(twice, read(model, dial(CONFIG, layout.in_block, 0.8)), rtol=1e-12, atol=1e-12)


def some_rows(spread=3.0):
    logits = spread * torch.randn(200, 9, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return logits, (torch.arange(9) < 4).expand(200, 9)


@pytest.mark.parametrize("target", [0.5, 0.9, 1 - 1e-9])
@pytest.mark.parametrize("temperature", [1.0, 0.3])
def test_least_kappa_is_the_closed_form(target, temperature):
    logits, inside = some_rows()
    kappa = least_kappa(logits, inside, target, temperature)
    leakage, fidelity = (x.numpy() for x in masses(logits / temperature, ~inside, inside))
    expected = np.maximum(kappa_needed(leakage, fidelity, target, 1 - target), 0)  # 1 - leakage would lose digits
    np.testing.assert_allclose(kappa.numpy(), expected, rtol=1e-9, atol=1e-9)
    left = masses(turned(logits, kappa, inside, temperature) / temperature, ~inside)[0]
    assert (left <= (1 - target) * (1 + 1e-12)).all()
    moved = kappa > 0
    np.testing.assert_allclose(left[moved].numpy(), 1 - target, rtol=1e-7)
    np.testing.assert_allclose(left.numpy(), kappa_leakage(leakage, fidelity, expected), rtol=1e-9)


def test_adaptive_dial_meets_the_target_in_every_layer_and_touches_no_row_that_has_it(model):
    layout, chosen = model[2], []
    with Guard(0.8, layout.in_block, TAU) as guard:
        read(model, adaptive_dial(0.8, layout.in_block, TAU, lambda _, kappa: chosen.append(kappa)), guard)
    assert guard.rows == sum(kappa.numel() for kappa in chosen)
    assert 0 < (chosen[0] == 0).double().mean() < 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_does_so_in_the_precision_of_the_model(model, dtype):
    parameters, tokens, layout = model
    narrow = {name: (8 * value if name == "forms" else value).to(dtype) for name, value in parameters.items()}
    same = Layout(layout.query_block, CONFIG, dtype)
    with Guard(0.999, layout.in_block, TAU) as guard:
        forward(narrow, tokens, same, CONFIG, weigh=steer(TAU, adaptive_dial(0.999, layout.in_block, TAU), guard))
    assert guard.rows > 0


def test_a_guard_raises_at_the_first_layer_with_a_miss_or_records_them_all(model):
    layout = model[2]
    with Guard(0.9, layout.in_block, TAU) as guard, pytest.raises(Missed, match=r"at least 0.9, got 0.*layer 0, head"):
        read(model, guard)
    assert {miss.layer for miss in guard.misses} == {0}
    with Guard(0.9, layout.in_block, TAU, record=True) as guard:
        read(model, guard)
    assert {miss.layer for miss in guard.misses} == {0, 1}
    assert all(miss.fidelity < 0.9 for miss in guard.misses)
    assert len(guard.misses) < guard.rows == 3 * 2 * 2 * 4 * 16


def test_outside_its_with_a_guard_looks_at_nothing_and_inside_it_changes_nothing(model):
    layout = model[2]
    guard = Guard(1.0, layout.in_block, TAU)
    plain = read(model, guard)
    with Guard(1e-9, layout.in_block, TAU) as watching:
        assert torch.equal(read(model, watching), plain)
    assert (guard.rows, watching.misses) == (0, [])


def test_a_guard_forgives_rounding_and_no_more():
    """A softmax of some thousand keys in float64 is off by some 1e-13 of its leakage; 1e-9 of it is a miss."""
    promised = 0.9
    leakages = (1 - promised) * (1 + torch.tensor([0.0, 1e-13, 1e-9, 1e-6, -1e-9], dtype=torch.float64))
    assert keeps(leakages, promised).tolist() == [True, True, False, False, True]


def test_a_row_that_is_not_a_number_misses(model):
    layout = model[2]
    with Guard(0.1, layout.in_block, TAU, record=True) as guard:
        guard(0, torch.full((1, 1, 1, *layout.in_block.shape), math.nan))
    assert len(guard.misses) == len(layout.in_block)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda side: dial(CONFIG, side, 1.5), r"dials must be in \[0, 1\], got 1.5"),
        (lambda side: dial(CONFIG, side, math.nan), r"dials must be in \[0, 1\], got nan"),
        (lambda side: dial(CONFIG, side, kappas=-1.0), r"kappas must be >= 0 .*, got -1"),
        (lambda side: dial(CONFIG, side), "one of the two, got dials=None"),
        (lambda side: dial(CONFIG, side, 0.5, 0.5), "one of the two, got dials=0.5"),
        (lambda side: dial(CONFIG, side, [0.1, 0.2, 0.3]), r"layers, heads\) = \(S, 2, 2\), got shape \(3,\)"),
        (lambda side: adaptive_dial(1.0, side, TAU), r"target must be .* got 1.0"),
        (lambda side: Guard(0.0, side, TAU), "promised must be .* got 0.0"),
    ],
)
def test_bad_input_is_named(model, make, words):
    with pytest.raises(BadInput, match=words):
        make(model[2].in_block)


def test_a_dial_in_training_is_the_critical_penalty_at_one_half():
    dials = np.array([0.0, 0.25, 0.5, 0.9, 1.0])
    penalties = penalty_of_dial(dials, 2e-4)
    np.testing.assert_allclose(penalties, [0, 2e-4 / 3, 2e-4, 18e-4, np.inf])
    np.testing.assert_allclose(dial_of_penalty(penalties, 2e-4), dials)
    with pytest.raises(ValueError, match="dial must be in"):
        penalty_of_dial(1.1, 1.0)
    with pytest.raises(ValueError, match="critical must be finite and > 0, got 0"):
        dial_of_penalty(1.0, 0.0)


@pytest.mark.parametrize("base", [TOPICS, SMALL], ids=["topics", "blocks"])
def test_a_checkpoint_holds_model_and_configuration(tmp_path, base):
    config = configured(base)
    if base is TOPICS:
        parameters = initial_parameters(config, 3, 2, CPU, torch.float32)
    else:
        parameters = {"forms": torch.randn(2, 1, 1, 2, 3, 2, 3, dtype=torch.float64)}
    path = tmp_path / "model.safetensors"
    save_model(path, parameters, config)
    found, same = load_model(path)
    assert same == config
    assert found.keys() == parameters.keys()
    assert all(torch.equal(found[name], value) for name, value in parameters.items())


def test_what_is_no_checkpoint_is_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    for content, words in ((None, "No such file"), (b"not a checkpoint", "got")):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(BadInput, match=f"MODEL must be a checkpoint of this toolkit.*{words}"):
            load_model(path)
    save_file({"forms": torch.zeros(1, 2)}, path, {"config": json.dumps(CONFIG.as_dict())})
    with pytest.raises(BadInput, match=r"MODEL must hold the tensors of its configuration, got .*forms"):
        load_model(path)


def test_errors_and_leakage_removed_are_means_over_tokens():
    strayed, moved = torch.arange(12.0).reshape(2, 2, 3), torch.arange(12.0).reshape(2, 2, 3).square()
    trace = Trace(torch.zeros(3, 2, 3, 4), torch.zeros(2, 2, 3, 4), strayed, moved, torch.ones(2, 2), [1.0, 1.0])
    assert trace.errors.tolist() == [[1, 4], [7, 10]]
    torch.testing.assert_close(trace.removed, torch.tensor([[5.0, 50.0], [149.0, 302.0]]) / 3)


@pytest.mark.parametrize(("goal", "expected"), [(-1.0, 0.0), (2.0, math.sqrt(2.0)), (90.0, 9.0)])
def test_the_least_argument_that_reaches_a_goal(goal, expected):
    assert least(lambda x: x * x, goal, 9.0) == pytest.approx(expected, rel=1e-15)
