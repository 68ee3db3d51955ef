"""Where a step goes: Newton's direction from an exact Hessian, and limited-memory BFGS from gradients alone.

F'' is that of the loss and the penalty (`penalty.Penalty.curvature`) among coordinates of groups off their kinks.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from empirical.penalise.groups import Groups
from empirical.penalise.penalty import Penalty
from empirical.shapes import Bool, Float, Int

CURVED = 1e-10  # a pair (s, y) counts where s.y exceeds this share of ||s|| ||y||


@dataclass(frozen=True, eq=False)
class Factor:
    """The Cholesky factor of F'' of one row among the coordinates of some groups."""

    use: Bool[Tensor, "G1"]
    at: Int[Tensor, "A"]
    lower: Float[Tensor, "A A"]

    def step(self, slope: Float[Tensor, "P"]) -> Float[Tensor, "P"]:
        """-(F'')^-1 v on these groups, 0 elsewhere."""
        step = torch.cholesky_solve(slope[self.at].unsqueeze(-1), self.lower).squeeze(-1)
        return torch.zeros_like(slope).index_copy_(0, self.at, -step)


def coordinates(groups: Groups, use: Bool[Tensor, "G1"]) -> Int[Tensor, "A"]:
    """All those of some groups, in order."""
    return use[groups.member].nonzero()[:, 0]


def factorise(
    hessian: Float[Tensor, "A A"],
    point: Float[Tensor, "P"],
    at: Int[Tensor, "A"],
    use: Bool[Tensor, "G1"],
    penalty: Penalty,
    penalties: Float[Tensor, "G1"],
) -> Factor | None:
    """F'' from L'' among `at`, the `coordinates` in use, off their kinks; None where it is not positive definite."""
    lower, failed = torch.linalg.cholesky_ex(penalty.curvature(hessian, point, at, penalties))
    return None if failed else Factor(use, at, lower)


def quasi_newton(
    pairs: Float[Tensor, "S 2 M P"], step: Float[Tensor, "S"], slope: Float[Tensor, "S P"]
) -> Float[Tensor, "S P"]:
    """-H v = -(step v + U u), the compact form of limited-memory BFGS (Byrd, Nocedal and Schnabel 1994, eq. 3.1).

    `pairs` holds moves s and turns y of the slope, oldest first, or 0 where one is not `sound`. R is the upper triangle
    of (s_i . y_j), with 1 on the diagonal where a pair is 0.
    """
    memory, flat, scale = pairs.shape[2], pairs.flatten(1, 2), step[:, None, None]
    products = flat @ flat.mT
    bends = products[:, :memory, memory:].diagonal(dim1=-2, dim2=-1)
    triangle = products[:, :memory, memory:].triu() + torch.diag_embed((bends == 0).to(slope.dtype))
    inner = scale * products[:, memory:, memory:] + torch.diag_embed(bends)
    along, across = (flat @ slope.unsqueeze(-1)).split(memory, 1)
    solved = torch.linalg.solve_triangular(triangle, along, upper=True)
    first = torch.linalg.solve_triangular(triangle.mT, inner @ solved - scale * across, upper=False)
    weights = torch.cat([first, -scale * solved], 1)
    return -(step.unsqueeze(-1) * slope + (weights.mT @ flat).squeeze(1))


def sound(pairs: Float[Tensor, "S 2 M P"]) -> Float[Tensor, "S 2 M P"]:
    """Pairs of too little curvature made 0."""
    move, turn = pairs.unbind(1)
    curved = (move * turn).sum(-1) > CURVED * move.norm(dim=-1) * turn.norm(dim=-1)
    return torch.where(curved[:, None, :, None], pairs, 0.0)
