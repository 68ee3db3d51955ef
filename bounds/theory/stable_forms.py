"""That a printed form is its expression: the proof steps every stable rewriting needs."""

# sympy has no types: what comes of its functions is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false, reportUnknownParameterType=false

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from sympy import exp, log
from sympy.codegen.cfunctions import expm1, log1p
from sympy.codegen.numpy_nodes import logaddexp

from bounds.theory.symbols import F, eps, x, x_plus
from bounds.theory.theorem import ProofStep

Forms: TypeAlias = dict[str, tuple[tuple[Any, ...], Any]]
"""name -> (symbols that are its arguments, stable expression), which sympy does not type"""


def plain(form: Any) -> Any:
    """A stable form with F = 1 - eps, and log1p, expm1 and logaddexp written out."""
    return (
        form.subs(F, 1 - eps)
        .replace(log1p, lambda a: log(1 + a))
        .replace(expm1, lambda a: exp(a) - 1)
        .replace(logaddexp, lambda a, b: log(exp(a) + exp(b)))
    )


def same(forms: Forms, name: str, expression: Any, uncapped: Mapping[Any, Any] | None = None) -> tuple[ProofStep, ...]:
    """The printed form of that name is the expression, on either side of x = 0; logarithms by their exponentials.

    `uncapped` replaces what only keeps the form from overflowing.
    """
    form = forms[name][1].subs(uncapped or {})
    gap = exp(plain(form)) - exp(expression) if expression.has(log) else plain(form) - expression
    return (
        ProofStep(f"The printed `{name}` equals it for x >= 0", residual=gap.subs(x, x_plus)),
        ProofStep("and for x <= 0", residual=gap.subs(x, -x_plus)),
    )
