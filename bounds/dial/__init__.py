"""The dial at inference: what it leaves, and how far to turn it (claims C1, C2)."""

from __future__ import annotations

from bounds.dial import calculators
from bounds.dial.calculators import *

__all__: list[str] = []
__all__ += calculators.__all__
