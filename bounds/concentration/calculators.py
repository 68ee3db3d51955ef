"""What a margin guarantees: leakage and fidelity of every row whose anchors beat all outsiders by the margin.

    leakage <= (n-m) / ((n-m) + r e^x),   fidelity >= r / (r + (n-m) e^-x),   x = margin/temperature, any sign

n visible keys, m of them in the relevant block, r anchors among those (None: the whole block).
Everything broadcasts; scalars give a float. Source: arXiv:2510.09338v2, abstract, claims C3 and C5; derived here.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import bounds.numbers.arguments as check
from bounds.concentration import closed_forms
from bounds.numbers.arguments import RealLike, Reals, Value
from bounds.rigour.enclosed import enclosable

__all__ = ["fidelity_floor", "leakage_ceiling", "log_leakage_ceiling"]


def margin_and_keys(
    margin: RealLike, n_keys: RealLike, n_block: RealLike, n_anchors: RealLike | None, temperature: RealLike
) -> tuple[Reals, Reals, Reals, Reals]:
    """(x, n, m, r)"""
    n, m, r = check.keys(n_keys, n_block, n_anchors)
    tau = check.positive("temperature", temperature)
    return check.scaled(check.extended("margin", margin), tau), n, m, r


def evaluate(form: Callable[..., Reals], *arguments: Reals) -> Value:
    """A closed form; what underflows is 0, and what overflows is on the branch that is not taken."""
    arguments = check.together(*arguments)
    with np.errstate(all="ignore"):
        return check.result(form(*arguments))


def _with_range(name: str, x: Reals, keys: tuple[Reals, ...], logit_range: RealLike | None, tau: RealLike) -> Value:
    """The form of that name, or its sharper twin where the range is known."""
    if logit_range is None:
        return evaluate(getattr(closed_forms, name), x, *keys)
    span = check.real("logit_range", logit_range, "a number >= 0", lambda a: a >= 0)
    scaled_range = check.covering(check.scaled(span, check.positive("temperature", tau)), x, "/temperature")
    return evaluate(getattr(closed_forms, f"{name}_range"), x, *keys, scaled_range)


@enclosable
def leakage_ceiling(
    margin: RealLike,
    n_keys: RealLike,
    n_block: RealLike,
    n_anchors: RealLike | None = None,
    temperature: RealLike = 1.0,
    logit_range: RealLike | None = None,
) -> Value:
    """Largest attention mass outside the block: (n-m) / ((n-m) + r e^x).

    With `logit_range` (largest minus smallest logit, D = logit_range/temperature) known too, and attained then for
    every r: (n-m) / ((n-m) + r e^x + (m-r) e^-(D - max(x, 0))). margin and logit_range in logits; a margin may be
    infinite. A range below |margin| by 8 ulp or fewer, as two ways of computing one number differ, counts as |margin|.
    Raises BadInput for impossible counts, a range below that, a temperature that is not positive, NaN.
    """
    x, *keys = margin_and_keys(margin, n_keys, n_block, n_anchors, temperature)
    return _with_range("leakage_ceiling", x, tuple(keys), logit_range, temperature)


@enclosable
def log_leakage_ceiling(
    margin: RealLike,
    n_keys: RealLike,
    n_block: RealLike,
    n_anchors: RealLike | None = None,
    temperature: RealLike = 1.0,
    logit_range: RealLike | None = None,
) -> Value:
    """ln of `leakage_ceiling`, which stays finite where the ceiling itself underflows."""
    x, *keys = margin_and_keys(margin, n_keys, n_block, n_anchors, temperature)
    return _with_range("log_leakage_ceiling", x, tuple(keys), logit_range, temperature)


@enclosable
def fidelity_floor(
    margin: RealLike,
    n_keys: RealLike,
    n_block: RealLike,
    n_anchors: RealLike | None = None,
    temperature: RealLike = 1.0,
    logit_range: RealLike | None = None,
) -> Value:
    """Least attention mass on the block: r / (r + (n-m) e^-x), one minus `leakage_ceiling`; errors alike."""
    x, *keys = margin_and_keys(margin, n_keys, n_block, n_anchors, temperature)
    return _with_range("fidelity_floor", x, tuple(keys), logit_range, temperature)
