"""Branch and bound on Arb balls: an inequality over a box is PROVED, REFUTED or UNDECIDED.

    decide(larger - smaller >= 0 on a box): bisection, with a variable fixed at its worse end where the slope has a sign

A refutation is a point at which the inequality was evaluated rigorously and fails. Needs python-flint.
"""

# sympy has no types: what comes of its functions is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false, reportUnknownParameterType=false

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass
from enum import Enum
from itertools import count
from typing import Any

import sympy

from bounds.rigour.balls import Ball, Evaluator, ball, compiled, working_precision
from bounds.theory.statement import Statement


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
    return ball(low) if low == high else ball(low).union(ball(high))


@working_precision()
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
