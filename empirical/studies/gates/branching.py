"""The largest rate over all gates, proved: boxes of gates are cut where their enclosures promise most.

    level = max over layers l of sup { rate_c(s): c a gate of l, gates of deeper layers 0 }

Above it no stationary point but the mask has an open gate (in its last open layer some rate is at least the penalty:
`gate_self_check`), and the mask is a global minimiser: lambda_glob <= level, as (L(0) - L(s))/Omega(s) is a mean of
such rates (`gate_staircase`). Boxes are even in ln(1 + s R), R the largest odds of the layer at the mask: rows open one
by one over that many nats. Shallow gates move all that is deeper, and are cut first.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from empirical.shapes import Float
from empirical.studies.gates.enclosed_model import Enclosed, Rates

AT_ONCE = 16  # boxes that are enclosed together
SHALLOW = 4.0  # how much longer the side of a gate counts than that of one a layer deeper


@dataclass(frozen=True)
class Proved:
    """Upper bounds that hold for every s, and the largest rate that was met at a single point."""

    level: float  # of rates of gates
    pair: float  # N max <-g_i, v_j - o_in,i>: level A* of single pairs
    norm: float  # N ||g_i|| V_i: level A
    met: float
    boxes: int


@dataclass
class _Boxes:
    """Boxes of gates of the layers up to one, in the coordinates that they are cut in."""

    low: Float[Tensor, "C D"]
    high: Float[Tensor, "C D"]
    bounds: Float[Tensor, "C 3"]  # of gate, pair, norm

    def __len__(self) -> int:
        return len(self.low)


def proved_level(
    enclosed: Enclosed, odds: Float[Tensor, "L"], *, tolerance: float = 0.1, most: int = 2000, layers: int | None = None
) -> Proved:
    """Until the bound is within `tolerance` of a rate that was met, or after `most` boxes a layer.

    `layers`: how many open at all, the first of them; by default all.
    """
    depth = enclosed.config.model.layers if layers is None else layers
    found = [_of_layer(enclosed, odds, layer, tolerance, most) for layer in range(depth)]
    largest = {name: max(getattr(one, name) for one in found) for name in ("level", "pair", "norm", "met")}
    return Proved(**largest, boxes=sum(one.boxes for one in found))


def _of_layer(enclosed: Enclosed, odds: Tensor, layer: int, tolerance: float, most: int) -> Proved:
    width = enclosed.gates_a_layer * (layer + 1)
    reach = odds[: layer + 1].clamp(min=1.0).repeat_interleave(enclosed.gates_a_layer)

    def rates(low: Tensor, high: Tensor) -> Float[Tensor, "C 3"]:
        least, most = (torch.expm1(x * reach.log1p()).div(reach).clamp(0, 1) for x in (low, high))
        parts = zip(enclosed.spread(least).split(AT_ONCE), enclosed.spread(most).split(AT_ONCE))
        return torch.cat([_bounds(enclosed.rates(*part, layer)) for part in parts])

    low, high = torch.zeros(1, width).double(), torch.ones(1, width).double()
    boxes = _Boxes(low, high, rates(low, high))
    met, taken = float(rates(low, low)[:, 0].max()), 1  # at the mask, the critical penalty
    while taken < most:
        order = boxes.bounds[:, 0].argsort(descending=True)
        if float(boxes.bounds[order[0], 0]) <= max(0.0, met) * (1 + tolerance):
            break
        chosen, rest = order[:AT_ONCE], order[AT_ONCE:]
        middle = (boxes.low[chosen] + boxes.high[chosen]) / 2
        met = max(met, float(rates(middle, middle)[:, 0].max()))
        low, high = _cut(boxes.low[chosen], boxes.high[chosen], enclosed.gates_a_layer)
        bounds = rates(low, high).minimum(boxes.bounds[chosen].repeat(2, 1))
        boxes = _Boxes(
            torch.cat([boxes.low[rest], low]),
            torch.cat([boxes.high[rest], high]),
            torch.cat([boxes.bounds[rest], bounds]),
        )
        taken += len(low)
    level, pair, norm = boxes.bounds.amax(0).clamp(min=0).tolist()
    return Proved(level, pair, norm, met, taken)


def _bounds(found: Rates) -> Float[Tensor, "C 3"]:
    return torch.stack([found.gate.amax(-1), found.pair, found.norm], -1).nan_to_num(nan=torch.inf, posinf=torch.inf)


def _cut(low: Float[Tensor, "C D"], high: Float[Tensor, "C D"], gates_a_layer: int) -> tuple[Tensor, Tensor]:
    """Both halves of every box, along its longest side."""
    layer = torch.arange(low.shape[-1]) // gates_a_layer
    along = ((high - low) * SHALLOW ** -layer.double()).argmax(-1, keepdim=True)
    middle = (low + high) / 2
    left = high.scatter(-1, along, middle.gather(-1, along))
    right = low.scatter(-1, along, middle.gather(-1, along))
    return torch.cat([low, right]), torch.cat([left, high])
