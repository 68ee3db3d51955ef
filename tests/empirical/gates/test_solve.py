"""Gates solved for: exact zeros on both sides of the critical penalty, residuals, paths from both ends, the ceiling."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from planted import COPIED, A, B, documents, head, induction, layer, planted, stream, twins
from scipy.optimize import minimize_scalar

from empirical.errors import BadInput
from empirical.gates.along_penalties import penalty_path
from empirical.gates.pair_map import cell_map
from empirical.gates.solve import last_open_rate, minimised, projected_step, residual

ZERO = torch.zeros(9, dtype=torch.float64)


def critical_of(problem):
    found = cell_map(problem)
    return float(found.critical(problem).nan_to_num(0.0).max()), found.omega_of(problem)


def test_every_gate_stays_exactly_shut_above_the_critical_penalty_and_one_opens_below():
    problem = documents()
    critical, odds = critical_of(problem)
    for ratio, all_shut in ((1.001, True), (0.999, False)):
        found = minimised(problem, ratio * critical, ZERO, odds=odds, tolerance=1e-7 * critical)
        assert bool(found.shut.all()) == all_shut
        assert float(found.residual.max()) <= 1e-7 * critical
    one = projected_step(ZERO, problem.objective(ZERO, 0.98 * critical)[1], 1e-3)
    assert int((one > 0).sum()) >= 1
    assert not projected_step(ZERO, problem.objective(ZERO, 1.02 * critical)[1], 1e-3).any()


@pytest.mark.parametrize("ratio", [0.01, 0.1, 0.5])
@pytest.mark.parametrize("start", [0.0, 1.0])
def test_residuals_reach_a_ten_thousandth_of_the_critical_penalty_within_sixty_gradients(ratio, start):
    problem = documents()
    critical, odds = critical_of(problem)
    found = minimised(problem, ratio * critical, ZERO + start, odds=odds, tolerance=1e-4 * critical)
    assert float(found.residual.max()) <= 1e-4 * critical
    assert found.evaluations <= 60
    before = problem.value(ZERO + start).objective(found.penalty)
    assert found.objective <= before
    _, slope = problem.objective(found.gates, found.penalty)
    torch.testing.assert_close(residual(found.gates, slope), found.residual)


def test_residuals_are_reached_where_odds_differ_by_ten_decades_as_they_do_in_pretrained_models():
    problem = documents(sharp=8.0)
    critical, odds = critical_of(problem)
    assert float(odds.max()) > 1e10
    one = ZERO + 1
    penalties = [worth / problem.value(one).omega for worth in (0.03, 0.1, 0.3)]
    found = penalty_path(problem, penalties, starts=("trained",))
    assert float(found["residual"].max()) <= 1e-4 * critical
    assert int(found["gradients"].max()) <= 60
    assert int(found["gradients"][0, 1:].sum()) <= 20  # curvature is kept from one penalty to the next
    missed = minimised(problem, penalties[0], one, odds=odds, tolerance=1e-4 * critical)  # in their mean odds
    assert float(missed.residual.max()) > 0.1 * critical


@pytest.mark.parametrize("penalty", [0.05, 0.3, 1.0])
def test_one_gate_is_solved_as_a_scalar_search_does(penalty):
    """Odds of e^12: s moves over five orders of magnitude."""
    one = layer(head({B: 12.0}, {A: 1.0}, A, COPIED))
    problem = planted(stream(A, B), torch.tensor([[0, 1]]), [one], lambda x: (x[:, 1, COPIED] - 0.4).square())
    critical, odds = critical_of(problem)
    assert critical == pytest.approx(2 * 0.8)

    def objective(u):
        leak = math.exp(u + 12) / (1 + math.exp(u + 12))
        return (leak - 0.4) ** 2 + penalty * leak / 2

    wanted = math.exp(minimize_scalar(objective, bounds=(-30, 0), method="bounded", options={"xatol": 1e-10}).x)
    for start in (0.0, 1.0):
        found = minimised(problem, penalty, torch.tensor([start]).double(), odds=odds, tolerance=1e-9)
        assert float(found.gates[0]) == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("ratio", [1.02, 5.0])
def test_a_gate_that_has_long_opened_its_row_shuts_all_the_same(ratio):
    """Odds of e^18: at s = 1 the slope in s is below any tolerance, though no open gate is stationary."""
    one = layer(head({B: 18.0}, {A: 1.0}, A, COPIED))
    problem = planted(stream(A, B), torch.tensor([[0, 1]]), [one], lambda x: -x[:, 1, COPIED])
    critical, odds = critical_of(problem)
    one = torch.ones(1, dtype=torch.float64)
    assert float(residual(one, problem.objective(one, ratio * critical)[1])) < 1e-6 * critical
    found = minimised(problem, ratio * critical, one, odds=odds, tolerance=1e-4 * critical)
    assert not found.gates.any()


def test_paths_go_from_both_ends_and_keep_what_theory_says_of_them():
    problem = documents()
    found = penalty_path(problem)
    critical = found.attrs["lambda_crit"]
    assert float(found["residual"].max()) <= 1e-4 * critical
    assert found["gates"].dims == ("start", "penalty", "layer", "head")
    falling = found.sel(start="mask")
    assert bool(falling["beats_mask"].all())
    assert (falling["omega"] <= falling["omega_ceiling"] + 1e-12).all()
    above = falling.isel(penalty=-1)
    assert float(above["penalty"]) > critical
    assert not above["gates"].values.any()
    assert falling.isel(penalty=-2)["gates"].values.any()
    open_ones = found.where(found["omega"] > 0, drop=False)
    rates = open_ones["last_open_rate"] - open_ones["penalty"]
    assert float(rates.min()) >= -1e-3 * critical
    assert found.attrs["global_witness"] > 0


def test_exchange_holds_between_solutions_that_are_each_best_of_the_two():
    found = penalty_path(documents(), starts=("mask",)).isel(start=0)
    loss, omega, penalty = (found[name].values for name in ("loss", "omega", "penalty"))
    for i in range(len(penalty)):
        for j in range(i + 1, len(penalty)):
            best_of_two = all(
                loss[k] + penalty[k] * omega[k] <= loss[m] + penalty[k] * omega[m] for k, m in ((i, j), (j, i))
            )
            if best_of_two:
                assert omega[j] <= omega[i]
                assert loss[i] <= loss[j]
                if omega[i] > omega[j]:
                    assert penalty[i] - 1e-12 <= (loss[j] - loss[i]) / (omega[i] - omega[j]) <= penalty[j] + 1e-12


def test_a_gate_shared_over_layers_has_an_open_stationary_point_at_every_penalty():
    """Two tokens, L = 0: opening layer 1 turns layer 2 away from what is outside; shutting it leaks more."""
    for penalty in (1.0, 1e3, 1e6):
        problem = _diluting()
        found = minimised(problem, penalty, torch.ones(1, dtype=torch.float64), tolerance=1e-9 * penalty)
        assert float(found.gates[0]) > 0.5
        assert float(found.residual.max()) <= 1e-6 * penalty
        assert problem.groups.shared_over_layers


def _diluting():
    """Layer 1 notes what is outside with odds 1; layer 2 looks outside the less, the more was noted."""
    first = layer(head({B: 0.0}, {A: 1.0}, A, COPIED))
    second = layer(head({COPIED: -40.0, B: 17.5}, {A: 1.0}, A, COPIED))
    return planted(stream(A, B), torch.tensor([[0, 1]]), [first, second], lambda x: 0 * x[:, 1, COPIED], ())


def test_what_cannot_be_solved_is_refused():
    with pytest.raises(BadInput, match="penalty must be finite"):
        minimised(twins(1.0), -1.0, torch.zeros(2, dtype=torch.float64))
    with pytest.raises(BadInput, match="starts must be some of"):
        penalty_path(twins(1.0), [1.0], starts=("middle",))


def test_the_last_open_layer_says_what_the_penalty_can_be_at_most():
    problem = induction(2.0, 3.0)
    critical, odds = critical_of(problem)
    found = minimised(problem, 0.5 * critical, torch.ones(4, dtype=torch.float64), odds=odds, tolerance=1e-9)
    assert last_open_rate(problem, found.gates) >= found.penalty * (1 - 1e-6)
    assert np.isnan(last_open_rate(problem, 0 * found.gates))
