"""The exact values of the calculators of gates, on Arb balls or by a bound on their rounding."""

from __future__ import annotations

from bounds.gates.theorems import FORMS
from bounds.numbers.arguments import RealLike, last_axis
from bounds.rigour.balls import Ball, OnBalls, outward, printed
from bounds.rigour.exact import Bracket, ClosedForm, Ends, Rounded, whole_above

form: OnBalls = printed(FORMS)


@Rounded
def critical_gate_penalty(loss_slopes: RealLike, leakage_slopes: RealLike) -> int:
    """A quotient, moved outwards by two ulp; the maximum is exact."""
    return 4


@ClosedForm
def gate_penalty_level_a(layer_rows: float, gradient_bound: float, value_diameter: float) -> Ball:
    return form("gate_level", layer_rows, gradient_bound, value_diameter)


@ClosedForm
def gate_basin(slope: float, curvature: float) -> Ball:
    return form("basin", slope, curvature)


@ClosedForm
def gate_rate_ceiling(
    pair_penalty: float, layer_rows: float, curvature: float, value_diameter: float, leakage: float
) -> Ball:
    return form("rate", pair_penalty, layer_rows, curvature, value_diameter, leakage)


@ClosedForm
def gate_penalty_for_leakage(loss_reference: float, loss_least: float, target: float) -> Ball:
    return form("penalty_for_leakage", loss_reference, loss_least, target)


@ClosedForm
def penalised_leakage_ceiling(loss_reference: float, loss_found: float, penalty: float) -> Ball:
    return form("penalised_leakage", loss_reference, loss_found, penalty)


@ClosedForm
def masked_loss_ceiling(loss: float, global_penalty: float, leakage: float) -> Ball:
    return form("masked_loss", loss, global_penalty, leakage)


@Bracket
def rows_above_ceiling(estimate: float, mean_leakage: float, threshold: float) -> Ends:
    low, high = outward(form("rows_above", mean_leakage, threshold))
    return min(low, 1.0), min(high, 1.0)


@Rounded
def mean_entropy_ceiling(leakage: RealLike, n_keys: RealLike, n_block: RealLike) -> int:
    """A mean of logarithms, each to 4 ulp of ln n, and a product: every mu is valid, so its own rounding is none."""
    return 64 + max(map(last_axis, (n_keys, n_block)))


@Bracket
def gate_steps_to_zero(estimate: float, gate: float, slope: float, step: float) -> Ends:
    """The whole number above the real one; beyond 2^53 float64 on either side of it."""
    low, high = outward(form("gate_steps", gate, slope, step))
    return whole_above(low), whole_above(high)
