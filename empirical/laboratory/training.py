"""Trains one cell: several penalties of one seed and start, side by side and never interacting.

blocks: full-batch proximal gradient to a stationarity residual (`proximal`), from a localised, zero or random start;
    `plain` is a random start without momentum, for which finite identification is a theorem. `downwards` and `upwards`
    follow a branch from penalty to penalty (`branches`), each setting started where the one before it ended.
topics: minibatches, see `minibatch`; with gates full batches of a few sequences, see `gate_training`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bounds.penalty.fields import LEVEL_FIELDS, Start
from empirical.errors import BadInput
from empirical.laboratory.config import BRANCHES, Config
from empirical.laboratory.continuation import follow_branch
from empirical.laboratory.gate_training import localise_topics, train_gates
from empirical.laboratory.minibatch import train_topics
from empirical.laboratory.model import Parameters
from empirical.laboratory.tasks import (
    Blocks,
    Retrieval,
    Topics,
    device_of,
    dtype_of,
    level_c,
    level_ingredients,
    make_task,
)
from empirical.observe.rows import row_statistics
from empirical.observe.schema import SCHEMA
from empirical.penalise.objective import Progress
from empirical.penalise.proximal_gradient import Solution, cross_blocks, group_norms, solve
from empirical.shapes import Arrays, Float, plain

MAP_QUERIES = 32  # blocks: queries in the drawn attention map
SHARED = tuple(name for name, (dims, _, _) in SCHEMA.items() if dims[0] != "setting")  # alike for all settings


def localise(config: Config, seed: int, report: Progress | None = None) -> Arrays:
    """The in-block optimum of `blocks` with every cross block held at zero, and the critical penalty there; of gates
    what `localise_topics` says.

    Proximal steps from W = 0 find which one, Newton steps end at it: to a hundredth of the tolerance of the sweep, so
    that what a sweep finds at the critical penalty is not what the localised start left over. `gradient_norm` (1, 1, 1,
    block_query, block_key) has every pair.
    """
    if config.gated:
        return localise_topics(config, seed, report)
    device = device_of(config)
    task = make_task(config, seed, device)
    if not isinstance(task, Blocks):
        raise BadInput(f"task.name must be 'blocks' for a localised solution, got {config.task.name!r}")
    held = torch.full((1,), torch.inf, dtype=dtype_of(config), device=device)  # the cross blocks at zero
    most, tolerance = 10 * config.sweep.max_steps, config.sweep.tolerance
    near = solve(
        task.training.loss_and_gradient,
        zero_forms(config, 1, device),
        held,
        step=config.step,
        tolerance=10 * tolerance,
        max_steps=most,
        report=report,
    )
    _, solution = follow_branch(task.training, near.forms[0], held, tolerance=tolerance / 100, max_steps=most)
    critical = solution.gradient_norm.masked_fill(~cross_blocks(config.model.blocks, device), 0.0).amax()
    return {
        "parameter/forms": plain(solution.forms),
        "gradient_norm": plain(solution.gradient_norm),
        **{name: plain(getattr(solution, name)[0]) for name in ("residual", "converged")},
        "steps": plain(near.steps[0] + solution.steps[0]),
        "loss_localised": plain(solution.loss[0]),
        "critical": plain(critical),
    }


def train(
    config: Config,
    seed: int,
    start: str,
    penalties: tuple[float, ...],
    localised: Arrays | None = None,
    report: Progress | None = None,
) -> Arrays:
    """One cell: a setting for each of the (absolute) `penalties`; every array but the `SHARED` has the settings first.

    `localised` is what `localise` returned for the same configuration and seed: `localised` and `downwards` need it
    (and make it if absent), and it fills `critical` and `loss_localised` for any start.
    """
    if start not in config.sweep.starts:
        raise BadInput(f"start must be one of sweep.starts {config.sweep.starts}, got {start!r}")
    task = make_task(config, seed, device_of(config))
    amounts = torch.tensor(penalties, dtype=dtype_of(config), device=device_of(config))
    if localised is None and (config.gated or Start(start).from_localised):
        localised = localise(config, seed, report)
    if isinstance(task, Topics):
        observed = (
            train_topics(config, task, seed, amounts, report)
            if localised is None
            else train_gates(config, task, seed, start, amounts, localised, report)
        )
    else:
        observed = _train_blocks(config, task, seed, start, amounts, localised, report)
    anchor = config.model.anchor_logit
    constants = {
        "loss_localised": math.nan if localised is None else localised["loss_localised"],
        "critical": math.nan if localised is None else localised["critical"],
        "temperature": config.setting.temperature,
        "anchor_logit": math.nan if anchor is None else anchor,
        "dial": config.dial,
    }
    return {**observed, **{name: np.full(len(penalties), float(value)) for name, value in constants.items()}}


def parameters_of(arrays: Arrays) -> Parameters:
    """The parameters in a cell's arrays, in float64."""
    kept = {name.removeprefix("parameter/"): value for name, value in arrays.items() if name.startswith("parameter/")}
    return {name: torch.as_tensor(value).double() for name, value in kept.items()}


def parts(arrays: Arrays, settings: Sequence[int]) -> Iterator[Arrays]:
    """A cell's arrays cut into those of fewer settings."""
    end = 0
    for count in settings:
        begin, end = end, end + count
        yield {name: value if name in SHARED else value[begin:end] for name, value in arrays.items()}


