"""A penalty on groups of coordinates: its value, proximal map, slope and curvature. A new penalty is one such class.

    F(w) = L(w) + sum_g penalty_g p(||w_g||),   p(0) = 0, p'(0+) = 1, smooth elsewhere     (2-norms, not squared)
    prox:      w -> argmin_z sum_g amount_g p(||z_g||) + ||z - w||^2 / 2,   amount = step penalty
    slope:     the subgradient of F of least norm: 0 exactly at the stationary points
    curvature: F'' among groups off their kinks

A zero group is stationary where ||grad_g L|| <= penalty_g, whatever p is: a critical penalty is one of every penalty.
A group of penalty 0 has no kink. An infinite penalty holds its groups at zero.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from empirical.shapes import Bool, Float, Int, Shaped


@runtime_checkable
class Partition(Protocol):
    """How the coordinates of a point fall into groups."""

    def norms(self, x: Float[Tensor, "*point"]) -> Float[Tensor, "*groups"]:
        """||x_g|| of every group."""
        ...

    def spread(self, values: Shaped[Tensor, "*groups"]) -> Shaped[Tensor, "..."]:
        """Each coordinate's group's value, broadcasting to the points."""
        ...


@runtime_checkable
class Penalty(Protocol):
    """What solver, modules and optimiser take; `penalties` one number a group, `norms` ||w_g||."""

    @property
    def groups(self) -> Partition: ...

    def value(self, norms: Float[Tensor, "*lead G"], penalties: Float[Tensor, "*#lead G"]) -> Float[Tensor, "*lead"]:
        """sum_g penalty_g p(||w_g||)."""
        ...

    def prox(
        self, x: Float[Tensor, "*point"], amounts: Float[Tensor, "..."]
    ) -> tuple[Float[Tensor, "*point"], Bool[Tensor, "*groups"]]:
        """The proximal map with exact zeros, and which groups it leaves non-zero; amounts are step times penalty."""
        ...

    def slope(
        self,
        x: Float[Tensor, "*lead P"],
        gradient: Float[Tensor, "*lead P"],
        penalties: Float[Tensor, "*#lead G"],
        norms: Float[Tensor, "*lead G"],
        steepness: Float[Tensor, "*lead G"],
    ) -> Float[Tensor, "*lead P"]:
        """The subgradient of loss and penalty of least norm; `norms` and `steepness` are of x and of the gradient."""
        ...

    def curvature(
        self,
        hessian: Float[Tensor, "A A"],
        point: Float[Tensor, "P"],
        at: Int[Tensor, "A"],
        penalties: Float[Tensor, "G"],
    ) -> Float[Tensor, "A A"]:
        """F'' from L'' of one point among the coordinates `at`: all those of some groups, off their kinks."""
        ...


Kind = Callable[[Partition], Penalty]
"""What makes a penalty of groups: its class."""


def active(norms: Float[Tensor, "*lead G"], penalties: Float[Tensor, "*#lead G"]) -> Bool[Tensor, "*lead G"]:
    """Groups off the kink: not zero, or not penalised."""
    return (norms > 0) | (penalties == 0)


@dataclass(frozen=True, eq=False)
class GroupNorm:
    """p(t) = t: the norms themselves (group lasso).

    prox:  w_g max(0, 1 - amount_g / ||w_g||)
    slope: grad_g + penalty_g w_g / ||w_g||;  at w_g = 0 grad_g max(0, 1 - penalty_g / ||grad_g||)
    F'':   L'' + penalty_g / ||w_g|| (I - u u^T) in each group,  u = w_g / ||w_g||
    """

    groups: Partition

    def value(self, norms: Float[Tensor, "*lead G"], penalties: Float[Tensor, "*#lead G"]) -> Float[Tensor, "*lead"]:
        """An infinite penalty of a zero group counts 0."""
        return torch.where(norms > 0, penalties * norms, 0.0).sum(-1)

    def prox(
        self, x: Float[Tensor, "*point"], amounts: Float[Tensor, "..."]
    ) -> tuple[Float[Tensor, "*point"], Bool[Tensor, "*groups"]]:
        factor, kept = shrink_factor(self.groups.norms(x), amounts)
        return x * self.groups.spread(torch.where(amounts > 0, factor, 1.0)), kept

    def slope(
        self,
        x: Float[Tensor, "*lead P"],
        gradient: Float[Tensor, "*lead P"],
        penalties: Float[Tensor, "*#lead G"],
        norms: Float[Tensor, "*lead G"],
        steepness: Float[Tensor, "*lead G"],
    ) -> Float[Tensor, "*lead P"]:
        moving = active(norms, penalties)
        pull = torch.where(moving & (norms > 0), penalties / norms.where(norms > 0, 1.0), 0.0)
        left, _ = shrink_factor(steepness, penalties)
        return gradient * self.groups.spread(torch.where(moving, 1.0, left)) + x * self.groups.spread(pull)

    def curvature(
        self,
        hessian: Float[Tensor, "A A"],
        point: Float[Tensor, "P"],
        at: Int[Tensor, "A"],
        penalties: Float[Tensor, "G"],
    ) -> Float[Tensor, "A A"]:
        norms, spread = self.groups.norms(point), self.groups.spread
        member = spread(torch.arange(len(norms), device=point.device))[at]
        bend = torch.where(norms > 0, penalties / norms.where(norms > 0, 1.0), 0.0)[member]
        along = point[at] / norms.where(norms > 0, 1.0)[member]
        same = member.unsqueeze(1) == member
        return hessian + torch.diag(bend) - torch.where(same, torch.outer(bend * along, along), 0.0)


def shrink_factor(
    norms: Float[Tensor, "..."], amount: Float[Tensor, "..."]
) -> tuple[Float[Tensor, "..."], Bool[Tensor, "..."]]:
    """(max(0, 1 - amount/norm), whether it is positive); an infinite amount is allowed, and so is a norm of 0."""
    kept = norms > amount
    return torch.where(kept, 1 - amount / norms.where(kept, 1.0), 0.0), kept
