"""What a target needs: the bounds of `calculators` read backwards, as safe as `bounds.numbers.search` promises.

    fidelity >= F  iff  e^x >= a,   a = (n-m) F / (r (1-F)),   x = margin / temperature

Targets are fidelities in (0, 1). A scalar gives a number, or an `Unreachable` that says why there is none; arrays give
`Solutions`. Source: arXiv:2510.09338v2, abstract, claims C3 to C5; derived here.
"""

# Of a lambda that intervals go through, a type checker knows nothing.
# pyright: reportUnknownLambdaType=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import numpy as np

import bounds.numbers.arguments as check
from bounds.concentration import closed_forms
from bounds.concentration.on_intervals import outside_allowed, scaled_margin
from bounds.numbers.arguments import RealLike
from bounds.numbers.intervals import Interval
from bounds.numbers.search import Solutions, Unreachable, answer, on_intervals, rounded
from bounds.rigour.enclosed import enclosable

__all__ = ["anchors_for_fidelity", "context_for_fidelity", "margin_for_fidelity", "temperature_for_fidelity"]


MOST_KEYS = 2**53  # whole numbers are exact in float64 up to here
_anchors = on_intervals(closed_forms.anchors_needed)


@enclosable
def margin_for_fidelity(
    fidelity: RealLike,
    n_keys: RealLike,
    n_block: RealLike,
    n_anchors: RealLike | None = None,
    temperature: RealLike = 1.0,
) -> float | Unreachable | Solutions:
    """Least margin (logits) that guarantees the fidelity: tau ln((n-m) F / (r (1-F))), negative where little is asked.

    The least float64 that is enough. Unreachable only where that overflows. Raises BadInput for a fidelity outside
    (0, 1) and for impossible counts.
    """
    n, m, r = check.keys(n_keys, n_block, n_anchors)
    target, tau = check.unit_open("fidelity", fidelity), check.positive("temperature", temperature)
    arguments = check.together(target, n - m, r, tau)
    margin = rounded(lambda f, outside, r, tau: tau * scaled_margin(f, outside, r), True, *arguments)
    return answer(margin, (np.isinf(margin), "the margin exceeds the largest float64 at this temperature"))


@enclosable
def anchors_for_fidelity(
    fidelity: RealLike, margin: RealLike, n_keys: RealLike, n_block: RealLike, temperature: RealLike = 1.0
) -> int | Unreachable | Solutions:
    """Least number of anchors that guarantees the fidelity: max(1, ceil((n-m) F/(1-F) e^-x)), if at most n_block.

    Exactly the least. Raises BadInput for a fidelity outside (0, 1) and for impossible counts.
    """
    n, m, _ = check.keys(n_keys, n_block)
    target, tau = check.unit_open("fidelity", fidelity), check.positive("temperature", temperature)
    target, delta, n, m, tau = check.together(target, check.finite("margin", margin), n, m, tau)

    def needed(f: Interval, delta: Interval, tau: Interval, n: Interval, m: Interval) -> Interval:
        return _anchors(delta / tau, f, 1 - f, n, m)

    anchors = np.maximum(rounded(needed, True, target, delta, tau, n, m, whole=True), 1)
    reason = "even the whole block as anchors does not guarantee the fidelity at this margin"
    return answer(anchors, (anchors > m, reason), whole=True)


@enclosable
def context_for_fidelity(
    fidelity: RealLike,
    margin: RealLike,
    n_block: RealLike,
    n_anchors: RealLike | None = None,
    temperature: RealLike = 1.0,
) -> int | Unreachable | Solutions:
    """Largest number of keys at which the fidelity is guaranteed: m + floor(r (1-F) e^x / F), 2^53 at most.

    Exactly the largest. Unreachable where a single key outside the block already breaks the guarantee.
    Raises BadInput for a fidelity outside (0, 1) and for impossible counts.
    """
    m = check.count("n_block", n_block)
    _, m, r = check.keys(np.minimum(m + 1, MOST_KEYS), m, n_anchors)
    target, tau = check.unit_open("fidelity", fidelity), check.positive("temperature", temperature)
    target, delta, m, r, tau = check.together(target, check.finite("margin", margin), m, r, tau)
    outside = rounded(
        lambda f, delta, tau, r: outside_allowed(f, delta / tau, r), False, target, delta, tau, r, whole=True
    )
    reason = "one key outside the block already breaks the guarantee at this margin"
    return answer(np.minimum(m + outside, MOST_KEYS), (outside < 1, reason), whole=True)


@enclosable
def temperature_for_fidelity(
    fidelity: RealLike,
    margin: RealLike,
    n_keys: RealLike,
    n_block: RealLike,
    n_anchors: RealLike | None = None,
) -> float | Unreachable | Solutions:
    """The temperature at which the margin begins to guarantee the fidelity: margin / ln a.

    a > 1, margin > 0: the largest float64 that does. a <= 1, margin >= 0: inf, every temperature does. a < 1, margin
    < 0: the *least* that does, since there the temperature must rise towards uniform attention. Otherwise Unreachable.
    Raises BadInput for a fidelity outside (0, 1) and for impossible counts.
    """
    n, m, r = check.keys(n_keys, n_block, n_anchors)
    target, delta = check.unit_open("fidelity", fidelity), check.finite("margin", margin)
    target, delta, outside, r = check.together(target, delta, n - m, r)
    needed = rounded(scaled_margin, True, target, outside, r)  # ln a; its sign is exact
    any_temperature = (delta >= 0) & (needed <= 0)
    helps = ((delta > 0) & (needed > 0)) | ((delta < 0) & (needed < 0))
    values = rounded(
        lambda f, delta, outside, r: delta / scaled_margin(f, outside, r), delta < 0, target, delta, outside, r
    )
    return answer(
        np.where(any_temperature, np.inf, values),
        (~any_temperature & ~helps, "the margin is too small for a guarantee at any temperature"),
        (~any_temperature & ((values == 0) | np.isinf(values)), "the temperature lies beyond the range of float64"),
    )
