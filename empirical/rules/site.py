"""What rules are checked against: a model's words, blocks and temperature, what its queries see, its logits' range.

The largest minus the smallest logit of a row is at most D, whatever the tokens: what a rule's promise rests on. Plain
data; `laboratory.rule_site` makes it of a reference model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from torch import Tensor

from empirical.shapes import Float, Int


@dataclass(frozen=True, eq=False)
class Site:
    """What rules are checked against."""

    vocabulary: tuple[str, ...]
    temperature: float
    ranges: Float[np.ndarray, "L K"]  # D by layer and query block, over settings and heads; a dial's part included
    query_block: Int[np.ndarray, "T"]  # of every query position
    seen: Float[np.ndarray, "T K"]  # token keys of each block that a query position sees
    anchors: int = 0  # anchor keys a block, seen by all

    @property
    def layers(self) -> int:
        return self.ranges.shape[0]

    @property
    def blocks(self) -> int:
        return self.ranges.shape[1]


@runtime_checkable
class Labelled(Protocol):
    """The block of every query and key of a sequence, anchors last among the keys."""

    query_block: Tensor
    key_block: Tensor
