"""What weights alone say: how far the logits of a head's row can span, whatever the text.

    layer input  x = gain z + shift,  ||z|| <= rho = sqrt(d)   (LayerNorm: sum z = 0 too; RMSNorm: shift 0)
    query  q = Q z + f,  Q = W_q diag(gain) P,  f = W_q shift + b_q;  key  k = K z' + g alike   (P centres, or is 1)
    plain   s_ij - s_ik = c q_i . K (z_j - z_k):  D = 2 c rho max ||K^T (Q z + f)||, what keys have in common cancels
    rotary  s_ij = c (E q_i) . R (k_j / E):       D <= 2 c max ||E q|| max ||k / E||, E > 0 alike in both of a plane

    capped  s' = t tanh(s / t) of either (t a soft cap):  D' = 2 t tanh(D / 2t), its widest at s_ij = -s_ik = D/2

with max over the ball. Derived here. *Plain*: z_j - z_k is any vector of length up to 2 rho (z_k = -z_j), so this D is
attained by some inputs and no smaller number is right. *Rotary*: R turns every plane by itself, so it commutes with E
and keeps lengths; Cauchy-Schwarz does the rest. E is searched for, any is valid. Positions are used no further.
Features that are not turned are planes of one feature in it; or a plain part, whose D is added to that of the turned
one. *Capped*: tanh is odd, increasing, and concave above zero.

Both need max ||N z + f|| over ||z|| <= rho. For every lambda > ||N||^2 and z in the ball

    ||N z + f||^2 <= max over all z of ||N z + f||^2 + lambda (rho^2 - ||z||^2)
                   = lambda (rho^2 + f . (lambda - N N^T)^-1 f) = lambda (rho^2 + sum a_i^2 / (lambda - sigma_i^2))

with N = U diag(sigma) V^T, a = U^T f: a bound for every lambda, and for the best one the maximum itself (a trust region
has no duality gap). Epsilons of the norms only shrink z. Rounding: QR, SVD and products are backward stable, their
errors enter a maximum of norms additively, and 8 d h 2^-53 of the Frobenius norms of what went in is added. Rounding
within the model itself, in its own precision, is not covered.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

import bounds.numbers.arguments as check
from bounds.numbers.arguments import Reals

HARD_MASK = 150 * np.log(2.0)  # kappa from which e^-kappa is zero in float32, whose least number is 2^-149
UNIT = 2.0**-53
ROUNDS, RATE = 12, 0.5  # of the search for plane scales: how often, and how much of an imbalance is undone at first


@dataclass(frozen=True)
class Side:
    """Queries or keys of a head as an affine image of a ball: matrix z + offset, ||z|| <= radius."""

    matrix: Reals  # (h, d)
    offset: Reals  # (h,)
    radius: float
    matrix_size: float  # Frobenius norm of what the matrix was computed from, and norm of what the offset was:
    offset_size: float  # rounding is in units of them

    @property
    def rounding(self) -> float:
        """Relative to these sizes, of all that is computed from them."""
        return 8 * self.matrix.size * UNIT


def side(
    weight: Reals, gain: Reals, bias: Reals | None = None, shift: Reals | None = None, centred: bool = False
) -> Side:
    """Queries or keys W (gain z + shift) + bias of normalised z; `weight` (h, d), `gain` and `shift` (d,), `bias` (h,).

    `centred` for LayerNorm, whose z sums to zero. Raises BadInput for shapes that do not fit or weights not finite.
    """
    weight, gain = check.finite("weight", weight), check.finite("gain", gain)
    if weight.ndim != 2 or 0 in weight.shape:
        raise check.reject("weight", "(features of a head, width)", f"shape {weight.shape}")
    h, d = weight.shape
    bias = check.finite("bias", np.zeros(int(h)) if bias is None else bias)
    shift = check.finite("shift", np.zeros(int(d)) if shift is None else shift)
    for name, given, size in (("gain", gain, d), ("shift", shift, d), ("bias", bias, h)):
        if given.shape != (size,):
            raise check.reject(name, f"of shape ({size},)", f"shape {given.shape}")
    scaled = weight * gain
    matrix = scaled - scaled.mean(1, keepdims=True) if centred else scaled
    size = float(np.linalg.norm(weight) * np.linalg.norm(shift) + np.linalg.norm(bias))
    radius = float(np.nextafter(np.sqrt(d), np.inf))
    return Side(matrix, weight @ shift + bias, radius, float(np.linalg.norm(scaled)), size)


def _reduced(matrix: Reals) -> Reals:
    """A matrix N' of at most h columns with N N^T = N' N'^T: the triangle of N^T = O T is its transpose."""
    return np.asarray(np.linalg.qr(matrix.T, mode="r")).T


