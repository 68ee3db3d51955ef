"""Gates that minimise loss plus penalty times leakage, the model's weights as they are: exact zeros, with a residual.

    J(s) = L(s) + penalty Omega(s) on the box [0, 1]^G
    residual_c = |clip(s_c - dJ/ds_c) - s_c|, 0 at every gate iff s is a stationary point of the box

Projected quasi-Newton steps (L-BFGS-B: a gate whose slope keeps it at an end leaves the working set, and is exactly 0
or 1) in the coordinate x = s (1 + r)/(1 + s r), r the mean odds of the gate at the mask: leakage is nearly linear in x
where s may have to move over eight orders of magnitude. A residual certifies a stationary point, not a minimum.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize as quasi_newton
from torch import Tensor

from empirical.errors import BadInput
from empirical.gates.problem import Problem, Value
from empirical.shapes import Bool, Float

EVALUATIONS = 60  # gradients a penalty


@dataclass(frozen=True)
class Solution:
    """Gates found for a penalty, and how near they are to a stationary point."""

    gates: Float[Tensor, "G"]
    penalty: float
    value: Value
    residual: Float[Tensor, "G"]
    evaluations: int  # gradients that it took

    @property
    def shut(self) -> Bool[Tensor, "G"]:
        return self.gates == 0

    @property
    def objective(self) -> float:
        return self.value.objective(self.penalty)


class _Found(Exception):
    """The residual that was asked for is reached."""


def residual(gates: Float[Tensor, "G"], slope: Float[Tensor, "G"]) -> Float[Tensor, "G"]:
    """|clip(s - dJ/ds) - s| of every gate."""
    return ((gates - slope).clamp(0, 1) - gates).abs()


def minimised(
    problem: Problem,
    penalty: float,
    start: Float[Tensor, "G"],
    *,
    odds: Float[Tensor, "G"] | None = None,
    weights: Float[Tensor, "G"] | None = None,
    tolerance: float = 1e-6,
    most: int = EVALUATIONS,
) -> Solution:
    """A stationary point of J reached from `start`, J no larger than there.

    Ends where no residual is above `tolerance`, or after `most` gradients. `odds` are of the gates at the mask
    (`CellMap.omega_of`), by default 0; with `weights` the penalty is on sum w_c s_c, leakage or no. Raises BadInput for
    a penalty that is negative or not finite.
    """
    if not 0 <= penalty < np.inf:
        raise BadInput(f"penalty must be finite and >= 0, got {penalty!r}")
    scale = np.zeros(problem.groups.count) if odds is None else odds.numpy()
    found: list[Solution] = []

    def gates_at(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        below = 1 + scale * (1 - x)
        return np.clip(x / below, 0, 1), (1 + scale) / below**2

    def objective(x: np.ndarray) -> tuple[float, np.ndarray]:
        gates, moves = gates_at(x)
        s = torch.as_tensor(gates)
        value, slope = problem.objective(s, penalty, weights)
        one = Solution(s, penalty, value, residual(s, slope), len(found) + 1)
        best = min((other.objective for other in found), default=np.inf)
        found.append(one)
        if one.objective <= best and float(one.residual.max()) <= tolerance:
            raise _Found
        if len(found) >= most:
            raise _Found
        return one.objective, slope.numpy() * moves

    s = start.detach().double().numpy()
    with suppress(_Found):
        quasi_newton(
            objective,
            s * (1 + scale) / (1 + s * scale),
            jac=True,
            method="L-BFGS-B",
            bounds=[(0.0, 1.0)] * len(s),
            options={"maxfun": most, "maxiter": most, "ftol": 0.0, "gtol": 0.0, "maxcor": 20},
        )
    best = min(found, key=lambda one: one.objective)
    return Solution(best.gates, penalty, best.value, best.residual, len(found))


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
