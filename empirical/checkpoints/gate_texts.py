"""What `localist price` and `localist localise` are asked for: judged before a model is loaded, then read.

A document is a batch. Gates are numbered for every block that has a name, whichever documents it occurs in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from empirical.checkpoints.architecture import Task
from empirical.checkpoints.architectures import ARCHITECTURES
from empirical.checkpoints.contexts import Labels
from empirical.checkpoints.documents import read_documents
from empirical.checkpoints.gate_files import Layout
from empirical.checkpoints.gate_losses import LOSSES
from empirical.checkpoints.gate_prices import gate_problem
from empirical.checkpoints.gates import groups_of
from empirical.checkpoints.loading import Request, load_checkpoint, tokenised
from empirical.checkpoints.promises import layout_of, refuse_early, requested_relation
from empirical.errors import BadInput
from empirical.gates.groups import Groups, axes_of
from empirical.gates.problem import Problem

OF_TEXTS = tuple(name for name, loss in LOSSES.items() if not loss.fields)
"""Losses that need nothing but a text."""


@dataclass(frozen=True)
class Asked:
    """A checkpoint and a text, what gates go by, and the loss that they are judged by; none: the usual one."""

    request: Request
    groups: tuple[str, ...] = ("layer", "head")
    loss: str | None = None

    def refuse_early(self, least: int = 1) -> None:
        """Raises BadInput for what is wrong whatever the model, and for fewer documents than `least`."""
        axes_of(self.groups)
        if self.loss is not None and self.loss not in OF_TEXTS:
            raise BadInput(f"--loss must be one of {', '.join(OF_TEXTS)}, got {self.loss!r}")
        refuse_early(self.request)
        if least > 1 and not self.request.blocks.startswith("clusters"):
            self.refuse_few(len(read_documents(self.request.text, self.request.blocks)), least)

    @staticmethod
    def refuse_few(documents: int, least: int) -> None:
        if documents < least:
            raise BadInput(f"--text must hold documents to choose on and to judge on, got {documents}")


@dataclass(frozen=True)
class Texts:
    """The same, read."""

    model: Any
    tokenizer: Any
    batches: Sequence[dict[str, Tensor]]
    labels: Sequence[Labels]
    names: tuple[str, ...]
    layout: Layout
    groups: Groups
    loss: str

    def problem(self, start: int = 0, step: int = 1) -> Problem:
        """Of every `step`-th document."""
        return gate_problem(
            self.model, self.batches[start::step], self.labels[start::step], groups=self.groups, loss=self.loss
        )

    @property
    def in_blocks(self) -> int:
        """Tokens that are of a block."""
        return sum(int((one.tokens >= 0).sum()) for one in self.labels)


def read(asked: Asked) -> Texts:
    """Raises BadInput for an encoder and decoder, a checkpoint without its head, a next token of an encoder."""
    request = asked.request
    model, tokenizer, lacks = load_checkpoint(request.model, request.device, request.dtype)
    task = ARCHITECTURES[model.config.model_type].task
    if task is Task.SEQUENCE_TO_SEQUENCE:
        raise BadInput(f"MODEL must be one stack, got a {model.config.model_type}, an encoder and a decoder")
    if lacks:
        raise BadInput(f"MODEL must have its head to have a loss, got one that lacks {lacks}")
    texts, found = tokenised(request, model, tokenizer)
    relation = requested_relation(request, found)
    return Texts(
        model,
        tokenizer,
        [{"input_ids": text.ids} for text in texts],
        [Labels(text.labels, sees=relation.sees, kept=relation.kept) for text in texts],
        tuple(found),
        layout_of(request, found, relation),
        groups_of(model, len(found), asked.groups),
        asked.loss or ("next_token" if task is Task.NEXT_TOKEN else "kl"),
    )
