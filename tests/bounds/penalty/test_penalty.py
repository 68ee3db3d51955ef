"""Penalty levels: never exceeded by a gradient that autograd finds, attained by rows made for it; exact step counts."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bounds.numbers.search import Solutions, Unreachable
from bounds.penalty import closed_forms
from bounds.penalty.calculators import (
    critical_penalty,
    global_penalty_witness,
    penalty_threshold_leakage_aware,
    penalty_threshold_mean_of_products,
    penalty_threshold_worst_case,
    steps_to_zero,
)

seeds = st.integers(0, 2**32 - 1)


def cross_gradient(query, key, value, direction, own_logits, form, tau=1.0):
    """Norm of the gradient in W_bc of the mean over queries of <direction_i, output_i>, and the attention.

    query (N, d): features x^(b), zero where a query is of another block; key (N, K, d): features x^(c); own_logits
    (N, K) come from other blocks of the form. A linear loss has the gradient `direction_i` at the output, whatever W.
    """
    form = torch.tensor(form, requires_grad=True)
    query, key, value, direction, own_logits = map(torch.as_tensor, (query, key, value, direction, own_logits))
    logits = (own_logits + torch.einsum("nd,de,nke->nk", query, form, key)) / tau
    attention = logits.softmax(-1)
    output = torch.einsum("nk,nkv->nv", attention, value)
    loss = (direction * output).sum(-1).mean()
    return torch.autograd.grad(loss, form)[0].norm().item(), attention.detach().numpy()


def diameter(points):
    """Largest distance between two of the points along the axis before the last."""
    return np.linalg.norm(points[..., :, None, :] - points[..., None, :, :], axis=-1).max((-1, -2))


def random_head(seed, scale):
    """A head of one query block and one key block: half the keys have no features in c, half the queries none in b."""
    rng = np.random.default_rng(seed)
    queries, keys, d = 12, 10, 3
    query = rng.normal(0, 1, (queries, d)) * (np.arange(queries) < 7)[:, None]
    key = rng.normal(0, 1, (queries, keys, d)) * (np.arange(keys) < 6)[None, :, None]
    value, direction = rng.normal(0, 1, (queries, keys, 4)), rng.normal(0, 1, (queries, 4))
    own = rng.normal(0, scale, (queries, keys)) + scale * (np.arange(keys) >= 6)
    return query, key, value, direction, own, rng.normal(0, scale, (d, d))


def bounds_of(query, key, value, direction):
    with_features = np.linalg.norm(query, axis=-1) > 0
    return {
        "gradient_bound": np.linalg.norm(direction, axis=-1).max(),
        "value_diameter": diameter(value).max(),
        "query_norm": np.linalg.norm(query, axis=-1).max(),
        "key_norm": np.linalg.norm(key, axis=-1).max(),
        "key_diameter": diameter(key).max(),
        "query_share": with_features.mean(),
    }


@given(seeds, st.sampled_from([0.0, 0.3, 3.0]), st.sampled_from([0.5, 2.0]))
def test_no_gradient_exceeds_the_levels(seed, scale, tau):
    query, key, value, direction, own, form = random_head(seed, scale)
    gradient, attention = cross_gradient(query, key, value, direction, own, form, tau)
    known = bounds_of(query, key, value, direction) | {"temperature": tau}
    leakage = attention[:, :6].sum(-1)[:7]
    worst = penalty_threshold_worst_case(**known)
    each = penalty_threshold_leakage_aware(**known, leakage=leakage).mean()
    mean = penalty_threshold_leakage_aware(**known, leakage=leakage.mean(), of="mean")
    products = penalty_threshold_mean_of_products(
        np.linalg.norm(direction, axis=-1), diameter(value), diameter(key), np.linalg.norm(query, axis=-1), tau
    )
    assert gradient <= products * (1 + 1e-12)
    assert gradient <= each * (1 + 1e-12)
    assert each <= mean * (1 + 1e-12)
    assert mean <= worst * (1 + 1e-12)


def one_query(key, value, masses):
    """A single query with feature 1; scalar features and values, attention given by the own block's logits."""
    shape = (1, len(key), 1)
    return cross_gradient(
        np.ones((1, 1)),
        np.reshape(np.asarray(key, float), shape),
        np.reshape(np.asarray(value, float), shape),
        np.ones((1, 1)),
        np.log(np.asarray(masses, float))[None],
        np.zeros((1, 1)),
    )[0]


