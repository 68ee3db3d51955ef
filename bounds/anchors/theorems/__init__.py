"""Anchors (claims C7, C11): the margin that geometry gives, how far apart they can lie, what redundancy costs."""

from __future__ import annotations

from bounds.anchors.theorems import geometry, pointers
from bounds.theory.stable_forms import Forms

FORMS: Forms = geometry.FORMS | pointers.FORMS
THEOREMS = geometry.THEOREMS + pointers.THEOREMS
FALSE_READINGS = pointers.FALSE_READINGS
