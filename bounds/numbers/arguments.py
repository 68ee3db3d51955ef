"""What every public calculator checks at its boundary, and how it broadcasts.

A bad value raises `BadInput: NAME must be WHAT IS ALLOWED, got VALUE`, a ValueError; NaN is never allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bounds.numbers.errors import BadInput

Array: TypeAlias = NDArray[Any]
Reals: TypeAlias = NDArray[np.float64]
Scalar: TypeAlias = float | np.integer[Any] | np.floating[Any]
"""One real number; Python's and NumPy's whole numbers count."""
RealLike: TypeAlias = (
    Scalar
    | NDArray[np.integer[Any] | np.floating[Any]]
    | Sequence[Scalar]
    | Sequence[Sequence[Scalar]]
    | Sequence[Sequence[Sequence[Scalar]]]
    | Sequence[NDArray[np.integer[Any] | np.floating[Any]]]
)
"""What every calculator takes for a real argument: a number, an array, or a list of them; never a string."""
Vector: TypeAlias = Scalar | Sequence[Scalar]
VectorLike: TypeAlias = RealLike
"""Vectors, or arrays of them: a calculator that reduces the last axis gives a float for one vector."""
Value: TypeAlias = float | Reals
"""What a calculator gives: a float for scalars, an array where any argument was one."""


def reject(name: str, allowed: str, value: object, context: str = "") -> BadInput:
    """The error for a bad argument, worded alike everywhere."""
    return BadInput(f"{name} must be {allowed}, got {value}{context}")


def _first_bad(array: Array, good: Array) -> object:
    bad = np.broadcast_to(array, good.shape)[~good]
    return bad.flat[0].item()


def real(name: str, value: RealLike, allowed: str, good: Callable[[Array], Array]) -> Reals:
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


def extended(name: str, value: RealLike) -> Reals:
    """A real number or an infinity: a margin of inf is a hard mask, one of -inf no margin at all."""
    return real(name, value, "a number", lambda a: ~np.isnan(a))


def finite(name: str, value: RealLike) -> Reals:
    return real(name, value, "a finite number", np.isfinite)


def non_negative(name: str, value: RealLike) -> Reals:
    return real(name, value, "finite and >= 0", lambda a: np.isfinite(a) & (a >= 0))


def positive(name: str, value: RealLike) -> Reals:
    return real(name, value, "finite and > 0", lambda a: np.isfinite(a) & (a > 0))


def unit_closed(name: str, value: RealLike) -> Reals:
    return real(name, value, "in [0, 1]", lambda a: (a >= 0) & (a <= 1))


def unit_open(name: str, value: RealLike) -> Reals:
    return real(name, value, "in (0, 1)", lambda a: (a > 0) & (a < 1))


def count(name: str, value: RealLike) -> Reals:
    """A whole number of keys, exact in float64."""
    return real(name, value, "a whole number in [1, 2^53]", lambda a: (a >= 1) & (a <= 2.0**53) & (a == np.floor(a)))


def keys(n_keys: RealLike, n_block: RealLike, n_anchors: RealLike | None = None) -> tuple[Reals, Reals, Reals]:
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


def together(*arrays: Reals) -> tuple[Reals, ...]:
    """The arrays, broadcast against each other."""
    try:
        return tuple(np.broadcast_arrays(*arrays))
    except ValueError:
        shapes = ", ".join(str(np.shape(a)) for a in arrays)
        raise BadInput(f"arguments must broadcast against each other, got shapes {shapes}") from None


def last_axis(value: RealLike) -> int:
    """How many numbers the last axis holds; a single number is one."""
    return np.atleast_1d(np.asarray(value)).shape[-1]


def scaled(value: Array, temperature: Array) -> Reals:
    """value / temperature, held to the finite numbers: an infinite margin is the largest one."""
    with np.errstate(over="ignore", under="ignore"):
        return np.nan_to_num(value / temperature)


def result(values: float | np.generic[Any] | Array) -> Value:
    """A Python float where every input was a scalar, else the array."""
    array = np.asarray(values)
    return array.item() if array.ndim == 0 else array
