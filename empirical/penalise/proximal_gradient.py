"""Proximal gradient for a smooth loss plus a penalty on the cross blocks of bilinear forms.

    minimise  L(W) + penalty * sum over b != c of p(||W_bc||)    (Frobenius norms; p of a `penalty.Penalty`)
    residual: ||W - prox(W - step * grad L(W))|| / step, zero exactly at the stationary points

A point counts as converged when its residual is within the tolerance and a further step changes the support of no
block: then a zero block has ||grad|| <= penalty exactly, and a non-zero one | ||grad|| - penalty | <= residual.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from empirical.penalise.objective import Progress
from empirical.penalise.penalty import GroupNorm, Kind
from empirical.shapes import Bool, Float, Int, Shaped


def group_norms(forms: Float[Tensor, "*lead K d K e"]) -> Float[Tensor, "*lead K K"]:
    """||W_bc|| of every block."""
    return forms.square().sum((-3, -1)).sqrt()


def cross_blocks(blocks: int, device: torch.device | None = None) -> Bool[Tensor, "K K"]:
    return ~torch.eye(blocks, dtype=torch.bool, device=device)


class FormBlocks:
    """The blocks W_bc of forms as groups (`penalty.Partition`)."""

    def norms(self, x: Float[Tensor, "*lead K d K e"]) -> Float[Tensor, "*lead K K"]:
        return group_norms(x)

    def spread(self, values: Shaped[Tensor, "*lead K K"]) -> Shaped[Tensor, "*lead K 1 K 1"]:
        return values.unsqueeze(-1).unsqueeze(-3)


def on_cross_blocks(
    penalties: Float[Tensor, "S"], forms: Float[Tensor, "S *lead K d K e"]
) -> Float[Tensor, "S *ones K K"]:
    """Each setting's penalty on its cross blocks, 0 on the others."""
    blocks, ones = forms.shape[-2], (1,) * (forms.ndim - 3)
    return torch.where(cross_blocks(blocks, forms.device), penalties.view(-1, *ones), 0.0)


def shrink(
    forms: Float[Tensor, "S *lead K d K e"], amounts: Float[Tensor, "S"]
) -> tuple[Float[Tensor, "S *lead K d K e"], Bool[Tensor, "S *lead K K"]]:
    """The proximal map of amount * sum of cross-block norms, with exact zeros, and which blocks it leaves non-zero."""
    return GroupNorm(FormBlocks()).prox(forms, on_cross_blocks(amounts, forms))


@dataclass(frozen=True)
class Solution:
    """Where each setting ended, and what was seen on the way; pairs are (block_query, block_key)."""

    forms: Float[Tensor, "S *lead K d K e"]
    loss: Float[Tensor, "S"]
    gradient_norm: Float[Tensor, "S *lead K K"]
    residual: Float[Tensor, "S"]
    converged: Bool[Tensor, "S"]
    steps: Int[Tensor, "S"]
    gradient_peak: Float[Tensor, "S *lead K K"]
    steps_to_zero: Int[Tensor, "S *lead K K"]


def _momentum(clock: Float[Tensor, "S"], plain: Bool[Tensor, "S"]) -> tuple[Float[Tensor, "S"], Float[Tensor, "S"]]:
    """(t - 1)/t' and t' = (1 + sqrt(1 + 4 t^2))/2, Nesterov's; 0 and 1 where the step is plain."""
    tick = torch.where(plain, 1.0, (1 + (1 + 4 * clock**2).sqrt()) / 2)
    return torch.where(plain, 0.0, (clock - 1) / tick), tick


def solve(
    loss_and_gradient: Callable[[Tensor], tuple[Tensor, Tensor]],
    start: Float[Tensor, "S *lead K d K e"],
    penalties: Float[Tensor, "S"],
    *,
    step: float,
    tolerance: float,
    max_steps: int,
    accelerated: bool = True,
    penalty: Kind = GroupNorm,
    report: Progress | None = None,
) -> Solution:
    """Proximal gradient steps, with momentum and gradient restarts where `accelerated`.

    Settings do not interact: one that has converged, or is no longer finite, leaves the batch, and the others go on.
    The returned point is one where a gradient was taken and which a proximal step (or the start) produced, so that
    its zeros are exact and its residual is its own, not that of an extrapolated point.
    """
    settings, zeros, prox = len(start), torch.zeros_like(group_norms(start)), penalty(FormBlocks()).prox
    amounts = on_cross_blocks(penalties, start)
    forms, ahead = start.clone(), start
    end, loss, end_norm = start.clone(), torch.full_like(penalties, torch.nan), zeros.clone()
    residual, converged = torch.full_like(penalties, torch.inf), torch.zeros_like(penalties, dtype=torch.bool)
    steps = torch.zeros_like(penalties, dtype=torch.int64)
    peak, last_nonzero = zeros.clone(), (group_norms(start) > 0).long() - 1  # -1: zero since the start
    moving = torch.arange(settings, device=start.device)
    clock = torch.ones_like(penalties)
    at_iterate = torch.ones_like(converged)  # the gradient is taken at the iterate itself
    count = 0
    while True:
        value, gradient = loss_and_gradient(ahead)
        norm = group_norms(gradient)
        new, kept = prox(ahead - step * gradient, step * amounts[moving])
        gap = (new - ahead).flatten(1).norm(dim=1) / step
        peak[moving] = torch.maximum(peak[moving], norm)
        same_support = (kept == (group_norms(ahead) > 0)).flatten(1).all(1)
        small = (gap <= tolerance) & same_support
        done = small & at_iterate
        last = count == max_steps
        leaving = done | ~gap.isfinite() | (at_iterate if last else False)
        if leaving.any():
            gone = moving[leaving]
            end[gone], loss[gone], end_norm[gone] = ahead[leaving], value[leaving], norm[leaving]
            residual[gone], converged[gone], steps[gone] = gap[leaving], done[leaving], count
        if last or leaving.all():
            break
        restart = ((ahead - new) * (new - forms)).flatten(1).sum(1) > 0
        plain = torch.ones_like(small) if not accelerated or count + 1 == max_steps else restart | small
        momentum, clock = _momentum(clock, plain)
        ahead = new + momentum.view(-1, *(1,) * (new.ndim - 1)) * (new - forms)
        count += 1
        last_nonzero[moving] = torch.where(kept, count, last_nonzero[moving])
        forms, ahead, clock, at_iterate, moving = (x[~leaving] for x in (new, ahead, clock, momentum == 0, moving))
        if report is not None and count % 20 == 0:
            report(count, max_steps, len(moving))
    if report is not None:
        report(count, max_steps, 0)
    steps_to_zero = torch.where(group_norms(end) > 0, -1, last_nonzero + 1)
    return Solution(end, loss, end_norm, residual, converged, steps, peak, steps_to_zero)
