"""A relation of blocks on a checkpoint: rows, dial, guard and generation under it, and what a mask then isolates."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from small_checkpoints import HEADS, inputs, network

from bounds.theorems import OBSERVED, Level, Verdict, by_key
from empirical.check.verdicts import check
from empirical.checkpoints.contexts import Labels, dial, guarded, observing
from empirical.checkpoints.isolation import isolated
from empirical.checkpoints.promises import worst_row
from empirical.observe.relevance import Relation

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


@pytest.mark.parametrize("name", ["llama", "bert"])
@pytest.mark.parametrize(
    ("sees", "kept", "closed"),
    [
        (set(), set(), {"llama": True, "bert": True}),
        ({(ASSISTANT, SYSTEM), (ASSISTANT, USER), (USER, SYSTEM)}, set(), {"llama": True, "bert": True}),
        ({(ASSISTANT, USER), (USER, SYSTEM)}, set(), {"llama": False, "bert": False}),  # two hops
        (SEES, {NONE}, {"llama": False, "bert": False}),  # a token of no block reads the tool, and all read it
        ({(ASSISTANT, TOOL), (SYSTEM, USER)}, set(), {"llama": True, "bert": True}),
        ({(SYSTEM, ASSISTANT), (USER, SYSTEM)}, set(), {"llama": True, "bert": False}),  # not before the past
    ],
)
def test_a_mask_isolates_where_the_relation_is_closed_along_the_layers_and_else_the_path_is_named(
    name, sees, kept, closed
):
    labels, model = Labels(BLOCKS, sees=sees, kept=kept), network(name)
    found = isolated(model, GIVEN, labels)
    counts = check(by_key("non_interference"), found.rows, ("block", "replacement", "sequence")).counts
    assert counts[Verdict.VIOLATED] == counts[Verdict.UNKNOWN] == 0
    assert (counts[Verdict.VACUOUS] == 0) == closed[name] == (not found.paths)
    assert found.rows["output_change"].any() == (not closed[name])  # where nothing is promised something moves
    for (block, sequence), path in found.paths.items():
        assert (path.blocks[0], sequence) == (block, 0)
        assert f"sequence 0: {path.words()}" in found.words()


def test_one_layer_carries_nothing_by_two_hops():
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    shape = {"n_layer": 1, "n_head": 2, "n_embd": 8, "n_positions": 16, "vocab_size": 48}
    model = GPT2LMHeadModel(GPT2Config(**shape)).double().eval()
    found = isolated(model, GIVEN, Labels(BLOCKS, sees={(ASSISTANT, USER), (USER, SYSTEM)}))
    assert not found.paths
    assert not found.rows["output_change"].any()


def test_a_certificate_is_for_the_worst_row_of_the_texts():
    rng = np.random.default_rng(0)
    for _ in range(50):
        blocks, causal = torch.as_tensor(rng.integers(-1, 3, 9)), bool(rng.integers(2))
        relation = Relation({(0, 1)} if rng.integers(2) else set(), {2} if rng.integers(2) else set())
        relevant = may(blocks[None], relation.sees, relation.kept) & (np.tri(9, dtype=bool) if causal else True)
        n = np.arange(1, 10) if causal else np.full(9, 9)
        rows = [(int(a), int(b)) for a, b, q in zip(n, relevant.sum(-1), blocks.tolist()) if q >= 0 and a > b]
        worst = max(((a - b) / b for a, b in rows), default=None)
        a, b = worst_row(blocks, blocks, relation, causal)
        assert (a, b) == (2, 1) if worst is None else (a - b) / b == worst


@pytest.mark.parametrize("name", ["llama", "bert"])
def test_tags_that_are_a_block_of_their_own_are_kept_for_all_and_carry_nothing(name):
    """They are dialled as well, and read tags alone: closed, unlike tokens of no block, which read everything."""
    tags = BLOCKS.masked_fill(BLOCKS == NONE, 4)
    found = isolated(network(name), GIVEN, Labels(tags, sees=SEES, kept={4}))
    assert not found.paths
    assert not found.rows["output_change"].any()
    with observing(network(name), Labels(tags, sees=SEES, kept={4})) as rows:
        run(network(name))
    assert all((fields["kept_mass"] > 0).all() for fields in rows.rows.values())
