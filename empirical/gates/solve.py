"""Gates that minimise loss plus penalty times leakage, the model's weights as they are: exact zeros, with a residual.

    J(s) = L(s) + penalty Omega(s) on the box [0, 1]^G
    residual_c = |clip(s_c - dJ/ds_c) - s_c|, 0 at every gate iff s is a stationary point of the box

Steps minimise a quadratic model of J within the box and a trust region, its curvature learnt from the gradients of all
steps so far (SR1), also of the penalties before: a gate whose slope keeps it at an end leaves the working set, and is
exactly 0 or 1. They are taken in the coordinate that leakage is nearly linear in (`gates.coordinate`), where s may have
to move over eight orders of magnitude. A residual certifies a stationary point, not a minimum; where a gate has long
opened its rows s moves nothing, and its residual says little: steps end where that of the coordinate is small as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from empirical.errors import BadInput
from empirical.gates.coordinate import Coordinate, single
from empirical.gates.problem import Problem, Value
from empirical.shapes import Bool, Float

EVALUATIONS = 60  # gradients a penalty
FIRST = 0.25  # of the coordinate's range: how far a step may go at first
NOISE = 1e-7  # of J: gains below it are judged by the residual, losses in float32 say nothing of them


@dataclass(frozen=True)
class Solution:
    """Gates found for a penalty, and how near they are to a stationary point."""

    gates: Float[Tensor, "G"]
    penalty: float
    value: Value
    residual: Float[Tensor, "G"]
    evaluations: int  # gradients that it took
    curvature: Float[np.ndarray, "G G"] | None = None  # of J in the coordinate, as far as it was learnt

    @property
    def shut(self) -> Bool[Tensor, "G"]:
        return self.gates == 0

    @property
    def objective(self) -> float:
        return self.value.objective(self.penalty)


def residual(gates: Float[Tensor, "G"], slope: Float[Tensor, "G"]) -> Float[Tensor, "G"]:
    """|clip(s - dJ/ds) - s| of every gate."""
    return ((gates - slope).clamp(0, 1) - gates).abs()


def minimised(
    problem: Problem,
    penalty: float,
    start: Float[Tensor, "G"],
    *,
    odds: Float[Tensor, "G"] | None = None,
    coordinate: Coordinate | None = None,
    curvature: Float[np.ndarray, "G G"] | None = None,
    weights: Float[Tensor, "G"] | None = None,
    tolerance: float = 1e-6,
    most: int = EVALUATIONS,
) -> Solution:
    """A stationary point of J reached from `start`, J no larger than there.

    Ends where no residual, in s or in x, is above `tolerance`, or after `most` gradients. The `coordinate` x
    (`coordinate.fitted`) is solved in, by default that of the gates' mean `odds` at the mask (`CellMap.omega_of`), or
    s itself; `curvature` is that of a solution before. With `weights` the penalty is on sum w_c s_c, leakage or no.
    Raises BadInput for a penalty that is negative or not finite.
    """
    if not 0 <= penalty < np.inf:
        raise BadInput(f"penalty must be finite and >= 0, got {penalty!r}")
    count = problem.groups.count
    along = coordinate or single(np.zeros(count) if odds is None else odds.numpy())

    def at(x: Float[np.ndarray, "G"]) -> _Point:
        gates = along.gates(x)
        s = torch.as_tensor(gates)
        value, slope = problem.objective(s, penalty, weights)
        return _Point(x, s, value, value.objective(penalty), slope.numpy() * along.moves(gates), residual(s, slope))

    here, taken, radius = at(along.of(start.detach().double().numpy())), 1, FIRST
    learnt = curvature is not None
    model = curvature if learnt else np.eye(count) * np.abs(here.slope).max() / FIRST
    assert model is not None
    while here.lacking > tolerance and taken < most:
        step, gain = _within(model, here.slope, np.maximum(-here.x, -radius), np.minimum(1 - here.x, radius))
        there, taken = at(np.clip(here.x + step, 0, 1)), taken + 1
        turned = there.slope - here.slope
        if not learnt and step @ turned > 0:
            model, learnt = np.eye(count) * (turned @ turned) / (step @ turned), True
        model = _updated(model, step, turned)
        noise = NOISE * abs(here.objective)
        nearer = gain <= noise and there.lacking < here.lacking
        agreement = (here.objective - there.objective) / max(gain, np.finfo(float).tiny)
        reached = float(np.abs(step).max())
        if agreement < 0.25 and not nearer:
            radius = reached / 2
        elif agreement > 0.75 and reached > 0.9 * radius:
            radius = min(1.0, 2 * radius)
        if there.objective < here.objective or (nearer and there.objective <= here.objective + noise):
            here = there
    return Solution(here.gates, penalty, here.value, here.residual, taken, model if learnt else None)


@dataclass(frozen=True)
class _Point:
    """Where a step ends: the coordinate, and what is there."""

    x: Float[np.ndarray, "G"]
    gates: Float[Tensor, "G"]
    value: Value
    objective: float
    slope: Float[np.ndarray, "G"]  # dJ/dx
    residual: Float[Tensor, "G"]

    @property
    def lacking(self) -> float:
        """The largest residual, in s or in the coordinate."""
        return max(float(self.residual.max()), float(np.abs(np.clip(self.x - self.slope, 0, 1) - self.x).max()))


def _within(
    model: Float[np.ndarray, "G G"], slope: Float[np.ndarray, "G"], low: np.ndarray, high: np.ndarray
) -> tuple[Float[np.ndarray, "G"], float]:
    """The step within a box that the model gains most by, and how much."""
    from scipy.optimize import minimize as quasi_newton

    unit = max(float(np.abs(slope).max()), np.finfo(float).tiny)

    def change(step: np.ndarray) -> tuple[float, np.ndarray]:
        bent = model @ step
        return float(slope @ step + step @ bent / 2) / unit, (slope + bent) / unit

    options = {"maxiter": 500, "ftol": 0.0, "gtol": 1e-10}
    box = list(zip(low, np.maximum(low, high)))
    found = quasi_newton(change, 0 * slope, jac=True, method="L-BFGS-B", bounds=box, options=options)
    return found.x, -float(found.fun) * unit


def _updated(model: Float[np.ndarray, "G G"], step: np.ndarray, turned: np.ndarray) -> Float[np.ndarray, "G G"]:
    """SR1: the symmetric matrix next to the model that turns the slope as the step did; the same where none is near."""
    lacking = turned - model @ step
    along = float(lacking @ step)
    near = abs(along) > 1e-8 * float(np.linalg.norm(lacking) * np.linalg.norm(step))
    return model + np.outer(lacking, lacking) / along if near else model


def projected_step(gates: Float[Tensor, "*B G"], slope: Float[Tensor, "*B G"], size: float) -> Float[Tensor, "*B G"]:
    """clip(s - size dJ/ds): after steps whose sizes sum to s/gap a gate with dJ/ds >= gap is exactly 0."""
    return (gates - size * slope).clamp(0, 1)


def last_open_rate(problem: Problem, gates: Float[Tensor, "G"]) -> float:
    """-sum s dL/ds over the last open layer, a unit of its sum s dOmega/ds; NaN where all are shut.

    At a stationary point it is at least the penalty (no gate in two layers): a free check of what was found.
    """
    layers = [layer for layer in range(problem.groups.layers) if bool(gates[problem.groups.in_layer[layer]].any())]
    if not layers:
        return float("nan")
    _, of_loss, of_omega = problem.slopes(gates, omega=True)
    assert of_omega is not None
    own = gates * problem.groups.in_layer[layers[-1]]
    loss, omega = float((own * of_loss.sum(0)).sum() / problem.counts[0].sum()), float((own * of_omega.sum(0)).sum())
    return -loss / omega if omega > 0 else float("nan")


def penalties_around(
    critical: float, ratios: Sequence[float] = (0.003, 0.01, 0.03, 0.1, 0.3, 0.98, 1.02)
) -> list[float]:
    """Multiples of a critical penalty, ascending."""
    return sorted(critical * ratio for ratio in ratios)
