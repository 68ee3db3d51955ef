"""What samples say: coverage by simulation, least counts, ranks against brute force, the audit, dials of rows."""

from __future__ import annotations

import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bounds.dial.closed_forms import kappa_leakage
from bounds.numbers.search import Unreachable
from bounds.samples import (
    EXACT,
    ROUNDING,
    _doubt,
    _trusted,
    audit,
    least_count,
    most_count_met,
    most_misses,
    rank_confidence,
    row_kappa,
    sampled_kappa,
    tolerance_rank,
)

SHARES = st.floats(0.01, 0.99)


def tail(rank: int, count: int, share: float) -> Fraction:
    """P(Binomial(N, p) >= r), summed in rational numbers."""
    p = Fraction(share)
    return sum((math.comb(count, i) * p**i * (1 - p) ** (count - i) for i in range(rank, count + 1)), Fraction(0))


def brute_rank(count: int, share: float, confidence: float) -> int | None:
    allowed = 1 - Fraction(confidence)
    return next((r for r in range(1, count + 1) if tail(r, count, share) <= allowed), None)


SIMULATED = 20_000
DRAWS = {  # kappas of documents: their distribution function at a value is known
    "continuous": (lambda u: -np.log1p(-u), lambda x: -np.expm1(-x)),
    "many need nothing": (lambda u: np.maximum(u - 0.9, 0), lambda x: np.minimum(x + 0.9, 1)),
    "whole numbers": (lambda u: np.floor(40 * u), lambda x: np.minimum((x + 1) / 40, 1)),
    "some need a mask": (lambda u: np.where(u < 0.97, u, np.inf), lambda x: np.where(x < 0.97, x, 1.0)),
}


@pytest.mark.parametrize("kind", DRAWS)
@pytest.mark.parametrize("count", [59, 93, 200])
def test_coverage_lies_between_what_was_asked_and_what_the_order_statistic_gives(kind, count):
    draw, distribution = DRAWS[kind]
    samples = draw(np.random.default_rng(count).random((SIMULATED, count)))
    rank = tolerance_rank(count, 0.95, 0.95)
    found = sampled_kappa(samples[0], 0.95, 0.95)
    assert found.kappa == np.sort(samples[0])[rank - 1]
    covered = (distribution(np.sort(samples, -1)[:, rank - 1]) >= 0.95).mean()
    error = 4 * math.sqrt(found.achieved * (1 - found.achieved) / SIMULATED)  # four standard errors
    assert found.achieved >= 0.95
    assert covered >= found.achieved - error
    if kind == "continuous":  # without ties it is that, not more
        assert covered <= found.achieved + error
        lower = (distribution(np.sort(samples, -1)[:, rank - 2]) >= 0.95).mean()
        assert lower < 0.95  # the rank below would not do


def test_the_least_count_is_refused_below_and_accepted_at():
    for share, confidence, count in ((0.95, 0.95, 59), (0.99, 0.95, 299), (0.9, 0.99, 44), (0.5, 0.75, 2)):
        assert least_count(share, confidence) == count
        refused = sampled_kappa(np.ones(count - 1), share, confidence)
        assert isinstance(refused, Unreachable)
        assert f"at least {count} are needed" in refused.reason
        found = sampled_kappa(np.arange(count), share, confidence)
        assert (found.kappa, found.rank, found.count) == (count - 1, count, count)
    assert isinstance(sampled_kappa([], 0.95, 0.95), Unreachable)


@given(count=st.integers(1, 60), share=SHARES, confidence=SHARES)
def test_ranks_are_those_of_brute_force(count, share, confidence):
    expected = brute_rank(count, share, confidence)
    found = tolerance_rank(count, share, confidence)
    assert found == expected if expected is not None else isinstance(found, Unreachable)
    assert (count >= least_count(share, confidence)) == (expected is not None)


@pytest.mark.parametrize(("count", "share", "confidence"), [(4, 0.5, 0.9375), (7, 0.5, 0.5), (10, 0.25, 0.9990234375)])
def test_an_equality_in_rational_numbers_counts_as_met(count, share, confidence):
    assert tolerance_rank(count, share, confidence) == brute_rank(count, share, confidence)


def test_what_rounding_leaves_open_beyond_the_counts_decided_exactly_is_not_trusted():
    count, share = EXACT + 1, 0.999
    edge = 1 - _doubt(count, count, share)
    assert not _trusted(count, count, share, edge)
    assert _trusted(count, count, share, edge * (1 - 1e-9))


def test_the_rounding_allowed_for_is_more_than_there_is():
    for count in (30, 400, 2000):
        for share in (0.5, 0.95, 0.999):
            for rank in {count, max(1, int(count * share)), max(1, int(count * share) + 2)}:
                if rank <= count and (exact := float(tail(rank, count, share))) > 1e-200:
                    assert _doubt(rank, count, share) == pytest.approx(exact, rel=ROUNDING / 4, abs=0)


