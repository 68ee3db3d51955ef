"""Gated attention: partial attentions of a row's groups merged with gates, differentiable at 0 and at 1.

    o = o_in + sum_c s_c r_c (o_c - o_in) / (1 + sum_c s_c r_c),   r_c = exp(lse_c - lse_in)
    leakage = sum_c s_c r_c / (1 + sum_c s_c r_c)

o_in, o_c: averages over the row's own block and over class c of keys outside; s = 1 is plain attention, s = 0 the hard
mask. No ln s, and each part is shifted by its own maximum: one for all would be 0/0 at s = 0 where the own block's
logits lie 110 below, in float32. A class without keys has r = 0 and no -inf in any gradient. Parts are taken in float32
or float64, the odds r in float64; logits a few queries at a time, again on the way back: memory grows with n.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from empirical.errors import BadInput
from empirical.observe.relevance import Relation
from empirical.observe.streaming import ENTRIES, Visible, chunks, everything, logits_of, widened
from empirical.shapes import Bool, Float, Int

HIDDEN, INSIDE = -1, 0
"""Parts of a row: keys not seen, the own block's and whatever counts as it; from 1 on classes of keys outside."""
LOG_ODDS = 700.0
"""Nats of ln r that float64 holds."""


@dataclass(frozen=True)
class Pairs:
    """The pairs (query, key) of one attention: their logits, who sees whom, and which are outside."""

    query: Float[Tensor, "B H T E"]
    key: Float[Tensor, "B G N E"]
    value: Float[Tensor, "B G N F"]
    query_block: Int[Tensor, "B T"]
    key_block: Int[Tensor, "B N"]
    scaling: float
    softcap: float | None = None
    visible: Visible = everything
    biases: Sequence[Float[Tensor, "_ _ T N"]] = ()
    relation: Relation = field(default_factory=Relation)

    def logits(self, start: int, stop: int) -> Float[Tensor, "B H _ N"]:
        """Those of the queries in [start, stop), in float32 or float64."""
        biases = [bias[..., start:stop, :] for bias in self.biases]
        return self.logits_from(self.query[:, :, start:stop], self.key, biases)

    def logits_from(
        self, query: Float[Tensor, "B H _ E"], key: Float[Tensor, "B G N E"], biases: Sequence[Tensor]
    ) -> Float[Tensor, "B H _ N"]:
        """Those of some queries, and the biases of their rows."""
        return sum(biases, logits_of(query, key, self.scaling, self.softcap))

    @torch.no_grad()
    def parts(self, start: int, stop: int, class_of: Int[Tensor, "K1"]) -> Int[Tensor, "B _ _ N"]:
        """The part of every pair: HIDDEN, INSIDE, or 1 + the class of its key's block.

        A row in no block, or that sees no key of its own, is all INSIDE: it is not gated.
        """
        own, last = self.query_block[:, start:stop], len(class_of) - 1
        inside = (self.relation.relevant(own, self.key_block) | (own < 0)[..., None])[:, None]
        seen = self.visible(start, stop).to(inside.device)
        gated = (inside & seen).any(-1, keepdim=True)
        outside = 1 + class_of.to(inside.device)[torch.where(self.key_block < 0, last, self.key_block)]
        part = torch.where(inside | ~gated, INSIDE, outside[:, None, None, :])
        return torch.where(seen, part, HIDDEN)

    @torch.no_grad()
    def gated(self) -> Bool[Tensor, "B _ T"]:
        """Rows that are gated: those in a block that see a key of their own."""
        found = []
        for start, stop in chunks(self.query, self.key.shape[2]):
            own = self.query_block[:, start:stop]
            inside = self.relation.relevant(own, self.key_block)[:, None]
            found.append((inside & self.visible(start, stop).to(inside.device)).any(-1))
        return torch.cat(found, -1)


def part_lse(
    logits: Float[Tensor, "*rows N"], part: Int[Tensor, "*#rows N"], which: int
) -> tuple[Float[Tensor, "*rows N"], Float[Tensor, "*rows"]]:
    """exp(logit - lse) of the keys of one part and 0 elsewhere, and lse, -inf where the row has none in it."""
    masked = logits.where(part == which, -math.inf)
    top = masked.detach().amax(-1, keepdim=True)
    weights = (masked - top.where(top > -math.inf, 0.0)).exp()
    total = weights.sum(-1, keepdim=True)
    some = total > 0
    safe = total.where(some, 1.0)
    return weights / safe, (safe.log() + top.where(some, 0.0)).where(some, -math.inf).squeeze(-1)


def gated_weights(
    logits: Float[Tensor, "*rows N"], part: Int[Tensor, "*#rows N"], gates: Float[Tensor, "*#rows C"]
) -> tuple[Float[Tensor, "*rows N"], Float[Tensor, "*rows"]]:
    """Attention weights of gated rows, and their leakage in float64; a row that sees nothing has weights 0.

    Raises BadInput where a class has more mass than float64 can hold, the own block's being 1.
    """
    own, lse_own = part_lse(logits, part, INSIDE)
    classes = [part_lse(logits, part, 1 + which) for which in range(gates.shape[-1])]
    below = lse_own.where(lse_own > -math.inf, 0.0).double()
    log_odds = torch.stack([lse.double() - below for _, lse in classes], -1)
    if float(log_odds.detach().amax()) > LOG_ODDS:
        raise BadInput(
            f"logits must give keys outside at most e^{LOG_ODDS:g} times the weight of a row's own block, got "
            f"e^{float(log_odds.detach().amax()):.4g}"
        )
    opened = gates * log_odds.exp()
    total = 1 + opened.sum(-1, keepdim=True)
    shares = (opened / total).to(logits.dtype)
    weights = own * (1 / total).to(logits.dtype)
    for which, (each, _) in enumerate(classes):
        weights = weights + each * shares[..., which, None]
    return weights, (opened / total).sum(-1)


