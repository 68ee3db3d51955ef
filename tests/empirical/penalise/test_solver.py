"""Penalised minima: certificates by independent gradients, both sides of a threshold, rows apart, bad input."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from bounds import adam_threshold
from empirical.errors import BadInput
from empirical.penalise.groups import Groups
from empirical.penalise.modules import block_groups, critical_penalty, module_groups, penalty_path, stationarity
from empirical.penalise.objective import Shared
from empirical.penalise.optimizer import ProximalGroups
from empirical.penalise.solver import follow

HALVES = {"0": slice(0, 3), "1": slice(3, 6)}
GROUPS = block_groups("weight", HALVES, HALVES)


@pytest.fixture
def lasso():
    """Least squares of a linear map whose cross blocks are zero: convex, so that every path has one answer."""
    torch.manual_seed(0)
    model = nn.Linear(6, 6, bias=False, dtype=torch.float64)
    x, y = torch.randn(50, 6, dtype=torch.float64), torch.randn(50, 6, dtype=torch.float64)
    mask = torch.block_diag(torch.ones(3, 3), torch.ones(3, 3)).double()
    with torch.no_grad():
        for block in HALVES.values():
            model.weight[block] = 0.0
            model.weight[block, block] = torch.linalg.lstsq(x[:, block], y[:, block]).solution.T
    assert torch.equal(model.weight * mask, model.weight)
    return model, lambda m, batch: (m(batch[0]) - batch[1]).square().sum(-1).mean() / 2, [(x, y)]


def test_both_sides_of_the_critical_penalty(lasso):
    model, loss, batches = lasso
    before = model.weight.detach().clone()
    critical = critical_penalty(model, loss, batches, GROUPS)
    assert critical.residual < 1e-12
    x, y = batches[0]
    gradient = ((model(x) - y).T @ x / len(x)).detach()
    assert critical.penalty == pytest.approx(float(max(gradient[:3, 3:].norm(), gradient[3:, :3].norm())), rel=1e-12)
    found = penalty_path(model, loss, batches, GROUPS, [critical.penalty, 0.999 * critical.penalty], tolerance=1e-10)
    assert found.converged.all()
    assert (found.norms[0] == 0).all()
    assert (found.norms[1] > 0).sum() == 1
    assert torch.equal(model.weight, before)
    found.load(1)
    left = stationarity(model, loss, batches, GROUPS, 0.999 * critical.penalty)
    assert max(left.values()) <= 1e-10
    assert max(stationarity(model, loss, batches, GROUPS, 0.5 * critical.penalty).values()) > 1e-3


def test_a_convex_path_is_the_same_from_either_end(lasso):
    model, loss, batches = lasso
    top = critical_penalty(model, loss, batches, GROUPS).penalty
    penalties = [top * share for share in (1.1, 0.7, 0.3, 0.1)]
    down = penalty_path(model, loss, batches, GROUPS, penalties, tolerance=1e-10)
    down.load(3)
    up = penalty_path(model, loss, batches, GROUPS, penalties[::-1], tolerance=1e-10)
    assert torch.allclose(down.points, up.points.flip(0), atol=1e-8)
    assert (up.norms[-1] == 0).all()


def test_rows_do_not_interact_and_one_that_is_not_finite_loses_no_other():
    curvature = torch.tensor([1.0, 3.0, 10.0, 0.5], dtype=torch.float64)
    groups = Groups(("a", "b"), torch.tensor([0, 0, 1, 2]))

    def quadratic(x):
        error = x - torch.tensor([2.0, -1.0, 0.5, 3.0], dtype=torch.float64)
        return (curvature * error.square()).sum(-1) / 2, curvature * error

    start = torch.zeros(3, 4, dtype=torch.float64)
    start[1] = math.nan
    amounts = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [9.0, 9.0, 0.0]], dtype=torch.float64)[:, None]
    limits = {"tolerance": 1e-11, "max_evaluations": 300}
    together = follow(Shared(quadratic), start, groups, amounts, **limits)
    assert together.converged[:, 0].tolist() == [True, False, True]
    for row in (0, 2):
        alone = follow(Shared(quadratic), start[row : row + 1], groups, amounts[row : row + 1], **limits)
        assert torch.allclose(alone.points[0], together.points[row], atol=1e-10)
    assert (together.points[2, 0, :3] == 0).all()
    assert together.points[2, 0, 3] == pytest.approx(3.0)


def test_adam_keeps_a_zero_group_above_its_threshold_and_lets_it_go_below(lasso):
    model, loss, batches = lasso
    start = model.weight.detach().clone()
    held = module_groups(model, GROUPS)
    bound = float(adam_threshold(9))  # of nine coordinates
    for penalty, stays in ((bound, True), (0.9 * 3, False)):
        held.load(start.flatten())
        proximal = ProximalGroups(torch.optim.AdamW(model.parameters(), lr=1e-3), held, penalty)
        for _ in range(60):
            proximal.zero_grad()
            loss(model, batches[0]).backward()
            proximal.step()
        assert (max(proximal.norms().values()) == 0) == stays
    proximal.load_state_dict(proximal.state_dict())
    model.weight.grad[0, 0] = math.nan
    with pytest.raises(BadInput, match="gradients must be finite, got one of 'weight'"):
        proximal.step()


def test_bad_groups_and_losses_are_named(lasso):
    model, loss, batches = lasso
    for groups, said in (
        (
            {"a": [("weight", 0)], "b": [("weight", (slice(None), 0))]},
            "must not overlap, got 'weight' in 'a' and in 'b'",
        ),
        ({"a": [("wait", 0)]}, "got 'wait', which is not there"),
        ({"a": [("weight", 9)]}, "must index 'weight'"),
        ({}, "at least one group"),
    ):
        with pytest.raises(BadInput, match=said):
            module_groups(model, groups)
    with pytest.raises(BadInput, match="one for each of 2 groups"):
        penalty_path(model, loss, batches, GROUPS, [1.0], factors=[1.0, 2.0, 3.0])
    with pytest.raises(BadInput, match="same value twice"):
        penalty_path(model, lambda m, b: loss(m, b) * torch.rand(()), batches, GROUPS, [1.0])
    with pytest.raises(BadInput, match="must hold every parameter"):
        ProximalGroups(torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0), module_groups(model, GROUPS), 1.0)
