"""The study of gates: enclosures that hold, levels that are proved, predictions that come first, wrong signs seen."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from figure_checks import cut_off, words_of
from small import TOPICS, configured
from torch.nn import functional

from bounds.theorems import Verdict, by_key
from empirical.check.verdicts import check
from empirical.errors import BadInput
from empirical.figures import style
from empirical.gates.pair_map import cell_map
from empirical.laboratory.gates import gate_problem
from empirical.laboratory.model import Layout, initial_parameters
from empirical.laboratory.tasks import Topics, make_task
from empirical.studies.frame import draws, read_study, run_study, verdicts
from empirical.studies.gates import enclosures, foretold, levels, measure, subjects
from empirical.studies.gates.branching import proved_level
from empirical.studies.gates.enclosed_model import Enclosed
from empirical.studies.gates.enclosures import Box, Traced, between, exactly
from empirical.studies.gates.sharp import basin_of
from empirical.studies.trained import Trained

SMALL = {"anchor_logit": None, "heads": 2}
CONFIG = configured(TOPICS, model=SMALL, sweep={"penalties": [0.0]})
ONE = configured(
    TOPICS,
    model={**SMALL, "layers": 1, "mlp": False, "value_norm": 1.0, "unembedding_norm": 1.0},
    sweep={"penalties": [0.0]},
)


def laboratory(config=CONFIG, count=3, scale=2.0):
    parameters = initial_parameters(config, 1, 1, torch.device("cpu"), torch.float64)
    parameters["forms"] *= scale
    task = make_task(config, 1, torch.device("cpu"))
    assert isinstance(task, Topics)
    return parameters, task.heldout[:count], Layout(task.query_block, config, torch.float64), config


def rates_of(problem, gates, layer):
    """By autograd: -(dL/ds)/(dOmega/ds) of a layer's gates."""
    _, of_loss, of_omega = problem.slopes(gates.flatten(), omega=True)
    return (-(of_loss.sum(0) / problem.counts[0].sum()) / of_omega.sum(0)).view_as(gates)[layer]


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("width", [0.0, 1e-4, 1e-2])
def test_rates_within_a_box_are_below_its_enclosure(layer, width):
    """At a point it is the rate itself; in a box random gates and the steepest way uphill stay below."""
    given = laboratory()
    problem, enclosed = gate_problem(*given), Enclosed(*given)
    random = torch.Generator().manual_seed(layer)
    middle = torch.rand(2, 2, generator=random, dtype=torch.float64)
    middle[layer + 1 :] = 0
    low, high = middle * (1 - width), middle * (1 + width)
    bound = enclosed.rates(low[None], high[None], layer).gate[0]
    if width == 0:
        found = rates_of(problem, middle, layer)
        assert (found <= bound).all()
        torch.testing.assert_close(bound, found, rtol=1e-5, atol=2e-5)  # rounding, enclosed through two layers
        return
    at = middle
    for attempt in range(6):
        found = rates_of(problem, at, layer)
        assert (found <= bound).all()
        ahead = torch.stack([rates_of(problem, (at + step).clamp(low, high), layer) for step in _steps(at, width)])
        best = int(ahead.amax(-1).argmax())
        drawn = low + (high - low) * torch.rand(2, 2, generator=random, dtype=torch.float64)
        at = (at + _steps(at, width)[best]).clamp(low, high) if attempt % 2 else drawn


def _steps(at, width):
    unit = torch.eye(4, dtype=torch.float64).view(4, 2, 2)
    return [sign * width * at * one for one in unit for sign in (1, -1)]


@pytest.mark.parametrize("name", ["gelu", "normalised", "softmax"])
def test_functions_and_their_gradients_are_enclosed(name):
    random = torch.Generator().manual_seed(0)
    mid, rad = (torch.randn(40, 6, generator=random, dtype=torch.float64) for _ in range(2))
    box, seen = Box(2 * mid, 0.3 * rad.abs()), torch.ones(6, dtype=torch.bool)
    slope = torch.randn(40, 6, generator=random, dtype=torch.float64)
    leaf = Traced(box)
    made = {
        "gelu": lambda: enclosures.gelu(leaf),
        "normalised": lambda: enclosures.normalised(leaf, 1e-8),
        "softmax": lambda: enclosures.softmax(leaf, seen),
    }[name]()
    truth = {
        "gelu": functional.gelu,
        "normalised": lambda x: x * (x.square().mean(-1, keepdim=True) + 1e-8).rsqrt(),
        "softmax": lambda x: x.softmax(-1),
    }[name]
    back = enclosures.pulled_back(made, exactly(slope), leaf)
    for _ in range(50):
        ends = torch.randint(3, mid.shape, generator=random) - 1
        x = (box.mid + ends * box.rad).requires_grad_()
        value = truth(x)
        (gradient,) = torch.autograd.grad((value * slope).sum(), x)
        assert ((value >= made.box.low) & (value <= made.box.high)).all()
        assert ((gradient >= back.low) & (gradient <= back.high)).all()


def test_a_box_that_is_too_small_is_noticed():
    """The same checks fail for enclosures that forget a term of second order."""
    one, other = (
        between(torch.tensor(1.0).double(), torch.tensor(3.0).double()),
        Box(*torch.tensor([2.0, 1.0]).double()),
    )
    assert float((one * other).high) >= 9.0
    forgetful = one.mid * other.mid + one.mid.abs() * other.rad + one.rad * other.mid.abs()
    assert float(forgetful) < 9.0


