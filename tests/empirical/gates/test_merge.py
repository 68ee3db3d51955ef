"""Gated attention is softmax with ln s on the logits outside, and is differentiable where ln s is not."""

from __future__ import annotations

import math

import pytest
import torch

from empirical.errors import BadInput
from empirical.gates.groups import grouped
from empirical.gates.merge import Pairs, attend, gated_weights, gates_of_rows
from empirical.observe.relevance import Relation
from empirical.observe.streaming import causal

B, H, G, T, E, K = 2, 4, 2, 11, 5, 3
BLOCKS = torch.tensor([[0, 0, 1, 1, 2, -1, 0, 2, 2, 1, 0], [2, 1, 0, -1, -1, 1, 2, 0, 1, 2, 0]])
RELATION = Relation(frozenset({(2, 0)}), frozenset({-1}))


def pairs_of(seed=0, scale=1.0, dtype=torch.float64, relation=None, **more):
    random = torch.Generator().manual_seed(seed)
    query, key, value = (torch.randn(B, n, T, E, generator=random, dtype=torch.float64) for n in (H, G, G))
    made = ((x * f).to(dtype).requires_grad_() for x, f in ((query, scale), (key, 1.0), (value, 1.0)))
    return Pairs(*made, BLOCKS, BLOCKS, 1.0, relation=relation or Relation(), **more)


