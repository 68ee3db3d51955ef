"""Groups of coordinates of a flat vector: norms, the proximal map with exact zeros, the distance from stationarity.

    minimise  L(w) + sum over g of penalty_g ||w_g||         (2-norms, not squared, no factor 1/2)
    prox:     w_g <- w_g max(0, 1 - step penalty_g / ||w_g||)
    residual: ||grad_g + penalty_g w_g / ||w_g||||;  at w_g = 0 max(0, ||grad_g|| - penalty_g);  both 0 iff stationary

A coordinate in no group is not penalised: all of them together stand as one more, last group of penalty 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from empirical.errors import BadInput
from empirical.shapes import Bool, Float, Int, Shaped


def shrink_factor(norms: Float[Tensor, "..."], amount: Float[Tensor, "..."]) -> tuple[Tensor, Tensor]:
    """(max(0, 1 - amount/norm), whether it is positive); an infinite amount is allowed, and so is a norm of 0."""
    kept = norms > amount
    return torch.where(kept, 1 - amount / norms.where(kept, 1.0), 0.0), kept


@dataclass(frozen=True, eq=False)
class Groups:
    """Which group each of P coordinates is in; `len(names)` where it is in none."""

    names: tuple[str, ...]
    member: Int[Tensor, "P"]

    def __len__(self) -> int:
        return len(self.names)

    def penalties(self, value: float | Sequence[float] | Tensor, like: Tensor) -> Float[Tensor, "G1"]:
        """One penalty for all groups, or one each; 0 for what is in none. Raises BadInput for anything else."""
        given = torch.as_tensor(value, dtype=like.dtype, device=like.device)
        if given.ndim > 1 or (given.ndim == 1 and len(given) != len(self)):
            shape = tuple(given.shape)
            raise BadInput(f"penalties must be one number or one for each of {len(self)} groups, got shape {shape}")
        bad = given.isnan() | (given < 0)
        if bad.any():
            worst = float(given.flatten()[bad.flatten()][0])
            raise BadInput(f"penalties must be numbers >= 0, got {worst}")
        return torch.cat([given.expand(len(self)), given.new_zeros(1)])

    def norms(self, x: Float[Tensor, "*lead P"]) -> Float[Tensor, "*lead G1"]:
        """||x_g|| of every group, and last of what is in none."""
        squares = x.new_zeros(*x.shape[:-1], len(self) + 1).index_add_(-1, self.member, x.square())
        return squares.sqrt()

    def spread(self, values: Shaped[Tensor, "*lead G1"]) -> Shaped[Tensor, "*lead P"]:
        """Each coordinate's group's value."""
        return values[..., self.member]

    def shrink(self, x: Float[Tensor, "*lead P"], amount: Float[Tensor, "*#lead G1"]) -> Float[Tensor, "*lead P"]:
        """The proximal map of sum_g amount_g ||x_g||, with exact zeros."""
        factor, _ = shrink_factor(self.norms(x), amount)
        return x * self.spread(torch.where(amount > 0, factor, 1.0))

    @staticmethod
    def value(norms: Float[Tensor, "*lead G1"], penalties: Float[Tensor, "*#lead G1"]) -> Float[Tensor, "*lead"]:
        """sum_g penalty_g ||x_g|| of the norms; an infinite penalty of a zero group counts 0."""
        return torch.where(norms > 0, penalties * norms, 0.0).sum(-1)

    def slope(
        self,
        x: Float[Tensor, "*lead P"],
        gradient: Float[Tensor, "*lead P"],
        penalties: Float[Tensor, "*#lead G1"],
        norms: Float[Tensor, "*lead G1"],
        steepness: Float[Tensor, "*lead G1"],
    ) -> Float[Tensor, "*lead P"]:
        """The subgradient of least norm of loss and penalty: 0 exactly at the stationary points.

        `norms` and `steepness` are those of the groups of x and of the gradient.
        """
        active = self.active(norms, penalties)
        pull = torch.where(active & (norms > 0), penalties / norms.where(norms > 0, 1.0), 0.0)
        left, _ = shrink_factor(steepness, penalties)
        return gradient * self.spread(torch.where(active, 1.0, left)) + x * self.spread(pull)

    @staticmethod
    def active(norms: Float[Tensor, "*lead G1"], penalties: Float[Tensor, "*#lead G1"]) -> Bool[Tensor, "*lead G1"]:
        """Groups off the kink of their norm: not zero, or not penalised."""
        return (norms > 0) | (penalties == 0)
