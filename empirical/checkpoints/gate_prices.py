"""Prices of locality of a Hugging Face model, and the gates that a penalty leaves open: its weights stay as they are.

    price(model, batches, blocks)             what each gate is worth, as a labelled dataset (empirical.gates.price)
    gate_problem(model, batches, blocks)      what the solver of gates reads (empirical.gates.solve)

A batch is what the model is called with, and what its loss reads besides; its documents do not meet. Padding is of no
block. The model must be in evaluation, and its attention a softmax.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
import xarray as xr
from torch import Tensor

from empirical.checkpoints.architecture import Task
from empirical.checkpoints.architectures import known
from empirical.checkpoints.contexts import Labels, labels_given
from empirical.checkpoints.gate_losses import READ_BY_LOSS, Batch, LossOf, loss_named, shown
from empirical.checkpoints.gates import By, gating, groups_of
from empirical.errors import BadInput
from empirical.gates.pair_map import Each
from empirical.gates.price import PATHS, priced
from empirical.gates.problem import Problem, Reading
from empirical.observe.relevance import Blocks
from empirical.shapes import Float

USUAL = {Task.NEXT_TOKEN: "next_token", Task.MASKED_TOKEN: "masked_token", Task.SEQUENCE_TO_SEQUENCE: "kl"}
"""The loss of a task where none is asked for."""


def gate_problem(
    model: Any,
    batches: Batch | Sequence[Batch],
    blocks: Blocks | Labels | Sequence[Blocks | Labels],
    *,
    groups: By = ("layer", "head"),
    loss: str | LossOf | None = None,
    kind: str = "self",
) -> Problem:
    """The model with gates, on these documents; `blocks` are labels of each batch.

    Raises BadInput for a model in training, an unknown architecture, labels for another number of batches, gates of
    other layers or heads, a loss whose fields are missing.
    """
    given = [batches] if isinstance(batches, Mapping) else list(batches)
    labelled: list[Any] = [blocks] if isinstance(batches, Mapping) or isinstance(blocks, Labels) else list(blocks)
    if not given or len(labelled) != len(given):
        raise BadInput(f"blocks must label every batch, got labels of {len(labelled)} for {len(given)}")
    if model.training:
        raise BadInput("model must be in evaluation, got one in training: call model.eval()")
    task = known(model.config.model_type).task
    if loss == "next_token" and task is not Task.NEXT_TOKEN:
        raise BadInput(
            f"loss must be one that a {model.config.model_type} has, which predicts no next token, got {loss!r}"
        )
    measured = loss_named(loss or USUAL[task], given)
    labels = [_without_padding(labels_given(one), batch) for one, batch in zip(labelled, given)]
    numbered = groups_of(model, 1 + max(one.highest for one in labels), groups, kind)
    calls = [{name: value for name, value in batch.items() if name not in READ_BY_LOSS} for batch in given]
    if task is not Task.MASKED_TOKEN:
        calls = [{"use_cache": False, **call} for call in calls]
    if measured.states:
        calls = [{"output_hidden_states": True, **call} for call in calls]

    def read(number: int, gates: Float[Tensor, "B G"], *, keep: bool = False, leakage: bool = True) -> Reading:
        call, batch = calls[number], given[number]
        with torch.no_grad():
            trained = model(**call) if measured.compares else None
        shut = gating(model, gates, blocks=labels[number], groups=numbered, kind=kind, leakage=leakage, keep=keep)
        with _in_graph(model, keep), shut as rows:
            value, scored = measured.of(model(**call), batch, trained)
        none = torch.zeros(len(gates), numbered.layers, numbered.heads, dtype=torch.float64)
        told = (rows.leakage, rows.rows) if leakage else (none, none)
        return Reading(value, scored, *told, tuple(rows.layers))

    return Problem(numbered, tuple(len(one.tokens) for one in labels), read)


def price(
    model: Any,
    batches: Batch | Sequence[Batch],
    blocks: Blocks | Labels | Sequence[Blocks | Labels],
    *,
    groups: By = ("layer", "head"),
    path: tuple[str, ...] = PATHS,
    loss: str | LossOf | None = None,
    kind: str = "self",
    ablations: bool = True,
    tolerance: float = 1e-3,
    each: Each | None = None,
    seed: int = 0,
) -> xr.Dataset:
    """What attention outside its block is worth, gate by gate: `empirical.gates.price` on this model.

    Raises BadInput as `gate_problem` does, and for a path, a loss or blocks that prices cannot be had of.
    """
    problem = gate_problem(model, batches, blocks, groups=groups, loss=loss, kind=kind)
    found = priced(problem, path=path, ablations=ablations, tolerance=tolerance, each=each, seed=seed)
    found.attrs |= {
        "title": "Prices of attention outside its block",
        "model": type(model).__name__,
        "attention": kind,
        "loss": getattr(loss, "__name__", loss) or USUAL[known(model.config.model_type).task],
    }
    return found


def _without_padding(labels: Labels, batch: Batch) -> Labels:
    """Tokens that are padding are in no block."""
    if "input_ids" not in batch:
        return labels
    seen = shown(batch)
    cross = labels.keys is not None
    of_ids = labels.keys if cross else labels.tokens
    if of_ids.shape != seen.shape:
        raise BadInput(
            f"blocks must label every token, got {tuple(of_ids.shape)} labels for {tuple(seen.shape)} tokens"
        )
    hidden = of_ids.to(seen.device).masked_fill(~seen, -1)
    return replace(labels, keys=hidden) if cross else replace(labels, tokens=hidden)


@contextmanager
def _in_graph(model: Any, asked: bool) -> Iterator[None]:
    """Inside, if asked, states have a gradient though no parameter may have one."""
    if not asked:
        yield
        return
    handle = model.get_input_embeddings().register_forward_hook(lambda *given: given[-1].detach().requires_grad_())
    try:
        yield
    finally:
        handle.remove()
