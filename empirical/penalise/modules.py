"""The penalised problem of any torch module: groups of its parameters, the critical penalty, the path over penalties.

    minimise  L(w) + sum_g penalty_g p(||w_g||),  L = mean over `batches` of loss(model, batch)
    critical: max over zero groups g of ||grad_g L||: above it the zero groups stay zero, below it one leaves
    path:     a stationary point at each penalty in turn, each descended to from the last

A group is a name and the places it holds: `{"q 0<-1": [("attention.in_proj_weight", (slice(0, 8), slice(8, 16)))]}`.
Parameters in no group are not penalised, and frozen ones (requires_grad False) do not move. L has to give the same
value twice: put dropout and batch normalisation into eval mode, and keep the batches fixed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from empirical.errors import BadInput
from empirical.penalise.groups import Given, Groups
from empirical.penalise.objective import Progress, Shared
from empirical.penalise.penalty import GroupNorm, Kind
from empirical.penalise.solver import follow
from empirical.shapes import Bool, Float, Int

Places = Sequence[tuple[str, Any]]
"""(parameter's name, any index of it), each."""
Loss = Callable[[nn.Module, Any], object]
"""loss(model, batch), one number; anything else is refused where it is called."""


@dataclass(frozen=True, eq=False)
class ModuleGroups:
    """Groups over the concatenation of some parameters of a module, in the module's order."""

    parameters: tuple[str, ...]
    tensors: tuple[nn.Parameter, ...]
    groups: Groups

    def __len__(self) -> int:
        return len(self.groups)

    @property
    def names(self) -> tuple[str, ...]:
        return self.groups.names

    def flat(self) -> Float[Tensor, "P"]:
        """A copy of the parameters as one vector."""
        return torch.cat([tensor.detach().reshape(-1) for tensor in self.tensors])

    def pieces(self, flat: Float[Tensor, "P"]) -> dict[str, Tensor]:
        """Views of a flat vector in the parameters' shapes, by name."""
        parts = flat.split([tensor.numel() for tensor in self.tensors])
        return {name: part.view_as(old) for name, part, old in zip(self.parameters, parts, self.tensors)}

    @torch.no_grad()
    def load(self, flat: Float[Tensor, "P"]) -> None:
        """Writes a flat vector into the module's parameters."""
        for tensor, piece in zip(self.tensors, self.pieces(flat).values()):
            tensor.copy_(piece)

    def localise(self) -> None:
        """Every group to exactly zero."""
        self.load(self.flat().where(self.groups.member == len(self), 0.0))


def module_groups(model: nn.Module, groups: Mapping[str, Places], *, every: bool = False) -> ModuleGroups:
    """The named groups of the module's parameters; with `every`, also the trainable parameters that are in none.

    Raises BadInput for no groups, a parameter that the module lacks or that is frozen, an index out of range, an
    empty group, two groups that share a coordinate, parameters of several dtypes or devices.
    """
    if not groups:
        raise BadInput("groups must name at least one group, got none")
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
    named = {parameter for places in groups.values() for parameter, _ in places}
    for name in sorted(named - set(trainable)):
        state = "frozen" if name in dict(model.named_parameters()) else "not there"
        raise BadInput(f"groups must be of trainable parameters of the module, got {name!r}, which is {state}")
    kept = {name: p for name, p in trainable.items() if every or name in named}
    kinds = {(p.dtype, p.device) for p in kept.values()}
    if len(kinds) > 1:
        raise BadInput(f"groups must be of parameters of one dtype on one device, got {sorted(map(str, kinds))}")
    member = {name: torch.full(p.shape, len(groups), device=p.device) for name, p in kept.items()}
    for number, (group, places) in enumerate(groups.items()):
        for parameter, index in places:
            _claim(member[parameter], index, number, (group, parameter), tuple(groups))
        if not any((member[parameter] == number).any() for parameter, _ in places):
            raise BadInput(f"groups must hold a coordinate each, got {group!r} with none")
    return ModuleGroups(
        tuple(kept), tuple(kept.values()), Groups(tuple(groups), torch.cat([m.flatten() for m in member.values()]))
    )


def _claim(member: Tensor, index: Any, number: int, said: tuple[str, str], names: tuple[str, ...]) -> None:
    """Marks the places of one group, in place."""
    group, parameter = said
    try:
        held = member[index]
    except (IndexError, TypeError, ValueError) as error:
        raise BadInput(
            f"groups[{group!r}] must index {parameter!r} of shape {tuple(member.shape)}, got {index!r} ({error})"
        ) from None
    taken = held[held < len(names)]
    if taken.numel():
        raise BadInput(f"groups must not overlap, got {parameter!r} in {names[int(taken[0])]!r} and in {group!r}")
    member[index] = number


def block_groups(
    parameter: str, rows: Mapping[str, slice], columns: Mapping[str, slice], label: str = ""
) -> dict[str, Places]:
    """One group for every pair of a row and a column block of a matrix with different names: its cross blocks."""
    return {
        f"{label}{row}<-{column}": [(parameter, (across, along))]
        for row, across in rows.items()
        for column, along in columns.items()
        if row != column
    }


class ModuleLoss:
    """L and its gradient at flat parameters, without touching the module's own."""

    def __init__(self, model: nn.Module, loss: Loss, batches: Iterable[Any], held: ModuleGroups):
        self.evaluated, self.batches, self.held = _Evaluated(model, loss), list(batches), held
        if not self.batches:
            raise BadInput("batches must hold at least one batch, got none")

    def at(self, flat: Float[Tensor, "P"]) -> tuple[Tensor, Float[Tensor, "P"]]:
        """The mean loss over the batches, each counting alike, and its gradient; one batch in memory at a time."""
        total, gradient = flat.new_zeros(()), torch.zeros_like(flat)
        for batch in self.batches:
            with torch.enable_grad():
                leaf = flat.detach().requires_grad_()
                value = self._of(leaf, batch)
                (part,) = torch.autograd.grad(value, leaf)
            total, gradient = total + value.detach().to(total), gradient + part
        return total / len(self.batches), gradient / len(self.batches)

    def _of(self, flat: Float[Tensor, "P"], batch: Any) -> Tensor:
        pieces = {f"model.{name}": piece for name, piece in self.held.pieces(flat).items()}
        value = functional_call(self.evaluated, pieces, (batch,))
        if not isinstance(value, Tensor) or value.numel() != 1:
            raise BadInput(f"loss must return one number, got {_said(value)}")
        return value.reshape(())

    def __call__(self, points: Float[Tensor, "S P"]) -> tuple[Float[Tensor, "S"], Float[Tensor, "S P"]]:
        losses, gradients = zip(*(self.at(point) for point in points))
        return torch.stack(losses), torch.stack(gradients)

    def start(self) -> tuple[Float[Tensor, "P"], Tensor, Float[Tensor, "P"]]:
        """(parameters, loss, gradient) of the module as it is; raises BadInput unless finite and the same twice."""
        flat = self.held.flat()
        loss, gradient = self.at(flat)
        if not bool(loss.isfinite() & gradient.isfinite().all()):
            part = "loss" if not bool(loss.isfinite()) else "gradient"
            raise BadInput(f"loss must be finite with a finite gradient at the start, got a {part} that is not")
        # not at the start itself: dropout of weights that are all zero shows in the gradient alone
        beside = flat - gradient * (1e-2 * flat.norm().clamp(min=1) / gradient.norm().clamp(min=1e-30))
        once, again = (sum(float(self._of(beside, batch)) for batch in self.batches) for _ in range(2))
        if abs(once - again) > 1e3 * torch.finfo(loss.dtype).eps * abs(once):
            raise BadInput(f"loss must give the same value twice (no dropout, fixed batches), got {once} and {again}")
        return flat, loss, gradient


class _Evaluated(nn.Module):
    """loss(model, batch) as a module, so that the parameters can be replaced while it runs."""

    def __init__(self, model: nn.Module, loss: Loss):
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, batch: Any) -> object:
        return self.loss(self.model, batch)


