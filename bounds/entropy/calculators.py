"""What a margin, or a leakage, leaves of entropy at most (nats).

    entropy <= ln((m-r) + A e^(x g)),     u = (n-m) e^-x, A = r + u, g = u/A, max(x, 0) for x: the exact maximum

n visible keys, m of them in the relevant block, r anchors among those (None: the whole block); x = margin/temperature.
Everything broadcasts; scalars give a float. Source: arXiv:2510.09338v2, abstract, claim C4; derived here.
"""

from __future__ import annotations

import numpy as np

import bounds.numbers.arguments as check
from bounds.concentration import closed_forms
from bounds.concentration.calculators import evaluate, margin_and_keys
from bounds.entropy import closed_forms as entropy_forms
from bounds.numbers.arguments import RealLike, Reals, Value
from bounds.rigour.enclosed import enclosable

__all__ = ["entropy_ceiling", "entropy_envelope", "entropy_split", "frontier"]


@enclosable
def entropy_ceiling(
    margin: RealLike,
    n_keys: RealLike,
    n_block: RealLike,
    n_anchors: RealLike | None = None,
    temperature: RealLike = 1.0,
) -> Value:
    """Largest entropy (nats), the exact maximum: ln((m-r) + A e^(x g)), u = (n-m) e^-x, A = r + u, g = u/A.

    ln n for x <= 0. It falls in the margin and in r, rises in n and in m, and is never below ln m.
    Raises BadInput for impossible counts, a temperature that is not positive, NaN.
    """
    return evaluate(entropy_forms.entropy_ceiling, *margin_and_keys(margin, n_keys, n_block, n_anchors, temperature))


@enclosable
def entropy_envelope(
    margin: RealLike,
    n_keys: RealLike,
    n_block: RealLike,
    n_anchors: RealLike | None = None,
    temperature: RealLike = 1.0,
) -> Value:
    """An upper bound on `entropy_ceiling` that reads as an exponential: ln(m - r + r exp((n-m)(1+x) e^-x / r)), nats.

    For r = m it is ln m + ((n-m)/m) (1+x) e^-x; no constant may replace 1 + x. max(x, 0) stands for x.
    Raises BadInput like `entropy_ceiling`.
    """
    return evaluate(entropy_forms.entropy_envelope, *margin_and_keys(margin, n_keys, n_block, n_anchors, temperature))


@enclosable
def entropy_split(leakage: RealLike, n_keys: RealLike, n_block: RealLike) -> Value:
    """Largest entropy (nats) at a leakage eps: h(eps) + (1-eps) ln m + eps ln(n-m), h the binary entropy.

    Raises BadInput for a leakage outside [0, 1] and for impossible counts.
    """
    n, m, _ = check.keys(n_keys, n_block)
    eps = check.unit_closed("leakage", leakage)
    return evaluate(entropy_forms.entropy_split, eps, 1 - eps, n, m)


@enclosable
def frontier(
    leakage: RealLike,
    margin: RealLike,
    n_keys: RealLike,
    n_block: RealLike,
    n_anchors: RealLike | None = None,
    temperature: RealLike = 1.0,
) -> Value:
    """Largest entropy (nats) at a leakage eps under a margin; -inf where no row has that leakage.

    Up to eps_m = (n-m) / ((n-m) + m e^x) it is `entropy_split`; from there to the leakage ceiling, with
    q = r e^x eps/(n-m) and f = 1 - eps - q, it is -eps ln(eps/(n-m)) - q ln(q/r) - f ln(f/(m-r)).
    The ceiling is evaluated in float64, so that a leakage above it by 64 + 3 |x| ulp counts as at it.
    Raises BadInput for a leakage outside [0, 1] and like the leakage ceiling.
    """
    x, n, m, r = margin_and_keys(margin, n_keys, n_block, n_anchors, temperature)
    eps = check.unit_closed("leakage", leakage)

    def reachable_only(eps: Reals, x: Reals, n: Reals, m: Reals, r: Reals) -> Reals:
        # In logarithms, where nothing underflows: five roundings of |x|/2 ulp, and ln(r/(n-m)), up to 37, by 37 ulp.
        room = np.finfo(np.float64).eps * (64 + 3 * np.abs(x))
        reachable = np.log(eps) <= closed_forms.log_leakage_ceiling(x, n, m, r) + room
        q = entropy_forms.binding_mass(eps, 1 - eps, x, n, m, r)
        return np.where(reachable, entropy_forms.frontier(eps, 1 - eps, q, n, m, r), -np.inf)

    return evaluate(reachable_only, eps, x, n, m, r)
