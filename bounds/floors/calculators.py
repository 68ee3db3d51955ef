"""What no margin can reach while the logits span a range: ceilings on fidelity and floors on entropy.

    fidelity <= m / (m + (n-m) e^-D),   D = logit_range/temperature
    entropy  >= min over whole k of ln(k + v) + D v/(k + v),   v = (n-k) e^-D: k keys on top, the others at the bottom

Entropies in nats. Everything broadcasts; scalars give a float.
Source: arXiv:2510.09338v2, abstract, claims C4 and C5; derived here.
"""

from __future__ import annotations

import functools

import numpy as np

import bounds.numbers.arguments as check
from bounds.floors import closed_forms
from bounds.numbers.arguments import RealLike, Reals, Value
from bounds.numbers.intervals import Interval
from bounds.numbers.search import at_least, on_intervals
from bounds.rigour.enclosed import enclosable

__all__ = ["entropy_floor", "entropy_floor_with_margin", "fidelity_ceiling", "specht_floor"]

FAR = 1e4
"""Scaled logits so far below others weigh 0 in float64: what is further away need not be told apart."""


def _scaled_range(logit_range: RealLike, temperature: RealLike) -> Reals:
    span = check.real("logit_range", logit_range, "a number >= 0", lambda a: a >= 0)
    return check.scaled(span, check.positive("temperature", temperature))


@enclosable
def fidelity_ceiling(logit_range: RealLike, n_keys: RealLike, n_block: RealLike, temperature: RealLike = 1.0) -> Value:
    """Largest attention mass on the block that a logit range allows: m / (m + (n-m) e^-D).

    Attained with the block at the top of the range. Raises BadInput for a negative range, impossible counts, a
    temperature that is not positive, NaN.
    """
    n, m, _ = check.keys(n_keys, n_block)
    with np.errstate(under="ignore"):
        return check.result(closed_forms.fidelity_ceiling(_scaled_range(logit_range, temperature), n, m))


def fidelity_possible(fidelity: float, logit_range: float, n: float, m: float, tau: float) -> bool:
    """Whether the exact `fidelity_ceiling` is no less than a fidelity, unchecked."""
    form = on_intervals(closed_forms.fidelity_ceiling)

    def ceiling(span: Interval, tau: Interval, n: Interval, m: Interval) -> Interval:
        return form(span / tau, n, m)

    return at_least(ceiling, fidelity, logit_range, tau, n, m)


def entropy_possible(entropy: float, logit_range: float, n: float, tau: float) -> bool:
    """Whether some row of the range has certainly no more entropy: one of the rows next to the best in float64."""
    form = on_intervals(closed_forms.two_level_entropy)

    def below(span: Interval, tau: Interval, n: Interval, k: Interval) -> Interval:
        return -form(span / tau, n, k)

    best = float(best_upper_keys(_scaled_range(logit_range, tau), n))
    around = {min(max(best + step, 1.0), max(n - 1, 1.0)) for step in (-1, 0, 1)}
    return any(at_least(below, -entropy, logit_range, tau, n, k) for k in around)


def best_upper_keys(scaled_range: RealLike, n_keys: RealLike) -> Reals:
    """How many keys at the top of the range give the least entropy; the smaller number where two tie.

    Entropy in k falls up to n (c - 1)/(e^D - 1), c = D/(1 - e^-D), and rises after, so one of the two neighbours is
    least. At tiny D that place is rounded, by up to ulp/D of n, where entropy differs by about ulp^2: by nothing.
    """
    span, n = check.together(np.asarray(scaled_range, np.float64), np.asarray(n_keys, np.float64))
    with np.errstate(all="ignore"):
        place = np.floor(closed_forms.upper_keys(span, n))
        lower, upper = (np.clip(k, 1, np.maximum(n - 1, 1)) for k in (place, place + 1))
        better = closed_forms.two_level_entropy(span, n, lower) <= closed_forms.two_level_entropy(span, n, upper)
    return np.where(better, lower, upper)


@enclosable
def entropy_floor(logit_range: RealLike, n_keys: RealLike, temperature: RealLike = 1.0) -> Value:
    """Least entropy (nats) of a row whose logits span at most `logit_range`: exact over whole numbers of keys.

    Raises BadInput for a negative range, a count that is not whole, a temperature that is not positive, NaN.
    """
    span, n = check.together(_scaled_range(logit_range, temperature), check.count("n_keys", n_keys))
    with np.errstate(under="ignore"):
        return check.result(closed_forms.two_level_entropy(span, n, best_upper_keys(span, n)))


