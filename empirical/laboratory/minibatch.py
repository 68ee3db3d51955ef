"""Training on `topics`, real text: Adam for everything but the forms, proximal gradient steps for those.

A seed has one sequence of batches. A stochastic run is never called converged; `step` is then the smallest proximal
step that was taken, and the residual that of the mean gradient over the last batches.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from empirical.laboratory.config import Config
from empirical.laboratory.model import Layout, Parameters, cap, cross_entropy, forward, initial_parameters
from empirical.laboratory.tasks import Topics
from empirical.observe.rows import Weigh, row_statistics
from empirical.penalise.objective import Progress
from empirical.penalise.proximal_gradient import group_norms, shrink
from empirical.shapes import Arrays, Float, Int, plain

OBSERVED_SEQUENCES = 16  # held-out sequences whose rows are kept
LAST_BATCHES = 8  # over which loss and gradient are taken at the end
DECAY_FLOOR = 0.05  # both learning rates fall to this share along a half cosine, never to zero


def decay(step: int, steps: int) -> float:
    return DECAY_FLOOR + (1 - DECAY_FLOOR) * (1 + math.cos(math.pi * step / steps)) / 2


def loss_and_gradients(
    parameters: Parameters, sequences: Tensor, layout: Layout, config: Config
) -> tuple[Float[Tensor, "S"], Parameters]:
    """The sum over settings is differentiated: settings share no parameter, so no gradient mixes them."""
    with torch.enable_grad():
        leaves = {name: value.detach().requires_grad_() for name, value in parameters.items()}
        loss = cross_entropy(leaves, sequences, layout, config)
        gradients = torch.autograd.grad(loss.sum(), list(leaves.values()))
    return loss.detach(), dict(zip(leaves, gradients))


@torch.no_grad()
def train_topics(
    config: Config, task: Topics, seed: int, penalties: Float[Tensor, "S"], report: Progress | None
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
        _, gradients = loss_and_gradients(parameters, task.batch(config), layout, config)
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
        value, gradients = loss_and_gradients(parameters, task.batch(config), layout, config)
        loss, gradient = loss + value / LAST_BATCHES, gradient + gradients["forms"] / LAST_BATCHES
    forms = parameters["forms"]
    after, _ = shrink(forms - smallest * gradient, smallest * penalties)
    if report is not None:
        report(steps, steps, 0)
    return {
        **_observe_topics(config, task, parameters),
        **_topic_levels(config, settings, layout),
        "loss_train": plain(loss),
        "loss_heldout": heldout(task, lambda some: cross_entropy(parameters, some, layout, config)),
        "loss_masked": heldout(task, lambda some: cross_entropy(parameters, some, layout, config, masked=True)),
        "group_norm": plain(group_norms(forms)),
        "group_norm_start": plain(first),
        "gradient_norm": plain(group_norms(gradient)),
        "gradient_peak": plain(peak),
        "steps_to_zero": plain(torch.where(group_norms(forms) > 0, -1, last_nonzero + 1)),
        "residual": plain((after - forms).flatten(1).norm(dim=1) / smallest),
        "converged": np.zeros(settings, dtype=bool),
        "steps": np.full(settings, steps),
        "step": np.full(settings, smallest),
        "accelerated": np.zeros(settings, dtype=bool),
        **{f"parameter/{name}": plain(value) for name, value in parameters.items()},
    }


def heldout(task: Topics, loss: Callable[[Tensor], Tensor]) -> np.ndarray:
    """Mean held-out loss of each setting, a few sequences at a time to bound memory."""
    losses = [loss(some).cpu().double() * len(some) for some in task.heldout.split(OBSERVED_SEQUENCES)]
    return plain(sum(losses, torch.zeros(())) / len(task.heldout))


def _observe_topics(config: Config, task: Topics, parameters: Parameters) -> Arrays:
    """The rows of some held-out sequences, recomputed in float64 on the CPU, and the attention of the first."""
    double = {name: value.cpu().double() for name, value in parameters.items()}
    layout = Layout(task.query_block.cpu(), config, torch.float64)
    return observed_rows(double, task.heldout[:OBSERVED_SEQUENCES, :-1].cpu(), layout, config)


def observed_rows(
    parameters: Parameters,
    tokens: Int[Tensor, "B T"],
    layout: Layout,
    config: Config,
    weigh: Weigh | None = None,
    bias: Callable[[int], Float[Tensor, "S H T N"]] | None = None,
) -> Arrays:
    """The rows of every sequence, and the attention of the first; `bias(layer)` is what `weigh` adds to logits."""
    temperature, r = config.setting.temperature, config.setting.n_anchors
    layers: list[dict[str, Tensor]] = []

    def observe(layer: int, logits: Float[Tensor, "S H B T N"]) -> None:
        logits = logits if bias is None else logits + bias(layer).unsqueeze(2)
        masks = (layout.in_block, layout.visible)
        rows = row_statistics(logits, *masks, r, temperature, layout.anchor, config.dial, cut=bias is not None)
        weights = (logits[:, :, 0] / temperature).softmax(-1).float()
        layers.append({**{name: value.flatten(2) for name, value in rows.items()}, "attention": weights})

    forward(parameters, tokens, layout, config, observe=observe, weigh=weigh)
    localist = np.full(len(layers), config.model.stream == "localist")
    localist[0] = True  # embeddings are in the token's own block in either stream
    return {
        **{name: plain(torch.stack([rows[name] for rows in layers], 1)) for name in layers[0]},
        "localist": localist,
        "query_block": plain(layout.query_block.repeat(len(tokens))),
        "map_query_block": plain(layout.query_block),
        "map_key_block": plain(layout.key_block),
        "map_key_anchor": plain(layout.anchor),
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
