"""The theorem objects, one topic a module. Importing this package loads sympy; `import bounds` alone does not."""

from __future__ import annotations

from bounds.theorems import (
    anchors,
    concentration,
    depth,
    dial,
    entropy,
    floors,
    kinds,
    penalty,
    penalty_dual,
    penalty_global,
    published,
    recruitment,
    rules,
)
from bounds.theorems.theorem import Hypothesis, ProofStep, Relation, Rows, Theorem, Verdict

THEOREMS: tuple[Theorem, ...] = (
    *concentration.THEOREMS,
    *entropy.THEOREMS,
    *floors.THEOREMS,
    *dial.THEOREMS,
    *penalty.THEOREMS,
    *penalty_global.THEOREMS,
    *penalty_dual.THEOREMS,
    *anchors.THEOREMS,
    *rules.THEOREMS,
    *depth.THEOREMS,
    *recruitment.THEOREMS,
    *kinds.THEOREMS,
    *published.THEOREMS,
)

OBSERVED: tuple[Theorem, ...] = tuple(t for t in THEOREMS if t.level in ("row", "pair", "setting"))
"""Those that speak of observed attention and training; the others speak of heads, rules, layers, ..."""

__all__ = ["OBSERVED", "THEOREMS", "Hypothesis", "ProofStep", "Relation", "Rows", "Theorem", "Verdict", "by_key"]


def by_key(key: str) -> Theorem:
    """The theorem of that name. Raises ValueError with the nearest known names."""
    import difflib

    for theorem in THEOREMS:
        if theorem.key == key:
            return theorem
    known = [theorem.key for theorem in THEOREMS]
    nearest = difflib.get_close_matches(key, known, n=3) or known
    raise ValueError(f"theorem must be one of the known keys, got {key!r}; nearest: {', '.join(nearest)}")
