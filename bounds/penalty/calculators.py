"""How large the penalty must be for cross blocks to vanish: level A (worst case), B (leakage-aware), C (products), D
(critical), E (a witness from below), and how many plain proximal steps it takes.

    loss + lambda sum over b != c of ||W_bc||_F   (not squared; the loss is the mean over queries)
    level A = (G V X_b p_b / tau) min(D_c/4, X_c/2);   level B = (G V X_b p_b / tau) min(D_c/4, X_c phi(leakage))
    steps to zero = ceil(||W_bc(0)|| / (eta (lambda - g)))

Levels A and B hold at every parameter only if G bounds the per-query gradient at every parameter. Every threshold is on
the safe side of its exact value (`bounds.numbers.search`), level E's witness below it, all others above.
Source: arXiv:2510.09338v2, abstract, claim C3; derived here.
"""

# Of a lambda that intervals go through, a type checker knows nothing.
# pyright: reportUnknownLambdaType=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import numpy as np

import bounds.numbers.arguments as check
from bounds.numbers.arguments import RealLike, Reals, Value, VectorLike
from bounds.numbers.search import Solutions, Unreachable, answer, moved, on_intervals, outward, rounded
from bounds.penalty import closed_forms
from bounds.rigour.enclosed import enclosable

__all__ = [
    "adam_threshold",
    "critical_penalty",
    "global_penalty_ceiling",
    "global_penalty_dual",
    "global_penalty_witness",
    "penalty_threshold_cauchy_schwarz",
    "penalty_threshold_factorised",
    "penalty_threshold_leakage_aware",
    "penalty_threshold_mean_of_products",
    "penalty_threshold_worst_case",
    "steps_to_zero",
]


ULPS = 16
"""Outwards, of a level: it is of at most eleven roundings, and of sqrt(2) less 1 and less 3/2, which cost six ulp."""


def _level_arguments(
    gradient_bound: RealLike,
    value_diameter: RealLike,
    query_norm: RealLike,
    key_norm: RealLike,
    key_diameter: RealLike,
    query_share: RealLike,
    temperature: RealLike,
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
    gradient_bound: RealLike,
    value_diameter: RealLike,
    query_norm: RealLike,
    key_norm: RealLike,
    key_diameter: RealLike,
    query_share: RealLike = 1.0,
    temperature: RealLike = 1.0,
) -> Value:
    """Level A: above it every stationary point has the cross block at zero.

    G bounds the norm of a query's loss gradient at the head's output, V the diameter of the values; X_b and X_c bound
    the norms of a query's and a key's block features, D_c is the diameter of the key features over all visible keys
    (0 counted where a key has none), p_b the share of queries in the block. Raises BadInput for a negative bound.
    """
    arguments = _level_arguments(
        gradient_bound, value_diameter, query_norm, key_norm, key_diameter, query_share, temperature
    )
    return check.result(outward(closed_forms.worst_case, True, ULPS, *check.together(*arguments)))


@enclosable
def penalty_threshold_leakage_aware(
    gradient_bound: RealLike,
    value_diameter: RealLike,
    query_norm: RealLike,
    key_norm: RealLike,
    key_diameter: RealLike,
    query_share: RealLike = 1.0,
    temperature: RealLike = 1.0,
    *,
    leakage: RealLike,
    of: str = "each",
) -> Value:
    """Level B: the bound on the block's gradient while little attention is on keys with features x^(c).

    `of="each"`: no query of the block leaks more than `leakage` (for queries one by one, average the levels).
    `of="mean"`: `leakage` is the mean over the block's queries, and the concave majorant of phi takes phi's place.
    Raises BadInput for a leakage outside [0, 1] or another `of`.
    """
    if of not in ("each", "mean"):
        raise check.reject("of", "'each' or 'mean'", repr(of))
    arguments = _level_arguments(
        gradient_bound, value_diameter, query_norm, key_norm, key_diameter, query_share, temperature
    )
    level = closed_forms.leakage_aware if of == "each" else closed_forms.leakage_aware_mean
    arguments = check.together(*arguments, check.unit_closed("leakage", leakage))
    return check.result(outward(level, True, ULPS, *arguments, exact=of == "each"))  # of the mean has sqrt(2)


