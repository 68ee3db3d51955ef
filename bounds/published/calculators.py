"""Published bounds on the same inputs as ours, each with its source.

    sigma-Reparam: entropy from the norm of the logits (Zhai et al. 2023); retrieval error (Ramsauer et al. 2021)
    dispersion: the largest and least weight of a range (order: Velickovic et al. 2024); scalable softmax (Nakanishi)

Entropies in nats, D = logit_range/temperature. Max-margin token selection (Tarzanagh et al. 2023) says that training on
separable data grows the margin without end; `fidelity_floor` at that margin is its rate, and it has no minimiser.
"""

from __future__ import annotations

import numpy as np

import bounds.numbers.arguments as check
from bounds.numbers.arguments import RealLike, Reals, Value
from bounds.published import closed_forms
from bounds.rigour.enclosed import enclosable

__all__ = [
    "hopfield_error",
    "least_attention",
    "most_attention",
    "retrieval_error",
    "scalable_softmax_floor",
    "sigma_reparam_floor",
]


def _keys(n_keys: RealLike) -> Reals:
    n = check.count("n_keys", n_keys)
    if (n < 2).any():
        raise check.reject("n_keys", "at least 2", f"{n.min():g}")
    return n


@enclosable
def sigma_reparam_floor(logit_norm: RealLike, n_keys: RealLike, temperature: RealLike = 1.0) -> Value:
    """Least entropy (nats) of n logits whose centred norm is at most `logit_norm`; Zhai et al. 2023, Thm 3.1.

    ln(1 + (n-1) b) + s sqrt(n(n-1)) b/(1 + (n-1) b), b = e^(-s sqrt(n/(n-1))), s = logit_norm/temperature. Attained by
    a positive centred one-hot. Raises BadInput for a negative norm or fewer than 2 keys.
    """
    s = check.scaled(check.non_negative("logit_norm", logit_norm), check.positive("temperature", temperature))
    s = np.minimum(s, 1e9)  # from 746 on it is 0 in float64
    return check.result(closed_forms.sigma_reparam_floor(*check.together(s, _keys(n_keys))))


@enclosable
def most_attention(logit_range: RealLike, n_keys: RealLike, temperature: RealLike = 1.0) -> Value:
    """Largest weight that a range allows one key: 1/(1 + (n-1) e^-D). Raises BadInput like `fidelity_ceiling`."""
    span = check.scaled(check.non_negative("logit_range", logit_range), check.positive("temperature", temperature))
    return check.result(closed_forms.most_attention(*check.together(span, _keys(n_keys))))


@enclosable
def least_attention(logit_range: RealLike, n_keys: RealLike, temperature: RealLike = 1.0) -> Value:
    """Least weight that a range leaves one key: 1/(1 + (n-1) e^D). Raises BadInput like `fidelity_ceiling`."""
    span = check.scaled(check.non_negative("logit_range", logit_range), check.positive("temperature", temperature))
    return check.result(closed_forms.least_attention(*check.together(span, _keys(n_keys))))


@enclosable
def scalable_softmax_floor(
    margin: RealLike, n_keys: RealLike, n_block: RealLike, n_anchors: RealLike | None = None, scale: RealLike = 1.0
) -> Value:
    """Least fidelity with logits times s ln n (Nakanishi 2025): r/(r + (n-m) n^(-s margin)); any n iff s margin >= 1.

    Raises BadInput for a negative scale, an infinite margin, impossible counts.
    """
    n, m, r = check.keys(n_keys, n_block, n_anchors)
    s, delta = check.non_negative("scale", scale), check.finite("margin", margin)
    return check.result(closed_forms.scalable_softmax_floor(*check.together(delta, n, m, r, s)))


def _patterns(
    n_patterns: RealLike, beta: RealLike, separation: RealLike, radius: RealLike, distance: RealLike
) -> tuple[Reals, ...]:
    n = check.count("n_patterns", n_patterns)
    if (n < 2).any():
        raise check.reject("n_patterns", "at least 2", f"{n.min():g}")
    others = (("beta", beta), ("separation", separation), ("radius", radius), ("distance", distance))
    return tuple(check.together(n, *(check.non_negative(name, value) for name, value in others)))


@enclosable
def hopfield_error(
    n_patterns: RealLike, beta: RealLike, separation: RealLike, radius: RealLike, distance: RealLike
) -> Value:
    """Retrieval error at most, as published (Ramsauer et al. 2021, Thm 5): 2 M (N-1) e^(-beta (Delta - 2 M d)).

    M `radius`: no pattern is longer; Delta `separation` of the pattern; d `distance` of the state from it. Raises
    BadInput for a negative number or fewer than 2 patterns.
    """
    patterns = _patterns(n_patterns, beta, separation, radius, distance)
    with np.errstate(invalid="ignore"):
        return check.result(np.fmin(closed_forms.hopfield_error(*patterns), np.inf))  # what cannot be said is inf


@enclosable
def retrieval_error(
    n_patterns: RealLike, beta: RealLike, separation: RealLike, radius: RealLike, distance: RealLike
) -> Value:
    """Retrieval error at most, from the margin: 2 M u/(1+u), u = (N-1) e^(-beta (Delta - 2 M d)): below the published.

    Arguments and errors as in `hopfield_error`.
    """
    patterns = _patterns(n_patterns, beta, separation, radius, distance)
    with np.errstate(invalid="ignore"):  # of two patterns as long as M, 2 M is the most, also where u overflows
        return check.result(np.fmin(closed_forms.retrieval_error(*patterns), 2 * patterns[3]))
