"""Rigorous values of the public calculators: (lower, estimate, upper) around the exact value, outward rounded.

    fidelity_floor(6.0, 64, 16, 1, rigorous=True)  ->  Enclosed(lower, estimate, upper)

Arguments count as exactly the float64 numbers given. The closed forms are evaluated on Arb balls from the same sympy
expressions that the calculators are printed from; thresholds without a closed form are bracketed by rigorous forward
evaluation. Comparisons are three-valued: HOLDS, VIOLATED or UNKNOWN. Needs python-flint (the extra `rigorous`).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from bounds.numbers.search import Solutions, Unreachable


class Enclosed(NamedTuple):
    """The exact value lies in [lower, upper]; `estimate` is what the calculator returns in float64."""

    lower: Any
    estimate: Any
    upper: Any

    def at_most(self, limit: Any) -> Any:
        """`Verdict.HOLDS` if the exact value is at most `limit`, VIOLATED if it is above, else UNKNOWN."""
        return _judge(self.upper <= np.asarray(limit), self.lower > np.asarray(limit))

    def at_least(self, limit: Any) -> Any:
        """`Verdict.HOLDS` if the exact value is at least `limit`, VIOLATED if it is below, else UNKNOWN."""
        return _judge(self.lower >= np.asarray(limit), self.upper < np.asarray(limit))


def _judge(certain: Any, excluded: Any) -> Any:
    from bounds.theory.theorem import Verdict

    if np.ndim(certain) == 0:
        return Verdict.HOLDS if certain else Verdict.VIOLATED if excluded else Verdict.UNKNOWN
    verdicts = np.full(np.shape(certain), Verdict.UNKNOWN, dtype=object)
    verdicts[certain], verdicts[excluded] = Verdict.HOLDS, Verdict.VIOLATED
    return verdicts


def enclosable(calculator: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a public calculator the keyword `rigorous`: True returns `Enclosed` in place of the estimate."""
    signature = inspect.signature(calculator)

    @functools.wraps(calculator)
    def wrapped(*arguments: Any, rigorous: bool = False, **keywords: Any) -> Any:
        estimate = calculator(*arguments, **keywords)
        if not rigorous:
            return estimate
        bound = signature.bind(*arguments, **keywords)
        bound.apply_defaults()
        return _enclosed(calculator.__name__, dict(bound.arguments), estimate)

    switch = inspect.Parameter("rigorous", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=bool)
    wrapped.__signature__ = signature.replace(parameters=[*signature.parameters.values(), switch])  # pyright: ignore[reportAttributeAccessIssue]
    return wrapped


def _enclosed(name: str, arguments: dict[str, Any], estimate: Any) -> Any:
    """Entry by entry; an `Unreachable` stays one, and in arrays of `Solutions` its ends are NaN."""
    if isinstance(estimate, Unreachable):
        return estimate
    values = np.asarray(estimate.values if isinstance(estimate, Solutions) else estimate, dtype=np.float64)
    from bounds.rigour.ends import WHOLE_ARRAYS, ends

    whole = WHOLE_ARRAYS.get(name)
    if whole is not None:
        lower, upper = whole(arguments, values)
        return Enclosed(*(_plain(v) for v in (lower, values, upper)))
    numeric = {k: v for k, v in arguments.items() if v is not None and not isinstance(v, str)}
    fixed = {k: v for k, v in arguments.items() if k not in numeric}
    spread = dict(zip(numeric, np.broadcast_arrays(values, *(np.asarray(v, np.float64) for v in numeric.values()))[1:]))
    lower, upper = np.full(values.shape, np.nan), np.full(values.shape, np.nan)
    for at in np.ndindex(values.shape):
        if not np.isnan(values[at]):
            entry = {**{k: float(v[at]) for k, v in spread.items()}, **fixed}
            lower[at], upper[at] = ends(name, entry, float(values[at]))
    return Enclosed(*(_plain(v) for v in (lower, values, upper)))


def _plain(values: Any) -> Any:
    return values.item() if np.ndim(values) == 0 and hasattr(values, "item") else values
