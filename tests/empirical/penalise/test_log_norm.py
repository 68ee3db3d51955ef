"""The concave penalty: prox against a search, slope and curvature against differences, and the solver with it."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from empirical.penalise.groups import Groups
from empirical.penalise.log_norm import LogNorm
from empirical.penalise.objective import Shared
from empirical.penalise.penalty import Penalty
from empirical.penalise.solver import follow

GROUPS = Groups(("a", "b"), torch.tensor([0, 0, 1, 1, 2]))
TARGET = torch.tensor([2.0, -1.0, 0.3, 0.1, 3.0], dtype=torch.float64)
BENDS = torch.tensor([1.0, 3.0, 2.0, 0.5, 1.0], dtype=torch.float64)


def quadratic(x):
    error = x - TARGET
    return (BENDS * error.square()).sum(-1) / 2, BENDS * error


class Quadratic(Shared):
    def hessian(self, row, point, at, /):
        return torch.diag(BENDS[at])

    def take(self, rows):
        return self


def penalised(x, penalty, kind):
    return quadratic(x)[0] + kind.value(GROUPS.norms(x), penalty)


@pytest.mark.parametrize("scale", [0.3, 5.0])
@pytest.mark.parametrize("amount", [0.1, 0.31, 0.4, 2.0, 4.0, torch.inf])
def test_prox_is_the_least_value_of_a_search(scale, amount):
    amounts = torch.tensor([amount, amount, 0.0], dtype=torch.float64)
    kind = LogNorm(GROUPS, scale)
    found, kept = kind.prox(TARGET, amounts)
    assert torch.equal(kept, GROUPS.norms(found) > 0)
    share = torch.linspace(0, 1.2, 120_001, dtype=torch.float64)
    for place, norm in enumerate(GROUPS.norms(TARGET)[:2]):
        t = share * norm
        if amount == torch.inf:
            assert not kept[place]
        else:
            searched = amount * scale * torch.log1p(t / scale) + (t - norm).square() / 2
            least = t[searched.argmin()]
            assert float(GROUPS.norms(found)[place]) == pytest.approx(float(least), abs=2e-5)


def test_slope_is_that_of_the_value_and_zero_at_stationary_points_alone():
    kind, penalties = LogNorm(GROUPS, 0.7), torch.tensor([0.4, 0.9, 0.0], dtype=torch.float64)
    point = torch.tensor([0.8, -0.4, 0.2, 0.6, 1.0], dtype=torch.float64, requires_grad=True)
    penalised(point, penalties, kind).backward()
    at = point.detach()
    gradient = quadratic(at)[1]
    slope = kind.slope(at, gradient, penalties, GROUPS.norms(at), GROUPS.norms(gradient))
    assert torch.allclose(slope, point.grad, atol=1e-12)
    zero = at.clone()
    zero[2:4] = 0.0  # ||grad_b|| = 0.602: stationary in b above that, not below
    gradient = quadratic(zero)[1]
    for penalty, still in ((0.603, True), (0.601, False)):
        amounts = torch.tensor([0.4, penalty, 0.0], dtype=torch.float64)
        slope = kind.slope(zero, gradient, amounts, GROUPS.norms(zero), GROUPS.norms(gradient))
        assert bool((slope[2:4] == 0).all()) is still


def test_curvature_is_the_difference_of_slopes():
    kind, penalties = LogNorm(GROUPS, 0.7), torch.tensor([0.4, 0.9, 0.0], dtype=torch.float64)
    point, at = torch.tensor([0.8, -0.4, 0.2, 0.6, 1.0], dtype=torch.float64), torch.arange(5)
    found = kind.curvature(torch.diag(BENDS), point, at, penalties)

    def slope(x):
        gradient = quadratic(x)[1]
        return kind.slope(x, gradient, penalties, GROUPS.norms(x), GROUPS.norms(gradient))

    step = 1e-6 * torch.eye(5, dtype=torch.float64)
    differences = torch.stack([(slope(point + e) - slope(point - e)) / 2e-6 for e in step])
    assert torch.allclose(found, differences, atol=1e-8)  # central differences: 1e-12 of curvature, 1e-10 of rounding


@pytest.mark.parametrize("objective", [Shared(quadratic), Quadratic(quadratic)])
@pytest.mark.parametrize("scale", [0.5, 5.0])
def test_the_solver_takes_it(objective, scale):
    kind = LogNorm(GROUPS, scale)
    assert isinstance(kind, Penalty)
    penalties = torch.tensor([[2.0, 2.0, 0.0], [0.5, 0.5, 0.0]], dtype=torch.float64)
    path = follow(
        objective,
        0 * TARGET[None],
        GROUPS,
        penalties[None],
        tolerance=1e-10,
        max_evaluations=200,
        penalty=partial(LogNorm, scale=scale),
    )
    assert path.converged.all()
    assert (GROUPS.norms(path.points[0])[:, :2] > 0).tolist() == [[True, False], [True, True]]
    for point, penalty in zip(path.points[0], penalties):
        moved = point + 1e-3 * torch.randn(200, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        assert (penalised(moved, penalty, kind) > penalised(point, penalty, kind)).all()
