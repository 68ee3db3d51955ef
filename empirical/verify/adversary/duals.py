"""Losses with exact quadratic majorants: at most three queries, one in-block parameter, two cross blocks of one number.

l_i(t, w) = u^2 + 2 b_i.w + 2 u k_i.w + d_i |w|^2 + c0,  u = t - r_i,  t_i = I x_i,  w_i = x_i (C_1, C_2)
sup of eta l_i(t, 0) - l_i(t, w) - w^T M_i w = (eta - 1) c0 + sup of -2 b.w - w^T A w over |w| <= n |x_i|,
A = d + M - k k^T/(1 - eta);   beyond eta = 1, where k = 0 and |I| <= 1, plus (eta - 1) sup u^2
"""

from __future__ import annotations

from typing import NamedTuple

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


class Losses(NamedTuple):
    """One loss a row, S = 3 queries, two cross blocks: the symbols of the module's first lines."""

    lie: np.ndarray
    share: np.ndarray  # (rows, S) of the mean; 0 for a query that is not there
    x: np.ndarray
    r: np.ndarray
    c0: np.ndarray
    n: np.ndarray
    eta: np.ndarray
    reach: np.ndarray  # of I: beyond eta = 1 only a bounded parameter has a majorant
    b: np.ndarray
    k: np.ndarray
    d: np.ndarray
    m: np.ndarray  # (rows, S, 2, 2) the quadratic majorants

    @property
    def radius(self) -> np.ndarray:
        return self.n[:, None] * np.abs(self.x)

    def least(self, c: np.ndarray) -> np.ndarray:
        """The loss at these cross blocks and the best I for them."""
        w = self.x[..., None] * c[:, None]
        pulled = (self.k * w).sum(-1)
        i = (self.share * self.x * (self.r - pulled)).sum(-1) / (self.share * self.x**2).sum(-1)
        u = np.clip(i, -self.reach, self.reach)[:, None] * self.x - self.r
        each = u**2 + 2 * (self.b * w).sum(-1) + 2 * u * pulled + self.d * (w**2).sum(-1)
        return (self.share * each).sum(-1) + self.c0

    def supremum(self) -> np.ndarray:
        """(rows, S): what Psi must be at least."""
        left = _left(self.eta)[..., None, None]
        a = self.d[..., None, None] * np.eye(2) + self.m - self.k[..., None] * self.k[..., None, :] / left
        widest = np.where(np.isfinite(self.reach)[:, None], (np.abs(self.x) + np.abs(self.r)) ** 2, 0.0)
        beyond = np.maximum(self.eta - 1, 0)[:, None] * widest
        return ((self.eta - 1) * self.c0)[:, None] + beyond + trust_region(self.b, a, self.radius)


def _left(eta: np.ndarray) -> np.ndarray:
    return np.where(eta < 1, 1 - eta, 1.0)[:, None]


def _drawn(rng: np.random.Generator, count: int) -> Losses:
    lie = rng.integers(0, DRAWS, count)
    there = np.arange(QUERIES) < np.where(lie == NEGATIVE, 1, rng.integers(1, QUERIES + 1, count))[:, None]
    share = there / there.sum(-1, keepdims=True)
    x = rng.uniform(0.2, 2, (count, QUERIES)) * _pick(rng, [-1.0, 1.0], count, QUERIES)
    r = rng.standard_normal((count, QUERIES))
    c0, n = rng.uniform(0, 1, count), 10 ** rng.uniform(-1, 1, count)

    eta = _pick(rng, [1.0, 1.0, 0.0, 0.5, 0.9], count)
    eta = np.where(lie == LOCALISED, 0.5, np.where(lie == BELOW, -1.0, np.where(lie == BEYOND, 1.5, eta)))
    reach = np.where(lie == BEYOND, 1.0, np.inf)
    coupled = (eta < 1) & (rng.random(count) < 0.5) | (lie == BELOW)
    straight = rng.random(count) < 0.5  # the second block does nothing
    keep = np.where(straight[:, None], [1.0, 0.0], 1.0)[:, None]
    b = rng.standard_normal((count, QUERIES, 2)) * _pick(rng, [0.0, 0.3, 1.0], count, 1, 1) * keep
    k = rng.standard_normal((count, QUERIES, 2)) * coupled[:, None, None] * keep
    d = rng.uniform(0, 2, (count, QUERIES))
    losses = Losses(lie, share, x, r, c0, n, eta, reach, b, k, d, np.zeros((count, QUERIES, 2, 2)))
    return _with_majorants(rng, losses, keep)


