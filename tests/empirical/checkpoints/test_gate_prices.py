"""Prices of a checkpoint, checked with the stock model's own forward under float masks ln s: no gates, no gradients."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from small_checkpoints import HEADS, LAYERS, inputs, network
from stock_masks import stock_masks

from empirical.checkpoints.gate_prices import gate_problem, price
from empirical.errors import BadInput
from empirical.gates.pair_map import cell_map
from empirical.gates.price import mask_prices
from empirical.gates.solve import minimised

pytest.importorskip("transformers")
STACKS = ("gpt2", "llama", "bert")


@pytest.fixture(autouse=True)
def _float64_throughout(monkeypatch):
    """transformers takes some softmaxes and norms in float32: differences of 1e-6 would be its rounding."""
    from transformers.models.llama.modeling_llama import LlamaRMSNorm

    softmax = torch.nn.functional.softmax
    monkeypatch.setattr(torch.nn.functional, "softmax", lambda x, dim, **_: softmax(x, dim))

    def norm(self, x):
        return self.weight * x * (x.square().mean(-1, keepdim=True) + self.variance_epsilon).rsqrt()

    monkeypatch.setattr(LlamaRMSNorm, "forward", norm)


BLOCKS = torch.tensor(
    [[0, 0, 1, 1, 0, 2, 2, -1, 1, 0, 2, 1, 1, 0, 2, 0], [2, 1, 1, 0, 0, -1, -1, 2, 1, 0, 1, 2, 2, 0, 0, 1]]
)


def batch_of(name):
    given = inputs(name)
    if name == "bert":
        given["labels"] = torch.where(torch.arange(16) % 3 == 0, given["input_ids"], -100)
    return given


def outside():
    own = BLOCKS[:, :, None]
    return ((own != BLOCKS[:, None, :]) & (own >= 0))[:, None]


class Stock:
    """The stock model's loss and leakage at gates s > 0 (L, H), from its own forward under float masks ln s."""

    def __init__(self, name):
        self.model, self.given = network(name, "eager"), inputs(name)
        self.labels = batch_of(name).get("labels")
        seen = torch.ones(16, 16, dtype=torch.bool)
        self.seen = seen if name == "bert" else seen.tril()
        inside = (BLOCKS[:, :, None] == BLOCKS[:, None, :]) & self.seen
        self.rows = int(((BLOCKS >= 0) & inside.any(-1)).sum())

    @torch.no_grad()
    def __call__(self, s):
        def mask_of(layer):
            each = torch.where(outside(), s[layer].log()[None, :, None, None], torch.zeros((), dtype=torch.float64))
            return each.masked_fill(~self.seen, torch.finfo(torch.float64).min)

        with stock_masks(self.model, mask_of):
            out = self.model(**self.given, output_attentions=True)
        if self.labels is None:
            logits, targets = out.logits[:, :-1], self.given["input_ids"][:, 1:]
        else:
            logits, targets = out.logits, self.labels
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
        leakage = torch.stack([(one * outside()).sum((0, 2, 3)) for one in out.attentions]) / self.rows
        return float(loss), float(leakage.sum())

    def loss(self, s):
        return self(s)[0]


def gate(layer, head, size, others):
    s = torch.full((LAYERS, HEADS), others, dtype=torch.float64)
    s[layer, head] = size
    return s


@pytest.mark.parametrize("name", STACKS)
def test_the_critical_penalty_is_sharp_on_the_stock_model(name):
    """From the mask, a little of one gate raises J at 1.001 of the largest critical penalty; at 0.999 of its own it
    lowers J."""
    found, stock = mask_prices(gate_problem(network(name), batch_of(name), BLOCKS)), Stock(name)
    shut, critical = stock(gate(0, 0, 0.0, 0.0)), found["critical_penalty"].values
    largest = critical.max()
    assert largest > 0
    for layer in range(LAYERS):
        for head in range(HEADS):
            for t in (1e-6, 3e-6):
                loss, omega = stock(gate(layer, head, t, 0.0))
                assert loss - shut[0] + 1.001 * largest * (omega - shut[1]) > 0
                if critical[layer, head] > 0:
                    assert loss - shut[0] + 0.999 * critical[layer, head] * (omega - shut[1]) < 0


@pytest.mark.parametrize("name", STACKS)
def test_first_order_prices_and_ablations_are_those_of_the_stock_model(name):
    found, stock = price(network(name), batch_of(name), BLOCKS, path=()), Stock(name)
    assert found.attrs["loss_as_trained"] == pytest.approx(stock.loss(gate(0, 0, 1.0, 1.0)), rel=1e-12)
    assert found.attrs["loss_mask"] == pytest.approx(stock.loss(gate(0, 0, 0.0, 0.0)), rel=1e-12)
    shut = stock.loss(gate(0, 0, 0.0, 0.0))
    for layer in range(LAYERS):
        for head in range(HEADS):
            h = 1e-5
            ends = [stock.loss(gate(layer, head, size, 1.0)) for size in (1 + h, 1 - h)]
            assert float(found["price_as_trained"][layer, head]) == pytest.approx(
                (ends[1] - ends[0]) / (2 * h), abs=1e-6
            )
            one, two = (stock.loss(gate(layer, head, size, 0.0)) for size in (1e-6, 2e-6))
            slope = (4 * one - two - 3 * shut) / 2e-6  # exact to second order
            assert float(found["price_at_mask"][layer, head]) == pytest.approx(-slope, abs=1e-6)
            alone = stock.loss(gate(layer, head, 0.0, 1.0)) - found.attrs["loss_as_trained"]
            assert float(found["ablation"][layer, head]) == pytest.approx(alone, abs=1e-12)


