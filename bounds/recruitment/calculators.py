"""Recruitment by penalised likelihood (claim C9): what one costs, and how many there can be.

    recruit iff the drop in total NLL (nats) exceeds (1/2) p ln N + c;  recruitments < NLL_0 / (c + (1/2) p_min ln N)

Source: arXiv:2510.17358, abstract, claim C9; derived here.
"""

from __future__ import annotations

import numpy as np

import bounds.numbers.arguments as check
from bounds.numbers.arguments import RealLike, Reals, Value
from bounds.numbers.search import on_intervals, rounded
from bounds.recruitment import closed_forms
from bounds.rigour.enclosed import enclosable

__all__ = ["most_recruitments", "recruitment_price"]


def _price_arguments(extra_parameters: RealLike, n_observations: RealLike, cost: RealLike) -> tuple[Reals, ...]:
    p, n = check.non_negative("extra_parameters", extra_parameters), check.count("n_observations", n_observations)
    return p, n, check.positive("cost", cost)


@enclosable
def recruitment_price(extra_parameters: RealLike, n_observations: RealLike, cost: RealLike) -> Value:
    """Drop in total NLL (nats) that a recruitment must exceed: (1/2) p ln N + c.

    Raises BadInput for a negative count of parameters, N that is no count, a cost that is not positive.
    """
    return check.result(closed_forms.recruitment_price(*_price_arguments(extra_parameters, n_observations, cost)))


@enclosable
def most_recruitments(nll: RealLike, extra_parameters: RealLike, n_observations: RealLike, cost: RealLike) -> Value:
    """The greatest whole number below NLL_0 / (c + (1/2) p ln N), p the least number of parameters that one adds.

    `nll` is the total at the start, in nats, of discrete data (>= 0). Errors as in `recruitment_price`.
    """
    total, (p, n, c) = check.non_negative("nll", nll), _price_arguments(extra_parameters, n_observations, cost)
    above = rounded(on_intervals(closed_forms.recruitment_count), True, *check.together(total, p, n, c), whole=True)
    return check.result(np.maximum(above - 1, 0))
