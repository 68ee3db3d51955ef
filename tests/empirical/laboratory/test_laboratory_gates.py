"""Gates on the reference model: its own kernels at both ends, prices, and the critical penalty of three seeds."""

from __future__ import annotations

import functools
import math

import pytest
import torch
from small import TOPICS, configured

from empirical.dial.changes import dial, steer
from empirical.gates.pair_map import cell_map
from empirical.gates.price import priced
from empirical.gates.solve import minimised
from empirical.laboratory.gates import gate_problem
from empirical.laboratory.model import Layout, initial_parameters, token_losses
from empirical.laboratory.tasks import make_task

CONFIG = configured(TOPICS)


@functools.cache
def laboratory(seed=1, steps=12):
    """Parameters after some steps, sequences, layout."""
    task = make_task(CONFIG, seed, torch.device("cpu"))
    layout = Layout(task.query_block, CONFIG, torch.float64)
    parameters = initial_parameters(CONFIG, seed, 1, torch.device("cpu"), torch.float64)
    sequences = task.heldout[:6]
    leaves = [value.requires_grad_() for value in parameters.values()]
    optimizer = torch.optim.AdamW(leaves, 3e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        token_losses(parameters, sequences, layout, CONFIG).mean().backward()
        optimizer.step()
    return {name: value.detach() for name, value in parameters.items()}, sequences, layout


def losses(parameters, sequences, layout, **more):
    return token_losses(parameters, sequences, layout, CONFIG, **more)[0].sum(-1)


def test_open_and_shut_gates_are_the_plain_and_the_masked_kernel_bit_for_bit():
    given = laboratory()
    problem = gate_problem(*given, CONFIG)
    for size, truth in ((1.0, losses(*given)), (0.0, losses(*given, masked=True))):
        loss, leakage = problem.sums(torch.full((4,), size, dtype=torch.float64))
        assert torch.equal(loss, truth)
        assert bool(leakage.any()) == (size == 1)


def test_gates_between_are_a_dial():
    """One gate for all is 1 - dial."""
    parameters, sequences, layout = laboratory()
    problem = gate_problem(parameters, sequences, layout, CONFIG)
    turn = dial(_Shape(), layout.in_block, kappas=-math.log(0.3))
    truth = losses(parameters, sequences, layout, weigh=steer(CONFIG.setting.temperature, turn))
    torch.testing.assert_close(
        problem.sums(torch.full((4,), 0.3, dtype=torch.float64))[0], truth, rtol=1e-12, atol=1e-12
    )


class _Shape:
    layers, heads, temperature = CONFIG.model.layers, CONFIG.model.heads, CONFIG.setting.temperature


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_critical_penalty_is_sharp_and_agrees_with_the_gates_own_gradient(seed):
    problem = gate_problem(*laboratory(seed), CONFIG)
    found, shut = cell_map(problem), torch.zeros(4, dtype=torch.float64)
    _, of_loss, of_omega = problem.slopes(shut, omega=True)
    price = -of_loss.sum(0) / problem.counts[0].sum()
    torch.testing.assert_close(found.price_of(problem), price, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found.omega_of(problem), of_omega.sum(0), rtol=1e-9, atol=1e-12)
    critical = float(found.critical(problem).max())
    assert critical > 0
    for ratio, stays in ((1.001, True), (0.999, False)):
        solved = minimised(problem, ratio * critical, shut, odds=found.omega_of(problem), tolerance=1e-7 * critical)
        assert bool(solved.shut.all()) == stays


def test_prices_of_the_reference_model_add_up():
    found = priced(gate_problem(*laboratory(), CONFIG, groups=("layer", "head", "block_query", "block_key")))
    for name in ("share", "stair_share"):
        assert abs(float(found[name].sum()) - found.attrs["change"]) <= 1e-3 * max(abs(found.attrs["change"]), 0.01)
