"""What one attention row shows: leakage, fidelity, entropy, margin, range, each to relative accuracy in float64.

    a = softmax(s / tau) over visible keys;  leakage = sum of a outside the query's block;  F = sum of a inside
    H = ln(1 + sum of the other weights) + sum a z,  z = (max s - s) / tau  (terms >= 0: no cancellation, no 0 * inf)

A key of weight zero (logit -inf) is not seen: the theorems speak of the row that is left. A row is `valid` if it sums
to one and sees its own block and something outside; a theorem says nothing about the others. It is `unknown` where a
logit is NaN or +inf: what overflowed decides nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import FunctionType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bounds.dial import closed_forms
from empirical.errors import BadInput
from empirical.observe.relevance import Relation
from empirical.shapes import Bool, Float

Weigh = Callable[[int, Tensor], Tensor]
"""(layer, logits) -> weights, both (S, H, B, T, N); the plain ones are softmax(logits / tau)."""


def softmax(logits: Float[Tensor, "*batch keys"], temperature: float) -> Float[Tensor, "*batch keys"]:
    return (logits if temperature == 1 else logits / temperature).softmax(-1)


_BIAS = FunctionType(closed_forms.dial_bias.__code__, {"numpy": math})
"""The printed form, in Python's own arithmetic: NumPy's log1p may differ by its last digit."""


def dial_bias(dial: float, temperature: float) -> float:
    """What the dial adds to a logit outside the block, before the division by tau: tau ln(1 - dial)."""
    return _BIAS(dial, temperature) if dial < 1 else -math.inf


def _top(logits: Tensor, where: Tensor) -> Tensor:
    """The largest of some; of the others none may be +inf."""
    return (logits + _barred(where, logits)).amax(-1)


def _barred(where: Tensor, like: Tensor) -> Tensor:
    """0 at some, -inf at the others: to add this takes half the time of choosing."""
    return torch.where(where, 0.0, -math.inf).to(like)


def _count(where: Tensor, shape: torch.Size) -> Tensor:
    """Keys of every row, of a mask that broadcasts to the shape."""
    where = where if where.ndim and where.shape[-1] == shape[-1] else where.expand(*where.shape[:-1], shape[-1])
    return where.sum(-1).expand(shape[:-1]).contiguous()


def masses(scaled: Tensor, *groups: Tensor) -> list[Tensor]:
    """Softmax mass of each group of keys; `scaled` is s/tau with -inf at keys not seen."""
    weights = _Weights(scaled)
    return [weights.mass(group) for group in groups]


def entropy(scaled: Tensor) -> Tensor:
    """Entropy in nats: the largest weight is 1, and log1p takes the sum of the others."""
    return _Weights(scaled).entropy()


class _Weights:
    """Softmax weights of rows s/tau, before they are divided by their sum: the largest of each is 1, and kept apart."""

    def __init__(self, scaled: Float[Tensor, "*rows keys"]):
        top, self.first = scaled.max(-1, keepdim=True)
        self.top = top.squeeze(-1)
        self.drop = (top - scaled).clamp_(max=FAR)  # so that nothing, times the drop of a key not seen, is nothing
        self.others = (-self.drop).exp_().scatter_(-1, self.first, 0.0)
        self.total = self.others.sum(-1)  # to its own relative accuracy, however small

    def mass(self, group: Bool[Tensor, "..."]) -> Float[Tensor, "*rows"]:
        leads = group.expand(self.others.shape).gather(-1, self.first).squeeze(-1)
        return ((self.others * group).sum(-1) + leads) / (1 + self.total)

    def entropy(self) -> Float[Tensor, "*rows"]:
        return self.total.log1p() + (self.others * self.drop).sum(-1) / (1 + self.total)

    def lse(self) -> Float[Tensor, "*rows"]:
        return self.top + self.total.log1p()


FAR = 800.0
"""Nats below the largest logit at which a weight is 0 in float64: e^-746 is."""
FAINT = 1e-290
"""A leakage of fewer digits than float64 has, or of none: its logarithm is that of sums of its own."""


@torch.no_grad()
def row_statistics(
    logits: Float[Tensor, "*rows keys"],
    in_block: Bool[Tensor, "..."],
    visible: Bool[Tensor, "..."],
    n_anchors: int | None,
    temperature: float,
    anchor: Bool[Tensor, "..."] | None = None,
    dial: float | None = 0.5,
    kept: Bool[Tensor, "..."] | None = None,
    cut: bool = False,
) -> dict[str, Tensor]:
    """The row fields of every query.

    `in_block` (relevant keys), `visible`, `anchor` (anchor keys) and `kept` (those relevant to all) broadcast to
    `logits`; `n_anchors` None means the whole block.
    `margin` is the r-th largest in-block logit minus the largest outside, r = n_anchors clipped to the block's visible
    keys; `margin` and `logit_range` are in logits, not divided by the temperature. `anchor_mass` is the part of the
    fidelity that the query's own anchors hold. `leakage_dialled` is recomputed from the logits with the dial's bias,
    and NaN without a dial.
    With `cut`, visible keys outside that all have logit -inf are those that a dial of 1 took away: they count in n with
    a weight of 0, the margin is infinite, and the range is that of what is left.
    """
    logits = logits.double()
    shape, seen, lowest = logits.shape, visible, (logits - _barred(visible, logits)).amin(-1)
    if not (lowest > -math.inf).all():
        seen = visible & (logits != -math.inf)  # NaN, of a row that is unknown, is counted
        lowest = logits.where(seen, math.inf).amin(-1)
    inside, outside = seen & in_block, seen & ~in_block
    n, m, k = (_count(mask, shape) for mask in (seen, inside, outside))
    if cut and seen is not visible:
        gone = _count(visible & ~in_block, shape).where(k == 0, 0)
        n, k = n + gone, k + gone
    masked = logits + _barred(seen, logits)  # NaN where the logit is +inf, seen or not
    scaled = masked if temperature == 1 else masked / temperature
    weights = _Weights(scaled)
    finite = ~(weights.top.isnan() | (weights.top == math.inf))
    valid = finite & (m > 0) & (k > 0)
    r = m if n_anchors is None else m.clamp(max=n_anchors)
    fidelity, leakage = weights.mass(inside), weights.mass(outside)
    blank, zero = ~(finite & (n > 0)), torch.zeros_like(fidelity)
    best, rival = _weakest(masked, inside, r, n_anchors), _top(masked, outside)
    fields = {
        "entropy_nats": weights.entropy(),
        "fidelity": fidelity,
        "leakage": leakage,
        "log_leakage": _log_leakage(weights, scaled, outside, fidelity, leakage),
        "margin": (best - rival).masked_fill(~valid, math.nan),
        "logit_range": masked.amax(-1) - lowest,
        "anchor_mass": zero if anchor is None else weights.mass(inside & anchor),
        "kept_mass": zero if kept is None else weights.mass(inside & kept),
        "leakage_dialled": zero + math.nan if dial is None else _dialled(scaled, in_block, outside, dial),
    }
    return {
        **{name: value.masked_fill(blank, math.nan) for name, value in fields.items()},
        "n_keys": n,
        "n_block": m,
        "n_anchors": r,
        "valid": valid,
        "unknown": ~finite,
    }


def _weakest(masked: Tensor, inside: Tensor, r: Tensor, n_anchors: int | None) -> Tensor:
    """The least logit of the r best keys of the block."""
    if n_anchors is None:
        return masked.where(inside, math.inf).amin(-1)
    if n_anchors == 1:
        return _top(masked, inside)
    highest = masked.where(inside, -math.inf).topk(min(n_anchors, masked.shape[-1]), -1).values  # descending
    return highest.gather(-1, (r - 1).clamp(min=0).unsqueeze(-1)).squeeze(-1)


def _log_leakage(weights: _Weights, scaled: Tensor, outside: Tensor, fidelity: Tensor, leakage: Tensor) -> Tensor:
    found = torch.where(leakage > 0.5, (-fidelity).log1p(), leakage.log())
    faint = leakage < FAINT
    if faint.any():
        found[faint] = lse(scaled[faint], outside.expand(scaled.shape)[faint]) - weights.lse()[faint]
    return found


def _dialled(scaled: Tensor, in_block: Tensor, outside: Tensor, dial: float) -> Tensor:
    """The leakage with the dial's bias on the logits outside."""
    bias = torch.where(in_block, 0.0, scaled.new_tensor(dial_bias(dial, 1.0)))
    return masses(scaled + bias, outside)[0]


