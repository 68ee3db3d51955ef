"""Gradient checkpointing: what is recomputed on the way back is what ran on the way forth.

    checkpoint(f, x): f(x), and f(x) again where backward needs it, when the context that f ran in may be left

`carry` makes a model's own checkpointing of its layers run again under what was captured when it ran first. To a
caller's own `torch.utils.checkpoint` around more than that nothing can be carried: `Stack.forth` counts those that are
running, `Stack.back` the recomputations of what ran elsewhere. A context acts in neither where it was entered outside;
one that is entered inside the function is entered again with it.
"""

from __future__ import annotations

import functools
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import torch.utils.checkpoint

ATTRIBUTE = "_gradient_checkpointing_func"  # where transformers keeps what checkpoints a layer
Capture = Callable[[], Callable[[], AbstractContextManager[None]]]
"""What is captured on the way forth: a function that gives the context to recompute in."""


class Stack(NamedTuple):
    """Checkpoints that are running and that nothing is carried to."""

    forth: int
    back: int

    def minus(self, other: Stack) -> Stack:
        return Stack(self.forth - other.forth, self.back - other.back)


NOTHING = Stack(0, 0)
_carried = ContextVar("checkpoints running, forth and back, that are carried", default=NOTHING)


def on_stack(file: str, *names: str) -> Counter[str]:
    """How many functions of each of these names, of this file, are running: empty where none is."""
    frame, found = sys._getframe(1), Counter[str]()
    while frame is not None:
        if frame.f_code.co_name in names and frame.f_code.co_filename.endswith(file):
            found[frame.f_code.co_name] += 1
        frame = frame.f_back
    return found


def checkpoints() -> Stack:
    """Those that are running now, from one walk over the stack: it may be deep, and every attention asks."""
    found = on_stack(torch.utils.checkpoint.__file__, "checkpoint", "backward", "unpack_hook")
    return Stack(found["checkpoint"], found["backward"] + found["unpack_hook"]).minus(_carried.get())


@contextmanager
def _carrying(forth: int, back: int) -> Iterator[None]:
    token = _carried.set(_carried.get().minus(Stack(-forth, -back)))
    try:
        yield
    finally:
        _carried.reset(token)


def _carry(
    original: Callable[..., Any], capture: Capture, function: Callable[..., Any], *given: Any, **more: Any
) -> Any:
    again, runs = capture(), 0

    def run(*x: Any, **y: Any) -> Any:
        nonlocal runs
        runs += 1
        if runs == 1:
            with _carrying(1, 0):
                return function(*x, **y)
        with _carrying(0, 1), again():
            return function(*x, **y)

    return original(run, *given, **more)


def carry(module: Any, capture: Capture) -> None:
    """What checkpoints this module, if anything does, runs again under what was captured."""
    original = getattr(module, ATTRIBUTE, None)
    if original is not None and getattr(original, "func", None) is not _carry:
        setattr(module, ATTRIBUTE, functools.partial(_carry, original, capture))


def carry_no_more(module: Any) -> None:
    """What checkpointed this module before `carry`."""
    wrapped = getattr(module, ATTRIBUTE, None)
    if isinstance(wrapped, functools.partial) and wrapped.func is _carry:
        setattr(module, ATTRIBUTE, wrapped.args[0])
