"""Penalty levels on one logarithmic axis: exact, searched or followed from below, proved from above."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from empirical.figures import style

LOOKS = {  # kind: (marker, colour)
    "exact": ("D", style.BLACK),
    "followed": ("o", style.BLUE),
    "searched": (">", style.GREEN),
    "proved": ("<", style.RED),
}


def draw_levels(axes: Axes, levels: Sequence[Mapping[str, Any]]) -> None:
    """One row a level {level, kind, value: a number or one a seed}; the kind by marker and in words."""
    values = [np.atleast_1d(np.asarray(level["value"], dtype=float)) for level in levels]
    for row, (level, seeds) in enumerate(zip(levels, values)):
        marker, colour = LOOKS[level["kind"]]
        axes.plot(seeds, np.full(len(seeds), row), marker, color=colour, ms=7 if len(seeds) == 1 else 5)
        low, high = (f"{end:.3g}" for end in (np.nanmin(seeds), np.nanmax(seeds)))
        said = low if low == high else f"{low} to {high}"
        place = (float(np.nanmax(seeds)), row)
        axes.annotate(f"{said}  {level['kind']}", place, (9, -3), textcoords="offset points", size=7)
    axes.set_yticks(range(len(levels)), [level["level"] for level in levels])
    every = np.concatenate(values)
    axes.set(
        xscale="log",
        xlabel="penalty (loss units per unit norm)",
        xlim=(np.nanmin(every) / 2, np.nanmax(every) * 30),
    )
    axes.invert_yaxis()