def lse(scaled: Tensor, where: Tensor) -> Tensor:
    return scaled.where(where, -math.inf).logsumexp(-1)


def _tensor(name: str, value: Any) -> Tensor:
    try:
        return value.detach().cpu() if isinstance(value, Tensor) else torch.as_tensor(np.asarray(value))
    except (TypeError, ValueError, RuntimeError):
        raise BadInput(f"{name} must be a numeric array, got {type(value).__name__}") from None


def _labels(name: str, value: Any, size: int, lead: torch.Size) -> Tensor:
    labels = _tensor(name, value)
    if labels.ndim == 0 or labels.shape[-1] != size or labels.is_floating_point():
        shape = tuple(labels.shape)
        raise BadInput(f"{name} must be whole numbers, one each of {size}, got shape {shape} of {labels.dtype}")
    try:
        return labels.long().expand(*lead, size)
    except RuntimeError:
        raise BadInput(f"{name} must broadcast to {(*lead, size)}, got shape {tuple(labels.shape)}") from None


def _seen(visible: Any, shape: tuple[int, ...]) -> Tensor:
    seen = torch.ones((), dtype=torch.bool) if visible is None else _tensor("visible", visible).bool()
    try:
        return seen.expand(shape)
    except RuntimeError:
        raise BadInput(f"visible must broadcast to {shape}, got shape {tuple(seen.shape)}") from None


