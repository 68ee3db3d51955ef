"""How far a dial carries a checkpoint's states, beside the depth sum (claim C6; theorem depth_sum).

    x <- x + f_k(x), f_k a whole block less what it reads;  drift <= sum_l e_l prod_{k>l} (1 + Lip_k)
    e_l = ||f_l dialled - f_l|| and Lip_k = ||f_k(x) - f_k(x')|| / ||x - x'||, both at the dialled states x'

Every block is a residual step in this sense, whatever it is made of, so that the theorem's hypotheses hold on the pair.
The norm of a sequence is the mean over its tokens of Euclidean norms. Not covered: encoders and decoders together.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from empirical.checkpoints.architecture import Task
from empirical.checkpoints.architectures import ARCHITECTURES
from empirical.dial.drift import size
from empirical.errors import BadInput
from empirical.shapes import Arrays, plain


def stack_of(model: Any) -> list[torch.nn.Module]:
    """The blocks of a model, first to last. Raises BadInput for an architecture without a single stack."""
    known = {name: one.blocks for name, one in ARCHITECTURES.items() if one.blocks is not None}
    path = known.get(model.config.model_type)
    if path is None:
        raise BadInput(f"model must be one of {', '.join(known)} for its depth sum, got {model.config.model_type!r}")
    try:
        return list(model.base_model.get_submodule(path))
    except (AttributeError, TypeError):
        raise BadInput(f"model must have its blocks at {path}, got {type(model).__name__}") from None


@torch.no_grad()
def depth_rows(model: Any, inputs: dict[str, Tensor], turned: AbstractContextManager[Any]) -> Arrays:
    """Fields of `depth_sum`, a row a sequence: the drift before the final normalisation, e_l and Lip_k of every block.

    `turned` is the context that dials, `checkpoints.dial(...)`: entered once. Raises BadInput as `stack_of` does.
    """
    blocks = stack_of(model)
    plain_pass = _pass(model, blocks, inputs)
    with turned:
        dialled = _pass(model, blocks, inputs)
    states, moved = ([read for read, *_ in one] for one in (plain_pass, dialled))
    ends = [one[-1][1] for one in (plain_pass, dialled)]
    errors, secants = [], []
    for block, (read, wrote, rest, more), (before, after, *_) in zip(blocks, dialled, plain_pass):
        undialled = _first(block(read, *rest, **more)) - read  # the original block at the dialled state
        errors.append(size(wrote - read - undialled))
        apart = size(before - read)
        change = size(after - before - undialled)
        secants.append(torch.where(apart > 0, change / apart.where(apart > 0, 1.0), 0.0))
    largest = torch.stack([state.abs().amax((1, 2)) for state in (*states, *moved, *ends)]).amax(0)
    coarser = torch.finfo(largest.dtype).eps / torch.finfo(torch.float64).eps  # the theorem's room is of float64
    found = {
        "drift": size(ends[0] - ends[1]),
        "errors": torch.stack(errors, -1),
        "secant": torch.stack(secants, -1),
        "state_size": largest.double() * coarser,
    }
    rows = {name: plain(value.double()) for name, value in found.items()}
    return {**rows, "observed_errors": rows["errors"], "lipschitz": rows["secant"]}


def _first(output: Any) -> Tensor:
    return output[0] if isinstance(output, tuple) else output


def _pass(
    model: Any, blocks: list[torch.nn.Module], inputs: dict[str, Tensor]
) -> list[tuple[Tensor, Tensor, tuple[Any, ...], dict[str, Any]]]:
    """(read, written, other arguments) of every block in one forward pass."""
    seen: list[tuple[Tensor, Tensor, tuple[Any, ...], dict[str, Any]]] = []

    def watch(_: Any, given: tuple[Any, ...], more: dict[str, Any], output: Any) -> None:
        rest = dict(more)
        read = given[0] if given else rest.pop("hidden_states")
        seen.append((read, _first(output), given[1:], rest))

    caches = ARCHITECTURES[model.config.model_type].task is Task.NEXT_TOKEN
    hooks = [block.register_forward_hook(watch, with_kwargs=True) for block in blocks]
    try:
        model(**inputs, **({"use_cache": False} if caches else {}))
    finally:
        for hook in hooks:
            hook.remove()
    return seen
