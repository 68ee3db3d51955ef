"""A theorem is one object: its formula, hypotheses that data can fail, a proof sympy checks, a witness, a source.

    hypotheses(row)  =>  quantity(row)  <relation>  bound(row)

and a row that fails a hypothesis is VACUOUS: it neither supports nor refutes.
"""

# sympy has no types: what comes of its functions is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false, reportUnknownParameterType=false

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

import numpy as np

from bounds.theory.statement import Statement
from bounds.theory.trivial import evaluated

Rows = Mapping[str, np.ndarray]
"""Named arrays that broadcast against each other: `margin`, `n_keys`, `entropy_nats`, ..."""


class Verdict(Enum):
    """What one row says about one theorem. Stored as its `code`, a uint8, so that millions of rows stay small."""

    HOLDS = "the hypotheses hold and so does the conclusion"
    VIOLATED = "the hypotheses hold and the conclusion does not: the theorem, the code or the data is wrong"
    VACUOUS = "a hypothesis does not hold, so the theorem says nothing about this row"
    UNKNOWN = "the arithmetic cannot decide: the slack is within rounding, or the row is no finite softmax"

    @property
    def code(self) -> int:
        return list(Verdict).index(self)


class Level(Enum):
    """What a theorem is checked on, one check each; the value is the word that pages print."""

    ROW = "row"
    PAIR = "pair"
    SETTING = "setting"
    HEAD = "head"
    FACTORS = "factors"
    LANDSCAPE = "landscape"
    OPTIMISER = "optimiser"
    ANCHORS = "anchors"
    RULE = "rule"
    RELOADS = "reloads"
    OUTPUT = "output"
    LAYERS = "layers"
    RECRUITMENT = "recruitment"
    WEIGHTS = "weights"
    LOGITS = "logits"
    PATTERNS = "patterns"
    GATE = "gate"
    GATED = "gated solution"

    @property
    def observed(self) -> bool:
        """Whether a saved observation of training has such things; the others are built by whoever checks."""
        return self in (Level.ROW, Level.PAIR, Level.SETTING)


class Relation(Enum):
    """How the observed quantity relates to the bound."""

    AT_MOST = "<="
    AT_LEAST = ">="
    EQUAL = "=="


