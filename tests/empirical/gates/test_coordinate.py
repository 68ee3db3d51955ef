"""The coordinate of the solver: exact at its ends, its own inverse's inverse, and leakage nearly linear in it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from planted import ASK, COPIED, NOTE, A, B, documents, head, layer, planted, stream

from empirical.gates.coordinate import Coordinate, fitted, single
from empirical.gates.pair_map import cell_map

MIXED = Coordinate(np.array([[0.0, 10.0, 1e4, 1e8]]), np.array([[0.1, 0.2, 0.3, 0.4]]))


def test_gates_are_had_back_over_sixteen_decades_and_ends_are_exact():
    for size in 10.0 ** -np.arange(17):
        gates = np.array([size])
        np.testing.assert_allclose(MIXED.gates(MIXED.of(gates)), gates, rtol=1e-9)  # 1 - x loses digits near 1
    assert MIXED.gates(np.array([0.0, 1.0])).tolist() == [0.0, 1.0]
    assert MIXED.of(np.array([0.0, 1.0])).tolist() == [0.0, 1.0]


@pytest.mark.parametrize("size", [1e-9, 1e-4, 0.3])
def test_how_a_gate_moves_is_the_slope_of_the_inverse(size):
    gates = np.array([size])
    step = 1e-6 * size
    slope = (MIXED.of(gates + step) - MIXED.of(gates - step)) / (2 * step)
    np.testing.assert_allclose(MIXED.moves(gates), 1 / slope, rtol=1e-6)


def test_one_odds_is_the_leakage_of_a_row():
    odds = np.array([np.exp(12.0)])
    x = np.linspace(0, 1, 9)[:, None]
    gates = np.concatenate([single(odds).gates(one) for one in x])
    leaks = gates * odds / (1 + gates * odds)
    np.testing.assert_allclose(leaks, x[:, 0] * odds / (1 + odds), rtol=1e-9)


def test_leakage_of_rows_whose_odds_differ_by_decades_is_nearly_linear_in_it():
    """Rows of odds 1, 5 and e^12: in s the last opens below 1e-4, in the coordinate of mean odds the others do not."""
    one = layer(head({B: 12.0, NOTE: 1.6}, {A: 1.0}, A, COPIED))
    states = torch.cat([stream(A, B), stream(A, NOTE), stream(A, ASK)])
    problem = planted(states, torch.tensor([[0, 1]]).expand(3, -1), [one], lambda x: x[:, 1, COPIED])
    odds = cell_map(problem).omega_of(problem)
    along = fitted(problem, odds)

    def bend(coordinate):
        x = np.linspace(0, 1, 11)
        values = [problem.value(torch.as_tensor(coordinate.gates(np.array([at])))).omega for at in x]
        return np.abs(np.array(values) / values[-1] - x).max()

    assert bend(along) < 0.08  # odds are taken by decades
    assert bend(single(odds.numpy())) > 0.4
    assert bend(single(np.zeros(1))) > 0.25


def test_a_gate_without_pairs_has_a_coordinate():
    problem = documents(groups=("layer", "head", "block_query", "block_key"))
    along = fitted(problem, cell_map(problem).omega_of(problem))
    np.testing.assert_allclose(along.weights.sum(-1), 1)
    assert np.isfinite(along.moves(np.zeros(problem.groups.count))).all()
