"""Rows that attain a tight theorem, observed like real attention: two-sided, so that neither side can drift unseen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bounds.theory.theorem import Relation, Theorem, Verdict

Size = tuple[int, int, int, float]
"""(n_keys, n_block, n_anchors, x)"""

ALWAYS: tuple[Size, ...] = (
    (2, 1, 1, 25.0),  # the smallest row, nearly certain: entropy is all excess over ln 1
    (2, 1, 1, 0.5),
    (9, 8, 3, 2.0),
    (9, 3, 3, -1.5),
    (64, 16, 4, 5.0),
    (500, 10, 1, 12.0),
)
FROM_DATA = 6
SAMPLED = 2**16
FIELDS = ("n_keys", "n_block", "n_anchors", "margin", "temperature", "valid")
DIAL = 0.5


@dataclass(frozen=True)
class Witness:
    """Whether the witness rows attain the bound; `ratio` is the smaller of observed/bound and its inverse."""

    attained: bool
    ratio: float  # of the row that decides: the worst for an exact theorem, the best for one approached in a limit
    size: Size

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Sample:
    """At most `SAMPLED` rows, evenly spaced in C order, taken from blocks of rows in whatever order these come."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        size = math.prod(shape)
        flat = np.linspace(0, size - 1, min(size, SAMPLED)).astype(np.int64)
        self._places = np.unravel_index(flat, shape) if size else (flat,) * len(shape)
        self._rows = {name: np.zeros(flat.size) for name in FIELDS}

    def add(self, rows: Mapping[str, np.ndarray], start: tuple[int, ...]) -> None:
        """A block of rows, arrays with the dims of the whole, the first of them at `start`."""
        shape = np.broadcast_shapes(*(values.shape for values in rows.values()))
        at = [places - first for places, first in zip(self._places, start)]
        here = np.flatnonzero(np.logical_and.reduce([(a >= 0) & (a < size) for a, size in zip(at, shape)]))
        for name in FIELDS:
            if name in rows:
                self._rows[name][here] = np.broadcast_to(rows[name], shape)[tuple(a[here] for a in at)]
            else:
                self._rows.pop(name, None)

    def sizes(self) -> tuple[Size, ...]:
        return sizes_of(self._rows)


def sizes_of(rows: Mapping[str, np.ndarray]) -> tuple[Size, ...]:
    """Sizes of observed rows, from the smallest margin to the largest."""
    if any(name not in rows for name in FIELDS):
        return ()
    n, m, r, margin, tau, valid = (a.ravel() for a in np.broadcast_arrays(*(rows[name] for name in FIELDS)))
    usable = np.flatnonzero(valid.astype(bool) & np.isfinite(margin))
    if not usable.size:
        return ()
    order = usable[np.argsort(margin[usable], kind="stable")]
    chosen = order[np.unique(np.linspace(0, order.size - 1, FROM_DATA).astype(int))]
    return tuple((int(n[i]), int(m[i]), int(r[i]), float(margin[i] / tau[i])) for i in chosen)


def observed_row(logits: np.ndarray, n_block: int, n_anchors: int, dial: float = DIAL) -> dict[str, np.ndarray]:
    """The row fields of logits whose first `n_block` keys are the block, by the observer of real attention."""
    import torch

    from empirical.observe.rows import row_statistics

    row = torch.as_tensor(logits, dtype=torch.float64)
    in_block = torch.arange(len(logits)) < n_block
    fields = row_statistics(row, in_block, torch.ones_like(in_block), n_anchors, 1.0, dial=dial)
    known = {name: value.numpy() for name, value in fields.items()}
    return {**known, "temperature": np.asarray(1.0), "dial": np.asarray(dial)}


def witness(theorem: Theorem, sizes: tuple[Size, ...] = ()) -> Witness:
    """Sends the theorem's witness rows through the observer, at the sizes given and some that are always there.

    Where the theorem is attained (`witness_ratio` 1) every row must meet the bound within rounding; where it is
    approached in a limit, no row may be beyond it and the best must come within the stated ratio.
    """
    assert theorem.witness is not None
    exact = theorem.witness_ratio == 1
    ratios: list[float] = []
    good: list[bool] = []
    for size in (*ALWAYS, *sizes):
        row = observed_row(theorem.witness(*size), size[1], size[2])
        with np.errstate(all="ignore"):
            observed, bound = float(theorem.observed(row)), float(theorem.bound(row))
            slack, room = float(theorem.slack(row)), float(theorem.room(row))
        pair = sorted((abs(observed), abs(bound)))
        ratios.append(1.0 if pair[1] == 0 else pair[0] / pair[1])
        violated = theorem.verdicts(row) == Verdict.VIOLATED.code
        met = theorem.relation is Relation.EQUAL or abs(slack) <= room
        good.append(bool(np.isfinite(slack) and not violated and (met or not exact)))
    decides = int(np.argmin(ratios) if exact else np.argmax(ratios))
    attained = all(good) and (exact or ratios[decides] >= theorem.witness_ratio)
    return Witness(attained, ratios[decides], (*ALWAYS, *sizes)[decides])
