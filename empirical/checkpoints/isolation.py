"""What tokens that a block may not see can change of it, the dial at 1 in every layer (claims C2, C6).

    relevance closed along the layers:  outputs at the block's tokens are the same, bit for bit
    not closed:  a token that the block reads has read what it may not; the path is named, and nothing is promised

Each pass is compared with one in which every token outside what the block may see is another one: same shapes, same
kernels. Theorem: non_interference. Attention is the one thing between tokens that is looked at: what timing, length or
the choice of blocks tells is not covered, and neither are an encoder and a decoder together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from empirical.checkpoints.architecture import Task
from empirical.checkpoints.architectures import ARCHITECTURES
from empirical.checkpoints.attach import places_of
from empirical.checkpoints.contexts import Labels, dial
from empirical.errors import BadInput
from empirical.observe.relevance import Path, Relation
from empirical.shapes import Arrays, Int, plain


@dataclass(frozen=True)
class Isolation:
    """Fields of `non_interference`, a row a block, sequence and replacement; and a path for each that has one."""

    rows: Arrays
    blocks: tuple[int, ...]
    paths: dict[tuple[int, int], Path]  # (block, sequence)

    def words(self, names: tuple[str, ...] = ()) -> list[str]:
        """Why the theorem is silent where it is."""
        return [f"sequence {sequence}: {path.words(names)}" for (_, sequence), path in self.paths.items()]


def path_of(model: Any, blocks: Int[Tensor, "T"], relation: Relation, query: int | None = None) -> Path | None:
    """How a token reaches a query that may not see it, by two hops, in the layers of this model; none: it cannot.

    Of the queries of one block where `query` names it.
    """
    layers = len({layer for _, kind, layer in places_of(model).values() if kind == "self"})
    return relation.path(blocks, _task(model) is Task.NEXT_TOKEN, query) if layers > 1 else None


@torch.no_grad()
def isolated(model: Any, ids: Int[Tensor, "B T"], labels: Labels, *, replacements: int = 4, seed: int = 0) -> Isolation:
    """The outputs of every block at dial 1, whatever stands outside what it may see: at most how far they move.

    Raises BadInput for an encoder and decoder, or where one block is relevant to all.
    """
    if _task(model) is Task.SEQUENCE_TO_SEQUENCE or labels.named is not None:
        raise BadInput("model must be one stack and blocks each their own, got an encoder and decoder or a named block")
    chance, vocabulary = torch.Generator().manual_seed(seed), model.config.vocab_size
    present = tuple(block for block in labels.tokens.unique().tolist() if block >= 0)
    changes, foreign, paths = [], [], {}
    with dial(model, 1.0, blocks=labels):
        before = model(input_ids=ids)[0]
        for block in present:
            own = labels.tokens == block
            may_see = labels.relation.relevant(torch.full_like(labels.tokens[:, :1], block), labels.tokens)[:, 0]
            moved = []
            for _ in range(replacements):
                shift = torch.randint(1, vocabulary, ids.shape, generator=chance).to(ids.device)
                other = torch.where(may_see.to(ids.device), ids, (ids + shift) % vocabulary)
                apart = (model(input_ids=other)[0] - before).abs().amax(-1)
                moved.append(plain(apart.where(own.to(ids.device), 0.0).amax(-1).double()))
            changes.append(moved)
            found = [path_of(model, row, labels.relation, block) for row in labels.tokens]
            paths |= {(block, at): path for at, path in enumerate(found) if path is not None}
            foreign.append([float((block, at) in paths) for at in range(len(ids))])
    rows = {  # block, replacement, sequence
        "output_change": np.array(changes),
        "least_dial": np.ones((1, 1, 1)),
        "foreign_queries": np.array(foreign)[:, None],
    }
    return Isolation(rows, present, paths)


def _task(model: Any) -> Task:
    return ARCHITECTURES[model.config.model_type].task
