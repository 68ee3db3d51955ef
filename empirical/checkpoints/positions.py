"""Where the queries and keys of a call stand in their sequence: what labels, rules and causality are read by.

    first query = S - T,  first key = max(S - N, 0)     S tokens that the layer has seen, T queries, N keys of a call

A layer that grows holds the last N of S positions, be it all of them or a window or a chunk; a static one that is not
full holds every position and room for more (N > S), which no query sees. So S says all, layer by layer. A cache is met
on its way into the attention that it belongs to. Of a layer that evicts in another way nothing is known: it is refused.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from empirical.errors import BadInput

CONTIGUOUS = ("DynamicLayer", "DynamicSlidingWindowLayer", "StaticLayer", "StaticSlidingWindowLayer")


def _nothing() -> None:
    return None


_noted = ContextVar[tuple[int, Callable[[], Any]]](
    "the attention that is running, and its cache", default=(0, _nothing)
)


def note_cache(module: Any, given: tuple[Any, ...], more: dict[str, Any]) -> None:
    """Before an attention runs: which cache it was given."""
    from transformers.cache_utils import Cache

    found = next((one for one in (*given, *more.values()) if isinstance(one, Cache)), None)
    _noted.set((id(module), _nothing if found is None else weakref.ref(found)))


def noted_cache(module: Any) -> Any:
    """The cache that this attention was given, once."""
    place, cache = _noted.get()
    _noted.set((0, _nothing))
    return cache() if place == id(module) else None


def first_positions(name: str, kind: str, cache: Any, layer: int | None, queries: int, keys: int) -> tuple[int, int]:
    """The position of the first query and of the first key of a call, after its cache has taken them in.

    Cross attention has the queries of its decoder's layer and every key of the encoder. Raises BadInput where a layer
    of the cache is of a class that says nothing of positions, or keys are more than the queries without a cache.
    """
    if cache is None:
        if kind != "cross" and keys != queries:
            raise BadInput(
                f"keys must be those of the queries without a cache, got {keys} keys for {queries} in {name}"
            )
        return 0, 0
    held: Any = None if layer is None else getattr(cache, "self_attention_cache", cache).layers[layer]
    if type(held).__name__ not in CONTIGUOUS or not type(held).__module__.startswith("transformers."):
        known = ", ".join(CONTIGUOUS)
        raise BadInput(f"cache must be of layers whose positions are known ({known}), got {type(held).__name__}")
    seen = int(held.get_seq_length())
    return seen - queries, 0 if kind == "cross" else max(seen - keys, 0)
