"""The pair law: critical penalties of every pair of tokens, and of every gate, from one backward pass at the mask.

    lambda_ij = N <-g_i, v_j - o_in,i>                 of a pair, whatever its attention weight
    -dL/ds = sum of rho_ij <-g_i, v_j - o_in,i>,  dOmega/ds = sum of rho_ij / N     over the pairs of a gate
    rho_ij = w_ij / Z_in,i,   g_i = dL/do_i, downstream effects included

so that a gate's critical penalty within a layer is the rho-weighted mean of its pairs' (or 0). The pass needs no gates:
the model is masked. Pairs are taken a few queries at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from empirical.errors import BadInput
from empirical.gates.merge import INSIDE, LOG_ODDS
from empirical.gates.problem import Layer, Problem, checked
from empirical.observe.streaming import chunks, logits_of, widened
from empirical.shapes import Float, Int

LARGE = 60.0
"""Nats above a row's own block at which sums over its keys may leave float32."""
Each = Callable[[int, int, int, Float[Tensor, "B H _ N"], Float[Tensor, "B H _ N"]], None]
"""(batch, layer, first query, lambda_ij / N, rho_ij) of the pairs outside; 0 and 0 for others. Losses are sums."""


@dataclass(frozen=True)
class CellMap:
    """Sums over the pairs of every cell (layer, head, block of queries, block of keys), by document, at the mask."""

    loss: Float[Tensor, "D"]  # summed over tokens
    price: Float[Tensor, "D L H K K1"]  # of rho_ij <-g_i, v_j - o_in,i>, g of the summed loss
    weight: Float[Tensor, "D L H K K1"]  # of rho_ij
    steepest: Float[Tensor, "L H K K1"]  # the largest <-g_i, v_j - o_in,i> of a pair, -inf where there is none
    odds: Float[Tensor, "L"]  # the largest sum of rho_ij of a row

    def price_of(self, problem: Problem) -> Float[Tensor, "G"]:
        """-dL/ds of every gate, at the mask."""
        return problem.groups.spread(self.price.sum(0)) / problem.counts[0].sum()

    def omega_of(self, problem: Problem) -> Float[Tensor, "G"]:
        """dOmega/ds of every gate, at the mask; 0 for one without pairs."""
        return problem.groups.spread(self.weight.sum(0) * problem.per_row[..., None, None])

    def critical(self, problem: Problem) -> Float[Tensor, "G"]:
        """The penalty above which each gate stays shut at the mask; NaN for one without pairs."""
        return ratio(self.price_of(problem), self.omega_of(problem))

    def lambda_crit(self, problem: Problem) -> float:
        """The largest of them: above it all gates stay shut at the mask; 0 where none wants to open."""
        return float(self.critical(problem).nan_to_num(0.0).max())

    def pair_penalty(self, problem: Problem) -> Float[Tensor, "L H K K1"]:
        """The rho-weighted mean of lambda_ij over each cell, of either sign; NaN without pairs."""
        per_token = 1 / (problem.counts[0].sum() * problem.per_row[..., None, None])
        weight = self.weight.sum(0)
        return torch.where(weight > 0, self.price.sum(0) * per_token / weight.where(weight > 0, 1.0), math.nan)

    def largest(self, problem: Problem) -> Float[Tensor, "L H K K1"]:
        """The largest lambda_ij of each cell; -inf without pairs."""
        return self.steepest / (problem.counts[0].sum() * problem.per_row[..., None, None])


def ratio(price: Float[Tensor, "*G"], omega: Float[Tensor, "*G"]) -> Float[Tensor, "*G"]:
    """max(0, price / omega), NaN where omega is 0."""
    return torch.where(omega > 0, (price / omega.where(omega > 0, 1.0)).clamp(min=0), math.nan)


