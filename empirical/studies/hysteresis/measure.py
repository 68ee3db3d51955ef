"""Study `hysteresis`: the penalty ramped up, then down, warm-started, in the `blocks` laboratory (claims C3, C10).

    up from W = 0: cross blocks vanish at the upper edge, between lambda_crit and the best proved level of lambda_stat*
    down from where that ended: they return at the lower edge, predicted as lambda_crit from one localised model
    level B / level A = min(D_c/4, X_c psi(eps)) / (D_c/4): seen where little attention leaks, not where much does

Both legs are followed on the penalties of the configuration, in multiples of the critical one; the edges are then
narrowed down (`edges`). Theorems: kkt_active, kkt_zero, worst_case_gradient, leakage_aware_gradient.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from bounds import (
    entropy_ceiling,
    entropy_floor,
    leakage_ceiling,
    penalty_threshold_leakage_aware,
    penalty_threshold_worst_case,
)
from bounds.penalty.fields import LEVEL_FIELDS
from empirical.errors import BadInput
from empirical.laboratory.config import Config
from empirical.laboratory.continuation import follow_branch
from empirical.laboratory.penalty_levels import blocks_problem
from empirical.laboratory.store import Store
from empirical.laboratory.tasks import Blocks, device_of, dtype_of, make_task
from empirical.laboratory.training import localise, observe_blocks, zero_forms
from empirical.laboratory.transition import find_edges
from empirical.observe.schema import PAIR, ROW
from empirical.shapes import Arrays, plain
from empirical.studies.findings import Findings, Judged

ROW_FIELDS = (
    *("entropy_nats", "fidelity", "leakage", "log_leakage", "margin", "logit_range", "valid"),
    *("n_keys", "n_block", "n_anchors"),
)
PAIR_FIELDS = ("group_norm", "gradient_norm", *LEVEL_FIELDS, "residual", "step", "converged", "penalty")
LEGS = ("up", "down")
ABOUT_ROWS = tuple(bound.__name__ for bound in (leakage_ceiling, entropy_ceiling, entropy_floor))
ABOUT_PAIRS = ("kkt_active", "kkt_zero", "worst_case_gradient", "leakage_aware_gradient")


def measure(config: Config, store: Store) -> Findings:
    if config.task.name != "blocks" or not config.sweep.relative_to_critical:
        raise BadInput(
            "task.name must be 'blocks' with sweep.relative_to_critical = true for the study of hysteresis, got "
            f"{config.task.name!r} and {str(config.sweep.relative_to_critical).lower()}"
        )
    seeds, rows, pairs = [], [], []
    for seed in config.sweep.seeds:
        legs = [store.keep(f"{leg} {seed}", lambda leg=leg, seed=seed: _leg(config, seed, leg, store)) for leg in LEGS]
        edges = store.keep(f"edges {seed}", lambda seed=seed: _edges(config, seed, store))
        seeds.append(_told(config, seed, legs, edges))
        rows.append(_stacked([_rows(config, arrays) for arrays in legs]))
        pairs.append(_stacked([_pairs(config, arrays) for arrays in legs]))
    return Findings(
        {"task": config.task.name, "seeds": seeds},
        (
            Judged("rows", ("seed", "leg", *ROW), _stacked(rows), ABOUT_ROWS),
            Judged("pairs", ("seed", "leg", *PAIR), _stacked(pairs), ABOUT_PAIRS),
        ),
    )


def _stacked(parts: list[Arrays]) -> Arrays:
    return {name: np.stack([part[name] for part in parts]) for name in parts[0]}


def _leg(config: Config, seed: int, leg: str, store: Store) -> Arrays:
    """One way of the ramp: up from W = 0, or down from where the way up ended."""
    task = make_task(config, seed, device_of(config))
    assert isinstance(task, Blocks)
    localised = _localised(config, seed, store)
    device, dtype = device_of(config), dtype_of(config)
    penalties = torch.tensor(sorted(config.sweep.penalties), dtype=dtype, device=device) * float(localised["critical"])
    start = zero_forms(config, 1, device)[0]
    if leg == "down":
        up = store.keep(f"up {seed}", lambda: _leg(config, seed, "up", store))
        start, penalties = torch.as_tensor(up["parameter/forms"][-1], dtype=dtype, device=device), penalties.flip(0)
    first, solution = follow_branch(
        task.training, start, penalties, tolerance=config.sweep.tolerance, max_steps=config.sweep.max_steps
    )
    kept = observe_blocks(config, task, first, solution)
    return {
        **{name: values for name, values in kept.items() if not name.startswith(("attention", "map_"))},
        "penalty": plain(penalties),
        "critical": localised["critical"],
    }


def _localised(config: Config, seed: int, store: Store) -> Arrays:
    return store.keep(f"localised {seed}", lambda: localise(config, seed))


def _edges(config: Config, seed: int, store: Store) -> Arrays:
    problem, proved = blocks_problem(config, seed, _localised(config, seed, store))
    whole = find_edges(problem, tolerance=config.sweep.tolerance, max_evaluations=config.sweep.max_steps).whole()
    at_every_w = [value for _, _, value, words in proved if "lambda_stat*" in words]
    found = {name: plain(getattr(whole, name)[0]) for name in ("critical", "lower", "upper", "crossing", "residual")}
    return {**found, "proved_stationary": np.array(min(at_every_w)), "proved_global": np.array(proved[0][2])}


def _rows(config: Config, arrays: Arrays) -> Arrays:
    return {
        **{name: arrays[name] for name in ROW_FIELDS},
        "temperature": np.full((1, 1, 1, 1), config.setting.temperature),
    }


def _pairs(config: Config, arrays: Arrays) -> Arrays:
    """Fields with all dims of a pair, and each block's mean leakage."""
    of_query, of_key = ("query_norm", "query_share"), ("key_norm", "key_diameter")
    blocks = config.model.blocks
    pairs = {}
    for name in PAIR_FIELDS:
        values = np.asarray(arrays[name])
        dims = {2: (1, 1, blocks, 1) if name in of_query else (1, 1, 1, blocks), 1: (1, 1, 1, 1)}
        pairs[name] = values if values.ndim == 5 else values.reshape(len(values), *dims[values.ndim])
        assert values.ndim != 2 or name in (*of_query, *of_key)
    index = np.arange(blocks)
    own = arrays["query_block"] == index[:, None]  # K, N
    mean = (arrays["leakage"][:, :, :, None] * own).sum(-1) / own.sum(-1)
    return {
        **pairs,
        "mean_leakage": mean[..., None],
        "block_query": index.reshape(1, 1, 1, -1, 1),
        "block_key": index.reshape(1, 1, 1, 1, -1),
        "localist": np.ones((1, 1, 1, 1, 1), dtype=bool),
        "temperature": np.full((1, 1, 1, 1, 1), config.setting.temperature),
    }


