"""Rigorous values contain the exact ones, branch and bound decides what is true, comparisons have three values."""

from __future__ import annotations

import inspect
import math
import re
from typing import Any

import flint
import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sympy import exp, lambdify, simplify

import bounds
from bounds.numbers.errors import BadInput
from bounds.numbers.search import Unreachable
from bounds.rigour import balls
from bounds.rigour.balls import outward, working_precision
from bounds.rigour.branch_and_bound import Decision, decide
from bounds.rigour.enclosed import Enclosed
from bounds.theorems import THEOREMS
from bounds.theory import symbols as s
from bounds.theory.boxes import Y
from bounds.theory.statement import Statement
from bounds.theory.symbols import x, y
from bounds.theory.theorem import Verdict
from bounds.thresholds.setting import PenaltySetting, Setting
from empirical.cli import main

mpmath.mp.dps = 400  # the excess over ln m may be as small as e^-1000

STATEMENTS = [statement for theorem in THEOREMS.values() for statement in theorem.enclosures]
ROW = {"n_keys": 64, "n_block": 16, "n_anchors": 4, "temperature": 0.7}
PLAIN = {"n_keys": 64, "n_block": 16, "temperature": 0.7}
HEAD = {"gradient_bound": 2.0, "value_diameter": 1.5, "query_norm": 1.0, "key_norm": 0.9, "key_diameter": 1.7}
PATTERNS = {"n_patterns": 9, "beta": 4.0, "separation": 0.8, "radius": 1.0, "distance": 0.1}
CALLS = {
    "leakage_ceiling": {"margin": 3.3, **ROW},
    "log_leakage_ceiling": {"margin": 3.3, **ROW, "logit_range": 5.0},
    "fidelity_floor": {"margin": 3.3, **ROW, "logit_range": 5.0},
    "entropy_ceiling": {"margin": 3.3, **ROW},
    "entropy_envelope": {"margin": 3.3, **ROW},
    "entropy_split": {"leakage": 0.3, "n_keys": 64, "n_block": 16},
    "frontier": {"leakage": 0.05, "margin": 3.3, **ROW},
    "fidelity_ceiling": {"logit_range": 5.0, **PLAIN},
    "entropy_floor": {"logit_range": 5.0, "n_keys": 64},
    "entropy_floor_with_margin": {"margin": 1.0, "logit_range": 5.0, **ROW},
    "specht_floor": {"logit_range": 3.0, "n_keys": 64},
    "margin_for_fidelity": {"fidelity": 0.95, **ROW},
    "margin_for_entropy": {"entropy": 3.2, **ROW},
    "anchors_for_fidelity": {"fidelity": 0.9, "margin": 3.3, **PLAIN},
    "context_for_fidelity": {"fidelity": 0.9, "margin": 3.3, "n_block": 16, "n_anchors": 4},
    "temperature_for_fidelity": {"fidelity": 0.9, "margin": 3.3, "n_keys": 64, "n_block": 16},
    "dial_leakage": {"leakage": 0.4, "dial": 0.7},
    "kappa_leakage": {"leakage": 0.4, "kappa": 2.0},
    "dial_for_fidelity": {"fidelity": 0.95, "leakage": 0.4},
    "kappa_for_fidelity": {"fidelity": 0.95, "leakage": 0.4},
    "worst_case_dial": {"fidelity": 0.9, "logit_range": 5.0, **PLAIN},
    "worst_case_kappa": {"fidelity": 0.9, "logit_range": 5.0, **PLAIN},
    "dial_bias": {"dial": 0.7, "temperature": 0.3},
    "kappa_bias": {"kappa": 0.7, "temperature": 0.3},
    "kappa_of_dial": {"dial": 0.7},
    "dial_of_kappa": {"kappa": 0.7},
    "penalty_threshold_worst_case": HEAD,
    "penalty_threshold_leakage_aware": {**HEAD, "leakage": 0.2, "of": "mean"},
    "penalty_threshold_mean_of_products": {
        "gradient_bounds": [1.0, 0.3],
        "value_diameters": 1.1,
        "key_diameters": 0.7,
        "query_norms": [0.3, 0.9],
    },
    "penalty_threshold_cauchy_schwarz": {"query_operator": 0.4, "covariance_bound": 1.3},
    "penalty_threshold_factorised": {"gradient_bound": 0.3, "owned_norm": 1.1, "objective": 0.7},
    "global_penalty_ceiling": {"slope": 0.3, "curvature": 1.1, "gain": 0.7},
    "global_penalty_dual": {"loss_localised": 0.7, "eta": 0.9, "offset": 0.1, "quadratic": 1.1, "cross_norm": 0.6},
    "critical_penalty": {"gradient_norms": [0.1, 0.3]},
    "global_penalty_witness": {"loss_localised": 1.0, "loss": 0.7, "group_norms": [0.3, 0.4]},
    "steps_to_zero": {"group_norm": 1.0, "penalty": 0.5, "gradient_bound": 0.1, "step": 0.1},
    "adam_threshold": {"group_size": 64},
    "drift_bound": {"errors": [0.1, 0.2], "lipschitz": [0.3, 0.4]},
    "layer_costs": {"diameters": [0.1, 0.2], "lipschitz": [0.3, 0.4]},
    "recruitment_price": {"extra_parameters": 7, "n_observations": 100, "cost": 1.3},
    "most_recruitments": {"nll": 1000.0, "extra_parameters": 7, "n_observations": 100, "cost": 1.3},
    "anchor_margin": {"theta": 0.2, "phi": 1.1, "beta": 3.0, "jitter": 0.1},
    "coherence_floor": {"n_anchors": 7, "dimension": 3},
    "pointer_information": {"prior_entropy": 1.3, "leakage": 0.1, "n_blocks": 4},
    "replication_slope": {"anchor_mass": 0.3, "gap": 2.0, "n_anchors": 3},
    "rule_bias": {"fidelity": 0.9, "logit_range": 5.0, "n_keys": 64, "n_rule": 3, "temperature": 0.7},
    "priority_gap": {"ratio": 3.0, "logit_range": 5.0, "n_first": 2, "n_second": 7, "temperature": 0.7},
    "violation_after_reloads": {"removal": [0.3, 0.7]},
    "sigma_reparam_floor": {"logit_norm": 4.0, "n_keys": 64},
    "most_attention": {"logit_range": 5.0, "n_keys": 64},
    "least_attention": {"logit_range": 5.0, "n_keys": 64},
    "scalable_softmax_floor": {"margin": 0.9, "n_keys": 64, "n_block": 16, "n_anchors": 4},
    "hopfield_error": PATTERNS,
    "retrieval_error": PATTERNS,
    "critical_gate_penalty": {"loss_slopes": [-0.3, 0.1], "leakage_slopes": [0.7, 0.2]},
    "gate_penalty_level_a": {"layer_rows": 7, "gradient_bound": 0.3, "value_diameter": 1.1},
    "gate_basin": {"slope": 0.3, "curvature": 0.7},
    "gate_rate_ceiling": {"pair_penalty": 0.7, "layer_rows": 7, "curvature": 0.3, "value_diameter": 1.1},
    "gate_penalty_for_leakage": {"loss_reference": 0.7, "loss_least": 0.1, "target": 0.3},
    "penalised_leakage_ceiling": {"loss_reference": 0.7, "loss_found": 0.1, "penalty": 0.3},
    "masked_loss_ceiling": {"loss": 0.7, "global_penalty": 0.3, "leakage": 0.1},
    "rows_above_ceiling": {"mean_leakage": 0.1, "threshold": 0.3},
    "mean_entropy_ceiling": {"leakage": 0.3, "n_keys": [64, 32], "n_block": [16, 3]},
    "gate_steps_to_zero": {"gate": 0.7, "slope": 0.3, "step": 0.1},
}
NO_NUMBER = {"Design", "Enclosed", "PenaltySetting", "Setting", "Solutions", "Unreachable", "design", "schedule"}


