"""Gradient checkpointing recomputes what ran: the gradient of a dialled pass is the same with it, or it is refused."""

from __future__ import annotations

import copy

import pytest
import torch
from small_checkpoints import inputs, network
from torch.utils.checkpoint import checkpoint

from empirical.checkpoints.contexts import dial, guarded
from empirical.errors import BadInput

pytest.importorskip("transformers")
BLOCKS = torch.arange(16)[None].expand(2, 16) // 8


@pytest.fixture(params=["sdpa", "eager"])
def model(request):
    return copy.deepcopy(network("llama", request.param)).train()


def checkpointed(model, reentrant):
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable({"use_reentrant": reentrant})
    return model


def loss_of(model):
    ids = inputs("llama")["input_ids"]
    return model(input_ids=ids, labels=ids, use_cache=False).loss


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return [parameter.grad.clone() for parameter in model.parameters()]


def dialled(model, value=0.9):
    with dial(model, value, blocks=BLOCKS):
        return loss_of(model)


def equal(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("inside", [False, True])
def test_a_gradient_under_a_dial_is_the_same_with_checkpointing(model, reentrant, inside):
    plain, truth = gradients(model, loss_of(model)), gradients(model, dialled(model))
    checkpointed(model, reentrant)
    if inside:
        with dial(model, 0.9, blocks=BLOCKS):
            found = gradients(model, loss_of(model))
    else:
        found = gradients(model, dialled(model))
    assert equal(found, truth)
    assert not equal(plain, truth)
    assert equal(gradients(model, loss_of(model)), plain)


@pytest.mark.parametrize("reentrant", [False, True])
def test_each_backward_recomputes_under_its_own_dial(model, reentrant):
    """Two losses, one after the other, whose backwards run inside a third context."""
    truth = [gradients(model, dialled(model, value)) for value in (0.5, 0.9)]
    checkpointed(model, reentrant)
    losses = [dialled(model, value) for value in (0.5, 0.9)]
    with dial(model, 1.0, blocks=BLOCKS):
        found = [gradients(model, loss) for loss in losses]
    assert equal(found[0], truth[0])
    assert equal(found[1], truth[1])


@pytest.mark.parametrize("reentrant", [False, True])
def test_a_context_around_a_backward_alone_does_not_act(model, reentrant):
    """What ran plainly is recomputed plainly, by the model's own checkpointing and by the caller's."""
    truth = gradients(model, loss_of(model))
    loss = loss_of(checkpointed(model, reentrant))
    with dial(model, 0.9, blocks=BLOCKS):
        found = gradients(model, loss)
    assert equal(found, truth)
    (getattr(model, "activation_checkpointing_disable", None) or model.gradient_checkpointing_disable)()
    start = torch.nn.Parameter(model.get_input_embeddings()(inputs("llama")["input_ids"]).detach())
    plain = gradients_of(model, start, lambda x: model(inputs_embeds=x, use_cache=False).logits)
    loss = checkpoint(lambda x: model(inputs_embeds=x, use_cache=False).logits, start, use_reentrant=reentrant)
    with dial(model, 0.9, blocks=BLOCKS):
        found = gradients_of(model, start, lambda _: loss)
    assert equal(found, plain)


def test_a_recomputation_is_not_observed_again(model):
    checkpointed(model, False)
    with guarded(model, 0.999, BLOCKS, record=True) as misses:
        loss = loss_of(model)
        count = len(misses)
        loss.backward()
    assert len(misses) == count > 0


@pytest.mark.parametrize("reentrant", [False, True])
def test_recomputation_that_nothing_can_be_carried_to_is_refused(model, reentrant):
    """The caller's own checkpointing: allowed where the context is entered inside it, and so entered again."""
    ids = inputs("llama")["input_ids"]
    start = torch.nn.Parameter(model.get_input_embeddings()(ids).detach())
    truth = gradients_of(model, start, lambda x: dialled_from(model, x))
    again = gradients_of(
        model, start, lambda x: checkpoint(lambda y: dialled_from(model, y), x, use_reentrant=reentrant)
    )
    assert equal(again, truth)
    words = "gradient checkpointing must be the model's own, enabled before its contexts are entered"
    with pytest.raises(BadInput, match=words), dial(model, 0.9, blocks=BLOCKS):
        checkpoint(lambda y: model(inputs_embeds=y, use_cache=False).logits, start, use_reentrant=reentrant)
    with pytest.raises(BadInput, match=words), dial(model, 0.9, blocks=BLOCKS):
        loss_of(checkpointed(model, reentrant))


def dialled_from(model, start):
    with dial(model, 0.9, blocks=BLOCKS):
        return model(inputs_embeds=start, use_cache=False).logits


def gradients_of(model, start, forward):
    model.zero_grad()
    start.grad = None
    forward(start).square().sum().backward()
    return [start.grad.clone(), *(p.grad.clone() for p in model.model.layers.parameters())]
