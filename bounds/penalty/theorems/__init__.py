"""What penalties do to cross blocks (claims C3, C6, C10): stationarity, levels A to E, finite identification."""

from __future__ import annotations

from bounds.penalty.theorems import global_threshold, levels, majorants, stationarity

PARTS = (levels, stationarity, global_threshold, majorants)

FORMS = levels.FORMS | global_threshold.FORMS | majorants.FORMS
THEOREMS = tuple(theorem for part in PARTS for theorem in part.THEOREMS)
