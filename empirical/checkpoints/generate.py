"""`localist generate`: documents continued by a checkpoint at a dial, under rules and a guard."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor

from empirical.checkpoints.architecture import KINDS, Task
from empirical.checkpoints.architectures import ARCHITECTURES
from empirical.checkpoints.contexts import Labels, dial, guarded
from empirical.checkpoints.loading import Request, load_checkpoint, longest, tokenised
from empirical.checkpoints.promises import (
    applied,
    certified,
    refuse_early,
    requested_gates,
    requested_relation,
    requested_rules,
)
from empirical.errors import BadInput
from empirical.shapes import Int


@torch.no_grad()
def generate(request: Request, new_tokens: int, seed: int = 0, sample: bool = False) -> Iterator[str]:
    """Each document continued by `new_tokens` tokens at the dial; new tokens are of the relevant block, or the last.

    So are tokens of no block after the last block.
    """
    if new_tokens < 1:
        raise BadInput(f"--tokens must be at least 1, got {new_tokens}")
    refuse_early(request)
    model, tokenizer, lacks = load_checkpoint(request.model, request.device, request.dtype)
    if ARCHITECTURES[model.config.model_type].task is Task.MASKED_TOKEN:
        raise BadInput(f"MODEL must generate text, got a {model.config.model_type}")
    if lacks:
        raise BadInput(f"MODEL must hold its head to generate text, got {request.model!r} without {lacks}")
    texts, names = tokenised(request, model, tokenizer)
    relation, both = requested_relation(request, names), model.config.is_encoder_decoder
    heads = certified(request, model, texts, names, relation) if request.rules else []
    rules = requested_rules(request, model, tokenizer, texts, names, heads)
    gates = requested_gates(request, model)
    for text in texts:
        length, most = text.ids.shape[1] + new_tokens, longest(model)
        if most is not None and length > most:
            raise BadInput(f"{text.document.where} and --tokens must fit into {most} tokens, got {length}")
    for number, text in enumerate(texts):
        inside = text.labels[0][text.labels[0] >= 0]
        grown = inside[-1:] if request.relevant is None else torch.full_like(inside[-1:], names.index(request.relevant))
        start = grown[None] if both else _to_the_end(text.labels, grown)
        labels = Labels(start, text.labels if both else None, grown, sees=relation.sees, kept=relation.kept)
        with (
            _seeded(seed, model.device),
            dial(model, request.dials[0] if request.dials else 0.0, blocks=labels, kinds=KINDS),
            applied(model, rules, number, labels),
            gates(labels),
            _guarded(model, request, labels),
        ):
            ids = model.generate(
                text.ids, attention_mask=torch.ones_like(text.ids), max_new_tokens=new_tokens, do_sample=sample
            )
        new = ids[0] if both else ids[0, text.ids.shape[1] :]
        yield tokenizer.decode(new, skip_special_tokens=True)


def _to_the_end(labels: Int[Tensor, "1 T"], grown: Int[Tensor, "1"]) -> Int[Tensor, "1 T"]:
    """What follows the last block is of the new tokens': the first of them is drawn from it, which would read all."""
    last = int((labels[0] >= 0).nonzero().max())
    return torch.cat([labels[:, : last + 1], grown.expand(1, labels.shape[1] - last - 1)], 1)


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Chance from the seed inside, and the caller's own after it."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def _guarded(model: Any, request: Request, labels: Labels) -> AbstractContextManager[Any]:
    return nullcontext() if request.guard is None else guarded(model, request.guard, labels, kinds=(request.attention,))
