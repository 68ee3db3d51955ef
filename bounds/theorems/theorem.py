"""A theorem is one object: its expression, hypotheses that data can fail, a proof sympy checks, a witness, a source.

    hypotheses(row)  =>  quantity(row)  <relation>  bound(row)

and a row that fails a hypothesis is VACUOUS: it neither supports nor refutes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

Rows = Mapping[str, np.ndarray]
"""Named arrays that broadcast against each other: `margin`, `n_keys`, `entropy_nats`, ..."""


class Verdict(Enum):
    """What one row says about one theorem. Stored as its `code`, a uint8, so that millions of rows stay small."""

    HOLDS = "the hypotheses hold and so does the conclusion"
    VIOLATED = "the hypotheses hold and the conclusion does not: the theorem, the code or the data is wrong"
    VACUOUS = "a hypothesis does not hold, so the theorem says nothing about this row"
    UNKNOWN = "the arithmetic cannot decide: the slack is within rounding, or the row is not a finite attention row"

    @property
    def code(self) -> int:
        return list(Verdict).index(self)


class Relation(Enum):
    """How the observed quantity relates to the bound."""

    AT_MOST = "<="
    AT_LEAST = ">="
    EQUAL = "=="


@dataclass(frozen=True)
class Hypothesis:
    """A condition on a row, in words and as a test on data.

    `spare` says why the conclusion survives without it, where it does: the ledger looks for an input that breaks the
    conclusion once the hypothesis is dropped, and must find one for every other hypothesis.
    """

    statement: str
    holds: Callable[[Rows], np.ndarray]
    spare: str = ""


@dataclass(frozen=True)
class ProofStep:
    """One step in words, and what sympy must settle: a residual that is identically zero, or a relation that is True.

    A step with neither rests on a `lemma` of `lemmas.py`, or is argued in its words only; `settled` is then None.
    """

    words: str
    residual: Any = None
    relation: Any = None
    lemma: str = ""

    def settled(self) -> bool | None:
        if self.residual is None and self.relation is None:
            return None
        import sympy

        if self.residual is not None and sympy.simplify(self.residual) != 0:
            return False
        return self.relation is None or sympy.simplify(self.relation) is sympy.true


@dataclass(frozen=True)
class Theorem:
    """A statement about rows of one `level`, with everything that supports it.

    `expression` is the bound in the symbols of `symbols.py`; `bound` evaluates it through the public calculators.
    `rounding` bounds the relative error of (observed, bound) together, its reason in the docstring of whoever supplies
    it. `witness(n, m, r, x)` returns logits (temperature 1; the first m keys are the block, the first r its anchors)
    that attain a tight bound, or approach it to the `witness_ratio` given.
    """

    key: str
    claims: tuple[str, ...]
    title: str
    statement: str
    quantity: str
    relation: Relation
    expression: Any
    hypotheses: tuple[Hypothesis, ...]
    bound: Callable[[Rows], np.ndarray]
    rounding: Callable[[Rows], np.ndarray]
    proof: tuple[ProofStep, ...]
    source: str
    level: str = "row"  # "row", "pair" or "setting": of observations; or the object that it speaks of, "head", "rule"
    witness: Callable[[int, int, int, float], np.ndarray] | None = None
    witness_ratio: float = 1.0  # 1: attained to rounding; below: approached in a limit
    tolerance: Callable[[Rows], np.ndarray] | None = None  # absolute room, e.g. a stationarity residual
    needs: tuple[str, ...] = ()
    attained: bool = False  # by inputs that the adversary finds or is given, where there is no witness row

    @property
    def tight(self) -> bool:
        return self.witness is not None

    def observed(self, rows: Rows) -> np.ndarray:
        return np.asarray(rows[self.quantity])

    def applies(self, rows: Rows) -> np.ndarray:
        """Mask of the rows on which every hypothesis holds."""
        masks = [np.asarray(h.holds(rows), dtype=bool) for h in self.hypotheses]
        return np.logical_and.reduce(np.broadcast_arrays(*masks)) if masks else np.asarray(True)

    def slack(self, rows: Rows) -> np.ndarray:
        """Distance to the bound in the quantity's unit, negative beyond it (for an equality, minus the gap)."""
        observed, bound = self.observed(rows), self.bound(rows)
        if self.relation is Relation.AT_MOST:
            return bound - observed
        if self.relation is Relation.AT_LEAST:
            return observed - bound
        return -np.abs(observed - bound)

    def room(self, rows: Rows) -> np.ndarray:
        """What rounding, and a stated absolute tolerance, can account for."""
        observed, bound = self.observed(rows), self.bound(rows)
        room = self.rounding(rows) * np.maximum(np.abs(observed), np.abs(bound))
        return room if self.tolerance is None else room + self.tolerance(rows)

    def verdicts(self, rows: Rows) -> np.ndarray:
        """The `Verdict.code` of every row: beyond the room on either side is decided, within it UNKNOWN.

        An equality HOLDS within the room and is VIOLATED beyond it.
        """
        with np.errstate(all="ignore"):
            slack, room = np.broadcast_arrays(self.slack(rows), self.room(rows))
            applies = np.broadcast_to(self.applies(rows), slack.shape)
        codes = np.full(slack.shape, Verdict.UNKNOWN.code, dtype=np.uint8)
        codes[slack < -room] = Verdict.VIOLATED.code
        codes[slack >= (-room if self.relation is Relation.EQUAL else room)] = Verdict.HOLDS.code
        codes[~np.isfinite(slack) | ~np.isfinite(room)] = Verdict.UNKNOWN.code
        codes[~applies] = Verdict.VACUOUS.code
        return codes