@pytest.mark.parametrize("name", STACKS)
def test_shares_along_either_path_add_up_to_what_the_mask_costs(name):
    found = price(network(name), batch_of(name), BLOCKS, ablations=False)
    room = 1e-3 * max(abs(found.attrs["change"]), 0.01)
    for share in ("share", "stair_share"):
        assert abs(float(found[share].sum()) - found.attrs["change"]) <= room
    np.testing.assert_allclose(found["stair_price"], found["stair_loss"], atol=room)
    np.testing.assert_allclose(found["stair_share"].sum("head"), found["stair_price"], atol=1e-12)
    assert float(found["stair_leakage"].sum()) == pytest.approx(found.attrs["omega_as_trained"], rel=1e-12)


@pytest.mark.parametrize("name", STACKS)
def test_all_gates_stay_shut_above_the_critical_penalty_and_one_opens_below(name):
    problem = gate_problem(network(name), batch_of(name), BLOCKS)
    found = cell_map(problem)
    critical, shut = float(found.critical(problem).max()), torch.zeros(LAYERS * HEADS, dtype=torch.float64)
    odds, room = found.omega_of(problem), 1e-6 * critical
    above, below = (
        minimised(problem, ratio * critical, shut, odds=odds, tolerance=room, most=5) for ratio in (1.001, 0.999)
    )
    assert above.shut.all()
    assert float(above.residual.max()) == 0
    assert not below.shut.all()


def test_losses_of_the_model_as_trained_have_no_price_there_and_need_no_labels():
    for name, loss in (("llama", "kl"), ("bert", "cosine")):
        found = price(network(name), inputs(name), BLOCKS, loss=loss, path=("diagonal",), ablations=False)
        np.testing.assert_allclose(found["price_as_trained"], 0, atol=1e-9)
        assert found.attrs["loss_as_trained"] == pytest.approx(0, abs=1e-12)
        assert found.attrs["change"] > 0
        assert abs(found.attrs["share_defect"]) <= 1e-3 * max(found.attrs["change"], 0.01)


def test_an_answer_against_its_foil_and_a_loss_of_one_s_own():
    batch = {**inputs("gpt2"), "answer": torch.tensor([5, 6]), "foil": torch.tensor([7, 8])}
    out = network("gpt2")(**inputs("gpt2")).logits[:, -1].detach()
    wanted = (out[:, 7:9].diagonal() - out[:, 5:7].diagonal()).mean()
    found = price(network("gpt2"), batch, BLOCKS, loss="answer", path=(), ablations=False)
    assert found.attrs["loss_as_trained"] == pytest.approx(float(wanted), rel=1e-12)

    def own(outputs, batch, _):
        last = outputs.logits[torch.arange(2), -1]
        return last[torch.arange(2), batch["foil"]] - last[torch.arange(2), batch["answer"]], torch.ones(2).double()

    again = price(
        network("gpt2"),
        {**inputs("gpt2"), "answer": batch["answer"], "foil": batch["foil"]},
        BLOCKS,
        loss=own,
        path=(),
        ablations=False,
    )
    np.testing.assert_allclose(again["critical_penalty"], found["critical_penalty"], rtol=1e-12)


def test_documents_in_several_batches_and_padding_change_nothing():
    whole = price(network("llama"), inputs("llama"), BLOCKS, path=())
    ids = inputs("llama")["input_ids"]
    split = price(network("llama"), [{"input_ids": ids[:1]}, {"input_ids": ids[1:]}], [BLOCKS[:1], BLOCKS[1:]], path=())
    longer = torch.nn.functional.pad(ids, (0, 3), value=4)
    mask = torch.nn.functional.pad(torch.ones_like(ids), (0, 3))
    padded = price(
        network("llama"),
        {"input_ids": longer, "attention_mask": mask},
        torch.nn.functional.pad(BLOCKS, (0, 3)),
        path=(),
    )
    for other in (split, padded):
        for name in ("critical_penalty", "price_as_trained", "ablation", "critical_penalty_low", "leakage"):
            np.testing.assert_allclose(other[name], whole[name], rtol=1e-9, atol=1e-12)


def test_what_cannot_be_priced_is_refused_by_name():
    model, given = network("gpt2"), inputs("gpt2")
    with pytest.raises(BadInput, match="blocks must label every batch"):
        price(model, [given, given], [BLOCKS])
    with pytest.raises(BadInput, match="loss must be one of"):
        price(model, given, BLOCKS, loss="hinge")
    with pytest.raises(BadInput, match="batches must have answer and foil"):
        price(model, given, BLOCKS, loss="answer")
    with pytest.raises(BadInput, match="blocks must leave a query something outside"):
        price(model, given, BLOCKS * 0)
    with pytest.raises(BadInput, match="model must be in evaluation"):
        price(copy.deepcopy(model).train(), given, BLOCKS)
