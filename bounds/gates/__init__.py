"""Gates on attention itself: penalty thresholds, exact zeros and prices on any transformer (claims C1 to C4, C6)."""

from __future__ import annotations

from bounds.gates import calculators
from bounds.gates.calculators import *

__all__: list[str] = []
__all__ += calculators.__all__