def test_every_public_calculator_can_be_rigorous():
    public = {name for name in bounds.__all__ if name not in NO_NUMBER}
    assert set(CALLS) <= public
    for name in public:
        assert "rigorous" in inspect.signature(getattr(bounds, name)).parameters


def call_of(name: str) -> dict[str, Any]:
    """The example of a calculator; of one without, each argument as in some other example, or 0.4."""
    examples = {argument: value for call in CALLS.values() for argument, value in call.items()}
    parameters = inspect.signature(getattr(bounds, name)).parameters.values()
    needed = [p.name for p in parameters if p.default is inspect.Parameter.empty]
    return CALLS.get(name) or {argument: examples.get(argument, 0.4) for argument in needed}


@pytest.mark.parametrize("name", [name for name in bounds.__all__ if name not in NO_NUMBER])
def test_the_estimate_lies_next_to_a_narrow_enclosure(name):
    calculator, arguments = getattr(bounds, name), call_of(name)
    found = calculator(**arguments, rigorous=True)
    assert np.array_equal(found.estimate, np.asarray(calculator(**arguments), dtype=float))
    assert np.all(found.lower <= found.upper)
    room = 1e-13 * np.maximum(np.abs(found.estimate), 1e-3)
    assert np.all(found.upper - found.lower <= room)
    assert np.all(np.abs(found.estimate - (np.asarray(found.lower) + found.upper) / 2) <= room)


