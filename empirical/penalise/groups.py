"""Groups of coordinates of a flat vector.

A coordinate in no group is not penalised: all of them together stand as one more, last group of penalty 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from empirical.errors import BadInput
from empirical.shapes import Float, Int, Shaped

Given = float | Sequence[object] | Tensor
"""One penalty for all groups or one each, as a caller gives it; `Groups.penalties` checks it."""


@dataclass(frozen=True, eq=False)
class Groups:
    """Which group each of P coordinates is in; `len(names)` where it is in none."""

    names: tuple[str, ...]
    member: Int[Tensor, "P"]

    def __len__(self) -> int:
        return len(self.names)

    def penalties(self, value: Given, like: Tensor) -> Float[Tensor, "G1"]:
        """One penalty for all groups, or one each; 0 for what is in none. Raises BadInput for anything else."""
        given = torch.as_tensor(value, dtype=like.dtype, device=like.device)
        if given.ndim > 1 or (given.ndim == 1 and len(given) != len(self)):
            shape = tuple(given.shape)
            raise BadInput(f"penalties must be one number or one for each of {len(self)} groups, got shape {shape}")
        bad = given.isnan() | (given < 0)
        if bad.any():
            worst = float(given.flatten()[bad.flatten()][0])
            raise BadInput(f"penalties must be numbers >= 0, got {worst}")
        return torch.cat([given.expand(len(self)), given.new_zeros(1)])

    def norms(self, x: Float[Tensor, "*lead P"]) -> Float[Tensor, "*lead G1"]:
        """||x_g|| of every group, and last of what is in none."""
        squares = x.new_zeros(*x.shape[:-1], len(self) + 1).index_add_(-1, self.member, x.square())
        return squares.sqrt()

    def spread(self, values: Shaped[Tensor, "*lead G1"]) -> Shaped[Tensor, "*lead P"]:
        """Each coordinate's group's value."""
        return values[..., self.member]
