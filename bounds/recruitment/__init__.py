"""Recruitment by penalised likelihood (claim C9)."""

from __future__ import annotations

from bounds.recruitment import calculators
from bounds.recruitment.calculators import *

__all__: list[str] = []
__all__ += calculators.__all__
