"""Contexts act on the calls made inside them: no other thread's, no copy's, in whatever order they are left."""

from __future__ import annotations

import copy
import threading
from contextlib import ExitStack

import pytest
import torch
from small_checkpoints import inputs, network

from bounds.theory.theorem import Verdict
from empirical.check.verdicts import check_dataset
from empirical.checkpoints.contexts import Labels, dial, guarded, observing
from empirical.errors import BadInput

pytest.importorskip("transformers")
BLOCKS = torch.arange(16)[None].expand(2, 16) // 3 % 2


@torch.no_grad()
def logits(model, given=None):
    return model(**(given or inputs("llama"))).logits


def elsewhere(work):
    """What another thread finds."""
    found = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    return found[0]


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_another_thread_s_plain_call_is_plain(implementation):
    model = network("llama", implementation)
    plain = logits(model)
    with dial(model, 0.9, blocks=BLOCKS), guarded(model, 0.999, BLOCKS, record=True) as misses:
        assert torch.equal(elsewhere(lambda: logits(model)), plain)
        assert not misses
        turned = logits(model)
    assert not torch.equal(turned, plain)

    def of_its_own():
        with dial(model, 0.9, blocks=BLOCKS):
            return logits(model)

    with dial(model, 0.0, blocks=BLOCKS):
        assert torch.equal(elsewhere(of_its_own), turned)
        assert torch.equal(logits(model), plain)


def test_a_context_left_in_another_thread_is_left():
    model = network("llama")
    plain, stack = logits(model), ExitStack()
    stack.enter_context(dial(model, 0.9, blocks=BLOCKS))
    elsewhere(stack.close)
    assert torch.equal(logits(model), plain)


def test_contexts_may_be_left_in_any_order():
    model = network("llama")
    plain = logits(model)
    with dial(model, kappas=2.0, blocks=BLOCKS):
        second = logits(model)
    one, two = ExitStack(), ExitStack()
    one.enter_context(dial(model, kappas=1.0, blocks=BLOCKS))
    two.enter_context(dial(model, kappas=2.0, blocks=BLOCKS))
    both = logits(model)
    one.close()
    assert torch.equal(logits(model), second)
    two.close()
    assert torch.equal(logits(model), plain)
    with dial(model, kappas=3.0, blocks=BLOCKS):
        torch.testing.assert_close(logits(model), both)


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_a_copy_made_inside_is_a_plain_model_for_good(implementation):
    model = network("llama", implementation)
    plain = logits(model)
    with dial(model, 0.9, blocks=BLOCKS):
        other = copy.deepcopy(model)
        assert torch.equal(logits(other), plain)
        turned = logits(model)
    assert other.config._attn_implementation == implementation
    assert torch.equal(logits(other), plain)
    with dial(other, 0.9, blocks=BLOCKS):
        assert torch.equal(logits(other), turned)
        assert torch.equal(logits(model), plain)


def test_a_replica_in_another_thread_is_refused():
    """What DataParallel calls: it would be plain without a word."""
    model = network("llama")
    with dial(model, 0.9, blocks=BLOCKS):
        replica = copy.copy(model.model.layers[0].self_attn)  # shares all but its identity
        replica._is_replica = True
        with pytest.raises(BadInput, match="model must be called itself inside its contexts, got a replica"):
            replica(torch.zeros(2, 3, 32, dtype=torch.float64), (torch.ones(()), torch.zeros(())), None)


@pytest.mark.parametrize(("labelled", "batch"), [(2, 4), (4, 2), (1, 3), (2, 3)])
def test_labels_of_another_batch_are_no_beams_of_a_plain_call(labelled, batch):
    model, labels = network("llama"), Labels(BLOCKS[:1].expand(labelled, -1), grown=torch.zeros(labelled).long())
    words = f"blocks must label every sequence, got labels of {labelled} for {batch}"
    for context in (dial(model, 0.9, blocks=labels), observing(model, labels)):
        with pytest.raises(BadInput, match=words), context:
            logits(model, inputs("llama", batch=batch))


def test_labels_of_an_encoder_of_another_batch_are_refused():
    labels = Labels(BLOCKS[:1, :9], keys=BLOCKS[:1])
    dialled = dial(network("t5"), 0.9, blocks=labels, kinds=("cross",))
    with pytest.raises(BadInput, match="blocks must label every sequence, got labels of 1 for 2"), dialled:
        logits(network("t5"), inputs("t5"))


@pytest.mark.parametrize("more", [{"num_beams": 2}, {"num_return_sequences": 2, "do_sample": True}])
def test_beams_of_a_generation_share_their_sequence_s_labels(more):
    model, ids = network("llama"), inputs("llama")["input_ids"]
    labels, found = Labels(BLOCKS, grown=torch.tensor([0, 1])), []
    for cached in (True, False):
        torch.manual_seed(0)
        with dial(model, 0.9, blocks=labels):
            found.append(
                model.generate(
                    ids,
                    attention_mask=torch.ones_like(ids),
                    max_new_tokens=4,
                    use_cache=cached,
                    eos_token_id=None,
                    **more,
                )
            )
    assert torch.equal(*found)


def test_observed_rows_are_a_dataset_of_all_texts_one_after_the_other():
    model = network("llama")
    with observing(model, BLOCKS) as rows:
        logits(model)
    dataset = rows.dataset()
    assert dict(dataset.sizes) == {"setting": 1, "layer": 2, "head": 4, "query": 32}
    names = sorted(rows.rows, key=lambda name: rows.calls[name][1])
    for text in range(2):
        for layer, name in enumerate(names):
            saved = dataset["leakage"].values[0, layer, :, 16 * text : 16 * (text + 1)]
            assert (saved == rows[name]["leakage"][text].numpy()).all()
    outcomes = {outcome.theorem.key: outcome for outcome in check_dataset(dataset)}
    assert outcomes["fidelity_floor"].counts[Verdict.HOLDS] > 0
    with pytest.raises(BadInput, match=r"kind must be one of those observed \(self\), got 'cross'"):
        rows.dataset("cross")
