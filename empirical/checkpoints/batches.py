"""Documents read at once: padded to the right, each with its own labels and its own loss.

    loss of a document = mean over its next tokens of -ln p(token), nats;  of an encoder and decoder over its own tokens

Padding is of no block and is not seen, so that rows and losses are those of each document alone, up to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from empirical.checkpoints.architecture import Task
from empirical.checkpoints.architectures import ARCHITECTURES
from empirical.checkpoints.loading import Tokens
from empirical.observe.streaming import widened
from empirical.shapes import Int


@dataclass(frozen=True)
class Batch:
    """Some documents, in their order."""

    first: int  # number of the first
    ids: Int[Tensor, "B T"]
    labels: Int[Tensor, "B T"]
    lengths: tuple[int, ...]

    @property
    def padded(self) -> bool:
        return min(self.lengths) < self.ids.shape[1]

    @property
    def mask(self) -> Int[Tensor, "B T"]:
        """1 at tokens, 0 at padding."""
        lengths = torch.tensor(self.lengths, device=self.ids.device)
        return (torch.arange(self.ids.shape[1], device=self.ids.device) < lengths[:, None]).long()


def batches(texts: Sequence[Tokens], size: int, padding: int) -> Iterator[Batch]:
    """So many documents at a time."""
    for first in range(0, len(texts), size):
        part = texts[first : first + size]
        longest = max(text.ids.shape[1] for text in part)

        def joined(rows: list[Tensor], value: int, longest: int = longest) -> Tensor:
            return torch.cat([torch.nn.functional.pad(row, (0, longest - row.shape[1]), value=value) for row in rows])

        ids = joined([text.ids for text in part], padding)
        labels = joined([text.labels for text in part], -1)
        yield Batch(first, ids, labels, tuple(text.ids.shape[1] for text in part))


def losses(model: Any, batch: Batch, none: bool) -> list[float]:
    """One forward pass; of each document nats a token, NaN where there is no loss."""
    inputs: dict[str, Tensor] = {"input_ids": batch.ids}
    if batch.padded:
        inputs["attention_mask"] = batch.mask
    task = ARCHITECTURES[model.config.model_type].task
    if task is Task.SEQUENCE_TO_SEQUENCE:
        inputs["labels"] = batch.ids.masked_fill(batch.mask == 0, -100)  # they are the decoder's input too
    logits = model(**inputs).logits
    if none:
        return [math.nan] * len(batch.lengths)
    ahead = 1 if task is Task.NEXT_TOKEN else 0
    found: list[float] = []
    for row, ids, length in zip(logits, batch.ids, batch.lengths, strict=True):
        predicted = row[: length - ahead].to(widened(row.dtype))
        found.append(float(cross_entropy(predicted, ids[ahead:length])) if len(predicted) else math.nan)
    return found


def why_no_loss(model: Any, texts: Sequence[Tokens], lacks: str) -> str:
    """Why there is no loss, or nothing; `lacks` are weights of the head, in words."""
    task = ARCHITECTURES[model.config.model_type].task
    if task is Task.MASKED_TOKEN:
        return f"a {model.config.model_type} predicts no next token"
    if lacks:
        return f"the checkpoint holds no {lacks}"
    short = task is Task.NEXT_TOKEN and all(text.ids.shape[1] < 2 for text in texts)
    return "no document has a next token" if short else ""
