"""Rigorous values of the public calculators: (lower, estimate, upper) around the exact value, outward rounded.

    fidelity_floor(6.0, 64, 16, 1, rigorous=True)  ->  Enclosed(lower, estimate, upper)

Arguments count as exactly the float64 numbers given. What the exact value is stands in the `exact` module beside the
calculator's own, under its name: closed forms on Arb balls, brackets, bounds on rounding. Comparisons are three-valued:
HOLDS, VIOLATED or UNKNOWN. Needs python-flint.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from bounds.numbers.arguments import RealLike, Reals, numbers, together
from bounds.numbers.errors import BadInput
from bounds.numbers.labelled import library, with_labels
from bounds.numbers.search import Solutions, Unreachable

if TYPE_CHECKING:
    from bounds.rigour.exact import Bracket, ClosedForm, Rounded
    from bounds.theory.theorem import Verdict

P = ParamSpec("P")
R = TypeVar("R")
V = TypeVar("V", bound=float | Reals)


class Enclosed(NamedTuple, Generic[V]):
    """The exact value lies in [lower, upper]; `estimate` is what the calculator returns in float64."""

    lower: V
    estimate: V
    upper: V

    def at_most(self, limit: RealLike) -> Verdict | NDArray[np.object_]:
        """`Verdict.HOLDS` if the exact value is at most `limit`, VIOLATED if it is above, else UNKNOWN."""
        return _judge(self.upper <= np.asarray(limit), self.lower > np.asarray(limit))

    def at_least(self, limit: RealLike) -> Verdict | NDArray[np.object_]:
        """`Verdict.HOLDS` if the exact value is at least `limit`, VIOLATED if it is below, else UNKNOWN."""
        return _judge(self.lower >= np.asarray(limit), self.upper < np.asarray(limit))


def _judge(certain: NDArray[np.bool_], excluded: NDArray[np.bool_]) -> Verdict | NDArray[np.object_]:
    from bounds.theory.theorem import Verdict

    if np.ndim(certain) == 0:
        return Verdict.HOLDS if certain else Verdict.VIOLATED if excluded else Verdict.UNKNOWN
    verdicts = np.full(np.shape(certain), Verdict.UNKNOWN, dtype=object)
    verdicts[certain], verdicts[excluded] = Verdict.HOLDS, Verdict.VIOLATED
    return verdicts


def enclosable(calculator: Callable[P, R]) -> Callable[P, R]:
    """Gives a public calculator the keyword `rigorous`: True returns `Enclosed` in place of the estimate.

    The keyword and what it returns are typed in the printed stub beside the calculator's module. What exceeds the
    largest float64 is infinite and what falls below the least is 0, without a warning; what would be NaN still warns.
    Labels of pandas and xarray stay, but where a calculator reduces an axis.
    """
    signature = inspect.signature(calculator)
    vectors = any("VectorLike" in str(one.annotation) for one in signature.parameters.values())  # reduces an axis

    @functools.wraps(calculator)
    def wrapped(*arguments: P.args, **keywords: P.kwargs) -> Any:
        if not vectors and any(library(value) for value in (*arguments, *keywords.values())):
            rigorous = {"rigorous": keywords.pop("rigorous", False)}
            return with_labels(wrapped, {**signature.bind(*arguments, **keywords).arguments, **rigorous})
        rigorous = keywords.pop("rigorous", False)
        try:
            with np.errstate(over="ignore", under="ignore"):
                estimate = calculator(*arguments, **keywords)
        except ValueError as error:
            if not isinstance(error, BadInput):  # NumPy's own words where shapes do not fit; anything else is a bug
                named = signature.bind(*arguments, **keywords).arguments
                together(*(numbers(k, v) for k, v in named.items() if not isinstance(v, str | None)))
            raise
        if not rigorous or isinstance(estimate, Unreachable):
            return estimate
        bound = signature.bind(*arguments, **keywords)
        bound.apply_defaults()
        values = estimate.values if isinstance(estimate, Solutions) else estimate
        return _enclosed(exact_twin(calculator), bound.arguments, np.asarray(values, dtype=np.float64))

    switch = inspect.Parameter("rigorous", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=bool)
    wrapped.__signature__ = signature.replace(parameters=[*signature.parameters.values(), switch])  # pyright: ignore[reportAttributeAccessIssue]
    return wrapped


def exact_twin(calculator: Callable[..., object]) -> ClosedForm[...] | Bracket[...] | Rounded[...]:
    """What says the exact value of a calculator: of its name, in the module `exact` of its topic."""
    topic = calculator.__module__.rpartition(".")[0]
    return getattr(importlib.import_module(f"{topic}.exact"), calculator.__name__)


def _enclosed(
    exact: ClosedForm[...] | Bracket[...] | Rounded[...], arguments: Mapping[str, Any], values: Reals
) -> Enclosed[float] | Enclosed[Reals]:
    """Entry by entry, or whole arrays; where nothing meets a target the ends are NaN."""
    from bounds.rigour.balls import working_precision
    from bounds.rigour.exact import Rounded

    with working_precision():
        if isinstance(exact, Rounded):
            lower, upper = exact.arrays(values, arguments)
        else:
            lower, upper = _entry_by_entry(exact, arguments, values)
    lower, upper = np.minimum(lower, values), np.maximum(upper, values)  # rounded to the safe side, or by some ulp
    if values.ndim == 0:
        return Enclosed(lower.item(), values.item(), upper.item())
    return Enclosed(lower, values, upper)


def _entry_by_entry(
    exact: ClosedForm[...] | Bracket[...], arguments: Mapping[str, Any], values: Reals
) -> tuple[Reals, Reals]:
    numeric = {k: numbers(k, v) for k, v in arguments.items() if v is not None and not isinstance(v, str)}
    fixed = {k: v for k, v in arguments.items() if k not in numeric}
    axis = max((numeric[k].shape[-1] for k in exact.rows if numeric[k].ndim), default=1)
    spread = {k: np.broadcast_to(v, values.shape + ((axis,) if k in exact.rows else ())) for k, v in numeric.items()}
    lower, upper = np.full(values.shape, np.nan), np.full(values.shape, np.nan)
    for at in np.ndindex(values.shape):
        if not np.isnan(values[at]):
            entry = {**{k: v[at].tolist() for k, v in spread.items()}, **fixed}
            lower[at], upper[at] = exact.ends(float(values[at]), entry)
    return lower, upper