@given(st.floats(-30, 60), st.integers(2, 10**6), st.floats(0, 1), st.floats(0, 1), st.floats(0.05, 20))
def test_exact_values_lie_inside(margin, n, share, part, tau):
    m = 1 + int(share * (n - 2))
    r = 1 + int(part * (m - 1))
    x = mpmath.mpf(margin) / mpmath.mpf(tau)
    u = (n - m) * mpmath.exp(-x)
    keys = {"n_keys": n, "n_block": m, "n_anchors": r, "temperature": tau}
    leakage = bounds.leakage_ceiling(margin, **keys, rigorous=True)
    assert leakage.lower <= u / (u + r) <= leakage.upper
    if x >= 0:
        g = u / (r + u)
        entropy = bounds.entropy_ceiling(margin, **keys, rigorous=True)
        assert entropy.lower <= mpmath.log((m - r) + (r + u) * mpmath.exp(x * g)) <= entropy.upper


@given(st.floats(0.01, 0.999), st.integers(2, 500), st.floats(0, 1))
def test_the_true_margin_lies_inside(fidelity, n, share):
    m = 1 + int(share * (n - 2))
    found = bounds.margin_for_fidelity(fidelity, n, m, rigorous=True)
    f = mpmath.mpf(fidelity)
    assert found.lower <= mpmath.log((n - m) * f / (m * (1 - f))) <= found.upper


def test_an_entropy_margin_is_bracketed_by_rigorous_evaluation():
    found = bounds.margin_for_entropy(3.2, 64, 16, 4, rigorous=True)
    assert bounds.entropy_ceiling(found.upper, 64, 16, 4, rigorous=True).at_most(3.2) is Verdict.HOLDS
    assert bounds.entropy_ceiling(found.lower - 1e-12, 64, 16, 4, rigorous=True).at_most(3.2) is Verdict.VIOLATED
    assert math.isinf(bounds.margin_for_entropy(9.0, 64, 16, rigorous=True).lower)
    assert isinstance(bounds.margin_for_entropy(1.0, 64, 16, rigorous=True), Unreachable)


def test_arrays_and_what_cannot_be_reached():
    found = bounds.margin_for_entropy([3.2, 1.0], 64, 16, 4, rigorous=True)
    assert found.upper[0] >= found.lower[0]
    assert np.isnan(found.upper[1])
    counts = bounds.anchors_for_fidelity(0.9, [3.3, 5.0], 64, 16, rigorous=True)
    assert np.array_equal(counts.lower, counts.upper)


def test_comparisons_have_three_values():
    third = Enclosed(0.3, 1 / 3, 0.4)
    assert third.at_most(0.5) is Verdict.HOLDS
    assert third.at_most(0.2) is Verdict.VIOLATED
    assert third.at_most(0.35) is Verdict.UNKNOWN
    assert third.at_least(0.3) is Verdict.HOLDS
    assert third.at_least(0.45) is Verdict.VIOLATED
    assert third.at_least(0.35) is Verdict.UNKNOWN
    many = Enclosed(np.array([0.0, 2.0]), np.array([0.5, 2.5]), np.array([1.0, 3.0]))
    assert list(many.at_most(1.5)) == [Verdict.HOLDS, Verdict.VIOLATED]


def test_balls_that_say_nothing_give_the_whole_line():
    assert outward(flint.arb.nan()) == (-math.inf, math.inf)
    with working_precision():
        third = outward(flint.arb(1) / 3)
    assert third[0] <= 1 / 3 <= third[1]
    assert third[0] < third[1]