@pytest.mark.theorem("worst_case_gradient")
def test_level_a_is_attained_by_two_keys():
    gradient = one_query(key=[0.0, 1.0], value=[0.0, 1.0], masses=[0.5, 0.5])
    level = penalty_threshold_worst_case(1, 1, 1, 1, 1)
    assert gradient == pytest.approx(0.25, rel=1e-12) == level
    assert gradient > 0.99 * level


@pytest.mark.theorem("leakage_aware_gradient")
@pytest.mark.parametrize("leakage", [0.01, 0.2, 1 / 3, 0.5, 0.9, 1.0])
def test_level_b_is_attained_by_three_points(leakage):
    """+X_c with mass p, -X_c with mass leakage - p, 0 with the rest; the value picks +X_c."""
    p = min(leakage, (1 + leakage) / 4)
    masses = np.maximum([p, leakage - p, 1 - leakage], 1e-300)
    gradient = one_query(key=[1.0, -1.0, 0.0], value=[1.0, 0.0, 0.0], masses=masses)
    level = penalty_threshold_leakage_aware(1, 1, 1, 1, 2, leakage=leakage)
    assert gradient == pytest.approx(level, rel=1e-9)
    assert gradient <= penalty_threshold_leakage_aware(1, 1, 1, 1, 2, leakage=leakage, of="mean") * (1 + 1e-12)


@pytest.mark.theorem("leakage_aware_gradient")
def test_the_level_for_a_mean_is_attained_by_a_mixture():
    """Part of the queries leak 1 - 1/sqrt(2), the others everything: the chord of the majorant."""
    low, share = 1 - 1 / math.sqrt(2), 0.3
    gradient = (1 - share) * one_query([1.0, 0.0], [1.0, 0.0], [low, 1 - low]) + share * one_query(
        [1.0, -1.0], [1.0, 0.0], [0.5, 0.5]
    )
    mean = (1 - share) * low + share
    assert gradient == pytest.approx(penalty_threshold_leakage_aware(1, 1, 1, 1, 2, leakage=mean, of="mean"), rel=1e-12)


def test_phi_against_a_search_over_laws():
    """The best of many laws on {+1, 0, -1} with mass eps off 0 against the closed form."""
    p = np.linspace(0, 1, 100_001)
    for eps in (0.0, 0.1, 1 / 3, 0.34, 0.7, 1.0):
        best = np.max(np.where(p <= eps, p * (1 - (2 * p - eps)), 0))
        assert closed_forms.phi(np.float64(eps)) == pytest.approx(best, abs=1e-9)
    grid = np.linspace(0, 1, 1001)
    phi, majorant = closed_forms.phi(grid), closed_forms.phi_majorant(grid)
    assert (majorant >= phi - 1e-16).all()
    assert (np.diff(phi) > 0).all()
    assert (np.diff(majorant, 2) <= 1e-15).all()
    assert majorant[-1] == pytest.approx(0.5) == phi[-1]


@given(st.floats(0, 1), st.floats(0, 1))
def test_levels_grow_with_leakage_and_scale_with_temperature(a, b):
    low, high = sorted((a, b))
    for of in ("each", "mean"):
        level = penalty_threshold_leakage_aware(2, 1, 1, 3, 1.5, 0.5, leakage=[low, high], of=of)
        assert level[0] <= level[1] <= penalty_threshold_worst_case(2, 1, 1, 3, 1.5, 0.5) * (1 + 1e-14)
    assert penalty_threshold_worst_case(2, 1, 1, 3, 1.5, 0.5, 2.0) == penalty_threshold_worst_case(
        2, 1, 1, 3, 1.5, 0.25
    )


def test_levels_broadcast():
    assert penalty_threshold_worst_case(1, 1, [1.0, 2.0], 1, [[1.0], [2.0], [3.0]]).shape == (3, 2)
    assert penalty_threshold_leakage_aware(1, 1, 1, 1, 2, leakage=np.zeros((2, 1)), temperature=[1, 2, 3]).shape == (
        2,
        3,
    )
    assert penalty_threshold_mean_of_products(1, 1, np.ones((4, 9)), np.ones(9), [1, 2, 3, 4]).shape == (4,)
    assert 0.125 <= penalty_threshold_mean_of_products([1, 1], [1, 1], [1, 1], [1, 0]) <= 0.125 * (1 + 1e-14)


# --- critical and global ---------------------------------------------------------------------------------------------
def test_critical_penalty_is_the_largest_norm():
    assert critical_penalty([[0.0, 0.3], [0.2, 0.1]]) == 0.3
    np.testing.assert_array_equal(critical_penalty([[0.0, 0.3], [0.2, 0.1]], axis=1), [0.3, 0.2])
    assert critical_penalty([0.0, 0.0]) == 0.0
    with pytest.raises(ValueError, match="at least one norm"):
        critical_penalty([])


