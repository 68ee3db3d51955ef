"""Labels kept: for a pandas Series or an xarray DataArray a calculator gives one, with the same labels.

    fidelity_floor(Series([1.0, 6.0], index=["a", "b"]), 64, 16)  ->  a Series with that index

Neither library is imported here: who passes one has it. Where no number is enough the entry is NaN; of plain arrays the
answer says why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, cast

import numpy as np

from bounds.numbers.errors import BadInput

LIBRARIES = ("pandas", "xarray")


def library(value: object) -> str:
    """Which of `LIBRARIES` the value is of; "" for neither."""
    package = type(value).__module__.partition(".")[0]
    return package if package in LIBRARIES else ""


def with_labels(call: Callable[..., Any], named: Mapping[str, Any]) -> Any:
    """What `call(**named)` gives of the numbers alone, under the labels of those of `named` that have some.

    xarray broadcasts by the names of dims; pandas takes arguments of equal labels. Raises BadInput for a mixture of the
    two, and for labels that differ.
    """
    labels = {name: value for name, value in named.items() if library(value)}
    kinds = {library(value) for value in labels.values()}
    if len(kinds) > 1:
        raise BadInput(f"{', '.join(labels)} must be of pandas or of xarray, got both")
    of = _of_xarray if kinds == {"xarray"} else _of_pandas
    return of(lambda values: call(**{**named, **dict(zip(labels, values))}), labels)


def _parts(found: Any) -> tuple[Any, ...]:
    """The arrays of an answer: one, or the three of an enclosure; NaN where no number is enough."""
    return cast("tuple[Any, ...]", found) if isinstance(found, tuple) else (found,)


def _numbers(found: Any) -> Any:
    """As an array; `Unreachable` is none."""
    return np.nan if hasattr(found, "reason") else np.asarray(found)


def _again(found: Any, parts: Sequence[Any]) -> Any:
    """The answer in the form in which it was found."""
    kind = cast("Callable[..., Any]", type(found))
    return kind(*parts) if isinstance(found, tuple) else parts[0]


def _of_xarray(call: Callable[[Sequence[Any]], Any], labels: Mapping[str, Any]) -> Any:
    xarray = import_module("xarray")
    try:
        spread = xarray.broadcast(*xarray.align(*labels.values(), join="exact"))
    except ValueError:
        raise BadInput(
            f"{', '.join(labels)} must have equal labels along the dims that they share, got others"
        ) from None
    found = call([one.values for one in spread])
    parts = [np.broadcast_to(_numbers(part), spread[0].shape) for part in _parts(found)]
    return _again(found, [spread[0].drop_attrs().rename(None).copy(data=part) for part in parts])


def _of_pandas(call: Callable[[Sequence[Any]], Any], labels: Mapping[str, Any]) -> Any:
    (name, first), *others = labels.items()
    for other, value in others:
        if type(value) is not type(first) or any(not a.equals(b) for a, b in zip(first.axes, value.axes)):
            raise BadInput(f"{other} must have the labels of {name}, got others")
    found = call([value.to_numpy() for value in labels.values()])
    parts = [_numbers(part) for part in _parts(found)]
    if any(np.shape(part) not in ((), first.shape) for part in parts):
        raise BadInput(f"{name} must have the shape of the answer for its labels to stay, got {first.shape}")
    return _again(found, [type(first)(np.broadcast_to(part, first.shape), *first.axes) for part in parts])