def test_without_flint_the_remedy_is_named(monkeypatch):
    monkeypatch.setattr(balls, "flint", None)
    with pytest.raises(BadInput, match=r"needs python-flint: pip install python-flint"):
        bounds.fidelity_floor(3.0, 64, 16, rigorous=True)
    assert bounds.fidelity_floor(3.0, 64, 16) > 0  # the plain calculators do without it


@pytest.mark.parametrize("statement", [s for s in STATEMENTS if not s.false], ids=lambda s: s.words)
def test_statements_are_proved(statement):
    assert decide(statement).decision is Decision.PROVED


@pytest.mark.parametrize("statement", [s for s in STATEMENTS if s.false], ids=lambda s: s.words)
def test_false_statements_are_refuted_at_a_point(statement):
    found = decide(statement)
    assert found.decision is Decision.REFUTED
    at = {s: mpmath.mpf(found.place[str(s)]) for s in statement.box}
    assert float((statement.larger - statement.smaller).subs(at).evalf(40)) < 0


LOWERED = [one for one in STATEMENTS if "cannot be lowered" in one.words]


@pytest.mark.parametrize("statement", LOWERED, ids=lambda one: one.words)
def test_what_cannot_be_lowered_was_lowered_by_as_much_as_it_says(statement):
    said = re.search(r"by ([\d.]+) %", statement.words)
    assert said
    assert statement.false
    axes = [np.geomspace(max(low, 1e-6), min(high, 30.0), 300) for low, high in statement.box.values()]
    ratio = lambdify(list(statement.box), statement.smaller / statement.larger)(*np.meshgrid(*axes))
    assert np.max(ratio) == pytest.approx(1 / (1 - float(said[1]) / 100), rel=2e-4)


def test_statements_about_a_bound_have_its_formula():
    """y is the leakage ceiling's (n-m) e^-x / r for the floor, and the error's (N-1) e^(-beta (Delta - 2 M d))."""
    floor, error = THEOREMS["fidelity_floor"], THEOREMS["retrieval_error"]
    odds = (s.n - s.m) * exp(-s.x) / s.r
    assert simplify(floor.enclosures[0].larger.subs(y, odds) - floor.formula) == 0
    odds = (s.K - 1) * exp(-s.beta * (s.Delta - 2 * s.M * s.distance))
    assert simplify(2 * s.M * error.enclosures[0].smaller.subs(y, odds) - error.formula) == 0


def test_a_statement_may_stay_open_and_a_box_must_be_one():
    touched = Statement("touched at y = 1", y * exp(1 - y), 1, {y: (0.5, 2.0)})
    found = decide(touched, most_boxes=50)
    assert found.decision is Decision.UNDECIDED
    assert set(found.place) == {"y"}
    with pytest.raises(ValueError, match="box of x must be a pair lower <= upper, got"):
        Statement("", x, x, {x: (1.0, 0.0)})
    assert Y[0] < 1e-24


def test_thresholds_round_to_the_safe_side(capsys):
    setting = Setting(n_keys=64, n_block=16, n_anchors=4, margin=3.3, fidelity=0.9, entropy=3.2, logit_range=7.0)
    penalty = PenaltySetting(**HEAD, group_norm=1.0, step=0.1)
    plain, safe = bounds.design(setting, penalty), bounds.design(setting, penalty, rigorous=True)
    for key in (
        "margin_for_fidelity",
        "margin_for_entropy",
        "leakage_ceiling",
        "dial_worst_case",
        "penalty_worst_case",
    ):
        assert safe[key] >= plain[key] * (1 - 1e-15)
    for key in ("fidelity_floor", "entropy_floor", "temperature_for_fidelity"):
        assert safe[key] <= plain[key] * (1 + 1e-15)
    assert safe["anchors_for_fidelity"] == plain["anchors_for_fidelity"]
    assert [line.key for line in safe.lines] == [line.key for line in plain.lines]
    assert [region.region for region in safe.regions] == [region.region for region in plain.regions]
    assert main(["thresholds", "--n-keys", "64", "--n-block", "16", "--fidelity", "0.9", "--rigorous"]) == 0
    assert repr(bounds.margin_for_fidelity(0.9, 64, 16, rigorous=True).upper) in capsys.readouterr().out
