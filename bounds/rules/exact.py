"""The exact values of the calculators of rules, on Arb balls or by a bound on their rounding."""

from __future__ import annotations

from bounds.concentration.exact import over_temperature
from bounds.dial.exact import worst_case_kappa
from bounds.numbers.arguments import RealLike, last_axis
from bounds.rigour.balls import Ball, OnBalls, printed
from bounds.rigour.exact import ClosedForm, Rounded
from bounds.rules.theorems import FORMS

form: OnBalls = printed(FORMS)


@ClosedForm
def rule_bias(fidelity: float, logit_range: float, n_keys: float, n_rule: float, temperature: float) -> Ball:
    return worst_case_kappa(fidelity, logit_range, n_keys, n_rule, temperature) * temperature


@ClosedForm
def priority_gap(ratio: float, logit_range: float, n_first: float, n_second: float, temperature: float) -> Ball:
    return form("gap_needed", ratio, over_temperature(logit_range, temperature), temperature, n_first, n_second)


@Rounded
def violation_after_reloads(removal: RealLike) -> int:
    """A product of T factors, each a difference."""
    return 8 + 4 * last_axis(removal)
