"""Anchor geometry: random unit vectors, packings driven to the least coherence, queries at the edge of their cone."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from empirical.verify.adversary.ascent import ascend

PACKINGS = ((2, 2), (3, 2), (4, 2), (5, 2), (4, 3), (6, 3), (7, 3), (5, 4), (8, 4), (12, 3), (10, 5))  # (K, d)


def _unit(x: Tensor) -> Tensor:
    return x / x.norm(dim=-1, keepdim=True)


def _cosines(x: Tensor) -> Tensor:
    """Cosines of all pairs, (B, K(K-1)/2)."""
    rows, columns = torch.triu_indices(x.shape[-2], x.shape[-2], 1)
    return (x @ x.mT)[..., rows, columns]


def _pack(x: Tensor) -> Tensor:
    """Pushed apart: minus the soft maximum of the cosines, ever harder."""
    for sharpness in (10.0, 100.0, 2000.0):
        (x,) = ascend(
            [x],
            lambda v: -(sharpness * _cosines(_unit(v))).logsumexp(-1) / sharpness,  # noqa: B023
            lambda v: [_unit(v)],
            steps=150,
            rate=0.3 / sharpness**0.5,
        )
    return x


def coherence(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Sets of K unit vectors in d dimensions, one in fifty packed, one in fifty of another length."""
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    share = -(-count // len(PACKINGS))
    parts = []
    for number, d in PACKINGS:
        x = _unit(torch.randn(share, number, d, generator=generator, dtype=torch.float64))
        few = max(share // 200, 12)
        x[:few] = _pack(x[:few])
        draw = torch.rand(share, generator=generator, dtype=torch.float64)
        length = torch.where(draw < 0.05, 1.5, torch.where(draw < 0.1, 0.5, 1.0))
        inner = _cosines(x) * length[:, None] ** 2
        fields = {"coherence": inner.amax(-1), "norm": length}
        constant = {"vectors": float(number), "dimension": float(d)}
        parts.append(
            {**{k: v.numpy() for k, v in fields.items()}, **{k: np.full(share, v) for k, v in constant.items()}}
        )
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def margin(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """A query, an anchor of its block and one of another, with their keys: random, or in one plane and at the edge."""

    def at(start: np.ndarray, towards: np.ndarray, angle: np.ndarray) -> np.ndarray:
        across = towards - (towards * start).sum(-1, keepdims=True) * start
        across /= np.linalg.norm(across, axis=-1, keepdims=True)
        return np.cos(angle)[:, None] * start + np.sin(angle)[:, None] * across

    def angle_of(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return 2 * np.arctan2(np.linalg.norm(a - b, axis=-1), np.linalg.norm(a + b, axis=-1))

    d = 3
    plane = rng.random(count) < 0.3
    draw = rng.standard_normal((5, count, d))
    draw[..., 2] = np.where(plane, 0.0, draw[..., 2])
    anchor = draw[0] / np.linalg.norm(draw[0], axis=-1, keepdims=True)
    phi = rng.uniform(0.05, np.pi, count)
    theta, jitter = rng.uniform(0, 1.6, count), rng.choice([0.0, 0.1, 0.3], count)
    other = at(anchor, draw[1], phi)
    reach = np.where(plane, 1.0, rng.random(count))
    query = at(anchor, np.where(plane[:, None], other, draw[2]), theta * reach)
    own = at(anchor, np.where(plane[:, None], -query, draw[3]), jitter * reach)
    foreign = at(other, np.where(plane[:, None], query, draw[4]), jitter * reach)
    length, beta = np.where(rng.random(count) < 0.1, 1.5, 1.0), rng.uniform(0.5, 10, count)
    return {
        "margin": beta * ((query * own).sum(-1) - length * (query * foreign).sum(-1)),
        "theta": np.maximum(angle_of(query, anchor), theta * reach),
        "phi": np.minimum(angle_of(anchor, other), phi),
        "jitter": jitter,
        "beta": beta,
        "norm": length,
    }


def replication(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """dH/dr by a complex step in r, which has no cancellation: r equal anchors among random others."""
    r, logit = rng.integers(1, 9, count).astype(complex) + 1e-30j, rng.uniform(-3, 9, count)
    others = rng.standard_normal((count, 12)) * rng.choice([0.0, 1.0, 3.0], (count, 1))
    weights = np.exp(others)
    spread = np.where(rng.random(count) < 0.1, 0.7, 0.0)  # unequal anchors break it
    anchor_weight = (np.exp(logit) + np.exp(logit - spread)) / 2
    anchor_log = (logit * np.exp(logit) + (logit - spread) * np.exp(logit - spread)) / 2
    total = r * anchor_weight + weights.sum(-1)
    entropy = np.log(total) - (r * anchor_log + (weights * others).sum(-1)) / total
    mass = (r.real * anchor_weight) / total.real
    return {
        "entropy_slope": entropy.imag / 1e-30,
        "anchor_mass": mass,
        "leakage": weights.sum(-1) / total.real,
        "gap": logit - (weights * others).sum(-1) / weights.sum(-1),
        "n_anchors": r.real,
        "anchor_spread": spread,
    }


def information(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """A pointer over K blocks: random channels, symmetric ones, and some that may name no block."""
    blocks = 4
    prior = rng.dirichlet(np.ones(blocks), count)
    symmetric = rng.random(count) < 0.3
    prior[symmetric] = 1 / blocks
    error = rng.uniform(0, 0.9, count)
    even = np.full((blocks, blocks), 1 / (blocks - 1)) - np.eye(blocks) / (blocks - 1)
    channel = rng.dirichlet(np.full(blocks, 0.7), (count, blocks))
    channel = np.where(
        symmetric[:, None, None], (1 - error)[:, None, None] * np.eye(blocks) + error[:, None, None] * even, channel
    )
    off = np.where(rng.random(count) < 0.2, rng.uniform(0, 0.8, count), 0.0)  # mass on keys of no block
    joint = prior[:, :, None] * np.concatenate(
        [channel * (1 - off)[:, None, None], np.broadcast_to(off[:, None, None], (count, blocks, 1))], -1
    )
    named = joint.sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = joint * np.log(joint / (prior[:, :, None] * named[:, None, :]))
        prior_terms = prior * np.log(prior)
    wrong = 1 - np.einsum("bii->b", joint[:, :, :blocks])
    return {
        "information_nats": np.nan_to_num(terms).sum((1, 2)),
        "prior_entropy": -np.nan_to_num(prior_terms).sum(-1),
        "leakage": np.clip(wrong, 0, 1),
        "blocks": np.full(count, float(blocks)),
        "off_mass": off,
    }
