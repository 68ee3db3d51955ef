"""What a margin guarantees, and what a target needs, on intervals: for inverses and for decisions in exact arithmetic.

fidelity >= F  iff  e^x >= a,   a = (n-m) F / (r (1-F)): weights of any kind may stand for the counts
"""

# Of a lambda that intervals go through, a type checker knows nothing.
# pyright: reportUnknownLambdaType=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from bounds.concentration import closed_forms
from bounds.numbers.intervals import Interval
from bounds.numbers.search import OnIntervals, at_least, on_intervals, rounded

_margin, _outsiders = on_intervals(closed_forms.scaled_margin), on_intervals(closed_forms.outsiders_allowed)
_FLOORS = on_intervals(closed_forms.fidelity_floor), on_intervals(closed_forms.fidelity_floor_range)
_CEILINGS = on_intervals(closed_forms.leakage_ceiling), on_intervals(closed_forms.leakage_ceiling_range)
Known = tuple[float, float, float, float, float, float | None]
"""What is known of rows: (margin, n, m, r, temperature, logit range or None)."""


def scaled_margin(fidelity: Interval, outside: Interval, inside: Interval) -> Interval:
    """ln a for weights (or counts of keys) outside and inside, all alike: what closes the gap between them."""
    return _margin(fidelity, 1 - fidelity, outside, 0, inside)


def outside_allowed(fidelity: Interval, x: Interval | float, inside: Interval) -> Interval:
    """The weight, or number of keys, outside that a margin x and so much inside allow."""
    return _outsiders(x, fidelity, 1 - fidelity, inside)


def _on_known(forms: tuple[OnIntervals, OnIntervals], known: Known) -> tuple[OnIntervals, list[float]]:
    """The closed form, or its sharper twin where the range is known, and its arguments."""
    (plain, ranged), (margin, n, m, r, tau, logit_range) = forms, known
    if logit_range is None:
        return lambda margin, n, m, r, tau: plain(margin / tau, n, m, r), [margin, n, m, r, tau]
    arguments = [margin, n, m, r, tau, max(logit_range, abs(margin))]
    return lambda margin, n, m, r, tau, span: ranged(margin / tau, n, m, r, span / tau), arguments


def fidelity_met(fidelity: float, known: Known) -> bool:
    """Whether what is known certainly guarantees the fidelity."""
    form, arguments = _on_known(_FLOORS, known)
    return at_least(form, fidelity, *arguments)


def leakage_above(known: Known) -> float:
    """The largest leakage, the next float64 above: what is computed from a leakage must not start from less."""
    form, arguments = _on_known(_CEILINGS, known)
    return min(float(rounded(form, True, *arguments)), 1.0)
