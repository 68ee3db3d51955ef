"""Where the rows of a theorem lie, observed against bound: counts in fine bins, for figures of any number of rows.

A bin holds what agrees in sign, exponent and 8 digits after the point, 1/256 of its value, so no pair moves by more
than 0.2 %; the first `EXACT` VIOLATED pairs are kept as they are.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bounds.theory.theorem import Judgement, Verdict

BIN_BITS = 44  # of a float64's 64: the other 20 are a bin's key, two of which fit one integer
KEY = 2**20 - 1
EXACT = 1000
COMPACT = 2**20  # bins held before equal ones are added up
LEAST, MOST = -18, 1  # decades of relative slack; smaller ones, and exact zeros, share the first bin
EDGES = np.linspace(LEAST, MOST, 2 * (MOST - LEAST) + 1)


class Points(NamedTuple):
    """Pairs and how many rows each stands for."""

    bound: np.ndarray
    observed: np.ndarray
    rows: np.ndarray


class Cloud:
    """Pairs (bound, observed) of the rows that are not VACUOUS, by verdict, and how far they are apart."""

    def __init__(self) -> None:
        self._bins: dict[Verdict, list[np.ndarray]] = {verdict: [] for verdict in Verdict}  # (2, bins): key, rows
        self._violated = np.zeros((2, 0))
        self.apart = {verdict: np.zeros(EDGES.size - 1, dtype=np.int64) for verdict in Verdict}
        self.trivial: tuple[float, float] | None = None  # the least and the largest trivial bound of a row

    def add(self, judged: Judgement) -> None:
        finite = np.isfinite(judged.bound) & np.isfinite(judged.observed)
        for verdict in (Verdict.HOLDS, Verdict.UNKNOWN, Verdict.VIOLATED):
            chosen = finite & (judged.codes == verdict.code)
            if not chosen.any():
                continue
            pair = np.array([judged.bound[chosen], judged.observed[chosen]], dtype=np.float64)
            self.apart[verdict] += np.histogram(_decades(*pair), EDGES)[0]
            if verdict is Verdict.VIOLATED:
                self._violated = np.concatenate([self._violated, pair], 1)[:, :EXACT]
            bound, observed = (pair + 0.0).view(np.int64) >> BIN_BITS & KEY
            held = self._bins[verdict]
            held.append(np.array(np.unique(bound << 20 | observed, return_counts=True)))
            if sum(part.shape[1] for part in held) > COMPACT:
                self._bins[verdict] = [_summed(held)]
        self._trivial(judged)

    def _trivial(self, judged: Judgement) -> None:
        if judged.trivial is None:
            return
        values = np.broadcast_to(judged.trivial, judged.codes.shape)[judged.codes != Verdict.VACUOUS.code]
        values = values[np.isfinite(values)]
        if values.size:
            low, high = self.trivial or (np.inf, -np.inf)
            self.trivial = min(low, float(values.min())), max(high, float(values.max()))

    def points(self, verdict: Verdict) -> Points:
        """The middle of every bin and the rows in it; of VIOLATED rows, up to `EXACT`, the pairs themselves."""
        count = sum(int(part[1].sum()) for part in self._bins[verdict])
        if verdict is Verdict.VIOLATED and count == self._violated.shape[1]:
            return Points(self._violated[0], self._violated[1], np.ones(count, dtype=np.int64))
        if not count:
            return Points(np.zeros(0), np.zeros(0), np.zeros(0, dtype=np.int64))
        keys, rows = _summed(self._bins[verdict])
        return Points(_centre(keys >> 20), _centre(keys & KEY), rows)


def _decades(bound: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """log10 of |bound - observed| over the larger of the two, within the bins."""
    with np.errstate(all="ignore"):
        size = np.log10(np.abs(bound - observed) / np.maximum(np.abs(observed), np.abs(bound)))
    return np.clip(np.where(np.isnan(size), LEAST, size), LEAST, MOST)


def _summed(parts: list[np.ndarray]) -> np.ndarray:
    """Bins of equal keys as one."""
    every = np.concatenate(parts, 1)
    keys, place = np.unique(every[0], return_inverse=True)
    return np.array([keys, np.bincount(place, every[1], keys.size).astype(np.int64)])


def _centre(keys: np.ndarray) -> np.ndarray:
    middle = ((keys << BIN_BITS) + 2 ** (BIN_BITS - 1)).view(np.float64)
    return np.where(np.abs(middle) < 1e-300, 0.0, middle)