@enclosable
def penalty_threshold_mean_of_products(
    gradient_bounds: VectorLike,
    value_diameters: VectorLike,
    key_diameters: VectorLike,
    query_norms: VectorLike,
    temperature: RealLike = 1.0,
) -> Value:
    """Level C: mean over all queries of G_i V_i D_ic ||x_i^(b)|| / (4 tau).

    The last axis holds *all* queries, with query norm 0 for those of other blocks; `temperature` broadcasts against the
    axes before it. With suprema over all parameters it is a threshold; measured at one point it is a local estimate.
    """
    gradients, values, queries, keys = check.together(
        check.non_negative("gradient_bounds", gradient_bounds),
        check.non_negative("value_diameters", value_diameters),
        check.non_negative("query_norms", query_norms),
        check.non_negative("key_diameters", key_diameters),
    )
    if queries.ndim == 0 or queries.shape[-1] == 0:
        raise check.reject("query_norms", "an array whose last axis holds the queries", f"shape {queries.shape}")
    tau = check.positive("temperature", temperature)
    products = outward(
        closed_forms.product, True, ULPS, *check.together(gradients, values, queries, keys, tau[..., None])
    )
    return check.result(moved(products.mean(-1), True, products.shape[-1] + 1))


@enclosable
def critical_penalty(gradient_norms: VectorLike, axis: int | tuple[int, ...] | None = None) -> Value:
    """Level D: the largest ||grad_bc|| over the cross blocks at an in-block optimum with the cross blocks held at zero.

    Above it that solution is a local minimum of the penalised problem; below it the next proximal step leaves it.
    """
    norms = check.non_negative("gradient_norms", gradient_norms)
    if norms.size == 0:
        raise check.reject("gradient_norms", "at least one norm", "none")
    return check.result(norms.max(axis=axis))


@enclosable
def global_penalty_witness(loss_localised: RealLike, loss: RealLike, group_norms: VectorLike) -> Value:
    """Level E from below: the localised point is a global minimiser only if lambda >= (L_loc - L(W)) / sum ||W_bc||.

    `loss_localised` is the least loss with every cross block zero; the last axis of `group_norms` holds the cross
    blocks of W. 0 where W is no better than localised, or has no cross block and so is no witness.
    """
    gain = np.asarray(check.finite("loss_localised", loss_localised) - check.finite("loss", loss))
    total = np.atleast_1d(check.non_negative("group_norms", group_norms)).sum(-1)
    gain, total = check.together(gain, total)
    with np.errstate(over="ignore", under="ignore"):
        least = np.divide(np.maximum(gain, 0), total, out=np.zeros(total.shape), where=total > 0)
    return check.result(moved(least, False, check.last_axis(group_norms) + 2))


def predicted_steps(group_norm: Reals, penalty: Reals, gradient_bound: Reals, step: Reals) -> Reals:
    """Steps to zero as float64, inf where lambda <= g, unchecked. On intervals where rounding could hide a step."""
    arguments = check.together(group_norm, penalty, gradient_bound, step)
    above = np.asarray(arguments[1] > arguments[2])
    with np.errstate(all="ignore"):
        ratio = np.asarray(closed_forms.steps(*arguments))
        shrinks = np.asarray(arguments[3] * (arguments[1] - arguments[2]))
        unsure = (ratio >= 2.0**53) | (np.abs(ratio - np.rint(ratio)) <= 1e-15 * np.abs(ratio)) | (shrinks < 1e-290)
        count = np.where(above, np.ceil(ratio), np.inf)
    if (near := above & (unsure | (shrinks > 1e290))).any():
        count[near] = rounded(on_intervals(closed_forms.steps), True, *(a[near] for a in arguments), whole=True)
    return count


