"""A caller's own additive mask: a key is hidden where its weight is exactly 0, and counts with its value elsewhere."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from small_checkpoints import HEADS, inputs, network

from empirical.checkpoints.call import Call
from empirical.checkpoints.contexts import dial, guarded, observing
from empirical.errors import BadInput
from empirical.observe.rows import observe_attention

pytest.importorskip("transformers")
TOKENS = 12
GIVEN = inputs("llama", batch=1, tokens=TOKENS)["input_ids"]
BLOCKS = torch.arange(TOKENS)[None] // 3 % 2
SEEN = torch.ones(TOKENS, TOKENS, dtype=torch.bool).tril()
APART = (torch.arange(TOKENS)[:, None] - torch.arange(TOKENS)).abs().double()
RANDOM = torch.rand(TOKENS, TOKENS, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
MASKS = {  # name -> what is added where a key is legal, and elsewhere
    "-1e4": (torch.zeros(TOKENS, TOKENS, dtype=torch.float64), -1e4),
    "-1e9": (torch.zeros(TOKENS, TOKENS, dtype=torch.float64), -1e9),
    "half the least": (torch.zeros(TOKENS, TOKENS, dtype=torch.float64), torch.finfo(torch.float64).min / 4),
    "distances": (-0.3 * APART, -1e4),
    "soft": (RANDOM.log(), -1e4),
    "raised": (torch.full((TOKENS, TOKENS), 1e4, dtype=torch.float64), 0.0),
    "a few nats": (torch.zeros(TOKENS, TOKENS, dtype=torch.float64), -3.0),
}
HIDES = set(MASKS) - {"a few nats"}


@pytest.fixture(autouse=True)
def _float64_throughout(monkeypatch):
    softmax = torch.nn.functional.softmax
    monkeypatch.setattr(torch.nn.functional, "softmax", lambda x, dim, **_: softmax(x, dim))


def mask_of(name):
    legal, elsewhere = MASKS[name]
    return torch.where(SEEN, legal, torch.as_tensor(elsewhere, dtype=torch.float64))[None, None]


@torch.no_grad()
def run(model, mask, tokens=GIVEN, **more):
    return model(tokens, attention_mask=mask, **more)


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("name", sorted(HIDES - {"half the least"}))
def test_rows_under_an_own_mask_are_those_of_the_matrices(name, implementation):
    mask = mask_of(name)
    weights = run(network("llama", "eager"), mask, output_attentions=True).attentions
    with observing(network("llama", implementation), BLOCKS) as rows:
        run(network("llama", implementation), mask)
    for place, (_, layer) in rows.calls.items():
        matrix, known = weights[layer].numpy(), BLOCKS[:, None].expand(-1, HEADS, -1)
        expected = observe_attention(matrix, known, known, kind="weights", visible=matrix > 0)
        for field in ("entropy_nats", "fidelity", "leakage", "margin", "logit_range", "n_keys", "n_block", "valid"):
            np.testing.assert_allclose(
                rows[place][field].numpy().astype(float), expected[field][0].astype(float), rtol=1e-9, atol=1e-10
            )
        assert rows[place]["n_keys"][0, 0].tolist() == list(range(1, TOKENS + 1))


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("kappa", [0.7, 30.0, math.inf])
@pytest.mark.parametrize("name", sorted(set(MASKS) - {"half the least"}))
def test_a_dial_composes_with_an_own_mask_whose_hidden_keys_stay_hidden(name, kappa, implementation):
    """The plain model under the sum of both masks, written down by hand, is the dialled model."""
    model, outside = network("llama", implementation), BLOCKS[0, :, None] != BLOCKS[0]
    both = torch.where(outside, mask_of(name) - kappa, mask_of(name))
    if name in HIDES:
        both = torch.where(SEEN, both, -torch.inf)
    reference = run(model, both).logits
    with dial(model, kappas=kappa, blocks=BLOCKS):
        turned = run(model, mask_of(name)).logits
    torch.testing.assert_close(turned, reference, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["-1e4", "distances", "raised"])
def test_the_future_does_not_reach_the_past_under_an_own_mask_dialled_or_not(name):
    model, future = network("llama"), GIVEN.clone()
    future[0, -1] = (future[0, -1] + 1) % 40 + 3
    for value in (0.0, 0.5, 1.0):
        with dial(model, value, blocks=BLOCKS), observing(model, BLOCKS) as one:
            first = run(model, mask_of(name)).logits
        with dial(model, value, blocks=BLOCKS), observing(model, BLOCKS) as two:
            second = run(model, mask_of(name), future).logits
        assert torch.equal(first[:, :-1], second[:, :-1])
        for place in one.rows:
            assert torch.equal(one[place]["entropy_nats"][..., :-1], two[place]["entropy_nats"][..., :-1])


def test_a_guard_judges_rows_under_an_own_mask():
    model = network("llama")
    with dial(model, 1.0, blocks=BLOCKS), guarded(model, 0.999999, BLOCKS, record=True) as misses:
        run(model, mask_of("-1e4"))
    assert not misses
    with guarded(model, 0.999999, BLOCKS, record=True) as misses:
        run(model, torch.where(BLOCKS[0, :, None] == BLOCKS[0], mask_of("-1e4"), -1e4))
    assert not misses


def call(mask, dtype=torch.float32):
    zero = torch.zeros(1, 1, 1, 4, dtype=dtype), torch.zeros(1, 1, 2, 4, dtype=dtype)
    return Call("a", "self", 0, *zero, 0.5, mask, False, None, (), torch.promote_types(dtype, torch.float32))


@pytest.mark.parametrize(
    ("dtype", "seen", "hidden"),
    [  # ln of half the least positive number: -745.13, -103.97, and in half precision of the weights' own
        (torch.float64, -744.0, -746.5),
        (torch.float32, -102.5, -105.0),
        (torch.bfloat16, -91.0, -94.0),
        (torch.float16, -16.0, -18.5),
    ],
)
def test_hidden_means_a_weight_of_exactly_zero_in_the_kernel_s_dtype(dtype, seen, hidden):
    row = torch.tensor([[[[0.0, value]]] for value in (seen, hidden)], dtype=dtype)
    assert [call(row[i : i + 1], dtype).visible(0, 1).flatten().tolist() for i in (0, 1)] == [
        [True, True],
        [True, False],
    ]


def test_a_key_that_no_mask_lowers_is_seen_however_small_its_weight():
    """What q.k itself leaves of a key is the row's, and a dial must be able to bring it back."""
    query, key = torch.tensor([[[[400.0]]]]), torch.tensor([[[[0.0], [-1.0]]]])
    one = Call("a", "self", 0, query, key, 1.0, torch.zeros(1, 1, 1, 2), False, None, ())
    assert one.visible(0, 1).all()


