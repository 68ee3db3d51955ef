"""What dialling layers costs at the output, and how to share a drift budget out among them (claims C6, C13).

    drift <= sum_l e_l prod_{k>l} (1 + Lip_k),   A_l = V_l prod_{k>l} (1 + Lip_k): drift a unit of leakage
    most leakage removed under a drift budget B: ascending A_l, at most one layer in part (fractional knapsack)

The last axis holds the layers, first to last. Source: arXiv:2511.18375, abstract, claim C13; derived here.
"""

from __future__ import annotations

from fractions import Fraction
from math import inf, nextafter

import numpy as np
from numpy.typing import NDArray

import bounds.numbers.arguments as check
from bounds.depth import closed_forms
from bounds.numbers.arguments import RealLike, Reals, Value, VectorLike
from bounds.rigour.enclosed import enclosable

__all__ = ["drift_bound", "layer_costs", "schedule"]


def amplification(lipschitz: Reals) -> Reals:
    """prod_{k>l} (1 + Lip_k) for each layer l: how an error of layer l grows until the output; 1 for the last."""
    growth = closed_forms.growth(np.asarray(lipschitz, np.float64))
    after = np.cumprod(growth[..., ::-1], axis=-1)[..., ::-1]
    return np.asarray(np.concatenate([after[..., 1:], np.ones_like(growth[..., :1])], axis=-1), np.float64)


def drift(errors: Reals, lipschitz: Reals) -> Reals:
    """`drift_bound`, unchecked: d <- d (1 + Lip_l) + e_l through the layers, where 0 stays 0 whatever follows."""
    e, growth = np.asarray(errors, np.float64), closed_forms.growth(np.asarray(lipschitz, np.float64))
    drifted = np.zeros(())
    for layer in range(e.shape[-1]):
        drifted = drifted * growth[..., layer] + e[..., layer]
    return np.asarray(drifted)


def knapsack_optimum(costs: Reals, available: Reals, budget: Reals) -> Reals:
    """min over mu in {0, 1/A_1, ..., 1/A_L} of mu B + sum_k u_k (1 - mu A_k)^+, unchecked."""
    costs, available = np.asarray(costs, np.float64), np.asarray(available, np.float64)
    multipliers = np.concatenate([np.zeros_like(costs[..., :1]), 1 / costs], axis=-1)
    gains = closed_forms.layer_gain(multipliers[..., :, None], costs[..., None, :], available[..., None, :])
    return (multipliers * np.asarray(budget)[..., None] + gains.sum(-1)).min(-1)


def fill(order: NDArray[np.int64], costs: Reals, available: Reals, budget: Reals) -> Reals:
    """Leakage taken from each layer when the layers are filled in the given order until the budget is spent."""
    cost, room = (np.take_along_axis(a, order, -1) for a in check.together(costs, available))
    spent = np.cumsum(cost * room, -1)[..., :-1]  # before each layer but the first: subtracting its own price cancels
    left = np.maximum(np.asarray(budget)[..., None] - np.concatenate([np.zeros_like(cost[..., :1]), spent], -1), 0.0)
    taken = np.minimum(room, left / cost)
    allocation = np.empty_like(taken)
    np.put_along_axis(allocation, order, taken, -1)
    return allocation


def _layers(name: str, values: RealLike, zero: bool) -> Reals:
    array = check.non_negative(name, values) if zero else check.positive(name, values)
    if array.ndim == 0 or array.shape[-1] == 0:
        raise check.reject(name, "an array whose last axis holds the layers", f"shape {array.shape}")
    return array


@enclosable
def drift_bound(errors: VectorLike, lipschitz: VectorLike) -> Value:
    """sum_l e_l prod_{k>l} (1 + Lip_k): the output's drift at most.

    `errors`: what dialling changes in each layer's output, along the dialled trajectory; `lipschitz`: of the original
    layers, on the pairs of states that occur; one norm of a whole sequence throughout. Raises BadInput for a negative
    or infinite entry.
    """
    e, lip = check.together(_layers("errors", errors, True), _layers("lipschitz", lipschitz, True))
    return check.result(drift(e, lip))


@enclosable
def layer_costs(diameters: RealLike, lipschitz: RealLike) -> Reals:
    """A_l = V_l prod_{k>l} (1 + Lip_k): drift at the output for a unit of leakage dialled away in layer l."""
    v, lip = check.together(_layers("diameters", diameters, True), _layers("lipschitz", lipschitz, True))
    with np.errstate(invalid="ignore"):  # a layer whose values are one point costs nothing, whatever follows
        return np.where(v > 0, v * amplification(lip), 0.0)


def schedule(costs: RealLike, available: RealLike, budget: RealLike) -> Reals:
    """The optimal allocation: leakage to remove in each layer, ascending cost first, at most one layer in part.

    `costs` > 0 per unit of leakage (`layer_costs`), `available` leakage of each layer, `budget` > 0: drift allowed. The
    exact price of the allocation is within it: the layer in part has the largest float64 that is.
    Raises BadInput for a budget that is not positive, a cost of 0 or a negative leakage.
    """
    a, u = check.together(_layers("costs", costs, False), _layers("available", available, True))
    order, allowed = np.argsort(a, axis=-1, kind="stable"), check.positive("budget", budget)
    rows = check.together(a[..., 0], allowed)[0].shape
    costs, available, order = (np.broadcast_to(v, (*rows, a.shape[-1])) for v in (a, u, order))
    taken, allowed = np.zeros(costs.shape), np.broadcast_to(allowed, rows)
    for at in np.ndindex(rows):
        left = Fraction(float(allowed[at]))
        for layer in ((*at, int(place)) for place in order[at]):
            cost, room = (Fraction(float(v[layer])) for v in (costs, available))
            if cost * room > left:
                taken[layer] = _below(left / cost)
                break
            taken[layer], left = room, left - cost * room
    return taken


def _below(value: Fraction) -> float:
    """The largest float64 that is no more."""
    near = float(value)
    return near if Fraction(near) <= value else nextafter(near, -inf)
