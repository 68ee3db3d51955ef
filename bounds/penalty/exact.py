"""The exact values of the penalty thresholds, on Arb balls or by a bound on their rounding."""

from __future__ import annotations

from bounds.numbers.arguments import RealLike, last_axis
from bounds.penalty.theorems import FORMS
from bounds.rigour.balls import Ball, OnBalls, outward, printed
from bounds.rigour.exact import Bracket, ClosedForm, Ends, Rounded, whole_above

form: OnBalls = printed(FORMS)


@ClosedForm
def penalty_threshold_worst_case(
    gradient_bound: float,
    value_diameter: float,
    query_norm: float,
    key_norm: float,
    key_diameter: float,
    query_share: float,
    temperature: float,
) -> Ball:
    norms = (query_norm, key_norm, key_diameter)
    return form("worst_case", gradient_bound, value_diameter, *norms, query_share, temperature)


@ClosedForm
def penalty_threshold_leakage_aware(
    gradient_bound: float,
    value_diameter: float,
    query_norm: float,
    key_norm: float,
    key_diameter: float,
    query_share: float,
    temperature: float,
    leakage: float,
    of: str,
) -> Ball:
    name = "leakage_aware_mean" if of == "mean" else "leakage_aware"
    norms = (query_norm, key_norm, key_diameter)
    return form(name, gradient_bound, value_diameter, *norms, query_share, temperature, leakage)


@Rounded
def penalty_threshold_mean_of_products(
    gradient_bounds: RealLike,
    value_diameters: RealLike,
    key_diameters: RealLike,
    query_norms: RealLike,
    temperature: RealLike,
) -> int:
    """A mean of n products, moved outwards by 16 ulp each, and their sum by n more."""
    return 24 + max(map(last_axis, (gradient_bounds, value_diameters, key_diameters, query_norms)))


@Rounded
def critical_penalty(gradient_norms: RealLike, axis: int | tuple[int, ...] | None) -> int:
    """A maximum is exact."""
    return 0


@Rounded
def global_penalty_witness(loss_localised: RealLike, loss: RealLike, group_norms: RealLike) -> int:
    """One difference, one sum of n norms, one quotient."""
    return 4 + last_axis(group_norms)


@Bracket
def steps_to_zero(estimate: float, group_norm: float, penalty: float, gradient_bound: float, step: float) -> Ends:
    """The whole number above the real one; beyond 2^53 float64 on either side of it."""
    low, high = outward(form("steps", group_norm, penalty, gradient_bound, step))
    return whole_above(low), whole_above(high)


@ClosedForm
def penalty_threshold_cauchy_schwarz(query_operator: float, covariance_bound: float, temperature: float) -> Ball:
    return form("cauchy_schwarz", query_operator, covariance_bound, temperature)


@ClosedForm
def global_penalty_ceiling(slope: float, curvature: float, gain: float) -> Ball:
    return form("curvature_gain", slope, curvature, gain)


@ClosedForm
def global_penalty_dual(loss_localised: float, eta: float, offset: float, quadratic: float, cross_norm: float) -> Ball:
    return form("quadratic_dual", loss_localised, eta, offset, quadratic, cross_norm)


@ClosedForm
def penalty_threshold_factorised(gradient_bound: float, owned_norm: float, objective: float) -> Ball:
    return form("factorised", gradient_bound, owned_norm, objective)


@ClosedForm
def adam_threshold(group_size: float, beta_1: float, beta_2: float) -> Ball:
    return form("adam_threshold", beta_1, beta_2, group_size)
