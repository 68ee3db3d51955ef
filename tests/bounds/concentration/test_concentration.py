"""The bounds hold on any logits, are monotone, survive extreme values, and refuse what makes no sense."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bounds
from bounds import (
    entropy_ceiling,
    entropy_envelope,
    entropy_split,
    fidelity_floor,
    frontier,
    leakage_ceiling,
    log_leakage_ceiling,
)

ROOM = 1e-12  # relative; the exact room of a row is derived in the theorems, and tested with them


@st.composite
def rows(draw):
    """Logits with the block first, its r anchors first of all, and the row's own statistics by plain NumPy."""
    n = draw(st.integers(2, 12))
    m = draw(st.integers(1, n - 1))
    r = draw(st.integers(1, m))
    tau = draw(st.floats(0.05, 20))
    scale = draw(st.sampled_from([0.01, 1.0, 5.0, 30.0]))
    logits = np.array(draw(st.lists(st.floats(-1, 1), min_size=n, max_size=n))) * scale
    logits[:m] = np.sort(logits[:m])[::-1]
    weights = np.exp((logits - logits.max()) / tau)
    p = weights / weights.sum()
    entropy = -sum(v * math.log(v) for v in p if v > 0)
    margin = logits[:r].min() - logits[m:].max()
    return {
        "keys": {"n_keys": n, "n_block": m, "n_anchors": r},
        "tau": tau,
        "margin": margin,
        "range": np.ptp(logits),
        "leakage": min(p[m:].sum(), 1.0),  # a sum of shares may round to 1 + 2e-16
        "entropy": entropy,
    }


@given(rows())
def test_every_bound_holds_on_random_rows(row):
    known = {**row["keys"], "temperature": row["tau"]}
    assert row["leakage"] <= leakage_ceiling(row["margin"], **known) * (1 + ROOM)
    ranged = leakage_ceiling(row["margin"], **known, logit_range=max(row["range"], abs(row["margin"])))
    assert row["leakage"] <= ranged * (1 + ROOM)
    assert ranged <= leakage_ceiling(row["margin"], **known) * (1 + ROOM)
    assert 1 - row["leakage"] >= fidelity_floor(row["margin"], **known) * (1 - ROOM) - ROOM
    assert row["entropy"] <= entropy_ceiling(row["margin"], **known) + ROOM
    assert row["entropy"] <= entropy_envelope(row["margin"], **known) + ROOM
    assert row["entropy"] <= entropy_split(row["leakage"], known["n_keys"], known["n_block"]) + ROOM
    at = min(row["leakage"], leakage_ceiling(row["margin"], **known))
    assert row["entropy"] <= frontier(at, row["margin"], **known) + 1e-9  # steep where the free mass vanishes


margins = st.floats(-50, 1e4)
sizes = st.tuples(st.integers(1, 10**6), st.integers(0, 10**6), st.integers(1, 10**6)).map(
    lambda t: (t[0] + t[1] + t[2], t[0] + t[1], t[0])
)


@given(margins, st.floats(0, 10), sizes)
def test_monotone_in_the_margin(x, more, size):
    for function, sign in (
        (leakage_ceiling, -1),
        (log_leakage_ceiling, -1),
        (fidelity_floor, 1),
        (entropy_ceiling, -1),
        (entropy_envelope, -1),
    ):
        low, high = function(x, *size), function(x + more, *size)
        assert sign * (high - low) >= -4 * np.spacing(max(abs(low), abs(high)))


@pytest.mark.theorem("entropy_ceiling")
@given(st.floats(0, 1e3), sizes, st.integers(1, 1000))
def test_monotone_in_the_counts(x, size, more):
    n, m, r = size
    room = 1 + 1e-15 * 8
    assert leakage_ceiling(x, n + more, m, r) * room >= leakage_ceiling(x, n, m, r)
    assert entropy_ceiling(x, n + more, m, r) * room >= entropy_ceiling(x, n, m, r)
    assert entropy_ceiling(x, n + more, m + more, r) * room >= entropy_ceiling(x, n + more, m, r)
    assert leakage_ceiling(x, n, m, m) <= leakage_ceiling(x, n, m, r) * room
    assert entropy_ceiling(x, n, m, m) <= entropy_ceiling(x, n, m, r) * room


@given(margins, sizes)
def test_exact_maximum_lies_below_its_envelope_and_above_ln_m(x, size):
    exact = entropy_ceiling(x, *size)
    assert math.log(size[1]) * (1 - 1e-15) <= exact <= entropy_envelope(x, *size) * (1 + 4e-16) + 1e-300
    if x <= 0:
        assert exact == pytest.approx(math.log(size[0]), rel=1e-15)


@given(margins, sizes)
def test_leakage_and_fidelity_are_complements(x, size):
    leakage, fidelity = leakage_ceiling(x, *size), fidelity_floor(x, *size)
    assert leakage + fidelity == pytest.approx(1, rel=1e-15)
    if leakage > 1e-300:
        assert math.exp(log_leakage_ceiling(x, *size)) == pytest.approx(leakage, rel=1e-12)


@given(st.floats(0, 1), st.floats(-20, 60), sizes)
def test_frontier_is_below_the_split_and_empty_beyond_the_ceiling(eps, x, size):
    n, m, r = size
    ceiling = leakage_ceiling(x, n, m, r)
    value = frontier(eps, x, n, m, r)
    if eps > ceiling * (1 + 1e-14):
        assert value == -math.inf
    elif eps <= ceiling:
        assert value <= entropy_split(eps, n, m) * (1 + 1e-15) + 1e-300
        assert value <= entropy_ceiling(x, n, m, r) + 1e-9
    assert frontier(leakage_ceiling(x, n, m, m) * (1 - 1e-12), x, n, m, r) == pytest.approx(
        entropy_split(leakage_ceiling(x, n, m, m) * (1 - 1e-12), n, m), rel=1e-12, abs=1e-300
    )


