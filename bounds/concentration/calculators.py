"""What a margin guarantees: leakage and fidelity of every row whose anchors beat all outsiders by the margin.

    leakage <= (n-m) / ((n-m) + r e^x),   fidelity >= r / (r + (n-m) e^-x),   x = margin/temperature, any sign

n visible keys, m of them in the relevant block, r anchors among those (None: the whole block).
Everything broadcasts; scalars give a float. Source: arXiv:2510.09338v2, abstract, claims C3 and C5; derived here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

import bounds.numbers.arguments as check
from bounds.concentration import closed_forms
from bounds.numbers.errors import BadInput
from bounds.rigour.enclosed import enclosable

__all__ = ["fidelity_floor", "leakage_ceiling", "log_leakage_ceiling"]

Reals = NDArray[np.float64]


def margin_and_keys(
    margin: ArrayLike, n_keys: ArrayLike, n_block: ArrayLike, n_anchors: ArrayLike | None, temperature: ArrayLike
) -> tuple[Reals, Reals, Reals, Reals]:
    """(x, n, m, r)"""
    n, m, r = check.keys(n_keys, n_block, n_anchors)
    tau = check.positive("temperature", temperature)
    return check.scaled(check.extended("margin", margin), tau), n, m, r


def evaluate(form: Any, *arguments: Reals) -> Any:
    """A closed form; what underflows is 0, and what overflows is on the branch that is not taken."""
    try:
        arguments = np.broadcast_arrays(*arguments)
    except ValueError:
        shapes = ", ".join(str(np.shape(a)) for a in arguments)
        raise BadInput(f"arguments must broadcast against each other, got shapes {shapes}") from None
    with np.errstate(all="ignore"):
        return check.result(form(*arguments))


def _with_range(name: str, x: Reals, keys: tuple[Reals, ...], logit_range: ArrayLike | None, tau: ArrayLike) -> Any:
    """The form of that name, or its sharper twin where the range is known."""
    if logit_range is None:
        return evaluate(getattr(closed_forms, name), x, *keys)
    allowed = "at least |margin|"
    span = check.real("logit_range", logit_range, "a number >= 0", lambda a: a >= 0)
    scaled_range = check.scaled(span, np.asarray(tau, dtype=np.float64))
    try:
        good = np.asarray(np.abs(x) <= scaled_range)
    except ValueError:
        raise BadInput(f"margin and logit_range must broadcast, got {x.shape} and {scaled_range.shape}") from None
    if not good.all():
        bad = np.broadcast_to(scaled_range, good.shape)[~good].flat[0]
        margin = np.broadcast_to(x, good.shape)[~good].flat[0]
        raise check.reject("logit_range/temperature", allowed, bad, f" with margin/temperature={margin}")
    return evaluate(getattr(closed_forms, f"{name}_range"), x, *keys, scaled_range)


@enclosable
def leakage_ceiling(
    margin: ArrayLike,
    n_keys: ArrayLike,
    n_block: ArrayLike,
    n_anchors: ArrayLike | None = None,
    temperature: ArrayLike = 1.0,
    logit_range: ArrayLike | None = None,
) -> Any:
    """Largest attention mass outside the block: (n-m) / ((n-m) + r e^x).

    With `logit_range` (largest minus smallest logit, D = logit_range/temperature) known too, and attained then for
    every r: (n-m) / ((n-m) + r e^x + (m-r) e^-(D - max(x, 0))). margin and logit_range in logits; a margin may be
    infinite. Raises ValueError for impossible counts, a range below |margin|, a temperature that is not positive, NaN.
    """
    x, *keys = margin_and_keys(margin, n_keys, n_block, n_anchors, temperature)
    return _with_range("leakage_ceiling", x, tuple(keys), logit_range, temperature)


@enclosable
def log_leakage_ceiling(
    margin: ArrayLike,
    n_keys: ArrayLike,
    n_block: ArrayLike,
    n_anchors: ArrayLike | None = None,
    temperature: ArrayLike = 1.0,
    logit_range: ArrayLike | None = None,
) -> Any:
    """ln of `leakage_ceiling`, which stays finite where the ceiling itself underflows."""
    x, *keys = margin_and_keys(margin, n_keys, n_block, n_anchors, temperature)
    return _with_range("log_leakage_ceiling", x, tuple(keys), logit_range, temperature)


@enclosable
def fidelity_floor(
    margin: ArrayLike,
    n_keys: ArrayLike,
    n_block: ArrayLike,
    n_anchors: ArrayLike | None = None,
    temperature: ArrayLike = 1.0,
    logit_range: ArrayLike | None = None,
) -> Any:
    """Least attention mass on the block: r / (r + (n-m) e^-x), one minus `leakage_ceiling`; errors alike."""
    x, *keys = margin_and_keys(margin, n_keys, n_block, n_anchors, temperature)
    return _with_range("fidelity_floor", x, tuple(keys), logit_range, temperature)
