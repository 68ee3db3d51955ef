"""Trains one cell: several penalties of one seed and start, side by side and never interacting.

blocks: full-batch proximal gradient to a stationarity residual (`proximal`), from a localised, zero or random start;
    `plain` is a random start without momentum, for which finite identification is a theorem.
topics: Adam for everything but the forms, proximal gradient steps for those, on one sequence of batches a seed.
    A stochastic run is never called converged; `step` is then the smallest proximal step that was taken.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from bounds import setting
from empirical.config import Config
from empirical.errors import BadInput
from empirical.model import Layout, Parameters, cap, cross_entropy, forward, initial_parameters
from empirical.observe import row_statistics
from empirical.proximal import Report, Solution, cross_blocks, group_norms, shrink, solve
from empirical.shapes import Float
from empirical.tasks import Blocks, Topics, device_of, dtype_of, level_c, level_ingredients, make_task

Arrays = dict[str, np.ndarray]
OBSERVED_SEQUENCES = 16  # topics: held-out sequences whose rows are kept
MAP_QUERIES = 32  # blocks: queries in the drawn attention map
LAST_BATCHES = 8  # topics: batches over which loss and gradient are taken at the end
DECAY_FLOOR = 0.05  # both learning rates fall to this share along a half cosine, never to zero
LEVEL_FIELDS = (*setting.LEVEL_FIELDS, "query_share")


def localise(config: Config, seed: int, report: Report | None = None) -> Arrays:
    """The in-block optimum of `blocks` with every cross block held at zero, and the critical penalty there.

    Its residual is taken to a hundredth of the tolerance of the sweep, so that what a sweep finds at the critical
    penalty is not what the localised start left over. `gradient_norm` (1, 1, 1, block_query, block_key) has every pair.
    """
    device = device_of(config)
    task = make_task(config, seed, device)
    if not isinstance(task, Blocks):
        raise BadInput(f"task.name must be 'blocks' for a localised solution, got {config.task.name!r}")
    solution = solve(
        task.training.loss_and_gradient,
        _zero_forms(config, 1, device),
        torch.full((1,), torch.inf, dtype=dtype_of(config), device=device),  # holds the cross blocks at zero
        step=config.step,
        tolerance=config.sweep.tolerance / 100,
        max_steps=10 * config.sweep.max_steps,
        report=report,
    )
    critical = solution.gradient_norm.masked_fill(~cross_blocks(config.model.blocks, device), 0.0).amax()
    return {
        "parameter/forms": _plain(solution.forms),
        "gradient_norm": _plain(solution.gradient_norm),
        **{name: _plain(getattr(solution, name)[0]) for name in ("residual", "converged", "steps")},
        "loss_localised": _plain(solution.loss[0]),
        "critical": _plain(critical),
    }


def train(
    config: Config,
    seed: int,
    start: str,
    penalties: tuple[float, ...],
    localised: Arrays | None = None,
    report: Report | None = None,
) -> Arrays:
    """One cell: a setting for each of the (absolute) `penalties`; every array but the maps' labels and per-layer ones
    has the settings first. `localised` is what `localise` returned for the same configuration and seed: the localised
    start needs it (and makes it if absent), and it fills `critical` and `loss_localised` for any start.
    """
    if start not in config.sweep.starts:
        raise BadInput(f"start must be one of sweep.starts {config.sweep.starts}, got {start!r}")
    task = make_task(config, seed, device_of(config))
    amounts = torch.tensor(penalties, dtype=dtype_of(config), device=device_of(config))
    if isinstance(task, Topics):
        observed = _train_topics(config, task, seed, amounts, report)
    else:
        localised = localise(config, seed, report) if localised is None and start == "localised" else localised
        observed = _train_blocks(config, task, seed, start, amounts, localised, report)
    anchor = config.model.anchor_logit
    constants = {
        "loss_localised": math.nan if localised is None else localised["loss_localised"],
        "critical": math.nan if localised is None else localised["critical"],
        "temperature": config.setting.temperature,
        "anchor_logit": math.nan if anchor is None else anchor,
        "dial": _dial(config),
    }
    return {**observed, **{name: np.full(len(penalties), float(value)) for name, value in constants.items()}}


def _plain(x: Tensor) -> np.ndarray:
    return np.array(x.detach().cpu().numpy(), order="C")  # unlike ascontiguousarray, leaves a scalar a scalar


def _dial(config: Config) -> float:
    return 0.5 if config.setting.dial is None else config.setting.dial


def _solved(solution: Solution) -> Arrays:
    fields = ("residual", "converged", "steps", "gradient_norm", "gradient_peak", "steps_to_zero")
    return {name: _plain(getattr(solution, name)) for name in fields}


# blocks


def _zero_forms(config: Config, settings: int, device: torch.device) -> Float[Tensor, "S 1 1 K d K d"]:
    pair = (config.model.blocks, config.model.d_block)
    return torch.zeros(settings, 1, 1, *pair, *pair, dtype=dtype_of(config), device=device)


def _start_forms(
    config: Config, seed: int, start: str, settings: int, localised: Arrays | None, device: torch.device
) -> Float[Tensor, "S 1 1 K d K d"]:
    zero = _zero_forms(config, settings, device)
    if start == "zero":
        return zero
    if localised is not None and start == "localised":
        return zero + torch.as_tensor(localised["parameter/forms"], dtype=zero.dtype, device=device)
    draw = torch.randn(zero.shape[1:], generator=torch.Generator().manual_seed(seed + 2**31), dtype=torch.float64)
    return zero + draw.to(zero) * (2 / config.model.d_block)  # every block of norm about 2


def _train_blocks(
    config: Config,
    task: Blocks,
    seed: int,
    start: str,
    penalties: Float[Tensor, "S"],
    localised: Arrays | None,
    report: Report | None,
) -> Arrays:
    data, settings = task.training, len(penalties)
    first = _start_forms(config, seed, start, settings, localised, penalties.device)
    accelerated = start != "plain"
    solution = solve(
        data.loss_and_gradient,
        first,
        penalties,
        step=config.step,
        tolerance=config.sweep.tolerance,
        max_steps=config.sweep.max_steps,
        accelerated=accelerated,
        report=report,
    )
    forms = solution.forms
    logits, weights, _ = (x.transpose(0, 1)[:, None, None] for x in data.logits_and_output(forms))
    r, temperature, seen = config.setting.n_anchors, config.setting.temperature, torch.ones((), dtype=torch.bool)
    in_block = data.in_block.cpu()  # rows are observed in float64, which not every device has
    rows = row_statistics(logits.cpu(), in_block, seen, r, temperature, dial=_dial(config))
    drawn = data.query_block[:MAP_QUERIES].argsort(stable=True)
    ingredients = level_ingredients(data)
    levels = {**{k: ingredients[k] for k in LEVEL_FIELDS}, "level_c": level_c(ingredients, temperature)}
    return {
        **{name: _plain(value) for name, value in rows.items()},
        **_solved(solution),
        "group_norm": _plain(group_norms(forms)),
        "group_norm_start": _plain(group_norms(first)),
        "loss_train": _plain(solution.loss),
        "loss_heldout": _plain(task.heldout.loss(forms)),
        "loss_masked": _plain(task.heldout.loss(forms, masked=True)),
        "step": np.full(settings, config.step),
        "accelerated": np.full(settings, accelerated),
        **{name: np.repeat(value[None], settings, 0) for name, value in levels.items()},
        "localist": np.ones(1, dtype=bool),
        "query_block": _plain(data.query_block),
        "attention": _plain(weights[..., drawn, :].float()),
        "map_query_block": _plain(data.query_block[drawn]),
        "map_key_block": _plain(data.key_block),
        "map_key_anchor": np.zeros(len(data.key_block), dtype=bool),
        "parameter/forms": _plain(forms),
    }


# topics


def decay(step: int, steps: int) -> float:
    return DECAY_FLOOR + (1 - DECAY_FLOOR) * (1 + math.cos(math.pi * step / steps)) / 2


def _loss_and_gradients(
    parameters: Parameters, sequences: Tensor, layout: Layout, config: Config
) -> tuple[Float[Tensor, "S"], Parameters]:
    """The sum over settings is differentiated: settings share no parameter, so no gradient mixes them."""
    with torch.enable_grad():
        leaves = {name: value.detach().requires_grad_() for name, value in parameters.items()}
        loss = cross_entropy(leaves, sequences, layout, config)
        gradients = torch.autograd.grad(loss.sum(), list(leaves.values()))
    return loss.detach(), dict(zip(leaves, gradients))


@torch.no_grad()
def _train_topics(
    config: Config, task: Topics, seed: int, penalties: Float[Tensor, "S"], report: Report | None
) -> Arrays:
    sweep, device, dtype = config.sweep, penalties.device, penalties.dtype
    settings, steps = len(penalties), sweep.max_steps
    layout = Layout(task.query_block, config, dtype)
    parameters = initial_parameters(config, seed, settings, device, dtype)
    first = group_norms(parameters["forms"])
    peak, last_nonzero = torch.zeros_like(first), (first > 0).long() - 1
    others = [value for name, value in parameters.items() if name != "forms"]
    adam = torch.optim.Adam(others, lr=sweep.learning_rate, foreach=True)
    for count in range(steps):
        _, gradients = _loss_and_gradients(parameters, task.batch(config), layout, config)
        scale = decay(count, steps)
        adam.param_groups[0]["lr"] = sweep.learning_rate * scale
        for value, gradient in zip(others, (g for name, g in gradients.items() if name != "forms")):
            value.grad = gradient
        adam.step()
        cap(parameters, config)
        size, gradient = config.step * scale, gradients["forms"]
        peak = torch.maximum(peak, group_norms(gradient))
        new, kept = shrink(parameters["forms"] - size * gradient, size * penalties)
        parameters["forms"].copy_(new)
        last_nonzero = torch.where(kept, count + 1, last_nonzero)
        if report is not None and (count + 1) % 10 == 0:
            report(count + 1, steps, settings)
    smallest = config.step * decay(steps - 1, steps)
    loss, gradient = torch.zeros_like(penalties), torch.zeros_like(parameters["forms"])
    for _ in range(LAST_BATCHES):
        value, gradients = _loss_and_gradients(parameters, task.batch(config), layout, config)
        loss, gradient = loss + value / LAST_BATCHES, gradient + gradients["forms"] / LAST_BATCHES
    forms = parameters["forms"]
    after, _ = shrink(forms - smallest * gradient, smallest * penalties)
    if report is not None:
        report(steps, steps, 0)
    return {
        **_observe_topics(config, task, parameters),
        **_topic_levels(config, settings, layout),
        "loss_train": _plain(loss),
        "loss_heldout": _heldout(parameters, task, layout, config, masked=False),
        "loss_masked": _heldout(parameters, task, layout, config, masked=True),
        "group_norm": _plain(group_norms(forms)),
        "group_norm_start": _plain(first),
        "gradient_norm": _plain(group_norms(gradient)),
        "gradient_peak": _plain(peak),
        "steps_to_zero": _plain(torch.where(group_norms(forms) > 0, -1, last_nonzero + 1)),
        "residual": _plain((after - forms).flatten(1).norm(dim=1) / smallest),
        "converged": np.zeros(settings, dtype=bool),
        "steps": np.full(settings, steps),
        "step": np.full(settings, smallest),
        "accelerated": np.zeros(settings, dtype=bool),
        **{f"parameter/{name}": _plain(value) for name, value in parameters.items()},
    }


def _heldout(parameters: Parameters, task: Topics, layout: Layout, config: Config, masked: bool) -> np.ndarray:
    """Mean held-out loss of each setting, a few sequences at a time to bound memory."""
    chunks = task.heldout.split(OBSERVED_SEQUENCES)
    losses = [cross_entropy(parameters, c, layout, config, masked=masked).cpu().double() * len(c) for c in chunks]
    return _plain(sum(losses, torch.zeros(())) / len(task.heldout))


def _observe_topics(config: Config, task: Topics, parameters: Parameters) -> Arrays:
    """The rows of some held-out sequences, recomputed in float64 on the CPU, and the attention of the first."""
    double = {name: value.cpu().double() for name, value in parameters.items()}
    layout = Layout(task.query_block.cpu(), config, torch.float64)
    tokens = task.heldout[:OBSERVED_SEQUENCES, :-1].cpu()
    temperature, r = config.setting.temperature, config.setting.n_anchors
    layers: list[dict[str, Tensor]] = []

    def observe(layer: int, logits: Float[Tensor, "S H B T N"]) -> None:
        rows = row_statistics(logits, layout.in_block, layout.visible, r, temperature, layout.anchor, _dial(config))
        weights = (logits[:, :, 0] / temperature).softmax(-1).float()
        layers.append({**{name: value.flatten(2) for name, value in rows.items()}, "attention": weights})

    forward(double, tokens, layout, config, observe=observe)
    localist = np.full(len(layers), config.model.stream == "localist")
    localist[0] = True  # embeddings are in the token's own block in either stream
    return {
        **{name: _plain(torch.stack([rows[name] for rows in layers], 1)) for name in layers[0]},
        "localist": localist,
        "query_block": _plain(layout.query_block.repeat(len(tokens))),
        "map_query_block": _plain(layout.query_block),
        "map_key_block": _plain(layout.key_block),
        "map_key_anchor": _plain(layout.anchor),
    }


def _topic_levels(config: Config, settings: int, layout: Layout) -> Arrays:
    """What level A needs, as far as the configuration bounds it; a normalised block has norm sqrt(d) at most."""
    model, root = config.model, math.sqrt(config.model.d_block)
    bounded = config.level_bounds
    local = model.stream == "localist" or model.layers == 1  # else a query holds features in every block
    share = layout.own.cpu().double().mean(0).squeeze(-1).numpy() if local else np.ones(model.blocks)
    both = {
        "gradient_bound": np.array(bounded.get("gradient_bound", math.nan)),
        "value_diameter": np.array(bounded.get("value_diameter", math.nan)),
        "query_norm": np.full(model.blocks, root),
        "query_share": share,
        "key_norm": np.full(model.blocks, root),
        "key_diameter": np.full(model.blocks, 2 * root),
        "level_c": np.full((model.blocks, model.blocks), math.nan),
    }
    return {name: np.repeat(value[None], settings, 0) for name, value in both.items()}
