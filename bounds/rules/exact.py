"""The exact values of the calculators of rules, on Arb balls."""

from __future__ import annotations

import math
from functools import partial

from bounds.concentration.exact import over_temperature
from bounds.dial.exact import worst_case_kappa
from bounds.rigour.balls import Ball, OnBalls, ball, printed
from bounds.rigour.exact import UNIT, ClosedForm
from bounds.rules.theorems import FORMS

form: OnBalls = printed(FORMS)


@ClosedForm
def rule_bias(fidelity: float, logit_range: float, n_keys: float, n_rule: float, temperature: float) -> Ball:
    return worst_case_kappa(fidelity, logit_range, n_keys, n_rule, temperature) * temperature


@ClosedForm
def priority_gap(ratio: float, logit_range: float, n_first: float, n_second: float, temperature: float) -> Ball:
    return form("gap_needed", ratio, over_temperature(logit_range, temperature), temperature, n_first, n_second)


@partial(ClosedForm, within=UNIT, rows=("removal",))
def violation_after_reloads(removal: list[float]) -> Ball:
    return math.prod((1 - ball(p) for p in removal), start=ball(1))
