"""Penalty thresholds in training: levels A to E, the global witness, steps to zero (claims C3, C10)."""

from __future__ import annotations

from bounds.penalty import calculators, global_threshold
from bounds.penalty.calculators import *
from bounds.penalty.global_threshold import *

__all__: list[str] = []
__all__ += calculators.__all__
__all__ += global_threshold.__all__
