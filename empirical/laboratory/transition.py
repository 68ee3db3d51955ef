"""Both edges of the transition between a localised and a distributed solution, and where their objectives cross.

    critical   largest cross gradient at the localised point: it loses stability there (exact, `critical_leaves`)
    lower      going down from the localised point: the last penalty at which it stays, the first at which it is left
    upper      going up from the distributed point: the last penalty at which a cross group is active, the first at none
    crossing   max over points W of that branch of (L_loc - L(W)) / sum ||W_bc||, where its objective meets L_loc: below
               it no localised point is a global minimiser (`global_penalty_witness`), if none found has a loss < L_loc

Where a loss is a sum of rows that share no parameter, every threshold of the whole is the largest of its rows.
The crossing is found by Dinkelbach's iteration: follow the branch to the penalty that the last point witnessed.
A distributed branch is looked for from the points given and from where the branch downwards ends; the last one counts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from empirical.penalise.groups import Groups
from empirical.penalise.objective import Objective
from empirical.penalise.solver import Path, follow
from empirical.shapes import Bool, Float

POINTS = 16  # penalties of a round; each round narrows an edge by as much
ROUNDS = 6
LOWEST, HIGHEST = 0.25, 64.0  # times the critical penalty: where the first round looks


@dataclass(frozen=True)
class Edges:
    """Of every row; an interval is (below, above), NaN where a branch showed no such edge between the limits."""

    critical: Float[Tensor, "R"]
    lower: Float[Tensor, "R 2"]
    upper: Float[Tensor, "R 2"]
    crossing: Float[Tensor, "R"]
    residual: Float[Tensor, "R"]  # largest of the points that the numbers stand on
    evaluations: int

    def whole(self) -> Edges:
        """One row, the largest of each: the edges of the sum of the rows. 0 where no row has one."""
        largest = {n: x.nan_to_num(0.0).amax(0, keepdim=True) for n, x in vars(self).items() if isinstance(x, Tensor)}
        return replace(self, **largest)


@dataclass(frozen=True)
class PenalisedRows:
    """A penalised problem a row, with a localised solution and a start from which to look for a distributed one."""

    objective: Objective
    groups: Groups
    penalised: Bool[Tensor, "R G1"]
    localised: Float[Tensor, "R P"]
    distributed: Float[Tensor, "R P"]

    def penalties(self, values: Float[Tensor, "R T"]) -> Float[Tensor, "R T G1"]:
        return torch.where(self.penalised[:, None], values.unsqueeze(-1), 0.0)

    def cross_norms(self, points: Float[Tensor, "R *T P"]) -> Float[Tensor, "R *T"]:
        """Sum of the penalised groups' norms."""
        norms = self.groups.norms(points)
        mask = self.penalised.view(len(norms), *(1,) * (norms.ndim - 2), -1)
        return torch.where(mask, norms, 0.0).sum(-1)


