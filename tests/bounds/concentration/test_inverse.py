"""What a target needs: the value returned meets it, a little less does not, and "no value" says why."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bounds.concentration.calculators import fidelity_floor, leakage_ceiling
from bounds.concentration.inverse import (
    anchors_for_fidelity,
    context_for_fidelity,
    margin_for_fidelity,
    temperature_for_fidelity,
)
from bounds.entropy.calculators import entropy_ceiling
from bounds.entropy.inverse import margin_for_entropy
from bounds.numbers.search import Solutions, Unreachable, at_ordinal, greatest, least, ordinal

fidelities = st.floats(1e-9, 1 - 1e-9)
temperatures = st.floats(1e-3, 1e3)
FORWARD = 4e-14  # rounding of a forward bound evaluated in float64; that inverses are safe exactly: test_safe_side.py
margins = st.floats(-30, 30)


@st.composite
def counts(draw, most=10**9):
    n = draw(st.integers(2, most))
    m = draw(st.integers(1, n - 1))
    return n, m, draw(st.integers(1, m))


def exact_scaled_margin(fidelity, n, m, r):
    """ln((n-m) F / (r (1-F))) in 60 digits."""
    with mpmath.workdps(60):
        f = mpmath.mpf(fidelity)
        return mpmath.log((n - m) * f / (r * (1 - f)))


def room(x, fidelity):
    """Forward rounding in x: a few ulp of x and of the sum, and one ulp of F near 1 over what is left of it."""
    return 4e-15 * (1 + abs(x)) + 4e-16 / (1 - fidelity)


@given(fidelities, counts(), temperatures)
def test_margin_for_fidelity_meets_the_target_and_little_less_does_not(fidelity, nmr, tau):
    n, m, r = nmr
    margin = margin_for_fidelity(fidelity, n, m, r, tau)
    assert fidelity_floor(margin, n, m, r, tau) >= fidelity * (1 - FORWARD)
    if fidelity > 0.5:
        assert leakage_ceiling(margin, n, m, r, tau) <= (1 - fidelity) * (1 + FORWARD)
    exact = float(exact_scaled_margin(fidelity, n, m, r))
    assert abs(margin / tau - exact) <= room(exact, fidelity)


def rows(rng, margin, n, m, r, count=50):
    """Random attention rows with at least that margin, some of them exactly that: shape (count, n)."""
    outside = -rng.exponential(2, (count, n - m)) * rng.integers(0, 2, (count, 1))
    extra = rng.exponential(1, (count, r)) * rng.integers(0, 2, (count, 1))
    anchors = outside.max(-1, keepdims=True) + margin + extra
    free = rng.normal(0, 4, (count, m - r)) * rng.integers(0, 2, (count, 1))
    logits = np.concatenate([anchors, free, outside], -1)
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


@given(st.floats(1e-3, 0.999), counts(60), st.integers(0, 2**32 - 1))
def test_rows_with_that_margin_have_the_fidelity(fidelity, nmr, seed):
    n, m, r = nmr
    attention = rows(np.random.default_rng(seed), margin_for_fidelity(fidelity, n, m, r), n, m, r)
    assert attention[:, :m].sum(-1).min() >= fidelity * (1 - 1e-13)


@given(counts(10**6), st.floats(0.001, 0.999), temperatures)
def test_margin_for_entropy_meets_the_target_and_its_neighbour_does_not(nmr, share, tau):
    n, m, r = nmr
    target = math.log(m) + share * math.log(n / m)
    margin = margin_for_entropy(target, n, m, r, tau)
    if isinstance(margin, Unreachable):  # so few outsiders that the target rounds to ln m
        assert target <= math.log(m) * (1 + 4e-16)
        return
    assert entropy_ceiling(margin, n, m, r, tau) <= target * (1 + FORWARD)
    if margin > 0:
        assert entropy_ceiling(np.nextafter(margin, 0), n, m, r, tau) > target * (1 - FORWARD)


@given(counts(50), st.floats(0.05, 0.95), st.integers(0, 2**32 - 1))
def test_rows_with_that_margin_have_the_entropy(nmr, share, seed):
    n, m, r = nmr
    target = math.log(m) + share * math.log(n / m)
    p = rows(np.random.default_rng(seed), margin_for_entropy(target, n, m, r), n, m, r)
    assert -(p * np.log(np.where(p > 0, p, 1))).sum(-1).max() <= target + 1e-13


def test_entropy_targets_at_the_ends():
    assert margin_for_entropy(math.nextafter(math.log(64), 9), 64, 16) == -math.inf
    assert margin_for_entropy(math.log(64), 64, 16) < 1e-7  # as a float64 it lies below ln 64
    assert margin_for_entropy(5.0, 64, 16) == -math.inf
    for target in (0.0, 1.0, math.nextafter(math.log(16), 0)):
        assert "ln(n_block)" in margin_for_entropy(target, 64, 16).reason


@given(fidelities, margins, counts())
def test_anchors_are_the_least_number(fidelity, x, nmr):
    n, m, _ = nmr
    anchors = anchors_for_fidelity(fidelity, x, n, m)
    if isinstance(anchors, Unreachable):
        assert x <= exact_scaled_margin(fidelity, n, m, m) + room(x, fidelity)
        return
    assert isinstance(anchors, int)
    assert 1 <= anchors <= m
    assert fidelity_floor(x, n, m, anchors) >= fidelity
    if anchors > 1:
        assert x <= exact_scaled_margin(fidelity, n, m, anchors - 1) + room(x, fidelity)


@given(fidelities, margins, counts(10**6))
def test_context_is_the_largest(fidelity, x, nmr):
    _, m, r = nmr
    n = context_for_fidelity(fidelity, x, m, r)
    if isinstance(n, Unreachable):
        assert x <= exact_scaled_margin(fidelity, m + 1, m, r) + room(x, fidelity)
        return
    assert isinstance(n, int)
    assert n > m
    assert fidelity_floor(x, n, m, r) >= fidelity
    if n < 2**53:
        assert x <= exact_scaled_margin(fidelity, n + 1, m, r) + room(x, fidelity)


def test_context_is_exact_at_whole_numbers_and_capped():
    assert context_for_fidelity(0.5, 0.0, 8) == 16
    assert context_for_fidelity(0.9, 1e4, 8) == 2**53
    assert isinstance(context_for_fidelity(0.99, -3.0, 1), Unreachable)


@given(fidelities, st.floats(0.01, 100), counts())
def test_temperature_meets_the_target_and_a_little_further_does_not(fidelity, size, nmr):
    n, m, r = nmr
    needed = float(exact_scaled_margin(fidelity, n, m, r))
    if abs(needed) < 1e-6:
        return
    away = 1 + 2 * room(needed, fidelity) / abs(needed)
    hot = temperature_for_fidelity(fidelity, size, n, m, r)
    cold = temperature_for_fidelity(fidelity, -size, n, m, r)
    if needed > 0:
        assert fidelity_floor(size, n, m, r, hot) >= fidelity * (1 - FORWARD)
        assert exact_scaled_margin(fidelity, n, m, r) > size / (hot * away)
        assert isinstance(cold, Unreachable)
    else:
        assert hot == math.inf
        assert fidelity_floor(-size, n, m, r, cold) >= fidelity * (1 - FORWARD)  # the least: it must rise
        assert exact_scaled_margin(fidelity, n, m, r) > -size / (cold / away)


def test_temperature_when_nothing_is_asked_or_nothing_helps():
    assert temperature_for_fidelity(0.25, 0.0, 64, 16) == math.inf  # a = 1: the uniform row has it
    assert isinstance(temperature_for_fidelity(0.25, -1.0, 64, 16), Unreachable)  # approached, never reached
    assert isinstance(temperature_for_fidelity(0.9, 0.0, 64, 16), Unreachable)


@given(fidelities, fidelities, counts(10**6))
def test_margin_grows_with_the_target_and_falls_with_anchors(f1, f2, nmr):
    n, m, r = nmr
    low, high = sorted((f1, f2))
    assert margin_for_fidelity(low, n, m, r) <= margin_for_fidelity(high, n, m, r)
    assert margin_for_fidelity(low, n, m, m) <= margin_for_fidelity(low, n, m, r)
    assert margin_for_fidelity(low, n, m, r) <= margin_for_fidelity(low, n + 1, m, r)


@given(st.floats(0, 30), counts(1000))
def test_round_trip_from_a_margin(x, nmr):
    n, m, r = nmr
    fidelity = fidelity_floor(x, n, m, r)
    assert margin_for_fidelity(fidelity, n, m, r) == pytest.approx(x, abs=2 * room(x, fidelity)) or fidelity == 1


def test_arrays_give_values_a_mask_and_reasons():
    found = anchors_for_fidelity([0.5, 0.9], [[0.0], [4.0]], 64, 16)
    assert isinstance(found, Solutions)
    assert found.values.shape == (2, 2)
    np.testing.assert_array_equal(found.reachable, [[False, False], [True, True]])
    assert np.isnan(found.values[0]).all()
    assert all(found.reasons[0])
    assert not any(found.reasons[1])
    assert found.values[1, 1] == anchors_for_fidelity(0.9, 4.0, 64, 16)
    grid = np.linspace(0.01, 0.99, 50)
    margins = margin_for_fidelity(grid, 64, 16, 3, 2.0).values
    assert margins.tolist() == [margin_for_fidelity(f, 64, 16, 3, 2.0) for f in grid]
    targets = np.linspace(2.8, 4.1, 20)
    entropies = margin_for_entropy(targets, 64, 16).values
    assert entropies.tolist() == [margin_for_entropy(t, 64, 16) for t in targets]


@pytest.mark.parametrize("fidelity", [5e-324, 1e-300, 1e-16, 0.5, 1 - 2**-53])
@pytest.mark.parametrize("tau", [1e-300, 1.0, 1e300])
def test_extreme_values_end_in_a_number_or_a_reason(fidelity, tau):
    for n, m, r in ((2, 1, 1), (10**9, 1, 1), (10**9, 10**9 - 1, 1), (2**53, 2**52, 2**52)):
        answers = (
            margin_for_fidelity(fidelity, n, m, r, tau),
            margin_for_entropy(math.log(n) * 0.999999, n, m, r, tau),
            *(anchors_for_fidelity(fidelity, margin, n, m, tau) for margin in (-1e4, 0, 1e4, 1e308)),
            *(context_for_fidelity(fidelity, margin, m, r, tau) for margin in (-1e4, 0, 1e4, 1e308)),
            *(temperature_for_fidelity(fidelity, margin, n, m, r) for margin in (-1e4, -5e-324, 0, 5e-324, 1e308)),
        )
        for value in answers:
            assert isinstance(value, Unreachable) or not math.isnan(value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: margin_for_fidelity(1.0, 8, 2), "fidelity must be in (0, 1), got 1.0"),
        (lambda: margin_for_fidelity(0.0, 8, 2), "fidelity must be in (0, 1), got 0.0"),
        (lambda: margin_for_fidelity(math.nan, 8, 2), "fidelity must be in (0, 1), got nan"),
        (lambda: margin_for_fidelity(0.9, 8, 8), "n_block must be in [1, n_keys - 1], got 8 with n_keys=8"),
        (lambda: margin_for_entropy(-1.0, 8, 2), "entropy must be finite and >= 0, got -1.0"),
        (lambda: margin_for_entropy(1.0, 8, 2, temperature=0), "temperature must be finite and > 0, got 0.0"),
        (lambda: anchors_for_fidelity(0.9, math.inf, 8, 2), "margin must be a finite number, got inf"),
        (lambda: context_for_fidelity(0.9, 1.0, 2, 3), "n_anchors must be in [1, n_block], got 3 with n_block=2"),
        (lambda: temperature_for_fidelity(2, 1.0, 8, 2), "fidelity must be in (0, 1), got 2.0"),
    ],
)
def test_bad_input_names_argument_value_and_what_is_allowed(call, message):
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value) == message


@given(st.integers(-1000, 1000), st.integers(-1000, 1000), st.integers(0, 500), st.integers(-2000, 2000))
def test_search_finds_the_edge_of_a_condition(edge, low, width, guess):
    high = low + width
    for found, expected in (
        (least(lambda o: o >= edge, np.array(guess), np.array(low), np.array(high)), max(low, edge)),
        (greatest(lambda o: o <= edge, np.array(guess), np.array(low), np.array(high)), min(high, edge)),
    ):
        place, reachable = found
        assert reachable == (low <= expected <= high)
        assert not reachable or place == expected


@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_ordinals_keep_order_and_come_back(a, b):
    assert at_ordinal(ordinal(a)) == a
    assert (ordinal(a) < ordinal(b)) == (a < b)
    assert at_ordinal(ordinal(1.0) + 1) == np.nextafter(1.0, 2.0)
