"""Relevance as a relation of blocks: the matrix pair by pair, and closure along the layers by brute force."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from empirical.errors import BadInput
from empirical.observe.relevance import Path, Relation
from empirical.observe.rows import observe_attention

TOKENS = 7


def drawn(rng):
    sees = {(int(a), int(b)) for a, b in rng.integers(0, 3, (rng.integers(0, 4), 2)) if a != b}
    return Relation(sees, {int(b) for b in rng.integers(-1, 3, rng.integers(0, 2))}), rng.integers(-1, 3, TOKENS)


def by_hand(relation, queries, keys):
    return np.array(
        [[q >= 0 and (q == k or (q, k) in relation.sees or k in relation.kept) for k in keys] for q in queries]
    )


def test_the_matrix_of_a_relation_is_its_definition_pair_by_pair():
    rng = np.random.default_rng(0)
    for _ in range(50):
        relation, blocks = drawn(rng)
        keys = rng.integers(-1, 9, TOKENS + 2)  # blocks that no pair names among them
        found = relation.relevant(torch.as_tensor(blocks)[None], torch.as_tensor(keys)[None])[0]
        assert np.array_equal(found.numpy(), by_hand(relation, blocks.tolist(), keys.tolist()))
        assert np.array_equal(relation.is_kept(torch.as_tensor(keys)).numpy(), np.isin(keys, list(relation.kept)))


@pytest.mark.parametrize("causal", [False, True])
def test_a_relation_is_closed_exactly_where_layers_carry_nothing_from_outside(causal):
    """Reachability by powers of the matrix of reads, over three layers with their residual stream."""
    rng, both = np.random.default_rng(1), set()
    for _ in range(150):
        relation, blocks = drawn(rng)
        may = by_hand(relation, blocks.tolist(), blocks.tolist())
        reads = may | (blocks < 0)[:, None]  # queries of no block are not dialled
        seen = np.tri(TOKENS, dtype=bool) if causal else np.ones((TOKENS, TOKENS), dtype=bool)
        step = (reads & seen) | np.eye(TOKENS, dtype=bool)
        reached = np.linalg.matrix_power(step.astype(int), 3) > 0
        leaks = reached & ~may & (blocks >= 0)[:, None]
        path = relation.path(torch.as_tensor(blocks), causal)
        assert (path is not None) == leaks.any()
        both.add(path is None)
        if path is not None:
            assert step[path.query, path.through]
            assert step[path.through, path.source]
            assert not may[path.query, path.source]
            assert path.blocks == tuple(blocks[[path.query, path.through, path.source]])
    assert both == {False, True}


def test_a_path_is_said_in_words():
    path = Path(5, 3, 1, (1, -1, 0))
    assert path.words(("tool", "assistant")) == (
        "token 5 (assistant) reads token 3 (no block), which reads token 1 (tool)"
    )


@pytest.mark.parametrize("given", [{"sees": [(0, -1)]}, {"sees": {(True, 1)}}, {"kept": {-2}}])
def test_what_is_no_relation_of_blocks_is_refused(given):
    with pytest.raises(BadInput, match=f"{next(iter(given))} must be "):
        Relation(**given)


def test_anybody_s_own_attention_is_observed_under_a_relation():
    rng = np.random.default_rng(2)
    logits, blocks = rng.standard_normal((2, TOKENS, TOKENS)), np.array([-1, 0, 0, 1, 1, 2, 2])
    relation = Relation({(2, 0)}, {-1})
    found = observe_attention(logits, blocks, blocks, relation=relation)
    weights = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    may = by_hand(relation, blocks.tolist(), blocks.tolist())
    np.testing.assert_allclose(found["fidelity"][0, 0], (weights * may).sum(-1), rtol=1e-12)
    np.testing.assert_allclose(found["kept_mass"][0, 0], weights[..., 0] * (blocks >= 0), rtol=1e-12)
    assert found["n_block"][0, 0, 0].tolist() == may.sum(-1).tolist()
    assert found["valid"][0, 0, 0].tolist() == [False] + [True] * 6
