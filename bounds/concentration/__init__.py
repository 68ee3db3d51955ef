"""Concentration: what a margin guarantees of leakage and fidelity, and what they need (claims C3, C5)."""

from __future__ import annotations

from bounds.concentration import calculators, inverse
from bounds.concentration.calculators import *
from bounds.concentration.inverse import *

__all__: list[str] = []
__all__ += calculators.__all__
__all__ += inverse.__all__
