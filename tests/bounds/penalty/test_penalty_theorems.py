"""The penalty theorems on data: each verdict, each hypothesis, and a planted fault for each."""

from __future__ import annotations

import numpy as np
import pytest

from bounds.penalty import theorems
from bounds.theory.theorem import Level, Verdict

THEOREMS = {theorem.key: theorem for theorem in theorems.levels.THEOREMS + theorems.stationarity.THEOREMS}


def pairs(**changes):
    """Two by two blocks at a stationary point; the cross groups are zero above, active below the penalty."""
    rows = {
        "block_query": np.array([[0], [1]]),
        "block_key": np.array([[0, 1]]),
        "group_norm": np.array([[1.0, 0.0], [0.5, 1.0]]),
        "group_norm_start": np.array([[1.0, 0.4], [0.5, 1.0]]),
        "gradient_norm": np.array([[0.0, 0.05], [0.1, 0.0]]),
        "gradient_peak": np.array([[0.0, 0.05], [0.1, 0.0]]),
        "steps_to_zero": np.array([[-1, 8], [-1, -1]]),
        "penalty": np.float64(0.1),
        "residual": np.float64(1e-6),
        "converged": np.array(True),
        "accelerated": np.array(False),
        "step": np.float64(1.0),
        "steps": np.float64(100),
        "temperature": np.float64(1.0),
        "gradient_bound": np.float64(1.0),
        "value_diameter": np.float64(1.0),
        "query_norm": np.float64(1.0),
        "key_norm": np.float64(1.0),
        "key_diameter": np.float64(1.0),
        "query_share": np.float64(0.5),
        "mean_leakage": np.float64(0.5),
        "localist": np.array(True),
    }
    return rows | changes


def verdict(key, rows):
    return np.array(list(Verdict), dtype=object)[THEOREMS[key].verdicts(rows)]


OFF = ~np.eye(2, dtype=bool)


@pytest.mark.parametrize("key", [key for key, theorem in THEOREMS.items() if theorem.level is Level.PAIR])
def test_only_cross_blocks_are_judged(key):
    assert (verdict(key, pairs())[~OFF] == Verdict.VACUOUS).all()


@pytest.mark.theorem("kkt_zero", "kkt_active")
def test_stationarity_holds_and_notices_a_wrong_gradient():
    assert verdict("kkt_zero", pairs())[0, 1] == Verdict.HOLDS
    assert verdict("kkt_zero", pairs())[1, 0] == Verdict.VACUOUS
    assert verdict("kkt_active", pairs())[1, 0] == Verdict.HOLDS
    assert verdict("kkt_active", pairs())[0, 1] == Verdict.VACUOUS
    wrong = pairs(gradient_norm=np.array([[0.0, 0.101], [0.099, 0.0]]))
    assert verdict("kkt_zero", wrong)[0, 1] == Verdict.VIOLATED
    assert verdict("kkt_active", wrong)[1, 0] == Verdict.VIOLATED
    squared = pairs(gradient_norm=pairs()["gradient_norm"] ** 2)
    assert verdict("kkt_active", squared)[1, 0] == Verdict.VIOLATED
    for key in ("kkt_zero", "kkt_active", "worst_case_threshold"):
        assert (verdict(key, pairs(converged=np.array(False))) == Verdict.VACUOUS).all()


def test_a_group_about_to_vanish_is_not_called_active():
    """||W|| <= step times residual: the next step may make it zero, and then its gradient need not have norm lambda."""
    tiny = pairs(group_norm=np.full((2, 2), 5e-7), gradient_norm=np.zeros((2, 2)))
    assert (verdict("kkt_active", tiny) == Verdict.VACUOUS).all()


def test_level_a_on_data():
    assert (verdict("worst_case_gradient", pairs())[OFF] == Verdict.HOLDS).all()  # level A is 0.125
    assert (verdict("worst_case_gradient", pairs(gradient_norm=np.full((2, 2), 0.126)))[OFF] == Verdict.VIOLATED).all()
    absent = pairs(gradient_bound=np.float64(np.nan))
    for key in ("worst_case_gradient", "leakage_aware_gradient", "worst_case_threshold"):
        assert (verdict(key, absent) == Verdict.VACUOUS).all()


