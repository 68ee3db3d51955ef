"""Convex cross-check: a linearised head with squared loss is a group lasso, and skglm solves those.

    o(W)_i = softmax(x_i^T W K_i^T) V_i  linearised in W at W_0;  L(w) = ||o(W_0) + J w - y||^2 / (2 n), n entries of y
    critical penalty at w = 0, every group penalised:  max_g ||J_g^T (y - o(W_0))|| / n = alpha_max

skglm has the factor 1/(2 n) as well, and weights of groups that are 1 unless given, never sqrt(size) by itself; sizes
of groups differ here, so that another scaling could not pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
import torch
from skglm import GroupLasso
from skglm.datafits import QuadraticGroup
from skglm.penalties import WeightedGroupL2
from skglm.utils.data import _alpha_max_group_lasso, grp_converter
from torch import Tensor, nn
from torch.func import jacrev

from empirical.penalise.modules import Places, critical_penalty, penalty_path, stationarity


def scores(matrix: Tensor, queries: Tensor, keys: Tensor) -> Tensor:
    return torch.einsum("nd,de,nte->nt", queries, matrix, keys)


def head(matrix: Tensor, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """The output of one attention head, one set of keys a query."""
    return torch.einsum("nt,ntv->nv", scores(matrix, queries, keys).softmax(-1), values)


class LinearisedHead(nn.Module):
    """o(W_0) + J w by the derivative of the softmax, dp = p (ds - p.ds); skglm gets J by automatic differentiation."""

    def __init__(self, at: Tensor):
        super().__init__()
        self.at = at
        self.weight = nn.Parameter(torch.zeros_like(at))

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        attention = scores(self.at, queries, keys).softmax(-1)
        change = scores(self.weight, queries, keys)
        change = attention * (change - (attention * change).sum(-1, keepdim=True))
        return torch.einsum("nt,ntv->nv", attention + change, values)


def loss(model: nn.Module, batch: tuple[tuple[Tensor, ...], Tensor]) -> Tensor:
    context, target = batch
    return (model(*context) - target).square().mean() / 2


@dataclass(frozen=True)
class Problem:
    """The same group lasso as a torch module, and as skglm's features, target and groups."""

    model: LinearisedHead
    batches: list[tuple[tuple[Tensor, ...], Tensor]]
    groups: dict[str, Places]
    features: np.ndarray
    target: np.ndarray
    indices: np.ndarray
    pointers: np.ndarray

    def alpha_max(self, weights: np.ndarray | None = None) -> float:
        weights = np.ones(len(self.groups)) if weights is None else weights
        return float(_alpha_max_group_lasso(self.features, self.target, self.indices, self.pointers, weights))

    def distances(self, w: np.ndarray, penalty: float) -> np.ndarray:
        """skglm's own distance of each group from stationarity."""
        fit = QuadraticGroup(self.pointers, self.indices)
        ones, every = np.ones(len(self.groups)), np.arange(len(self.groups))
        gradients = [fit.gradient_g(self.features, self.target, w, self.features @ w, g) for g in every]
        norms = WeightedGroupL2(penalty, ones, self.pointers, self.indices)
        return norms.subdiff_distance(w, np.concatenate(gradients), every)


def problem(seed: int) -> Problem:
    """Two or three blocks of one to three features; a matrix that is not symmetric in anything."""
    draw = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw, dtype=torch.float64)

    sizes = torch.randint(1, 4, (2 + seed % 2,), generator=draw).tolist()
    edges = np.cumsum([0, *sizes]).tolist()
    blocks = [slice(a, b) for a, b in pairwise(edges)]
    width, n_keys, n_values, per_batch = edges[-1], 3 + seed % 4, 1 + seed % 3, 48
    at = normal(width, width) / width
    contexts = [
        (normal(per_batch, width), normal(per_batch, n_keys, width), normal(per_batch, n_keys, n_values))
        for _ in range(2)  # two batches: the mean over them is the mean over everything
    ]
    targets = [normal(per_batch, n_values) for _ in contexts]
    groups: dict[str, Places] = {
        f"{b}<-{c}": [("weight", (across, along))] for b, across in enumerate(blocks) for c, along in enumerate(blocks)
    }
    jacobian = torch.cat([jacrev(head)(at, *context).reshape(-1, width**2) for context in contexts])
    unexplained = torch.cat([(y - head(at, *context)).flatten() for context, y in zip(contexts, targets)])
    places = torch.arange(width**2).reshape(width, width)
    members = [places[index].flatten().tolist() for ((_, index),) in groups.values()]
    indices, pointers = grp_converter(members, width**2)
    return Problem(
        LinearisedHead(at),
        list(zip(contexts, targets)),
        groups,
        np.asfortranarray(jacobian.numpy()),
        unexplained.numpy(),
        indices,
        pointers,
    )


@pytest.mark.parametrize("seed", range(50))
def test_the_critical_penalty_is_alpha_max(seed):
    """Equal to 1e-8 relative; all zero at it, not at 0.999 of it, and there stationary by skglm's own measure."""
    case = problem(seed)
    critical = critical_penalty(case.model, loss, case.batches, case.groups)
    top = case.alpha_max()
    assert critical.penalty == pytest.approx(top, rel=1e-8)
    assert critical.residual == 0  # nothing is unpenalised
    below = 0.999 * top
    path = penalty_path(case.model, loss, case.batches, case.groups, [top, below], tolerance=1e-8 * top)
    assert path.converged.all()
    assert (path.norms[0] == 0).all()
    assert path.norms[1, list(case.groups).index(critical.group)] > 0
    point = path.points[1].numpy()
    assert np.linalg.norm(case.distances(point, below)) <= 2e-8 * top  # twice, for the rounding of two gradients
    assert np.linalg.norm(case.distances(point, top)) > 5e-4 * top  # so the measure can fail


@pytest.mark.parametrize("weighted", [False, True], ids=["equal", "by-size"])
def test_skglm_finds_the_same_solution(weighted):
    """At 0.5 alpha_max, as near as strong convexity says: ||w - w'|| <= (r + r')/mu with the residuals of both."""
    for seed in range(5):
        case = problem(seed)
        weights = np.sqrt(np.diff(case.pointers)) if weighted else np.ones(len(case.groups))
        top = case.alpha_max(weights)
        path = penalty_path(
            case.model,
            loss,
            case.batches,
            case.groups,
            [top, 0.999 * top, 0.5 * top],
            factors=weights.tolist(),
            tolerance=1e-10,
        )
        assert path.converged.all()
        assert (path.norms[0] == 0).all()
        assert path.norms[1].count_nonzero() >= 1
        members = [part.tolist() for part in np.split(case.indices, case.pointers[1:-1])]
        solver = GroupLasso(members, 0.5 * top, weights, fit_intercept=False, tol=1e-10, max_iter=1000)
        theirs = solver.fit(case.features, case.target).coef_
        curvature = np.linalg.svd(case.features, compute_uv=False)[-1] ** 2 / len(case.target)
        assert curvature > 1e-6  # one solution only
        with torch.no_grad():
            case.model.weight.copy_(torch.from_numpy(theirs).view_as(case.model.weight))
        left = stationarity(case.model, loss, case.batches, case.groups, (0.5 * top * weights).tolist())
        slack = (np.linalg.norm(list(left.values())) + float(path.residual[2])) / curvature
        assert slack < 1e-4 * np.linalg.norm(theirs)  # the comparison says something
        assert np.linalg.norm(path.points[2].numpy() - theirs) <= slack
