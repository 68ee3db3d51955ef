"""A stock model under masks of our choice, layer by layer: what gates are checked against."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor

from empirical.checkpoints.attach import places_of


@contextmanager
def stock_masks(model: Any, mask_of: Callable[[int], Tensor]) -> Iterator[None]:
    """The model's own attention, each layer given a mask of our choice."""

    def hook(layer):
        def before(_, args, given):
            return args, {**given, "attention_mask": mask_of(layer)}

        return before

    with ExitStack() as stack:
        for module in model.modules():
            if id(module) in places_of(model):
                layer = places_of(model)[id(module)][2]
                handle = module.register_forward_pre_hook(hook(layer), with_kwargs=True)
                stack.callback(handle.remove)
        yield
