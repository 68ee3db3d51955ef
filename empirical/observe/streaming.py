"""Attention rows of long contexts without an n x n matrix: a few queries at a time against all keys.

    s_ij = scaling q_i . k_j + bias;   lse_i = ln sum_j e^s_ij over visible keys
    H_i = lse_i - E_a[s];   F_i = exp(lse_i over its block - lse_i)

`stream_rows` gives every row field of the schema, each chunk of rows by the observer of all other attention, so that
memory grows with n. `entropy_and_leakage` is differentiable: a chunk is computed again on the way back. Both are the
reference for any faster backend. Logits are taken in float32, or float64 where queries are; statistics in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from empirical.observe.relevance import Relation
from empirical.observe.rows import row_statistics
from empirical.shapes import Bool, Float, Int

ENTRIES = 2**18  # logits of a chunk: 2 MiB in float64, and a dozen arrays of that size in flight
Visible = Callable[[int, int], Bool[Tensor, "..."]]
"""visible(start, stop): which keys the queries in [start, stop) see, broadcasting to (B, H, stop - start, N)."""


def causal(tokens: int, keys: int, device: torch.device | None = None) -> Visible:
    """The last `tokens` of `keys` positions are the queries; each sees itself and what was before."""
    position = torch.arange(keys, device=device)
    return lambda start, stop: position <= (position[-tokens:] if tokens else position)[start:stop, None]


def everything(start: int, stop: int) -> Bool[Tensor, ""]:
    return torch.ones((), dtype=torch.bool)


def chunks(query: Float[Tensor, "B H T E"], keys: int, entries: int = ENTRIES) -> Iterator[tuple[int, int]]:
    """Ranges of queries whose logits number at most `entries`, or single queries."""
    batch, heads, tokens, _ = query.shape
    step = max(1, entries // max(1, batch * heads * keys))
    for start in range(0, tokens, step):
        yield start, min(start + step, tokens)


def widened(dtype: torch.dtype) -> torch.dtype:
    """In which attention is accumulated: float32 for half precision, else the dtype itself."""
    return torch.promote_types(dtype, torch.float32)


def logits_of(
    query: Float[Tensor, "B H T E"], key: Float[Tensor, "B G N E"], scaling: float, softcap: float | None = None
) -> Float[Tensor, "B H T N"]:
    """Scaled products, key groups broadcast to their heads; of half precision in float32, as kernels add them up.

    softcap tanh(product / softcap) where there is one.
    """
    batch, heads, tokens, width = query.shape
    groups, wide = key.shape[1], widened(query.dtype)
    with torch.autocast(query.device.type, enabled=False):  # it would round them again
        products = query.to(wide).reshape(batch, groups, heads // groups * tokens, width) @ key.to(wide).mT
    logits = products.view(batch, heads, tokens, key.shape[2]) * scaling
    return logits if softcap is None else (logits / softcap).tanh() * softcap


@torch.no_grad()
def stream_rows(
    query: Float[Tensor, "B H T E"],
    key: Float[Tensor, "B G N E"],
    query_block: Int[Tensor, "B T"],
    key_block: Int[Tensor, "B N"],
    *,
    scaling: float,
    softcap: float | None = None,
    visible: Visible = everything,
    biases: Sequence[Float[Tensor, "_ _ T N"]] = (),
    n_anchors: int | None = 1,
    dial: float | None = 0.5,
    largest: float = math.inf,
    relation: Relation | None = None,
    entries: int = ENTRIES,
) -> dict[str, Float[Tensor, "B H T"]]:
    """Row fields of every query (`observe.row_statistics`); temperature 1, scaling in the logits.

    A query of a block below 0 is in none: its rows are not valid. `relation`: what a query may see beside its own
    block. `biases` are added to the logits, -inf where a dial of 1 cuts a key. Rows with a scaled product beyond
    `largest`, which their kernel cannot hold, are unknown.
    """
    found: dict[str, Tensor] = {}
    relation, keys = relation or Relation(), key.shape[2]
    kept = relation.is_kept(key_block)[:, None, None] if relation.kept else None
    finite = largest == math.inf and _bounded(query, key, scaling)
    for start, stop in chunks(query, keys, entries):
        seen = visible(start, stop).to(query.device)
        part = _seen_by_any(seen, keys) if finite else slice(None)
        seen = seen[..., part] if seen.ndim else seen
        logits = logits_of(query[:, :, start:stop], key[:, :, part], scaling, softcap).double()
        logits = torch.where(logits.abs() > largest, math.nan, logits) if largest < math.inf else logits
        for bias in biases:
            logits = logits + bias[..., start:stop, part]
        in_block = relation.relevant(query_block[:, start:stop], key_block[:, part]).unsqueeze(1)
        read = None if kept is None else kept[..., part]
        rows = row_statistics(logits, in_block, seen, n_anchors, 1.0, dial=dial, kept=read, cut=True)
        for name, value in rows.items():  # into whole arrays: pieces kept between large ones would split the heap
            found.setdefault(name, torch.empty(query.shape[:3], dtype=value.dtype))[:, :, start:stop] = value
    return found


def _bounded(query: Tensor, key: Tensor, scaling: float) -> bool:
    """Whether every product is sure to be finite, so that a key which no query of a chunk sees may be left out."""
    wide = widened(query.dtype)
    longest = [states.to(wide).norm(dim=-1).max() for states in (query, key)]
    return bool((scaling * longest[0] * longest[1]).isfinite())


def _seen_by_any(seen: Bool[Tensor, "..."], keys: int) -> slice:
    """From the first to the last key that some query sees; one key where none sees any."""
    if not seen.ndim or seen.shape[-1] != keys:
        return slice(None)
    places = seen.reshape(-1, keys).any(0).nonzero()
    return slice(int(places[0]), int(places[-1]) + 1) if len(places) else slice(0, 1)


def entropy_and_leakage(
    query: Float[Tensor, "B H T E"],
    key: Float[Tensor, "B G N E"],
    query_block: Int[Tensor, "B T"],
    key_block: Int[Tensor, "B N"],
    *,
    scaling: float,
    visible: Visible = everything,
    entries: int = ENTRIES,
    relation: Relation | None = None,
) -> tuple[Float[Tensor, "B H T"], Float[Tensor, "B H T"]]:
    """H = lse - E[s] in nats, and leakage, of every row, to be penalised in training: gradients in O(n) memory.

    A row that sees nothing has neither (0, 0); one of no block leaks nothing. Masked logits have weight 0 and no
    gradient, whatever they are.
    """

    def chunk(query: Tensor, key: Tensor, start: int, stop: int) -> tuple[Tensor, Tensor]:
        logits = logits_of(query, key, scaling)
        seen = visible(start, stop).to(logits.device)
        own = query_block[:, start:stop]
        inside = ((relation or Relation()).relevant(own, key_block) | (own < 0)[..., None]).unsqueeze(1)
        some = seen.expand(logits.shape).any(-1, keepdim=True)
        masked = torch.where(seen, logits, -math.inf).where(some, 0.0)  # no row of -inf alone: its softmax is NaN
        weights = masked.softmax(-1).where(seen & some, 0.0)
        total = masked.logsumexp(-1)
        mean = (weights * logits.where(seen, 0.0)).sum(-1)
        return (total - mean).where(some.squeeze(-1), 0.0), weights.masked_fill(inside, 0.0).sum(-1)

    parts = [
        checkpoint(chunk, query[:, :, start:stop], key, start, stop, use_reentrant=False)
        for start, stop in chunks(query, key.shape[2], entries)
    ]
    entropy, leakage = zip(*parts)
    return torch.cat(entropy, 2), torch.cat(leakage, 2)
