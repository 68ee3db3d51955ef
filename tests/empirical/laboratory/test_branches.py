"""Branches of `blocks`: rows are the whole problem, points are stationary for it, hysteresis, order asked for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small import SMALL, configured

from empirical.laboratory.continuation import (
    as_forms,
    as_rows,
    follow_branch,
    penalised_groups,
    query_blocks,
    row_groups,
)
from empirical.laboratory.tasks import device_of, make_task
from empirical.laboratory.training import localise, train
from empirical.penalise.objective import Curved
from empirical.penalise.penalty import GroupNorm
from empirical.penalise.proximal_gradient import shrink, solve
from empirical.penalise.solver import Path, follow

THREE = configured(SMALL, setting={"n_keys": 12, "n_block": 4}, model={"blocks": 3}, task={"queries": 97})
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def localised():
    return localise(configured(SMALL), 1)


def test_rows_are_the_whole_problem():
    data = make_task(THREE, 1, device_of(THREE)).training
    assert len(data.query_block.bincount().unique()) > 1  # rows of different lengths are filled up
    forms = torch.randn(1, 1, 1, 3, 3, 3, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    loss, gradient = data.loss_and_gradient(forms)
    points = as_rows(forms)[:, 0]
    assert torch.equal(as_forms(points[:, None], 1, 3), forms)
    rows = query_blocks(data)
    parts, slopes = rows(points)
    assert float(parts.sum()) == pytest.approx(float(loss), rel=1e-13)
    assert torch.allclose(as_forms(slopes[:, None], 1, 3), gradient, rtol=1e-11, atol=1e-15)
    one, slope = rows.take(torch.tensor([2]))(points[2:])
    assert torch.allclose(one, parts[2:], rtol=1e-13)
    assert torch.allclose(slope, slopes[2:], rtol=1e-11, atol=1e-15)


@pytest.mark.parametrize("used", [(0, 1, 2), (1,), (0, 2)])
def test_the_hessian_is_that_of_the_loss(used):
    rows = query_blocks(make_task(THREE, 1, device_of(THREE)).training)
    points = 3.0 * torch.randn(3, 27, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    column = row_groups(3, 3).member
    at = torch.isin(column, torch.tensor(used)).nonzero()[:, 0]
    for row in range(3):
        alone = rows.take(torch.tensor([row]))
        whole = torch.autograd.functional.hessian(lambda p, alone=alone: alone(p[None])[0].sum(), points[row])
        assert torch.allclose(rows.hessian(row, points[row], at), whole[at][:, at], rtol=1e-10, atol=1e-14)


class Gradients:
    """An objective whose Hessian is not known."""

    def __init__(self, objective):
        self.objective = objective

    def __call__(self, points, /):
        return self.objective(points)

    def take(self, rows):
        return Gradients(self.objective.take(rows))


def both_ways(objective, start, penalties, tolerance) -> tuple[Path, Path]:
    """With Newton steps, and by gradients alone."""
    groups, amounts = row_groups(2, 3), torch.where(penalised_groups(2)[:, None], penalties[:, None], 0.0)
    assert isinstance(objective, Curved)
    assert not isinstance(Gradients(objective), Curved)
    limits = {"tolerance": tolerance, "max_evaluations": 4000}
    return (
        follow(objective, start, groups, amounts, **limits),
        follow(Gradients(objective), start, groups, amounts, **limits),
    )


@pytest.mark.parametrize("start", ["upwards", "downwards"])
def test_newton_steps_follow_the_same_branch_in_fewer(localised, start):
    """Points, exact zeros and certificates are those of gradients alone, on both sides of both edges."""
    config, critical = configured(SMALL), float(localised["critical"])
    objective = query_blocks(make_task(config, 1, device_of(config)).training)
    penalties = critical * torch.logspace(-1.5, 1.5, 61, dtype=torch.float64).clamp(min=0.05)
    first = torch.as_tensor(localised["parameter/forms"])
    if start == "downwards":
        penalties = penalties.flip(0)
    else:
        first = torch.zeros_like(first)
    newton, gradients = both_ways(objective, as_rows(first)[:, 0], penalties, 1e-10)
    assert newton.converged.all()
    assert gradients.converged.all()
    assert (newton.residual.norm(dim=-1) <= 1e-10).all()
    groups, penalised = row_groups(2, 3), penalised_groups(2)
    zero = groups.norms(newton.points) == 0
    assert torch.equal(zero, groups.norms(gradients.points) == 0)
    cross = zero[penalised[:, None].expand_as(zero)].view(2, -1)
    assert cross.any()
    assert not cross.all()  # the edge lies within
    assert torch.allclose(newton.loss, gradients.loss, rtol=1e-9)
    assert torch.allclose(newton.points, gradients.points, atol=1e-5)
    _, gradient = objective(newton.points[:, -1])  # the certificate, again from a gradient of its own
    pulls = torch.where(penalised, penalties[-1], 0.0)
    norms = groups.norms(newton.points[:, -1])
    slope = GroupNorm(groups).slope(newton.points[:, -1], gradient, pulls, norms, groups.norms(gradient))
    assert slope.norm(dim=-1).max() <= 1.01e-10
    moving = gradients.evaluations[:, 1:].sum()
    assert newton.evaluations[:, 1:].sum() < moving / 3


def test_every_point_of_a_branch_is_stationary_for_the_whole_problem():
    data = make_task(THREE, 1, device_of(THREE)).training
    penalties = torch.logspace(-4, -1, 9, dtype=torch.float64)
    start = torch.zeros(1, 1, 3, 3, 3, 3, dtype=torch.float64)
    first, found = follow_branch(data, start, penalties, tolerance=1e-8, max_steps=2000)
    assert found.converged.all()
    assert torch.equal(first[1:], found.forms[:-1])
    _, gradient = data.loss_and_gradient(found.forms)
    after, _ = shrink(found.forms - 20.0 * gradient, 20.0 * penalties)
    residual = (after - found.forms).flatten(1).norm(dim=1) / 20.0
    assert (residual <= 1e-8).all()
    assert (found.residual <= 1e-8).all()
    again = solve(
        data.loss_and_gradient, found.forms, penalties, step=20.0, tolerance=1e-8, max_steps=0
    )  # the other solver agrees without a step
    assert again.converged.all()
    assert torch.allclose(again.loss, found.loss, rtol=1e-12)
    assert torch.allclose(again.gradient_norm, found.gradient_norm, rtol=1e-9, atol=1e-12)


def test_both_branches_and_what_lies_between_them(localised):
    """The localised branch is left exactly below the critical penalty, the distributed one goes on above it."""
    config, critical = configured(SMALL), float(localised["critical"])
    ratios = (3.0, 0.5, 1.001, 0.999, 1.02)  # in no order
    penalties = tuple(critical * r for r in ratios)
    down, up = (train(config, 1, start, penalties, localised) for start in ("downwards", "upwards"))
    cross = ~np.eye(2, dtype=bool)
    active = [(arrays["group_norm"][:, 0, 0][:, cross] > 0).any(1).tolist() for arrays in (down, up)]
    assert active[0] == [False, True, False, True, False]
    assert active[1][4]  # hysteresis: still distributed at 1.02
    assert not active[1][0]
    for arrays in (down, up):
        assert arrays["converged"].all()
        assert np.isnan(arrays["gradient_peak"]).all()
    assert (down["group_norm_start"][2] == down["group_norm"][4]).all()  # 1.001 was reached from 1.02
    assert (up["group_norm_start"][4] == up["group_norm"][2]).all()


def test_a_branch_is_the_same_bits_again(localised):
    config, penalties = configured(SMALL), (1e-3, 1e-2)
    for start in ("downwards", "upwards"):
        one, two = (train(config, 1, start, penalties, localised) for _ in range(2))
        assert all(one[name].tobytes() == two[name].tobytes() for name in one)
