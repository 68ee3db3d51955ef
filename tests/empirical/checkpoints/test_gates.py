"""Gates on a checkpoint, against the stock model's own forward under float masks ln s, and boolean ones at s = 0."""

from __future__ import annotations

import math

import pytest
import torch
from small_checkpoints import HEADS, LAYERS, architecture_of, implementations, inputs, network
from stock_masks import stock_masks

from empirical.checkpoints.contexts import Labels, dial, observing
from empirical.checkpoints.gates import gating, groups_of
from empirical.errors import BadInput

pytest.importorskip("transformers")
BLOCKS = torch.tensor(
    [[0, 0, 1, 1, 0, 2, 2, -1, 1, 0, 2, 1, 1, 0, 2, 0], [2, 1, 1, 0, 0, -1, -1, 2, 1, 0, 1, 2, 2, 0, 0, 1]]
)
LOWEST = torch.finfo(torch.float64).min  # of a row that sees nothing, -inf makes NaN
STACKS = ("gpt2", "llama", "bert")
EVERY = ("gpt2", "llama", "bert", "qwen3", "gpt_neox", "opt", "distilbert", "phi", "olmo")


@pytest.fixture(autouse=True)
def _float64_throughout(monkeypatch):
    softmax = torch.nn.functional.softmax
    monkeypatch.setattr(torch.nn.functional, "softmax", lambda x, dim, **_: softmax(x, dim))


def gates(seed=0, batch=None):
    shape = (LAYERS, HEADS) if batch is None else (batch, LAYERS * HEADS)
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def padded(name):
    """Two sequences, the second without its first or last tokens; and which keys its queries see."""
    given = inputs(name)
    mask = torch.ones(2, 16, dtype=torch.long)
    if architecture_of(name).task.name == "MASKED_TOKEN":
        mask[1, -3:] = 0
    else:
        mask[1, :3] = 0
    seen = (mask[:, None, None, :] == 1).expand(2, 1, 16, 16)
    if architecture_of(name).task.name != "MASKED_TOKEN":
        seen = seen & torch.ones(16, 16, dtype=torch.bool).tril()
    return {**given, "attention_mask": mask}, seen, BLOCKS.masked_fill(mask == 0, -1)


def outside(labels):
    own = labels[:, :, None]
    return ((own != labels[:, None, :]) & (own >= 0))[:, None]


@torch.no_grad()
def logits(model, given):
    return model(**given).logits


def close(one, other, where):
    assert float((one - other)[where].abs().max()) <= 1e-12 * max(1.0, float(other.abs().max()))


@pytest.mark.parametrize(("name", "implementation"), implementations(*EVERY))
def test_gates_are_float_masks_of_the_stock_model(name, implementation):
    model, (given, seen, labels) = network(name, implementation), padded(name)
    s = gates()

    def mask_of(layer):
        return torch.where(outside(labels), s[layer].log()[None, :, None, None], 0.0).masked_fill(~seen, LOWEST)

    shown = given["attention_mask"] == 1
    with stock_masks(model, mask_of), torch.no_grad():
        truth = model(**given).logits
    with gating(model, s, blocks=labels) as rows:
        found = logits(model, given)
    close(found, truth, shown)
    assert float((truth - logits(model, given))[shown].abs().max()) > 1e-3
    assert rows.rows.shape == (2, LAYERS, HEADS)


@pytest.mark.parametrize(("name", "implementation"), implementations(*STACKS))
def test_open_gates_are_the_stock_model_and_shut_ones_its_boolean_mask(name, implementation):
    model, (given, seen, labels) = network(name, implementation), padded(name)
    shown = given["attention_mask"] == 1
    hidden = ~seen | outside(labels)
    float_mask = torch.zeros(hidden.shape, dtype=torch.float64).masked_fill(hidden, LOWEST)
    with stock_masks(model, lambda _: ~hidden if implementation == "sdpa" else float_mask), torch.no_grad():
        masked = model(**given).logits
    for asked in (False, True):
        one = torch.ones(LAYERS, HEADS, dtype=torch.float64, requires_grad=asked)
        for s, truth in ((one, logits(model, given)), (torch.zeros_like(one, requires_grad=asked), masked)):
            with gating(model, s, blocks=labels):
                found = model(**given).logits.detach()
            close(found, truth, shown)
            if not asked and s.any():
                assert torch.equal(found, truth)
    blocks = labels.clone()
    with gating(model, 0, blocks=blocks):
        shut = logits(model, given)
    with dial(model, 1.0, blocks=blocks):
        assert torch.equal(shut, logits(model, given))


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_one_gate_for_all_is_a_mask_that_the_model_itself_takes(implementation):
    model, given = network("llama", implementation), inputs("llama")
    seen = torch.ones(16, 16, dtype=torch.bool).tril()
    mask = (outside(BLOCKS).double() * math.log(0.2)).masked_fill(~seen, LOWEST)
    truth = logits(model, {**given, "attention_mask": mask})
    with gating(model, 0.2, blocks=BLOCKS, groups=()):
        close(logits(model, given), truth, slice(None))


