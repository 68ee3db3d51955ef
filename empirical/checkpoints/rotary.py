"""Rotary positions: what a configuration says of them, and by how much they turn a key some places before its query.

frequency of plane i of a head of h features: theta^(-2i/h), scaled as its kind has it
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from empirical.errors import BadInput

Reals = NDArray[np.float64]
Phases = NDArray[np.complex128]
"""What a key some places before its query is turned by in every plane, (places, h/2)."""

KEEP_LENGTHS = ("default", "linear", "dynamic", "llama3")  # kinds whose cosines and sines are not scaled
OFFERED = 256  # places at most, so that long contexts cost no more


def rope_of(config: dict[str, Any]) -> dict[str, Any]:
    """What a configuration says of its rotary positions, under its newer name or its older one."""
    found = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if not isinstance(found, dict):
        raise BadInput(f"rope_parameters must be an object, got {found!r}")
    return found


def checked_rope(config: dict[str, Any]) -> dict[str, Any]:
    """`rope_of`. Raises BadInput for positions that scale features, or turn only part of them."""
    rope = rope_of(config)
    turned = _kind(rope)
    if turned not in KEEP_LENGTHS:
        raise BadInput(f"rope_type must be one of {', '.join(KEEP_LENGTHS)}, got {turned!r}")
    part = rope.get("partial_rotary_factor", config.get("partial_rotary_factor"))
    if part not in (None, 1, 1.0):
        raise BadInput(f"partial_rotary_factor must be 1, got {part!r}")
    return rope


def _kind(rope: Mapping[str, Any]) -> Any:
    return rope.get("rope_type", rope.get("type", "default"))


def inverse_frequencies(width: int, rope: Mapping[str, Any]) -> Reals:
    """Radians a position in each plane of a head of `width` features; kinds default, linear, dynamic and llama3.

    Dynamic is as default up to the length that the model was trained on.
    """
    plain = float(rope.get("rope_theta", 10_000.0)) ** -(np.arange(0, width, 2) / width)
    kind = _kind(rope)
    if kind == "linear":
        return plain / float(rope["factor"])
    if kind != "llama3":
        return plain
    factor, low, high = (float(rope[name]) for name in ("factor", "low_freq_factor", "high_freq_factor"))
    turns = float(rope["original_max_position_embeddings"]) * plain / (2 * math.pi)
    share = np.clip((turns - low) / (high - low), 0, 1)
    return (1 - share) * plain / factor + share * plain


def phases(frequencies: Reals, n_keys: int) -> Phases:
    """Turns of keys 1 to n_keys - 1 places before the query, of at most OFFERED places."""
    last = max(n_keys - 1, 2)
    places = np.unique(np.round(np.geomspace(1, last, OFFERED))) if last > OFFERED else np.arange(1, last + 1)
    return np.exp(-1j * places[:, None] * frequencies)


def phases_of(config: dict[str, Any], n_keys: int) -> Phases:
    """Those of a configuration. Raises BadInput for one that does not say enough."""
    rope = {"rope_theta": config.get("rope_theta", 10_000.0), **rope_of(config)}
    width = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    try:
        return phases(inverse_frequencies(int(width), rope), n_keys)
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(f"config.json must give all that its rotary positions need, got {error!r}") from None
