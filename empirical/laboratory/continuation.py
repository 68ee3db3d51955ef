"""Both branches of `blocks` from penalty to penalty, every query block a problem of its own.

    L(W) = sum over b of L_b(W_b.),  L_b = (1/N) sum over queries i of block b of ||o_i - y_i||^2
    downwards: from the localised solution at the largest penalty;  upwards: from W = 0 at the smallest

A query of block b meets row b of W alone, so the rows are solved side by side, each at its own pace; a setting has
converged where all its rows have, each to tolerance / sqrt(K), so that their residuals together stay below it. Where
the minimum that is followed ends, which of the next ones is fallen to depends on the distance between penalties; what
is certified is that every point is stationary.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from empirical.laboratory.tasks import Retrieval
from empirical.penalise.groups import Groups
from empirical.penalise.objective import Progress
from empirical.penalise.proximal_gradient import Solution, cross_blocks, group_norms
from empirical.penalise.solver import Path, follow
from empirical.shapes import Bool, Float, Int


@dataclass(frozen=True)
class QueryBlocks:
    """L_b, one query block a row (`solver.Curved`); rows of fewer queries are filled up with some of weight 0."""

    query: Float[Tensor, "R N d"]
    content: Float[Tensor, "R N K m d"]  # of each key, in its own block
    values: Float[Tensor, "R N n V"]
    target: Float[Tensor, "R N V"]
    weight: Float[Tensor, "R N"]
    temperature: float

    def __call__(self, points: Float[Tensor, "R P"], /) -> tuple[Float[Tensor, "R"], Float[Tensor, "R P"]]:
        weights, output, error = self._output(points)
        centred = error @ self.values.mT - (error * output).sum(-1, keepdim=True)
        covariance = (weights * centred).squeeze(-2) * (2 / self.temperature * self.weight.unsqueeze(-1))
        blocks = self.content.shape[2]
        pulled = (covariance.unflatten(-1, (blocks, -1, 1)) * self.content).sum(-2).flatten(2)
        loss = (error.squeeze(-2).square().sum(-1) * self.weight).sum(-1)
        return loss, (self.query.mT @ pulled).flatten(1)

    def _output(self, points: Float[Tensor, "R P"]) -> tuple[Tensor, Tensor, Tensor]:
        """Weights (R, N, 1, n), outputs and errors (R, N, 1, V)."""
        blocks, features = self.content.shape[2], self.content.shape[4]
        turned = self.query @ points.unflatten(-1, (features, -1))
        logits = (self.content @ turned.unflatten(-1, (blocks, features, 1))).flatten(2)
        weights = (logits / self.temperature).softmax(-1).unsqueeze(-2)
        output = weights @ self.values
        return weights, output, output - self.target.unsqueeze(-2)

    def hessian(self, row: int, point: Float[Tensor, "P"], at: Int[Tensor, "A"], /) -> Float[Tensor, "A A"]:
        """sum_i weight_i / tau^2 (q_i q_i^T) x (K_i^T S_i K_i), K_i the keys of the blocks that `at` is made of, and

        S = 2 C C^T + diag(p) - p a^T - a p^T,   C_j = a_j (v_j - o),   p = 2 C (o - y),   a the weights of attention
        """
        blocks, m, features = self.content.shape[2:]
        one = replace(self, **{n: x[row : row + 1] for n, x in vars(self).items() if isinstance(x, Tensor)})
        attention, output, error = (x[0] for x in one._output(point.unsqueeze(0)))
        used = (at // features % blocks).unique()
        keys, query = one.content[0, :, used], one.query[0]  # N k m d, N d
        seen = (used.unsqueeze(1) * m + torch.arange(m, device=at.device)).flatten()
        attention = attention[..., seen]  # N 1 km
        spread = attention * (one.values[0, :, seen] - output).mT  # C^T: N V km
        pull = 2 * error @ spread  # p^T: N 1 km
        stacked = torch.cat([spread, attention, pull], 1).unflatten(-1, (len(used), m)).transpose(1, 2)
        right = (stacked @ keys).transpose(1, 2).flatten(2)  # (C, a, p)^T K: N V+2 kd
        left = torch.cat([2 * right[:, :-2], -right[:, -1:], -right[:, -2:-1]], 1)
        within = (keys * pull.view(-1, len(used), m, 1)).mT @ keys  # K^T diag(p) K has one block a key block: N k d d
        pairs = (query.unsqueeze(2) * query.unsqueeze(1)).flatten(1).mT * (one.weight[0] / self.temperature**2)
        whole = (pairs @ (left.mT @ right).flatten(1)).view(features, features, *(len(used), features) * 2)
        within = (pairs @ within.flatten(1)).view(features, features, *within.shape[1:])
        whole.diagonal(dim1=2, dim2=4).add_(within.movedim(2, -1))
        return whole.permute(0, 2, 3, 1, 4, 5).reshape(len(at), len(at))

    def take(self, rows: Int[Tensor, "T"]) -> QueryBlocks:
        return replace(self, **{name: x[rows] for name, x in vars(self).items() if isinstance(x, Tensor)})


def query_blocks(data: Retrieval) -> QueryBlocks:
    """The problem of every query block of a batch, in the order of the blocks."""
    blocks, own = data.blocks, data.query_block
    longest = int(own.bincount(minlength=blocks).max())
    content = data.keys.unflatten(-1, (blocks, -1)).sum(-2).unflatten(1, (blocks, -1))
    query = data.query.unflatten(-1, (blocks, -1)).sum(-2)

    def rows(x: Tensor) -> Tensor:
        parts = (x[own == b] for b in range(blocks))
        return torch.stack([torch.cat([part, part.new_zeros(longest - len(part), *x.shape[1:])]) for part in parts])

    weight = torch.full_like(query[:, 0], 1 / len(query))
    return QueryBlocks(
        *(rows(x) for x in (query, content, data.values, data.target, weight)), temperature=data.temperature
    )


def row_groups(blocks: int, features: int, heads: int = 1, device: torch.device | None = None) -> Groups:
    """Of one row of every head's W, flat (H, d, K, d): the group of every key block, the own one among them."""
    column = torch.arange(blocks, device=device).repeat_interleave(features).repeat(features)
    member = torch.cat([column + head * blocks for head in range(heads)])
    return Groups(tuple(f"{head}:{c}" for head in range(heads) for c in range(blocks)), member)


