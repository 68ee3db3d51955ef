"""Rounding of what anchors are measured by: a share of the quantity, or of the numbers that it is a difference of."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bounds.theory.rows import ULP
from bounds.theory.theorem import Rows

Room = Callable[[Rows], np.ndarray]


def flat(scale: float) -> Room:
    """A few hundred ulp: sums of at most some hundred terms, each to a few ulp."""
    return lambda rows: np.asarray(scale * ULP)


def absolute(scale: float, unit: str | None = None) -> Room:
    """Absolute room: the quantity is a difference of numbers of the size of `unit`."""
    return lambda rows: np.asarray(scale * ULP * (1.0 if unit is None else np.abs(rows[unit])))
