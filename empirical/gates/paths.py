"""Shares of what the mask costs: path integrals of each gate's own partial derivative (completeness).

    L(a) - L(b) = sum over gates of  - int_0^1 dL/ds_c (b_c - a_c) dt,   s(t) = a + t (b - a)

In u = ln t over [-ln r_max - 5, 0], where opening is smooth whatever the odds r, by Clenshaw-Curtis rules of n and n/2
intervals on panels that are halved where the two differ most; below, in t, by Radau's rule on the slope at 0 and one
more, further down where odds grow on the way. Each share has the difference of its own two rules; what all lack of the
measured change is the defect.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from empirical.gates.problem import Problem
from empirical.shapes import Float

INTERVALS = 8  # of the finer rule on a panel
PANEL = 8.0  # nats of a first panel, at most
BELOW = 5.0  # nats below the largest odds, where a gate has opened by e^-5; and of each step further down
MOST_NODES = 400


@cache
def clenshaw_curtis(intervals: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes on [-1, 1] and their weights, exact for polynomials of that degree."""
    nodes = np.cos(math.pi * np.arange(intervals + 1) / intervals)
    degree = np.arange(intervals + 1)
    moments = np.where(degree % 2 == 0, 2.0 / (1.0 - degree.astype(float) ** 2 + (degree == 1)), 0.0)
    return nodes, np.linalg.solve(np.polynomial.chebyshev.chebvander(nodes, intervals).T, moments)


@dataclass(frozen=True)
class Shares:
    """The integrals of every document and gate along a path, of losses summed over tokens."""

    value: Float[Tensor, "D G"]
    error: Float[Tensor, "G"]  # |difference of two rules|, of the sum over documents
    nodes: int  # gradients that it took

    def __add__(self, other: Shares) -> Shares:
        return Shares(self.value + other.value, self.error + other.error, self.nodes + other.nodes)


Slope = Callable[[float], Float[Tensor, "D G"]]
"""t -> -dL/dt by gate."""


def leg(
    problem: Problem,
    start: Float[Tensor, "G"],
    end: Float[Tensor, "G"],
    change: float,
    log_odds: float,
    tolerance: float = 1e-3,
) -> Shares:
    """The shares of L(start) - L(end) = `change` (of losses summed over tokens), gates opening together.

    Until neither the defect nor any share's difference is above tolerance * max(|change|, 0.01 nats a token), or there
    are MOST_NODES.
    """
    direction, scored = end - start, float(problem.counts[0].sum())
    enough = tolerance * max(abs(change), 0.01 * scored)
    taken: dict[float, Tensor] = {}

    def slope(t: float) -> Float[Tensor, "D G"]:
        if t not in taken:
            taken[t] = -problem.slopes(start + t * direction)[1] * direction
        return taken[t]

    edges = _edges(log_odds)
    bottom = float(edges[0])
    parts = [_below(slope, bottom), *(_panel(slope, float(low), float(high)) for low, high in pairwise(edges))]
    while True:
        value, error = sum((one.value for one in parts[1:]), parts[0].value), sum(one.gap.abs() for one in parts)
        assert isinstance(error, Tensor)
        defect = abs(float(value.sum()) - change)
        if (defect <= enough and float(error.max()) <= enough) or len(taken) > MOST_NODES:
            return Shares(value, error, len(taken))
        worst = max(parts, key=lambda one: float(one.gap.abs().max()))
        parts.remove(worst)
        if worst.low == -math.inf:  # odds have grown along the path
            parts += [_below(slope, worst.high - BELOW), _panel(slope, worst.high - BELOW, worst.high)]
        else:
            middle = (worst.low + worst.high) / 2
            parts += [_panel(slope, worst.low, middle), _panel(slope, middle, worst.high)]


def _edges(log_odds: float) -> np.ndarray:
    """Of the first panels, in ln t."""
    bottom = -max(0.0, log_odds) - BELOW
    return np.linspace(bottom, 0.0, math.ceil(-bottom / PANEL) + 1)


def least_nodes(log_odds: float) -> int:
    """Gradients that a leg takes before any panel is halved."""
    return 3 + INTERVALS * (len(_edges(log_odds)) - 1)


@dataclass(frozen=True, eq=False)
class _Part:
    """The integral over [low, high] of ln t, and what another rule differs by in the sum over documents."""

    low: float
    high: float
    value: Float[Tensor, "D G"]
    gap: Float[Tensor, "G"]


def _panel(slope: Slope, low: float, high: float) -> _Part:
    """By the rules of INTERVALS and of half as many."""
    nodes, weights = clenshaw_curtis(INTERVALS)
    coarse = clenshaw_curtis(INTERVALS // 2)[1]
    half = (high - low) / 2
    found = [slope(t) * t for t in (_at(low, high, float(x)) for x in nodes)]
    fine = sum((half * float(w) * y for w, y in zip(weights, found)), torch.zeros_like(found[0]))
    rough = sum((half * float(w) * y for w, y in zip(coarse, found[::2])), torch.zeros_like(found[0]))
    return _Part(low, high, fine, (fine - rough).sum(0))


def _below(slope: Slope, high: float) -> _Part:
    """Over t in [0, e^high], by Radau's rule of two nodes and by the slope at 0."""
    width = math.exp(high)
    first = slope(0.0) * width
    value = 0.25 * first + 0.75 * width * slope(2 * width / 3)
    return _Part(-math.inf, high, value, (value - first).sum(0))


def _at(low: float, high: float, x: float) -> float:
    """t at a node: the same number for an end that two panels share."""
    u = high if x == 1 else low if x == -1 else (low + high) / 2 + x * (high - low) / 2
    return math.exp(u)
