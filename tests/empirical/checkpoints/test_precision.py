"""Half precision: rows and dials in float32 from the same q and k; what overflows is UNKNOWN with its reason."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from small_checkpoints import inputs, network

import empirical.checkpoints.attach as attach
from bounds.theorems import Verdict, by_key
from empirical.check.verdicts import check
from empirical.checkpoints.attach import routed
from empirical.checkpoints.contexts import dial, guarded, observing
from empirical.dial import steer, turned
from empirical.observe.streaming import entropy_and_leakage, stream_rows

pytest.importorskip("transformers")
HALVES = [torch.bfloat16, torch.float16]
GIVEN = inputs("llama", batch=1)
BLOCKS = torch.arange(16)[None] // 3 % 2
OUTSIDE = (BLOCKS[0, :, None] != BLOCKS[0])[None, None]
SEEN = torch.ones(16, 16, dtype=torch.bool).tril()


def narrow(dtype, implementation="sdpa", factor=1.0):
    model = copy.deepcopy(network("llama", implementation)).to(dtype)
    with torch.no_grad():
        for layer in model.model.layers:
            for projection in (layer.self_attn.q_proj, layer.self_attn.k_proj):
                projection.weight.mul_(factor)
    return model


@torch.no_grad()
def run(model, **more):
    return model(**GIVEN, **more)


def watched_calls(model):
    calls = []
    with routed(model, watch=lambda call, _: calls.append(call)):
        run(model)
    return calls


def dense(call):
    """Weights in float64 of the queries and keys that the kernel was given."""
    key = call.key.double().repeat_interleave(call.query.shape[1] // call.key.shape[1], 1)
    return (call.query.double() @ key.mT * call.scaling).masked_fill(~SEEN, -math.inf).softmax(-1)


def entropy(weights):
    return torch.special.entr(weights).sum(-1)


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("dtype", HALVES)
def test_rows_in_half_precision_are_those_of_the_same_queries_and_keys(dtype, autocast):
    model, calls = (narrow(torch.float32) if autocast else narrow(dtype)), []
    with (
        torch.autocast("cpu", dtype, enabled=autocast),
        routed(model, watch=lambda call, _: calls.append(call)),
        observing(model, BLOCKS) as rows,
    ):
        run(model)
    for call in calls:
        assert call.query.dtype is dtype
        weights, fields = dense(call), rows[call.name]
        torch.testing.assert_close(fields["entropy_nats"], entropy(weights), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(fields["leakage"], (weights * OUTSIDE).sum(-1), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("dtype", HALVES)
def test_a_dial_in_half_precision_is_the_dial_asked_for(dtype, implementation, monkeypatch):
    """In the rows, and in what the kernel is given: everything in float32, and the output in the model's own dtype."""
    model, whole, seen, kappa = narrow(dtype, implementation), attach._function, [], -math.log1p(-0.9)

    def watched(base, place):
        kernel = whole(base, place)

        def attended(module, query, key, value, mask, **rest):
            out = kernel(module, query, key, value, mask, **rest)
            seen.append((query, key, value, mask, out[0]))
            return out

        return attended

    with observing(model, BLOCKS, layers=(0,)) as plain:
        run(model)
    monkeypatch.setattr(attach, "_function", watched)
    with dial(model, 0.9, blocks=BLOCKS), observing(model, BLOCKS, layers=(0,)) as rows:
        assert run(model).logits.dtype is dtype
    for query, key, value, mask, _ in seen:
        assert {x.dtype for x in (query, key, value, mask)} == {torch.float32}
        added = mask.double()[:, :, (OUTSIDE & SEEN)[0, 0]]
        torch.testing.assert_close(added, torch.full_like(added, -kappa), rtol=1e-7, atol=0)
    name = "model.layers.0.self_attn"
    odds = [fields[name]["leakage"] / fields[name]["fidelity"] for fields in (plain, rows)]
    torch.testing.assert_close(odds[1], 0.1 * odds[0], rtol=1e-6, atol=1e-12)