def test_level_b_on_data():
    small = pairs(mean_leakage=np.float64(0.01))  # 0.5 * psi(0.01) = 0.00495
    assert (verdict("leakage_aware_gradient", small)[OFF] == Verdict.VIOLATED).all()
    assert (verdict("leakage_aware_gradient", pairs())[OFF] == Verdict.HOLDS).all()
    for change in ({"mean_leakage": np.float64(np.nan)}, {"localist": np.array(False)}):
        assert (verdict("leakage_aware_gradient", pairs(**change)) == Verdict.VACUOUS).all()


@pytest.mark.theorem("worst_case_threshold")
def test_above_level_a_every_cross_group_is_zero():
    above = pairs(penalty=np.float64(0.13))
    assert verdict("worst_case_threshold", above)[0, 1] == Verdict.HOLDS
    assert verdict("worst_case_threshold", above)[1, 0] == Verdict.VIOLATED
    assert (verdict("worst_case_threshold", pairs(penalty=np.float64(0.1249))) == Verdict.VACUOUS).all()


def test_steps_on_data():
    assert verdict("steps_to_zero", pairs())[0, 1] == Verdict.HOLDS  # 0.4 / (0.1 - 0.05) = 8
    assert verdict("steps_to_zero", pairs(steps_to_zero=np.full((2, 2), 9)))[0, 1] == Verdict.VIOLATED
    assert verdict("steps_to_zero", pairs(steps_to_zero=np.full((2, 2), -1)))[0, 1] == Verdict.VIOLATED
    assert verdict("steps_to_zero", pairs())[1, 0] == Verdict.VACUOUS  # the peak reached lambda
    assert verdict("steps_to_zero", pairs(accelerated=np.array(True)))[0, 1] == Verdict.VACUOUS
    assert verdict("steps_to_zero", pairs(steps=np.float64(7)))[0, 1] == Verdict.VACUOUS  # ended too early to say
    assert verdict("steps_to_zero", pairs(group_norm_start=np.zeros((2, 2))))[0, 1] == Verdict.VACUOUS
    assert (verdict("steps_to_zero", pairs(gradient_peak=np.full((2, 2), np.nan))) == Verdict.VACUOUS).all()


def settings_rows(**changes):
    return {
        "penalty": np.array([0.98, 0.9995, 1.0005, 1.02]),
        "critical": np.full(4, 1.0),
        "start": np.array(["localised"] * 4),
        "converged": np.ones(4, bool),
        "active_cross_blocks": np.array([1, 1, 0, 0]),
        "loss_train": np.full(4, 0.9),
        "loss_localised": np.full(4, 1.0),
    } | changes


@pytest.mark.theorem("critical_stays", "critical_leaves")
def test_both_sides_of_the_critical_penalty():
    vacuous, holds = Verdict.VACUOUS, Verdict.HOLDS
    assert verdict("critical_stays", settings_rows()).tolist() == [vacuous, vacuous, vacuous, holds]
    assert verdict("critical_leaves", settings_rows()).tolist() == [holds, vacuous, vacuous, vacuous]
    swapped = settings_rows(active_cross_blocks=np.array([0, 0, 1, 1]), loss_train=np.full(4, 1.0))
    assert verdict("critical_stays", swapped)[3] == Verdict.VIOLATED
    assert verdict("critical_leaves", swapped)[0] == Verdict.VIOLATED
    better = settings_rows(active_cross_blocks=np.zeros(4), loss_train=np.full(4, 0.5))
    assert verdict("critical_leaves", better)[0] == vacuous  # it found a better in-block solution
    for change in (
        {"start": np.array(["zero"] * 4)},
        {"critical": np.full(4, np.nan)},
        {"converged": np.zeros(4, bool)},
    ):
        for key in ("critical_stays", "critical_leaves"):
            assert (verdict(key, settings_rows(**change)) == vacuous).all()


@pytest.mark.parametrize("theorem", THEOREMS.values(), ids=lambda theorem: theorem.key)
def test_no_proof_step_fails(theorem):
    assert False not in [step.settled() for step in theorem.proof]
