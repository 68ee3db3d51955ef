"""The exact values of the calculators of a logit range, on Arb balls."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial, reduce

from bounds.concentration.exact import anchors_or_block, over_temperature
from bounds.floors.theorems import FORMS
from bounds.rigour.balls import Ball, OnBalls, ball, printed, whole_near
from bounds.rigour.exact import ClosedForm

form: OnBalls = printed(FORMS)


@ClosedForm
def fidelity_ceiling(logit_range: float, n_keys: float, n_block: float, temperature: float) -> Ball:
    return form("fidelity_ceiling", over_temperature(logit_range, temperature), n_keys, n_block)


@partial(ClosedForm, within=(0.0, math.inf))
def entropy_floor(logit_range: float, n_keys: float, temperature: float) -> Ball:
    """The least over the whole numbers next to the best one: entropy falls before it and rises after."""
    return _two_levels(logit_range, n_keys, temperature, 1.0, max(n_keys - 1, 1.0))


def _two_levels(logit_range: float, n: float, temperature: float, least: float, most: float) -> Ball:
    """The least entropy with so many keys at D, the others at 0."""
    best = whole_near(lambda: form("upper_keys", over_temperature(logit_range, temperature), n), least, most)
    return _least(form("two_level_entropy", over_temperature(logit_range, temperature), n, k) for k in best)


@partial(ClosedForm, within=(0.0, math.inf))
def entropy_floor_with_margin(
    margin: float,
    logit_range: float,
    n_keys: float,
    n_block: float,
    n_anchors: float | None,
    temperature: float,
) -> Ball:
    """The least of the three families of rows that the calculator's comment leaves, each over one count."""
    n, m, r = n_keys, n_block, anchors_or_block(n_block, n_anchors)
    logit_range = max(logit_range, margin)  # which rounding may have left a little above

    def scaled() -> tuple[Ball, Ball, Ball]:
        """(x, D, D - x), the last without cancellation"""
        x, span = over_temperature(margin, temperature), over_temperature(logit_range, temperature)
        return x, span, (ball(logit_range) - margin) / temperature if math.isfinite(logit_range) else span

    def best(top: float, down: bool) -> Callable[[], Ball]:
        return lambda: _best_count(*scaled(), n, top, down)

    x, span, gap = scaled()
    least = [_two_levels(logit_range, n, temperature, r, m)]
    if margin < logit_range:  # else a key in the middle is at an end
        least += [form("three_level_entropy", span, x, n, r - i, i) for i in whole_near(best(r, True), 0, r)]
        least += [form("three_level_entropy", span, gap, n, m, j) for j in whole_near(best(m, False), 0, n - m)]
    return _least(least)


def _best_count(x: Ball, span: Ball, gap: Ball, n: float, top: float, down: bool) -> Ball:
    """Where entropy is least in the real number of keys moved from the top down to x, or from the bottom up to D - x.

    Weights over e^D: Z and W = sum w ln w are linear in the count, W = a + b Z, and the least is at Z = -a. Beyond
    x = 10^6 it is only said on which side of every count that is, which does not take all of e^x.
    """
    bottom, share = (-span).exp(), -(-gap).expm1()
    slope = (-gap).exp() * gap / share if down else (span * (-gap).exp() - x) / share
    total, logs = top + (n - top) * bottom, -(n - top) * bottom * span
    beyond = (slope * total - logs - total) / share  # in keys of the weight moved: 1, or e^-x
    return -beyond if down else beyond * x.min(ball(10**6)).exp()


@ClosedForm
def specht_floor(logit_range: float, n_keys: float, temperature: float) -> Ball:
    return form("specht_floor", over_temperature(logit_range, temperature), n_keys)


def _least(values: Iterable[Ball]) -> Ball:
    return reduce(lambda p, q: p.min(q), values)
