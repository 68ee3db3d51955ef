"""The coordinate that gates are solved in: leakage is nearly linear in it, over however many decades gates move.

    x = sum_k w_k s (1 + r_k)/(1 + s r_k),   r_k = 0, 10, 100, ...: 0 at s = 0, 1 at s = 1, increasing

A row whose keys outside have r times the weight of its own block leaks s r/(1 + s r); odds differ by decades from row
to row, and a mean of them says nothing of most. The weights are those that fit s dOmega/ds at s = 1, 0.1, 0.01, ...
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from empirical.gates.problem import Problem, slope_of
from empirical.shapes import Float

MOST = 16  # odds beside 0: a decade apart, or further where they go over more decades
HALVINGS = 80  # of an interval of ln s: to the last bits of float64


@dataclass(frozen=True, eq=False)
class Coordinate:
    """x of every gate, a mixture of curves of single odds."""

    odds: Float[np.ndarray, "#G K"]
    weights: Float[np.ndarray, "#G K"]  # of a gate they sum to 1

    def of(self, gates: Float[np.ndarray, "G"]) -> Float[np.ndarray, "G"]:
        s = gates[:, None]
        return (self.weights * s * (1 + self.odds) / (1 + s * self.odds)).sum(-1)

    def moves(self, gates: Float[np.ndarray, "G"]) -> Float[np.ndarray, "G"]:
        """ds/dx."""
        return 1 / (self.weights * (1 + self.odds) / (1 + gates[:, None] * self.odds) ** 2).sum(-1)

    def gates(self, x: Float[np.ndarray, "G"]) -> Float[np.ndarray, "G"]:
        """s of every x, exactly 0 and 1 at the ends."""
        low = np.log(np.clip(x / (1 + self.odds.max(-1)), 1e-300, 1.0))  # x <= s (1 + the largest r)
        high = np.log(np.clip(x, 1e-300, 1.0))  # s <= x
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            below = self.of(np.exp(middle)) < x
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return np.where(x <= 0, 0.0, np.where(x >= 1, 1.0, np.exp(high)))


def single(odds: Float[np.ndarray, "G"]) -> Coordinate:
    """Of gates whose rows have all the same odds."""
    return Coordinate(odds[:, None], np.ones((len(odds), 1)))


def fitted(problem: Problem, odds: Float[torch.Tensor, "G"]) -> Coordinate:
    """The coordinate of a problem, `odds` being its gates' means at the mask: at most MOST + 1 backward passes."""
    from scipy.optimize import nnls  # training, which steps gates, does without

    decades = math.ceil(math.log10(max(1.0, float(odds.max()))))
    up = np.linspace(0.0, decades, 1 + min(decades, MOST))
    at, each = 10.0**-up, np.array([0.0, *10.0 ** up[1:]])
    curves = at[:, None] * (1 + each) / (1 + at[:, None] * each) ** 2
    wanted = np.stack([size * _slope(problem, size) for size in at]).clip(min=0)
    weights = np.stack([nnls(curves, one)[0] for one in wanted.T])
    weights[weights.sum(-1) == 0, 0] = 1.0
    return Coordinate(each[None], weights / weights.sum(-1, keepdims=True))


def _slope(problem: Problem, size: float) -> Float[np.ndarray, "G"]:
    """dOmega/ds of every gate where all are `size`."""
    total = torch.zeros(problem.groups.count, dtype=torch.float64)
    with torch.enable_grad():
        for own, reading in problem.readings(torch.full_like(total, size)):
            total += slope_of(problem.omega(reading.leakage).sum(), own).sum(0)
    return total.numpy()
