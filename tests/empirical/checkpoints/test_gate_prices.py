"""Prices of a checkpoint, checked with the stock model's own forward under float masks ln s: no gates, no gradients."""

from __future__ import annotations

import pytest
import torch
from small_checkpoints import HEADS, LAYERS, inputs, network

from empirical.checkpoints.gate_prices import gate_problem, price

pytest.importorskip("transformers")


@pytest.fixture(autouse=True)
def _float64_throughout(monkeypatch):
    softmax = torch.nn.functional.softmax
    monkeypatch.setattr(torch.nn.functional, "softmax", lambda x, dim, **_: softmax(x, dim))


BLOCKS = torch.tensor(
    [[0, 0, 1, 1, 0, 2, 2, -1, 1, 0, 2, 1, 1, 0, 2, 0], [2, 1, 1, 0, 0, -1, -1, 2, 1, 0, 1, 2, 2, 0, 0, 1]]
)


def batch_of(name):
    given = inputs(name)
    if name == "bert":
        given["labels"] = torch.where(torch.arange(16) % 3 == 0, given["input_ids"], -100)
    return given


def test_try():
    for name in ("gpt2", "llama", "bert"):
        found = price(network(name), batch_of(name), BLOCKS)
        print(found)
        print(found.attrs)
        problem = gate_problem(network(name), batch_of(name), BLOCKS)
        loss, of_loss, of_omega = problem.slopes(torch.zeros(LAYERS * HEADS, dtype=torch.float64), omega=True)
        print(
            (-of_loss.sum(0) / of_omega.sum(0) / problem.counts[0].sum()).clamp(min=0)
            - torch.as_tensor(found.critical_penalty.values.flatten())
        )
        print(found.share.values, found.stair_share.values, found.ablation.values)
