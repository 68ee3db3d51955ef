"""Penalty thresholds in training: levels A to E, the global witness, steps to zero (claims C3, C10)."""

from __future__ import annotations

from bounds.penalty import calculators
from bounds.penalty.calculators import *

__all__: list[str] = []
__all__ += calculators.__all__
