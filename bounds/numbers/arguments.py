"""What every public calculator checks at its boundary, and how it broadcasts.

A bad value raises `BadInput: NAME must be WHAT IS ALLOWED, got VALUE`, a ValueError; NaN is never allowed.
Numbers are Python's, NumPy's, and a torch tensor's on the CPU; bools, strings, None, masked entries, and what would be
lost without a word, a gradient, a device, labels inside a list, are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from numbers import Real
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from bounds.numbers.errors import BadInput
from bounds.numbers.labelled import library

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


_WITHOUT = {"pandas": "pass its .to_numpy()", "xarray": "pass its .values"}
MOST = 2**53
"""The largest count: whole numbers are exact in float64 up to here."""
_KINDS = "iuf"  # of dtypes that are numbers: not bool, complex, text, times
_NO_NUMBERS = (bool, np.bool_, str, bytes, type(None))


def _leaves(value: object) -> Iterator[object]:
    """A number or an array, or those of some nested list."""
    if isinstance(value, list | tuple):
        for entry in cast("Sequence[object]", value):
            yield from _leaves(entry)
    else:
        yield value


def _of_torch(tensor: Any) -> Array:
    """A tensor's numbers; torch is known by its own words, and never imported here."""
    plain = tensor.detach()
    return np.asarray(plain.double().numpy() if plain.is_floating_point() else plain.numpy())


def _without_torch(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_without_torch(entry) for entry in cast("Sequence[object]", value)]
    return _of_torch(value) if hasattr(value, "detach") else value


def numbers(name: str, value: object, allowed: str = "a number") -> Reals:
    """`value` as float64, the nearest where it is finer.

    Raises BadInput for what is no number (a bool, a string, None, a complex number, a time), for masked entries, for
    labels (pandas, xarray), for a tensor with a gradient or on another device.
    """
    for leaf in _leaves(value):
        if type(leaf) in (float, int):
            continue
        if way := _WITHOUT.get(library(leaf)):
            kind = type(leaf).__name__
            raise reject(name, f"{allowed} without labels, which would be lost", f"a {kind}", f": {way}")
        if getattr(leaf, "requires_grad", False):
            lost = f"{allowed} without a gradient, which would be lost"
            raise reject(name, lost, "a tensor that requires one", ": pass its .detach()")
        if hasattr(leaf, "detach") and (device := str(getattr(leaf, "device", "cpu"))) != "cpu":
            raise reject(name, f"{allowed} on the CPU", f"a tensor on {device}", ": pass its .cpu()")
        if np.ma.is_masked(leaf):
            raise reject(name, f"{allowed} without masked entries", "masked ones")
        if isinstance(leaf, _NO_NUMBERS):
            raise reject(name, allowed, _shown(value))
    try:
        given = np.asarray(_without_torch(value))
        entries: list[object] = given.ravel().tolist() if given.dtype.kind == "O" else []
        odd = any(isinstance(v, bool) or not isinstance(v, Real | Decimal) for v in entries)
        if not odd and (entries or given.dtype.kind in _KINDS or given.dtype.name == "bfloat16"):
            return np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError, OverflowError, RuntimeError):  # RuntimeError: a tensor without values, or odd
        pass
    raise reject(name, allowed, _shown(value))


def _shown(value: object) -> str:
    """In one line, and not longer than one."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."


def real(name: str, value: RealLike, allowed: str, good: Callable[[Array], Array]) -> Reals:
    """`value` as float64 after checking that every entry satisfies `good` (NaN never does)."""
    array = numbers(name, value, allowed)
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
    allowed = "a whole number in [1, 2^53]"
    array = numbers(name, value, allowed)
    with np.errstate(invalid="ignore"):
        good = (array >= 1) & (array <= MOST) & (array == np.floor(array))
    if not good.all() or (array == MOST).any():  # to MOST float64 rounds the next whole number, too
        given, within = np.asarray(_without_torch(value)).ravel().tolist(), good.ravel().tolist()
        beyond = [shown for shown, fine in zip(given, within) if not fine or shown > MOST]
        if beyond:
            raise reject(name, allowed, beyond[0])
    return array


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
            raise reject(name, allowed, f"{_first_bad(low, good):.0f}", f" with {other}={bound:.0f}")
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
    return np.atleast_1d(numbers("value", value)).shape[-1]


def scaled(value: Array, temperature: Array) -> Reals:
    """value / temperature, held to the finite numbers: an infinite margin is the largest one."""
    with np.errstate(over="ignore", under="ignore"):
        return np.nan_to_num(value / temperature)


SAME = 8 * float(np.finfo(np.float64).eps)
"""Relative: so far apart may lie two numbers that are one, computed in two ways from the same logits."""


def covering(logit_range: Array, margin: Array, unit: str = "") -> Reals:
    """The range, at least |margin|: one that is less by 8 ulp or fewer counts as |margin|; less is refused."""
    span, size = together(np.asarray(logit_range), np.abs(margin))
    if (short := span < size * (1 - SAME)).any():
        words = f" with margin{unit}={np.broadcast_to(margin, short.shape)[short][0].item()}"
        raise reject(f"logit_range{unit}", "at least |margin|", span[short][0].item(), words)
    return np.maximum(span, size)


def result(values: float | np.generic[Any] | Array) -> Value:
    """A Python float where every input was a scalar, else the array."""
    array = np.asarray(values)
    return array.item() if array.ndim == 0 else array
