"""Tokens one by one from the reference text model, with changes of its logits that may differ from token to token.

    p(next | prefix) = softmax(U^T x_last / temperature);  no temperature: the most likely token

The block of a position is that of the pattern of `text`, and every prefix is computed anew: no cache could outlive a
rule. Not covered: models without causal attention, prefixes longer than the positions that were learned.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from empirical.dial.changes import Change, steer
from empirical.errors import BadInput
from empirical.laboratory.config import Config
from empirical.laboratory.model import Layout, Parameters, forward
from empirical.laboratory.text import block_pattern
from empirical.shapes import Float, Int

Changes = Callable[[Tensor, Layout], Sequence[Change]]  # (tokens so far, their layout) -> changes, in their order


def no_changes(tokens: Tensor, layout: Layout) -> Sequence[Change]:
    return ()


def prefix_layout(config: Config, length: int, parameters: Parameters) -> Layout:
    """The layout of the first tokens of a sequence."""
    forms = parameters["forms"]
    return Layout(block_pattern(config, length).to(forms.device), config, forms.dtype)


@torch.no_grad()
def next_scores(
    parameters: Parameters,
    tokens: Int[Tensor, "B T"],
    config: Config,
    changes: Changes = no_changes,
    observe: Callable[[int, Float[Tensor, "S H B T N"]], None] | None = None,
) -> Float[Tensor, "S B T V"]:
    """Scores of the token after each of a prefix's."""
    length = tokens.shape[1]
    layout = prefix_layout(config, length, parameters)
    shorter = {**parameters, "position": parameters["position"][:, :length]}
    weigh = steer(config.setting.temperature, *changes(tokens, layout))
    read = forward(shorter, tokens, layout, config, weigh=weigh, observe=observe)
    return read @ parameters["unembedding"][:, None]


def generate(
    parameters: Parameters,
    prompt: Int[Tensor, "B T"],
    config: Config,
    steps: int,
    changes: Changes = no_changes,
    temperature: float | None = None,
    seed: int = 0,
) -> Iterator[Int[Tensor, "B"]]:
    """Yields the next token of each sequence, `steps` times; `changes` is asked anew before each.

    Greedy, or drawn at a sampling temperature with the seed (the same draws on every device). Raises BadInput for
    several settings, attention that is not causal, or more tokens than there are positions.
    """
    settings, most = len(parameters["forms"]), config.task.queries
    if config.task.name != "topics" or not config.model.causal:
        raise BadInput(f"model.causal must be true, with task.name='topics', to generate, got {config.model.causal}")
    if settings != 1:
        raise BadInput(f"parameters must be of one setting to generate, got {settings}")
    if prompt.shape[1] < 1 or steps < 0 or prompt.shape[1] + steps - 1 > most:
        raise BadInput(f"prompt and steps must fit {most} positions, got {prompt.shape[1]} tokens and {steps} steps")
    if temperature is not None and not (math.isfinite(temperature) and temperature > 0):
        raise BadInput(f"temperature must be finite and > 0, or none for greedy, got {temperature!r}")
    return _tokens(parameters, prompt, config, steps, changes, temperature, seed)


def _tokens(
    parameters: Parameters,
    tokens: Tensor,
    config: Config,
    steps: int,
    changes: Changes,
    temperature: float | None,
    seed: int,
) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        scores = next_scores(parameters, tokens, config, changes)[0, :, -1]
        if temperature is None:
            drawn = scores.argmax(-1)
        else:
            drawn = torch.multinomial((scores.double().cpu() / temperature).softmax(-1), 1, generator=generator)[:, 0]
            drawn = drawn.to(tokens.device)
        tokens = torch.cat([tokens, drawn[:, None]], 1)
        yield drawn
