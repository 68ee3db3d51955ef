"""The least of a family of numbers, as a formula: Least(f(k), (k, 1, n - 1)), beside sympy's Sum and Product."""

# sympy has no types: what comes of its functions is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false, reportUnknownParameterType=false

from __future__ import annotations

import itertools
from typing import Any

from sympy import Min
from sympy.concrete.expr_with_intlimits import ExprWithIntLimits
from sympy.printing.latex import LatexPrinter


class Least(ExprWithIntLimits):
    """min of the function over whole numbers from lower to upper, both included."""

    def __new__(cls, function: Any, *limits: Any) -> Any:
        return ExprWithIntLimits.__new__(cls, function, *limits)

    @property
    def is_number(self) -> bool:
        """Not before it is written out: sympy's Min would compare it."""
        return False

    def doit(self, **hints: Any) -> Any:
        """The least itself, where every limit is a whole number; the limits may not name each other's index."""
        limits: list[tuple[Any, ...]] = [limit.args for limit in self.limits]
        if not all(end.is_Integer for _, *ends in limits for end in ends):
            return self
        indices = [index for index, _, _ in limits]
        ranges = [range(int(low), int(high) + 1) for _, low, high in limits]
        places = [dict(zip(indices, place)) for place in itertools.product(*ranges)]
        return Min(*(self.function.subs(place).doit(**hints) for place in places))

    def _latex(self, printer: LatexPrinter) -> str:
        shown = printer.doprint
        limits = [map(shown, limit.args) for limit in self.limits]
        ranges = [rf"{low} \le {index} \le {high}" for index, low, high in limits]
        return rf"\min_{{{', '.join(ranges)}}} \left[{shown(self.function)}\right]"
