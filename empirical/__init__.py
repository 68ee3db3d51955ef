"""What is observed: the reference model, its training across penalties, and the checks of observed attention."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from empirical.observe.rows import observe_attention as observe_attention

__all__ = ["observe_attention"]


def __getattr__(name: str) -> Any:
    if name == "observe_attention":  # on demand: it loads torch
        from empirical.observe.rows import observe_attention

        return observe_attention
    raise AttributeError(f"module 'empirical' has no attribute {name!r}")
