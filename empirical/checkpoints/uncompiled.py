"""Compiled models run their own code while a context lasts: a graph traced before knows nothing of it.

The stance of torch.compile is one for the process: it is put back when the last of the contexts is left, in any thread.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch

_LOCK = threading.Lock()
_LASTING: list[AbstractContextManager[None]] = []


@contextmanager
def uncompiled() -> Iterator[None]:
    """Inside, what torch.compile has made runs as it was written."""
    with _LOCK:
        _LASTING.append(_LASTING[0] if _LASTING else torch.compiler.set_stance("force_eager"))
    try:
        yield
    finally:
        with _LOCK:
            stance = _LASTING.pop()
            if not _LASTING:
                stance.__exit__(None, None, None)
