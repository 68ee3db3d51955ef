"""The theorem objects in ledger order, collected from the topics. Importing this loads sympy; `import bounds` does not.

THEOREMS["fidelity_floor"], THEOREMS.values(), by_key("fidelity_flor")     # the last names the nearest known keys
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from bounds.numbers.errors import BadInput, nearest
from bounds.theory.reading import FalseReading
from bounds.theory.theorem import Hypothesis, Level, ProofStep, Relation, Rows, Theorem, Verdict

TOPICS = (
    *("concentration", "entropy", "floors", "dial", "penalty", "anchors", "rules", "depth"),
    *("recruitment", "kinds", "published", "gates"),
)
"""The topic rooms, in the order of the ledger."""

_ROOMS = {topic: importlib.import_module(f"bounds.{topic}.theorems") for topic in TOPICS}

THEOREMS: Mapping[str, Theorem] = MappingProxyType(
    {theorem.key: replace(theorem, topic=topic) for topic, room in _ROOMS.items() for theorem in room.THEOREMS}
)

OBSERVED: tuple[Theorem, ...] = tuple(t for t in THEOREMS.values() if t.level.observed)
"""Those that speak of observed attention and training; the others speak of heads, rules, layers, ..."""

FALSE_READINGS: tuple[FalseReading, ...] = tuple(
    sorted(
        (reading for room in _ROOMS.values() for reading in getattr(room, "FALSE_READINGS", ())),
        key=lambda reading: int(reading.claim.removeprefix("C")),
    )
)
"""The readings of the claims that are false, in the order of the claims."""

__all__ = [
    "FALSE_READINGS",
    "OBSERVED",
    "THEOREMS",
    "TOPICS",
    "FalseReading",
    "Hypothesis",
    "Level",
    "ProofStep",
    "Relation",
    "Rows",
    "Theorem",
    "Verdict",
    "by_key",
]


def by_key(key: str) -> Theorem:
    """The theorem of that name. Raises BadInput with the nearest known names."""
    if key in THEOREMS:
        return THEOREMS[key]
    raise BadInput(f"theorem must be one of the known keys, got {key!r}; nearest: {nearest(key, THEOREMS)}")
