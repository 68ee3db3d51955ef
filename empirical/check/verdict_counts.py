"""What rows say about one theorem, summed up block by block: counts, slacks, the worst row.

Nothing in the counts depends on how the rows are cut into blocks, nor on the order in which blocks come.
"""

from __future__ import annotations

import math

import numpy as np

from bounds.numbers.search import at_ordinal, ordinal
from bounds.theory.theorem import Rows, Theorem, Verdict
from empirical.check.boxes import boxes
from empirical.check.clouds import BIN_BITS, Cloud

CHUNK = 2**15
"""Rows judged at a time: the dozen arrays in flight stay in the cache, and each is long enough to outweigh its call."""

EXACT = 2**24
"""Slacks of one theorem that are kept: 128 MiB. Beyond, they are counted in bins."""


class Slacks:
    """Numbers whose median is wanted: exact up to `EXACT` of them, to within 0.2 % (half a bin) beyond."""

    def __init__(self) -> None:
        self.size = 0
        self._kept: list[np.ndarray] = []
        self._bins: np.ndarray | None = None

    def add(self, values: np.ndarray) -> None:
        self.size += values.size
        self._kept.append(values)
        if self.size > EXACT:
            self._count()

    def _count(self) -> None:
        if self._bins is None:
            self._bins = np.zeros(2 ** (64 - BIN_BITS), dtype=np.int64)
        for values in self._kept:
            places, counts = np.unique(ordinal(values) >> BIN_BITS, return_counts=True)
            self._bins[places + self._bins.size // 2] += counts  # far fewer than there are bins
        self._kept = []

    def median(self) -> float:
        """NaN of nothing."""
        if not self.size:
            return math.nan
        if self._bins is None:
            return float(np.median(np.concatenate(self._kept), overwrite_input=True))
        middle = np.searchsorted(np.cumsum(self._bins), [(self.size - 1) // 2, self.size // 2], side="right")
        centres = at_ordinal((middle - self._bins.size // 2 << BIN_BITS) + 2 ** (BIN_BITS - 1))
        return float(centres.mean())


class VerdictCounts:
    """The sums over the rows added so far; `spans` says along which of their dims the theorem's rows extend.

    With `cloud`, where the rows lie is kept too, for figures.
    """

    def __init__(self, theorem: Theorem, spans: tuple[bool, ...], cloud: bool = False) -> None:
        self.theorem, self.spans = theorem, spans
        self.counts = dict.fromkeys(Verdict, 0)
        self.failed = dict.fromkeys((h.statement for h in theorem.hypotheses), 0)
        self.least = math.inf
        self.worst: tuple[float, tuple[int, ...]] | None = None  # slack less room, and the place of that row
        self.slacks = Slacks()
        self.cloud = Cloud() if cloud else None
        self.says_more: int | None = 0  # rows; None where there is no trivial bound to compare with

    def add(self, rows: Rows, start: tuple[int, ...]) -> None:
        """A block of rows, arrays of one number of dims, the first of them at `start`; what follows is of one row."""
        if any(at and not spans for at, spans in zip(start, self.spans)):
            return  # along that dim the theorem has one row, which came with another block
        shape = np.broadcast_shapes(*(values.shape[: len(self.spans)] for values in rows.values()))
        sizes = {str(axis): size if spans else 1 for axis, (size, spans) in enumerate(zip(shape, self.spans))}
        for box in boxes(sizes, CHUNK):
            cut = tuple(box.values())
            part = {
                name: values[tuple(s if size > 1 else slice(None) for s, size in zip(cut, values.shape))]
                for name, values in rows.items()
            }
            self._add(part, tuple(at + s.start for at, s in zip(start, cut)))

    def _add(self, rows: Rows, start: tuple[int, ...]) -> None:
        """Rows in one piece, the first of them at `start`."""
        judged = self.theorem.judge(rows)
        codes, slack, room = judged.codes, judged.slack, judged.room
        if self.cloud is not None:
            self.cloud.add(judged)
        self.says_more = None if judged.says_more is None else (self.says_more or 0) + int(judged.says_more.sum())
        for verdict in Verdict:
            self.counts[verdict] += int(np.count_nonzero(codes == verdict.code))
        for statement, mask in zip(self.failed, judged.holds):
            self.failed[statement] += mask.size - int(np.count_nonzero(mask))
        says = np.isfinite(slack) & (codes != Verdict.VACUOUS.code)
        if not says.any():
            return
        told = slack[says]
        self.slacks.add(told)
        self.least = min(self.least, float(told.min()))
        with np.errstate(invalid="ignore"):
            near = slack - room
        near = np.where(says, np.where(np.isnan(near), -np.inf, near), np.inf)
        at = np.unravel_index(np.argmin(near), near.shape)
        nearest = float(near[at]), tuple(s + int(i) for s, i in zip(start, at))
        self.worst = min(self.worst or nearest, nearest)  # of equally near rows the first in C order
