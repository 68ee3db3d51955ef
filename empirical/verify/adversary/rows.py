"""Attention rows against every row theorem: random rows of many shapes, and logits driven uphill.

An ascended row maximises mu_1 H + mu_2 ln(eps/(1-eps)), weights of either sign drawn for each row, over logits whose
anchors stay x above the outsiders within a range D. Rows that do not sum to one are there to break what needs them to:
rows of which a sink keeps a part, and rows after dropout.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from empirical.observe.rows import row_statistics
from empirical.verify.adversary.ascent import ascend

SIZES = ((2, 1, 1), (3, 2, 1), (4, 2, 2), (6, 3, 1), (9, 8, 3), (9, 3, 3), (24, 6, 2), (40, 20, 20))
ASCENDED = 8  # one row in so many is driven uphill
Rows = dict[str, np.ndarray]


def _random(generator: torch.Generator, count: int, n: int, m: int) -> Tensor:
    """A third normal, a third on two levels by block and outside, a third on two levels key by key."""
    scale = 10 ** (torch.rand(count, 1, generator=generator, dtype=torch.float64) * 3.5 - 2)
    normal = torch.randn(count, n, generator=generator, dtype=torch.float64)
    block = (torch.arange(n) < m).double() * torch.randn(count, 1, generator=generator, dtype=torch.float64).sign()
    keywise = (torch.rand(count, n, generator=generator) < torch.rand(count, 1, generator=generator)).double()
    kind = torch.randint(3, (count, 1), generator=generator)
    return scale * torch.where(kind == 0, normal, torch.where(kind == 1, block, keywise))


def _uphill(generator: torch.Generator, count: int, n: int, m: int, r: int) -> Tensor:
    uniform = torch.rand(count, 4, generator=generator, dtype=torch.float64)
    x = 9 * uniform[:, :1] * (uniform[:, 1:2] > 0.15) - 2 * uniform[:, 1:2] * (uniform[:, 1:2] < 0.1)
    span = x.abs() + 6 * uniform[:, 2:3] + 40.0 * (uniform[:, 3:] > 0.7)
    signs = torch.randint(-1, 2, (count, 2), generator=generator).double()
    mix = torch.rand(count, 2, generator=generator, dtype=torch.float64) * signs
    mix[: count // 2] = signs[: count // 2]
    position = torch.arange(n)
    anchors, outside = position < r, position >= m

    def project(logits: Tensor) -> list[Tensor]:
        moved = logits - logits.where(outside, -torch.inf).amax(-1, keepdim=True)
        moved = torch.where(anchors, moved.maximum(x), moved)
        top = torch.where(outside, -torch.inf, moved).amax(-1, keepdim=True).clamp(min=0.0)
        return [moved.maximum(top - span).where(~(anchors & (moved == x)), x)]

    def objective(logits: Tensor) -> Tensor:
        log_a = logits.log_softmax(-1)
        entropy = -(log_a.exp() * log_a).sum(-1)
        inside, out = (log_a.where(mask, -torch.inf).logsumexp(-1) for mask in (~outside, outside))
        return mix[:, 0] * entropy + 0.2 * mix[:, 1] * (out - inside)

    start = project(torch.randn(count, n, generator=generator, dtype=torch.float64) * 2)
    return ascend(start, objective, project)[0]


def _fields(logits: Tensor, n: int, m: int, r: int, tau: float, dial: float) -> Rows:
    in_block = torch.arange(n) < m
    found = row_statistics(logits * tau, in_block, torch.ones_like(in_block), r, tau, dial=dial)
    constant = {"temperature": tau, "dial": dial}
    rows = {name: value.numpy() for name, value in found.items()}
    return {**rows, **{name: np.full(len(logits), value) for name, value in constant.items()}}


def _broken(rng: np.random.Generator, logits: Tensor, rows: Rows, n: int, m: int) -> Rows:
    """The same rows, summing to one no more: a sink keeps a part of them, or dropout takes keys and scales the rest."""
    weights = logits.softmax(-1).numpy()
    dial, outside, count = rows["dial"], np.arange(n) >= m, len(logits)
    dialled = np.where(outside, weights * (1 - dial[:, None]), weights)
    dialled = dialled / dialled.sum(-1, keepdims=True)
    kept = np.where(rng.random((count, n)) < 0.5, 2.0, 0.0)
    factor = np.where(rng.random((count, 1)) < 0.5, kept, rng.choice([0.5, 0.9], (count, 1)))
    weights, dialled = weights * factor, dialled * factor
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -np.where(weights > 0, weights * np.log(weights), 0.0).sum(-1)
    leakage = np.where(outside, weights, 0.0).sum(-1)
    wrong = {
        "leakage": leakage,
        "fidelity": weights.sum(-1) - leakage,
        "leakage_dialled": np.where(outside, dialled, 0.0).sum(-1),
        "entropy_nats": entropy,
    }
    return {**rows, **wrong, "valid": np.zeros(count, dtype=bool)}


def sample(rng: np.random.Generator, count: int) -> Rows:
    """`count` rows, a few more, of all sizes."""
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    share = -(-count // len(SIZES))
    parts = []
    for n, m, r in SIZES:
        uphill = max(share // ASCENDED, 2)
        logits = torch.cat([_random(generator, share - uphill, n, m), _uphill(generator, uphill, n, m, r)])
        tau, dial = float(rng.choice([0.5, 1.0, 3.0])), float(rng.choice([0.0, 0.3, 0.9, 0.999]))
        rows = _fields(logits, n, m, r, tau, dial)
        few = slice(-uphill // 2, None)
        parts += [rows, _broken(rng, logits[few], {name: value[few] for name, value in rows.items()}, n, m)]
    rows = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    x = np.clip(rows["margin"] / rows["temperature"], 0, None)
    random = rng.uniform(0, 1.3, x.size)
    rows["envelope_exponent"] = np.where(rng.random(x.size) < 0.5, x / (1 + x), random)
    return rows
