"""The margin that an entropy needs: `entropy_ceiling` read backwards, on the safe side as `bounds.numbers.search` says.

    least x with H(x) <= target,   dH/d(x^2) = -(A/S) e^(x g) g (1-g)/2,   S = m - r + A e^(x g) = e^H,  A, g as there

The ceiling falls in the margin. Where there is no answer, an `Unreachable` says why.
Source: arXiv:2510.09338v2, abstract, claim C4; derived here.
"""

# Of a lambda that intervals go through, a type checker knows nothing.
# pyright: reportUnknownLambdaType=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from decimal import Context, Decimal, localcontext
from math import exp

import numpy as np

import bounds.numbers.arguments as check
from bounds.entropy import closed_forms
from bounds.numbers.arguments import RealLike, Reals
from bounds.numbers.intervals import Interval
from bounds.numbers.search import (
    DIGITS,
    LARGEST,
    Solutions,
    Unreachable,
    answer,
    at_least,
    at_ordinal,
    least,
    on_intervals,
    ordinal,
    rounded,
)
from bounds.rigour.enclosed import enclosable

__all__ = ["margin_for_entropy"]

CLOSE, STEPS = Decimal("1e-18"), 200  # relative, of a root in decimals: a hundredth of what float64 resolves
_ceiling = on_intervals(closed_forms.entropy_ceiling)


def entropy_met(target: float, margin: float, n: float, m: float, r: float, tau: float) -> bool:
    """Whether a margin certainly guarantees the entropy."""

    def below(margin: Interval, n: Interval, m: Interval, r: Interval, tau: Interval) -> Interval:
        return -_ceiling(margin / tau, n, m, r)

    return at_least(below, -target, margin, n, m, r, tau)


def _slope(x: float, n: float, m: float, r: float) -> float:
    """-dH/d(x^2), to a few digits."""
    u = (n - m) * exp(-x)
    mass = u / (r + u)
    top = (r + u) * exp(x * mass)
    return top / (m - r + top) * mass * (r / (r + u)) / 2


def _root(target: float, n: float, m: float, r: float, first: float) -> Decimal:
    """x at which the ceiling is the target, to 18 digits: Newton's steps in x^2, where H starts straight, bracketed."""
    keys = [Interval.of(count, DIGITS[0]) for count in (n, m, r)]
    with localcontext(Context(prec=DIGITS[0])):
        low, high, x = Decimal(0), Decimal("Infinity"), Decimal.from_float(first)
        for _ in range(STEPS):
            gap = _ceiling(Interval(x, x, DIGITS[0]), *keys).high - Decimal.from_float(target)
            low, high = (x, high) if gap > 0 else (low, x)
            slope = Decimal.from_float(_slope(float(x), n, m, r))
            square = x * x + gap / slope if slope > 0 else Decimal(-1)
            moved = square.sqrt() if square > 0 else low
            if not low < moved < high:
                moved = (low + high) / 2 if high.is_finite() else 2 * x
            if abs(moved - x) <= CLOSE * x:
                return moved
            x = moved
    return x


def _least_margin(target: float, n: float, m: float, r: float, tau: float, first: float) -> float:
    """The least float64 that meets the target; inf where there is none."""
    with localcontext(Context(prec=DIGITS[0])):
        guess = float(_root(target, n, m, r, first) * Decimal.from_float(tau))
    place, reachable = least(
        lambda o: np.asarray(entropy_met(target, float(at_ordinal(o)), n, m, r, tau)), ordinal(guess), 0, LARGEST
    )
    return float(at_ordinal(place)) if reachable else np.inf


def _first(target: Reals, n: Reals, m: Reals, r: Reals) -> Reals:
    """x at which the ceiling in float64 comes to the target: near enough to begin at, but for both ends."""
    with np.errstate(all="ignore"):
        place, _ = least(
            lambda o: closed_forms.entropy_ceiling(at_ordinal(o), n, m, r) <= target,
            *(ordinal(np.ones(n.shape)), np.full(n.shape, ordinal(1e-9)), np.full(n.shape, ordinal(1e3))),
        )
    return at_ordinal(place)


@enclosable
def margin_for_entropy(
    entropy: RealLike,
    n_keys: RealLike,
    n_block: RealLike,
    n_anchors: RealLike | None = None,
    temperature: RealLike = 1.0,
) -> float | Unreachable | Solutions:
    """Least margin (logits) that guarantees an entropy of at most `entropy` nats, the least float64 that is enough.

    ln n or more is met by every row, so any margin does: -inf. ln m or less is met by no finite margin: Unreachable,
    since the anchors and the free keys of the block may be tied. Raises BadInput for a negative or infinite entropy.
    """
    n, m, r = check.keys(n_keys, n_block, n_anchors)
    target, tau = check.non_negative("entropy", entropy), check.positive("temperature", temperature)
    target, n, m, r, tau = check.together(target, n, m, r, tau)
    most, tied = (
        rounded(lambda count: on_intervals(np.log)(count), up, count) for up, count in ((True, n), (False, m))
    )
    margin = np.where(target >= most, -np.inf, np.inf)
    first = _first(target, n, m, r)
    for at in map(tuple, np.argwhere((target > tied) & (target < most))):
        margin[at] = _least_margin(*(float(a[at]) for a in (target, n, m, r, tau, first)))
    return answer(
        margin,
        (target <= tied, "a finite margin never guarantees an entropy of ln(n_block) nats or less"),
        (margin == np.inf, "the margin exceeds the largest float64 at this temperature"),
    )
