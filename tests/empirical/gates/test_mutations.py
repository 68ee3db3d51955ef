"""Mistakes that gates invite turn a check red: each stands in place of the merge, and a check of it fails."""

from __future__ import annotations

import math

import pytest
import torch

from empirical.gates import merge

LOGITS = torch.tensor([[0.3, -1.0, 0.8, 1.5], [0.1, 0.2, 0.3, 0.4]], dtype=torch.float64)
PART = torch.tensor([[0, 0, 1, 2], [0, 0, 0, 0]])
VALUES = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)


def true(logits, part, gates):
    return merge.gated_weights(logits, part, gates)


def wrong_sign(logits, part, gates):
    weights, leakage = merge.gated_weights(logits, part, gates)
    inside, _ = merge.part_lse(logits, part, 0)
    return 2 * inside - weights, leakage


def without_renormalising(logits, part, gates):
    """dL/ds lacks its factor 1 - eps: the gate on what is left of plain attention, the block's weights as they were."""
    weights, leakage = merge.gated_weights(logits, part, torch.ones_like(gates))
    each = torch.cat([torch.ones_like(gates[..., :1]), gates], -1)
    return weights * each.gather(-1, part), leakage * gates.mean(-1)


def after_normalisation(logits, part, gates):
    """The gate on weights, what it takes given back to all alike."""
    weights, leakage = without_renormalising(logits, part, gates)
    return weights + (1 - weights.sum(-1, keepdim=True)) / logits.shape[-1], leakage


def logarithm(logits, part, gates):
    """ln s on the logits: NaN at 0."""
    each = torch.cat([torch.ones_like(gates[..., :1]), gates], -1)
    weights = (logits + each.gather(-1, part).log().to(logits.dtype)).softmax(-1)
    return weights, weights.where(part > 0, 0.0).sum(-1).double()


def one_shift(logits, part, gates):
    """Shifted by the largest of all logits: 0/0 where the block lies far below."""
    each = torch.cat([torch.ones_like(gates[..., :1]), gates], -1).gather(-1, part).to(logits.dtype)
    weights = each * (logits - logits.amax(-1, keepdim=True)).exp()
    weights = weights / weights.sum(-1, keepdim=True)
    return weights, weights.where(part > 0, 0.0).sum(-1).double()


def softmax_of_nothing(logits, part, gates):
    """Each part by softmax and logsumexp: NaN gradients where a row has no keys in it."""
    masked = [logits.masked_fill(part != which, -math.inf) for which in range(1 + gates.shape[-1])]
    odds = gates * torch.stack([one.logsumexp(-1) - masked[0].logsumexp(-1) for one in masked[1:]], -1).exp()
    total = 1 + odds.sum(-1, keepdim=True)
    weights = masked[0].softmax(-1) / total
    for which, one in enumerate(masked[1:]):
        weights = weights + (odds / total)[..., which, None] * one.softmax(-1)
    return weights, (odds / total).sum(-1)


def of_the_stock_softmax(way):
    """ln s on the logits, s > 0."""
    gates = torch.tensor([[0.3, 0.7], [0.3, 0.7]], dtype=torch.float64)
    each = torch.cat([torch.ones_like(gates[..., :1]), gates], -1).gather(-1, PART)
    return torch.allclose(way(LOGITS, PART, gates)[0], (LOGITS + each.log()).softmax(-1), rtol=1e-12)


def slope_at_zero(way):
    """dL/ds = r <g, o_c - o_in>, every row's gradient finite."""
    gates, logits = torch.zeros(2, 2, dtype=torch.float64, requires_grad=True), LOGITS.clone().requires_grad_()
    output = (way(logits, PART, gates)[0] * VALUES).sum()
    found, of_logits = torch.autograd.grad(output, (gates, logits))
    own = LOGITS[0, :2].exp()
    inside = float((own * VALUES[:2]).sum() / own.sum())
    wanted = LOGITS[0, 2:].exp() / own.sum() * (VALUES[2:] - inside)
    return torch.allclose(found[0], wanted) and not found[1].any() and bool(torch.isfinite(of_logits).all())


def gap_in_float32(way):
    logits = torch.tensor([[0.0, 110.0]], dtype=torch.float32)
    weights, _ = way(logits, torch.tensor([[0, 1]]), torch.zeros(1, 1, dtype=torch.float64))
    return weights.tolist() == [[1.0, 0.0]]


CHECKS = (of_the_stock_softmax, slope_at_zero, gap_in_float32)


@pytest.mark.parametrize("check", CHECKS)
def test_the_merge_passes_every_check(check):
    assert check(true)


@pytest.mark.parametrize(
    ("mistake", "check"),
    [
        (wrong_sign, of_the_stock_softmax),
        (wrong_sign, slope_at_zero),
        (without_renormalising, of_the_stock_softmax),
        (without_renormalising, slope_at_zero),
        (after_normalisation, of_the_stock_softmax),
        (logarithm, slope_at_zero),
        (one_shift, gap_in_float32),
        (softmax_of_nothing, slope_at_zero),
    ],
)
def test_a_mistake_is_found(mistake, check):
    assert not check(mistake)
