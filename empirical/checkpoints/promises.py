"""What is promised for the texts asked for: by the weights, head by head, and by rules at the strength that this needs.

dial before the rules: D + kappa in place of D, since it widens the logits that rules must outweigh
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bounds.dial.calculators import kappa_of_dial
from empirical.checkpoints.architectures import ARCHITECTURES
from empirical.checkpoints.contexts import Labels
from empirical.checkpoints.documents import read_documents
from empirical.checkpoints.gate_files import Layout, read_gates
from empirical.checkpoints.gates import gating
from empirical.checkpoints.loading import Request, Tokens, block_names, library
from empirical.checkpoints.rules import CheckpointRules, Text, load_checkpoint_rules, ruled
from empirical.checkpoints.weights import Head, certify
from empirical.errors import BadInput
from empirical.observe.relevance import Relation, Unnamed, relation_of
from empirical.rules.files import lined, read_rules
from empirical.shapes import Int

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
    causal = ARCHITECTURES[model.config.model_type].causal
    words = [_words(tokenizer, text) for text in texts]
    return load_checkpoint_rules(request.rules, names, words, ranges + kappa, causal), words


def requested_relation(request: Request, names: Sequence[str]) -> Relation:
    """What the flags say of relevance, or the rule file. Raises BadInput for both, or what is no block of the text."""
    told = None
    if request.rules is not None:
        told = lined(read_rules(request.rules), str(request.rules), lambda _, relation: relation, names)
    if told is not None and (request.relation or request.keep):
        raise BadInput(f"--relation and --keep must not go with rules that tell of relevance, as {request.rules} does")
    sees: dict[str, list[str]] = {}
    for given in request.relation:
        query, equals, keys = given.partition("=")
        if not (query and equals and all(keys.split(","))):
            raise BadInput(f"--relation must be BLOCK=BLOCK,..., got {given!r}")
        sees.setdefault(query, []).extend(keys.split(","))
    try:
        found = told or relation_of(sees, request.keep, names)
    except Unnamed as error:
        raise BadInput(f"--{'relation' if error.key == 'sees' else 'keep'} {error.words}") from None
    if request.gates is not None:
        read_gates(request.gates).layout.check(layout_of(request, names, found))
    return found


def layout_of(request: Request, names: Sequence[str], relation: Relation) -> Layout:
    """The blocks of the text as gates for them are saved."""
    return Layout.of(request.blocks, names, relation, text_digest(request))


def text_digest(request: Request) -> str:
    return hashlib.sha256(request.text.read_bytes()).hexdigest()


def requested_gates(request: Request, model: Any) -> Callable[[Labels], AbstractContextManager[Any]]:
    """Labels -> the context of the gates asked for. Raises BadInput for those of another model."""
    if request.gates is None:
        return lambda labels: nullcontext()
    gates, groups = read_gates(request.gates).of(model)
    return lambda labels: gating(model, gates, blocks=labels, groups=groups, leakage=False)


def refuse_early(request: Request) -> None:
    """Raises BadInput for what of a text, its blocks and rules is wrong whatever the model: before one is read."""
    library()
    if not request.blocks.startswith("clusters"):  # of embeddings, which are the model's
        requested_relation(request, block_names(request, read_documents(request.text, request.blocks)))


def applied(model: Any, rules: Rules | None, number: int, labels: Labels) -> AbstractContextManager[Any]:
    if rules is None:
        return nullcontext()
    book, texts = rules
    return ruled(model, book, texts[number], labels)


def attends_causally(request: Request, model: Any) -> bool:
    """Whether queries of the attention asked for see no key after them."""
    return request.attention == "self" and ARCHITECTURES[model.config.model_type].causal


def certified(
    request: Request, model: Any, texts: list[Tokens], names: Sequence[str], relation: Relation
) -> list[Head]:
    """What the weights say of every head of the attention asked for, and the dial that they guarantee.

    The target is the guard's or 0.9, the row that of the texts with the largest (n - m)/m. Raises BadInput for a model
    that is no folder.
    """
    if not Path(request.model).is_dir():
        raise BadInput(f"MODEL must be a folder for its weights to be read, got the hub id {request.model!r}")
    rows, causal = [(2, 1)], attends_causally(request, model)
    for text in texts:
        blocks = text.labels[0].cpu()
        queries = blocks if request.relevant is None else torch.full_like(blocks, names.index(request.relevant))
        rows.append(worst_row(queries, blocks, relation, causal))
    worst = max(rows, key=lambda row: (row[0] - row[1]) / row[1])
    found = certify(request.model, fidelity=request.guard or 0.9, n_keys=worst[0], n_block=worst[1])
    return [head for head in found if head.kind == request.attention]


def worst_row(queries: Int[Tensor, "T"], keys: Int[Tensor, "T"], relation: Relation, causal: bool) -> tuple[int, int]:
    """(n, m) of the row with the largest (n - m)/m, by the relevant block of its query: a block's first where causal.

    Queries of no block, and those that see no relevant key, promise nothing.
    """
    labels = keys.unique()
    counts = (keys[:, None] == labels).cumsum(0)  # of each block up to each query
    counts = counts if causal else counts[-1:].expand_as(counts)
    n, m = counts.sum(-1), (counts * relation.relevant(queries, labels)).sum(-1)
    ratio = torch.where(m > 0, (n - m) / m.clamp(min=1), -1.0)
    at = int(ratio.argmax())
    return (int(n[at]), int(m[at])) if ratio[at] > 0 else (2, 1)
