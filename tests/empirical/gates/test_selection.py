"""Ways to choose gates, on models whose answers are known: what zeros remove, what they cost, how far each reaches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from planted import documents, indifferent, induction, twins

from empirical.errors import BadInput
from empirical.gates.resampling import drawn_again, interval
from empirical.gates.selection import (
    Judged,
    Outside,
    ablated_anew,
    by_depth,
    cheapest_first,
    hard_concrete,
    judged,
    outside,
    permuted,
    powers_of_depth,
    refitted,
    shut_in_order,
    submodularity_ratios,
)
from empirical.gates.solve import residual


def test_what_stands_outside_as_trained_is_omega_gate_by_gate():
    problem = documents()
    found = outside(problem)
    assert float(found.mass.sum()) == pytest.approx(problem.value(torch.ones(9).double()).omega, rel=1e-12)
    leakage = problem.sums(torch.ones(9).double())[1]
    torch.testing.assert_close(found.mass, (leakage * problem.per_row).reshape(-1, 9))
    assert float(found.of_gate.sum()) == pytest.approx(1)
    by_layer = outside(documents(groups=("layer",)))
    torch.testing.assert_close(by_layer.mass, found.mass.view(-1, 3, 3).sum(-1))


@pytest.mark.parametrize("groups", [("head",), ("layer", "block_key"), ("layer", "head", "block_query", "block_key")])
def test_gates_that_are_less_or_more_than_heads_of_a_layer_are_refused(groups):
    with pytest.raises(BadInput, match="groups must go by layer"):
        outside(documents(groups=groups))


def test_orders_shut_one_gate_after_the_other_and_are_thinned_by_what_they_remove():
    mass = torch.tensor([0.5, 0.1, 0.2, 0.2])
    whole = shut_in_order([1, 3, 2, 0], mass)
    assert whole.tolist() == [[1, 1, 1, 1], [1, 0, 1, 1], [1, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert shut_in_order([1, 3, 2, 0], mass, 3).tolist() == [whole[0].tolist(), whole[3].tolist(), whole[4].tolist()]
    assert cheapest_first(np.array([0.4, 0.1, -0.1, 0.1]), mass) == [2, 3, 0, 1]
    layer_of = np.array([0, 0, 1, 1])
    assert by_depth(layer_of, mass, late=True) == [2, 3, 1, 0]
    assert by_depth(layer_of, mass, late=False) == [1, 0, 2, 3]


def test_powers_of_depth_shut_late_layers_exactly():
    found = powers_of_depth(np.array([0, 1, 1, 3]), 4, (1.0, 2.0), (0.5, 2.0))
    assert found.tolist() == [
        [0.875, 0.75, 0.75, 0.5],
        [0.5, 0, 0, 0],
        [31 / 32, 0.875, 0.875, 0.5],
        [0.875, 0.5, 0.5, 0],
    ]


def test_twins_are_each_free_and_together_dear():
    """The reach is one of the two, whatever ablations say; opening either is worth all, so the ratio is 2."""
    problem = twins(5.0)
    trained = outside(problem)
    ones = shut_in_order([0, 1], trained.of_gate)
    found = judged(problem, ones, trained)
    torch.testing.assert_close(found.removed, torch.tensor([0, 0.5, 1]).double())
    assert float(found.cost[1]) < 1e-6
    assert float(found.cost[2]) == pytest.approx(1, abs=1e-6)
    assert found.pick(0.01) == 1
    assert found.reach(0.01) == pytest.approx(0.5)
    assert found.reach(2.0) == pytest.approx(1)
    np.testing.assert_allclose(submodularity_ratios(problem, 2, 3), 2, rtol=1e-6)


def test_heads_that_need_one_another_are_worth_more_together_than_alone():
    """With the noting head shut the reading one gains little: the least ratio is below 1."""
    ratios = submodularity_ratios(induction(0.0, 6.0), 3, 30)
    assert len(ratios)
    assert ratios.min() < 0.9


def test_prices_anew_see_what_prices_at_once_do_not():
    """After one twin is shut the other is dear, and what nothing reads is shut before it."""
    problem = induction(2.0, 3.0)
    order = ablated_anew(problem, outside(problem).of_gate, 1)
    assert sorted(order) == [0, 1, 2, 3]
    cost = judged(problem, shut_in_order(order, outside(problem).of_gate), outside(problem)).cost
    assert abs(float(cost[2])) < 1e-9  # the two heads that write to what none reads


def test_noisy_gates_shut_what_costs_nothing_and_keep_what_is_worth_its_penalty():
    problem = induction(2.0, 3.0)
    gates = hard_concrete(problem, torch.full((4,), 0.25).double(), (0.05,), steps=150, rate=0.2, seed=0)[0]
    assert gates[[1, 2]].tolist() == [0, 0]
    assert hard_concrete(indifferent(), torch.full((4,), 0.25).double(), (1.0,), steps=150, rate=0.2, seed=0).sum() == 0


def test_what_is_shut_stays_shut_and_the_rest_goes_where_the_loss_is_least():
    problem = documents()
    start = torch.full((3, 9), 0.5).double()
    start[1:, [0, 4]] = 0
    found = refitted(problem, start, 10.0, 1e-6, most=60)
    assert len(found) == 2  # one a set of zeros
    assert not found[1][[0, 4]].any()
    for one, before in zip(found, start):
        assert problem.value(one).loss < problem.value(before).loss
        free = before > 0
        assert float(residual(one, problem.objective(one, 0.0)[1])[free].max()) < 1e-6


def test_documents_are_drawn_together_for_all_ways():
    scored, loss = torch.ones(40).double(), torch.zeros(40).double()
    trained = Outside(scored, loss, torch.ones(40, 2).double())
    change = torch.linspace(-1, 1, 40).double()
    gates = torch.tensor([[1.0, 1.0], [0.0, 1.0]]).double()
    one = Judged(gates, torch.stack([loss, change]), trained)
    weights = drawn_again(40, draws=500)
    assert weights.sum(1).tolist() == [40] * 500
    both = one.reaches(0.0, weights) - one.reaches(0.0, weights)
    assert tuple(interval(both.numpy())) == (0, 0)
    low, high = interval(one.drawn(weights)[1][:, 1].numpy())
    spread = 1.96 * float(change.std(correction=0)) / 40**0.5
    assert low == pytest.approx(-spread, rel=0.2)
    assert high == pytest.approx(spread, rel=0.2)
    assert tuple(interval(one.reaches(0.0, weights).numpy())) == (0, 0.5)


def test_permuted_blocks_have_the_same_sizes_and_leave_what_all_may_see():
    blocks = torch.tensor([-1, 4, 0, 0, 1, 1, 2, 2, 4])
    found = permuted(blocks, torch.Generator().manual_seed(1), kept=(4,))
    assert sorted(found.tolist()) == sorted(blocks.tolist())
    assert found[[0, 1, 8]].tolist() == [-1, 4, 4]
    assert found.tolist() != blocks.tolist()