@pytest.mark.parametrize("mask", [SEEN[None, None], SEEN[None, None].long()])
def test_a_mask_that_eager_attention_would_add_as_0_and_1_is_refused(mask):
    model = network("llama", "eager")
    with (
        pytest.raises(BadInput, match=r"attention_mask must be of floating point .* got torch\."),
        observing(model, BLOCKS),
    ):
        run(model, mask)


def test_a_query_that_a_dial_of_1_leaves_no_key_is_refused_and_not_nan():
    model = network("bart")
    given = {"input_ids": GIVEN, "decoder_input_ids": GIVEN[:, :5]}
    from empirical.checkpoints import Labels

    known = Labels(torch.zeros(1, 5, dtype=torch.int64), keys=torch.ones(1, TOKENS, dtype=torch.int64))
    with (
        pytest.raises(BadInput, match=r"query 0 of sequence 0 .* no key"),
        dial(model, 1.0, blocks=known, kinds=("cross",)),
    ):
        model(**given)


def test_a_query_that_sees_nothing_sees_nothing_under_a_dial():
    """Padding on the left: its own queries have no legal key, and a dial gives them none of the future."""
    model, future = network("llama"), GIVEN.clone()
    future[0, -1] = (future[0, -1] + 1) % 40 + 3
    padded = torch.ones_like(GIVEN)
    padded[:, :3] = 0
    for value in (0.0, 0.5, 1.0):
        with dial(model, value, blocks=BLOCKS):
            one, two = run(model, padded), run(model, padded, future)
        assert torch.equal(one.logits[:, :-1], two.logits[:, :-1])