def cell_map(problem: Problem, each: Each | None = None) -> CellMap:
    """The map of all documents. Raises BadInput where no pair is outside a block, or the loss is no function of it."""
    shut = torch.zeros(problem.groups.count, dtype=torch.float64)
    losses, prices, weights = [], [], []
    steepest, odds = None, torch.zeros(problem.groups.layers, dtype=torch.float64)
    for number, size in enumerate(problem.sizes):
        with torch.enable_grad():
            reading = problem.read(number, shut.expand(size, -1), keep=True, leakage=False)
            outputs = [layer.output for layer in reading.layers]
            if not (reading.loss.requires_grad and all(output.requires_grad for output in outputs)):
                raise BadInput("loss must depend on attention, and not be detached, got one without a gradient")
            slopes = torch.autograd.grad(reading.loss.sum(), outputs, allow_unused=True)
        found = [_cells(problem, number, layer, slope, each) for layer, slope in zip(reading.layers, slopes)]
        at = {layer.layer: parts for layer, parts in zip(reading.layers, found)}
        order = [at[layer] for layer in range(problem.groups.layers)]
        price, weight, top, odd = (torch.stack(part, 1 if n < 2 else 0) for n, part in enumerate(zip(*order)))
        losses.append(reading.loss.detach().double().cpu())
        prices.append(price)
        weights.append(weight)
        steepest = top if steepest is None else torch.maximum(steepest, top)
        odds = torch.maximum(odds, odd)
    assert steepest is not None
    made = CellMap(checked(torch.cat(losses)), torch.cat(prices), torch.cat(weights), steepest, odds)
    if not made.weight.any():
        raise BadInput("blocks must leave a query something outside its own to see, got none that does")
    return made


@torch.no_grad()
def _cells(
    problem: Problem, number: int, layer: Layer, slope: Tensor | None, each: Each | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Price and weight (B, H, K, K1), steepest (H, K, K1) and largest odds () of one attention."""
    pairs, blocks = layer.pairs, problem.groups.blocks
    class_of = torch.arange(blocks + 1, device=pairs.query.device)
    wide = widened(layer.output.dtype)
    output = layer.output.transpose(1, 2).to(wide).contiguous()
    slope = torch.zeros_like(output) if slope is None else slope.transpose(1, 2).to(wide).contiguous()
    key_is = functional.one_hot(pairs.key_block.masked_fill(pairs.key_block < 0, blocks), blocks + 1)[:, None]
    sums = [torch.zeros(*output.shape[:2], blocks, blocks + 1, dtype=torch.float64) for _ in range(2)]
    top = torch.full((output.shape[1], blocks, blocks + 1), -math.inf, dtype=torch.float64)
    odds = torch.zeros((), dtype=torch.float64)
    for start, stop in chunks(pairs.query, pairs.key.shape[2]):
        logits, part = pairs.logits(start, stop), pairs.parts(start, stop, class_of)
        rho = _odds(logits, part)
        mine, here = slope[:, :, start:stop], output[:, :, start:stop]
        rate = (mine * here).sum(-1, keepdim=True) - logits_of(mine, pairs.value, 1.0)
        if each is not None:
            each(number, layer.layer, start, rate.where(part > INSIDE, 0.0), rho)
        own = pairs.query_block[:, start:stop]
        query_is = functional.one_hot(own.masked_fill(own < 0, blocks), blocks + 1)[:, None, :, :blocks].double()
        for total, values in zip(sums, (rho * rate, rho)):
            total += (query_is.mT @ (values @ key_is.to(values)).double()).cpu()
        index = part.clamp(min=INSIDE).expand(rate.shape)
        best = rate.new_full((*rate.shape[:3], blocks + 2), -math.inf).scatter_reduce(-1, index, rate, "amax")[..., 1:]
        for block in range(blocks):
            most = best.where((own == block)[:, None, :, None], -math.inf).amax((0, 2))
            top[:, block] = torch.maximum(top[:, block], most.double().cpu())
        odds = torch.maximum(odds, rho.sum(-1).max().double().cpu())
    return sums[0], sums[1], top, odds


def _odds(logits: Float[Tensor, "B H T N"], part: Int[Tensor, "B _ T N"]) -> Float[Tensor, "B H T N"]:
    """rho_ij of the pairs outside and 0 elsewhere, in float64 where float32 cannot hold them."""
    inside = part == INSIDE
    highest = logits.where(inside, -math.inf).amax(-1, keepdim=True)
    above = logits - highest.where(highest > -math.inf, 0.0)
    if float(above.max()) > LARGE:
        above = above.double()
    weights = above.exp()
    own = weights.where(inside, 0.0).sum(-1, keepdim=True)
    found = (weights / own.where(own > 0, 1.0)).where(part > INSIDE, 0.0)
    if not math.isfinite(float(found.max())):
        raise BadInput(f"logits must give keys outside at most e^{LOG_ODDS:g} times the weight of a row's own block")
    return found
