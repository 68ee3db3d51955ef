"""What a margin guarantees: leakage, fidelity and entropy of every row whose anchors beat all outsiders by the margin.

    leakage <= (n-m) / ((n-m) + r e^x),   fidelity >= r / (r + (n-m) e^-x),   x = margin/temperature, any sign
    entropy <= ln((m-r) + A e^(x g)),     u = (n-m) e^-x, A = r + u, g = u/A, max(x, 0) for x: the exact maximum

n visible keys, m of them in the relevant block, r anchors among those (None: the whole block). Entropies in nats.
Everything broadcasts; scalars give a float. Source: arXiv:2510.09338v2, abstract, claims C3 to C5; derived here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

import bounds.arguments as check
from bounds.closed_forms import concentration as closed_forms
from bounds.closed_forms import entropy as entropy_forms
from bounds.rigorous import enclosable

Reals = NDArray[np.float64]


def _margin_and_keys(
    margin: ArrayLike, n_keys: ArrayLike, n_block: ArrayLike, n_anchors: ArrayLike | None, temperature: ArrayLike
) -> tuple[Reals, Reals, Reals, Reals]:
    """(x, n, m, r)"""
    n, m, r = check.keys(n_keys, n_block, n_anchors)
    tau = check.positive("temperature", temperature)
    return check.scaled(check.extended("margin", margin), tau), n, m, r


def _evaluate(form: Any, *arguments: Reals) -> Any:
    """A closed form; what underflows is 0, and what overflows is on the branch that is not taken."""
    try:
        arguments = np.broadcast_arrays(*arguments)
    except ValueError:
        shapes = ", ".join(str(np.shape(a)) for a in arguments)
        raise ValueError(f"arguments must broadcast against each other, got shapes {shapes}") from None
    with np.errstate(all="ignore"):
        return check.result(form(*arguments))


def _with_range(name: str, x: Reals, keys: tuple[Reals, ...], logit_range: ArrayLike | None, tau: ArrayLike) -> Any:
    """The form of that name, or its sharper twin where the range is known."""
    if logit_range is None:
        return _evaluate(getattr(closed_forms, name), x, *keys)
    allowed = "at least |margin|"
    span = check.real("logit_range", logit_range, "a number >= 0", lambda a: a >= 0)
    scaled_range = check.scaled(span, np.asarray(tau, dtype=np.float64))
    try:
        good = np.asarray(np.abs(x) <= scaled_range)
    except ValueError:
        raise ValueError(f"margin and logit_range must broadcast, got {x.shape} and {scaled_range.shape}") from None
    if not good.all():
        bad = np.broadcast_to(scaled_range, good.shape)[~good].flat[0]
        margin = np.broadcast_to(x, good.shape)[~good].flat[0]
        raise check.reject("logit_range/temperature", allowed, bad, f" with margin/temperature={margin}")
    return _evaluate(getattr(closed_forms, f"{name}_range"), x, *keys, scaled_range)


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
    x, *keys = _margin_and_keys(margin, n_keys, n_block, n_anchors, temperature)
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
    x, *keys = _margin_and_keys(margin, n_keys, n_block, n_anchors, temperature)
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
    x, *keys = _margin_and_keys(margin, n_keys, n_block, n_anchors, temperature)
    return _with_range("fidelity_floor", x, tuple(keys), logit_range, temperature)


@enclosable
def entropy_ceiling(
    margin: ArrayLike,
    n_keys: ArrayLike,
    n_block: ArrayLike,
    n_anchors: ArrayLike | None = None,
    temperature: ArrayLike = 1.0,
) -> Any:
    """Largest entropy (nats), the exact maximum: ln((m-r) + A e^(x g)), u = (n-m) e^-x, A = r + u, g = u/A.

    ln n for x <= 0. It falls in the margin and in r, rises in n and in m, and is never below ln m.
    Raises ValueError for impossible counts, a temperature that is not positive, NaN.
    """
    return _evaluate(entropy_forms.entropy_ceiling, *_margin_and_keys(margin, n_keys, n_block, n_anchors, temperature))


@enclosable
def entropy_envelope(
    margin: ArrayLike,
    n_keys: ArrayLike,
    n_block: ArrayLike,
    n_anchors: ArrayLike | None = None,
    temperature: ArrayLike = 1.0,
) -> Any:
    """An upper bound on `entropy_ceiling` that reads as an exponential: ln(m - r + r exp((n-m)(1+x) e^-x / r)), nats.

    For r = m it is ln m + ((n-m)/m) (1+x) e^-x; no constant may replace 1 + x. max(x, 0) stands for x.
    Raises ValueError like `entropy_ceiling`.
    """
    return _evaluate(entropy_forms.entropy_envelope, *_margin_and_keys(margin, n_keys, n_block, n_anchors, temperature))


@enclosable
def entropy_split(leakage: ArrayLike, n_keys: ArrayLike, n_block: ArrayLike) -> Any:
    """Largest entropy (nats) at a leakage eps: h(eps) + (1-eps) ln m + eps ln(n-m), h the binary entropy.

    Raises ValueError for a leakage outside [0, 1] and for impossible counts.
    """
    n, m, _ = check.keys(n_keys, n_block)
    eps = check.unit_closed("leakage", leakage)
    return _evaluate(entropy_forms.entropy_split, eps, 1 - eps, n, m)


@enclosable
def frontier(
    leakage: ArrayLike,
    margin: ArrayLike,
    n_keys: ArrayLike,
    n_block: ArrayLike,
    n_anchors: ArrayLike | None = None,
    temperature: ArrayLike = 1.0,
) -> Any:
    """Largest entropy (nats) at a leakage eps under a margin; -inf where no row has that leakage.

    Up to eps_m = (n-m) / ((n-m) + m e^x) it is `entropy_split`; from there to `leakage_ceiling`, with
    q = r e^x eps/(n-m) and f = 1 - eps - q, it is -eps ln(eps/(n-m)) - q ln(q/r) - f ln(f/(m-r)).
    Raises ValueError for a leakage outside [0, 1] and like `leakage_ceiling`.
    """
    x, n, m, r = _margin_and_keys(margin, n_keys, n_block, n_anchors, temperature)
    eps = check.unit_closed("leakage", leakage)

    def reachable_only(eps: Reals, x: Reals, n: Reals, m: Reals, r: Reals) -> Reals:
        ceiling = closed_forms.leakage_ceiling(x, n, m, r) * (1 + 8 * np.finfo(np.float64).eps)  # its own rounding
        q = entropy_forms.binding_mass(eps, 1 - eps, x, n, m, r)
        return np.where(eps <= ceiling, entropy_forms.frontier(eps, 1 - eps, q, n, m, r), -np.inf)

    return _evaluate(reachable_only, eps, x, n, m, r)