@enclosable
def steps_to_zero(
    group_norm: RealLike, penalty: RealLike, gradient_bound: RealLike, step: RealLike
) -> int | Unreachable | Solutions:
    """Plain proximal steps after which the group is exactly zero, for good: ceil(||W_bc(0)|| / (eta (lambda - g))).

    Exactly so up to 2^53, the next float64 above beyond. g bounds ||grad_bc|| along the whole way. An int, or
    Unreachable where lambda <= g; arrays give `Solutions`. It is false with Nesterov momentum. Raises BadInput for a
    negative norm or a step that is not positive.
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


@enclosable
def penalty_threshold_cauchy_schwarz(
    query_operator: RealLike, covariance_bound: RealLike, temperature: RealLike = 1.0
) -> Value:
    """Level C by Cauchy-Schwarz over queries: X_op C_2 / (4 tau).

    `query_operator` is ||X_b||_op/sqrt N over all N queries, `covariance_bound` the root mean square of G_i V_i D_ic.
    With suprema over all parameters a threshold. Raises BadInput for a negative bound.
    """
    x, c = (
        check.non_negative("query_operator", query_operator),
        check.non_negative("covariance_bound", covariance_bound),
    )
    arguments = check.together(x, c, check.positive("temperature", temperature))
    return check.result(outward(closed_forms.cauchy_schwarz, True, ULPS, *arguments))


@enclosable
def global_penalty_ceiling(slope: RealLike, curvature: RealLike, gain: RealLike) -> Value:
    """Level E from above: [g + sqrt(g^2 + 2 M Delta)]/2; from there on the localised point is a global minimiser.

    `slope` g: cross gradient at zero cross blocks, over all in-block parameters; `curvature` M: negative curvature
    across, at most; `gain` Delta: localised loss minus the least loss. Raises BadInput for a negative one.
    """
    g, m = check.non_negative("slope", slope), check.non_negative("curvature", curvature)
    arguments = check.together(g, m, check.non_negative("gain", gain))
    return check.result(outward(closed_forms.curvature_gain, True, ULPS, *arguments))


@enclosable
def global_penalty_dual(
    loss_localised: RealLike, eta: RealLike, offset: RealLike, quadratic: RealLike, cross_norm: RealLike
) -> Value:
    """Level E from above at one n, by quadratic majorants: [(1-eta) L_loc + mean Psi + Lambda n^2]/n.

    `offset` mean Psi and `quadratic` Lambda: of majorants eta l_i(t, 0) - l_i(t, w) <= Psi_i + w^T M_i w of one block's
    queries; `cross_norm` n: the sum of the norms of its cross blocks. The largest over n and the blocks is at least
    lambda_glob. Raises BadInput for eta outside [0, 1], a negative Lambda or n <= 0.
    """
    loss, psi = check.finite("loss_localised", loss_localised), check.finite("offset", offset)
    share, top = check.unit_closed("eta", eta), check.non_negative("quadratic", quadratic)
    arguments = check.together(loss, share, psi, top, check.positive("cross_norm", cross_norm))
    return check.result(rounded(on_intervals(closed_forms.quadratic_dual), True, *arguments))


@enclosable
def penalty_threshold_factorised(gradient_bound: RealLike, owned_norm: RealLike, objective: RealLike) -> Value:
    """Above it a stationary point of at most this objective has all factors of other blocks zero.

    [gamma kappa + sqrt(gamma^2 kappa^2 + 2 gamma F_0)]/2: gamma bounds the gradient of each block form, kappa the owned
    factors, F_0 the objective, of a loss >= 0. Raises BadInput for a negative one.
    """
    gamma, kappa = check.non_negative("gradient_bound", gradient_bound), check.non_negative("owned_norm", owned_norm)
    arguments = check.together(gamma, kappa, check.non_negative("objective", objective))
    return check.result(outward(closed_forms.factorised, True, ULPS, *arguments))


@enclosable
def adam_threshold(group_size: RealLike, beta_1: RealLike = 0.9, beta_2: RealLike = 0.999) -> Value:
    """Penalty at which a zero group stays zero under Adam with a decoupled proximal step: U sqrt(group size).

    U = (1-b1)/sqrt((1-b2)(1-b1^2/b2)), 7.270 at the defaults, whatever the gradients. Raises BadInput for a rate
    outside [0, 1), or beta_1^2 >= beta_2, where U does not exist.
    """
    size = check.count("group_size", group_size)
    b1 = check.real("beta_1", beta_1, "in [0, 1)", lambda a: (a >= 0) & (a < 1))
    b2 = check.real("beta_2", beta_2, "in (0, 1)", lambda a: (a > 0) & (a < 1))
    size, b1, b2 = check.together(size, b1, b2)
    if (bad := rounded(lambda b1, b2: b2 - b1 * b1, True, b1, b2) <= 0).any():
        raise check.reject("beta_1", "below sqrt(beta_2)", float(b1[bad][0]), f" with beta_2={float(b2[bad][0])}")
    return check.result(rounded(on_intervals(closed_forms.adam_threshold), True, b1, b2, size))
