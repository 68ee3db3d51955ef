"""Canaries: what must not move when something hidden moves, and what a dial must do.

Every architecture x implementation x cache x padding, most of them slow ones; a combination that cannot be is refused
by name.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from canaries import (
    BATCH,
    BLOCKS,
    CUTS,
    DIAL,
    FUTURE,
    GREEN,
    LENGTH,
    REFUSED,
    Case,
    generated,
    kernels,
    may_see,
    observed,
    quick,
    refusal,
    run,
    windowed,
)
from small_checkpoints import network

from empirical.checkpoints import attach
from empirical.checkpoints.contexts import dial, guarded, observing
from empirical.errors import BadInput, Missed

pytest.importorskip("transformers")


@pytest.fixture(autouse=True)
def _float64_throughout(monkeypatch):
    """Eager softmax may be taken in float32 whatever the model is; what is compared with here is float64."""
    softmax = torch.nn.functional.softmax
    monkeypatch.setattr(torch.nn.functional, "softmax", lambda x, dim, **_: softmax(x, dim))


def cases(chosen, among=GREEN):
    chosen = [case for case in among if chosen(case)]
    found = [
        case if quick(case) or among is not GREEN else pytest.param(case, marks=pytest.mark.slow) for case in chosen
    ]
    return pytest.mark.parametrize("case", found, ids=lambda case: "-".join(case).replace(" ", "_"))


every_case = cases(lambda case: True)


def of_tokens(case, rows, fields=("n_keys", "n_block", "leakage", "entropy_nats")):
    """Fields (tokens, heads) of every attention, of what is no padding, sequence by sequence."""
    for name, found in rows.items():
        yield from ((name, found[field].double().nan_to_num(-1).transpose(1, 2)[case.kept]) for field in fields)


def test_any_two_of_row_implementation_cache_and_padding_meet_in_a_case_that_is_not_slow():
    for one, two in itertools.combinations(range(len(Case._fields)), 2):
        every, seen = ({(case[one], case[two]) for case in some} for some in (GREEN, filter(quick, GREEN)))
        assert every == seen
    assert len(list(filter(quick, GREEN))) < 0.35 * len(GREEN)


@every_case
def test_dial_0_and_what_only_watches_are_the_model_bit_for_bit(case):
    assert torch.equal(observed(case, 0.0)[0], run(case))


@every_case
def test_a_future_token_reaches_no_row_before_it_and_every_row_of_what_sees_both_ways(case):
    (logits, rows), (others, moved) = (observed(case, DIAL, variant) for variant in ("as they are", "future"))
    causal = case.architecture.causal
    before = (torch.arange(LENGTH) < FUTURE).expand(BATCH, -1)[case.kept]
    one, two = logits[case.kept], others[case.kept]
    assert torch.equal(one[before], two[before]) == causal
    assert (one[~before] != two[~before]).any(-1).all()
    for (name, one), (_, two) in zip(of_tokens(case, rows), of_tokens(case, moved)):
        assert torch.equal(one[before], two[before]) or not causal, name


@cases(lambda case: case.padding != "no")
def test_what_stands_in_padding_reaches_no_token(case):
    (logits, rows), (others, moved) = (observed(case, DIAL, variant) for variant in ("as they are", "padding"))
    assert torch.equal(logits[case.kept], others[case.kept])
    for (name, one), (_, two) in zip(of_tokens(case, rows), of_tokens(case, moved)):
        assert torch.equal(one, two), name
    most = case.kept.sum(-1)[:, None].expand(-1, LENGTH)[case.kept]
    assert all((keys <= most[:, None]).all() for _, keys in of_tokens(case, rows, ("n_keys",)))


@every_case
def test_at_dial_1_other_blocks_change_no_bit_of_one_that_is_generated(case):
    one, two = (generated(case, variant) for variant in ("as they are", "foreign"))
    assert torch.equal(one, two)


@cases(lambda case: case.padding != "no" and (case.cache in ("dynamic", "static") or windowed(case)))
def test_calls_by_a_cache_are_the_one_call_without(case):
    """A sliding cache of a model without windows makes another model, and is not among these."""
    (one, rows), (two, others) = (observed(which, DIAL) for which in (case, case._replace(cache="no")))
    torch.testing.assert_close(one[case.kept], two[case.kept], rtol=1e-9, atol=1e-9)
    for (_, mine), (_, right) in zip(of_tokens(case, rows), of_tokens(case, others)):
        torch.testing.assert_close(mine, right, rtol=1e-9, atol=1e-9)


@every_case
def test_the_odds_law_holds_in_the_weights_of_the_kernel_call_by_call(case):
    """Weights outside are e^-kappa of what they were beside those inside; observed rows are of these weights."""
    model, labels, kinds, blocks = case.model, case.labels(), case.architecture.kinds, case.blocks
    with kernels() as (before, after), dial(model, DIAL, blocks=labels, kinds=kinds):
        run(case)
    rows = observed(case, DIAL)[1]
    for place, (name, kind, _) in attach.places_of(model).items():
        leaked = []
        for stop, plain, turned in zip(CUTS if case.cache != "no" else CUTS[-1:], before[place], after[place]):
            tokens, keys = plain.shape[2:]
            first = max(stop - keys, 0) if kind == "self" else 0
            of_keys = torch.nn.functional.pad(blocks[:, first : stop if kind == "self" else None], (0, keys), value=-1)
            of_queries = blocks if kind == "encoder" else blocks[:, stop - tokens : stop]
            inside = may_see(case, of_queries.tolist(), of_keys[:, :keys].tolist())[:, None]
            law = torch.where(inside, plain, (1 - DIAL) * plain)
            read = case.kept if kind == "encoder" else case.kept[:, stop - tokens : stop]
            one, two = (x.transpose(1, 2)[read] for x in (turned, law / law.sum(-1, keepdim=True)))
            torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-12)
            leaked.append(torch.where(inside, 0.0, turned).sum(-1))
        mine, right = (x.transpose(1, 2)[case.kept] for x in (torch.cat(leaked, -1), rows[name]["leakage"]))
        torch.testing.assert_close(mine, right, rtol=1e-9, atol=1e-12)


@cases(lambda case: True, REFUSED)
def test_a_combination_that_cannot_be_is_refused_by_name(case, monkeypatch):
    labels, words = case.labels(), refusal(case)
    if case.implementation not in case.architecture.implementations:
        with pytest.raises(ValueError, match="does not support an attention implementation"):
            assert case.model  # transformers builds none; whoever asks for it afterwards is refused as well
        case = case._replace(implementation="eager")
        monkeypatch.setattr(case.model.config, "_attn_implementation_internal", "sdpa")
    for context in (
        dial(case.model, DIAL, blocks=labels),
        observing(case.model, labels),
        guarded(case.model, 0.5, labels, record=True),
    ):
        with pytest.raises(BadInput, match=words), context:
            run(case)


@pytest.mark.parametrize(
    ("name", "changed"),
    [("llama", {"is_causal": False}), ("t5", {"is_causal": False}), ("bert", {"is_decoder": True})],
)
def test_a_model_that_sees_more_or_less_than_its_family_is_refused_by_name(name, changed, monkeypatch):
    """The configurations by which transformers lets a decoder see both ways, and an encoder one."""
    model, ((key, value),) = network(name), changed.items()
    monkeypatch.setattr(model.config, key, value, raising=False)
    with pytest.raises(BadInput, match=f"model must attend as its family does, .* got {key}={value}"):
        dial(model, DIAL, blocks=BLOCKS)


def maskless(original, module, whole=attach._function):
    function = whole(original, module)
    return lambda module, query, key, value, mask, **more: function(module, query, key, value, None, **more)


FAULTS = {
    "half a dial": ("empirical.checkpoints.contexts.kappa_of_dial", lambda dial: -np.log1p(-np.minimum(dial, 0.9)) / 2),
    "labels by the first keys": ("empirical.checkpoints.attach.first_positions", lambda *_: (0, 0)),
    "hidden keys that are seen": (
        "empirical.checkpoints.call.Call.visible",
        lambda call, start, stop: torch.ones(1, 1, stop - start, call.shape[1], dtype=torch.bool),
    ),
    "masks that are lost": ("empirical.checkpoints.attach._function", maskless),
    "a watch that is none": ("empirical.checkpoints.contexts.keeps", lambda leakage, promised: leakage < 0),
}


@pytest.mark.parametrize(
    ("fault", "canary", "case"),
    [
        ("half a dial", test_the_odds_law_holds_in_the_weights_of_the_kernel_call_by_call, "llama-sdpa-no"),
        ("half a dial", test_at_dial_1_other_blocks_change_no_bit_of_one_that_is_generated, "t5-eager-dynamic"),
        ("labels by the first keys", test_calls_by_a_cache_are_the_one_call_without, "llama-sdpa-static"),
        ("labels by the first keys", test_calls_by_a_cache_are_the_one_call_without, "mistral-eager-sliding"),
        (
            "labels by the first keys",
            test_at_dial_1_other_blocks_change_no_bit_of_one_that_is_generated,
            "mistral-sdpa-sliding",
        ),
        (
            "hidden keys that are seen",
            test_a_future_token_reaches_no_row_before_it_and_every_row_of_what_sees_both_ways,
            "gpt2-sdpa-no",
        ),
        ("hidden keys that are seen", test_what_stands_in_padding_reaches_no_token, "bert-eager-no"),
        ("masks that are lost", test_what_stands_in_padding_reaches_no_token, "bert-sdpa-no"),
        ("masks that are lost", test_dial_0_and_what_only_watches_are_the_model_bit_for_bit, "gpt2-eager-no"),
        (
            "a watch that is none",
            test_at_dial_1_other_blocks_change_no_bit_of_one_that_is_generated,
            "llama-sdpa-dynamic",
        ),
    ],
)
def test_a_fault_turns_its_canary_red(fault, canary, case, monkeypatch):
    observed.cache_clear()
    monkeypatch.setattr(*FAULTS[fault])
    with pytest.raises((AssertionError, Missed)):
        canary(Case(*case.split("-"), "left and right"))
    observed.cache_clear()
