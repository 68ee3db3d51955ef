"""Rigorous evaluation on Arb balls, and branch and bound: an inequality over a box is PROVED, REFUTED or UNDECIDED.

    enclose(expression, {symbol: ball}) contains the true value, outward rounding, 200 bits
    decide(larger - smaller >= 0 on a box): bisection, with a variable fixed at its worse end where the slope has a sign

Needs python-flint (the extra `rigorous`).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import count
from typing import Any

import sympy
from sympy.codegen.cfunctions import expm1, log1p
from sympy.codegen.numpy_nodes import logaddexp

from bounds.numbers.errors import BadInput
from bounds.theory.statement import Statement

try:
    import flint
except ImportError:  # the check is made where a ball is first asked for
    flint = None

BITS = 200
Ball = Any
Evaluator = Callable[[Mapping[Any, Ball]], Ball]


def balls() -> Any:
    """The flint module at our precision. Raises BadInput with the remedy."""
    if flint is None:
        raise BadInput("rigorous evaluation needs python-flint: pip install 'localist-bounds[rigorous]'")
    flint.ctx.prec = BITS
    return flint


def ball(value: Any) -> Ball:
    """An int, float or Rational as a ball around exactly that value."""
    arb = balls().arb
    if isinstance(value, sympy.Rational):
        return arb(int(value.p)) / arb(int(value.q))
    return arb(value) if isinstance(value, (int, float)) else arb(float(value))


def _union(first: Ball, second: Ball) -> Ball:
    return first.union(second)


def _log(a: Ball) -> Ball:
    return a.log() if a != 0 else balls().arb.neg_inf()


def _choose(pieces: list[tuple[Evaluator, Any]], values: Mapping[Any, Ball]) -> Ball:
    """The piece whose condition is certain, or the union of those that are possible."""
    possible = None
    for value, condition in pieces:
        certain, excluded = condition(values)
        if excluded:
            continue
        here = value(values)
        possible = here if possible is None else _union(possible, here)
        if certain:
            return possible
    assert possible is not None
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
    log1p: lambda a: a.log1p(),
    expm1: lambda a: a.expm1(),
    sympy.sin: lambda a: a.sin(),
    sympy.cos: lambda a: a.cos(),
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
        return lambda values: balls().arb(1).exp()
    if expression is sympy.pi:
        return lambda values: balls().arb.pi()
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


class Decision(Enum):
    """What branch and bound found."""

    PROVED = "holds everywhere on the box"
    REFUTED = "fails at the point given"
    UNDECIDED = "boxes are left that this precision or number of boxes cannot decide"


@dataclass(frozen=True)
class Outcome:
    """The decision, how many boxes were looked at, and the point or the box that is left."""

    decision: Decision
    boxes: int
    place: dict[str, Any] | None = None


def _hull(low: float, high: float) -> Ball:
    """A ball around [low, high]. Its radius is rounded up in 30 bits: from 0 it reaches a little below 0."""
    return ball(low) if low == high else _union(ball(low), ball(high))


def decide(statement: Statement, most_boxes: int = 20_000) -> Outcome:
    """Branch and bound, the widest box first; a refutation is a point, evaluated rigorously."""
    gap = sympy.sympify(statement.larger) - sympy.sympify(statement.smaller)
    symbols = list(statement.box)
    value = compiled(gap)
    slopes = [compiled(sympy.factor(sympy.diff(gap, symbol))) for symbol in symbols]  # factored: fewer cancellations
    first = {s: (float(low), float(high)) for s, (low, high) in statement.box.items()}
    order, looked = count(), 0
    heap = [(0.0, next(order), first)]
    while heap and looked < most_boxes:
        _, _, box = heapq.heappop(heap)
        looked += 1
        found = _settle(value, slopes, symbols, box)
        if found is True:
            continue
        middle = {s: _middle(s in statement.scale, *box[s]) for s in symbols}
        if value({s: ball(m) for s, m in middle.items()}) < 0:
            return Outcome(Decision.REFUTED, looked, {str(s): m for s, m in middle.items()})
        widths = {s: _width(s in statement.scale, box[s], first[s]) for s in symbols}
        widest = max(symbols, key=lambda s: widths[s])
        if box[widest][0] >= middle[widest] or middle[widest] >= box[widest][1]:
            return Outcome(Decision.UNDECIDED, looked, {str(s): list(box[s]) for s in symbols})
        for part in ((box[widest][0], middle[widest]), (middle[widest], box[widest][1])):
            heapq.heappush(heap, (-widths[widest], next(order), {**box, widest: part}))
    if not heap:
        return Outcome(Decision.PROVED, looked)
    return Outcome(Decision.UNDECIDED, looked, {str(s): list(heap[0][2][s]) for s in symbols})


def _settle(
    value: Evaluator, slopes: list[Any], symbols: list[Any], box: dict[Any, tuple[float, float]]
) -> bool | None:
    """True if the gap is not negative on the box; a variable whose slope has a sign is put at its worse end."""
    values = {s: _hull(*box[s]) for s in symbols}
    if value(values) >= 0:
        return True
    changed = False
    for symbol, slope in zip(symbols, slopes):
        if box[symbol][0] == box[symbol][1]:
            continue
        steepness = slope(values)
        if steepness >= 0 or steepness <= 0:
            values[symbol] = ball(box[symbol][0] if steepness >= 0 else box[symbol][1])
            changed = True
    return True if changed and value(values) >= 0 else None


def _middle(geometric: bool, low: float, high: float) -> float:
    return (low * high) ** 0.5 if geometric else (low + high) / 2


def _width(geometric: bool, box: tuple[float, float], first: tuple[float, float]) -> float:
    """e-folds of a geometric variable, else the share of the first box."""
    low, high = box
    return math.log(high / low) if geometric else (high - low) / max(first[1] - first[0], 1e-300)
