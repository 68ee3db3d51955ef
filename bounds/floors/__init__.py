"""Floors: what no margin reaches while the logits span a range."""

from __future__ import annotations

from bounds.floors import calculators
from bounds.floors.calculators import *

__all__: list[str] = []
__all__ += calculators.__all__
