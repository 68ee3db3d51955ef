"""A concave penalty: large groups are shrunk less than by their norm, and the critical penalty is the same."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from empirical.penalise.penalty import GroupNorm
from empirical.shapes import Bool, Float, Int


@dataclass(frozen=True, eq=False)
class LogNorm(GroupNorm):
    """p(t) = a ln(1 + t/a), a `scale`: p' = 1/(1 + t/a).

    prox:  t = ((s - a) + sqrt((s + a)^2 - 4 a amount)) / 2 of s = ||w_g||, or 0 where that is no higher
    slope: that of the norm at penalty_g p'(||w_g||)
    F'':   that of the norm at the same, and penalty_g p'' u u^T, p'' = -p'^2/a
    """

    scale: float = 5.0

    def _steep(self, norms: Tensor) -> Tensor:
        return 1 / (1 + norms / self.scale)

    def _of(self, norms: Tensor) -> Tensor:
        return self.scale * torch.log1p(norms / self.scale)

    def value(self, norms: Float[Tensor, "*lead G"], penalties: Float[Tensor, "*#lead G"]) -> Float[Tensor, "*lead"]:
        return super().value(self._of(norms), penalties)

    def prox(
        self, x: Float[Tensor, "*point"], amounts: Float[Tensor, "..."]
    ) -> tuple[Float[Tensor, "*point"], Bool[Tensor, "*groups"]]:
        norms, a = self.groups.norms(x), self.scale
        inside = (norms + a).square() - 4 * a * amounts
        real = inside >= 0
        there = (norms - a + inside.where(real, 0.0).sqrt()) / 2
        finite = amounts.where(real, 0.0)
        lower = finite * self._of(there.clamp(min=0)) + (there - norms).square() / 2 < norms.square() / 2
        kept = real & (there > 0) & torch.where(amounts <= a, norms > amounts, lower)
        factor = torch.where(kept, there / norms.where(kept, 1.0), 0.0)
        return x * self.groups.spread(torch.where(amounts > 0, factor, 1.0)), kept

    def slope(
        self,
        x: Float[Tensor, "*lead P"],
        gradient: Float[Tensor, "*lead P"],
        penalties: Float[Tensor, "*#lead G"],
        norms: Float[Tensor, "*lead G"],
        steepness: Float[Tensor, "*lead G"],
    ) -> Float[Tensor, "*lead P"]:
        return super().slope(x, gradient, penalties * self._steep(norms), norms, steepness)

    def curvature(
        self,
        hessian: Float[Tensor, "A A"],
        point: Float[Tensor, "P"],
        at: Int[Tensor, "A"],
        penalties: Float[Tensor, "G"],
    ) -> Float[Tensor, "A A"]:
        norms, spread = self.groups.norms(point), self.groups.spread
        member = spread(torch.arange(len(norms), device=point.device))[at]
        steep = self._steep(norms)
        bend = (penalties * steep.square() / self.scale).where(norms > 0, 0.0)[member]
        along = point[at] / norms.where(norms > 0, 1.0)[member]
        same = member.unsqueeze(1) == member
        bent = hessian - torch.where(same, torch.outer(bend * along, along), 0.0)
        return super().curvature(bent, point, at, penalties * steep)
