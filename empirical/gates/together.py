"""Gates and weights trained at once: the optimiser's step for the weights, a projected step for the gates.

    J(theta, s) = L(theta, s) + penalty Omega(theta, s)
    theta <- optimiser's step on J,   s <- clip(s - size dJ/ds) on [0, 1]^G

(theta*, 0) is a local minimum above the critical penalty if theta* is one of L(., 0); the critical penalty moves with
theta along the way, so that it is to be had anew (`pair_map.cell_map`). Gates reach 0 exactly, weights need not rest:
the norm of their gradient is told. Not covered: dropout, batch statistics, losses that compare with the model itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim import Optimizer

from empirical.errors import BadInput
from empirical.gates.problem import Problem, Value, checked
from empirical.gates.solve import projected_step
from empirical.shapes import Float


@dataclass(frozen=True)
class Step:
    """What a step started from."""

    value: Value  # of its batches
    gates: Float[Tensor, "G"]
    gradient: float  # norm of dJ/dtheta


def trained_together(
    problem: Problem,
    gates: Float[Tensor, "G"],
    penalty: float,
    optimizer: Optimizer,
    *,
    steps: int,
    size: float,
    minibatch: bool = False,
) -> tuple[Float[Tensor, "G"], list[Step]]:
    """The gates after so many steps, and what each step started from; the weights are the optimiser's own.

    All batches a step, or with `minibatch` one after the other. Raises BadInput for a penalty or size that is negative
    or not finite.
    """
    for name, given in (("penalty", penalty), ("size", size)):
        if not 0 <= given < float("inf"):
            raise BadInput(f"{name} must be finite and >= 0, got {given!r}")
    weights = [one for group in optimizer.param_groups for one in group["params"]]
    at, told = gates.detach().double().clone(), []
    for step in range(steps):
        numbers = [step % len(problem.sizes)] if minibatch else range(len(problem.sizes))
        value, slope = _backward(problem, at, penalty, numbers, optimizer)
        norms = [one.grad.norm() for one in weights if one.grad is not None]
        told.append(Step(value, at, float(torch.stack(norms).norm()) if norms else 0.0))
        optimizer.step()
        at = projected_step(at, slope, size)
    optimizer.zero_grad()
    return at, told


def _backward(
    problem: Problem, gates: Float[Tensor, "G"], penalty: float, numbers: Iterable[int], optimizer: Optimizer
) -> tuple[Value, Float[Tensor, "G"]]:
    """J of some batches: its gradient is left in the weights, and that of the gates given back."""
    optimizer.zero_grad()
    scored, rows = problem.counts_of(numbers)
    per_row = torch.where(rows > 0, 1 / rows.clamp(min=1), 0.0)
    loss = omega = 0.0
    slope = torch.zeros_like(gates)
    with torch.enable_grad():
        for number in numbers:
            own = gates.expand(problem.sizes[number], -1).clone().requires_grad_()
            reading = problem.read(number, own)
            mean = reading.loss.double().sum() / scored
            leakage = (reading.leakage.double() * per_row.to(reading.leakage.device)).sum()
            (mean + penalty * leakage.to(mean.device)).backward()
            assert own.grad is not None
            slope += own.grad.sum(0).cpu()
            loss, omega = loss + float(mean.detach()), omega + float(leakage.detach())
    checked(torch.tensor([loss]))
    return Value(loss, omega), slope