@pytest.mark.parametrize("name", ["gemma2", "gemma3_text", "modernbert", "t5", "bart"])
def test_caps_windows_distances_and_encoders_are_in_the_logits_that_gates_meet(name):
    """Against a dial, whose kernel has them: one gate for all is 1 - dial."""
    model, given = network(name), inputs(name)
    both = model.config.is_encoder_decoder
    labels = Labels(BLOCKS[:, :9], keys=BLOCKS) if both else Labels(BLOCKS)
    for kind in architecture_of(name).kinds:
        with dial(model, 0.7, blocks=labels, kinds=(kind,)):
            truth = logits(model, given)
        with gating(model, 1 - 0.7, blocks=labels, kind=kind):
            torch.testing.assert_close(logits(model, given), truth, rtol=1e-10, atol=1e-10)


def test_rows_observed_inside_gates_are_those_that_are_gated():
    model, s = network("llama"), gates()
    with gating(model, s, blocks=BLOCKS) as rows, observing(model, BLOCKS) as seen:
        model(**inputs("llama"))
    for place, (_, layer) in seen.calls.items():
        fields = seen[place]
        leakage = fields["leakage"].where(BLOCKS[:, None] >= 0, torch.zeros(()))
        torch.testing.assert_close(rows.leakage[:, layer].detach(), leakage.sum(-1), rtol=1e-10, atol=1e-12)


def test_a_gate_for_each_pair_of_blocks_and_each_sequence_its_own():
    model, given = network("gpt2"), inputs("gpt2")
    groups = groups_of(model, 3, ("layer", "head", "block_query", "block_key"))
    s = torch.rand(2, groups.count, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    cells = s[:, groups.number]
    seen = torch.ones(16, 16, dtype=torch.bool).tril()
    sequence = torch.arange(2)[:, None, None, None]
    head = torch.arange(HEADS)[None, :, None, None]
    own, other = BLOCKS.clamp(min=0)[:, None, :, None], BLOCKS.masked_fill(BLOCKS < 0, 3)[:, None, None, :]

    def mask_of(layer):
        each = cells[sequence, layer, head, own, other]
        return torch.where(outside(BLOCKS), each.log(), 0.0).masked_fill(~seen, LOWEST)

    with stock_masks(model, mask_of):
        truth = logits(model, given)
    with gating(model, s, blocks=BLOCKS, groups=groups):
        close(logits(model, given), truth, slice(None))


@pytest.mark.parametrize("reentrant", [False, True])
def test_gradient_checkpointing_is_carried(reentrant):
    import copy

    model = copy.deepcopy(network("llama")).train()
    s = gates().requires_grad_()

    def slopes(penalty):
        with gating(model, s, blocks=BLOCKS) as rows:
            loss = model(**inputs("llama"), labels=inputs("llama")["input_ids"], use_cache=False).loss
        if penalty:
            loss = loss + rows.leakage.sum()
        s.grad = None
        loss.backward()
        return s.grad.clone()

    truth = [slopes(penalty) for penalty in (0, 1)]
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable({"use_reentrant": reentrant})
    torch.testing.assert_close(slopes(0), truth[0])
    if not reentrant:
        torch.testing.assert_close(slopes(1), truth[1])


def test_generation_with_a_cache_is_gated_as_one_pass():
    model, given = network("llama"), inputs("llama", batch=1)
    grown = Labels(BLOCKS[:1], grown=torch.tensor([1]))
    with gating(model, 0.4, blocks=grown):
        ids = model.generate(
            **given, max_new_tokens=4, do_sample=False, output_logits=True, return_dict_in_generate=True
        )
        whole = logits(model, {"input_ids": ids.sequences})
    torch.testing.assert_close(torch.stack(ids.logits, 1), whole[:, 15:-1].float())


def test_what_cannot_be_gated_is_refused_by_name():
    model = network("llama")
    with pytest.raises(BadInput, match="of one context"), gating(model, 0.5, blocks=BLOCKS):  # noqa: SIM117
        with gating(model, 0.5, blocks=BLOCKS):
            model(**inputs("llama"))
    with pytest.raises(BadInput, match="at least one layer, head and block"), gating(model, 0.5, blocks=BLOCKS * 0 - 1):
        pass
    with pytest.raises(BadInput, match="gates must be of shape"), gating(model, torch.ones(3, 3), blocks=BLOCKS):
        pass
    with pytest.raises(BadInput, match="kinds must be"), gating(model, 0.5, blocks=BLOCKS, kind="cross"):
        pass
