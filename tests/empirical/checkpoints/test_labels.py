"""Labels as people have them, and models as they are called: they work, or are refused by name before anything runs."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest
import torch
from small_checkpoints import LAYERS, inputs, network

from empirical.checkpoints.contexts import Labels, dial, guarded, observing
from empirical.errors import BadInput

pytest.importorskip("transformers")
GIVEN = inputs("gpt2", batch=1)
BLOCKS = torch.arange(16)[None] // 3 % 2
RAGGED = [[0, 1], [0]]


@torch.no_grad()
def run(model):
    return model(**GIVEN).logits


@pytest.mark.parametrize(
    "form",
    [
        lambda b: b.numpy(),
        lambda b: b.tolist(),
        lambda b: b[0],
        lambda b: b[0].tolist(),
        lambda b: b.to(torch.int32),
        lambda b: b.numpy().astype(np.uint8),
    ],
)
def test_labels_are_whole_numbers_in_any_container(form):
    model, found = network("gpt2"), []
    for given in (BLOCKS, form(BLOCKS), Labels(form(BLOCKS))):
        with dial(model, 0.7, blocks=given), observing(model, given) as rows, guarded(model, 1e-9, given):
            found.append((run(model), rows["transformer.h.0.attn"]["leakage"]))
    for logits, leakage in found[1:]:
        assert torch.equal(logits, found[0][0])
        assert torch.equal(leakage, found[0][1])
    grown = [Labels(BLOCKS, grown=one).grown for one in (torch.tensor([1]), np.array([1]), [1], 1)]
    assert all(torch.equal(one, torch.tensor([1])) for one in grown)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (BLOCKS.double(), r"blocks must be whole numbers, .* got torch.float64"),
        (BLOCKS.bool(), r"blocks must be whole numbers, .* got torch.bool"),
        (BLOCKS.to("meta"), r"blocks must be whole numbers, .* got a tensor without values \(device meta\)"),
        (RAGGED, r"blocks must be whole numbers, .* got list"),
        ("dog", r"blocks must be whole numbers, .* got str"),
        (["dog", "cat"], r"blocks must be whole numbers, .* got list"),
        (BLOCKS[None], r"blocks must be whole numbers, .* got shape \(1, 1, 16\)"),
        ([], r"blocks must be whole numbers, .* got shape"),
    ],
)
def test_labels_that_are_none_are_refused_before_the_model_runs(given, words):
    model = network("gpt2")
    for context in (lambda: dial(model, 0.5, blocks=given), lambda: Labels(given)):
        with pytest.raises(BadInput, match=words):
            context()
    for context in (observing(model, given), guarded(model, 0.5, given)):
        with pytest.raises(BadInput, match=words), context:
            pass
    with pytest.raises(BadInput, match="grown must be whole numbers"):
        Labels(BLOCKS, grown=0.5)
    with pytest.raises(BadInput, match="keys must be whole numbers"):
        Labels(BLOCKS, keys=0.5)


def test_attention_that_is_not_there_is_refused():
    model, kinds = network("gpt2"), "kinds must be some of self, encoder, cross, at least one of which a gpt2 has, got"
    for given in (("slef",), (), ("self", "sefl"), ("cross",)):
        with pytest.raises(BadInput, match=kinds):
            dial(model, 0.5, blocks=BLOCKS, kinds=given)
        for context in (observing(model, BLOCKS, kinds=given), guarded(model, 0.5, BLOCKS, kinds=given)):
            with pytest.raises(BadInput, match=kinds), context:
                pass
    with pytest.raises(BadInput, match=rf"layers must be some of 0 to {LAYERS - 1}, got \(7,\)"):
        observing(model, BLOCKS, layers=(7,)).__enter__()
    for shape in ((LAYERS + 1, 1), (LAYERS + 1, 4)):
        with pytest.raises(BadInput, match=rf"dials must be one number or \({LAYERS}, heads\) .* got shape"):
            dial(model, np.full(shape, 0.5), blocks=BLOCKS)
    with pytest.raises(BadInput, match="n_anchors must be a whole number >= 1, got 0"):
        observing(model, BLOCKS, n_anchors=0).__enter__()
    with pytest.raises(BadInput, match=r"dial must be in \[0, 1\], got 2"):
        observing(model, BLOCKS, dial=2.0).__enter__()


def test_a_model_without_values_is_refused():
    model = copy.deepcopy(network("gpt2")).to("meta")
    with pytest.raises(BadInput, match="model must have values, got parameters of device meta"):
        dial(model, 0.5, blocks=BLOCKS)
    for context in (observing(model, BLOCKS), guarded(model, 0.5, BLOCKS)):
        with pytest.raises(BadInput, match="model must have values, got parameters of device meta"), context:
            pass


@pytest.mark.parametrize("before", [False, True])
def test_a_compiled_model_runs_its_own_code_inside_a_context_and_is_compiled_again_after(before):
    """fullgraph=True would raise where a context is traced, and a graph compiled before might know nothing of it."""
    model, traced = copy.deepcopy(network("llama")), []

    def backend(graph, _):
        traced.append(graph)
        return graph.forward

    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True, backend=backend)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = run(model)
        if before:
            assert torch.equal(run(compiled), plain)
        known = len(traced)
        with dial(model, 0.9, blocks=BLOCKS), observing(model, BLOCKS) as rows:
            turned = run(model)
            assert torch.equal(run(compiled), turned)
        assert not torch.equal(turned, plain)
        assert len(rows.rows) == LAYERS
        with dial(compiled, 0.9, blocks=BLOCKS):
            assert torch.equal(run(compiled), turned)
        assert len(traced) == known
        assert torch.equal(run(compiled), plain)
        assert len(traced) > 0
    torch._dynamo.reset()
