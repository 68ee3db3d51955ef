"""Entropy: what a margin, or a leakage, leaves of it at most (claim C4)."""

from __future__ import annotations

from bounds.entropy.theorems import leakage, margin
from bounds.theory.stable_forms import Forms

FORMS: Forms = margin.FORMS | leakage.FORMS
THEOREMS = margin.THEOREMS + leakage.THEOREMS
FALSE_READINGS = margin.FALSE_READINGS
