"""The exact values of the calculators of a margin, on Arb balls."""

from __future__ import annotations

import math
from functools import partial

from bounds.concentration.inverse import MOST_KEYS
from bounds.concentration.theorems import FORMS
from bounds.rigour.balls import Ball, OnBalls, ball, minus_infinity, outward, printed
from bounds.rigour.exact import UNIT, Bracket, ClosedForm, Ends, whole_above

form: OnBalls = printed(FORMS)


def over_temperature(logits: float, temperature: float) -> Ball:
    """Logits over temperature; an infinite margin is the largest one."""
    return ball(min(max(logits, -1.7e308), 1.7e308)) / ball(temperature)


def range_over_temperature(logit_range: float, x: Ball, temperature: float) -> Ball:
    """A range that rounding has left a little below |margin| counts as that."""
    return over_temperature(logit_range, temperature).max(abs(x))


def with_rest(value: float) -> tuple[Ball, Ball]:
    """(value, 1 - value)"""
    return ball(value), 1 - ball(value)


def anchors_or_block(n_block: float, n_anchors: float | None) -> float:
    return n_block if n_anchors is None else n_anchors


def _with_range(
    name: str,
    margin: float,
    n_keys: float,
    n_block: float,
    n_anchors: float | None,
    temperature: float,
    logit_range: float | None,
) -> Ball:
    """The form of that name, or its sharper twin where the range is known."""
    x, keys = over_temperature(margin, temperature), (n_keys, n_block, anchors_or_block(n_block, n_anchors))
    if logit_range is None:
        return form(name, x, *keys)
    return form(f"{name}_range", x, *keys, range_over_temperature(logit_range, x, temperature))


@partial(ClosedForm, within=UNIT)
def leakage_ceiling(
    margin: float,
    n_keys: float,
    n_block: float,
    n_anchors: float | None,
    temperature: float,
    logit_range: float | None,
) -> Ball:
    return _with_range("leakage_ceiling", margin, n_keys, n_block, n_anchors, temperature, logit_range)


@ClosedForm
def log_leakage_ceiling(
    margin: float,
    n_keys: float,
    n_block: float,
    n_anchors: float | None,
    temperature: float,
    logit_range: float | None,
) -> Ball:
    if margin == math.inf:  # no leakage; elsewhere the largest margin stands for it
        return minus_infinity()
    return _with_range("log_leakage_ceiling", margin, n_keys, n_block, n_anchors, temperature, logit_range)


@partial(ClosedForm, within=UNIT)
def fidelity_floor(
    margin: float,
    n_keys: float,
    n_block: float,
    n_anchors: float | None,
    temperature: float,
    logit_range: float | None,
) -> Ball:
    return _with_range("fidelity_floor", margin, n_keys, n_block, n_anchors, temperature, logit_range)


def scaled_margin(fidelity: float, n_keys: float, n_block: float, n_anchors: float | None) -> Ball:
    """ln a, a = (n-m) F / (r (1-F)): the least margin over temperature."""
    return form("scaled_margin", *with_rest(fidelity), n_keys, n_block, anchors_or_block(n_block, n_anchors))


@ClosedForm
def margin_for_fidelity(
    fidelity: float, n_keys: float, n_block: float, n_anchors: float | None, temperature: float
) -> Ball:
    return scaled_margin(fidelity, n_keys, n_block, n_anchors) * temperature


@partial(ClosedForm, infinite_as_given=True)
def temperature_for_fidelity(
    fidelity: float, margin: float, n_keys: float, n_block: float, n_anchors: float | None
) -> Ball:
    return margin / scaled_margin(fidelity, n_keys, n_block, n_anchors)


@Bracket
def anchors_for_fidelity(
    estimate: float, fidelity: float, margin: float, n_keys: float, n_block: float, temperature: float
) -> Ends:
    """The whole number above the real one: both where its ball holds a whole number."""
    x = over_temperature(margin, temperature)
    low, high = outward(form("anchors_needed", x, *with_rest(fidelity), n_keys, n_block))
    return max(whole_above(low), 1.0), max(whole_above(high), 1.0)


@Bracket
def context_for_fidelity(
    estimate: float, fidelity: float, margin: float, n_block: float, n_anchors: float | None, temperature: float
) -> Ends:
    """The block and the whole number of outsiders below the real one."""
    x = over_temperature(margin, temperature).min(ball(10**6))  # where every count is enough
    r = anchors_or_block(n_block, n_anchors)
    low, high = outward(form("outsiders_allowed", x, *with_rest(fidelity), r))
    low, high = (n_block - whole_above(-max(outsiders, 0.0)) for outsiders in (low, high))
    return min(low, float(MOST_KEYS)), min(high, float(MOST_KEYS))
