"""The safe side of a threshold, to the last representable number.

A condition that fails below some number and holds from there on is searched on *ordinals*: float64 values in their
order, one integer each, so that bisection ends after at most 64 steps at two neighbouring numbers, whatever their size.
The number returned is one at which the condition was evaluated and held.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bounds.numbers.arguments import RealLike

Ordinals = NDArray[np.int64]
_LOWEST = np.int64(np.iinfo(np.int64).min)
_GALLOP = 2**32  # beyond this step from the guess, halving the whole interval is quicker


@dataclass(frozen=True)
class Unreachable:
    """No value meets the target, and why."""

    reason: str


@dataclass(frozen=True, eq=False)
class Solutions:
    """One answer an entry: `values` is NaN where `reachable` is False, and `reasons` then says why (else "")."""

    values: NDArray[np.float64]
    reachable: NDArray[np.bool_]
    reasons: NDArray[np.str_]


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