def gates_of_rows(cells: Float[Tensor, "B H K C"], query_block: Int[Tensor, "B T"]) -> Float[Tensor, "B H T C"]:
    """The gates of every row by the block of its query; those of a row in no block are 1, and not used."""
    batch = torch.arange(len(cells), device=cells.device)[:, None]
    found = cells.transpose(1, 2)[batch, query_block.clamp(min=0)]  # B T H C
    return torch.where((query_block < 0)[..., None, None], 1.0, found).transpose(1, 2)


def attend(
    pairs: Pairs, class_of: Int[Tensor, "K1"], gates: Float[Tensor, "B H T C"], *, entries: int = ENTRIES
) -> tuple[Float[Tensor, "B H T F"], Float[Tensor, "B H T"]]:
    """Outputs of gated attention, in the dtype that parts are taken in, and the leakage of every row in float64."""
    given = (pairs.query, pairs.key, pairs.value, gates, *pairs.biases)
    ranges = list(chunks(pairs.query, pairs.key.shape[2], entries))
    if len(ranges) == 1:
        return _chunk(pairs, class_of, *ranges[0], *given)
    return _Again.apply(pairs, class_of, ranges, *given)  # pyright: ignore[reportReturnType]


def _chunk(
    pairs: Pairs,
    class_of: Int[Tensor, "K1"],
    start: int,
    stop: int,
    query: Float[Tensor, "B H _ E"],
    key: Float[Tensor, "B G N E"],
    value: Float[Tensor, "B G N F"],
    gates: Float[Tensor, "B H _ C"],
    *biases: Tensor,
) -> tuple[Float[Tensor, "B H _ F"], Float[Tensor, "B H _"]]:
    logits = pairs.logits_from(query, key, biases)
    weights, leakage = gated_weights(logits, pairs.parts(start, stop, class_of), gates)
    return mixed(weights, value), leakage


class _Again(torch.autograd.Function):
    """Chunks computed again on the way back, and let go: also of what no gradient that is asked for needs.

    Into whole arrays: pieces kept between large ones would split the heap. A backward pass that is to be differentiated
    itself keeps its chunks, as one chunk does: memory then grows with n x n.
    """

    @staticmethod
    def forward(
        ctx: Any, pairs: Pairs, class_of: Tensor, ranges: list[tuple[int, int]], *given: Tensor
    ) -> tuple[Tensor, Tensor]:
        ctx.rest = pairs, class_of, ranges
        ctx.save_for_backward(*given)
        query, _, value, gates, *_ = given
        output = query.new_empty(*query.shape[:3], value.shape[3], dtype=widened(query.dtype))
        leakage = gates.new_empty(query.shape[:3])
        for start, stop in ranges:
            parts = _chunk(pairs, class_of, start, stop, *_rows(given, start, stop))
            output[:, :, start:stop], leakage[:, :, start:stop] = parts
        return output, leakage

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        pairs, class_of, ranges = ctx.rest
        twice = torch.is_grad_enabled()
        needs = ctx.needs_input_grad[3:]
        found = [torch.zeros_like(x) if need else None for x, need in zip(ctx.saved_tensors, needs)]
        for start, stop in ranges:
            given = _rows(ctx.saved_tensors, start, stop)
            again = given if twice else [x.detach().requires_grad_(need) for x, need in zip(given, needs)]
            with torch.enable_grad():
                outputs = _chunk(pairs, class_of, start, stop, *again)
            here = [slope[:, :, start:stop] for slope in slopes]
            asked = [x for x, need in zip(again, needs) if need]
            each = iter(torch.autograd.grad(outputs, asked, here, allow_unused=True, create_graph=twice))
            totals = _rows(found, start, stop)
            for total in totals:
                if total is not None and (part := next(each)) is not None:
                    total += part
        return None, None, None, *found


def _rows(given: Sequence[Any], start: int, stop: int) -> list[Any]:
    """Query, key, value, gates and biases, of some queries."""
    of_queries = [at not in (1, 2) for at in range(len(given))]
    return [x[..., start:stop, :] if own and x is not None else x for x, own in zip(given, of_queries)]


def mixed(weights: Float[Tensor, "B H T N"], value: Float[Tensor, "B G N F"]) -> Float[Tensor, "B H T F"]:
    """Averages of values, key groups broadcast to their heads."""
    batch, heads, tokens, keys = weights.shape
    groups = value.shape[1]
    with torch.autocast(weights.device.type, enabled=False):
        found = weights.reshape(batch, groups, heads // groups * tokens, keys) @ value.to(widened(value.dtype))
    return found.view(batch, heads, tokens, value.shape[3])


@torch.no_grad()
def leakage_of(
    pairs: Pairs, class_of: Int[Tensor, "K1"], gates: Float[Tensor, "B H T C"], *, entries: int = ENTRIES
) -> Float[Tensor, "B H T"]:
    """The leakage of every row alone."""
    found = []
    for start, stop in chunks(pairs.query, pairs.key.shape[2], entries):
        part = pairs.parts(start, stop, class_of)
        found.append(gated_weights(pairs.logits(start, stop), part, gates[:, :, start:stop])[1])
    return torch.cat(found, 2)
