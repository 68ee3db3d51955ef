"""Observations made up for the tests of the figures: random attention rows, which obey every bound as real ones do."""

from __future__ import annotations

import json

import numpy as np
import xarray as xr

CRITICAL = {1: 1.8e-4, 2: 2.0e-4, 3: 2.3e-4}
EDGE = {"localised": 1.0, "zero": 1.7, "random": 2.0, "plain": 1.5}  # cross blocks vanish from here, times critical
RATIOS = (0.5, 0.94, 0.98, 1.02, 1.06, 1.4, 1.8, 2.5, 4.0)


def row_fields(
    logits: np.ndarray, own: np.ndarray, visible: np.ndarray, anchors: int, temperature: float
) -> dict[str, np.ndarray]:
    """Row statistics by their definitions; logits (..., key), `own` and `visible` broadcast against them."""
    own, visible = np.broadcast_to(own & visible, logits.shape), np.broadcast_to(visible, logits.shape)
    weights = np.where(visible, np.exp((logits - logits.max(axis=-1, keepdims=True)) / temperature), 0)
    weights /= weights.sum(axis=-1, keepdims=True)
    leakage = np.where(own, 0, weights).sum(axis=-1)
    n, m = visible.sum(axis=-1), own.sum(axis=-1)
    r = np.clip(anchors, 1, np.maximum(m, 1))
    inside = -np.sort(-np.where(own, logits, -np.inf), axis=-1)
    best = np.take_along_axis(inside, r[..., None] - 1, axis=-1)[..., 0]
    outside = np.where(visible & ~own, logits, -np.inf).max(axis=-1)
    span = np.where(visible, logits, -np.inf).max(axis=-1) - np.where(visible, logits, np.inf).min(axis=-1)
    valid = (m >= 1) & (m < n)
    with np.errstate(all="ignore"):
        entropy = -np.where(weights > 0, weights * np.log(weights), 0).sum(axis=-1)
        return {
            "entropy_nats": entropy,
            "fidelity": 1 - leakage,
            "leakage": leakage,
            "log_leakage": np.log(leakage),
            "margin": np.where(valid, best - outside, np.nan),
            "logit_range": span,
            "n_keys": n,
            "n_block": m,
            "n_anchors": r,
            "anchor_mass": np.zeros_like(leakage),
            "leakage_dialled": 0.5 * leakage / (1 - 0.5 * leakage),
            "valid": valid,
        }