@dataclass(frozen=True)
class Hypothesis:
    """A condition on a row, in words and as a test on data.

    `spare` says why the conclusion survives without it, or why no input that exists fails it: the ledger looks for an
    input that breaks the conclusion once the hypothesis is dropped, and must find one for every other hypothesis.
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
        return _settled(self.residual, self.relation)


@functools.cache
def _settled(residual: Any, relation: Any) -> bool:
    """What sympy makes of a step: seconds for some, so each is asked once."""
    import sympy

    if residual is not None and sympy.simplify(residual) != 0:
        return False
    return relation is None or sympy.simplify(relation) is sympy.true


class Judgement(NamedTuple):
    """What rows say about a theorem, one entry a row in every array; `holds` has a mask for each hypothesis."""

    codes: np.ndarray  # Verdict.code
    slack: np.ndarray
    room: np.ndarray
    holds: tuple[np.ndarray, ...]
    observed: np.ndarray
    bound: np.ndarray
    trivial: np.ndarray | None  # None: the theorem has none, or the rows lack a field of it
    says_more: np.ndarray | None  # mask: the bound says more than the trivial one, by more than the room


@dataclass(frozen=True)
class Theorem:
    """A statement about rows of one `level`, with everything that supports it.

    `formula` is the whole bound in the symbols of `symbols.py`; `bound` evaluates it through the public calculators.
    Where the bound is a sum, a product or a least of many, its `step` is the part that proofs are about. `trivial` is
    what one would say without the theorem (attention spread evenly, the largest entropy ln n, 0, ...), in symbols that
    rows have as fields; where nobody could say anything, it is the reason in words.
    Where rows meet the conclusion exactly or not at all, `widened(rows, share)` is what the hypotheses would read if
    their threshold were weaker by that share. `rounding` bounds the relative error of (observed, bound) together, its
    reason in the docstring of whoever supplies it. `witness(n, m, r, x)` returns logits (temperature 1; the first m
    keys are the block, the first r its anchors) that attain a tight bound, or approach it to the `witness_ratio` given.
    """

    key: str
    claims: tuple[str, ...]
    title: str
    statement: str
    quantity: str
    relation: Relation
    formula: Any
    hypotheses: tuple[Hypothesis, ...]
    bound: Callable[[Rows], np.ndarray]
    rounding: Callable[[Rows], np.ndarray]
    proof: tuple[ProofStep, ...]
    source: str
    level: Level = Level.ROW
    trivial: Any = ""
    step: Any = None
    witness: Callable[[int, int, int, float], np.ndarray] | None = None
    witness_ratio: float = 1.0  # 1: attained to rounding; below: approached in a limit
    tolerance: Callable[[Rows], np.ndarray] | None = None  # absolute room, e.g. a stationarity residual
    needs: tuple[str, ...] = ()
    attained: bool = False  # by inputs that the adversary finds or is given, where there is no witness row
    widened: Callable[[Rows, float], Rows] | None = None
    enclosures: tuple[Statement, ...] = ()
    why_not_formal: str = ""  # of a theorem that no formal statement has
    topic: str = ""  # the room that it was collected from

    @property
    def expression(self) -> Any:
        """What proofs are about, and Coq's Bound.key: the step where the formula has one, else the formula."""
        return self.formula if self.step is None else self.step

    @property
    def tight(self) -> bool:
        return self.witness is not None

    @property
    def trivial_words(self) -> str:
        """The trivial bound as text, or why there is none."""
        from sympy import sstr

        return self.trivial if isinstance(self.trivial, str) else sstr(self.trivial, order="none")

    def observed(self, rows: Rows) -> np.ndarray:
        return np.asarray(rows[self.quantity])

    def applies(self, rows: Rows) -> np.ndarray:
        """Mask of the rows on which every hypothesis holds."""
        return _all(self._masks(rows))

    def trivial_bound(self, rows: Rows) -> np.ndarray | None:
        """The trivial bound of every row; None where there is none, or the rows lack a field of it."""
        return None if isinstance(self.trivial, str) else evaluated(self.trivial, rows)

    def slack(self, rows: Rows) -> np.ndarray:
        """Distance to the bound in the quantity's unit, negative beyond it (for an equality, minus the gap)."""
        return self._slack(self.observed(rows), self.bound(rows))

    def room(self, rows: Rows) -> np.ndarray:
        """What rounding, and a stated absolute tolerance, can account for."""
        return self._room(rows, self.observed(rows), self.bound(rows))

    def verdicts(self, rows: Rows) -> np.ndarray:
        """The `Verdict.code` of every row: beyond the room on either side is decided, within it UNKNOWN.

        An equality HOLDS within the room and is VIOLATED beyond it. Rows that say of themselves that they are `unknown`
        are UNKNOWN.
        """
        return self.judge(rows).codes

    def judge(self, rows: Rows) -> Judgement:
        """Verdict, slack and room of every row, from one evaluation of the bound and of each hypothesis."""
        with np.errstate(all="ignore"):
            observed, bound = self.observed(rows), self.bound(rows)
            slack, room = np.broadcast_arrays(self._slack(observed, bound), self._room(rows, observed, bound))
            holds = tuple(np.broadcast_to(mask, slack.shape) for mask in self._masks(rows))
            trivial = self.trivial_bound(rows)
        codes = np.full(slack.shape, Verdict.UNKNOWN.code, dtype=np.uint8)
        codes[slack < -room] = Verdict.VIOLATED.code
        codes[slack >= (-room if self.relation is Relation.EQUAL else room)] = Verdict.HOLDS.code
        codes[~np.isfinite(slack) | ~np.isfinite(room)] = Verdict.UNKNOWN.code
        codes[~np.broadcast_to(_all(holds), slack.shape)] = Verdict.VACUOUS.code
        if "unknown" in rows:
            codes[np.broadcast_to(np.asarray(rows["unknown"], dtype=bool), codes.shape)] = Verdict.UNKNOWN.code
        observed, bound = (np.broadcast_to(values, slack.shape) for values in (observed, bound))
        more = None if trivial is None else (self._gain(bound, trivial) > room) & (codes != Verdict.VACUOUS.code)
        return Judgement(codes, slack, room, holds, observed, bound, trivial, more)

    def _gain(self, bound: np.ndarray, trivial: np.ndarray) -> np.ndarray:
        """How much more the bound says than the trivial one; of an equality, how far it is from it."""
        with np.errstate(invalid="ignore"):
            gain = self._slack(bound, trivial)
        return np.abs(gain) if self.relation is Relation.EQUAL else gain

    def _slack(self, observed: np.ndarray, bound: np.ndarray) -> np.ndarray:
        if self.relation is Relation.AT_MOST:
            return bound - observed
        if self.relation is Relation.AT_LEAST:
            return observed - bound
        return -np.abs(observed - bound)

    def _room(self, rows: Rows, observed: np.ndarray, bound: np.ndarray) -> np.ndarray:
        room = self.rounding(rows) * np.maximum(np.abs(observed), np.abs(bound))
        return room if self.tolerance is None else room + self.tolerance(rows)

    def _masks(self, rows: Rows) -> list[np.ndarray]:
        return [np.asarray(h.holds(rows), dtype=bool) for h in self.hypotheses]


def _all(masks: Sequence[np.ndarray]) -> np.ndarray:
    return np.logical_and.reduce(np.broadcast_arrays(*masks)) if masks else np.asarray(True)
