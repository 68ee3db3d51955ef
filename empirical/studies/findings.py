"""What a study finds: numbers for its table and figures, and the rows that theorems judge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Numbers = dict[str, Any]
"""What a study found, ready for JSON."""


@dataclass(frozen=True)
class Judged:
    """Rows that theorems speak of, by name of their axes; saved as they are, judged from what was saved."""

    name: str
    dims: tuple[str, ...]
    rows: Mapping[str, np.ndarray]
    theorems: tuple[str, ...]


@dataclass(frozen=True)
class Findings:
    """What a study found: numbers for its table and figures, ready for JSON, and the rows to be judged."""

    numbers: Numbers
    judged: tuple[Judged, ...]
