"""What prices and solvers need of a gated model: losses and leakage of its documents at given gates.

    L(s) = sum of losses / number of scored tokens
    Omega(s) = sum over layers and heads of the mean leakage over their N gated rows
    J(s) = L(s) + penalty Omega(s)

Sums are kept by document: a mean over documents drawn again is a ratio of two sums. Every document of a batch has its
own copy of the gates, so that one backward pass gives each document's gradient.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from empirical.errors import BadInput
from empirical.gates.groups import Groups
from empirical.gates.merge import Pairs
from empirical.shapes import Float


@dataclass(frozen=True)
class Layer:
    """One gated attention of a pass: its pairs, and its outputs where they stand in the graph."""

    layer: int
    pairs: Pairs
    output: Float[Tensor, "B H T F"]


@dataclass(frozen=True)
class Reading:
    """What one batch shows at given gates. Everything but `scored` and `rows` has a gradient."""

    loss: Float[Tensor, "B"]  # summed over scored tokens, nats
    scored: Float[Tensor, "B"]  # how many
    leakage: Float[Tensor, "B L H"]  # summed over gated rows
    rows: Float[Tensor, "B L H"]  # gated: in a block, with a key of their own
    layers: tuple[Layer, ...] = ()  # where they were asked for


@runtime_checkable
class Read(Protocol):
    """How a batch is read at given gates, each of its documents having its own."""

    def __call__(
        self, number: int, gates: Float[Tensor, "B G"], *, keep: bool = False, leakage: bool = True
    ) -> Reading:
        """`keep`: also the layers, their outputs in the graph though gates are not; without `leakage` it is 0."""
        ...


@dataclass(frozen=True)
class Value:
    """L and Omega at some gates."""

    loss: float
    omega: float

    def objective(self, penalty: float) -> float:
        return self.loss + penalty * self.omega


@dataclass(frozen=True)
class Problem:
    """A model with gates, and the documents that it is judged on."""

    groups: Groups
    sizes: tuple[int, ...]  # documents of each batch
    read: Read

    @property
    def documents(self) -> int:
        return sum(self.sizes)

    def readings(
        self, gates: Float[Tensor, "G"], leakage: bool = True
    ) -> Iterator[tuple[Float[Tensor, "B G"], Reading]]:
        """Each batch's own copies of the gates, and what it shows at them."""
        for number, size in enumerate(self.sizes):
            own = gates.detach().expand(size, -1).clone().requires_grad_(torch.is_grad_enabled())
            yield own, self.read(number, own, leakage=leakage)

    @cached_property
    def counts(self) -> tuple[Float[Tensor, "D"], Float[Tensor, "D L H"]]:
        """Scored tokens and gated rows of every document. Raises BadInput where nothing is scored, or gated."""
        with torch.no_grad():
            found = [reading for _, reading in self.readings(torch.ones(self.groups.count, dtype=torch.float64))]
        scored, rows = (torch.cat([getattr(one, name).double() for one in found]) for name in ("scored", "rows"))
        if not float(scored.sum()) > 0:
            raise BadInput("batches must have a token that the loss scores, got none")
        if not rows.any():
            raise BadInput("blocks must hold a query that sees a key of its own block, got none")
        return scored, rows

    def counts_of(self, numbers: Iterable[int]) -> tuple[float, Float[Tensor, "L H"]]:
        """Scored tokens and gated rows of some batches together."""
        first = [sum(self.sizes[:number]) for number in range(len(self.sizes))]
        chosen = [first[number] + at for number in numbers for at in range(self.sizes[number])]
        scored, rows = self.counts
        return float(scored[chosen].sum()), rows[chosen].sum(0)

    @cached_property
    def per_row(self) -> Float[Tensor, "L H"]:
        """1/N of every layer and head, 0 where no row is gated."""
        rows = self.counts[1].sum(0)
        return torch.where(rows > 0, 1 / rows.clamp(min=1), 0.0)

    def omega(self, leakage: Float[Tensor, "*D L H"]) -> Float[Tensor, "*D"]:
        """Of sums over rows."""
        return (leakage.double() * self.per_row.to(leakage.device)).sum((-2, -1))

    @torch.no_grad()
    def sums(
        self, gates: Float[Tensor, "G"], leakage: bool = True
    ) -> tuple[Float[Tensor, "D"], Float[Tensor, "D L H"]]:
        """Loss and leakage of every document, summed over its tokens and rows."""
        found = [reading for _, reading in self.readings(gates, leakage)]
        loss = torch.cat([one.loss.double().cpu() for one in found])
        return checked(loss), torch.cat([one.leakage.double().cpu() for one in found])

    def value(self, gates: Float[Tensor, "G"]) -> Value:
        """L and Omega."""
        loss, leakage = self.sums(gates)
        return Value(float(loss.sum() / self.counts[0].sum()), float(self.omega(leakage.sum(0))))

    def slopes(
        self, gates: Float[Tensor, "G"], omega: bool = False
    ) -> tuple[Float[Tensor, "D"], Float[Tensor, "D G"], Float[Tensor, "D G"] | None]:
        """Loss of every document, summed over its tokens, its gradient, and that of its part of Omega if asked for."""
        losses, of_loss, of_omega = [], [], []
        with torch.enable_grad():
            for own, reading in self.readings(gates, leakage=omega):
                of_loss.append(slope_of(reading.loss.sum(), own, again=omega))
                losses.append(reading.loss.detach().double().cpu())
                if omega:
                    of_omega.append(slope_of(self.omega(reading.leakage).sum(), own))
        return checked(torch.cat(losses)), torch.cat(of_loss), torch.cat(of_omega) if omega else None

    def objective(
        self, gates: Float[Tensor, "G"], penalty: float, weights: Float[Tensor, "G"] | None = None
    ) -> tuple[Value, Float[Tensor, "G"]]:
        """L and Omega, and the gradient of J, by one backward pass a batch; with `weights` Omega is sum of w_c s_c."""
        loss = omega = 0.0
        slope = torch.zeros(self.groups.count, dtype=torch.float64)
        scored = float(self.counts[0].sum())
        with torch.enable_grad():
            for own, reading in self.readings(gates, leakage=weights is None):
                mean = reading.loss.double().sum() / scored
                leakage = self.omega(reading.leakage).sum().to(mean.device) if weights is None else mean.new_zeros(())
                slope += slope_of(mean + penalty * leakage, own).sum(0)
                loss, omega = loss + float(mean.detach()), omega + float(leakage.detach())
        checked(torch.tensor([loss]))
        if weights is None:
            return Value(loss, omega), slope
        return Value(loss, float(weights @ gates)), slope + penalty * weights


def slope_of(total: Float[Tensor, ""], gates: Float[Tensor, "B G"], again: bool = False) -> Float[Tensor, "B G"]:
    """Its gradient in the gates, on the CPU; `again`: another is asked for next. Raises BadInput where it has none."""
    found = None
    if total.requires_grad:
        (found,) = torch.autograd.grad(total, gates, retain_graph=again, allow_unused=True)
    if found is None:
        raise BadInput("loss must depend on attention outside the blocks, got one that no gate changes")
    return found.cpu()


def checked(loss: Float[Tensor, "D"]) -> Float[Tensor, "D"]:
    """The losses. Raises BadInput where one is NaN or infinite."""
    wrong = (~torch.isfinite(loss)).nonzero().flatten().tolist()
    if wrong:
        raise BadInput(f"loss must be finite, got {float(loss[wrong[0]])} of document {wrong[0]}")
    return loss