class _Search:
    """Follows branches of one problem, keeping count and the worst residual that a result stands on."""

    def __init__(self, problem: PenalisedRows, tolerance: float, most: int):
        self.problem, self.tolerance, self.most = problem, tolerance, most
        self.residual = problem.localised.new_zeros(len(problem.localised))
        self.evaluations = 0

    def follow(self, start: Tensor, values: Float[Tensor, "R T"]) -> Path:
        path = follow(
            self.problem.objective,
            start,
            self.problem.groups,
            self.problem.penalties(values),
            tolerance=self.tolerance,
            max_evaluations=self.most,
        )
        self.evaluations += int(path.evaluations.sum(1).amax())  # rows move together
        self.residual = torch.maximum(self.residual, path.residual.norm(dim=-1).where(path.converged, 0.0).amax(-1))
        return path

    def edge(
        self, start: Tensor, ends: Float[Tensor, "R 2"], precision: float
    ) -> tuple[Float[Tensor, "R 2"], list[Path]]:
        """Where a branch changes side on the way from ends[:, 0] to ends[:, 1]: the last penalty on the side where it
        began, and the first on the other; and every path taken. A penalty without a converged point decides nothing.
        """
        rows, order = (torch.arange(count, device=start.device) for count in (len(start), POINTS))
        share, rounds = order.to(start.dtype) / (POINTS - 1), []
        began = known = torch.zeros_like(rows, dtype=torch.bool)
        for count in range(ROUNDS):
            values = ends[:, :1] * (ends[:, 1:] / ends[:, :1]) ** share
            path = self.follow(start, values)
            rounds.append(path)
            active = self.problem.cross_norms(path.points) > 0
            began = active[:, 0] if count == 0 else began
            crossed = path.converged & (active != began[:, None])
            after = torch.where(crossed.any(1), crossed.long().argmax(1), POINTS - 1)
            before = path.converged & (order < after[:, None])
            last = torch.where(before, order, 0).amax(1)
            known = crossed.any(1) & before.any(1) if count == 0 else known
            narrowed = torch.stack([values[rows, last], values[rows, after]], 1)
            ends = torch.where(known[:, None], narrowed, ends)
            start = torch.where((known & before.any(1))[:, None], path.points[rows, last], start)
            if not ((ends[:, 0] / ends[:, 1]).log().abs() > precision)[known].any():
                break
        return torch.where(known[:, None], ends, torch.nan), rounds


def find_edges(
    problem: PenalisedRows, *, tolerance: float = 1e-7, precision: float = 2e-3, max_evaluations: int = 4000
) -> Edges:
    """Every edge to a relative `precision`, from points stationary to `tolerance`."""
    loss, gradient = problem.objective(problem.localised)
    groups, penalised = problem.groups, problem.penalised
    critical = groups.norms(gradient).where(penalised & (groups.norms(problem.localised) == 0), 0.0).amax(-1)
    search = _Search(problem, tolerance, max_evaluations)
    scale = critical.where(critical > 0, 1.0)  # nothing leaves at any penalty: no edge is found
    low, high = LOWEST * scale, HIGHEST * scale
    down, paths = search.edge(problem.localised, torch.stack([high, low], 1), precision)
    upper = torch.full_like(down, torch.nan)
    for start in (problem.distributed, paths[0].points[:, -1]):
        up, taken = search.edge(start, torch.stack([low, high], 1), precision)
        upper = torch.where((up > upper) | upper.isnan(), up, upper)
        paths += taken
    crossing = _crossing(search, loss, paths, precision)
    return Edges(critical, down.flip(1), upper, crossing, search.residual, search.evaluations)


def _crossing(search: _Search, localised: Tensor, paths: list[Path], precision: float) -> Float[Tensor, "R"]:
    """The best witness of any branch: from its best point on, to the penalty that the last point witnessed."""
    rows, cross_norms = torch.arange(len(localised), device=localised.device), search.problem.cross_norms
    points, losses, sound = (
        torch.cat([getattr(path, name) for path in paths], 1) for name in ("points", "loss", "converged")
    )
    least = torch.where(sound & (cross_norms(points) == 0), losses, torch.inf).amin(1).minimum(localised)

    def ratios(points: Tensor, losses: Tensor, sound: Tensor) -> Float[Tensor, "R T"]:
        norms = cross_norms(points)
        gain = (least[:, None] - losses) / norms.where(norms > 0, 1.0)
        return torch.where(sound & (norms > 0), gain, 0.0).clamp(min=0)

    best, at = ratios(points, losses, sound).max(1)
    point = points[rows, at]
    for _ in range(ROUNDS):
        path = search.follow(point, best.unsqueeze(1))
        better = ratios(path.points, path.loss, path.converged)[:, 0]
        risen = better > best * (1 + precision / 10)
        point = torch.where(risen[:, None], path.points[:, 0], point)
        best = torch.maximum(best, better)
        if not risen.any():
            break
    return best