def _told(config: Config, seed: int, legs: list[Arrays], edges: Arrays) -> dict[str, Any]:
    """What table and figures need of one seed; penalties in multiples of the predicted critical one."""
    critical = float(edges["critical"])
    cross = ~np.eye(config.model.blocks, dtype=bool)
    ways = {}
    for leg, arrays in zip(LEGS, legs):
        pairs = _pairs(config, arrays)
        level = [pairs[name] for name in (*LEVEL_FIELDS, "temperature")]
        worst = np.asarray(penalty_threshold_worst_case(*level))
        aware = np.asarray(penalty_threshold_leakage_aware(*level, leakage=pairs["mean_leakage"], of="mean"))
        shape = arrays["gradient_norm"].shape
        ways[leg] = {
            "penalty": (arrays["penalty"] / critical).tolist(),
            "active": (arrays["group_norm"][..., cross] > 0).mean((1, 2, 3)).tolist(),
            "fidelity": np.median(arrays["fidelity"], axis=(1, 2, 3)).tolist(),
            "loss": arrays["loss_train"].tolist(),
            "converged": arrays["converged"].tolist(),
            "leakage": np.broadcast_to(pairs["mean_leakage"], shape)[..., cross].reshape(-1).tolist(),
            "factor": np.broadcast_to(aware / worst, shape)[..., cross].reshape(-1).tolist(),
            "gradient": (arrays["gradient_norm"] / worst)[..., cross].reshape(-1).tolist(),
        }
    relative = {name: np.atleast_1d(edges[name] / critical).tolist() for name in edges if name != "residual"}
    upper = relative["upper"][0]
    return {
        "seed": seed,
        "critical": critical,
        **{name: relative[name] for name in ("lower", "upper")},
        **{name: relative[name][0] for name in ("crossing", "proved_stationary", "proved_global")},
        "width": upper / relative["lower"][1],
        "lower_off": max(abs(end - 1) for end in relative["lower"]),
        "bracketed": bool(1 <= upper <= relative["proved_stationary"][0]),
        "residual": float(edges["residual"]),
        "legs": ways,
    }


def table(found: dict[str, Any]) -> str:
    """One line a seed, penalties in multiples of the predicted critical one."""
    lines = ["in multiples of the critical penalty predicted from one localised model:"]
    lines += [
        "seed    critical  return edge        off  crossing  vanishing edge   proved level  loop width  all converged"
    ]
    for seed in found["seeds"]:
        lower, upper = ("{:.4f}-{:.4f}".format(*seed[name]) for name in ("lower", "upper"))
        settled = all(all(leg["converged"]) for leg in seed["legs"].values())
        lines.append(
            f"{seed['seed']:4}{seed['critical']:12.4g}  {lower}{100 * seed['lower_off']:7.2f} %{seed['crossing']:9.3f}"
            f"  {upper}{seed['proved_stationary']:13.4g}{seed['width']:12.3f}  {'yes' if settled else 'NO'}"
        )
    factor = np.concatenate([leg["factor"] for seed in found["seeds"] for leg in seed["legs"].values()])
    lines.append(f"level B is between {factor.min():.2f} and {factor.max():.2f} of level A along the loop")
    return "\n".join(lines)
