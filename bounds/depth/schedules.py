"""Schedules beside the optimal one, each within the same drift budget (claim C13).

    sum_l A_l z_l <= B,   z_l = u_l min(1, s w_l):   w_l = (l/L)^beta, 1 (uniform); s as large as the budget allows
    last layers first is optimal for every budget if V_{l+1} <= V_l prod (1 + Lip_k) for all l, k between l and l + 1

A pure power keeps s w_l <= 1 in the last layer, so that no layer is clipped; the clipped family min(1, (l/l_0)^beta)
goes on from there, and its best l_0 is the one that spends the budget. Leakage removed is what is compared.
Source: arXiv:2511.18375, abstract, claim C13; derived here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import bounds.numbers.arguments as check
from bounds.depth.calculators import amplification, fill, schedule
from bounds.numbers.arguments import RealLike, Reals

POWERS = (1, 3, 5)
OPTIMUM, LAST, FIRST, UNIFORM = "optimum", "last layers first", "first layers first", "uniform"


@dataclass(frozen=True, eq=False)
class Layers:
    """L layers in order; sublayers that are not dialled, MLPs, count in `lipschitz` alone."""

    diameters: Reals  # (L,) V_l > 0: diameter of the values
    lipschitz: Reals  # (L s,) Lip_k >= 0 of every sublayer, s of them a layer, the dialled one first
    available: Reals  # (L,) u_l >= 0: leakage that can be dialled away

    def __post_init__(self) -> None:
        for name, allowed in (
            ("diameters", check.positive),
            ("lipschitz", check.non_negative),
            ("available", check.non_negative),
        ):
            values = allowed(name, getattr(self, name))
            if values.ndim != 1 or not values.size:
                raise check.reject(name, "one number a layer", f"shape {values.shape}")
            object.__setattr__(self, name, values)
        layers = len(self.diameters)
        if len(self.lipschitz) % layers:
            allowed = "one number a layer, or the same number of sublayers in each"
            raise check.reject("lipschitz", allowed, len(self.lipschitz), f" with {layers} diameters")
        if len(self.available) != layers:
            raise check.reject("available", "one number a layer", len(self.available), f" with {layers} diameters")
        if not self.available.any():
            raise check.reject("available", "positive in some layer", 0.0)

    @property
    def costs(self) -> Reals:
        """A_l = V_l prod_{k>l} (1 + Lip_k), k over all sublayers after the dialled one of layer l."""
        with np.errstate(over="ignore"):  # an infinite cost is refused by `schedule`
            return self.diameters * amplification(self.lipschitz)[:: len(self.lipschitz) // len(self.diameters)]

    @property
    def allowed(self) -> Reals:
        """(L-1,) V_l prod (1 + Lip_k) over the sublayers from there to layer l + 1: what V_{l+1} may be at most."""
        step, steps = len(self.lipschitz) // len(self.diameters), len(self.diameters) - 1
        between = (1 + self.lipschitz[1 : 1 + step * steps]).reshape(steps, step)
        with np.errstate(over="ignore"):
            return self.diameters[:-1] * between.prod(1)

    @property
    def late(self) -> NDArray[np.bool_]:
        """(L-1,) where the condition of `late_layers` holds: layer l + 1 costs no more than layer l."""
        return self.diameters[1:] <= self.allowed


@dataclass(frozen=True, eq=False)
class Way:
    """One schedule within the budget."""

    name: str
    allocation: Reals  # (L,) leakage removed in each layer
    removed: float  # its sum
    share: float  # of what the optimum removes
    drift: float  # sum A_l z_l, at most the budget
    scale: float | None = None  # s of u_l min(1, s w_l); None where layers are filled in turn
    knee: float | None = None  # l_0, from which the clipped family removes all there is; beyond L: nothing is clipped


def largest_scale(price: Reals, shape: Reals, budget: float) -> float:
    """Largest s at which sum_l price_l min(1, s shape_l) <= budget; inf where the budget buys everything.

    The sum is the least of its L + 1 lines over sets of the steepest layers clipped: the largest root of a line is s.
    `price` (L,) >= 0 and `shape` (L,) > 0.
    """
    if price.sum() <= budget:
        return np.inf
    order = np.argsort(-shape, kind="stable")
    clipped = np.r_[0.0, np.cumsum(price[order])[:-1]]
    slope = np.cumsum((price * shape)[order][::-1])[::-1]
    usable = slope > 0
    return float(((budget - clipped[usable]) / slope[usable]).max())


def compare(layers: Layers, budget: RealLike, powers: Sequence[float] = POWERS) -> list[Way]:
    """The optimum, last, first and all layers alike, pure powers of the depth, and the clipped family.

    Raises BadInput for a budget that is not positive.
    """
    costs, available = layers.costs, layers.available
    best = schedule(costs, available, budget)
    most, order = float(np.asarray(budget, np.float64)), np.arange(len(costs))
    price, depth = costs * available, (order + 1) / len(costs)

    def way(name: str, allocation: Reals, scale: float | None = None, knee: float | None = None) -> Way:
        removed = float(allocation.sum())
        return Way(name, allocation, removed, removed / float(best.sum()), float(costs @ allocation), scale, knee)

    ways = [
        way(OPTIMUM, best),
        way(LAST, fill(order[::-1].copy(), costs, available, np.asarray(most))),
        way(FIRST, fill(order, costs, available, np.asarray(most))),
    ]
    for name, shape in ((UNIFORM, np.ones_like(depth)), *((f"(l/L)^{beta:g}", depth**beta) for beta in powers)):
        scale = min(1.0, most / float(price @ shape))
        ways.append(way(name, available * scale * shape, scale))
    for beta in powers:
        shape = depth**beta
        scale = min(largest_scale(price, shape, most), float(1 / shape[0]))  # from there on every layer is clipped
        knee = len(depth) * scale ** (-1 / beta)
        ways.append(way(f"clipped, beta {beta:g}", available * np.minimum(1, scale * shape), scale, knee))
    return ways
