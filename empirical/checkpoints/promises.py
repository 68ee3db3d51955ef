"""What is promised for the texts asked for: by the weights, head by head, and by rules at the strength that this needs.

dial before the rules: D + kappa in place of D, since it widens the logits that rules must outweigh
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from bounds.dial.calculators import kappa_of_dial
from empirical.checkpoints.architecture import Task
from empirical.checkpoints.architectures import ARCHITECTURES
from empirical.checkpoints.contexts import Labels
from empirical.checkpoints.loading import Request, Tokens
from empirical.checkpoints.rules import CheckpointRules, Text, load_checkpoint_rules, ruled
from empirical.checkpoints.weights import Head, certify
from empirical.errors import BadInput

Rules = tuple[CheckpointRules, list[Text]]


def _words(tokenizer: Any, text: Tokens) -> Text:
    """Its tokens as words, without the blank that a token may begin with."""
    words = [tokenizer.decode([token]).strip() for token in text.ids[0].tolist()]
    return Text(tuple(words), text.labels[0].cpu().numpy())


def requested_rules(
    request: Request, model: Any, tokenizer: Any, texts: list[Tokens], names: list[str], heads: list[Head]
) -> Rules | None:
    """The rules asked for and the texts that they were verified for, with what the weights say of each layer's logits.

    A dial that is turned before them widens the range by its kappa: with a mask nothing can be promised outside it.
    """
    if request.rules is None:
        return None
    if request.attention != "self":
        raise BadInput(f"--rules must go with --attention self, got {request.attention!r}")
    kappa = float(kappa_of_dial(max(request.dials, default=0.0)))
    if not math.isfinite(kappa):
        raise BadInput("--rules must go with a dial below 1, which leaves them something to raise, got 1")
    layers = 1 + max(head.layer for head in heads)
    ranges = np.array([max(h.logit_range for h in heads if h.layer == layer) for layer in range(layers)])
    causal = ARCHITECTURES[model.config.model_type].task is not Task.MASKED_TOKEN
    words = [_words(tokenizer, text) for text in texts]
    return load_checkpoint_rules(request.rules, names, words, ranges + kappa, causal), words


def applied(model: Any, rules: Rules | None, number: int, labels: Labels) -> AbstractContextManager[Any]:
    if rules is None:
        return nullcontext()
    book, texts = rules
    return ruled(model, book, texts[number], labels)


def certified(request: Request, texts: list[Tokens]) -> list[Head]:
    """What the weights say of every head of the attention asked for, and the dial that they guarantee.

    The target is the guard's or 0.9, the rows those with the largest (n - m)/m that the texts have. Raises BadInput for
    a model that is no folder.
    """
    if not Path(request.model).is_dir():
        raise BadInput(f"MODEL must be a folder for its weights to be read, got the hub id {request.model!r}")
    worst = (2, 1)
    for text in texts:
        blocks = text.labels[0].cpu().numpy()
        sizes = np.unique(blocks[blocks >= 0], return_counts=True)[1]
        worst = max(worst, (len(blocks), int(sizes.min())), key=lambda nm: (nm[0] - nm[1]) / nm[1])
    found = certify(request.model, fidelity=request.guard or 0.9, n_keys=worst[0], n_block=worst[1])
    return [head for head in found if head.kind == request.attention]
