"""Which end of an enclosure promises no more than is proved: the upper of what is needed, the lower of what is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar, cast

from bounds.numbers.search import Unreachable

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Ends:
    """Evaluates calculators: in float64, or at the end of an enclosure that promises no more than is proved."""

    rigorous: bool

    def lower(self, calculator: Callable[P, T], *arguments: P.args, **keywords: P.kwargs) -> T:
        """For what is guaranteed at least, or may be at most."""
        return self._at(0, calculator, *arguments, **keywords)

    def upper(self, calculator: Callable[P, T], *arguments: P.args, **keywords: P.kwargs) -> T:
        """For what is guaranteed at most, or must be at least."""
        return self._at(-1, calculator, *arguments, **keywords)

    def _at(self, end: int, calculator: Callable[P, T], *arguments: P.args, **keywords: P.kwargs) -> T:
        estimate = calculator(*arguments, **keywords)
        if not self.rigorous or isinstance(estimate, Unreachable):
            return estimate
        enclose: Callable[..., Any] = calculator
        same_type = cast(Callable[[float], T], type(estimate))  # a whole number stays one
        return same_type(enclose(*arguments, **keywords, rigorous=True)[end])
