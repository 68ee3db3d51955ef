"""The theorem objects in ledger order, collected from the topics. Importing this loads sympy; `import bounds` does not.

THEOREMS["fidelity_floor"], THEOREMS.values(), by_key("fidelity_flor")     # the last names the nearest known keys
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from types import MappingProxyType

from bounds.numbers.errors import BadInput
from bounds.theory.theorem import Hypothesis, ProofStep, Relation, Rows, Theorem, Verdict

TOPICS = (
    *("concentration", "entropy", "floors", "dial", "penalty", "anchors", "rules", "depth"),
    *("recruitment", "kinds", "published"),
)
"""The topic rooms, in the order of the ledger."""

_FOUND = [theorem for topic in TOPICS for theorem in importlib.import_module(f"bounds.{topic}.theorems").THEOREMS]

THEOREMS: Mapping[str, Theorem] = MappingProxyType({theorem.key: theorem for theorem in _FOUND})

OBSERVED: tuple[Theorem, ...] = tuple(t for t in THEOREMS.values() if t.level in ("row", "pair", "setting"))
"""Those that speak of observed attention and training; the others speak of heads, rules, layers, ..."""

__all__ = [
    "OBSERVED",
    "THEOREMS",
    "TOPICS",
    "Hypothesis",
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
    nearest = difflib.get_close_matches(key, THEOREMS, n=3) or THEOREMS
    raise BadInput(f"theorem must be one of the known keys, got {key!r}; nearest: {', '.join(nearest)}")
