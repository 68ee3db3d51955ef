"""Attention heads against the bounds on their gradients: random heads, and heads driven uphill on norm over bound.

A head has queries of one block, keys with features in one block each or in both, values v_j, logits by any W, and for
every query a gradient g_i at its output: the loss is mean <g_i, o_i>, whose gradient in W autograd takes.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from bounds.penalty import closed_forms as forms
from bounds.penalty import closed_forms as global_forms
from empirical.verify.adversary.ascent import ascend, torch_form

QUERIES, N_KEYS, D, VALUE = 3, 4, 2, 2
BOUNDS, LEVEL_B = 4, 1  # how many `_bounds` returns, and which of them needs localist keys
ASCENDED = 250
Head = tuple[Tensor, ...]  # queries, keys, values, gradients, logits


def _random(generator: torch.Generator, count: int) -> Head:
    def randn(*shape: int) -> Tensor:
        return torch.randn(count, *shape, generator=generator, dtype=torch.float64)

    return (
        randn(QUERIES, D),  # queries' features of block b
        randn(N_KEYS, D),  # keys' features of block c
        randn(N_KEYS, VALUE),
        randn(QUERIES, VALUE),  # gradients at the outputs
        randn(QUERIES, N_KEYS) * 3,  # logits, by any W of all blocks
    )


def _unit_ball(x: Tensor) -> Tensor:
    return x / x.norm(dim=-1, keepdim=True).clamp(min=1.0)


def _localised(keys: Tensor, localist: Tensor) -> Tensor:
    """In a localist head the last keys belong to the queries' block and have no features of block c."""
    foreign = (torch.arange(N_KEYS) < N_KEYS // 2)[:, None]
    return torch.where(localist[:, None, None] & ~foreign, 0.0, keys)


def _spread(x: Tensor) -> Tensor:
    """Largest distance of two entries along the last but one axis; the square root is safe to differentiate."""
    return (x[..., :, None, :] - x[..., None, :, :]).square().sum(-1).clamp(min=1e-300).sqrt().flatten(-2).amax(-1)


def _ingredients(head: Head, localist: Tensor, tau: float) -> dict[str, Tensor]:
    """Everything the bounds speak of. The share of queries in block b is 1: all queries are of block b."""
    queries, keys, values, gradients, logits = head
    keys = _localised(keys, localist)
    a = (logits / tau).softmax(-1)
    u = gradients @ values.mT
    centred = u - (a * u).sum(-1, keepdim=True)
    covariance = (a * centred) @ keys  # B, queries, D
    gradient = queries.mT @ covariance / (QUERIES * tau)
    norms = queries.norm(dim=-1)
    key_diameter, value_diameter = _spread(keys), _spread(values)
    per_query = gradients.norm(dim=-1) * value_diameter[:, None] * key_diameter[:, None]
    foreign = torch.arange(N_KEYS) < N_KEYS // 2
    return {
        "gradient_norm": gradient.flatten(1).square().sum(-1).clamp(min=1e-300).sqrt(),
        "gradient_bound": gradients.norm(dim=-1).amax(-1),
        "value_diameter": value_diameter,
        "query_norm": norms.amax(-1),
        "key_norm": keys.norm(dim=-1).amax(-1),
        "key_diameter": key_diameter,
        "mean_leakage": a.where(foreign, 0.0).sum(-1).mean(-1),
        "product_mean": (per_query * norms).mean(-1),
        "covariance_bound": per_query.square().mean(-1).sqrt(),
        "query_operator": torch.linalg.matrix_norm(queries, 2) / QUERIES**0.5,
    }


def _bounds(known: dict[str, Tensor], tau: float) -> Tensor:
    """The four bounds, (B, 4): ascent differentiates through them."""
    common = [known[k] for k in ("gradient_bound", "value_diameter", "query_norm", "key_norm", "key_diameter")]
    level_a = torch_form(forms.worst_case)(*common, 1.0, tau)
    level_b = torch_form(forms.leakage_aware_mean)(*common, 1.0, tau, known["mean_leakage"])
    products = torch_form(global_forms.mean_of_products)(known["product_mean"], tau)
    operator = torch_form(global_forms.cauchy_schwarz)(known["query_operator"], known["covariance_bound"], tau)
    return torch.stack([level_a, level_b, products, operator], -1)


def _uphill(generator: torch.Generator, count: int, localist: Tensor, tau: float) -> Head:
    target = torch.arange(count) % BOUNDS

    def objective(*head: Tensor) -> Tensor:
        known = _ingredients(head, localist, tau)
        bound = _bounds(known, tau).gather(-1, target[:, None]).squeeze(-1)
        return known["gradient_norm"].log() - bound.clamp(min=1e-300).log()

    def project(queries: Tensor, keys: Tensor, values: Tensor, gradients: Tensor, logits: Tensor) -> list[Tensor]:
        return [_unit_ball(queries), _unit_ball(keys), values, gradients, logits.clamp(-8, 8)]

    queries, keys, values, gradients, logits = ascend(
        project(*_random(generator, count)), objective, project, steps=400, rate=0.05
    )
    return queries, keys, values, gradients, logits


def sample(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Heads, some with their own block's pair (block_query == block_key) or with understated ingredients."""
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    tau = float(rng.choice([0.5, 1.0, 2.0]))
    uphill = max(count // ASCENDED, 80)
    localist = torch.rand(count, generator=generator) < 0.5
    localist[-uphill:] |= torch.arange(uphill) % BOUNDS == LEVEL_B
    one, two = _random(generator, count - uphill), _uphill(generator, uphill, localist[-uphill:], tau)
    head = tuple(torch.cat(pair) for pair in zip(one, two))
    known = {name: value.numpy() for name, value in _ingredients(head, localist, tau).items()}
    wild = rng.random(count) < 0.1
    understated = rng.random(count) < 0.1
    for name in ("product_mean", "covariance_bound"):
        known[name] = np.where(understated, known[name] * 0.5, known[name])
    absent = wild & (rng.random(count) < 0.3)
    known["gradient_bound"] = np.where(absent, np.nan, known["gradient_bound"])
    unknown = ~localist.numpy()
    return {
        **known,
        "query_share": np.ones(count),
        "temperature": np.full(count, tau),
        "block_query": np.zeros(count, dtype=int),
        "block_key": np.where(wild & ~absent, 0, 1),
        "localist": ~unknown,
        "mean_leakage": np.where(absent, np.nan, known["mean_leakage"]),
        "understated": understated.astype(float),
    }
