"""How large the penalty must be for cross blocks to vanish: level A (worst case), B (leakage-aware), C (products), D
(critical), E (a witness from below), and how many plain proximal steps it takes.

    loss + lambda sum over b != c of ||W_bc||_F   (not squared; the loss is the mean over queries)
    level A = (G V X_b p_b / tau) min(D_c/4, X_c/2);   level B = (G V X_b p_b / tau) min(D_c/4, X_c phi(leakage))
    steps to zero = ceil(||W_bc(0)|| / (eta (lambda - g)))

Levels A and B hold at every parameter only if G bounds the per-query gradient at every parameter.
Source: arXiv:2510.09338v2, abstract, claim C3; derived here.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

import bounds.numbers.arguments as check
from bounds.concentration.inverse import Reals
from bounds.numbers.search import answer
from bounds.penalty import closed_forms
from bounds.rigour.enclosed import enclosable

__all__ = [
    "critical_penalty",
    "global_penalty_witness",
    "penalty_threshold_leakage_aware",
    "penalty_threshold_mean_of_products",
    "penalty_threshold_worst_case",
    "steps_to_zero",
]


def _level_arguments(
    gradient_bound: ArrayLike,
    value_diameter: ArrayLike,
    query_norm: ArrayLike,
    key_norm: ArrayLike,
    key_diameter: ArrayLike,
    query_share: ArrayLike,
    temperature: ArrayLike,
) -> tuple[Reals, ...]:
    return (
        check.non_negative("gradient_bound", gradient_bound),
        check.non_negative("value_diameter", value_diameter),
        check.non_negative("query_norm", query_norm),
        check.non_negative("key_norm", key_norm),
        check.non_negative("key_diameter", key_diameter),
        check.unit_closed("query_share", query_share),
        check.positive("temperature", temperature),
    )


@enclosable
def penalty_threshold_worst_case(
    gradient_bound: ArrayLike,
    value_diameter: ArrayLike,
    query_norm: ArrayLike,
    key_norm: ArrayLike,
    key_diameter: ArrayLike,
    query_share: ArrayLike = 1.0,
    temperature: ArrayLike = 1.0,
) -> Any:
    """Level A: above it every stationary point has the cross block at zero.

    G bounds the norm of a query's loss gradient at the head's output, V the diameter of the values; X_b and X_c bound
    the norms of a query's and a key's block features, D_c is the diameter of the key features over all visible keys
    (0 counted where a key has none), p_b the share of queries in the block. Raises ValueError for a negative bound.
    """
    arguments = _level_arguments(
        gradient_bound, value_diameter, query_norm, key_norm, key_diameter, query_share, temperature
    )
    return check.result(closed_forms.worst_case(*np.broadcast_arrays(*arguments)))


@enclosable
def penalty_threshold_leakage_aware(
    gradient_bound: ArrayLike,
    value_diameter: ArrayLike,
    query_norm: ArrayLike,
    key_norm: ArrayLike,
    key_diameter: ArrayLike,
    query_share: ArrayLike = 1.0,
    temperature: ArrayLike = 1.0,
    *,
    leakage: ArrayLike,
    of: str = "each",
) -> Any:
    """Level B: the bound on the block's gradient while little attention is on keys with features x^(c).

    `of="each"`: no query of the block leaks more than `leakage` (for queries one by one, average the levels).
    `of="mean"`: `leakage` is the mean over the block's queries, and the concave majorant of phi takes phi's place.
    Raises ValueError for a leakage outside [0, 1] or another `of`.
    """
    if of not in ("each", "mean"):
        raise check.reject("of", "'each' or 'mean'", repr(of))
    arguments = _level_arguments(
        gradient_bound, value_diameter, query_norm, key_norm, key_diameter, query_share, temperature
    )
    level = closed_forms.leakage_aware if of == "each" else closed_forms.leakage_aware_mean
    return check.result(level(*np.broadcast_arrays(*arguments, check.unit_closed("leakage", leakage))))


@enclosable
def penalty_threshold_mean_of_products(
    gradient_bounds: ArrayLike,
    value_diameters: ArrayLike,
    key_diameters: ArrayLike,
    query_norms: ArrayLike,
    temperature: ArrayLike = 1.0,
) -> Any:
    """Level C: mean over all queries of G_i V_i D_ic ||x_i^(b)|| / (4 tau).

    The last axis holds *all* queries, with query norm 0 for those of other blocks; `temperature` broadcasts against the
    axes before it. With suprema over all parameters it is a threshold; measured at one point it is a local estimate.
    """
    gradients, values, queries, keys = np.broadcast_arrays(
        check.non_negative("gradient_bounds", gradient_bounds),
        check.non_negative("value_diameters", value_diameters),
        check.non_negative("query_norms", query_norms),
        check.non_negative("key_diameters", key_diameters),
    )
    if queries.ndim == 0 or queries.shape[-1] == 0:
        raise check.reject("query_norms", "an array whose last axis holds the queries", f"shape {queries.shape}")
    tau = check.positive("temperature", temperature)
    return check.result(closed_forms.product(gradients, values, queries, keys, tau[..., None]).mean(-1))


@enclosable
def critical_penalty(gradient_norms: ArrayLike, axis: int | tuple[int, ...] | None = None) -> Any:
    """Level D: the largest ||grad_bc|| over the cross blocks at an in-block optimum with the cross blocks held at zero.

    Above it that solution is a local minimum of the penalised problem; below it the next proximal step leaves it.
    """
    norms = check.non_negative("gradient_norms", gradient_norms)
    if norms.size == 0:
        raise check.reject("gradient_norms", "at least one norm", "none")
    return check.result(norms.max(axis=axis))


@enclosable
def global_penalty_witness(loss_localised: ArrayLike, loss: ArrayLike, group_norms: ArrayLike) -> Any:
    """Level E from below: the localised point is a global minimiser only if lambda >= (L_loc - L(W)) / sum ||W_bc||.

    `loss_localised` is the least loss with every cross block zero; the last axis of `group_norms` holds the cross
    blocks of W. 0 where W is no better than localised, or has no cross block and so is no witness.
    """
    gain = np.asarray(check.finite("loss_localised", loss_localised) - check.finite("loss", loss))
    total = np.atleast_1d(check.non_negative("group_norms", group_norms)).sum(-1)
    gain, total = np.broadcast_arrays(gain, total)
    return check.result(np.divide(np.maximum(gain, 0), total, out=np.zeros(total.shape), where=total > 0))


def predicted_steps(group_norm: Reals, penalty: Reals, gradient_bound: Reals, step: Reals) -> Reals:
    """Steps to zero as float64, inf where lambda <= g, unchecked. In fractions where rounding could hide a step."""
    norm, penalty, bound, step = np.broadcast_arrays(group_norm, penalty, gradient_bound, step)
    above = np.asarray(penalty > bound)
    with np.errstate(all="ignore"):
        ratio = np.asarray(closed_forms.steps(norm, penalty, bound, step))
        near = above & (ratio < 2.0**53) & (np.abs(ratio - np.rint(ratio)) <= 1e-15 * np.abs(ratio))
    count = np.where(above, np.ceil(ratio), np.inf)
    for at in map(tuple, np.argwhere(near)):
        room = Fraction(float(step[at])) * (Fraction(float(penalty[at])) - Fraction(float(bound[at])))
        count[at] = ceil(Fraction(float(norm[at])) / room)
    return count


@enclosable
def steps_to_zero(group_norm: ArrayLike, penalty: ArrayLike, gradient_bound: ArrayLike, step: ArrayLike) -> Any:
    """Plain proximal steps after which the group is exactly zero, for good: ceil(||W_bc(0)|| / (eta (lambda - g))).

    g bounds ||grad_bc|| along the whole way. An int, or Unreachable where lambda <= g; arrays give `Solutions`.
    It is false with Nesterov momentum. Raises ValueError for a negative norm or a step that is not positive.
    """
    norm, bound = check.non_negative("group_norm", group_norm), check.non_negative("gradient_bound", gradient_bound)
    penalty, step = check.non_negative("penalty", penalty), check.positive("step", step)
    steps = predicted_steps(norm, penalty, bound, step)
    return answer(
        steps,
        (penalty <= bound, "the penalty does not exceed the gradient bound, so a step need not shrink the group"),
        (~np.isfinite(steps), "more steps than a float64 can count"),
        whole=True,
    )
