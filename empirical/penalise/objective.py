"""The smooth part of what is minimised: one problem a row, its loss and gradient, and where it is known its Hessian."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

from empirical.shapes import Float, Int

Progress = Callable[[int, int, int], None]
"""report(steps or penalties done with, at most that many, rows still moving)."""


@runtime_checkable
class Objective(Protocol):
    """The smooth part L, one problem a row."""

    def __call__(self, points: Float[Tensor, "S P"], /) -> tuple[Float[Tensor, "S"], Float[Tensor, "S P"]]:
        """Loss and gradient of each row."""
        ...

    def take(self, rows: Int[Tensor, "R"]) -> Objective:
        """The objective of these rows alone."""
        ...


@runtime_checkable
class Curved(Objective, Protocol):
    """An objective that knows its Hessian."""

    def hessian(self, row: int, point: Float[Tensor, "P"], at: Int[Tensor, "A"], /) -> Float[Tensor, "A A"]:
        """L'' of one row among the coordinates `at`: all those of some groups."""
        ...


@dataclass(frozen=True)
class Shared:
    """One loss for every row."""

    loss_and_gradient: Callable[[Tensor], tuple[Tensor, Tensor]]

    def __call__(self, points: Tensor, /) -> tuple[Tensor, Tensor]:
        return self.loss_and_gradient(points)

    def take(self, rows: Tensor) -> Shared:
        return self
