"""Levels of `blocks` searched from below: points that witness lambda_glob, and stationary ones with a cross block (C3).

    lambda_glob >= max_b (L_loc,b - L_b(W)) / sum_c ||W_bc||  at any W;  lambda_stat* >= a penalty with such a point

L_loc,b is the least that in-block runs reached, from the localised start, the aligned ones and the best witness: an
upper bound on the infimum, so proved levels stay proved, and the searched value of lambda_glob is one for that L_loc,b.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from bounds import global_penalty_witness
from empirical.laboratory.config import Config
from empirical.laboratory.tasks import Retrieval
from empirical.penalise.proximal_gradient import cross_blocks, group_norms, solve
from empirical.shapes import Arrays, Float, plain

RISE, TOLERANCE = 1.06, 1e-8
LEAST_NORM = 0.5  # of the cross blocks of a witness; W has norms of some ten
STARTS = (5.0, 20.0, 60.0)  # multiples of the identity in the own block and in that of the cue


def block_losses(data: Retrieval, forms: Float[Tensor, "S 1 1 K d K d"]) -> Float[Tensor, "S K"]:
    """L_b: each block's part of the mean loss; they add up to the loss."""
    error = (data.logits_and_output(forms)[2] - data.target[:, None]).square().sum(-1)  # N, S
    own = torch.nn.functional.one_hot(data.query_block, data.blocks).to(error.dtype)
    return error.T @ own / len(data.query)


def cross_norms(forms: Float[Tensor, "S 1 1 K d K d"]) -> Float[Tensor, "S K"]:
    """The sum over c of ||W_bc||, for each query block b."""
    norms = group_norms(forms)[:, 0, 0]
    return norms.masked_fill(~cross_blocks(norms.shape[-1], norms.device), 0.0).sum(-1)


def aligned(data: Retrieval, scale: float) -> Float[Tensor, "1 1 1 K d K d"]:
    """W that matches content in the own block, and half as strongly in the next, where the cue is."""
    d = data.query.shape[-1] // data.blocks
    forms = torch.zeros(1, 1, 1, data.blocks, d, data.blocks, d, dtype=data.query.dtype)
    for b in range(data.blocks):
        forms[0, 0, 0, b, :, b] = scale * torch.eye(d)
        forms[0, 0, 0, b, :, (b + 1) % data.blocks] = scale / 2 * torch.eye(d)
    return forms


def ratios_of(data: Retrieval, forms: Tensor, localised: Float[Tensor, "K"]) -> Float[Tensor, "S K"]:
    """(L_loc,b - L_b) / sum_c ||W_bc||, the witness of each block; a better in-block part stands for L_loc,b.

    Cross norms below LEAST_NORM count as that: what they gain is the slope of lambda_crit, not the first-order gap.
    """
    in_block = torch.where(_own(data), forms, 0.0)
    least = torch.minimum(localised, block_losses(data, in_block))
    return (least - block_losses(data, forms)) / cross_norms(forms).clamp(min=LEAST_NORM)


def _own(data: Retrieval) -> Tensor:
    return ~cross_blocks(data.blocks).view(1, 1, 1, data.blocks, 1, data.blocks, 1)


def in_block_losses(data: Retrieval, config: Config, forms: Tensor, most: int) -> Float[Tensor, "K"]:
    """L_b where an in-block run from these own blocks ends."""
    end = solve(
        data.loss_and_gradient,
        torch.where(_own(data), forms, 0.0),
        torch.full((1,), torch.inf, dtype=forms.dtype),
        step=config.step,
        tolerance=TOLERANCE,
        max_steps=most,
    )
    return block_losses(data, end.forms)[0]


def follow(
    data: Retrieval, config: Config, critical: float, localised: Float[Tensor, "K"], scale: float, most: int
) -> tuple[float, float, Tensor]:
    """From an aligned start with the penalty continued upwards: (lambda_stat*, lambda_glob from below, best W).

    A penalty counts for lambda_stat* if the run converged to TOLERANCE with a cross block that is not zero.
    """
    forms, penalty, stationary, best, found = aligned(data, scale), critical, 0.0, 0.0, aligned(data, scale)
    while True:
        end = solve(
            data.loss_and_gradient,
            forms,
            torch.tensor([penalty], dtype=forms.dtype),
            step=config.step,
            tolerance=TOLERANCE,
            max_steps=most,
        )
        forms = end.forms
        if not bool(cross_norms(forms).any()):
            return stationary, best, found
        if bool(end.converged[0]):
            stationary = penalty
        ratio = float(ratios_of(data, forms, localised).max())
        if ratio > best:
            best, found = ratio, forms.clone()
        penalty *= RISE


def ascend_ratio(data: Retrieval, forms: Tensor, localised: Float[Tensor, "K"], steps: int) -> tuple[float, Tensor]:
    """The best witness of any block found by gradient ascent from `forms`, and its W."""
    own = _own(data)
    best, found = 0.0, forms
    with torch.enable_grad():
        leaf = forms.clone().requires_grad_()
        adam = torch.optim.Adam([leaf], lr=0.05, maximize=True)
        for count in range(steps):
            adam.param_groups[0]["lr"] = 0.05 * 0.01 ** (count / steps)
            ratios = ratios_of(data, leaf, localised)
            value = float(ratios.detach().max())
            if value > best:
                best, found = value, leaf.detach().clone()
            (gradient,) = torch.autograd.grad(ratios.sum(), leaf)
            active = group_norms(leaf.detach())[..., None, :, None] > 0
            leaf.grad = torch.where(active | own, gradient.nan_to_num(0.0), 0.0)  # the norm has no slope at 0
            adam.step()
    return best, found


def witnesses(
    data: Retrieval, config: Config, start: Arrays, most: int, ascent: int, scales: tuple[float, ...] = STARTS
) -> Arrays:
    """Lower bounds on lambda_glob and lambda_stat*, and the least in-block losses that were met on the way.

    `start` is what `localise` returned. Runs take at most `most` steps, the ascent exactly `ascent`.
    """
    critical = float(start["critical"])
    losses = block_losses(data, torch.as_tensor(start["parameter/forms"]))[0]
    for scale in STARTS:
        losses = torch.minimum(losses, in_block_losses(data, config, aligned(data, scale), most))
    stationary, witness, best = 0.0, 0.0, aligned(data, STARTS[0])
    for scale in scales:
        found, ratio, forms = follow(data, config, critical, losses, scale, most)
        stationary = max(stationary, found)
        if ratio > witness:
            witness, best = ratio, forms
    _, best = ascend_ratio(data, best, losses, ascent)
    losses = torch.minimum(losses, in_block_losses(data, config, best, most))
    reached, norms = block_losses(data, best)[0], cross_norms(best)[0]
    witness = max(
        global_penalty_witness(float(losses[b]), float(reached[b]), [float(norms[b])]) for b in range(data.blocks)
    )
    return {"losses": plain(losses), "witness": np.array(witness), "stationary": np.array(stationary)}
