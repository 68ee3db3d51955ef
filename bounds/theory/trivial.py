"""What one would say of a row without a theorem, in numbers: even spreading 1 - m/n, the largest entropy ln n, 0."""

# sympy has no types: what comes of its functions is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np


def evaluated(expression: Any, rows: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """The expression at the rows' own fields, which its symbols name; None where the rows lack one of them."""
    fields, function = _function(expression)
    if any(field not in rows for field in fields):
        return None
    return np.asarray(function(*(np.asarray(rows[field], dtype=np.float64) for field in fields)), dtype=np.float64)


@functools.cache
def _function(expression: Any) -> tuple[tuple[str, ...], Callable[..., Any]]:
    import sympy

    from bounds.theory.symbols import GLOSSARY

    named = {entry.symbol: entry.field for entry in GLOSSARY if entry.field}
    symbols = sorted(expression.free_symbols, key=str)
    return tuple(named[symbol] for symbol in symbols), sympy.lambdify(symbols, expression, [_BROADCAST, "numpy"])


def _least(values: tuple[Any, ...], axis: int) -> np.ndarray:
    return functools.reduce(np.minimum, values)


_BROADCAST = {"amin": _least}
"""sympy prints Min as numpy.amin over a tuple, which must be of equal shapes there."""