def test_the_proved_level_lies_between_the_critical_penalty_and_the_levels_of_pairs_and_norms():
    given = laboratory(ONE)
    problem = gate_problem(*given)
    found = cell_map(problem)
    level = proved_level(Enclosed(*given), found.odds, tolerance=0.05)
    critical = float(found.critical(problem).max())
    assert critical <= level.level <= 1.06 * max(level.met, critical)
    assert level.level <= level.pair <= level.norm
    pairs = float(found.largest(problem).max())
    assert pairs <= level.pair
    assert level.norm <= 4 * (1 + 1e-9)  # 4 u v, the caps being 1
    mask = problem.value(torch.zeros(2, dtype=torch.float64)).loss
    random = torch.Generator().manual_seed(3)
    for _ in range(30):
        at = problem.value(torch.rand(2, generator=random, dtype=torch.float64).pow(4))
        assert (mask - at.loss) / at.omega <= level.level


def test_the_basin_ends_where_a_parabola_turns():
    assert basin_of(lambda t: 1e-3 - t) == pytest.approx(2e-3, rel=1e-9)
    assert basin_of(lambda t: 1e-3 + t) == 1.0
    assert basin_of(lambda t: -1.0) == 0.0


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A study of hardly trained models, few starts, few boxes."""
    folder = tmp_path_factory.mktemp("gates")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(levels, "STARTS", 4)
        patch.setattr(levels, "BOXES", 8)
        patch.setattr(measure, "DOCUMENTS", 2)
        patch.setattr(levels, "DOCUMENTS", {"capped": 2, "deep": 1})
        run_study("gates", CONFIG, folder)
        yield folder, patch


def test_no_row_is_violated_and_every_theorem_is_decided(finished):
    outcomes = verdicts(finished[0])
    assert {outcome.verdict for outcome in outcomes} == {Verdict.HOLDS}
    told = read_study(finished[0])["numbers"]["seeds"][0]
    for subject in told["subjects"].values():
        sharp = subject["sharp"]
        assert np.min(sharp["rise"]) > 0
        assert np.min(sharp["fall"]) > 0
        assert sharp["open_solved"][0] == 0 < sharp["open_solved"][1]
        assert subject["share_beating"] >= measure.ENOUGH
    capped = told["twins"]["capped"]
    assert not any(capped["open_above"])
    assert any(capped["open_half"])
    assert not any(capped["together"]["open_above"])


def test_figures_say_what_was_found_and_fit_their_sheets(finished):
    numbers = read_study(finished[0])["numbers"]
    with style.drawing():
        figures = draws("gates").draw(numbers)
        assert set(figures) == {"paths", "zeros", "ceilings", "levels"}
        assert [name for name, figure in figures.items() if cut_off(figure)] == []
        for seed in numbers["seeds"]:
            for twin in seed["twins"].values():
                twin["told"] = False
        untold = draws("gates").draw(numbers)["levels"]
    assert "No penalty above which" in words_of(untold)
    assert " is proved, at most " in words_of(figures["levels"])
    assert "every gate stays exactly 0 in" in words_of(figures["zeros"])
    assert "proved (over witness)" in measure.table(numbers)


def test_what_was_solved_holds_the_digest_of_what_was_foretold(finished):
    folder, _ = finished
    run = json.loads((folder / "run.json").read_text())
    from empirical.laboratory.store import Store

    store = Store(folder, run["config_digest"], run["code"])
    said, found = (store.load(f"{part} reference 1") for part in ("foretold", "solved"))
    assert said is not None
    assert found is not None
    np.testing.assert_array_equal(found["foretold"], foretold.digest_of(store, "foretold reference 1", said))
    store.save("foretold reference 1", {**said, "ceiling": said["ceiling"] * 2})
    with pytest.raises(BadInput, match="foretold of reference 1 before it was solved"):
        run_study("gates", CONFIG, folder, resume=True)
    store.save("foretold reference 1", said)


def test_a_penalty_of_the_wrong_sign_is_seen(finished):
    """Solutions that were rewarded for leakage: J(found) <= J(mask) by their own account, more leakage than allowed."""
    folder, _ = finished
    run = json.loads((folder / "run.json").read_text())
    from empirical.laboratory.store import Store

    rows = Store(folder, run["config_digest"], run["code"]).load("rows ceiling")
    assert rows is not None
    assert check(by_key("penalised_leakage"), rows, ("row",)).verdict is Verdict.HOLDS
    rewarded = rows["loss_reference"] / rows["penalty"] * 1.01 + 0 * rows["penalised_leakage"]
    wrong = {
        **rows,
        "penalised_leakage": rewarded,
        "objective_found": rows["loss_reference"] - rows["penalty"] * rewarded,
    }
    assert check(by_key("penalised_leakage"), wrong, ("row",)).verdict is Verdict.VIOLATED


def test_stock_models_under_masks_of_ln_s_are_the_gated_ones():
    pytest.importorskip("transformers")
    parameters, sequences, layout, config = laboratory()
    task = make_task(config, 1, torch.device("cpu"))
    assert isinstance(task, Topics)
    trained = Trained(config, parameters, task, layout, {})
    subject = subjects.of_text("reference", trained, sequences, sequences)
    s = torch.rand(2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for gates in (s, 0 * s, 0 * s + 1):
        value, (loss, omega) = subject.chosen.value(gates.flatten()), subject.stock(gates)
        assert loss == pytest.approx(value.loss, rel=1e-12)
        assert omega == pytest.approx(value.omega, rel=1e-12, abs=1e-15)


def test_what_enclosures_do_not_reach_is_refused(tmp_path):
    anchored = configured(TOPICS, sweep={"penalties": [0.0]})
    with pytest.raises(BadInput, match="anchor_logit must not be given"):
        run_study("gates", anchored, tmp_path)
    with pytest.raises(BadInput, match="anchor_logit must not be given"):
        Enclosed(*laboratory(anchored))
