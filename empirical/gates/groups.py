"""Which gate a pair of tokens belongs to: by layer, head, block of the query and block of the key.

    number[l, h, b, c]   gate of the outside pairs of layer l, head h, from queries of block b to keys of block c

c = K are keys of no block; queries of no block are not gated. Pairs inside a block, or that a relation makes relevant,
have no gate: a cell that holds none but these has no pairs. An axis that gates do not go by is shared along it; one
shared over layers has a price, but no level above which it is sure to be 0 (counterexample: two tokens, no loss).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from empirical.errors import BadInput
from empirical.observe.schema import PAIR
from empirical.shapes import Float, Int

AXES = PAIR[1:]
"""What gates may go by, and the dimensions of a table of them."""


@dataclass(frozen=True)
class Groups:
    """A gate for every cell (layer, head, block of queries, block of keys); a table of gates has dimensions `dims`."""

    number: Int[Tensor, "L H K K1"]
    dims: tuple[str, ...]
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        number = self.number
        fits = number.ndim == 4 and number.shape[3] == number.shape[2] + 1 and number.numel()
        if not fits or number.is_floating_point() or not 0 <= int(number.min()) <= int(number.max()) < self.count:
            raise BadInput(
                f"groups must number gates 0 to {self.count - 1} in cells (layers, heads, blocks, blocks + 1), got "
                f"shape {tuple(number.shape)}"
            )

    @property
    def count(self) -> int:
        """G, the number of gates."""
        return int(np.prod(self.shape))

    @property
    def layers(self) -> int:
        return self.number.shape[0]

    @property
    def heads(self) -> int:
        return self.number.shape[1]

    @property
    def blocks(self) -> int:
        """K, without that of the tokens of none."""
        return self.number.shape[2]

    @cached_property
    def in_layer(self) -> Tensor:
        """(L, G) bool: whether a gate has cells in a layer."""
        found = torch.zeros(self.layers, self.count, dtype=torch.bool)
        for layer, cells in enumerate(self.number):
            found[layer, cells.flatten()] = True
        return found

    @property
    def shared_over_layers(self) -> bool:
        return bool((self.in_layer.sum(0) > 1).any())

    def classes(self, layer: int) -> tuple[Int[Tensor, "K1"], Int[Tensor, "H K C"]]:
        """Class of each key block, from 0, and the gate of each class: key blocks with the same gates are one class.

        A row needs a partial attention a class.
        """
        columns, inverse = torch.unique(self.number[layer].flatten(0, 1), dim=1, return_inverse=True)
        return inverse, columns.view(self.heads, self.blocks, -1)

    def spread(self, cells: Float[Tensor, "*D L H K K1"]) -> Float[Tensor, "*D G"]:
        """The sum over each gate's cells."""
        lead = cells.shape[:-4]
        found = cells.new_zeros(*lead, self.count)
        return found.index_add(-1, self.number.flatten().to(cells.device), cells.reshape(*lead, self.number.numel()))

    def vector(self, gates: Any) -> Float[Tensor, "*B G"]:
        """Gates as a vector in float64: one number for all, a table of shape `shape`, or a vector; sequences lead.

        Raises BadInput for another shape, NaN, or a gate outside [0, 1].
        """
        try:
            given = gates if isinstance(gates, Tensor) else torch.as_tensor(np.asarray(gates, dtype=float))
        except (TypeError, ValueError):
            raise BadInput(f"gates must be numbers in [0, 1], got {type(gates).__name__}") from None
        if given.is_complex() or given.dtype == torch.bool:
            raise BadInput(f"gates must be numbers in [0, 1], got {given.dtype}")
        given = given.double()
        if given.ndim == 0:
            found = given.expand(self.count)
        elif given.shape == self.shape:
            found = given.reshape(-1)
        elif given.ndim <= 2 and given.shape[-1] == self.count:
            found = given
        else:
            raise BadInput(f"gates must be of shape {self.shape} or ({self.count},), got {tuple(given.shape)}")
        wrong = found[~((found >= 0) & (found <= 1))]
        if wrong.numel():
            raise BadInput(f"gates must be in [0, 1], got {float(wrong[0].detach())!r}")
        return found

    def table(self, gates: Float[Any, "*D G"]) -> np.ndarray:
        """Values of the gates, (..., *shape), for a labelled dataset."""
        values = gates.detach().cpu().numpy() if isinstance(gates, Tensor) else np.asarray(gates)
        return values.reshape((*values.shape[:-1], *self.shape))


def axes_of(by: tuple[str, ...]) -> tuple[str, ...]:
    """Some of AXES, in their order. Raises BadInput for others, or one given twice."""
    if isinstance(by, str) or not set(by) <= set(AXES) or len(set(by)) != len(by):
        raise BadInput(f"groups must be some of {', '.join(AXES)}, got {by!r}")
    return tuple(name for name in AXES if name in by)


def grouped(layers: int, heads: int, blocks: int, by: tuple[str, ...] = ("layer", "head")) -> Groups:
    """Gates by some of AXES, in their order; with none of them one gate for all. Raises BadInput for others."""
    dims = axes_of(by)
    sizes = (layers, heads, blocks, blocks + 1)
    if min(sizes) < 1:
        raise BadInput(f"groups must be of at least one layer, head and block, got {sizes[:3]}")
    shape = tuple(size for name, size in zip(AXES, sizes) if name in by)
    kept = [size if name in by else 1 for name, size in zip(AXES, sizes)]
    number = torch.arange(int(np.prod(shape))).view(kept).expand(sizes).contiguous()
    return Groups(number, dims, shape)