def truth(pairs, cells, visible):
    """Full logits, ln s where s > 0 and -inf where it is 0, softmax."""
    logits = torch.einsum("bhte,bhne->bhtn", pairs.query, pairs.key.repeat_interleave(H // G, 1)) * pairs.scaling
    own = BLOCKS[:, :, None]
    inside = pairs.relation.relevant(BLOCKS, BLOCKS) | (own < 0)
    gated = (inside & visible).any(-1, keepdim=True)
    last = torch.where(BLOCKS < 0, K, BLOCKS)
    s = torch.stack([cells[b][:, own[b].clamp(min=0), last[b]] for b in range(B)])
    s = torch.where((inside | ~gated)[:, None], 1.0, s)
    weights = (logits + s.log()).masked_fill(~visible, -math.inf).softmax(-1)
    return weights @ pairs.value.repeat_interleave(H // G, 1), (weights * ~(inside | ~gated)[:, None]).sum(-1)


def gates_for(groups, vector, pairs, layer=0):
    class_of, numbers = groups.classes(layer)
    return class_of, gates_of_rows(vector.expand(B, -1)[:, numbers], pairs.query_block)


@pytest.mark.parametrize("by", [("layer", "head"), ("layer", "block_query", "block_key"), ("block_key",), ()])
@pytest.mark.parametrize("relation", [Relation(), RELATION])
@pytest.mark.parametrize("entries", [1, 2**18])
def test_gates_are_softmax_with_ln_s_on_the_logits_outside(by, relation, entries):
    pairs = pairs_of(relation=relation, visible=causal(T, T))
    groups = grouped(1, H, K, by)
    s = torch.rand(groups.count, generator=torch.Generator().manual_seed(1), dtype=torch.float64).requires_grad_()
    output, leakage = attend(pairs, *gates_for(groups, s, pairs), entries=entries)
    wanted = truth(pairs, s[groups.number[0]].expand(B, -1, -1, -1), torch.ones(T, T, dtype=torch.bool).tril())
    torch.testing.assert_close(output, wanted[0], rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(leakage, wanted[1], rtol=1e-12, atol=1e-13)
    weight = torch.randn(output.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    inputs = (pairs.query, pairs.key, pairs.value, s)
    mine, theirs = (
        torch.autograd.grad((o * weight).sum() + (e * 0.3).sum(), inputs) for o, e in ((output, leakage), wanted)
    )
    for one, other in zip(mine, theirs):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("end", [0.0, 1.0])
def test_the_slope_at_either_end_is_that_of_differences(end):
    pairs, groups = pairs_of(visible=causal(T, T)), grouped(1, H, K, ("head",))
    weight = torch.randn(B, H, T, E, generator=torch.Generator().manual_seed(2), dtype=torch.float64)

    def at(s):
        output, leakage = attend(pairs, *gates_for(groups, s, pairs))
        return (output * weight).sum() + leakage.sum()

    s = torch.full((H,), end, dtype=torch.float64).requires_grad_()
    (slope,) = torch.autograd.grad(at(s), s)
    before = at(s.detach()).detach()
    step = 1e-8 if end == 0 else -1e-7  # odds are up to 7e2
    for head in range(H):
        moved = s.detach().clone()
        moved[head] += step
        assert float((at(moved).detach() - before) / step) == pytest.approx(float(slope[head]), rel=1e-4, abs=1e-5)


def test_at_zero_what_is_outside_has_no_weight_at_all():
    pairs, groups = pairs_of(visible=causal(T, T)), grouped(1, H, K)
    zero = torch.zeros(groups.count, dtype=torch.float64)
    output, leakage = attend(pairs, *gates_for(groups, zero, pairs))
    assert not leakage.any()
    other = pairs.value.detach().clone()
    other[0, :, BLOCKS[0] == 1] = 1e300
    changed = Pairs(pairs.query, pairs.key, other, BLOCKS, BLOCKS, 1.0, visible=causal(T, T))
    again, _ = attend(changed, *gates_for(groups, zero, pairs))
    assert torch.equal(output[0][:, BLOCKS[0] == 0], again[0][:, BLOCKS[0] == 0])


def test_rows_without_keys_outside_or_without_any_give_no_nan():
    pairs = pairs_of(visible=lambda start, stop: torch.eye(T, dtype=torch.bool)[start:stop])
    nothing = Pairs(pairs.query, pairs.key, pairs.value, BLOCKS, BLOCKS, 1.0, visible=lambda a, b: torch.tensor(False))
    groups = grouped(1, H, K, ("layer", "head", "block_key"))
    for one in (pairs, nothing):
        s = torch.zeros(groups.count, dtype=torch.float64, requires_grad=True)
        output, leakage = attend(one, *gates_for(groups, s, one))
        for x in torch.autograd.grad(output.sum() + leakage.sum(), (one.query, one.key, one.value, s)):
            assert torch.isfinite(x).all()


def test_rows_in_no_block_and_rows_that_see_no_key_of_their_own_are_not_gated():
    def visible(start, stop):
        return (BLOCKS != 1)[:, None, None].expand(B, 1, T, T)[:, :, start:stop]

    pairs, groups = pairs_of(visible=visible), grouped(1, H, K)
    output, leakage = attend(pairs, *gates_for(groups, torch.zeros(H, dtype=torch.float64), pairs))
    plain, _ = attend(pairs, *gates_for(groups, torch.ones(H, dtype=torch.float64), pairs))
    free = (BLOCKS < 0) | (BLOCKS == 1)
    assert torch.equal(pairs.gated(), ~free[:, None])
    assert torch.equal(output.transpose(1, 2)[free], plain.transpose(1, 2)[free])
    assert not leakage.transpose(1, 2)[free].any()


@pytest.mark.parametrize("gap", [110.0, -110.0])
def test_a_logit_gap_of_110_is_held_in_float32(gap):
    """One shift for all keys gives 0/0 at s = 0 where the own block lies below."""
    logits = torch.tensor([[0.0, 1.0, gap]], dtype=torch.float32)
    s = torch.zeros(1, 1, dtype=torch.float64, requires_grad=True)
    weights, leakage = gated_weights(logits, torch.tensor([[0, 0, 1]]), s)
    assert weights.detach()[0].tolist() == pytest.approx([1 / (1 + math.e), math.e / (1 + math.e), 0])
    odds = math.exp(gap) / (1 + math.e)
    (slope,) = torch.autograd.grad(leakage.sum(), s)
    assert float(slope) == pytest.approx(odds, rel=1e-5)
    weights, leakage = gated_weights(logits, torch.tensor([[0, 0, 1]]), torch.ones(1, 1, dtype=torch.float64))
    assert float(leakage) == pytest.approx(odds / (1 + odds), rel=1e-5)
    torch.testing.assert_close(weights, logits.softmax(-1), rtol=1e-5, atol=0)


def test_odds_that_float64_cannot_hold_are_refused():
    with pytest.raises(BadInput, match=r"at most e\^700"):
        gated_weights(
            torch.tensor([[0.0, 800.0]], dtype=torch.float64), torch.tensor([[0, 1]]), torch.zeros(1, 1).double()
        )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_half_precision_is_merged_in_float32(dtype):
    pairs, groups = pairs_of(dtype=dtype, visible=causal(T, T)), grouped(1, H, K)
    s = torch.full((groups.count,), 0.3, dtype=torch.float64)
    output, _ = attend(pairs, *gates_for(groups, s, pairs))
    wide = Pairs(
        *(x.detach().double() for x in (pairs.query, pairs.key, pairs.value)), BLOCKS, BLOCKS, 1.0, visible=causal(T, T)
    )
    assert output.dtype == torch.float32
    torch.testing.assert_close(output.double(), attend(wide, *gates_for(groups, s, wide))[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("gates", [1.5, -0.1, math.nan, [0.5], "open", torch.ones(3, dtype=torch.bool)])
def test_what_is_no_gate_is_refused(gates):
    with pytest.raises(BadInput, match="gates must be"):
        grouped(2, 2, 3).vector(gates)


def test_gates_are_numbered_in_the_order_of_their_table():
    groups = grouped(2, 3, 4, ("layer", "block_key"))
    assert groups.shape == (2, 5)
    assert groups.dims == ("layer", "block_key")
    assert int(groups.number[1, 2, 3, 4]) == 9
    assert not groups.shared_over_layers
    assert grouped(2, 3, 4, ("head",)).shared_over_layers
    class_of, numbers = grouped(2, 3, 4).classes(1)
    assert class_of.tolist() == [0] * 5
    assert numbers[:, 0, 0].tolist() == [3, 4, 5]


def test_chunks_have_the_second_derivatives_of_the_whole():
    pairs, groups = pairs_of(visible=causal(T, T)), grouped(1, H, K)
    found = []
    for entries in (10**9, 3 * B * H * T):
        s = torch.full((H,), 0.3, dtype=torch.float64, requires_grad=True)
        output, leakage = attend(pairs, *gates_for(groups, s, pairs), entries=entries)
        (slope,) = torch.autograd.grad(output.square().sum() + leakage.sin().sum(), s, create_graph=True)
        found.append([*torch.autograd.grad(slope.square().sum(), (s, pairs.query, pairs.key, pairs.value)), slope])
    assert any(float(one.detach().abs().max()) > 1e-3 for one in found[0])
    for one, other in zip(*found):
        torch.testing.assert_close(other, one)
