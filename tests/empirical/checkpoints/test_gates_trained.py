"""Gates on models trained for their tests: the critical penalty along training, exact zeros, residuals, bfloat16."""

from __future__ import annotations

import copy
import functools

import pytest
import torch

from empirical.checkpoints.gate_prices import gate_problem, price
from empirical.checkpoints.gates import gating
from empirical.gates.along_penalties import penalty_path
from empirical.gates.pair_map import cell_map
from empirical.gates.solve import minimised, projected_step
from empirical.gates.together import trained_together

transformers = pytest.importorskip("transformers")
DOCUMENTS, TOKENS, SEGMENT, KINDS, WORDS = 8, 48, 4, 2, 12


def text(seed, documents=DOCUMENTS):
    """Two streams that count, each by its own step, in turns of SEGMENT tokens: a token is told by its own stream."""
    random = torch.Generator().manual_seed(seed)
    blocks = torch.arange(TOKENS) // SEGMENT % KINDS
    place = torch.stack([(blocks == kind).cumsum(0) - 1 for kind in range(KINDS)])[blocks, torch.arange(TOKENS)]
    start = torch.randint(WORDS, (documents, KINDS), generator=random)
    step = torch.randint(1, 4, (documents, KINDS), generator=random)
    ids = (start[:, blocks] + step[:, blocks] * place) % WORDS + WORDS * blocks
    return {"input_ids": ids}, blocks.expand(documents, TOKENS)


@functools.cache
def trained(seed=0, steps=60):
    torch.manual_seed(seed)
    config = transformers.GPT2Config(
        n_layer=2, n_head=2, n_embd=16, n_positions=TOKENS, vocab_size=KINDS * WORDS, resid_pdrop=0, embd_pdrop=0,
        attn_pdrop=0,
    )  # fmt: skip
    model = transformers.GPT2LMHeadModel(config).double().eval()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    batch, _ = text(1, 32)
    for _ in range(steps):
        optimizer.zero_grad()
        model(**batch, labels=batch["input_ids"]).loss.backward()
        optimizer.step()
    return model


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_solver_is_sharp_on_a_trained_model(seed):
    problem = gate_problem(trained(seed), *text(2))
    found = cell_map(problem)
    critical, shut = float(found.critical(problem).max()), torch.zeros(problem.groups.count, dtype=torch.float64)
    assert critical > 0
    for ratio, stays in ((1.001, True), (0.999, False)):
        solved = minimised(
            problem, ratio * critical, shut, odds=found.omega_of(problem), tolerance=1e-6 * critical, most=20
        )
        assert bool(solved.shut.all()) == stays


def test_paths_of_a_trained_model_reach_their_residual_and_stay_under_the_ceiling():
    found = penalty_path(gate_problem(trained(), *text(2)))
    assert float(found["residual"].max()) <= 1e-4 * found.attrs["lambda_crit"]
    assert int(found["gradients"].max()) <= 60
    falling = found.sel(start="mask")
    assert bool(falling["beats_mask"].all())
    assert (falling["omega"] <= falling["omega_ceiling"] + 1e-12).all()


def test_gates_and_weights_trained_together_stay_exactly_local_above_the_critical_penalty():
    model = copy.deepcopy(trained())
    batch, blocks = text(1, 16)
    problem = gate_problem(model, [batch], [blocks])
    before = float(cell_map(problem).critical(problem).max())
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3, weight_decay=0.0)
    shut = torch.zeros(problem.groups.count, dtype=torch.float64)
    gates, told = trained_together(problem, shut, 10 * before, optimizer, steps=25, size=0.05)
    assert not gates.any()
    assert told[-1].value.loss < told[0].value.loss
    assert told[-1].gradient > 0
    critical = float(cell_map(problem).critical(problem).max())
    assert critical != before
    frozen = torch.optim.SGD(model.parameters(), 0.0)
    for ratio, stays in ((1.02, True), (0.98, False)):
        gates, _ = trained_together(problem, shut, ratio * critical, frozen, steps=10, size=0.05)
        assert bool((gates == 0).all()) == stays
    _, slope = problem.objective(shut, 0.98 * critical)
    assert (projected_step(shut, slope, 0.05) > 0).any()


def test_open_gates_shut_exactly_while_weights_are_trained():
    model = copy.deepcopy(trained())
    batch, blocks = text(1, 16)
    problem = gate_problem(model, [batch], [blocks])
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    gates, told = trained_together(
        problem, torch.ones(problem.groups.count).double(), 5.0, optimizer, steps=30, size=0.3, minibatch=True
    )
    assert not gates.any()
    assert told[0].value.omega > 0.1


def test_half_precision_weights_have_the_prices_of_their_own_values_in_float64():
    batch, blocks = text(2)
    half = copy.deepcopy(trained()).to(torch.bfloat16)
    wide = copy.deepcopy(half).double()
    one, two = (price(model, batch, blocks, path=(), ablations=False) for model in (half, wide))
    assert float(one["price_at_mask"].max()) > 0
    room = 0.1 * float(abs(two["price_at_mask"]).max())
    assert float(abs(one["price_at_mask"] - two["price_at_mask"]).max()) < room
    with gating(half, 0.5, blocks=blocks) as rows:
        assert half(**batch).logits.dtype == torch.bfloat16
    assert rows.leakage.dtype == torch.float64