@enclosable
def entropy_floor_with_margin(
    margin: RealLike,
    logit_range: RealLike,
    n_keys: RealLike,
    n_block: RealLike,
    n_anchors: RealLike | None = None,
    temperature: RealLike = 1.0,
) -> Value:
    """Least entropy (nats) of a row of at least this margin whose logits span at most `logit_range`: exact.

    The least over rows of two and three levels (theorem `entropy_floor_margin`), 0 <= margin <= logit_range up to 8
    ulp. Raises BadInput for a margin outside that, impossible counts, a temperature that is not positive, NaN.
    """
    n, m, r = check.keys(n_keys, n_block, n_anchors)
    span, tau = _scaled_range(logit_range, temperature), check.positive("temperature", temperature)
    x = check.scaled(check.non_negative("margin", margin), tau)
    above = np.asarray(check.numbers("logit_range", logit_range) - check.numbers("margin", margin))
    between = check.scaled(np.maximum(above, 0), tau)  # D - x would cancel
    x, span, between, n, m, r = check.together(x, span, between, n, m, r)
    span = check.covering(span, x, "/temperature")
    x, span = np.minimum(x, FAR), np.where(span > FAR, np.minimum(x, FAR) + np.minimum(between, FAR), span)
    # Moving one key's weight, all else fixed, draws a segment in the simplex, where entropy is concave: a key in the
    # middle is no better than at the top or at the bottom. An anchor at x beside a free key at the top may go down,
    # since the two then change places; an outsider at D - x beside a free key at the bottom may go up likewise. So
    # nothing is in the middle, or no free key is at the top under anchors at x, or each one is over outsiders at D - x.
    upper = np.clip(best_upper_keys(span, n), r, m)
    with np.errstate(all="ignore"):
        least = closed_forms.two_level_entropy(span, n, upper)
    for free, anchors_down in ((np.zeros_like(r), True), (m - r, False)):
        least = np.minimum(least, _least_of_family(x, span, n, m, r, free, anchors_down))
    return check.result(least)


def _least_of_family(x: Reals, span: Reals, n: Reals, m: Reals, r: Reals, free: Reals, anchors_down: bool) -> Reals:
    """Least entropy with `free` block keys at the top: over the anchors at x, or over the outsiders at D - x.

    A key moved down from the top, or up from the bottom, changes Z and sum w ln w linearly, w = e^(s - D); the least
    count is an end, or next to where Z = -a, sum w ln w = a + b Z.
    """

    def entropy(count: Reals) -> Reals:
        top = free + (r - count if anchors_down else r)
        level = x if anchors_down else span - x
        return closed_forms.three_level_entropy(span, level, n, top, count)

    most = r if anchors_down else n - m
    with np.errstate(all="ignore"):
        moved = np.exp(x - span) if anchors_down else np.exp(-x)
        bottom = np.exp(-span)
        rate = moved - (1.0 if anchors_down else bottom)  # of Z in the count
        w_log = moved * (x - span) if anchors_down else -moved * x
        rate_log = w_log - (0.0 if anchors_down else -span * bottom)
        z = free + r + (n - r - free) * bottom
        total_log = -(n - r - free) * bottom * span
        slope = rate_log / rate
        place = np.floor((-(total_log - slope * z) - z) / rate)
        inner = (
            np.clip(np.nan_to_num(place + step), 0, most) for step in (-1, 0, 1)
        )  # its rounding may be a whole key
        return functools.reduce(np.minimum, (entropy(count) for count in (most, *inner)))


@enclosable
def specht_floor(logit_range: RealLike, n_keys: RealLike, temperature: RealLike = 1.0) -> Value:
    """Specht's floor on the entropy (nats): ln n - (c - 1 - ln c), c = D/(1 - e^-D). May be negative.

    Never above `entropy_floor`, of which it is the minimum over real k. Raises BadInput like it.
    """
    span, n = _scaled_range(logit_range, temperature), check.count("n_keys", n_keys)
    with np.errstate(all="ignore"):
        return check.result(closed_forms.specht_floor(span, n))
