"""A relation of blocks on a checkpoint: rows, dial, guard and generation under it, and what a mask then isolates."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from small_checkpoints import HEADS, inputs, network

from bounds.theorems import OBSERVED, Level, Verdict
from empirical.check.verdicts import check
from empirical.checkpoints.contexts import Labels, dial, guarded, observing

pytest.importorskip("transformers")
SYSTEM, USER, TOOL, ASSISTANT, NONE = 0, 1, 2, 3, -1
BLOCKS = torch.tensor([[NONE, SYSTEM, SYSTEM, SYSTEM, USER, USER, TOOL, TOOL, TOOL, NONE, ASSISTANT, ASSISTANT]])
SEES = {(ASSISTANT, SYSTEM), (ASSISTANT, USER), (USER, SYSTEM)}
GIVEN = inputs("llama", batch=1, tokens=BLOCKS.shape[1])["input_ids"]
SEEN = np.tri(BLOCKS.shape[1], dtype=bool)
LABELS = Labels(BLOCKS, sees=SEES, kept={NONE})


@pytest.fixture(autouse=True)
def _float64_throughout(monkeypatch):
    softmax = torch.nn.functional.softmax
    monkeypatch.setattr(torch.nn.functional, "softmax", lambda x, dim, **_: softmax(x, dim))


def may(blocks=BLOCKS, sees=SEES, kept=(NONE,)):
    """By hand: which keys a query of a block may see; a query of none is not dialled."""
    row = blocks[0].tolist()
    return np.array([[q < 0 or q == k or (q, k) in sees or k in kept for k in row] for q in row])


@torch.no_grad()
def run(model, **more):
    return model(GIVEN, **more)


@pytest.mark.parametrize("name", ["llama", "bert"])
def test_rows_under_a_relation_count_what_a_query_may_see_and_what_all_see(name):
    weights = run(network(name, "eager"), output_attentions=True).attentions
    with observing(network(name), LABELS) as rows:
        run(network(name))
    relevant, inside = may(), BLOCKS[0].numpy() >= 0
    for place, (_, layer) in rows.calls.items():
        fields, matrix = rows[place], weights[layer][0].numpy()
        fidelity = (matrix * relevant).sum(-1)
        np.testing.assert_allclose(fields["fidelity"][0][:, inside], fidelity[:, inside], rtol=1e-10)
        kept = matrix[..., BLOCKS[0].numpy() == NONE].sum(-1)
        np.testing.assert_allclose(fields["kept_mass"][0][:, inside], kept[:, inside], rtol=1e-10)
        counts = (relevant & (SEEN if name == "llama" else True)).sum(-1)
        assert fields["n_block"][0, 0][inside].tolist() == counts[inside].tolist()
        assert not fields["valid"][0][:, ~inside].any()


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("kappa", [0.7, math.inf])
def test_a_dial_under_a_relation_is_the_plain_model_under_the_mask_by_hand(implementation, kappa):
    model = network("llama", implementation)
    lowered = torch.as_tensor(np.where(may(), 0.0, -kappa))
    mask = torch.where(torch.as_tensor(SEEN), lowered, -torch.inf)[None, None]
    reference = run(model, attention_mask=mask).logits
    with dial(model, kappas=kappa, blocks=LABELS):
        torch.testing.assert_close(run(model).logits, reference, rtol=1e-9, atol=1e-9)


def test_a_guard_at_dial_1_holds_the_assistant_to_what_it_may_see():
    model = network("llama", "eager")
    with dial(model, 1.0, blocks=LABELS), guarded(model, 1.0, LABELS):
        weights = run(model, output_attentions=True).attentions
    assistant, tool = BLOCKS[0] == ASSISTANT, BLOCKS[0] == TOOL
    for matrix in weights:
        assert (matrix[0][:, assistant][..., tool] == 0).all()
        assert (matrix[0][:, assistant][..., ~tool] > 0).any()
    with dial(model, 1.0, blocks=LABELS), guarded(model, 0.999, Labels(BLOCKS), record=True) as misses:
        run(model)
    assert misses  # the default relation is another promise


def test_new_tokens_see_what_their_block_may_see_with_and_without_a_cache():
    model, found = network("llama"), []
    labels = Labels(BLOCKS, grown=torch.tensor([ASSISTANT]), sees=SEES, kept={NONE})
    settings = {"max_new_tokens": 5, "do_sample": False, "output_logits": True, "return_dict_in_generate": True}
    settings |= {"eos_token_id": None, "attention_mask": torch.ones_like(GIVEN)}
    for cached in (True, False):
        with dial(model, 1.0, blocks=labels), guarded(model, 1.0, labels):
            found.append(torch.stack(model.generate(GIVEN, use_cache=cached, **settings).logits))
    torch.testing.assert_close(*found, rtol=1e-9, atol=1e-9)


def test_cross_attention_has_its_relation_to_the_encoder_s_blocks():
    model, given = network("bart", "eager"), {"input_ids": GIVEN, "decoder_input_ids": GIVEN[:, :4]}
    labels = Labels(torch.full((1, 4), ASSISTANT), keys=BLOCKS, sees=SEES)
    with torch.no_grad(), dial(model, 1.0, blocks=labels, kinds=("cross",)):
        weights = model(**given, output_attentions=True).cross_attentions
    seen = torch.isin(BLOCKS[0], torch.tensor([SYSTEM, USER, ASSISTANT]))
    assert all(((matrix[0] > 0) == seen).all() for matrix in weights)


def test_theorems_take_their_counts_from_the_relation():
    """Every row theorem, on rows of the plain and of the dialled model: none is violated, and most are decided."""
    model = network("llama")
    for value in (0.0, 0.8):
        with dial(model, value, blocks=LABELS), observing(model, LABELS) as rows:
            run(model)
        for name in rows.rows:
            fields = {field: values.numpy() for field, values in rows[name].items()}
            fields |= {"temperature": np.ones(1), "dial": np.full(1, 0.5)}
            outcomes = []
            for theorem in (one for one in OBSERVED if one.level is Level.ROW):
                try:
                    outcomes.append(check(theorem, fields, ("sequence", "head", "query")))
                except KeyError:
                    continue  # of trained models alone
            assert len(outcomes) >= 10
            assert not any(outcome.counts[Verdict.VIOLATED] for outcome in outcomes)
            assert sum(outcome.decided for outcome in outcomes) > 5 * HEADS


def test_without_a_relation_a_block_sees_itself():
    model = network("llama")
    with observing(model, BLOCKS) as plain:
        one = run(model)
    with observing(model, Labels(BLOCKS, sees=(), kept=())) as same, dial(model, 0.0, blocks=LABELS):
        two = run(model)
    assert torch.equal(one.logits, two.logits)
    for name in plain.rows:
        assert all(torch.equal(v.nan_to_num(), same[name][f].nan_to_num()) for f, v in plain[name].items())
        assert not plain[name]["kept_mass"].any()
