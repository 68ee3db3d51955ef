"""Entropy: its exact maximum under a margin or a leakage, and the margin that a target needs (claim C4)."""

from __future__ import annotations

from bounds.entropy import calculators, inverse
from bounds.entropy.calculators import *
from bounds.entropy.inverse import *

__all__: list[str] = []
__all__ += calculators.__all__
__all__ += inverse.__all__
