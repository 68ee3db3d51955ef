"""The dial at inference: how much leakage it leaves, and how far it must be turned.

    weights outside the block times 1 - dial, that is tau ln(1 - dial) added to their logits;  kappa = -ln(1 - dial)
    leakage/fidelity is multiplied by 1 - dial = e^-kappa, exactly, in every row;  dial 0 changes nothing, 1 masks

Every function has a kappa twin: near 1 a float64 dial has a last step of 1e-16 and may have to be exactly 1.
Source: arXiv:2510.09338v2, abstract, claims C1 and C2; derived here.
"""

# Of a lambda that intervals go through, a type checker knows nothing.
# pyright: reportUnknownLambdaType=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

import bounds.numbers.arguments as check
from bounds.concentration.on_intervals import outside_allowed, scaled_margin
from bounds.dial import closed_forms
from bounds.numbers.arguments import RealLike, Reals, Value
from bounds.numbers.intervals import Interval
from bounds.numbers.search import on_intervals, rounded
from bounds.rigour.enclosed import enclosable

__all__ = [
    "dial_bias",
    "dial_for_fidelity",
    "dial_leakage",
    "dial_of_kappa",
    "kappa_bias",
    "kappa_for_fidelity",
    "kappa_leakage",
    "kappa_of_dial",
    "worst_case_dial",
    "worst_case_kappa",
]


def _kappa(value: RealLike) -> Reals:
    return check.real("kappa", value, ">= 0 (inf masks)", lambda a: a >= 0)


def _undialled(leakage: RealLike, masks: bool | NDArray[np.bool_] = False) -> Reals:
    """The leakage before dialling. A row without any mass in its block has nothing left under a hard mask."""
    leakage = check.unit_closed("leakage", leakage)
    if np.any((leakage == 1) & masks):
        raise check.reject("leakage", "below 1 under a hard mask: the row must have some mass in its block", 1.0)
    return leakage


@enclosable
def dial_leakage(leakage: RealLike, dial: RealLike) -> Value:
    """Leakage of a row after the dial is turned: eps (1 - dial) / (1 - dial eps).

    `leakage` is the row's own at dial 0, in [0, 1]; `dial` in [0, 1]. Raises BadInput for leakage 1 at dial 1.
    """
    dial = check.unit_closed("dial", dial)
    before = _undialled(leakage, dial == 1)
    return check.result(closed_forms.dial_leakage(before, 1 - before, dial))


@enclosable
def kappa_leakage(leakage: RealLike, kappa: RealLike) -> Value:
    """`dial_leakage` with the dial given as kappa = -ln(1 - dial), in [0, inf]."""
    kappa = _kappa(kappa)
    with np.errstate(under="ignore"):
        before = _undialled(leakage, np.exp(-kappa) == 0)
        return check.result(closed_forms.kappa_leakage(before, 1 - before, kappa))


def _least_dial(f: Interval, x: Interval | float, outside: Interval, inside: Interval) -> Interval:
    """1 minus the share of the weight outside that may stay: of a row in which the block is a margin x above it."""
    return (1 - outside_allowed(f, x, inside) / outside).maximum(0)


def _least_kappa(f: Interval, x: Interval | float, outside: Interval, inside: Interval) -> Interval:
    return (scaled_margin(f, outside, inside) - x).maximum(0)


def _of_row(form: Callable[..., Interval], fidelity: RealLike, leakage: RealLike) -> Value:
    """What a row of this leakage needs; one without any needs nothing."""
    target, before = check.together(check.unit_open("fidelity", fidelity), _undialled(leakage, True))
    needed = rounded(lambda f, eps: form(f, 0, eps, 1 - eps) if eps > 0 else eps, True, target, before)
    return check.result(needed)


@enclosable
def dial_for_fidelity(fidelity: RealLike, leakage: RealLike) -> Value:
    """Least dial that brings a row of this leakage to the fidelity, rounded up; 0 where nothing need be done.

    1 - dial = odds(1 - F) / odds(eps); exactly 1 where no smaller float64 is enough.
    Raises BadInput for a fidelity outside (0, 1) or a leakage outside [0, 1).
    """
    return _of_row(_least_dial, fidelity, leakage)


@enclosable
def kappa_for_fidelity(fidelity: RealLike, leakage: RealLike) -> Value:
    """`dial_for_fidelity` as kappa = max(0, ln(odds(eps) / odds(1 - F))), rounded up."""
    return _of_row(_least_kappa, fidelity, leakage)


