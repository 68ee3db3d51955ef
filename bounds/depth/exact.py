"""The exact drift of layers on Arb balls, and a bound on the rounding of their costs."""

from __future__ import annotations

from functools import partial

from bounds.numbers.arguments import RealLike, last_axis
from bounds.rigour.balls import Ball, ball
from bounds.rigour.exact import ClosedForm, Rounded


@partial(ClosedForm, rows=("errors", "lipschitz"))
def drift_bound(errors: list[float], lipschitz: list[float]) -> Ball:
    drifted = ball(0)
    for error, lip in zip(errors, lipschitz):
        drifted = drifted * (1 + ball(lip)) + error
    return drifted


@Rounded
def layer_costs(diameters: RealLike, lipschitz: RealLike) -> int:
    """Two roundings a layer, of factors of at least 1, and one product."""
    return 8 + 4 * max(map(last_axis, (diameters, lipschitz)))