def penalised_groups(blocks: int, heads: int = 1, device: torch.device | None = None) -> Bool[Tensor, "K G1"]:
    """The groups of every row that are cross blocks."""
    cross = cross_blocks(blocks, device)
    return torch.cat([cross.repeat(1, heads), cross.new_zeros(blocks, 1)], 1)


def as_rows(forms: Float[Tensor, "S 1 H K d K d"]) -> Float[Tensor, "K S P"]:
    return forms[:, 0].movedim(2, 0).flatten(2)


def as_forms(rows: Float[Tensor, "K S P"], heads: int, features: int) -> Float[Tensor, "S 1 H K d K d"]:
    return rows.unflatten(-1, (heads, features, len(rows), features)).movedim(0, 2)[:, None]


def follow_branch(
    data: Retrieval,
    start: Float[Tensor, "1 1 K d K d"],
    penalties: Float[Tensor, "T"],
    *,
    tolerance: float,
    max_steps: int,
    report: Progress | None = None,
) -> tuple[Float[Tensor, "T 1 1 K d K d"], Solution]:
    """The stationary points at `penalties` in the order given, behind the points from which each was descended to.

    `steps` is those of the slowest row; no gradient on the way is kept, so `gradient_peak` is NaN.
    """
    features, device = start.shape[-1], start.device
    with torch.inference_mode():  # less to do for each of many small operations
        path = follow(
            query_blocks(data),
            as_rows(start[None])[:, 0],
            row_groups(data.blocks, features, device=device),
            torch.where(penalised_groups(data.blocks, device=device)[:, None], penalties[:, None], 0.0),
            tolerance=tolerance / data.blocks**0.5,
            max_evaluations=max_steps,
            report=report,
        )
    path = replace(path, **{name: x.clone() for name, x in vars(path).items()})
    forms = as_forms(path.points, 1, features)
    return torch.cat([start[None], forms[:-1]]), _solution(path, forms)


def _solution(path: Path, forms: Tensor) -> Solution:
    gradient_norm = path.gradient_norm[..., :-1].transpose(0, 1)[:, None, None]
    steps = path.evaluations.amax(0)
    norms = group_norms(forms)
    return Solution(
        forms=forms,
        loss=path.loss.sum(0),
        gradient_norm=gradient_norm,
        residual=path.residual.square().sum((0, -1)).sqrt(),
        converged=path.converged.all(0),
        steps=steps,
        gradient_peak=torch.full_like(gradient_norm, torch.nan),
        steps_to_zero=torch.where(norms > 0, -1, steps.view(-1, *(1,) * (norms.ndim - 1))),
    )
