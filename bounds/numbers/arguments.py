"""What every public calculator checks at its boundary, and how it broadcasts.

A bad value raises `BadInput: NAME must be WHAT IS ALLOWED, got VALUE`; NaN is never allowed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bounds.numbers.errors import BadInput

Array = NDArray[Any]


def reject(name: str, allowed: str, value: object, context: str = "") -> BadInput:
    """The error for a bad argument, worded alike everywhere."""
    return BadInput(f"{name} must be {allowed}, got {value}{context}")


def _first_bad(array: Array, good: Array) -> object:
    bad = np.broadcast_to(array, good.shape)[~good]
    return bad.flat[0].item()


def real(name: str, value: ArrayLike, allowed: str, good: Callable[[Array], Array]) -> NDArray[np.float64]:
    """`value` as float64 after checking that every entry satisfies `good` (NaN never does)."""
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise reject(name, allowed, repr(value)) from None
    with np.errstate(invalid="ignore"):
        ok = np.asarray(good(array)) & ~np.isnan(array)
    if not ok.all():
        raise reject(name, allowed, _first_bad(array, ok))
    return array


def extended(name: str, value: ArrayLike) -> NDArray[np.float64]:
    """A real number or an infinity: a margin of inf is a hard mask, one of -inf no margin at all."""
    return real(name, value, "a number", lambda a: ~np.isnan(a))


def finite(name: str, value: ArrayLike) -> NDArray[np.float64]:
    return real(name, value, "a finite number", np.isfinite)


def non_negative(name: str, value: ArrayLike) -> NDArray[np.float64]:
    return real(name, value, "finite and >= 0", lambda a: np.isfinite(a) & (a >= 0))


def positive(name: str, value: ArrayLike) -> NDArray[np.float64]:
    return real(name, value, "finite and > 0", lambda a: np.isfinite(a) & (a > 0))


def unit_closed(name: str, value: ArrayLike) -> NDArray[np.float64]:
    return real(name, value, "in [0, 1]", lambda a: (a >= 0) & (a <= 1))


def unit_open(name: str, value: ArrayLike) -> NDArray[np.float64]:
    return real(name, value, "in (0, 1)", lambda a: (a > 0) & (a < 1))


def count(name: str, value: ArrayLike) -> NDArray[np.float64]:
    """A whole number of keys, exact in float64."""
    return real(name, value, "a whole number in [1, 2^53]", lambda a: (a >= 1) & (a <= 2.0**53) & (a == np.floor(a)))


def keys(
    n_keys: ArrayLike, n_block: ArrayLike, n_anchors: ArrayLike | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """(n, m, r) with 1 <= r <= m < n; r is m where `n_anchors` is None."""
    n, m = count("n_keys", n_keys), count("n_block", n_block)
    r = m if n_anchors is None else count("n_anchors", n_anchors)
    for name, low, high, allowed in (
        ("n_block", m, n - 1, "in [1, n_keys - 1]"),
        ("n_anchors", r, m, "in [1, n_block]"),
    ):
        try:
            good = np.asarray(low <= high)
        except ValueError:
            raise BadInput(
                f"n_keys, n_block and n_anchors must broadcast, got shapes {n.shape}, {m.shape} and {r.shape}"
            ) from None
        if not good.all():
            other = "n_keys" if name == "n_block" else "n_block"
            bound = _first_bad(high + (name == "n_block"), good)
            raise reject(name, allowed, f"{_first_bad(low, good):g}", f" with {other}={bound:g}")
    return n, m, r


def scaled(value: Array, temperature: Array) -> NDArray[np.float64]:
    """value / temperature, held to the finite numbers: an infinite margin is the largest one."""
    with np.errstate(over="ignore", under="ignore"):
        return np.nan_to_num(value / temperature)


@overload
def result(values: Array) -> Any: ...
@overload
def result(values: float) -> Any: ...
def result(values):
    """A Python float where every input was a scalar, else the array."""
    array = np.asarray(values)
    return array.item() if array.ndim == 0 else array