def observations(task: str = "blocks", seeds: int = 3, queries: int = 48) -> xr.Dataset:
    """A dataset as a run saves it: `blocks` (one head, critical penalties) or `topics` (2 x 2, causal, anchors)."""
    blocks = task == "blocks"
    random = np.random.default_rng(7)
    layers = heads = 1 if blocks else 2
    count, width, anchors = 4, 8, 1
    starts = ("localised", "zero", "plain") if blocks else ("zero",)
    grid = [(s, seed, start) for start in starts for seed in range(1, seeds + 1) for s in _penalties(task, seed)]
    penalty = np.array([g[0] for g in grid])
    seed = np.array([g[1] for g in grid])
    start = np.array([g[2] for g in grid])
    settings = len(grid)
    critical = np.array([CRITICAL[s] for s in seed])
    share = np.clip(
        penalty / (critical * np.array([EDGE[s] for s in start])) if blocks else (penalty / 3e-3) ** 0.4, 0, 1
    )
    local = share**0.5 if blocks else 1 - (1 - share) ** 2

    key_block = np.repeat(np.arange(count), width)
    query_block = np.arange(queries) % count
    visible = np.ones((queries, key_block.size), bool)
    if not blocks:
        reach = np.linspace(2, key_block.size, queries).astype(int)
        visible = np.arange(key_block.size)[None] < reach[:, None]
        key_block = np.arange(key_block.size) % count
    own = query_block[:, None] == key_block[None, :]
    shape = (settings, layers, heads, queries, key_block.size)
    content = random.normal(size=shape)
    level = local[:, None, None, None, None]
    logits = np.where(own, content + 1 + (2.0 if blocks else 3.5) * level, content * (1.2 - 1.2 * level))
    rows = row_fields(logits, own, visible, anchors, 1.0)

    pairs = (settings, layers, heads, count, count)
    beyond = (penalty >= critical * np.array([EDGE[s] for s in start])) if blocks else penalty > 4e-3
    norms = random.uniform(0.05, 0.6, pairs) * (1.05 - share[:, None, None, None, None])
    norms[beyond] = 0
    norms *= random.uniform(size=pairs) < np.where(share > 0.6, 0.5, 1.0)[:, None, None, None, None]
    norms[..., np.arange(count), np.arange(count)] = 1.3
    cross = ~np.eye(count, dtype=bool)
    gradient = np.where(
        norms > 0,
        penalty[:, None, None, None, None],
        random.uniform(0.1, 0.95, pairs) * penalty[:, None, None, None, None],
    )
    first = random.uniform(0.2, 0.9, pairs)
    share_of_penalty = np.where(norms > 0, random.uniform(1.01, 1.3, pairs), random.uniform(0.3, 0.97, pairs))
    peak = penalty[:, None, None, None, None] * share_of_penalty
    gap = np.maximum(penalty[:, None, None, None, None] - peak, 1e-12)
    taken = np.where((norms == 0) & (peak < penalty[:, None, None, None, None]), np.ceil(0.7 * first / (40 * gap)), -1)

    total = np.where(cross, norms, 0).sum(axis=(1, 2, 3, 4))
    localised = 0.52 if blocks else np.nan
    loss = (0.52 if blocks else 3.1) - (3e-4 * total if blocks else 0.02 * total) + 1e-5 * seed
    heldout = loss + 0.3 + 0.01 * random.normal(size=settings)
    by_row, by_pair = ("setting", "layer", "head", "query"), ("setting", "layer", "head", "block_query", "block_key")
    weights = np.exp(logits) * visible
    weights /= weights.sum(axis=-1, keepdims=True)
    setting = {
        "loss_train": loss,
        "loss_heldout": heldout,
        "loss_masked": heldout + 0.25 * (1 - local),
        "residual": np.full(settings, 1e-7),
        "converged": (np.arange(settings) % 11 != 5) & blocks,
        "steps": np.full(settings, 500),
        "step": np.full(settings, 40.0),
        "accelerated": start != "plain",
        "critical": critical if blocks else np.full(settings, np.nan),
        "loss_localised": np.full(settings, localised),
        "temperature": np.ones(settings),
        "anchor_logit": np.full(settings, np.nan if blocks else 4.0),
        "dial": np.full(settings, 0.5),
        "gradient_bound": np.full(settings, 4.0 if blocks else np.nan),
        "value_diameter": np.full(settings, 2.0 if blocks else np.nan),
    }
    fields: dict = {name: (by_row, values) for name, values in rows.items()}
    fields |= {name: ("setting", values) for name, values in setting.items()}
    fields |= {
        "group_norm": (by_pair, norms),
        "gradient_norm": (by_pair, gradient),
        "group_norm_start": (by_pair, first),
        "gradient_peak": (by_pair, peak),
        "steps_to_zero": (by_pair, taken.astype(int)),
        "query_norm": (("setting", "block_query"), np.ones((settings, count))),
        "query_share": (("setting", "block_query"), np.full((settings, count), 1 / count)),
        "key_norm": (("setting", "block_key"), np.ones((settings, count))),
        "key_diameter": (("setting", "block_key"), np.full((settings, count), 2.0)),
        "level_c": (
            ("setting", "block_query", "block_key"),
            np.full((settings, count, count), 0.74 if blocks else np.nan),
        ),
        "localist": ("layer", np.ones(layers, bool)),
        "query_block": ("query", query_block),
        "attention": (("setting", "layer", "head", "map_query", "map_key"), weights),
        "map_query_block": ("map_query", query_block),
        "map_key_block": ("map_key", key_block),
        "map_key_anchor": ("map_key", np.arange(key_block.size) < (0 if blocks else count)),
    }
    config = {"setting": {"fidelity": 0.9}, "task": {"name": task}}
    return xr.Dataset(
        fields,
        coords={"penalty": ("setting", penalty), "seed": ("setting", seed), "start": ("setting", start)},
        attrs={"config": json.dumps(config), "config_digest": "0" * 64},
    )


def _penalties(task: str, seed: int) -> list[float]:
    if task == "blocks":
        return [ratio * CRITICAL[seed] for ratio in RATIOS]
    return [0.0, *np.geomspace(1e-4, 1e-2, 7).tolist()]
