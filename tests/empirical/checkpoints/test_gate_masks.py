"""A gate set as one plain mask, given to the stock model's own forward: the logits of gated attention."""

from __future__ import annotations

import pytest
import torch
from small_checkpoints import HEADS, LAYERS, implementations, inputs, network

from empirical.checkpoints.contexts import Labels
from empirical.checkpoints.gate_masks import gate_mask
from empirical.checkpoints.gates import gating
from empirical.errors import BadInput

pytest.importorskip("transformers")
BLOCKS = torch.tensor(
    [[0, 0, 1, 1, 0, 2, 2, -1, 1, 0, 2, 1, 1, 0, 2, 0], [2, 1, 1, 0, 0, -1, -1, 2, 1, 0, 1, 2, 2, 0, 0, 1]]
)
EVERY = ("gpt2", "llama", "bert", "qwen3", "gpt_neox", "opt", "distilbert", "phi", "olmo")


@pytest.fixture(autouse=True)
def _float64_throughout(monkeypatch):
    softmax = torch.nn.functional.softmax
    monkeypatch.setattr(torch.nn.functional, "softmax", lambda x, dim, **_: softmax(x, dim))


def both(name, implementation, gates, groups, labels=None):
    """Logits of the stock model under the mask, of gated attention, and of the plain model."""
    model, given, labels = network(name, implementation), inputs(name), Labels(BLOCKS) if labels is None else labels
    mask = gate_mask(model, gates, blocks=labels, groups=groups)
    if name == "opt":  # it counts positions in a mask of two axes, or is given them
        given["position_ids"] = torch.arange(16).expand(2, -1)
    with torch.no_grad():
        stock, plain = model(**given, attention_mask=mask).logits, model(**given).logits
        with gating(model, gates, blocks=labels, groups=groups):
            found = model(**given).logits
    return stock, found, plain, mask


@pytest.mark.parametrize(("name", "implementation"), implementations(*EVERY))
def test_the_stock_model_under_the_mask_is_the_gated_one(name, implementation):
    random = torch.Generator().manual_seed(1)
    by_head = torch.rand(HEADS, generator=random, dtype=torch.float64)
    by_head[0] = 0.0
    stock, found, plain, mask = both(name, implementation, by_head, ("head",))
    torch.testing.assert_close(stock, found, rtol=1e-11, atol=1e-12)
    assert mask.is_floating_point()
    assert float((found - plain).abs().max()) > 1e-3


@pytest.mark.parametrize(("name", "implementation"), implementations("llama", "bert"))
def test_shut_gates_are_a_boolean_mask_where_the_kernel_takes_one(name, implementation):
    stock, found, _, mask = both(name, implementation, 0.0, ("layer", "head"))
    torch.testing.assert_close(stock, found, rtol=1e-11, atol=1e-12)
    assert mask.shape == (2, 1, 16, 16)
    assert (mask.dtype == torch.bool) == (implementation == "sdpa")


def test_gates_of_pairs_of_blocks_a_relation_and_padding_are_in_the_mask():
    model, given = network("llama"), inputs("llama")
    labels = Labels(BLOCKS, sees={(2, 0)}, kept={-1})
    shown = torch.ones_like(BLOCKS)
    shown[1, -3:] = 0
    gates = torch.rand(3, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    by = ("block_query", "block_key")
    mask = gate_mask(model, gates, blocks=labels, groups=by, attention_mask=shown)
    hidden = Labels(BLOCKS.masked_fill(shown == 0, -1), sees={(2, 0)}, kept={-1})
    with torch.no_grad(), gating(model, gates, blocks=hidden, groups=by):
        found = model(**given, attention_mask=shown).logits
    with torch.no_grad():
        stock = model(**given, attention_mask=mask).logits
    torch.testing.assert_close(stock[shown == 1], found[shown == 1], rtol=1e-11, atol=1e-12)


def test_what_one_mask_cannot_say_is_refused_by_name():
    gates = torch.rand(LAYERS, HEADS, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    with pytest.raises(BadInput, match="gates must be the same in every layer"):
        gate_mask(network("llama"), gates, blocks=BLOCKS)
    for name, said in (("gemma3_text", "see as far in every layer"), ("t5", "one stack"), ("mistral", "see as far")):
        with pytest.raises(BadInput, match=said):
            gate_mask(network(name), 0.5, blocks=BLOCKS)
    with pytest.raises(BadInput, match="those of the tokens alone"):
        gate_mask(network("llama"), 0.5, blocks=Labels(BLOCKS, grown=torch.tensor([0, 1])))
