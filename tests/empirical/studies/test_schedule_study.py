"""The study of schedules: its forward is the model's, the depth sum is a theorem, the knapsack is the cheapest."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from figure_checks import own_figures
from small import SMALL, TOPICS, configured

from bounds.depth.calculators import fill
from bounds.theorems import Verdict
from empirical.cli import main
from empirical.dial.drift import MOST_KAPPA
from empirical.errors import BadInput
from empirical.laboratory.dialled_pass import logits_and_values
from empirical.laboratory.model import Layout, forward, initial_parameters
from empirical.laboratory.tasks import make_task
from empirical.studies.frame import draw_study, read_study, run_study
from empirical.studies.schedule import measure as study

LAYERS = 3
BARE = {"anchor_logit": None, "mlp": False}
ROUNDING = 1e-12  # some thousand float64 operations, none cancelling: relative to a bound


def model_of(**changes):
    """An untrained float64 model with logits of a few units, its tokens and layout: enough for every inequality."""
    config = configured(TOPICS, model={"layers": LAYERS, **changes})
    parameters = initial_parameters(config, 1, 1, torch.device("cpu"), torch.float64)
    parameters["forms"] *= 2
    task = make_task(config, 1, torch.device("cpu"))
    return parameters, task.heldout[:16], Layout(task.query_block, config, torch.float64), config


@pytest.fixture(scope="module", params=[{}, BARE], ids=["anchors and MLP", "attention alone"])
def laboratory(request):
    return model_of(**request.param)


@pytest.fixture(scope="module")
def measured(laboratory):
    parameters, sequences, layout, config = laboratory
    laboratory = study.Laboratory(parameters, layout, config, sequences[:8], sequences[8:])
    layers, shares = laboratory.calibrated(), (0.2, 0.6)
    return study.told(layers, shares, [study.dialled_away(laboratory, layers, share) for share in shares])


def traced(laboratory, kappas):
    parameters, sequences, layout, config = laboratory
    return study.run(parameters, sequences[:, :-1], layout, config, study.given(kappas))


def test_undialled_and_masked_it_is_the_forward_of_the_model(laboratory):
    parameters, sequences, layout, config = laboratory
    for kappa, masked in ((0.0, False), (math.inf, True)):
        end = study.normalise(traced(laboratory, [kappa] * LAYERS).states[-1])
        expected = forward(parameters, sequences[:, :-1], layout, config, masked=masked)[0]
        torch.testing.assert_close(end, expected, rtol=1e-12, atol=1e-12)


def test_no_dial_no_drift(laboratory):
    one, two = (traced(laboratory, [0.0] * LAYERS) for _ in range(2))
    assert (study.drift(one, two) == 0).all()
    assert (two.errors == 0).all()
    assert (two.removed == 0).all()
    assert (study.depth_sum(two, study.secants(one, two)) == 0).all()


def test_a_dial_scales_weights_outside_the_block_as_an_intervention_on_them_would(laboratory):
    """Against weights multiplied by 1 - dial and renormalised, the definition, in the first layer."""
    parameters, _, layout, config = laboratory
    dialled = traced(laboratory, [math.log(4.0), 0.0, 0.0])  # 1 - dial = 1/4
    logits, values = logits_and_values(parameters, dialled.states[0], 0, layout, config)
    weights = (logits / config.setting.temperature).softmax(-1)
    scaled = weights * torch.where(layout.in_block, 1.0, 0.25)
    written = (scaled / scaled.sum(-1, keepdim=True) @ values).sum(0)
    torch.testing.assert_close(dialled.states[1] - dialled.states[0], written, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kappas", [(0.5, 0.5, 0.5), (math.inf, 0.0, 0.0), (0.0, 2.0, math.inf), (40.0, 0.1, 3.0)])
def test_the_depth_sum_and_the_error_of_a_layer_are_theorems(laboratory, kappas):
    original, dialled = (traced(laboratory, each) for each in ([0.0] * LAYERS, kappas))
    assert (dialled.errors <= dialled.removed * dialled.diameters * (1 + ROUNDING)).all()
    moved = study.drift(original, dialled)
    whole = study.depth_sum(dialled, study.secants(original, dialled, whole=True) - 1)
    own = study.depth_sum(dialled, study.secants(original, dialled))
    assert (moved > 0).all()
    assert (moved <= whole * (1 + ROUNDING)).all()
    assert (whole <= own * (1 + ROUNDING)).all()


def test_dialling_one_layer_alone_attains_the_sharper_bound(laboratory):
    """One error alone is carried on exactly by the secants of x + f: what loosens the sum is adding several."""
    original, dialled = (traced(laboratory, each) for each in ([0.0] * LAYERS, [0.0, 1.0, 0.0]))
    bound = study.depth_sum(dialled, study.secants(original, dialled, whole=True) - 1)
    np.testing.assert_allclose(study.drift(original, dialled), bound, rtol=1e-12)


def test_the_test_can_fail_without_what_the_last_layers_amplify(laboratory):
    """Errors unamplified, Lip = -1 for the MLP or attention that follows, are no bound."""
    original, dialled = (traced(laboratory, each) for each in ([0.0] * LAYERS, [1.0, 0.0, 0.0]))
    none = np.full(len(dialled.undialled), -1.0)
    assert (study.drift(original, dialled) > study.depth_sum(dialled, none)).all()


def test_every_allocation_and_sequence_keeps_to_its_bound(measured):
    assert len(measured["rows"]) == 2 * 11
    for row in measured["rows"]:
        moved, whole, own = (np.array(row[k]) for k in ("drift", "bound_whole", "bound_own"))
        assert moved.shape == (8,)
        assert (moved <= whole * (1 + ROUNDING)).all(), row["allocation"]
        assert (whole <= own * (1 + ROUNDING)).all(), row["allocation"]
        assert np.isfinite(row["loss_rise"])
    json.dumps(measured, allow_nan=False)


def test_the_knapsack_is_the_cheapest_for_its_locality(measured):
    costs = np.array(measured["layers"]["costs"])
    for share in (0.2, 0.6):
        rows = {row["allocation"]: row for row in measured["rows"] if row["share"] == share}
        best = rows[study.KNAPSACK]
        for name, row in rows.items():
            planned, room = np.array(row["planned"]), np.array(measured["layers"]["leakage"])
            assert (planned <= room * (1 + ROUNDING)).all(), name
            assert row["cost_predicted"] == pytest.approx(costs @ planned)
            if row["reaches"]:
                assert sum(row["planned"]) == pytest.approx(sum(best["planned"]), rel=1e-9), name
                assert row["cost_predicted"] >= best["cost_predicted"] * (1 - 1e-9), name
            same = fill(np.argsort(costs), np.ones(LAYERS), room, planned.sum())  # cheapest first, this much
            assert row["cost_predicted"] >= costs @ same * (1 - 1e-9), name


def test_dials_remove_what_was_planned_where_they_were_found(laboratory):
    """Along the dialled trajectory, layer by layer, unless it leaks less than planned: then the dial is 1."""
    parameters, sequences, layout, config = laboratory
    goal = np.array([0.05, 0.0, 9.0])
    trace = study.run(parameters, sequences[:, :-1], layout, config, study.aiming(goal))
    np.testing.assert_allclose(trace.removed.mean(1)[:2], goal[:2], rtol=1e-9, atol=0)
    assert trace.kappas[1:] == [0.0, MOST_KAPPA]


def test_late_layers_come_first_exactly_where_costs_fall():
    room = np.array([0.3, 0.2, 0.4])
    falling, rising = np.array([4.0, 2.0, 1.0]), np.array([1.0, 2.0, 4.0])
    for costs, same in ((falling, study.LAST), (rising, study.FIRST)):
        ways = study.allocations(costs, room, budget=0.5)
        np.testing.assert_allclose(ways[study.KNAPSACK], ways[same], rtol=1e-12)
        assert (ways[study.KNAPSACK] < room).any()


def test_steep_clipped_powers_tend_to_the_last_layers_and_pure_ones_fall_short():
    ways = study.allocations(np.array([8.0, 4.0, 2.0, 1.0]), np.ones(4), budget=2.0)  # 1.5 of the 4
    np.testing.assert_allclose(ways["clipped, beta 20"], ways[study.LAST], atol=0.01)
    assert ways["(l/L)^5"].sum() < 1.3 < ways[study.KNAPSACK].sum()


@pytest.mark.parametrize("budget", [0.0, -1.0, math.nan])
def test_a_budget_that_is_not_positive_is_refused(budget):
    with pytest.raises(ValueError, match=rf"^budget must be finite and > 0, got {budget}"):
        study.allocations(np.ones(2), np.ones(2), budget)


def test_the_study_is_of_topics_in_the_localist_stream(tmp_path):
    with pytest.raises(BadInput, match=r"task.name must be 'topics' .*, got 'blocks'"):
        run_study("schedule", configured(SMALL), tmp_path / "blocks")
    with pytest.raises(BadInput, match=r"model.stream must be 'localist' .*, got 'shared'"):
        run_study("schedule", configured(TOPICS, model={"stream": "shared"}), tmp_path / "shared")


def test_the_whole_study(tmp_path, capsys):
    config = configured(TOPICS, model={"layers": LAYERS}, sweep={"penalties": [0.0], "max_steps": 2})
    (outcome,) = run_study("schedule", config, tmp_path / "run")
    assert outcome.verdict is Verdict.HOLDS
    numbers = read_study(tmp_path / "run")["numbers"]
    assert numbers["config_digest"] == config.digest()
    assert outcome.rows == len(numbers["rows"]) * len(numbers["rows"][0]["drift"])
    assert own_figures(draw_study(tmp_path / "run", tmp_path)) == ["schedule.png", "schedule.svg"]
    run_study("schedule", config, tmp_path / "run", resume=True)
    assert read_study(tmp_path / "run")["numbers"] == numbers
    capsys.readouterr()
    assert main(["schedule", str(tmp_path / "run" / "study.json"), "--budget", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["layers"]["costs"] == pytest.approx(numbers["layers"]["costs"])
