"""Rotary positions: what a configuration says of them, and by how much they turn a key some places before its query.

frequency of plane i of h features that are turned, i with i + h/2: theta^(-2i/h), scaled as its kind has it
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from empirical.errors import BadInput

Reals = NDArray[np.float64]
Phases = NDArray[np.complex128]
"""What a key some places before its query is turned by in every plane, (places, h/2)."""

KEEP_LENGTHS = ("default", "linear", "dynamic", "llama3")  # kinds whose cosines and sines are not scaled
OFFERED = 256  # places at most, so that long contexts cost no more


@dataclass(frozen=True)
class Rotation:
    """The first features of every head, which positions turn, and what a configuration says of that."""

    features: int
    rope: Mapping[str, Any]


def rope_of(config: dict[str, Any], layer_type: str | None = None) -> dict[str, Any]:
    """What a configuration says of its rotary positions, under its newer name or its older one.

    Of one type of layer, where it tells types apart. Raises BadInput for what is no object, or lacks that type.
    """
    found = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if isinstance(found, dict) and layer_type is not None:
        found = found.get(layer_type)
    if not isinstance(found, dict):
        of = "" if layer_type is None else f" for {layer_type}"
        raise BadInput(f"rope_parameters must be an object{of}, got {found!r}")
    older = {"rope_theta": config.get("rope_theta"), "partial_rotary_factor": config.get("partial_rotary_factor")}
    return {**{name: value for name, value in older.items() if value is not None}, **found}


def rotation(rope: Mapping[str, Any], width: int, partial: bool = False) -> Rotation:
    """Of heads of `width` features, by what `rope_of` gives; `partial` where a family may turn only the first of them.

    Raises BadInput for positions that scale features, or that turn a part which is no even number of features.
    """
    turned = _kind(rope)
    if turned not in KEEP_LENGTHS:
        raise BadInput(f"rope_type must be one of {', '.join(KEEP_LENGTHS)}, got {turned!r}")
    part = rope.get("partial_rotary_factor", 1.0)
    if not partial and part != 1:
        raise BadInput(f"partial_rotary_factor must be 1, got {part!r}")
    if not isinstance(part, int | float) or not 0 < part <= 1 or int(width * part) % 2 or not int(width * part):
        raise BadInput(f"partial_rotary_factor must turn an even number of a head's {width} features, got {part!r}")
    return Rotation(int(width * part), rope)


def _kind(rope: Mapping[str, Any]) -> Any:
    return rope.get("rope_type", rope.get("type", "default"))


def inverse_frequencies(width: int, rope: Mapping[str, Any]) -> Reals:
    """Radians a position in each plane of `width` features that are turned; kinds default, linear, dynamic and llama3.

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


def phases_of(rotation: Rotation, n_keys: int) -> Phases:
    """Those of a rotation. Raises BadInput for one that does not say enough."""
    try:
        return phases(inverse_frequencies(rotation.features, rotation.rope), n_keys)
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(f"config.json must give all that its rotary positions need, got {error!r}") from None
