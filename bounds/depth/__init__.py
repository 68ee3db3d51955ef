"""Depth: drift through layers, costs and schedules (claims C6, C13)."""

from __future__ import annotations

from bounds.depth import calculators
from bounds.depth.calculators import *

__all__: list[str] = []
__all__ += calculators.__all__