@given(count=st.integers(1, 400), share=SHARES, confidence=SHARES, other=SHARES, more=st.integers(1, 100))
def test_more_asked_is_never_less_dial(count, share, confidence, other, more):
    """Ranks rise with share, confidence and count; so do least counts; confidences fall with share and count."""

    def rank(count, share, confidence):
        found = tolerance_rank(count, share, confidence)
        return count + 1 if isinstance(found, Unreachable) else found

    low, high = sorted((share, other))
    assert rank(count, low, confidence) <= rank(count, high, confidence)
    assert least_count(low, confidence) <= least_count(high, confidence)
    low, high = sorted((confidence, other))
    assert rank(count, share, low) <= rank(count, share, high)
    assert least_count(share, low) <= least_count(share, high)
    if isinstance(tolerance_rank(count, share, confidence), int):
        assert rank(count, share, confidence) <= rank(count + more, share, confidence)
    assert rank_confidence(count, count, share) <= rank_confidence(count + more, count + more, share)
    assert rank_confidence(count, count + more, share) <= rank_confidence(count, count, share)


@given(count=st.integers(1, 200), confidence=SHARES, data=st.data())
def test_the_audit_is_on_the_safe_side_and_not_far_on_it(count, confidence, data):
    misses = data.draw(st.integers(0, count))
    most = most_misses(misses, count, confidence)
    assert misses / count <= most or confidence < 0.6
    if misses == count:
        assert most == 1
        return
    allowed = 1 - Fraction(confidence)
    assert 1 - tail(misses + 1, count, most) <= allowed
    assert 1 - tail(misses + 1, count, most * (1 - 1e-8)) > allowed
    assert most < most_misses(misses + 1, count, confidence)


def test_an_audit_counts_and_says_what_it_supports():
    missed = np.zeros(93, dtype=bool)
    assert audit(missed, 0.95).supports(0.95)
    missed[:2] = True
    found = audit(missed, 0.95)
    assert (found.misses, found.count) == (2, 93)
    assert not found.supports(0.95)
    assert most_count_met(93, 0.95, 0.95) == 1
    assert "at least 59 do" in most_count_met(58, 0.95, 0.95).reason
    assert most_misses(0, 59, 0.95) == pytest.approx(1 - 0.05 ** (1 / 59))


def test_an_audit_holds_as_often_as_it_says():
    random = np.random.default_rng(0)
    for share in (0.02, 0.1):
        misses = random.binomial(100, share, 20_000)
        bounds = np.array([most_misses(x, 100, 0.95) for x in range(101)])
        held = (bounds[misses] >= share).mean()
        assert held >= 0.95 - 4 * math.sqrt(0.05 * 0.95 / 20_000)


@given(odds=st.floats(-600, 600), target=st.floats(0.01, 1 - 1e-9))
def test_the_dial_of_a_row_meets_its_target_and_not_much_less_would(odds, target):
    fidelity, leakage = 1 / (1 + math.exp(odds)), 1 / (1 + math.exp(-odds))
    log_leakage = -math.log1p(math.exp(-odds)) if odds > -30 else odds - math.log1p(math.exp(odds))
    kappa = float(row_kappa(log_leakage, fidelity, target))
    left = float(kappa_leakage(leakage, fidelity, kappa))
    assert left <= (1 - target) * (1 + 1e-12)
    if kappa > 0:
        wanted = odds + math.log(target) - math.log1p(-target)
        assert kappa == pytest.approx(wanted, rel=1e-12, abs=1e-12)


@given(leakage=st.floats(-700, -1e-9), fidelity=st.floats(1e-300, 1.0), target=st.floats(0.01, 1 - 1e-9))
def test_the_dial_of_a_row_is_never_below_the_odds_law_in_fifty_digits(leakage, fidelity, target):
    with mpmath.workdps(50):
        goal = mpmath.mpf(target)
        exact = mpmath.mpf(leakage) - mpmath.log(mpmath.mpf(fidelity)) + mpmath.log(goal / (1 - goal))
        found = float(row_kappa(leakage, fidelity, target))
        assert max(exact, 0) <= found <= max(exact, 0) + mpmath.mpf("1e-11")


def test_rows_at_the_ends():
    assert row_kappa(-math.inf, 0.0, 0.5) == math.inf  # not a row, and on the safe side
    assert row_kappa(-math.inf, 1.0, 0.99) == 0  # nothing leaks
    assert row_kappa(0.0, 0.0, 0.5) == math.inf  # nothing is left of its block in float64
    assert row_kappa(-1e-300, 1e-300, 0.5) == pytest.approx(300 * math.log(10))
    found = sampled_kappa([math.inf] * 59, 0.95, 0.95)
    assert found.kappa == math.inf


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: least_count(1.0, 0.9), r"share must be in \(0, 1\), got 1.0"),
        (lambda: least_count(0.9, 0.0), r"confidence must be in \(0, 1\), got 0.0"),
        (lambda: least_count(1 - 1e-15, 0.99), r"share must be such that 2\^31"),
        (lambda: tolerance_rank(2.5, 0.9, 0.9), r"count must be a whole number in \[0, 2\^31\], got 2.5"),
        (lambda: rank_confidence(5, 4, 0.9), r"rank must be in \[1, count\], got 5 with count=4"),
        (lambda: sampled_kappa([1.0, math.nan], 0.5, 0.5), "needed must be >= 0"),
        (lambda: sampled_kappa([[1.0]], 0.5, 0.5), r"needed must be one kappa a document, got shape \(1, 1\)"),
        (lambda: most_misses(5, 4, 0.9), r"misses must be in \[0, count\], got 5 with count=4"),
        (lambda: audit([0.0], 0.9), "missed must be one bool a document, got float64"),
        (lambda: row_kappa(0.1, 0.5, 0.5), "log_leakage must be <= 0, got 0.1"),
    ],
)
def test_bad_arguments_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
