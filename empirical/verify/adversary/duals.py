"""Losses with exact quadratic majorants: at most three queries, one in-block parameter, two cross blocks of one number.

l_i(t, w) = u^2 + 2 b_i.w + 2 u k_i.w + d_i |w|^2 + c0,  u = t - r_i,  t_i = I x_i,  w_i = x_i (C_1, C_2)
sup of eta l_i(t, 0) - l_i(t, w) - w^T M_i w = (eta - 1) c0 + sup of -2 b.w - w^T A w over |w| <= n |x_i|,
A = d + M - k k^T/(1 - eta);   beyond eta = 1, where k = 0 and |I| <= 1, plus (eta - 1) sup u^2
"""

from __future__ import annotations

import numpy as np

Rows = dict[str, np.ndarray]
QUERIES, ANGLES, HALVINGS = 3, 16, 60
PSI, LAMBDA, NEGATIVE, LOCALISED, BELOW, BEYOND = range(6)  # what a draw breaks on purpose; most break nothing
DRAWS = 18


def trust_region(linear: np.ndarray, form: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """sup of -2 b.w - w^T A w over |w| <= rho, as the least over nu of b^T (A + nu)^-1 b + nu rho^2.

    Every nu >= 0 that makes A + nu positive gives an upper bound, so a multiplier that is not quite the best is safe.
    """
    values, vectors = np.linalg.eigh(form)
    along = np.einsum("...ij,...i->...j", vectors, linear) ** 2
    least = np.maximum(-values[..., 0], 0)
    low, high = least, least + np.sqrt(along.sum(-1)) / radius
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        shifted = np.maximum(values + middle[..., None], 1e-300)
        short = (along / shifted / shifted).sum(-1) <= radius**2
        low, high = np.where(short, low, middle), np.where(short, middle, high)
    shifted = np.maximum(values + high[..., None], 1e-300)
    return np.where(along > 0, along / shifted, 0.0).sum(-1) + high * radius**2


def _pick(rng: np.random.Generator, choices: list[float], *shape: int) -> np.ndarray:
    return rng.choice(choices, shape)


def majorants(rng: np.random.Generator, count: int) -> Rows:
    """Random losses and majorants; cross blocks the worst of many directions, I the best for them."""
    lie = rng.integers(0, DRAWS, count)
    there = np.arange(QUERIES) < np.where(lie == NEGATIVE, 1, rng.integers(1, QUERIES + 1, count))[:, None]
    share = there / there.sum(-1, keepdims=True)
    x = rng.uniform(0.2, 2, (count, QUERIES)) * _pick(rng, [-1.0, 1.0], count, QUERIES)
    r = rng.standard_normal((count, QUERIES))
    c0, n = rng.uniform(0, 1, count), 10 ** rng.uniform(-1, 1, count)
    radius = n[:, None] * np.abs(x)

    eta = _pick(rng, [1.0, 1.0, 0.0, 0.5, 0.9], count)
    eta = np.where(lie == LOCALISED, 0.5, np.where(lie == BELOW, -1.0, np.where(lie == BEYOND, 1.5, eta)))
    reach = np.where(lie == BEYOND, 1.0, np.inf)  # of I: beyond eta = 1 only a bounded parameter has a majorant
    coupled = (eta < 1) & (rng.random(count) < 0.5) | (lie == BELOW)
    straight = rng.random(count) < 0.5  # the second block does nothing
    keep = np.where(straight[:, None], [1.0, 0.0], 1.0)[:, None]
    b = rng.standard_normal((count, QUERIES, 2)) * _pick(rng, [0.0, 0.3, 1.0], count, 1, 1) * keep
    k = rng.standard_normal((count, QUERIES, 2)) * coupled[:, None, None] * keep
    d = rng.uniform(0, 2, (count, QUERIES))

    # M: some form, or just what turns A into |b|/(n|x|), where the supremum lies on the rim
    root = rng.standard_normal((count, QUERIES, 2)) * _pick(rng, [0.0, 1.0], count, 1, 1) * keep
    left = np.where(eta < 1, 1 - eta, 1.0)[:, None]
    needed = np.linalg.norm(b, axis=-1) / radius - d + (k**2).sum(-1) / left
    flat = np.maximum(needed, 0) * _pick(rng, [0.0, 0.5, 1.0, 1.0, 1.5], count, 1)
    # M below zero, the loss such that the supremum lies where both blocks are equal
    below = lie == NEGATIVE
    b[below], k[below], root[below] = np.abs(b[below]).max(-1, keepdims=True) + 0.1, 0.0, 0.0
    flat[below] = -rng.uniform(0.1, 1, (below.sum(), 1))
    d[below] = (np.linalg.norm(b, axis=-1) * np.sqrt(2) / radius - flat)[below]
    m = flat[..., None, None] * np.eye(2) + root[..., None] * root[..., None, :]
    a = d[..., None, None] * np.eye(2) + m - k[..., None] * k[..., None, :] / left[..., None, None]

    widest = np.where(np.isfinite(reach)[:, None], (np.abs(x) + np.abs(r)) ** 2, 0.0)
    supremum = ((eta - 1) * c0)[:, None] + np.maximum(eta - 1, 0)[:, None] * widest + trust_region(b, a, radius)
    psi = supremum + rng.uniform(0, 1, (count, 1)) * _pick(rng, [0.0, 0.0, 0.3], count, 1)
    psi -= np.where(lie == PSI, 0.1 + 0.3 * np.abs(supremum).max(-1), 0.0)[:, None]
    top = np.linalg.eigvalsh(((share * x**2)[..., None, None] * m).sum(1))[:, -1]

    def least(c: np.ndarray) -> np.ndarray:
        """The loss at these cross blocks and the best I for them."""
        w = x[..., None] * c[:, None]
        pulled = (k * w).sum(-1)
        i = (share * x * (r - pulled)).sum(-1) / (share * x**2).sum(-1)
        u = np.clip(i, -reach, reach)[:, None] * x - r
        return (share * (u**2 + 2 * (b * w).sum(-1) + 2 * u * pulled + d * (w**2).sum(-1))).sum(-1) + c0

    infimum = least(np.zeros((count, 2)))
    loss = np.full(count, np.inf)
    for at in range(ANGLES + 1):
        turn = rng.uniform(0, 4, count) if at == ANGLES else np.full(count, 4 * at / ANGLES)
        one = np.abs((turn % 4) - 2) - 1  # the sphere of |C_1| + |C_2|
        two = np.abs(((turn + 1) % 4) - 2) - 1
        loss = np.minimum(loss, least(n[:, None] * np.stack([one, two], -1)))
    wrong = np.where(lie == LAMBDA, 0.3 * top, top)
    over = np.where(eta <= 1, rng.uniform(0, 1, count) * _pick(rng, [0.0, 0.0, 1.0], count), 9.0)
    given = infimum + np.where(lie == LOCALISED, -2.0, over)
    return {
        "global_witness": (infimum - loss) / n,
        "loss_localised": given,
        "localised_infimum": infimum,
        "loss": loss,
        "eta": eta,
        "offset": (share * psi).sum(-1),
        "majorant_excess": np.where(there, supremum - psi, -np.inf).max(-1),
        "quadratic": np.where(below & (rng.random(count) < 0.3), 0.0, wrong),  # 0 will do for any M below
        "quadratic_top": top,
        "cross_norm": n,
    }
