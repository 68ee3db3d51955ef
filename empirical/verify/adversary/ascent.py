"""Gradient ascent in torch, many independent problems side by side, and the closed forms as torch functions."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

ARITHMETIC = ("exp", "log", "log1p", "expm1", "sqrt", "sin", "cos", "minimum", "maximum", "where", "logaddexp")


def _tensors(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda *arguments: function(*(torch.as_tensor(a, dtype=None) for a in arguments))


def _where(condition: Any, first: Any, second: Any) -> Tensor:
    return torch.where(torch.as_tensor(condition), torch.as_tensor(first), torch.as_tensor(second))


_NAMESPACE = types.SimpleNamespace(
    **{name: _tensors(getattr(torch, name)) for name in ARITHMETIC if name != "where"}, where=_where
)


def torch_form(form: Any) -> Callable[..., Tensor]:
    """A printed closed form on tensors: the very same code, with torch for numpy."""
    return types.FunctionType(form.__code__, {"numpy": _NAMESPACE})


def ascend(
    parameters: list[Tensor],
    objective: Callable[..., Tensor],
    project: Callable[..., list[Tensor]],
    steps: int = 150,
    rate: float = 0.2,
) -> list[Tensor]:
    """Adam upwards on the objective (one number a problem), projected after every step onto what is allowed.

    The rate falls to a hundredth along the way. Problems do not interact: their sum is differentiated.
    """
    with torch.enable_grad():
        leaves = [p.detach().clone().requires_grad_() for p in parameters]
        adam = torch.optim.Adam(leaves, lr=rate, maximize=True, foreach=True)
        for count in range(steps):
            adam.param_groups[0]["lr"] = rate * 0.01 ** (count / steps)
            value = objective(*leaves)
            gradients = torch.autograd.grad(value.sum(), leaves, allow_unused=True)
            for leaf, gradient in zip(leaves, gradients):
                leaf.grad = torch.zeros_like(leaf) if gradient is None else gradient.nan_to_num(0.0, 0.0, 0.0)
            adam.step()
            with torch.no_grad():
                for leaf, allowed in zip(leaves, project(*leaves)):
                    leaf.copy_(allowed)
    return [leaf.detach() for leaf in leaves]
