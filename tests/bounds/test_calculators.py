"""Calculators of anchors, rules, depth, recruitment, published bounds and optimisers: values, safe sides, bad input."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bounds
from empirical.verify.adversary.weights import softmax


def test_anchor_margin_is_that_of_the_worst_query_and_positive_iff_within_half_the_angle():
    assert bounds.anchor_margin(0.0, math.pi / 2) == pytest.approx(1.0)  # on its anchor, others at a right angle
    assert bounds.anchor_margin(0.3, 1.0, beta=5.0) == pytest.approx(5 * (math.cos(0.3) - math.cos(0.7)))
    assert bounds.anchor_margin(0.5, 1.0) == pytest.approx(0, abs=1e-15)
    assert bounds.anchor_margin(0.2, 1.0, jitter=0.1) == pytest.approx(bounds.anchor_margin(0.3, 1.0))


def test_coherence_is_that_of_known_packings():
    for vectors, dimension, value in (
        (2, 5, -1),
        (4, 3, -1 / 3),
        (6, 3, 0),
        (4, 2, 0),
        (5, 2, math.cos(2 * math.pi / 5)),
    ):
        assert bounds.coherence_floor(vectors, dimension) == pytest.approx(value, abs=1e-12)
    for vectors in range(2, 12):  # in the plane the regular polygon is best
        assert bounds.coherence_floor(vectors, 2) == pytest.approx(math.cos(2 * math.pi / vectors), abs=1e-12)
    assert bounds.coherence_floor(12, 3) <= 1 / math.sqrt(5)  # the icosahedron
    values = bounds.coherence_floor(np.arange(2, 200), 4)
    assert np.all(np.diff(values) >= -1e-15)


def test_the_cosine_bound_is_not_welchs():
    """Welch bounds the absolute cosine: for the pentagon 0.612, while its largest signed cosine is 0.309."""
    welch = math.sqrt((5 - 2) / (2 * (5 - 1)))
    assert welch == pytest.approx(0.612, abs=1e-3)
    assert bounds.coherence_floor(5, 2) == pytest.approx(0.309, abs=1e-3)


def test_pointer_information_between_certain_and_useless():
    prior = math.log(4)
    assert bounds.pointer_information(prior, 0.0, 4) == pytest.approx(prior)
    assert bounds.pointer_information(prior, 0.75, 4) == pytest.approx(0, abs=1e-12)
    assert np.all(np.diff(bounds.pointer_information(prior, np.linspace(0, 0.75, 50), 4)) < 0)


@given(st.floats(0.01, 0.999), st.floats(0, 12), st.integers(2, 50), st.floats(0, 1), st.floats(0.1, 5))
def test_a_rules_bias_reaches_its_target_in_the_worst_row(fidelity, span, n, part, tau):
    rule = 1 + int(part * (n - 2))
    bias = bounds.rule_bias(fidelity, span, n, rule, tau)
    worst = np.where(np.arange(n) < rule, bias, span) / tau
    assert softmax(worst)[:rule].sum() >= fidelity * (1 - 1e-12)


@given(st.floats(0.01, 100), st.floats(0, 12), st.integers(1, 9), st.integers(1, 9), st.floats(0.1, 5))
def test_a_priority_gap_reaches_its_ratio_in_the_worst_row(ratio, span, first, second, tau):
    gap = bounds.priority_gap(ratio, span, first, second, tau)
    log_ratio = (gap - span) / tau + math.log(first) - math.log(second)
    assert log_ratio >= math.log(ratio) - 1e-12
    enclosed = bounds.priority_gap(ratio, span, first, second, tau, rigorous=True)
    assert enclosed.at_most(gap).name == "HOLDS"


def test_reloads_multiply():
    assert bounds.violation_after_reloads([0.5, 0.5, 0.5]) == 0.125
    assert np.array_equal(bounds.violation_after_reloads([[0.0, 0.0], [1.0, 0.3]]), [1.0, 0.0])


def test_recruitments_are_counted_strictly():
    assert bounds.recruitment_price(0, 1, 2.0) == 2.0
    assert bounds.most_recruitments(10.0, 0, 1, 2.0) == 4  # a fifth would need more than 10 nats
    assert bounds.most_recruitments(10.1, 0, 1, 2.0) == 5
    assert bounds.most_recruitments(0.0, 0, 1, 2.0) == 0


def test_published_bounds_on_our_inputs():
    assert bounds.sigma_reparam_floor(0.0, 9) == pytest.approx(math.log(9))
    assert bounds.most_attention(3.0, 9) == pytest.approx(bounds.fidelity_ceiling(3.0, 9, 1))
    assert bounds.least_attention(0.0, 9) == pytest.approx(1 / 9)
    floors = bounds.scalable_softmax_floor(1.0, [10, 1000, 100_000], 1)
    assert np.all(floors > 0.5)  # s delta = 1: n - 1 outsiders at n^-1 each
    assert bounds.scalable_softmax_floor(0.5, 10**6, 1) < 0.01
    ours, theirs = (f(9, 4.0, 0.9, 1.0, 0.05) for f in (bounds.retrieval_error, bounds.hopfield_error))
    assert ours < theirs
    assert bounds.retrieval_error(9, 0.1, 0.0, 1.0, 0.5) <= 2.0  # never more than the diameter


def test_levels_beyond_d():
    assert bounds.global_penalty_ceiling(0.3, 0.0, 9.0) == pytest.approx(0.3)  # no curvature: the slope
    assert bounds.global_penalty_ceiling(0.0, 2.0, 1.0) == pytest.approx(1.0)
    assert bounds.global_penalty_dual(0.5, 1.0, 0.0, 3.0, 2.0) == pytest.approx(6.0)  # eta = 1, Psi = 0: Lambda n
    assert bounds.global_penalty_dual(0.5, 0.0, 0.0, 0.0, [1.0, 2.0]) == pytest.approx([0.5, 0.25])  # L >= 0: L_loc/n
    assert bounds.penalty_threshold_factorised(2.0, 0.0, 1.0) == pytest.approx(1.0)  # sqrt(gamma F_0 / 2)
    assert bounds.penalty_threshold_cauchy_schwarz(0.5, 4.0, 2.0) == pytest.approx(0.25)
    assert bounds.adam_threshold(1) == pytest.approx(7.270, abs=1e-3)
    assert bounds.drift_bound([0.0, 2.0], [5.0, 0.0]) == 2.0
    assert bounds.replication_slope(0.5, 4.0, 1) < 0 < bounds.replication_slope(0.9, 4.0, 9)


BAD = (
    ("anchor_margin", {"theta": 1.0, "phi": 0.5}, r"theta \+ jitter must be at most phi, got 1"),
    ("anchor_margin", {"theta": -1.0, "phi": 0.5}, r"theta must be an angle in \[0, pi\], got -1"),
    ("anchor_margin", {"theta": 0.1, "phi": 0.5, "beta": 0.0}, "beta must be finite and > 0, got 0"),
    ("coherence_floor", {"n_anchors": 1, "dimension": 3}, "n_anchors must be at least 2, got 1"),
    ("coherence_floor", {"n_anchors": 3, "dimension": 1}, "dimension must be at least 2, got 1"),
    (
        "pointer_information",
        {"prior_entropy": 0.5, "leakage": 0.1, "n_blocks": 1},
        "n_blocks must be at least 2, got 1",
    ),
    ("pointer_information", {"prior_entropy": 0.5, "leakage": 0.9, "n_blocks": 4}, "leakage must be in .* got 0.9"),
    (
        "pointer_information",
        {"prior_entropy": 2.5, "leakage": 0.1, "n_blocks": 4},
        "prior_entropy must be in .* got 2.5",
    ),
    (
        "replication_slope",
        {"anchor_mass": 1.5, "gap": 1.0, "n_anchors": 1},
        r"anchor_mass must be in \[0, 1\], got 1.5",
    ),
    (
        "rule_bias",
        {"fidelity": 1.0, "logit_range": 1.0, "n_keys": 4, "n_rule": 1},
        r"fidelity must be in \(0, 1\), got 1",
    ),
    (
        "priority_gap",
        {"ratio": 0.0, "logit_range": 1.0, "n_first": 1, "n_second": 1},
        "ratio must be finite and > 0, got 0",
    ),
    ("violation_after_reloads", {"removal": 0.5}, "removal must be an array whose last axis holds the reloads"),
    ("violation_after_reloads", {"removal": [1.5]}, r"removal must be in \[0, 1\], got 1.5"),
    ("drift_bound", {"errors": [1.0], "lipschitz": [-1.0]}, "lipschitz must be finite and >= 0, got -1"),
    ("drift_bound", {"errors": 1.0, "lipschitz": [1.0]}, "errors must be an array whose last axis holds the layers"),
    ("layer_costs", {"diameters": [], "lipschitz": []}, "diameters must be an array whose last axis holds the layers"),
    ("recruitment_price", {"extra_parameters": 1, "n_observations": 0, "cost": 1.0}, "n_observations must be a whole"),
    (
        "recruitment_price",
        {"extra_parameters": 1, "n_observations": 9, "cost": 0.0},
        "cost must be finite and > 0, got 0",
    ),
    ("most_recruitments", {"nll": -1.0, "extra_parameters": 1, "n_observations": 9, "cost": 1.0}, "nll must be finite"),
    ("sigma_reparam_floor", {"logit_norm": 1.0, "n_keys": 1}, "n_keys must be at least 2, got 1"),
    ("most_attention", {"logit_range": math.inf, "n_keys": 4}, "logit_range must be finite and >= 0, got inf"),
    ("least_attention", {"logit_range": -1.0, "n_keys": 4}, "logit_range must be finite and >= 0, got -1"),
    (
        "scalable_softmax_floor",
        {"margin": 1.0, "n_keys": 4, "n_block": 4},
        r"n_block must be in \[1, n_keys - 1\], got 4",
    ),
    (
        "hopfield_error",
        {"n_patterns": 1, "beta": 1, "separation": 1, "radius": 1, "distance": 0},
        "n_patterns must be at",
    ),
    (
        "retrieval_error",
        {"n_patterns": 2, "beta": -1, "separation": 1, "radius": 1, "distance": 0},
        "beta must be finite",
    ),
    ("penalty_threshold_cauchy_schwarz", {"query_operator": -1.0, "covariance_bound": 1.0}, "query_operator must be"),
    (
        "global_penalty_ceiling",
        {"slope": 1.0, "curvature": math.nan, "gain": 1.0},
        "curvature must be finite .* got nan",
    ),
    (
        "global_penalty_dual",
        {"loss_localised": 1.0, "eta": 1.5, "offset": 0.0, "quadratic": 1.0, "cross_norm": 1.0},
        r"eta must be in \[0, 1\], got 1.5",
    ),
    (
        "global_penalty_dual",
        {"loss_localised": 1.0, "eta": 1.0, "offset": 0.0, "quadratic": -1.0, "cross_norm": 1.0},
        "quadratic must be finite and >= 0, got -1",
    ),
    (
        "global_penalty_dual",
        {"loss_localised": 1.0, "eta": 1.0, "offset": 0.0, "quadratic": 1.0, "cross_norm": 0.0},
        "cross_norm must be finite and > 0, got 0",
    ),
    (
        "penalty_threshold_factorised",
        {"gradient_bound": 1.0, "owned_norm": 1.0, "objective": -1.0},
        "objective must be",
    ),
    ("adam_threshold", {"group_size": 4, "beta_1": 0.99, "beta_2": 0.9}, "beta_1 must be below .* got 0.99"),
    ("adam_threshold", {"group_size": 0}, "group_size must be a whole number"),
)


@pytest.mark.parametrize(("name", "arguments", "words"), BAD)
def test_bad_input_is_named(name, arguments, words):
    with pytest.raises(ValueError, match=words):
        getattr(bounds, name)(**arguments)


def test_a_rules_bias_is_the_next_number_above_its_exact_value():
    """Not of a kappa that was rounded first: the product would round twice."""
    rng = np.random.default_rng(8)
    spans, taus = rng.uniform(0, 9, 300), rng.uniform(0.1, 5, 300)
    with mpmath.workdps(60):
        target = mpmath.mpf(0.9)
        needed = mpmath.log(61 * target / (3 * (1 - target)))
        for bias, span, tau in zip(bounds.rule_bias(0.9, spans, 64, 3, taus), spans, taus):
            exact = max(mpmath.mpf(0), mpmath.mpf(span) + mpmath.mpf(tau) * needed)
            assert bias >= exact > np.nextafter(bias, -1)
