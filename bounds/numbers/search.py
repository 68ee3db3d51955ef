"""The safe side, and what an inverse returns. This is the one promise of every inverse and every threshold:

    its value is on the safe side of the exact real value of its arguments, each taken as exactly the float64 given:
    of what is needed at least the least float64 (whole number) that is enough, of what is allowed at most the greatest

`rounded` keeps it for closed forms: they are evaluated on intervals with decimal ends until both ends round alike. What
no closed form says is searched on *ordinals*, float64 values in their order, one integer each, so that bisection ends
after at most 64 steps at two neighbouring numbers, whatever their size, with a condition that intervals decide.

An inverse that always has an answer returns it as a forward bound does: a float (an int where it counts), or an array
where an argument was one. One that may have none returns a number or `Unreachable` for scalars, `Solutions` for arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from math import inf, nextafter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bounds.numbers.arguments import RealLike, Reals
from bounds.numbers.errors import BadInput
from bounds.numbers.intervals import Interval

DIGITS = (38, 120, 360, 1100)
"""What is not decided by the last of these lies within 1e-1000 of a float64, and counts as beyond it."""
OnIntervals = Callable[..., Interval]
Ordinals = NDArray[np.int64]
_LOWEST = np.int64(np.iinfo(np.int64).min)
_GALLOP = 2**32  # beyond this step from the guess, halving the whole interval is quicker


@dataclass(frozen=True)
class Unreachable:
    """No value meets the target, and why."""

    reason: str

    def __float__(self) -> float:
        raise BadInput(f"a number was asked of what has none: {self.reason}")


@dataclass(frozen=True, eq=False)
class Solutions:
    """One answer an entry: `values` is NaN where `reachable` is False, and `reasons` then says why (else "")."""

    values: NDArray[np.float64]
    reachable: NDArray[np.bool_]
    reasons: NDArray[np.str_]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[np.float64]:
        """`values`: NumPy's functions take the answers for an array."""
        return np.array(self.values, dtype=dtype) if copy else np.asarray(self.values, dtype=dtype)

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, at: Any) -> float | Unreachable | Solutions:
        """What one entry would have given alone, or the answers of several."""
        values, reasons = self.values[at], self.reasons[at]
        if np.ndim(values):
            return Solutions(values, self.reachable[at], reasons)
        return Unreachable(str(reasons)) if reasons else float(values)

    def __iter__(self) -> Iterator[float | Unreachable | Solutions]:
        return (self[at] for at in range(len(self)))


def ordinal(value: RealLike) -> Ordinals:
    """The place of a float64 among all of them: 0.0 is 0, its neighbours are -1 and 1."""
    bits = np.asarray(value, dtype=np.float64).view(np.int64)
    return np.where(bits < 0, _LOWEST - np.minimum(bits, 0), bits)


def at_ordinal(place: Ordinals) -> NDArray[np.float64]:
    """The float64 at a place; the inverse of `ordinal`."""
    return np.asarray(np.where(place < 0, _LOWEST - np.minimum(place, 0), place)).view(np.float64)


LARGEST = int(ordinal(np.finfo(np.float64).max))


def least(
    meets: Callable[[Ordinals], NDArray[np.bool_]], guess: RealLike, low: RealLike, high: RealLike
) -> tuple[Ordinals, NDArray[np.bool_]]:
    """Least integer in [low, high] from which `meets` holds, and whether it holds at `high` at all.

    Starts at `guess` and strides out from it with doubling steps, then bisects. Arrays of one shape; entries are
    independent.
    """
    low, good = np.asarray(low, dtype=np.int64), np.asarray(high, dtype=np.int64)
    reachable = np.asarray(meets(good))
    bad = np.where(reachable, low - 1, good - 1)
    probe = np.clip(np.asarray(guess, dtype=np.int64), bad + 1, good)
    held = downwards = np.asarray(meets(probe))
    good, bad = np.where(held, probe, good), np.where(held | ~reachable, bad, probe)
    striding, step = np.ones(good.shape, dtype=bool), 1
    while (unsettled := bad + 1 < good).any():
        middle = (good >> 1) + (bad >> 1) + (good & bad & 1)  # the sum could overflow
        if step < _GALLOP:
            stride = np.where(downwards, np.maximum(good - step, bad + 1), np.minimum(bad + step, good - 1))
            middle, step = np.where(striding, stride, middle), step * 2
        probe = np.where(unsettled, middle, good)
        held = np.asarray(meets(probe))
        good, bad = np.where(held, probe, good), np.where(unsettled & ~held, probe, bad)
        striding &= held == downwards
    return good, reachable


