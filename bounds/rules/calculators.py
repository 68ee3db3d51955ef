"""Rules at inference (claims C8, C12): which bias guarantees a rule's attention, and what reloads leave of violations.

    bias >= tau (D + ln((n-r)(1-eps)/(r eps)));   gap >= tau (D + ln(c r_B/r_A));   P(violating) <= prod (1 - p_t)

It is attention mass that is guaranteed, not behaviour. Source: arXiv:2510.09338v2, abstract, claim C8, and
arXiv:2510.05106, abstract, claim C12; derived here.
"""

from __future__ import annotations

import numpy as np

import bounds.numbers.arguments as check
from bounds.dial.calculators import worst_case_kappa
from bounds.numbers.arguments import RealLike, Value, VectorLike
from bounds.rigour.enclosed import enclosable
from bounds.rules import closed_forms

__all__ = ["priority_gap", "rule_bias", "violation_after_reloads"]


@enclosable
def rule_bias(
    fidelity: RealLike, logit_range: RealLike, n_keys: RealLike, n_rule: RealLike, temperature: RealLike = 1.0
) -> Value:
    """Least bias (logits) on `n_rule` keys that gives them the fidelity in every row of the range; 0 if none is needed.

    tau max(0, D + ln((n-r) F / (r (1-F)))), rounded up. Raises BadInput as `worst_case_kappa` does.
    """
    tau = check.positive("temperature", temperature)
    kappa = np.asarray(worst_case_kappa(fidelity, logit_range, n_keys, n_rule, temperature))
    return check.result(np.nextafter(kappa * tau, np.inf) * (kappa > 0))


@enclosable
def priority_gap(
    ratio: RealLike, logit_range: RealLike, n_first: RealLike, n_second: RealLike, temperature: RealLike = 1.0
) -> Value:
    """Least bias (logits) of the first rule above the second for M_1 >= ratio * M_2 in every row of the range.

    tau (D + ln(ratio n_2/n_1)), rounded up; negative where the first has more keys. Raises BadInput for a ratio or a
    temperature that is not positive, a negative range, counts that are none.
    """
    c, tau = check.positive("ratio", ratio), check.positive("temperature", temperature)
    span, first = check.non_negative("logit_range", logit_range), check.count("n_first", n_first)
    gap = closed_forms.gap_needed(c, span / tau, tau, first, check.count("n_second", n_second))
    return check.result(np.nextafter(gap + 4 * np.spacing(np.abs(gap)), np.inf))


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
