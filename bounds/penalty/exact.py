"""The exact values of the penalty thresholds, on Arb balls or by a bound on their rounding."""

from __future__ import annotations

from functools import partial

from bounds.numbers.arguments import RealLike
from bounds.penalty.theorems import FORMS
from bounds.rigour.balls import Ball, OnBalls, ball, outward, printed
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


@partial(ClosedForm, rows=("gradient_bounds", "value_diameters", "key_diameters", "query_norms"))
def penalty_threshold_mean_of_products(
    gradient_bounds: list[float],
    value_diameters: list[float],
    key_diameters: list[float],
    query_norms: list[float],
    temperature: float,
) -> Ball:
    queries = list(zip(gradient_bounds, value_diameters, key_diameters, query_norms))
    return sum((form("product", *factors, temperature) for factors in queries), start=ball(0)) / len(queries)


@Rounded
def critical_penalty(gradient_norms: RealLike, axis: int | tuple[int, ...] | None) -> int:
    """A maximum is exact."""
    return 0


@partial(ClosedForm, rows=("group_norms",))
def global_penalty_witness(loss_localised: float, loss: float, group_norms: list[float]) -> Ball:
    """0 where there is nothing to penalise."""
    gain, total = ball(loss_localised) - loss, sum(map(ball, group_norms), start=ball(0))
    return gain.max(ball(0)) / total if total > 0 else ball(0)


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