def greatest(
    meets: Callable[[Ordinals], NDArray[np.bool_]], guess: RealLike, low: RealLike, high: RealLike
) -> tuple[Ordinals, NDArray[np.bool_]]:
    """Greatest integer in [low, high] up to which `meets` holds, and whether it holds at `low` at all."""
    low, high = np.asarray(low, dtype=np.int64), np.asarray(high, dtype=np.int64)
    place, reachable = least(lambda o: meets(-o), -np.asarray(guess, dtype=np.int64), -high, -low)
    return -place, reachable


def on_intervals(form: Callable[..., Any]) -> OnIntervals:
    """A printed form, or a function of NumPy, as it evaluates intervals."""
    return form


def _beside(value: Decimal, up: bool, whole: bool) -> float:
    """The float64, or the whole number, next to a decimal: no less than it, or no more."""
    if whole and value.is_finite():
        value = value.to_integral_value(ROUND_CEILING if up else ROUND_FLOOR)
    near = float(value)
    exact = Decimal.from_float(near)
    if exact != value and (exact < value) == up:
        return nextafter(near, inf if up else -inf)
    return near


def _entry(form: OnIntervals, up: bool, whole: bool, values: tuple[float, ...]) -> float:
    """One value: the same wherever between the ends of its interval it lies, or else of the end on the safe side."""
    found = nearest = -inf if up else inf
    for digits in DIGITS:
        exact = form(*(Interval.of(value, digits) for value in values))
        found, nearest = (_beside(end, up, whole) for end in (exact.high, exact.low)[:: 1 if up else -1])
        if found == nearest:
            break
    return found


def rounded(form: OnIntervals, up: bool | NDArray[np.bool_], *arguments: RealLike, whole: bool = False) -> Reals:
    """The exact values of a form, each rounded up (or down) to the next float64, or `whole` number.

    `form` takes intervals, one an argument; arguments and `up` broadcast. The same entries are evaluated once.
    """
    ways, *entries = np.broadcast_arrays(up, *(np.asarray(a, np.float64) for a in arguments))
    known: dict[tuple[float, ...], float] = {}
    values: list[float] = []
    for way, *entry in zip(*(a.ravel().tolist() for a in (ways, *entries))):
        key = (way, *entry)
        if key not in known:
            known[key] = _entry(form, way, whole, tuple(entry))
        values.append(known[key])
    return np.array(values, np.float64).reshape(ways.shape) + 0.0  # -0.0 becomes 0.0


EPS = float(np.finfo(np.float64).eps)
PLAIN = 1e40  # products of seven such numbers, or of their inverses, stay well within float64


def moved(values: Reals, up: bool, ulps: float) -> Reals:
    """Values moved outwards by so many ulp, relative, and one number more; 0 stays."""
    with np.errstate(over="ignore", under="ignore"):
        further = np.nextafter(values * (1 + (ulps if up else -ulps) * EPS), np.inf if up else -np.inf)
    return np.where(values == 0, 0.0, further)


def outward(form: Callable[..., Any], up: bool, ulps: float, *arguments: Reals, exact: bool = True) -> Reals:
    """A form in float64, moved outwards by more than its rounding: for arrays, where nothing in it cancels.

    `ulps`: of products, roots and sums of what is not negative, half the number of roundings or more. Where arguments
    are so large or small that a product could leave float64, intervals are taken. Scalars are `rounded`, next to the
    exact value, where the form is `exact`: none of its constants is rounded.
    """
    arguments = tuple(np.broadcast_arrays(*arguments))
    if exact and arguments[0].ndim == 0:
        return rounded(on_intervals(form), up, *arguments)
    sizes = [np.abs(a) for a in arguments]
    extreme = np.logical_or.reduce([(size > PLAIN) | ((size > 0) & (size < 1 / PLAIN)) for size in sizes])
    with np.errstate(all="ignore"):
        values = np.array(form(*arguments), np.float64)
    if extreme.any():
        values[extreme] = rounded(form, up, *(a[extreme] for a in arguments))
    return moved(values, up, ulps)


def at_least(form: OnIntervals, limit: float, *values: float) -> bool:
    """Whether the exact value of a form is certainly no less than a limit: digits are added until it is known."""
    for digits in DIGITS:
        exact = form(*(Interval.of(value, digits) for value in values))
        if exact >= limit or exact < limit:
            return exact >= limit
    return False


def answer(values: Any, *causes: tuple[Any, str], whole: bool = False) -> Any:
    """A number or an `Unreachable` for a scalar, `Solutions` for an array; the first of the (mask, reason) counts."""
    values, *masks = np.broadcast_arrays(values, *(mask for mask, _ in causes))
    reasons = np.select(masks, [reason for _, reason in causes], default="")
    if values.ndim == 0:
        if reason := reasons.item():
            return Unreachable(reason)
        return int(values) if whole else float(values)
    reachable = reasons == ""
    return Solutions(np.where(reachable, values, np.nan), reachable, reasons)