def test_global_witness():
    assert global_penalty_witness(1.0, 0.7, [1.0, 2.0]) == pytest.approx(0.1)
    assert global_penalty_witness(1.0, 1.2, [1.0]) == 0.0
    assert global_penalty_witness(1.0, 0.5, [0.0, 0.0]) == 0.0
    np.testing.assert_allclose(global_penalty_witness(1.0, [0.5, 0.0], [[1.0, 1.0], [1.0, 3.0]]), [0.25, 0.25])


# --- steps to zero ---------------------------------------------------------------------------------------------------
def plain_steps(norm, penalty, gradient, step):
    """Proximal steps on a group whose gradient always pushes it outwards with the given norm, in fractions."""
    norm, fall = Fraction(norm), Fraction(step) * (Fraction(penalty) - Fraction(gradient))
    count = 0
    while norm > 0:
        norm, count = max(norm - fall, Fraction(0)), count + 1
    return count


@pytest.mark.theorem("steps_to_zero")
@given(st.floats(0, 10), st.floats(0.02, 1), st.floats(0, 1), st.floats(0.1, 10))
def test_steps_to_zero_is_attained_by_a_constant_outward_gradient(norm, gap, gradient, step):
    penalty = gradient + gap
    if penalty > gradient:
        assert steps_to_zero(norm, penalty, gradient, step) == plain_steps(norm, penalty, gradient, step)


def test_steps_where_rounding_would_hide_one():
    third = float(np.nextafter(3.0, 4.0))
    assert steps_to_zero(3.0, 2.0, 1.0, 1.0) == 3
    assert steps_to_zero(third, 2.0, 1.0, 1.0) == 4
    assert steps_to_zero(0.3, 0.1, 0.0, 1.0) == plain_steps(0.3, 0.1, 0.0, 1.0)
    assert steps_to_zero(0.0, 2.0, 1.0, 1.0) == 0
    assert isinstance(steps_to_zero(1.0, 1.0, 1.0, 1.0), Unreachable)
    many = steps_to_zero([1.0, 1.0], [2.0, 0.5], 1.0, 0.25)
    assert isinstance(many, Solutions)
    assert many.values[0] == 4
    assert many.reachable.tolist() == [True, False]


def test_real_proximal_steps_are_within_the_prediction():
    """A quadratic in two groups by plain proximal gradient: the gradient peak along the way gives the count."""
    rng = np.random.default_rng(0)
    target, weights, step = rng.normal(0, 1, 6), rng.normal(0, 1, 6), 0.3
    for penalty in (2.5, 3.0, 5.0):
        start, w, peak, taken = weights.copy(), weights.copy(), 0.0, 0
        while np.linalg.norm(w) > 0:
            gradient = 0.5 * (w - target)
            peak = max(peak, float(np.linalg.norm(gradient)))
            moved = w - step * gradient
            size = np.linalg.norm(moved)
            w = moved * max(1 - step * penalty / size, 0.0)
            taken += 1
        assert peak < penalty
        assert taken <= steps_to_zero(float(np.linalg.norm(start)), penalty, peak, step)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: penalty_threshold_worst_case(-1, 1, 1, 1, 1), "gradient_bound must be finite and >= 0, got -1.0"),
        (lambda: penalty_threshold_worst_case(1, 1, 1, 1, math.nan), "key_diameter must be finite and >= 0, got nan"),
        (lambda: penalty_threshold_worst_case(1, 1, 1, 1, 1, 2), "query_share must be in [0, 1], got 2.0"),
        (lambda: penalty_threshold_worst_case(1, 1, 1, 1, 1, 1, 0), "temperature must be finite and > 0, got 0.0"),
        (lambda: penalty_threshold_leakage_aware(1, 1, 1, 1, 1, leakage=2), "leakage must be in [0, 1], got 2.0"),
        (
            lambda: penalty_threshold_leakage_aware(1, 1, 1, 1, 1, leakage=0, of="all"),
            "of must be 'each' or 'mean', got 'all'",
        ),
        (
            lambda: penalty_threshold_mean_of_products(1, 1, 1, 1),
            "query_norms must be an array whose last axis holds the queries, got shape ()",
        ),
        (lambda: steps_to_zero(1, 1, 0, 0), "step must be finite and > 0, got 0.0"),
        (lambda: global_penalty_witness(math.nan, 1, [1]), "loss_localised must be a finite number, got nan"),
    ],
)
def test_bad_input_names_argument_value_and_what_is_allowed(call, message):
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value) == message
