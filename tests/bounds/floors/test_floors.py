"""What a range cannot reach: exact over whole numbers of keys, against brute force."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bounds import (
    entropy_ceiling,
    entropy_floor,
    entropy_floor_with_margin,
    fidelity_ceiling,
    fidelity_floor,
    specht_floor,
)
from bounds.floors import calculators, exact
from bounds.floors.calculators import best_upper_keys


def two_level(span, n, k):
    """Entropy with k keys at `span` and the others at 0, to 60 digits."""
    with mpmath.workdps(60):
        z = k * mpmath.exp(span) + n - k
        return mpmath.log(z) - span * k * mpmath.exp(span) / z


@pytest.mark.theorem("entropy_floor")
@pytest.mark.parametrize("n", [2, 3, 5, 17, 64, 201])
@pytest.mark.parametrize("span", [0.0, 1e-6, 0.1, 1.0, 2.5, 6.0, 20.0, 100.0])
def test_exact_over_whole_numbers_of_keys(n, span):
    best = min(two_level(mpmath.mpf(span), n, k) for k in range(1, n))
    assert entropy_floor(span, n) == pytest.approx(float(best), rel=1e-15 * 4)


@pytest.mark.parametrize("span", [1e-3, 0.7, 3.0, 8.0, 15.0, 19.0, 25.0])
def test_a_billion_keys(span):
    """Unimodal in k, so a wide window around the place, and the ends, stand for all."""
    n, place = 10**9, int(best_upper_keys(span, 10**9))
    near = {k for k in (1, 2, n // 2, n - 1, *range(place - 50, place + 51)) if 1 <= k < n}
    best = min(two_level(mpmath.mpf(span), n, k) for k in near)
    assert entropy_floor(span, n) == pytest.approx(float(best), rel=1e-15 * 4)


@given(st.integers(2, 30), st.integers(1, 29), st.floats(0.0, 30.0), st.floats(0.1, 5), st.data())
def test_floors_hold_on_random_rows(n, m, span, tau, data):
    m = min(m, n - 1)
    logits = np.array(data.draw(st.lists(st.floats(0, 1), min_size=n, max_size=n))) * span
    weights = np.exp((logits - logits.max()) / tau)
    p = weights / weights.sum()
    entropy = -sum(v * math.log(v) for v in p if v > 0)
    reach = np.ptp(logits)
    assert entropy >= entropy_floor(reach, n, tau) - 1e-12
    assert entropy >= specht_floor(reach, n, tau) - 1e-12
    assert p[:m].sum() <= fidelity_ceiling(reach, n, m, tau) * (1 + 1e-12)


@pytest.mark.theorem("specht_floor")
@given(st.floats(0, 1e4), st.integers(2, 10**9))
def test_specht_is_never_above_the_exact_floor(span, n):
    assert specht_floor(span, n) <= entropy_floor(span, n) + 1e-13 * max(math.log(n), span)


@given(st.floats(0, 1e4), st.floats(0, 5), st.integers(2, 10**9))
def test_monotone(span, more, n):
    assert entropy_floor(span + more, n) <= entropy_floor(span, n) * (1 + 1e-15)
    assert fidelity_ceiling(span + more, n, n - 1) >= fidelity_ceiling(span, n, n - 1) * (1 - 1e-15)
    assert entropy_floor(span, n + 1) >= entropy_floor(span, n) * (1 - 4e-15)


@given(st.floats(0, 300), st.integers(2, 10**6), st.floats(0, 1))
def test_floor_and_ceiling_meet_at_the_margin_that_is_the_range(span, n, share):
    m = 1 + int(share * (n - 2))
    assert fidelity_ceiling(span, n, m) == pytest.approx(fidelity_floor(span, n, m), rel=1e-14)
    assert entropy_floor(span, n) <= entropy_ceiling(span, n, m) * (1 + 1e-14)


def test_edges():
    assert entropy_floor(0.0, 1000) == pytest.approx(math.log(1000), rel=1e-15)
    assert specht_floor(0.0, 1000) == pytest.approx(math.log(1000), rel=1e-15)
    assert specht_floor(50.0, 2) < 0
    assert entropy_floor(1e308, 10**9) == 0
    assert entropy_floor(math.inf, 10**9) == 0
    assert fidelity_ceiling(math.inf, 9, 2) == 1
    assert fidelity_ceiling(0.0, 8, 2) == 0.25
    assert entropy_floor(40.0, 2) == pytest.approx(41 * math.exp(-40), rel=1e-14)
    assert entropy_floor([1.0, 2.0], [[4], [8], [16]]).shape == (3, 2)
    assert type(entropy_floor(1, 4)) is float
    assert entropy_floor(3.0, 1) == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: entropy_floor(-1.0, 8), "logit_range must be a number >= 0, got -1.0"),
        (lambda: entropy_floor(math.nan, 8), "logit_range must be a number >= 0, got nan"),
        (lambda: entropy_floor(1.0, 0), "n_keys must be a whole number in [1, 2^53], got 0"),
        (lambda: specht_floor(1.0, 8, 0.0), "temperature must be finite and > 0, got 0.0"),
        (lambda: fidelity_ceiling(1.0, 8, 8), "n_block must be in [1, n_keys - 1], got 8 with n_keys=8"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value) == message


def with_margin(x, span, n, m, r):
    """The least entropy over all rows of the theorem, each at 800 digits: 1 + e^-746 takes 324."""
    with mpmath.workdps(800):
        x, span = mpmath.mpf(x), mpmath.mpf(span)
        free = range(m - r + 1)
        rows = [((f + r - i, span), (i, x), (n - f - r, 0)) for f in free for i in range(r + 1)]
        rows += [((f + r, span), (j, span - x), (n - f - r - j, 0)) for f in free for j in range(n - m + 1)]
        entropies = []
        for row in rows:
            z = sum(count * mpmath.exp(height) for count, height in row)
            entropies.append(mpmath.log(z) - sum(c * h * mpmath.exp(h) for c, h in row) / z)
        return min(entropies)


@pytest.mark.parametrize(
    ("x", "span", "n", "m", "r"),
    [(0.0, 746.0, 10, 3, 3), (0.5, 1e4, 7, 4, 2), (2.0, 800.0, 6, 2, 1), (0.1, 2e4, 9, 3, 1), (0.0, 1e9, 5, 1, 1)],
)
def test_the_floor_with_margin_is_a_number_at_any_range(x, span, n, m, r):
    """A mask of -1e4 is a range of 1e4: the floor is then close to 0, or that of the anchors tied."""
    truth = with_margin(x, span, n, m, r)
    assert entropy_floor_with_margin(x, span, n, m, r) == pytest.approx(float(truth), rel=1e-13, abs=1e-300)
    pytest.importorskip("flint")
    found = entropy_floor_with_margin(x, span, n, m, r, rigorous=True)
    assert found.lower <= truth <= found.upper


@pytest.mark.parametrize(
    ("margin", "span", "tau", "truth"),
    [
        (1e307, 1e308, 1e-6, 0.0),  # both overflow in units of the temperature, and one anchor lies above the others
        (1e308, 1e308, 1e-6, math.log(20)),
        (1.0, math.inf, 1.0, 0.0),
        (1e10, 1e10 + 0.5, 1.0, float(two_level(mpmath.mpf(0.5), 20, 8))),  # D - x cancels
        (1e-300, 1e300, 1.0, 0.0),
    ],
)
def test_the_floor_with_margin_at_the_ends_of_float64(margin, span, tau, truth):
    assert entropy_floor_with_margin(margin, span, 100, 40, 20, tau) == pytest.approx(truth, rel=1e-13, abs=0)
    pytest.importorskip("flint")
    lower, _, upper = entropy_floor_with_margin(margin, span, 100, 40, 20, tau, rigorous=True)
    assert 0 <= lower <= upper <= lower * (1 + 1e-15) + 5e-324


def test_an_enclosure_of_the_floor_with_margin_takes_no_longer_for_more_keys(monkeypatch):
    pytest.importorskip("flint")
    counted = []
    form = exact.form
    monkeypatch.setattr(exact, "form", lambda *a: counted.append(a[0]) or form(*a))
    for n, m, r in ((10, 5, 2), (200, 100, 60), (10**9, 10**8, 10**7)):
        counted.clear()
        lower, estimate, upper = entropy_floor_with_margin(1.0, 5.0, n, m, r, rigorous=True)
        assert 0 < lower <= estimate <= upper <= lower * (1 + 1e-14)
        assert len(counted) < 40


def test_an_enclosure_of_the_floor_finds_the_best_number_of_keys_itself(monkeypatch):
    """Where float64 places it wrongly the enclosure is still of the least."""
    pytest.importorskip("flint")
    monkeypatch.setattr(calculators, "best_upper_keys", lambda span, n: np.asarray(1.0))
    monkeypatch.setattr(exact, "best_upper_keys", lambda span, n: 1.0, raising=False)
    for span, n in ((1e-6, 201), (0.5, 64), (3.0, 64), (1e-300, 10)):
        best = min(two_level(mpmath.mpf(span), n, k) for k in range(1, n))
        found = entropy_floor(span, n, rigorous=True)
        assert found.lower <= best <= found.upper
