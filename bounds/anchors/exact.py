"""The exact values of the calculators of anchors, on Arb balls."""

from __future__ import annotations

import functools

from bounds.anchors.theorems import FORMS
from bounds.concentration.exact import with_rest
from bounds.rigour.balls import Ball, OnBalls, ball, printed
from bounds.rigour.exact import ClosedForm

form: OnBalls = printed(FORMS)


@ClosedForm
def anchor_margin(theta: float, phi: float, beta: float, jitter: float) -> Ball:
    return form("anchor_margin", ball(theta) + ball(jitter), phi, beta)


@ClosedForm
def coherence_floor(n_anchors: float, dimension: float) -> Ball:
    """The best of the floors that apply; the third degree where its root is in [0, 1/sqrt d)."""
    k, d = n_anchors, dimension
    floors = [form("coherence_simplex", k)]
    floors += [ball(0)] if k > d + 1 else []
    floors += [form("coherence_polygon", k)] if d == 2 else []
    floors += [form("coherence_levenshtein", k, d)] if k >= max(d + 1, 3) else []
    if k > d + 1:
        third = form("coherence_third", k, d)
        floors += [third] if third >= 0 and third**2 * d < 1 else []
    return functools.reduce(lambda p, q: p.max(q), floors)


@ClosedForm
def pointer_information(prior_entropy: float, leakage: float, n_blocks: float) -> Ball:
    return form("pointer_information", prior_entropy, leakage, n_blocks)


@ClosedForm
def replication_slope(anchor_mass: float, gap: float, n_anchors: float) -> Ball:
    return form("replication_slope", *with_rest(anchor_mass), gap, n_anchors)