def _of_worst_row(
    form: Callable[..., Interval],
    fidelity: RealLike,
    logit_range: RealLike,
    n_keys: RealLike,
    n_block: RealLike,
    temperature: RealLike,
) -> Value:
    """What the row of that range needs in which every key of the block lies at the bottom, all others at the top."""
    n, m, _ = check.keys(n_keys, n_block)
    target, tau = check.unit_open("fidelity", fidelity), check.positive("temperature", temperature)
    arguments = check.together(target, check.non_negative("logit_range", logit_range), tau, n - m, m)
    return check.result(rounded(lambda f, span, tau, out, block: form(f, -span / tau, out, block), True, *arguments))


@enclosable
def worst_case_dial(
    fidelity: RealLike,
    logit_range: RealLike,
    n_keys: RealLike,
    n_block: RealLike,
    temperature: RealLike = 1.0,
) -> Value:
    """Least dial that gives the fidelity to every row whose logits span at most `logit_range`, rounded up.

    1 - dial = m (1-F) / ((n-m) F) e^-D, at least 0, D = logit_range/temperature: tight. For rows of several sizes the
    largest (n-m)/m counts. Raises BadInput for a fidelity outside (0, 1), a negative range, impossible counts.
    """
    return _of_worst_row(_least_dial, fidelity, logit_range, n_keys, n_block, temperature)


@enclosable
def worst_case_kappa(
    fidelity: RealLike,
    logit_range: RealLike,
    n_keys: RealLike,
    n_block: RealLike,
    temperature: RealLike = 1.0,
) -> Value:
    """`worst_case_dial` as kappa = max(0, D + ln((n-m) F / (m (1-F)))), rounded up: nothing is lost near dial 1.

    inf, a hard mask, where that exceeds the largest float64.
    """
    return _of_worst_row(_least_kappa, fidelity, logit_range, n_keys, n_block, temperature)


@enclosable
def dial_bias(dial: RealLike, temperature: RealLike = 1.0) -> Value:
    """What the dial adds to the logits outside the block: temperature * ln(1 - dial), in logits; -inf at dial 1.

    Rounded down: what it leaves outside is never more than the dial says. It and its like are exact at 0.
    """
    arguments = check.together(check.unit_closed("dial", dial), check.positive("temperature", temperature))
    return check.result(rounded(on_intervals(closed_forms.dial_bias), False, *arguments))


@enclosable
def kappa_bias(kappa: RealLike, temperature: RealLike = 1.0) -> Value:
    """`dial_bias` from kappa: -temperature * kappa, in logits, rounded down."""
    arguments = check.together(_kappa(kappa), check.positive("temperature", temperature))
    return check.result(rounded(on_intervals(closed_forms.kappa_bias), False, *arguments))


@enclosable
def kappa_of_dial(dial: RealLike) -> Value:
    """kappa = -ln(1 - dial) for a dial in [0, 1], rounded up; inf at 1."""
    return check.result(rounded(on_intervals(closed_forms.kappa_of_dial), True, check.unit_closed("dial", dial)))


@enclosable
def dial_of_kappa(kappa: RealLike) -> Value:
    """dial = 1 - e^-kappa for kappa in [0, inf], the nearest float64: prefer kappa where a guarantee hangs on it."""
    with np.errstate(under="ignore"):
        return check.result(closed_forms.dial_of_kappa(_kappa(kappa)) + 0.0)


def penalty_of_dial(dial: RealLike, critical: RealLike) -> Value:
    """The dial in training: the penalty lambda_crit dial / (1 - dial), in the unit of the critical penalty.

    Dial 0 is no penalty, 1/2 the critical penalty at which a localised model loses stability, 1 holds the cross blocks
    at zero (inf). Raises BadInput for a dial outside [0, 1] or a critical penalty that is not positive.
    """
    dial, critical = check.unit_closed("dial", dial), check.positive("critical", critical)
    with np.errstate(divide="ignore"):
        return check.result(critical * (dial / (1 - dial)))


def dial_of_penalty(penalty: RealLike, critical: RealLike) -> Value:
    """Its inverse, penalty / (penalty + critical). Raises BadInput for a negative penalty, a critical one <= 0."""
    critical = check.positive("critical", critical)
    penalty = check.real("penalty", penalty, ">= 0 (inf holds the cross blocks at zero)", lambda a: a >= 0)
    with np.errstate(divide="ignore"):
        return check.result(1 / (1 + critical / penalty))