def _furthest(matrix: Reals, offset: Reals, radius: float) -> tuple[float, Reals]:
    """(bound on max ||N z + f||, about the vector N z + f that attains it), but for the rounding of QR and SVD."""
    left, sigma, _ = np.linalg.svd(matrix, full_matrices=False)
    along = left.T @ offset
    rest = max(float(offset @ offset - along @ along), 0.0) if left.shape[1] < left.shape[0] else 0.0
    size = float(np.linalg.norm(offset))
    high = float(sigma[0]) * size / radius  # of lambda - sigma_1^2: there the bound is at most (sigma_1 rho + ||f||)^2
    if not high * np.exp(-40.0) > 0:  # a zero among them, or so small that squares vanish: the triangle inequality
        return (float(sigma[0]) * radius + size) * (1 + 1e-12), left[:, 0] if size == 0 else offset
    gaps: Reals = (sigma[0] - sigma) * (sigma[0] + sigma)

    def squared(power: Reals) -> tuple[Reals, Reals, Reals]:
        excess = high * np.exp(power)
        level = sigma[0] ** 2 + excess
        return excess, level, level * (radius**2 + (along**2 / (excess[:, None] + gaps)).sum(1)) + rest

    power = np.linspace(-32.0, 0.0, 65)
    excess, level, values = squared(power)
    for _ in range(2):  # the bound is convex in lambda: twice finer around the best
        best, step = float(power[values.argmin()]), float(power[1] - power[0])
        power = np.linspace(best - step, min(best + step, 0.0), 65)
        excess, level, values = squared(power)
    best = int(values.argmin())
    top: Reals = left @ (level[best] * along / (excess[best] + gaps))
    return float(np.sqrt(values[best])) * (1 + 1e-12), top if np.linalg.norm(top) > size / 2 else left[:, 0]


def norm_bound(side: Side) -> float:
    """Upper bound on the norm of a query or key, rounded up; attained where layer inputs fill their ball."""
    value, _ = _furthest(_reduced(side.matrix), side.offset, side.radius)
    return value + side.rounding * (side.matrix_size * side.radius + side.offset_size)


def plain_range(query: Side, key: Side, scaling: float) -> float:
    """Most that the logits of a row can span where nothing rotates queries and keys, in nats; attained, rounded up."""
    _match(query, key)
    triangle = _reduced(key.matrix).T  # ||K^T v|| = ||T v||
    value, _ = _furthest(_reduced(triangle @ query.matrix), triangle @ query.offset, query.radius)
    rounding = query.rounding + key.rounding
    value += rounding * key.matrix_size * (query.matrix_size * query.radius + query.offset_size)
    return 2 * abs(scaling) * key.radius * value * (1 + 1e-14)


def _turned(features: int, planes: int) -> int:
    """How many features are turned where planes are of two, i and i + half of these, and then of one each."""
    return 2 * (features - planes)


def _by_feature(scales: Reals, features: int) -> Reals:
    """The scale of each feature from that of its plane."""
    half = _turned(features, len(scales)) // 2
    return np.concatenate([scales[:half], scales])


