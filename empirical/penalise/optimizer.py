"""A proximal step after each step of any torch optimiser: a penalty on groups of the parameters of any module.

    w <- optimiser's step;   w_g <- w_g max(0, 1 - lr penalty_g / ||w_g||)      (decoupled, exact zeros)

After SGD without momentum this is proximal gradient descent, and the penalties are those of the theory. After Adam or
AdamW it is not: a zero group stays zero where lr penalty_g exceeds the update, whose coordinates are at most
lr U however small the gradient, so that penalty_g >= U sqrt(size) always keeps it (theorem `adam_threshold`). `pulls`
says what it took in a run: a penalty above the pull of a group held it, one below would have let it go.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from empirical.errors import BadInput
from empirical.penalise.groups import Given
from empirical.penalise.modules import ModuleGroups
from empirical.penalise.penalty import GroupNorm, Kind
from empirical.shapes import Float


class ProximalGroups:
    """`optimizer` (SGD, Adam, AdamW, ...) followed by the proximal map of the groups' penalties.

    `groups` as from `module_groups`; `penalties` one number, or one each. Schedulers act on `optimizer`, whose current
    learning rate is the length of the proximal step. Raises BadInput where the optimiser lacks a parameter of a group
    or gives those of one group several learning rates, for penalties that do not fit, for gradients not finite.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        groups: ModuleGroups,
        penalties: Given,
        penalty: Kind = GroupNorm,
    ):
        self.optimizer, self.groups, self.penalty = optimizer, groups, penalty(groups.groups)
        self.penalties = groups.groups.penalties(penalties, groups.tensors[0].detach())
        owned = {id(p) for settings in optimizer.param_groups for p in settings["params"]}
        for name, tensor in zip(groups.parameters, groups.tensors):
            if id(tensor) not in owned:
                raise BadInput(f"optimizer must hold every parameter of a group, got none of {name!r}")
        self._pulls = torch.zeros_like(self.penalties)
        members = groups.groups.member.split([tensor.numel() for tensor in groups.tensors])
        self._present = [member[member < len(groups)].unique() for member in members]  # groups in each parameter
        self._lengths()

    def _lengths(self) -> Float[Tensor, "G1"]:
        """The learning rate of each group, from that of its parameters."""
        rates = {id(p): float(s["lr"]) for s in self.optimizer.param_groups for p in s["params"]}
        lengths = torch.full_like(self.penalties, -1.0)
        for tensor, here in zip(self.groups.tensors, self._present):
            rate = rates[id(tensor)]
            several = here[(lengths[here] >= 0) & (lengths[here] != rate)]
            if several.numel():
                raise BadInput(
                    f"optimizer must give a group one learning rate, got {float(lengths[several[0]])} and {rate} "
                    f"in {self.groups.names[int(several[0])]!r}"
                )
            lengths[here] = rate
        return lengths.clamp(min=0)

    def zero_grad(self, set_to_none: bool = True) -> None:
        self.optimizer.zero_grad(set_to_none)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of the optimiser, then the proximal map; returns what the optimiser returns.

        Nothing has moved where a gradient is not finite (with a closure, one from before it ran).
        """
        for name, tensor in zip(self.groups.parameters, self.groups.tensors):
            if tensor.grad is not None and not bool(tensor.grad.isfinite().all()):
                raise BadInput(f"gradients must be finite, got one of {name!r} that is not")
        lengths, groups = self._lengths(), self.groups.groups
        zero = groups.norms(self.groups.flat()) == 0
        value = self.optimizer.step(closure) if closure is not None else self.optimizer.step()
        flat = self.groups.flat()
        pulls = torch.where(zero & (lengths > 0), groups.norms(flat) / lengths, 0.0)
        self._pulls = torch.maximum(self._pulls, pulls)
        self.groups.load(self.penalty.prox(flat, lengths * self.penalties)[0])
        return value

    def pulls(self) -> dict[str, float]:
        """max ||update||/lr of every group over the steps that found it zero: the penalty that would have held it."""
        return dict(zip(self.groups.names, self._pulls.tolist()))

    def norms(self) -> dict[str, float]:
        """||w_g|| of every group; exactly 0 where it is zero."""
        return dict(zip(self.groups.names, self.groups.groups.norms(self.groups.flat()).tolist()))

    def state_dict(self) -> dict[str, Any]:
        """The optimiser's state, the penalties and whose they are."""
        return {
            "optimizer": self.optimizer.state_dict(),
            "groups": list(self.groups.names),
            "penalties": self.penalties[:-1].tolist(),
            "pulls": self._pulls[:-1].tolist(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raises BadInput, before anything changes, where the state is of other groups."""
        if state.get("groups") != list(self.groups.names):
            raise BadInput(f"state must be of the groups {list(self.groups.names)}, got {state.get('groups')}")
        like = self.groups.tensors[0].detach()
        penalties, pulls = (self.groups.groups.penalties(state[part], like) for part in ("penalties", "pulls"))
        self.optimizer.load_state_dict(state["optimizer"])
        self.penalties, self._pulls = penalties, pulls
