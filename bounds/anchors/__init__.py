"""Anchors: margins from angles, coherence, redundancy, pointers; packing (claims C7, C11)."""

from __future__ import annotations

from bounds.anchors import calculators
from bounds.anchors.calculators import *

__all__: list[str] = []
__all__ += calculators.__all__
