"""Rigorous evaluation on Arb balls: sympy expressions as functions of balls, outward rounding, 200 bits.

    with working_precision():
        compiled(expression)({symbol: ball(value)})     contains the true value

Needs python-flint.
"""

# sympy has no types: what comes of its functions is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false, reportUnknownParameterType=false

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias

import sympy
from sympy.codegen.cfunctions import expm1, log1p
from sympy.codegen.numpy_nodes import logaddexp

from bounds.numbers.errors import BadInput
from bounds.theory.stable_forms import Forms

try:
    import flint
except ImportError:  # the check is made where a ball is first asked for
    flint = None

if TYPE_CHECKING:
    from flint import arb as Ball
else:
    Ball: TypeAlias = Any

BITS = 200
MOST_BITS = 2**14  # beyond any float64: 2^-1074 and 1 - 2^-53 side by side take some thousand
Evaluator: TypeAlias = "Callable[[Mapping[sympy.Symbol, Ball]], Ball]"
OnBalls: TypeAlias = "Callable[..., Ball]"
"""The forms of a topic by name: `form("most_attention", D, n)`, arguments in their printed order."""


def _flint() -> ModuleType:
    if flint is None:
        raise BadInput("rigorous evaluation needs python-flint: pip install python-flint")
    return flint


@contextmanager
def working_precision(bits: int = BITS) -> Generator[None]:
    """Our precision inside, the caller's again afterwards. Raises BadInput with the remedy without python-flint."""
    context = _flint().ctx
    before = context.prec
    context.prec = bits
    try:
        yield
    finally:
        context.prec = before


def ball(value: float | sympy.Rational) -> Ball:
    """An int, float or Rational as a ball around exactly that value."""
    arb = _flint().arb
    if isinstance(value, sympy.Rational):
        return arb(int(value.p)) / arb(int(value.q))
    return arb(value)


def minus_infinity() -> Ball:
    return _flint().arb.neg_inf()


def outward(value: Ball) -> tuple[float, float]:
    """float64 numbers on either side of a ball; a ball that says nothing gives (-inf, inf).

    What is finite beyond the largest float64 lies between that and infinity.
    """
    if value.is_nan():
        return -math.inf, math.inf
    low, high = value.lower(), value.upper()
    down, up = float(low), float(high)
    if ball(down) > low:
        down = math.nextafter(down, -math.inf)
    if ball(up) < high:
        up = math.nextafter(up, math.inf)
    return down, up


def _whole(value: Ball) -> int:
    """A ball that is a whole number."""
    return int(str(value.unique_fmpz()))


def whole_near(place: Callable[[], Ball], least: float, most: float) -> list[int]:
    """The whole numbers next to a real one, held to [least, most]: of what falls before it and rises after, the best.

    `place` is evaluated at more and more bits, until its ball is narrower than 1.
    """
    context = _flint().ctx
    before = context.prec
    try:
        while True:
            found = place()
            if found <= least:
                return [int(least)]
            if found >= most:
                return [int(most)]
            if found.rad() < 0.5:
                low, high = found.lower().max(ball(least)).floor(), found.upper().min(ball(most)).ceil()
                return list(range(_whole(low), _whole(high) + 1))
            if context.prec > MOST_BITS:
                raise ArithmeticError(f"a count must be decided within {MOST_BITS} bits, got {found}")
            context.prec *= 2
    finally:
        context.prec = before


def _log(a: Ball) -> Ball:
    return a.log() if a != 0 else minus_infinity()


def _choose(pieces: list[tuple[Evaluator, Any]], values: Mapping[Any, Ball]) -> Ball:
    """The piece whose condition is certain, or the union of those that are possible."""
    possible = None
    for value, condition in pieces:
        certain, excluded = condition(values)
        if excluded:
            continue
        here = value(values)
        possible = here if possible is None else possible.union(here)
        if certain:
            return possible
    assert possible is not None  # the last condition of a Piecewise is true
    return possible


def _condition(relation: Any) -> Callable[[Mapping[Any, Ball]], tuple[bool, bool]]:
    """(certainly true, certainly false) on balls."""
    if relation == sympy.true:
        return lambda values: (True, False)
    left, right = compiled(relation.lhs), compiled(relation.rhs)
    holds = {"<=": lambda a, b: (a <= b, a > b), "<": lambda a, b: (a < b, a >= b)}
    holds |= {">=": lambda a, b: (a >= b, a < b), ">": lambda a, b: (a > b, a <= b)}
    holds["=="] = lambda a, b: (a == b and a.is_exact() and b.is_exact(), not a.overlaps(b))
    test = holds[relation.rel_op]
    return lambda values: test(left(values), right(values))


_UNARY: dict[Any, Callable[[Ball], Ball]] = {
    sympy.exp: lambda a: a.exp(),
    sympy.log: _log,
    log1p: lambda a: a.log1p() if a != -1 else minus_infinity(),
    expm1: lambda a: a.expm1(),
    sympy.sin: lambda a: a.sin(),
    sympy.cos: lambda a: a.cos(),
    sympy.tanh: lambda a: a.tanh(),
    sympy.ceiling: lambda a: a.ceil(),
}


def _power(base: Evaluator, exponent: Any) -> Evaluator:
    if exponent.is_Integer:
        whole = int(exponent)
        return lambda values: base(values) ** whole
    if exponent == sympy.S.Half:
        return lambda values: base(values).sqrt()
    if exponent == -sympy.S.Half:
        return lambda values: 1 / base(values).sqrt()
    power = compiled(exponent)
    return lambda values: base(values) ** power(values)


def compiled(expression: Any) -> Evaluator:
    """An expression as a function of balls by symbol."""
    expression = sympy.sympify(expression)
    if expression.is_Symbol:
        return lambda values: values[expression]
    if expression is sympy.E:
        return lambda values: ball(1).exp()
    if expression is sympy.pi:
        return lambda values: _flint().arb.pi()
    if expression.is_Rational:
        constant = ball(expression)
        return lambda values: constant
    if expression.func is sympy.Piecewise:
        pieces = [(compiled(value), _condition(condition)) for value, condition in expression.args]
        return lambda values: _choose(pieces, values)
    parts = [compiled(argument) for argument in expression.args]
    if expression.func is sympy.Pow:
        return _power(parts[0], expression.args[1])
    if expression.func in _UNARY:
        function, argument = _UNARY[expression.func], parts[0]
        return lambda values: function(argument(values))
    folds: dict[Any, Callable[[Ball, Ball], Ball]] = {
        sympy.Add: lambda a, b: a + b,
        sympy.Mul: lambda a, b: a * b,
        sympy.Max: lambda a, b: a.max(b),
        sympy.Min: lambda a, b: a.min(b),
        logaddexp: lambda a, b: a.max(b) + (-abs(a - b)).exp().log1p(),
    }
    if expression.func not in folds:
        raise TypeError(f"expression must be of known functions, got {expression.func.__name__}")
    fold = folds[expression.func]

    def evaluate(values: Mapping[Any, Ball]) -> Ball:
        result = parts[0](values)
        for part in parts[1:]:
            result = fold(result, part(values))
        return result

    return evaluate


def printed(forms: Forms) -> OnBalls:
    """The printed forms of a topic on balls."""
    evaluators: dict[str, Evaluator] = {}

    def form(name: str, *values: Ball | float) -> Ball:
        arguments, expression = forms[name]
        if name not in evaluators:
            evaluators[name] = compiled(expression)
        given = (ball(v) if isinstance(v, (int, float)) else v for v in values)
        return evaluators[name](dict(zip(arguments, given)))

    return form