def test_autocast_does_not_round_a_dial():
    model, found = narrow(torch.float32), []
    for value in (0.0, 0.9):
        with torch.autocast("cpu", torch.bfloat16), dial(model, value, blocks=BLOCKS):
            with observing(model, BLOCKS, layers=(0,)) as rows:
                run(model)
            found.append(rows["model.layers.0.self_attn"])
    odds = [fields["leakage"] / fields["fidelity"] for fields in found]
    torch.testing.assert_close(odds[1], 0.1 * odds[0], rtol=1e-6, atol=1e-12)
    with torch.autocast("cpu", torch.bfloat16):
        call, *_ = watched_calls(model)
    assert call.query.dtype is call.key.dtype is torch.bfloat16  # what the kernel attends with


def verdicts(rows, name, key="leakage_ceiling"):
    fields = {field: value.numpy() for field, value in rows[name].items()}
    return check(by_key(key), {**fields, "temperature": np.ones(1)}, ("sequence", "head", "query")).counts


def test_products_beyond_float16_are_rows_where_the_kernel_has_them_and_unknown_where_it_overflows():
    name, found = "model.layers.0.self_attn", {}
    for implementation in ("sdpa", "eager"):
        model = narrow(torch.float16, implementation, 250.0)
        calls = watched_calls(model)
        assert (calls[0].query.double() @ calls[0].key.double().repeat_interleave(2, 1).mT).abs().max() > 65504
        with observing(model, BLOCKS) as found[implementation]:
            run(model)
    rows = found["sdpa"]
    assert name not in rows.unknown
    assert not rows[name]["unknown"].any()
    torch.testing.assert_close(rows[name]["leakage"].nan_to_num().sum(), rows[name]["leakage"].sum())
    rows = found["eager"]
    assert rows.unknown[name] == ("overflow of float16",)
    unknown = rows[name]["unknown"]
    assert unknown.any()
    assert not (unknown & rows[name]["valid"]).any()
    assert verdicts(rows, name)[Verdict.UNKNOWN] >= unknown.sum()
    later = "model.layers.1.self_attn"  # reads NaN
    assert "overflow of float16" in rows.unknown[later]
    assert verdicts(rows, later)[Verdict.VACUOUS] == 0
    assert verdicts(rows, later)[Verdict.HOLDS] == 0


def test_rows_that_are_more_than_a_softmax_are_unknown_in_every_verdict(monkeypatch):
    model, whole = network("llama", "eager"), attach._attend
    monkeypatch.setattr(attach, "_attend", lambda *given, **more: whole(*given, **more, s_aux=1.0))
    with observing(model, BLOCKS) as rows:
        run(model)
    for key in ("leakage_ceiling", "entropy_ceiling"):
        counts = verdicts(rows, "model.layers.0.self_attn", key)
        assert counts[Verdict.UNKNOWN] == sum(counts.values())


def test_a_row_that_overflows_misses_its_promise():
    model = narrow(torch.float16, "eager", 250.0)
    with guarded(model, 1e-9, BLOCKS, record=True) as misses:
        run(model)
    assert any(math.isnan(miss.fidelity) for miss in misses)


@pytest.mark.parametrize("dtype", HALVES)
def test_changes_of_half_precision_logits_are_made_in_float32(dtype):
    logits, inside = torch.zeros(1, 1, 1, 1, 2, dtype=dtype), torch.tensor([True, False])
    changed = turned(logits, torch.tensor(13.7, dtype=torch.float64), inside, 1.0)
    assert changed[..., 1].item() == pytest.approx(-13.7, rel=1e-7)
    weights = steer(1.0, lambda _, given: turned(given, torch.tensor(5.3), inside, 1.0))(0, logits)
    assert weights.dtype is dtype
    assert weights[..., 1].item() == pytest.approx(math.exp(-5.3) / (1 + math.exp(-5.3)), rel=torch.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", HALVES)
def test_streamed_statistics_and_penalties_take_logits_in_float32(dtype):
    generator = torch.Generator().manual_seed(0)
    query, key = (3 * torch.randn(1, 2, 16, 8, generator=generator).to(dtype) for _ in range(2))
    weights = (query.double() @ key.double().mT).softmax(-1)
    right = entropy(weights), (weights * OUTSIDE).sum(-1)
    rows = stream_rows(query, key, BLOCKS, BLOCKS, scaling=1.0)
    for mine in ((rows["entropy_nats"], rows["leakage"]), entropy_and_leakage(query, key, BLOCKS, BLOCKS, scaling=1.0)):
        for found, expected in zip(mine, right):
            torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5)