def _said(value: Any) -> str:
    return f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)


@dataclass(frozen=True)
class Critical:
    """The penalty at which a localised model loses stability, and how far the rest is from stationary."""

    penalty: float  # the largest of `gradient_norms`
    group: str  # whose gradient it is: the first to leave
    gradient_norms: dict[str, float]  # of every group that is zero
    residual: float  # ||gradient|| of all that is not zero, or in no group: the penalty is exact where this is 0
    loss: float


def critical_penalty(model: nn.Module, loss: Loss, batches: Iterable[Any], groups: Mapping[str, Places]) -> Critical:
    """lambda_crit = max over zero groups of ||grad_g L|| (theorems `critical_stays`, `critical_leaves`).

    One number for groups that share one penalty; with penalties of their own, compare each with its `gradient_norms`.
    Groups of factors whose partners are zero as well have gradient 0 whatever the data: a trap, see
    `factorised_heads`. Raises BadInput where no group is zero, and as `module_groups`.
    """
    held = module_groups(model, groups, every=True)
    flat, value, gradient = ModuleLoss(model, loss, batches, held).start()
    norms, steep = held.groups.norms(flat), held.groups.norms(gradient)
    zero = (norms == 0)[: len(held)]
    if not zero.any():
        raise BadInput("model must be localised (some group exactly zero), got every group non-zero")
    found = {name: float(s) for name, s, z in zip(held.names, steep, zero) if z}
    group = max(found, key=lambda name: found[name])
    moving = torch.cat([~zero, zero.new_ones(1)])
    return Critical(found[group], group, found, float(steep[moving].norm()), float(value))


