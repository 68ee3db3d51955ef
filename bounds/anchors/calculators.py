"""Anchors (claims C7, C11): the margin that their angles give, how far apart they can lie, what a pointer tells.

    margin >= beta (cos t - cos(phi - t)),  t = theta + jitter <= phi;   information >= H(B) - h(eps) - eps ln(K-1)

Angles in radians, information in nats. Source: arXiv:2510.09338v2, abstract, claim C7; derived here.
"""

from __future__ import annotations

import numpy as np

import bounds.numbers.arguments as check
from bounds.anchors import closed_forms
from bounds.numbers.arguments import RealLike, Value
from bounds.rigour.enclosed import enclosable

__all__ = ["anchor_margin", "coherence_floor", "pointer_information", "replication_slope"]


@enclosable
def anchor_margin(theta: RealLike, phi: RealLike, beta: RealLike = 1.0, jitter: RealLike = 0.0) -> Value:
    """Least margin (logits): beta (cos t - cos(phi - t)), t = theta + jitter; positive iff t < phi/2.

    Unit anchors at an angle of `phi` or more across blocks, a unit query within `theta` of every anchor of its block,
    keys within `jitter` of their anchors, `beta` the logit of two equal unit vectors. Raises BadInput for an angle
    outside [0, pi], t > phi, a beta that is not positive.
    """
    angles = [
        check.real(name, value, "an angle in [0, pi]", lambda a: (a >= 0) & (a <= np.pi))
        for name, value in (("theta", theta), ("phi", phi), ("jitter", jitter))
    ]
    t, phi, beta = check.together(angles[0] + angles[2], angles[1], check.positive("beta", beta))
    if (t > phi).any():
        raise check.reject("theta + jitter", "at most phi", f"{t[t > phi].flat[0]:g}")
    return check.result(closed_forms.anchor_margin(t, phi, beta))


@enclosable
def coherence_floor(n_anchors: RealLike, dimension: RealLike) -> Value:
    """Least possible largest cosine of K unit anchors in d dimensions: the best of the proved floors.

    -1/(K-1); 0 once K > d + 1; cos(2 pi/K) in the plane; (K-2d)/(d(K-2)); and the s at which
    d(1-s)(2+(d+1)s)/(1-d s^2) = K. Attained for K <= 2d and in the plane, among others. Raises BadInput for fewer
    than 2 anchors or 2 dimensions.
    """
    k, d = check.together(check.count("n_anchors", n_anchors), check.count("dimension", dimension))
    for name, value in (("n_anchors", k), ("dimension", d)):
        if (value < 2).any():
            raise check.reject(name, "at least 2", f"{value.min():g}")
    with np.errstate(divide="ignore", invalid="ignore"):
        simplex = closed_forms.coherence_simplex(k)
        second = np.where(k > 2, closed_forms.coherence_levenshtein(k, d), -1.0)
        floor = np.maximum(np.where(k > d + 1, 0.0, simplex), np.where(k >= d + 1, second, -1.0))
        floor = np.where(d == 2, np.maximum(floor, closed_forms.coherence_polygon(k)), floor)
        third = closed_forms.coherence_third(k, d)
    usable = np.isfinite(third) & (third >= 0) & (d * third**2 < 1)
    return check.result(np.where(usable, np.maximum(floor, third), floor))


@enclosable
def pointer_information(prior_entropy: RealLike, leakage: RealLike, n_blocks: RealLike) -> Value:
    """Least information (nats) of a pointer about the block: H(B) - h(eps) - eps ln(K-1).

    `leakage` is the probability that it errs, at most 1 - 1/K; an upper bound may stand for it. Raises BadInput for a
    leakage beyond that, fewer than 2 blocks, a prior entropy outside [0, ln K].
    """
    k = check.count("n_blocks", n_blocks)
    if (k < 2).any():
        raise check.reject("n_blocks", "at least 2", f"{k.min():g}")
    eps = check.real("leakage", leakage, "in [0, 1 - 1/n_blocks]", lambda a: (a >= 0) & (a <= 1 - 1 / k))
    prior = check.real(
        "prior_entropy", prior_entropy, "in [0, ln n_blocks]", lambda a: (a >= 0) & (a <= np.log(k) * (1 + 1e-12))
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        return check.result(closed_forms.pointer_information(*check.together(prior, eps, k)))


@enclosable
def replication_slope(anchor_mass: RealLike, gap: RealLike, n_anchors: RealLike) -> Value:
    """dH/dr (nats) of one more equal anchor: (q/r)(1 - (1-q) G).

    `anchor_mass` q is the attention of the r anchors together, `gap` G their logit minus the attention-weighted mean
    logit elsewhere, over temperature. Raises BadInput for a mass outside [0, 1] or a count that is none.
    """
    q, r = check.unit_closed("anchor_mass", anchor_mass), check.count("n_anchors", n_anchors)
    return check.result(closed_forms.replication_slope(q, 1 - q, check.finite("gap", gap), r))
