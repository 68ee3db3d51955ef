"""What a head loses without some of its keys, beside the attention mass that they had (claims C2, C6).

    o - o_rest = m (mean removed - mean rest),  m = their mass:  ||o - o_rest|| <= m V           (theorem output_error)

o_rest renormalises what is left. Three ways to take keys away: `removed` gives their mass to the others, `silenced`
drops what they wrote and keeps all weights, `averaged` spreads their mass evenly over them, so that how much is read
stays and what is read does not. The theorem is of the first, of that layer's output alone; what the loss makes of it no
theorem says. A query left without any key writes nothing. Not covered: keys that a later layer reads in their place.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from empirical.observe.rows import Weigh, softmax
from empirical.shapes import Bool, Float

Way = Callable[[Tensor, Tensor], Tensor]  # (weights, mask of the keys taken away) -> weights


def removed(weights: Float[Tensor, "*rows N"], taken: Bool[Tensor, "*#rows N"]) -> Float[Tensor, "*rows N"]:
    """The others renormalised; all zero where there are none."""
    rest = weights.masked_fill(taken, 0.0)
    left = rest.sum(-1, keepdim=True)
    return torch.where(left > 0, rest / left, 0.0)


def silenced(weights: Float[Tensor, "*rows N"], taken: Bool[Tensor, "*#rows N"]) -> Float[Tensor, "*rows N"]:
    return weights.masked_fill(taken, 0.0)


def averaged(weights: Float[Tensor, "*rows N"], taken: Bool[Tensor, "*#rows N"]) -> Float[Tensor, "*rows N"]:
    """Their mass spread evenly over those of them that are seen (of positive weight)."""
    hit = taken & (weights > 0)
    mass = weights.where(hit, 0.0).sum(-1, keepdim=True)
    return torch.where(hit, mass / hit.sum(-1, keepdim=True).clamp_min(1), weights)


WAYS: dict[str, Way] = {"removed": removed, "silenced": silenced, "averaged": averaged}


def ablated(layer: int, head: int, taken: Bool[Tensor, "T N"], way: Way, temperature: float) -> Weigh:
    """What `forward` takes: one head of one layer without the keys, all others as they are."""

    def weigh(at: int, logits: Float[Tensor, "S H B T N"]) -> Float[Tensor, "S H B T N"]:
        weights = softmax(logits, temperature)
        if at != layer:
            return weights
        mine = torch.arange(weights.shape[1], device=weights.device)[:, None, None, None] == head
        return torch.where(mine, way(weights, taken), weights)

    return weigh


def output_rows(
    logits: Float[Tensor, "H B T N"],
    values: Float[Tensor, "H B N d"],
    taken: Bool[Tensor, "T N"],
    temperature: float,
    kappa: float = float("inf"),
) -> dict[str, Tensor]:
    """Fields of theorems `output_error` and `dial_segment`, one row a head, sequence and query.

    `leakage` is the mass of the keys taken; they are dialled away by kappa (inf: removed), `output_moved`; and
    `output_error` is what removing them wholly changes. A mean over no key is taken as zero: a row without any taken
    has leakage 0, one with nothing else has leakage 1, of which the theorems say nothing.
    """
    scaled = logits / temperature
    weights = scaled.softmax(-1)
    gone, kept = (scaled.where(side, -torch.inf) for side in (taken, ~taken))
    mass = weights.where(taken, 0.0).sum(-1)
    mass = torch.where(kept.isinf().all(-1), 1.0, mass)
    within, without = (side.softmax(-1).nan_to_num(0.0) @ values for side in (gone, kept))
    none = gone.isinf().all(-1, keepdim=True)
    whole = weights @ values
    turned = torch.where(taken, scaled - kappa, scaled).softmax(-1).nan_to_num(0.0)
    distance = torch.cdist(values, values, compute_mode="donot_use_mm_for_euclid_dist").amax((-2, -1)).unsqueeze(-1)
    return {
        "leakage": mass,
        "mean_gap": torch.where(none, 0.0, without - within).norm(dim=-1),
        "output_error": (whole - without).norm(dim=-1),
        "output_moved": (turned @ values - whole).norm(dim=-1),
        "observed_diameter": distance.expand(mass.shape),
        "value_diameter": distance.expand(mass.shape),
        "value_size": values.norm(dim=-1).amax(-1, keepdim=True).expand(mass.shape),
        "dial": torch.full_like(mass, kappa).neg().expm1().neg(),
    }