def stationarity(
    model: nn.Module,
    loss: Loss,
    batches: Iterable[Any],
    groups: Mapping[str, Places],
    penalties: Given,
    penalty: Kind = GroupNorm,
) -> dict[str, float]:
    """How far each group is from stationary on these batches, and under "" all that is in none; 0 at a KKT point.

    For a model trained on other batches than these (minibatches), the certificate on a fixed evaluation set.
    """
    held = module_groups(model, groups, every=True)
    flat, _, gradient = ModuleLoss(model, loss, batches, held).start()
    of, each = held.groups, held.groups.penalties(penalties, flat)
    slope = penalty(of).slope(flat, gradient, each, of.norms(flat), of.norms(gradient))
    return dict(zip((*held.names, ""), of.norms(slope).tolist()))


@dataclass(frozen=True, eq=False)
class ModulePath:
    """A stationary point of the module's penalised loss at each penalty; `load` puts one into the module."""

    penalties: tuple[float, ...]
    held: ModuleGroups
    points: Float[Tensor, "T P"]
    loss: Float[Tensor, "T"]  # without the penalty
    norms: Float[Tensor, "T G"]
    gradient_norms: Float[Tensor, "T G"]
    residual: Float[Tensor, "T"]
    converged: Bool[Tensor, "T"]
    evaluations: Int[Tensor, "T"]
    halved: Int[Tensor, "T"]  # steps that were too long

    def load(self, number: int) -> None:
        self.held.load(self.points[number])


def penalty_path(
    model: nn.Module,
    loss: Loss,
    batches: Iterable[Any],
    groups: Mapping[str, Places],
    penalties: Sequence[object],
    *,
    factors: Given = 1.0,
    penalty: Kind = GroupNorm,
    tolerance: float = 1e-6,
    max_evaluations: int = 2000,
    step: float | None = None,
    report: Progress | None = None,
) -> ModulePath:
    """Stationary points at `penalties` in the order given, the first descended to from the module as it is.

    From a localised model downwards this follows the localised branch, from a distributed one upwards the other. The
    module itself is left as it was. `factors` multiply the penalties, one each group; a `step` that overshoots is
    halved, and `halved` counts it. Raises BadInput as `module_groups`, and for penalties or factors that are none.
    """
    numbers = [float(p) for p in penalties if isinstance(p, int | float) and p >= 0]
    if not penalties or len(numbers) < len(penalties):
        raise BadInput(f"penalties must be numbers >= 0, at least one, got {list(penalties)!r}")
    if not tolerance > 0:
        raise BadInput(f"tolerance must be > 0, got {tolerance!r}")
    if step is not None and not (step > 0 and math.isfinite(step)):
        raise BadInput(f"step must be finite and > 0, got {step!r}")
    held = module_groups(model, groups, every=True)
    problem = ModuleLoss(model, loss, batches, held)
    flat, _, _ = problem.start()
    each = held.groups.penalties(factors, flat)
    each = torch.stack([torch.where(each > 0, p * each, 0.0) for p in numbers])
    found = follow(
        Shared(problem),
        flat[None],
        held.groups,
        each[None],
        tolerance=tolerance,
        max_evaluations=max_evaluations,
        step=step,
        penalty=penalty,
        report=report,
    )
    points = found.points[0]
    return ModulePath(
        tuple(numbers),
        held,
        points,
        found.loss[0],
        held.groups.norms(points)[:, : len(held)],
        found.gradient_norm[0, :, : len(held)],
        found.residual[0].norm(dim=-1),
        found.converged[0],
        found.evaluations[0],
        found.halved[0],
    )
