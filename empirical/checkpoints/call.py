"""One attention of one forward pass as its kernel computes it: logits, and which keys a query sees.

    logits = scaling q.k, capped or not, + position bias + mask;   weights = softmax, in the accumulation type, kept in
    that of q
    a key is hidden in a row iff the mask lowers its logit and its weight there is exactly 0

A boolean mask hides by itself. Of an additive one the values are in the logits, so that a soft mask, or distances as a
bias, are part of the row; what the mask does not lower is seen, however small its weight. Hidden is meant of the row
without a dial: no dial brings a hidden key back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from empirical.errors import BadInput
from empirical.observe.streaming import chunks, logits_of, widened
from empirical.shapes import Bool, Float

SURE = 800.0
"""Nats below the largest logit at which no weight is left: e^-746 is 0 in float64, and less hides in any other type."""


@dataclass(frozen=True)
class Call:
    """One attention of one forward pass."""

    name: str  # of the module, as in model.named_modules()
    kind: str  # of KINDS
    layer: int  # among those of its kind
    query: Float[Tensor, "B H T E"]
    key: Float[Tensor, "B G N E"]
    scaling: float
    mask: Tensor | None
    is_causal: bool
    position_bias: Tensor | None
    unknown: tuple[str, ...]  # what is done to these rows beyond softmax(logits + bias)
    accumulates: torch.dtype = torch.float32  # in which the kernel takes its softmax
    largest: float = math.inf  # scaled product that the kernel can hold
    softcap: float | None = None  # scaling q.k becomes softcap tanh(scaling q.k / softcap), which it always can
    first_query: int = 0  # where they stand in the sequence that the model has seen
    first_key: int = 0

    @property
    def shape(self) -> tuple[int, int]:
        """Queries and keys."""
        return self.query.shape[2], self.key.shape[2]

    @property
    def positions(self) -> tuple[range, range]:
        """Of the queries and of the keys; a key after the last query is room that a static cache has left."""
        queries, keys = self.shape
        return range(self.first_query, self.first_query + queries), range(self.first_key, self.first_key + keys)

    @cached_property
    def values(self) -> Float[Tensor, "_ _ T N"] | None:
        """What the mask adds to logits; none where it only hides, or there is none."""
        if self.mask is None or self.mask.dtype == torch.bool or self._only_hides:
            return None
        return self.mask.expand(*self.mask.shape[:2], *self.shape)

    @cached_property
    @torch.no_grad()
    def _only_hides(self) -> bool:
        """Whether an additive mask is sure to leave what it lowers no weight, and adds 0 to all else."""
        assert self.mask is not None
        longest = [x.detach().float().norm(dim=-1).max() for x in (self.query, self.key)]
        reach = abs(self.scaling) * longest[0] * longest[1]  # |logit| is at most that
        if self.position_bias is not None:
            reach = reach + self.position_bias.detach().abs().max()
        kept = self.mask == 0
        sure = kept | (self.mask < -(2 * reach + SURE))
        return bool((sure & kept.any(-1, keepdim=True)).all())

    @torch.no_grad()
    def visible(self, start: int, stop: int) -> Bool[Tensor, "_ _ _ N"]:
        """Which keys the queries in [start, stop) see: by the mask, or causally without one.

        A kernel that is told to be causal counts queries from the first key.
        """
        if self.mask is None:
            position = torch.arange(max(self.shape), device=self.key.device)
            last = position[start:stop] if self.is_causal else position[-1:]
            return (position[: self.shape[1]] <= last[:, None])[None, None]
        mask = self.mask.expand(*self.mask.shape[:2], *self.shape)[..., start:stop, :]
        if mask.dtype == torch.bool:
            return mask
        lowered = mask < mask.amax(-1, keepdim=True)
        return ~lowered if self.values is None else ~(lowered & self._weightless(start, stop))

    def _weightless(self, start: int, stop: int) -> Bool[Tensor, "B H _ N"]:
        """Where the weight of the row without a dial is exactly 0."""
        found: list[Tensor] = []
        for first, last in chunks(self.query[:, :, start:stop], self.shape[1]):
            part = slice(start + first, start + last)
            logits = logits_of(self.query[:, :, part], self.key, self.scaling, self.softcap).to(self.accumulates)
            for added in (self.position_bias, self.values):
                if added is not None:
                    logits = logits + added[..., part, :].to(self.accumulates)
            found.append(logits.softmax(-1).to(self.query.dtype) == 0)
        return torch.cat(found, 2)

    def biased(self, bias: Tensor) -> Float[Tensor, "B _ T N"]:
        """One float mask: bias and mask where a key is seen, -inf elsewhere: of a row that sees nothing, everywhere.

        In float32 where the model is in half precision, which would round a dial. Raises BadInput for a query that the
        bias leaves no key.
        """
        tokens, keys = self.shape
        seen = self.visible(0, tokens).expand(len(self.query), -1, tokens, keys)
        values = bias if self.values is None else self.values + bias
        added = torch.where(seen, values.to(widened(self.query.dtype)), -torch.inf)
        cut = (seen.any(-1, keepdim=True) & ~(added > -torch.inf).any(-1, keepdim=True)).nonzero()
        if len(cut):
            sequence, _, query, _ = cut[0].tolist()
            raise BadInput(
                f"blocks must leave every dialled query a key of its own at dial 1, got query {query} of sequence "
                f"{sequence} in {self.name} with no key left"
            )
        return added


def checked_mask(mask: Tensor | None, eager: bool) -> Tensor | None:
    """The mask. Raises BadInput for one that eager attention would add as 0 and 1."""
    if eager and mask is not None and not mask.is_floating_point():
        raise BadInput(
            f"attention_mask must be of floating point for eager attention, which adds it to logits, got {mask.dtype}"
        )
    return mask
