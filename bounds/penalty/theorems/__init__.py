"""What penalties do to cross blocks (claims C3, C6, C10): stationarity, levels A to E, finite identification."""

from __future__ import annotations

from bounds.penalty.theorems import global_threshold, levels, majorants, optimisers, stationarity
from bounds.theory.stable_forms import Forms

FORMS: Forms = levels.FORMS | global_threshold.FORMS | optimisers.FORMS | majorants.FORMS
THEOREMS = (
    *levels.THEOREMS,
    *stationarity.THEOREMS,
    *global_threshold.THEOREMS,
    *optimisers.THEOREMS,
    *majorants.THEOREMS,
)
FALSE_READINGS = stationarity.FALSE_READINGS