def _with_majorants(rng: np.random.Generator, of: Losses, keep: np.ndarray) -> Losses:
    """M some form, or just what turns A into |b|/(n|x|), where the supremum lies on the rim.

    Below zero it is a multiple of the identity, and the loss such that the supremum lies where both blocks are equal.
    """
    count, b, k, d = len(of.lie), of.b.copy(), of.k.copy(), of.d.copy()
    root = rng.standard_normal((count, QUERIES, 2)) * _pick(rng, [0.0, 1.0], count, 1, 1) * keep
    needed = np.linalg.norm(b, axis=-1) / of.radius - d + (k**2).sum(-1) / _left(of.eta)
    flat = np.maximum(needed, 0) * _pick(rng, [0.0, 0.5, 1.0, 1.0, 1.5], count, 1)
    below = of.lie == NEGATIVE
    b[below], k[below], root[below] = np.abs(b[below]).max(-1, keepdims=True) + 0.1, 0.0, 0.0
    flat[below] = -rng.uniform(0.1, 1, (below.sum(), 1))
    d[below] = (np.linalg.norm(b, axis=-1) * np.sqrt(2) / of.radius - flat)[below]
    m = flat[..., None, None] * np.eye(2) + root[..., None] * root[..., None, :]
    return of._replace(b=b, k=k, d=d, m=m)


def _worst(rng: np.random.Generator, of: Losses) -> np.ndarray:
    """The least loss over directions of the cross blocks with |C_1| + |C_2| = n: an even fan, and one at random."""
    count = len(of.lie)
    loss = np.full(count, np.inf)
    for at in range(ANGLES + 1):
        turn = rng.uniform(0, 4, count) if at == ANGLES else np.full(count, 4 * at / ANGLES)
        one = np.abs((turn % 4) - 2) - 1
        two = np.abs(((turn + 1) % 4) - 2) - 1
        loss = np.minimum(loss, of.least(of.n[:, None] * np.stack([one, two], -1)))
    return loss


def majorants(rng: np.random.Generator, count: int) -> Rows:
    """Random losses and majorants; cross blocks the worst of many directions, I the best for them."""
    of = _drawn(rng, count)
    lie, share = of.lie, of.share
    supremum = of.supremum()
    psi = supremum + rng.uniform(0, 1, (count, 1)) * _pick(rng, [0.0, 0.0, 0.3], count, 1)
    psi -= np.where(lie == PSI, 0.1 + 0.3 * np.abs(supremum).max(-1), 0.0)[:, None]
    top = np.linalg.eigvalsh(((share * of.x**2)[..., None, None] * of.m).sum(1))[:, -1]
    infimum, loss = of.least(np.zeros((count, 2))), _worst(rng, of)
    wrong = np.where(lie == LAMBDA, 0.3 * top, top)
    over = np.where(of.eta <= 1, rng.uniform(0, 1, count) * _pick(rng, [0.0, 0.0, 1.0], count), 9.0)
    given = infimum + np.where(lie == LOCALISED, -2.0, over)
    return {
        "global_witness": (infimum - loss) / of.n,
        "loss_localised": given,
        "localised_infimum": infimum,
        "loss": loss,
        "eta": of.eta,
        "offset": (share * psi).sum(-1),
        "majorant_excess": np.where(share > 0, supremum - psi, -np.inf).max(-1),
        "quadratic": np.where((lie == NEGATIVE) & (rng.random(count) < 0.3), 0.0, wrong),  # 0 will do for any M below
        "quadratic_top": top,
        "cross_norm": of.n,
    }
