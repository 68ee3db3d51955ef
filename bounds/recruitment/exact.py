"""The exact values of the calculators of recruitment, on Arb balls."""

from __future__ import annotations

from bounds.recruitment.theorems import FORMS
from bounds.rigour.balls import Ball, OnBalls, outward, printed
from bounds.rigour.exact import Bracket, ClosedForm, Ends, whole_above

form: OnBalls = printed(FORMS)


@ClosedForm
def recruitment_price(extra_parameters: float, n_observations: float, cost: float) -> Ball:
    return form("recruitment_price", extra_parameters, n_observations, cost)


@Bracket
def most_recruitments(estimate: float, nll: float, extra_parameters: float, n_observations: float, cost: float) -> Ends:
    """The greatest whole number below the quotient: both where its ball holds a whole number."""
    low, high = outward(nll / recruitment_price(extra_parameters, n_observations, cost))
    return max(whole_above(low) - 1, 0.0), max(whole_above(high) - 1, 0.0)
