"""The exact values of the calculators of the dial, on Arb balls."""

from __future__ import annotations

from functools import partial

from bounds.concentration.exact import over_temperature, scaled_margin, with_rest
from bounds.dial.theorems import FORMS
from bounds.rigour.balls import Ball, OnBalls, ball, printed
from bounds.rigour.exact import UNIT, ClosedForm

form: OnBalls = printed(FORMS)


@partial(ClosedForm, within=UNIT)
def dial_leakage(leakage: float, dial: float) -> Ball:
    return form("dial_leakage", *with_rest(leakage), dial)


@partial(ClosedForm, within=UNIT)
def kappa_leakage(leakage: float, kappa: float) -> Ball:
    return form("kappa_leakage", *with_rest(leakage), kappa)


@ClosedForm
def kappa_for_fidelity(fidelity: float, leakage: float) -> Ball:
    if leakage == 0:
        return ball(0)
    return form("kappa_needed", *with_rest(leakage), *with_rest(fidelity)).max(ball(0))


@partial(ClosedForm, within=UNIT)
def dial_for_fidelity(fidelity: float, leakage: float) -> Ball:
    return form("dial_of_kappa", kappa_for_fidelity(fidelity, leakage))


@ClosedForm
def worst_case_kappa(fidelity: float, logit_range: float, n_keys: float, n_block: float, temperature: float) -> Ball:
    span = over_temperature(logit_range, temperature)
    return (span + scaled_margin(fidelity, n_keys, n_block, None)).max(ball(0))


@partial(ClosedForm, within=UNIT)
def worst_case_dial(fidelity: float, logit_range: float, n_keys: float, n_block: float, temperature: float) -> Ball:
    return form("dial_of_kappa", worst_case_kappa(fidelity, logit_range, n_keys, n_block, temperature))


@ClosedForm
def dial_bias(dial: float, temperature: float) -> Ball:
    return form("dial_bias", dial, temperature)


@ClosedForm
def kappa_bias(kappa: float, temperature: float) -> Ball:
    return form("kappa_bias", kappa, temperature)


@ClosedForm
def kappa_of_dial(dial: float) -> Ball:
    return form("kappa_of_dial", dial)


@partial(ClosedForm, within=UNIT)
def dial_of_kappa(kappa: float) -> Ball:
    return form("dial_of_kappa", kappa)