@pytest.mark.theorem("frontier")
def test_the_frontier_touches_the_entropy_ceiling_at_the_maximisers_leakage():
    n, m, r, x = 40, 10, 3, 2.5
    u = (n - m) * math.exp(-x)
    g = u / (r + u)
    weights = np.array([r * math.exp(x), (m - r) * math.exp(x * (1 - g)), n - m])
    eps = weights[2] / weights.sum()
    assert frontier(eps, x, n, m, r) == pytest.approx(entropy_ceiling(x, n, m, r), rel=1e-14)
    assert max(frontier(np.linspace(0, leakage_ceiling(x, n, m, r), 2000), x, n, m, r)) <= entropy_ceiling(x, n, m, r)


@pytest.mark.theorem("entropy_envelope")
def test_the_envelope_for_all_anchors_fails_for_few():
    """m = 100, r = 1, x = 10, one key outside: the excess over ln m exceeds rho (1 + x) e^-x."""
    n, m, x = 101, 100, 10.0
    all_anchors_form = (n - m) / m * (1 + x) * math.exp(-x)
    assert entropy_ceiling(x, n, m, 1) - math.log(m) > all_anchors_form


@pytest.mark.parametrize("x", [1e4, 1e300, math.inf])
def test_huge_margins_do_not_overflow(x):
    assert leakage_ceiling(x, 10**9, 5, 2) == 0
    assert fidelity_floor(x, 10**9, 5, 2) == 1
    assert entropy_ceiling(x, 10**9, 5, 2) == pytest.approx(math.log(5), rel=1e-15)
    assert entropy_envelope(x, 10**9, 5, 2) == pytest.approx(math.log(5), rel=1e-15)
    assert log_leakage_ceiling(x, 10**9, 5, 2) < -1e3
    assert frontier(0.0, x, 10**9, 5, 2) == pytest.approx(math.log(5), rel=1e-15)


@pytest.mark.parametrize("x", [-1e4, -1e300, -math.inf])
def test_no_margin_at_all_guarantees_nothing(x):
    assert leakage_ceiling(x, 9, 5, 2) == 1
    assert fidelity_floor(x, 9, 5, 2) == 0
    assert log_leakage_ceiling(x, 9, 5, 2) == 0
    assert entropy_ceiling(x, 9, 5, 2) == pytest.approx(math.log(9), rel=1e-15)


def test_tiny_leakage_is_not_lost():
    assert leakage_ceiling(40.0, 9, 8) == pytest.approx(math.exp(-40) / 8, rel=1e-14)
    assert log_leakage_ceiling(1e4, 9, 8) == pytest.approx(-1e4 - math.log(8), rel=1e-15)
    assert entropy_ceiling(40.0, 2, 1) == pytest.approx(41 * math.exp(-40), rel=1e-14)


def test_broadcasting_and_scalar_types():
    table = leakage_ceiling(np.linspace(0, 5, 7)[:, None], [8, 64, 512], 4, temperature=0.5)
    assert table.shape == (7, 3)
    assert table[3, 1] == leakage_ceiling(2.5, 64, 4, temperature=0.5)
    assert type(leakage_ceiling(1, 8, 4)) is float
    assert leakage_ceiling([1.0], 8, 4).shape == (1,)
    assert leakage_ceiling(3.0, 8, 4, temperature=0.5) == leakage_ceiling(6.0, 8, 4)
    assert leakage_ceiling(3.0, 8, 4) == leakage_ceiling(3.0, 8, 4, 4)
    assert leakage_ceiling(np.zeros(0), 8, 4).shape == (0,)


FUNCTIONS = (leakage_ceiling, log_leakage_ceiling, fidelity_floor, entropy_ceiling, entropy_envelope)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"margin": math.nan}, "margin must be a number, got nan"),
        ({"margin": "wide"}, "margin must be a number, got 'wide'"),
        ({"n_block": 8}, "n_block must be in [1, n_keys - 1], got 8 with n_keys=8"),
        ({"n_block": 0}, "n_block must be a whole number in [1, 2^53], got 0"),
        ({"n_block": 2.5}, "n_block must be a whole number in [1, 2^53], got 2.5"),
        ({"n_anchors": 5}, "n_anchors must be in [1, n_block], got 5 with n_block=4"),
        ({"temperature": 0.0}, "temperature must be finite and > 0, got 0.0"),
        ({"temperature": -1.0}, "temperature must be finite and > 0, got -1.0"),
        ({"temperature": [1.0, math.inf]}, "temperature must be finite and > 0, got inf"),
    ],
)
def test_bad_arguments_are_named(function, arguments, message):
    with pytest.raises(ValueError) as caught:
        function(**{"margin": 1.0, "n_keys": 8, "n_block": 4, **arguments})
    assert str(caught.value) == message


def test_other_bad_arguments():
    with pytest.raises(ValueError, match=r"logit_range/temperature must be at least \|margin\|, got 1.0 .*=2.0"):
        leakage_ceiling(2.0, 8, 4, logit_range=1.0)
    with pytest.raises(ValueError, match=r"leakage must be in \[0, 1\], got 1.5"):
        entropy_split(1.5, 8, 4)
    with pytest.raises(ValueError, match=r"leakage must be in \[0, 1\], got nan"):
        frontier(math.nan, 1.0, 8, 4)
    with pytest.raises(ValueError, match="broadcast"):
        leakage_ceiling([1.0, 2.0], [8, 9, 10], 4)


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute 'leakage_floor'"):
        _ = bounds.leakage_floor
    assert next(iter(bounds.THEOREMS)) == "leakage_ceiling"
