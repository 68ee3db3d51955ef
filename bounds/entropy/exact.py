"""The exact values of the calculators of entropy, on Arb balls."""

from __future__ import annotations

import math

from bounds.concentration.exact import anchors_or_block, leakage_ceiling, over_temperature, with_rest
from bounds.entropy.theorems import FORMS
from bounds.rigour.balls import Ball, OnBalls, minus_infinity, printed
from bounds.rigour.exact import Bracket, ClosedForm, Ends

form: OnBalls = printed(FORMS)


@ClosedForm
def entropy_ceiling(margin: float, n_keys: float, n_block: float, n_anchors: float | None, temperature: float) -> Ball:
    x = over_temperature(margin, temperature)
    return form("entropy_ceiling", x, n_keys, n_block, anchors_or_block(n_block, n_anchors))


@ClosedForm
def entropy_envelope(margin: float, n_keys: float, n_block: float, n_anchors: float | None, temperature: float) -> Ball:
    x = over_temperature(margin, temperature)
    return form("entropy_envelope", x, n_keys, n_block, anchors_or_block(n_block, n_anchors))


@ClosedForm
def entropy_split(leakage: float, n_keys: float, n_block: float) -> Ball:
    return form("entropy_split", *with_rest(leakage), n_keys, n_block)


@ClosedForm
def frontier(
    leakage: float, margin: float, n_keys: float, n_block: float, n_anchors: float | None, temperature: float
) -> Ball:
    """-inf where certainly no row has that leakage."""
    eps, rest = with_rest(leakage)
    if eps > leakage_ceiling(margin, n_keys, n_block, n_anchors, temperature, None):
        return minus_infinity()
    x, r = over_temperature(margin, temperature), anchors_or_block(n_block, n_anchors)
    q = form("binding_mass", eps, rest, x, n_keys, n_block, r)
    return form("frontier", eps, rest, q, n_keys, n_block, r)


@Bracket
def margin_for_entropy(
    estimate: float, entropy: float, n_keys: float, n_block: float, n_anchors: float | None, temperature: float
) -> Ends:
    """Neighbours of the estimate at which the ceiling is certainly above, and certainly at most, the target.

    -inf, of a target that every row meets, is exact.
    """
    if math.isinf(estimate):
        return estimate, estimate

    def ceiling(margin: float) -> Ball:
        return entropy_ceiling(margin, n_keys, n_block, n_anchors, temperature)

    upper, stride = estimate, math.ulp(estimate)
    while not ceiling(upper) <= entropy:
        upper, stride = upper + stride, 2 * stride
    lower, stride = estimate, math.ulp(estimate)
    while lower > 0 and not ceiling(lower) > entropy:
        lower, stride = max(lower - stride, 0.0), 2 * stride
    return lower, upper