def _rows_sum_to_one(weights: Tensor, original: torch.dtype) -> Tensor:
    """Rounding each weight to its dtype moves the sum by at most eps/2; twice eps allows for how it was summed."""
    room = max(1e-5, 2 * torch.finfo(original).eps) if original.is_floating_point else 1e-5
    return (weights.sum(-1) - 1).abs() <= room


def observe_attention(
    weights_or_logits: Any,
    query_block: Any,
    key_block: Any,
    *,
    kind: str = "logits",
    visible: Any = None,
    n_anchors: int | None = 1,
    temperature: float = 1.0,
    dial: float = 0.5,
    relation: Relation | None = None,
) -> dict[str, np.ndarray]:
    """The row fields, dims (setting, layer, head, query), of anybody's attention (..., queries, keys).

    Up to three leading axes; numpy or torch, float16 to float64. `query_block` (..., queries) and `key_block`
    (..., keys) name the blocks by whole numbers, below 0 none; `relation` says which of them a query may see, by
    default its own. Logits are those before the division by `temperature`; weights stand for the logits
    temperature * ln(weight), and a row of weights that does not sum to one is not valid. `visible`
    (..., queries, keys) is by default every key of finite logit or positive weight.
    Raises BadInput for another shape, NaN, a logit of +inf, a negative weight, a temperature or dial out of range.
    """
    given = _tensor("weights_or_logits", weights_or_logits)
    if not 2 <= given.ndim <= 5 or 0 in given.shape:
        raise BadInput(
            f"weights_or_logits must have shape (setting, layer, head, queries, keys), the first three optional and "
            f"none empty, got {tuple(given.shape)}"
        )
    if kind not in ("logits", "weights"):
        raise BadInput(f"kind must be 'logits' or 'weights', got {kind!r}")
    if not (temperature > 0 and math.isfinite(temperature)):
        raise BadInput(f"temperature must be a finite number > 0, got {temperature!r}")
    if not 0 <= dial <= 1:
        raise BadInput(f"dial must be in [0, 1], got {dial!r}")
    if n_anchors is not None and not n_anchors >= 1:
        raise BadInput(f"n_anchors must be a whole number >= 1, got {n_anchors!r}")
    values = given.double()
    allowed = "free of NaN and +inf" if kind == "logits" else "free of NaN and in [0, 1]"
    bad = values.isnan() | (values == math.inf) | ((kind == "weights") & ((values < 0) | (values > 1.01)))
    if bad.any():
        raise BadInput(
            f"weights_or_logits must be {allowed}, got {values[bad][0].item()} at {bad.nonzero()[0].tolist()}"
        )
    shape = (1,) * (5 - values.ndim) + tuple(values.shape)
    lead = torch.Size(shape[:3])
    queries = _labels("query_block", query_block, shape[3], lead)
    keys, relation = _labels("key_block", key_block, shape[4], lead), relation or Relation()
    seen = _seen(visible, shape)
    values = values.reshape(shape)
    logits = temperature * values.log() if kind == "weights" else values
    kept = relation.is_kept(keys).unsqueeze(-2) if relation.kept else None
    fields = row_statistics(
        logits, relation.relevant(queries, keys), seen, n_anchors, temperature, dial=dial, kept=kept
    )
    if kind == "weights":
        fields["valid"] &= _rows_sum_to_one(values.where(seen, 0.0), given.dtype)
    per_setting = {"temperature": np.full(shape[0], float(temperature)), "dial": np.full(shape[0], float(dial))}
    labels = _tensor("query_block", query_block) if np.ndim(query_block) == 1 else queries
    return {**{k: v.numpy() for k, v in fields.items()}, "query_block": labels.numpy(), **per_setting}
