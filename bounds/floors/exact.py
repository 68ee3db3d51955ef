"""The exact values of the calculators of a logit range, on Arb balls."""

from __future__ import annotations

import functools

from bounds.concentration.exact import anchors_or_block, over_temperature
from bounds.floors.calculators import best_upper_keys
from bounds.floors.theorems import FORMS
from bounds.rigour.balls import Ball, OnBalls, printed
from bounds.rigour.exact import ClosedForm

form: OnBalls = printed(FORMS)


@ClosedForm
def fidelity_ceiling(logit_range: float, n_keys: float, n_block: float, temperature: float) -> Ball:
    return form("fidelity_ceiling", over_temperature(logit_range, temperature), n_keys, n_block)


@ClosedForm
def entropy_floor(logit_range: float, n_keys: float, temperature: float) -> Ball:
    """The least over the whole numbers next to the best one: entropy falls before it and rises after."""
    span = over_temperature(logit_range, temperature)
    best = float(best_upper_keys(float(span), n_keys))
    around = sorted({min(max(best + step, 1.0), max(n_keys - 1, 1.0)) for step in (-2, -1, 0, 1, 2)})
    return _least([form("two_level_entropy", span, n_keys, k) for k in around])


@ClosedForm
def entropy_floor_with_margin(
    margin: float,
    logit_range: float,
    n_keys: float,
    n_block: float,
    n_anchors: float | None,
    temperature: float,
) -> Ball:
    """The least over all O(m n) rows of two and three levels."""
    n, m, r = int(n_keys), int(n_block), int(anchors_or_block(n_block, n_anchors))
    x, span = over_temperature(margin, temperature), over_temperature(logit_range, temperature)
    rows = [(x, free + r - down, down) for free in range(m - r + 1) for down in range(r + 1)]
    rows += [(span - x, free + r, up) for free in range(m - r + 1) for up in range(n - m + 1)]
    return _least([form("three_level_entropy", span, level, n, top, middle) for level, top, middle in rows])


@ClosedForm
def specht_floor(logit_range: float, n_keys: float, temperature: float) -> Ball:
    return form("specht_floor", over_temperature(logit_range, temperature), n_keys)


def _least(values: list[Ball]) -> Ball:
    return functools.reduce(lambda p, q: p.min(q), values)