def join(cells: Sequence[Arrays]) -> Arrays:
    """The arrays of all settings, from those of some each."""
    first = cells[0]
    return {name: first[name] if name in SHARED else np.concatenate([c[name] for c in cells]) for name in first}


def _solved(solution: Solution) -> Arrays:
    fields = ("residual", "converged", "steps", "gradient_norm", "gradient_peak", "steps_to_zero")
    return {name: plain(getattr(solution, name)) for name in fields}


def zero_forms(config: Config, settings: int, device: torch.device) -> Float[Tensor, "S 1 1 K d K d"]:
    pair = (config.model.blocks, config.model.d_block)
    return torch.zeros(settings, 1, 1, *pair, *pair, dtype=dtype_of(config), device=device)


def _start_forms(
    config: Config, seed: int, start: str, settings: int, localised: Arrays | None, device: torch.device
) -> Float[Tensor, "S 1 1 K d K d"]:
    zero = zero_forms(config, settings, device)
    if start in (Start.ZERO, Start.UPWARDS):
        return zero
    if localised is not None and Start(start).from_localised:
        return zero + torch.as_tensor(localised["parameter/forms"], dtype=zero.dtype, device=device)
    draw = torch.randn(zero.shape[1:], generator=torch.Generator().manual_seed(seed + 2**31), dtype=torch.float64)
    return zero + draw.to(zero) * (2 / config.model.d_block)  # every block of norm about 2


def _solve_each(
    config: Config, data: Retrieval, seed: int, start: str, penalties: Tensor, localised: Arrays | None, report: Any
) -> tuple[Float[Tensor, "S 1 1 K d K d"], Solution]:
    """Where every setting starts, and ends."""
    first = _start_forms(config, seed, start, len(penalties), localised, penalties.device)
    return first, solve(
        data.loss_and_gradient,
        first,
        penalties,
        step=config.step,
        tolerance=config.sweep.tolerance,
        max_steps=config.sweep.max_steps,
        accelerated=start != Start.PLAIN,
        report=report,
    )


def _solve_branch(
    config: Config, data: Retrieval, seed: int, start: str, penalties: Tensor, localised: Arrays | None, report: Any
) -> tuple[Float[Tensor, "S 1 1 K d K d"], Solution]:
    """The same, each setting from where the penalty before it ended; whatever the order they were asked for in."""
    order = penalties.argsort(descending=start == Start.DOWNWARDS)
    first, solution = follow_branch(
        data,
        _start_forms(config, seed, start, 1, localised, penalties.device)[0],
        penalties[order],
        tolerance=config.sweep.tolerance,
        max_steps=config.sweep.max_steps,
        report=report,
    )
    back = order.argsort()
    return first[back], Solution(**{name: value[back] for name, value in vars(solution).items()})


def _train_blocks(
    config: Config,
    task: Blocks,
    seed: int,
    start: str,
    penalties: Float[Tensor, "S"],
    localised: Arrays | None,
    report: Progress | None,
) -> Arrays:
    solve_all = _solve_branch if start in BRANCHES else _solve_each
    first, solution = solve_all(config, task.training, seed, start, penalties, localised, report)
    return {
        **observe_blocks(config, task, first, solution),
        "accelerated": np.full(len(penalties), start != Start.PLAIN),
    }


def observe_blocks(config: Config, task: Blocks, first: Float[Tensor, "S 1 1 K d K d"], solution: Solution) -> Arrays:
    """Rows, groups, losses and level ingredients where settings that began at `first` ended."""
    data, forms, settings = task.training, solution.forms, len(solution.forms)
    logits, weights, _ = (x.transpose(0, 1)[:, None, None] for x in data.logits_and_output(forms))
    r, temperature, seen = config.setting.n_anchors, config.setting.temperature, torch.ones((), dtype=torch.bool)
    in_block = data.in_block.cpu()  # rows are observed in float64, which not every device has
    rows = row_statistics(logits.cpu(), in_block, seen, r, temperature, dial=config.dial)
    drawn = data.query_block[:MAP_QUERIES].argsort(stable=True)
    ingredients = level_ingredients(data)
    levels = {**{k: ingredients[k] for k in LEVEL_FIELDS}, "level_c": level_c(ingredients, temperature)}
    return {
        **{name: plain(value) for name, value in rows.items()},
        **_solved(solution),
        "group_norm": plain(group_norms(forms)),
        "group_norm_start": plain(group_norms(first)),
        "loss_train": plain(solution.loss),
        "loss_heldout": plain(task.heldout.loss(forms)),
        "loss_masked": plain(task.heldout.loss(forms, masked=True)),
        "step": np.full(settings, config.step),
        **{name: np.repeat(value[None], settings, 0) for name, value in levels.items()},
        "localist": np.ones(1, dtype=bool),
        "query_block": plain(data.query_block),
        "attention": plain(weights[..., drawn, :].float()),
        "map_query_block": plain(data.query_block[drawn]),
        "map_key_block": plain(data.key_block),
        "map_key_anchor": np.zeros(len(data.key_block), dtype=bool),
        "parameter/forms": plain(forms),
    }
