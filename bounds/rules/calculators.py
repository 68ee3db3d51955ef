"""Rules at inference (claims C8, C12): which bias guarantees a rule's attention, and what reloads leave of violations.

    bias >= tau (D + ln((n-r)(1-eps)/(r eps)));   gap >= tau (D + ln(c r_B/r_A));   P(violating) <= prod (1 - p_t)

It is attention mass that is guaranteed, not behaviour. Source: arXiv:2510.09338v2, abstract, claim C8, and
arXiv:2510.05106, abstract, claim C12; derived here.
"""

# Of a lambda that intervals go through, a type checker knows nothing.
# pyright: reportUnknownLambdaType=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import numpy as np

import bounds.numbers.arguments as check
from bounds.concentration.on_intervals import scaled_margin
from bounds.numbers.arguments import RealLike, Value, VectorLike
from bounds.numbers.search import on_intervals, rounded
from bounds.rigour.enclosed import enclosable
from bounds.rules import closed_forms

__all__ = ["priority_gap", "rule_bias", "violation_after_reloads"]


@enclosable
def rule_bias(
    fidelity: RealLike, logit_range: RealLike, n_keys: RealLike, n_rule: RealLike, temperature: RealLike = 1.0
) -> Value:
    """Least bias (logits) on `n_rule` keys that gives them the fidelity in every row of the range; 0 if none is needed.

    max(0, logit_range + tau ln((n-r) F / (r (1-F)))), the next float64 above. Raises BadInput for a fidelity outside
    (0, 1), a negative range, impossible counts, a temperature that is not positive.
    """
    n, r, _ = check.keys(n_keys, n_rule)
    target, tau = check.unit_open("fidelity", fidelity), check.positive("temperature", temperature)
    arguments = check.together(target, check.non_negative("logit_range", logit_range), n - r, r, tau)
    return check.result(
        rounded(lambda f, span, out, r, tau: (span + tau * scaled_margin(f, out, r)).maximum(0), True, *arguments)
    )


@enclosable
def priority_gap(
    ratio: RealLike, logit_range: RealLike, n_first: RealLike, n_second: RealLike, temperature: RealLike = 1.0
) -> Value:
    """Least bias (logits) of the first rule above the second for M_1 >= ratio * M_2 in every row of the range.

    logit_range + tau ln(ratio n_2/n_1), the next float64 above; negative where the first has more keys. Raises BadInput
    for a ratio or a temperature that is not positive, a negative range, counts that are none.
    """
    c, tau = check.positive("ratio", ratio), check.positive("temperature", temperature)
    span, first = check.non_negative("logit_range", logit_range), check.count("n_first", n_first)
    arguments = check.together(c, span, tau, first, check.count("n_second", n_second))
    beyond = on_intervals(closed_forms.gap_needed)
    return check.result(
        rounded(lambda c, span, tau, first, second: span + beyond(c, 0, tau, first, second), True, *arguments)
    )


@enclosable
def violation_after_reloads(removal: VectorLike) -> Value:
    """Probability, at most, that a violation is still there: the product of (1 - p_t) over the last axis.

    `removal` p_t is the probability that reload t removes the violation *given that it persists*. Raises BadInput for
    a probability outside [0, 1] or no axis.
    """
    p = check.unit_closed("removal", removal)
    if p.ndim == 0:
        raise check.reject("removal", "an array whose last axis holds the reloads", f"shape {p.shape}")
    return check.result(np.prod(closed_forms.survives(p), axis=-1))
