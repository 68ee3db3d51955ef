"""What a target needs: the bounds of `calculators` read backwards, always on the safe side.

    fidelity >= F  iff  e^x >= a,   a = (n-m) F / (r (1-F)),   x = margin / temperature

A closed form is moved to the safe side until the bound, evaluated there in float64, meets the target. Where there is
no answer, an `Unreachable` says why.
Targets are fidelities in (0, 1); a scalar gives a number, arrays give `Solutions`.
Source: arXiv:2510.09338v2, abstract, claims C3 to C5; derived here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

import bounds.numbers.arguments as check
from bounds.concentration import closed_forms
from bounds.numbers.arguments import RealLike, Reals, scaled
from bounds.numbers.search import LARGEST, Solutions, Unreachable, answer, at_ordinal, greatest, least, ordinal
from bounds.rigour.enclosed import enclosable

__all__ = ["anchors_for_fidelity", "context_for_fidelity", "margin_for_fidelity", "temperature_for_fidelity"]


MOST_KEYS = 2**53  # whole numbers are exact in float64 up to here


def guaranteed(x: Reals, fidelity: Reals, n: Reals, m: Reals, r: Reals) -> NDArray[np.bool_]:
    """Whether a margin x guarantees the fidelity. Above 1/2 the leakage decides too: there 1 - F is exact and finer."""
    with np.errstate(under="ignore"):
        floor, ceiling = closed_forms.fidelity_floor(x, n, m, r), closed_forms.leakage_ceiling(x, n, m, r)
    return (floor >= fidelity) & ((ceiling <= 1 - fidelity) | (fidelity <= 0.5))


def _margin(fidelity: Reals, n: Reals, m: Reals, r: Reals, tau: Reals) -> tuple[Reals, NDArray[np.bool_]]:
    """Least margin that guarantees the fidelity, and whether there is a finite one."""
    with np.errstate(over="ignore", under="ignore", divide="ignore"):
        guess = np.nan_to_num(tau * closed_forms.scaled_margin(fidelity, 1 - fidelity, n, m, r))
    place, reachable = least(
        lambda o: guaranteed(scaled(at_ordinal(o), tau), fidelity, n, m, r),
        *(ordinal(guess), ordinal(guess)),  # never below the closed form: near x = 0 the bound in float64 is flat
        np.full(guess.shape, LARGEST),
    )
    return at_ordinal(place), reachable


@enclosable
def margin_for_fidelity(
    fidelity: RealLike,
    n_keys: RealLike,
    n_block: RealLike,
    n_anchors: RealLike | None = None,
    temperature: RealLike = 1.0,
) -> float | Unreachable | Solutions:
    """Least margin (logits) that guarantees the fidelity: tau ln((n-m) F / (r (1-F))), negative where little is asked.

    Unreachable only where that overflows. Raises BadInput for a fidelity outside (0, 1) and for impossible counts.
    """
    n, m, r = check.keys(n_keys, n_block, n_anchors)
    target, tau = check.unit_open("fidelity", fidelity), check.positive("temperature", temperature)
    margin, reachable = _margin(*check.together(target, n, m, r, tau))
    return answer(margin, (~reachable, "the margin exceeds the largest float64 at this temperature"))


@enclosable
def anchors_for_fidelity(
    fidelity: RealLike, margin: RealLike, n_keys: RealLike, n_block: RealLike, temperature: RealLike = 1.0
) -> int | Unreachable | Solutions:
    """Least number of anchors that guarantees the fidelity: max(1, ceil((n-m) F/(1-F) e^-x)), if at most n_block.

    Raises BadInput for a fidelity outside (0, 1) and for impossible counts.
    """
    n, m, _ = check.keys(n_keys, n_block)
    target, tau = check.unit_open("fidelity", fidelity), check.positive("temperature", temperature)
    target, delta, n, m, tau = check.together(target, check.finite("margin", margin), n, m, tau)
    x = scaled(delta, tau)
    with np.errstate(over="ignore", under="ignore"):
        guess = np.minimum(np.ceil(closed_forms.anchors_needed(x, target, 1 - target, n, m)), m)
    anchors, reachable = least(lambda r: guaranteed(x, target, n, m, r.astype(np.float64)), guess, np.ones_like(m), m)
    reason = "even the whole block as anchors does not guarantee the fidelity at this margin"
    return answer(anchors, (~reachable, reason), whole=True)


@enclosable
def context_for_fidelity(
    fidelity: RealLike,
    margin: RealLike,
    n_block: RealLike,
    n_anchors: RealLike | None = None,
    temperature: RealLike = 1.0,
) -> int | Unreachable | Solutions:
    """Largest number of keys at which the fidelity is guaranteed: m + floor(r (1-F) e^x / F), 2^53 at most.

    Unreachable where a single key outside the block already breaks the guarantee.
    Raises BadInput for a fidelity outside (0, 1) and for impossible counts.
    """
    m = check.count("n_block", n_block)
    _, m, r = check.keys(np.minimum(m + 1, MOST_KEYS), m, n_anchors)
    target, tau = check.unit_open("fidelity", fidelity), check.positive("temperature", temperature)
    target, delta, m, r, tau = check.together(target, check.finite("margin", margin), m, r, tau)
    x = scaled(delta, tau)
    with np.errstate(over="ignore", under="ignore"):
        guess = np.minimum(m + np.floor(closed_forms.outsiders_allowed(x, target, 1 - target, r)), MOST_KEYS)
    context, reachable = greatest(
        lambda n: guaranteed(x, target, n.astype(np.float64), m, r), guess, m + 1, np.full(m.shape, MOST_KEYS)
    )
    reason = "one key outside the block already breaks the guarantee at this margin"
    return answer(context, (~reachable, reason), whole=True)


@enclosable
def temperature_for_fidelity(
    fidelity: RealLike,
    margin: RealLike,
    n_keys: RealLike,
    n_block: RealLike,
    n_anchors: RealLike | None = None,
) -> float | Unreachable | Solutions:
    """The temperature at which the margin begins to guarantee the fidelity: margin / ln a.

    a > 1, margin > 0: the largest that does. a <= 1, margin >= 0: inf, every temperature does. a < 1, margin < 0: the
    *least* that does, since there the temperature must rise towards uniform attention. Otherwise Unreachable.
    Raises BadInput for a fidelity outside (0, 1) and for impossible counts.
    """
    n, m, r = check.keys(n_keys, n_block, n_anchors)
    target, delta = check.unit_open("fidelity", fidelity), check.finite("margin", margin)
    target, delta, n, m, r = check.together(target, delta, n, m, r)
    needed, _ = _margin(target, n, m, r, np.ones_like(target))  # ln a, on the safe side
    any_temperature = (delta >= 0) & (needed <= 0)
    helps = ((delta > 0) & (needed > 0)) | ((delta < 0) & (needed < 0))

    side = np.where(delta > 0, -1, 1)  # the largest temperature is the least of minus the temperature
    with np.errstate(all="ignore"):
        guess = side * np.maximum(ordinal(np.abs(np.nan_to_num(delta / needed))), 1)
    place, reachable = least(
        lambda o: guaranteed(scaled(delta, at_ordinal(np.abs(o))), target, n, m, r),
        *(guess, guess),
        np.where(delta > 0, -1, LARGEST),
    )
    return answer(
        np.where(any_temperature, np.inf, at_ordinal(np.abs(place))),
        (~any_temperature & ~helps, "the margin is too small for a guarantee at any temperature"),
        (~any_temperature & ~reachable, "the temperature lies beyond the range of float64"),
    )
