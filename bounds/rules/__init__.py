"""Rules: biases, priorities, reloads (claims C8, C12)."""

from __future__ import annotations

from bounds.rules import calculators
from bounds.rules.calculators import *

__all__: list[str] = []
__all__ += calculators.__all__