def _by_plane(squares: Reals, planes: int) -> Reals:
    """What the features of each plane have together."""
    half = _turned(len(squares), planes) // 2
    return np.concatenate([squares[:half] + squares[half : 2 * half], squares[2 * half :]])


def scaled_by_plane(side: Side, scales: Reals) -> Side:
    """The side with the features of plane i multiplied by scales[i] > 0; fewer features are turned for more planes."""
    both = _by_feature(scales, side.matrix.shape[0])
    matrix, offset = both[:, None] * side.matrix, both * side.offset
    most = float(both.max())
    return Side(matrix, offset, side.radius, most * side.matrix_size, most * side.offset_size)


def plane_scales(query: Side, key: Side, planes: int) -> Reals:
    """Scales of the planes that make max ||E q|| max ||k / E|| small: the shares of each plane in both are balanced.

    First their mean squares, then a descent on ln E: where it ends the vectors that attain the two norms have the same
    share in every plane.
    """
    h = query.matrix.shape[0]
    sides = [(_reduced(s.matrix), s.offset, s.radius) for s in (query, key)]
    weights = [_by_plane((matrix**2).sum(1) * radius**2 + offset**2, planes) for matrix, offset, radius in sides]
    logs: Reals = np.log(np.maximum(weights[1], 1e-300) / np.maximum(weights[0], 1e-300)).clip(-40, 40) / 4
    best, least = logs, np.inf
    for number in range(ROUNDS):
        shares: list[Reals] = []
        product = 1.0
        for (matrix, offset, radius), sign in zip(sides, (1, -1)):
            both = np.exp(sign * _by_feature(logs, h))
            value, top = _furthest(both[:, None] * matrix, both * offset, radius)
            squares = _by_plane(top**2, planes)
            shares.append(squares / max(squares.sum(), np.finfo(float).tiny))
            product *= value
        if product < least:
            least, best = product, logs
        logs = logs - RATE / (1 + number / 3) * (shares[0] - shares[1])
        logs = np.clip(logs - logs.mean(), -20, 20)  # a common factor changes nothing
    return np.exp(best)


def _part(side: Side, features: slice) -> Side:
    return replace(side, matrix=side.matrix[features], offset=side.offset[features])


def rotary_range(query: Side, key: Side, scaling: float, turned: int | None = None) -> float:
    """Bound on what the logits of a row span where rotary positions turn the first features, or all; rounded up.

    They are turned in pairs (i, i + turned/2). Raises BadInput for a number of them that is odd, or none of the sides'.
    """
    _match(query, key)
    h = query.matrix.shape[0]
    first = h if turned is None else turned
    if first % 2 or not 0 < first <= h:
        raise check.reject("turned", f"an even number of the {h} features", first)
    planes = h - first // 2
    products: list[float] = []
    for scales in (np.ones(planes), plane_scales(query, key, planes)):
        products.append(norm_bound(scaled_by_plane(query, scales)) * norm_bound(scaled_by_plane(key, 1 / scales)))
    together = 2 * abs(scaling) * min(products) * (1 + 1e-14)
    if first == h:
        return together
    turning, fixed = ([_part(side, part) for side in (query, key)] for part in (slice(first), slice(first, None)))
    apart = rotary_range(turning[0], turning[1], scaling) + plain_range(fixed[0], fixed[1], scaling)
    return min(together, apart * (1 + 1e-15))


def capped_range(span: float, cap: float) -> float:
    """Most that logits which span at most `span` still span after cap tanh(logit / cap), in nats; rounded up."""
    return min(span, 2 * cap * float(np.tanh(span / (2 * cap))) * (1 + 1e-14))


def _match(query: Side, key: Side) -> None:
    if query.matrix.shape[0] != key.matrix.shape[0]:
        raise check.reject("key", f"of {query.matrix.shape[0]} features", key.matrix.shape[0])
