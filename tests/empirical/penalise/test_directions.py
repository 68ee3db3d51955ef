"""Directions of steps: Newton's against autograd, limited-memory BFGS against its recursion, and what has no step."""

from __future__ import annotations

import pytest
import torch

from empirical.penalise.directions import coordinates, factorise, quasi_newton, sound
from empirical.penalise.groups import Groups
from empirical.penalise.penalty import GroupNorm

GROUPS = Groups(("a", "b", "c"), torch.tensor([0, 1, 1, 2, 0, 3, 2]))  # the sixth coordinate is in none
PENALTIES = torch.tensor([0.7, 0.2, 0.5, 0.0], dtype=torch.float64)


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("use", [(True, True, True, True), (True, False, True, True), (False, True, False, False)])
def test_newtons_step_solves_with_the_hessian_of_the_penalised_loss(use):
    use = torch.tensor(use)
    point, slope, root = randn(7), randn(7, seed=1), randn(7, 7, seed=2)
    at = coordinates(GROUPS, use)
    curvature = root @ root.T + torch.eye(7, dtype=torch.float64)
    point = torch.where(use[GROUPS.member], point, 0.0)

    def penalised(active):
        whole = torch.zeros(7, dtype=torch.float64).index_copy(0, at, active)
        norms = [(whole[GROUPS.member == g].square().sum() if use[g] else whole.new_zeros(())) for g in range(3)]
        penalty = sum(PENALTIES[g] * n.sqrt() for g, n in enumerate(norms) if use[g])
        return whole @ curvature @ whole / 2 + penalty

    expected = torch.autograd.functional.hessian(penalised, point[at])
    factor = factorise(curvature[at][:, at], point, at, use, GroupNorm(GROUPS), PENALTIES)
    assert factor is not None
    step = factor.step(slope)
    assert torch.allclose(expected @ step[at], -slope[at], rtol=1e-10, atol=1e-12)
    assert (step[~use[GROUPS.member]] == 0).all()


def test_no_factor_where_the_penalised_loss_is_not_convex():
    """The bend of the norms, 0.2 across a group of norm 1, makes up for a curvature of -0.19, not for one of -0.21."""
    use, point = torch.tensor([False, True, False, False]), torch.zeros(7, dtype=torch.float64)
    point[1] = 1.0
    for curvature, convex in ((-0.19, True), (-0.21, False)):
        hessian = torch.diag(torch.tensor([1.0, curvature], dtype=torch.float64))
        factor = factorise(hessian, point, coordinates(GROUPS, use), use, GroupNorm(GROUPS), PENALTIES)
        assert (factor is not None) == convex


def test_the_compact_form_is_the_two_loop_recursion():
    """Nocedal and Wright 2006, algorithm 7.4, with H_0 = step; pairs that are not sound count as absent."""
    rows, memory, size = 3, 4, 6
    moves = randn(rows, memory, size)
    root = randn(rows, size, size, seed=1)
    turns = moves @ (root @ root.mT)
    turns[1, 2] = -turns[1, 2]  # of negative curvature
    moves[2, 0] = turns[2, 0] = 0.0  # not there yet
    slope, step = randn(rows, size, seed=2), torch.tensor([1.0, 0.3, 2.0], dtype=torch.float64)
    pairs = sound(torch.stack([moves, turns], 1))
    assert (pairs[1, :, 2] == 0).all()
    found = quasi_newton(pairs, step, slope)
    for row in range(rows):
        kept = [(s, y) for s, y in zip(*pairs[row]) if s @ y > 0]
        assert len(kept) == (4, 3, 3)[row]
        q, weights = slope[row].clone(), []
        for s, y in reversed(kept):
            weights.append(s @ q / (s @ y))
            q = q - weights[-1] * y
        q = step[row] * q
        for (s, y), weight in zip(kept, reversed(weights)):
            q = q + s * (weight - y @ q / (s @ y))
        assert torch.allclose(found[row], -q, rtol=1e-9, atol=1e-12)
