"""A penalty is one class: one of another shape than the norm serves solver, modules and optimiser as it is."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from empirical.penalise.groups import Groups
from empirical.penalise.modules import critical_penalty, module_groups, penalty_path, stationarity
from empirical.penalise.objective import Shared
from empirical.penalise.optimizer import ProximalGroups
from empirical.penalise.penalty import GroupNorm, Partition, Penalty, active
from empirical.penalise.proximal_gradient import FormBlocks, group_norms, on_cross_blocks, solve
from empirical.penalise.solver import follow

GROUPS = Groups(("a", "b"), torch.tensor([0, 0, 1, 1, 2]))
TARGET = torch.tensor([2.0, -1.0, 0.3, 0.1, 3.0], dtype=torch.float64)
BENDS = torch.tensor([1.0, 3.0, 2.0, 0.5, 1.0], dtype=torch.float64)
BEND = 0.7


@dataclass(frozen=True, eq=False)
class ElasticNorm(GroupNorm):
    """p(t) = t + BEND t^2 / 2."""

    groups: Partition

    def value(self, norms, penalties):
        return super().value(norms * (1 + BEND / 2 * norms), penalties)

    def prox(self, x, amounts):
        shrunk, kept = super().prox(x, amounts)
        return shrunk / (1 + BEND * self.groups.spread(amounts)), kept

    def slope(self, x, gradient, penalties, norms, steepness):
        bend = torch.where(active(norms, penalties), BEND * penalties, 0.0).where(norms > 0, 0.0)
        pulled = gradient + x * self.groups.spread(bend)
        return super().slope(x, pulled, penalties, norms, steepness)

    def curvature(self, hessian, point, at, penalties):
        bend = BEND * self.groups.spread(penalties)[at]
        return super().curvature(hessian + torch.diag(bend), point, at, penalties)


def quadratic(x):
    error = x - TARGET
    return (BENDS * error.square()).sum(-1) / 2, BENDS * error


class Quadratic(Shared):
    """The same, with its Hessian."""

    def hessian(self, row, point, at, /):
        return torch.diag(BENDS[at])

    def take(self, rows):
        return self


def penalised(x, penalty, kind):
    norms = GROUPS.norms(x)
    return quadratic(x)[0] + kind(GROUPS).value(norms, penalty)


@pytest.mark.parametrize("kind", [GroupNorm, ElasticNorm])
@pytest.mark.parametrize("objective", [Shared(quadratic), Quadratic(quadratic)])
def test_the_solver_ends_where_no_point_nearby_is_lower(kind, objective):
    assert isinstance(kind(GROUPS), Penalty)
    penalties = torch.tensor([[2.0, 2.0, 0.0], [0.5, 0.5, 0.0]], dtype=torch.float64)
    path = follow(
        objective, 0 * TARGET[None], GROUPS, penalties[None], tolerance=1e-10, max_evaluations=200, penalty=kind
    )
    assert path.converged.all()
    assert (GROUPS.norms(path.points[0])[:, :2] > 0).tolist() == [[True, False], [True, True]]
    for point, penalty in zip(path.points[0], penalties):
        least = penalised(point, penalty, kind)
        moved = point + 1e-3 * torch.randn(200, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        assert (penalised(moved, penalty, kind) > least).all()


def test_the_penalties_differ():
    penalties = torch.tensor([[[0.5, 0.5, 0.0]]], dtype=torch.float64)
    one, two = (
        follow(
            Shared(quadratic), TARGET[None], GROUPS, penalties, tolerance=1e-10, max_evaluations=200, penalty=kind
        ).points
        for kind in (GroupNorm, ElasticNorm)
    )
    assert (GROUPS.norms(two)[..., :2] < GROUPS.norms(one)[..., :2] - 1e-3).all()


@pytest.mark.parametrize("kind", [GroupNorm, ElasticNorm])
def test_a_proximal_point_is_the_least_of_what_defines_it(kind):
    amounts = torch.tensor([0.4, 0.5, 0.0], dtype=torch.float64)
    point, kept = kind(GROUPS).prox(TARGET, amounts)
    assert torch.equal(kept, GROUPS.norms(point) > 0)
    assert kept.tolist() == [True, False, True]

    def objective(z):
        return kind(GROUPS).value(GROUPS.norms(z), amounts) + (z - TARGET).square().sum(-1) / 2

    moved = point + 1e-3 * torch.randn(500, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert (objective(moved) > objective(point)).all()


@pytest.fixture
def linear():
    model = torch.nn.Linear(5, 1, bias=False).double()
    model.weight.data = TARGET[None].clone()

    def loss(model, batch):
        return quadratic(model.weight[0])[0] if batch is None else quadratic(model.weight[0] + batch)[0]

    return model, loss, {"a": [("weight", (0, slice(0, 2)))], "b": [("weight", (0, slice(2, 4)))]}


def test_modules_and_the_optimiser_take_it(linear):
    model, loss, groups = linear
    path = penalty_path(model, loss, [None], groups, [0.5], tolerance=1e-10, penalty=ElasticNorm)
    assert path.converged.all()
    path.load(0)
    at = stationarity(model, loss, [None], groups, 0.5, penalty=ElasticNorm)
    assert max(at.values()) <= 1e-9
    assert max(stationarity(model, loss, [None], groups, 0.5).values()) > 1e-2  # of another penalty it is no minimum
    held = module_groups(model, groups)
    proximal = ProximalGroups(torch.optim.SGD(model.parameters(), lr=0.1), held, 0.5, penalty=ElasticNorm)
    loss(model, None).backward()
    proximal.step()
    assert torch.allclose(model.weight[0].detach(), path.points[0], atol=1e-9)  # a minimum is a fixed point


def test_the_critical_penalty_is_that_of_every_penalty(linear):
    model, loss, groups = linear
    module_groups(model, groups).localise()
    critical = critical_penalty(model, loss, [None], groups).penalty
    for kind in (GroupNorm, ElasticNorm):
        path = penalty_path(model, loss, [None], groups, [1.001 * critical, 0.999 * critical], penalty=kind)
        assert [bool(norms.any()) for norms in path.norms] == [False, True]


def test_forms_take_it():
    """With one feature a block the cross blocks are soft-thresholded, then divided."""
    target = torch.tensor([[2.0, 1.0], [0.1, 3.0]], dtype=torch.float64).view(1, 2, 1, 2, 1)
    penalties, start = torch.tensor([0.5], dtype=torch.float64), torch.zeros_like(target)

    def loss_and_gradient(forms):
        return (forms - target).square().flatten(1).sum(1) / 2, forms - target

    found = solve(
        loss_and_gradient, start, penalties, step=0.5, tolerance=1e-12, max_steps=500, penalty=ElasticNorm
    ).forms
    expected = torch.tensor([[2.0, 0.5 / (1 + BEND / 2)], [0.0, 3.0]], dtype=torch.float64)
    assert torch.allclose(found.view(2, 2), expected, atol=1e-11)
    assert torch.equal(group_norms(found), FormBlocks().norms(found))
    assert on_cross_blocks(penalties, start).view(2, 2).tolist() == [[0.0, 0.5], [0.5, 0.0]]
