"""Saved rows in a few lines: medians of each head, those of least fidelity first where there are too many."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import xarray as xr

MEDIANS = ("fidelity", "entropy_nats", "margin")
HEADER = ("layer", "head", "rows", "fidelity", "least", "entropy", "margin")
MOST = 32
"""Heads that are shown."""


def by_head(dataset: xr.Dataset) -> str:
    """A line a head of every setting; nothing where the observations lack the fields."""
    if not {*MEDIANS, "valid"} <= {*dataset.variables}:
        return ""
    several = dataset.sizes["setting"] > 1
    lines: list[tuple[float, tuple[str, ...]]] = []
    for at, layer, head in itertools.product(*(range(dataset.sizes[dim]) for dim in ("setting", "layer", "head"))):
        part = dataset.isel(setting=at, layer=layer, head=head)
        valid = part["valid"].values.astype(bool)
        fidelity, entropy, margin = (part[name].values[valid] for name in MEDIANS)
        told = (_median(fidelity), fidelity.min(initial=math.inf), _median(entropy), _median(margin))
        cells = (str(part["layer"].item()), str(part["head"].item()), str(valid.sum()), *map(_shown, told))
        lines.append((told[0], (str(at), *cells) if several else cells))
    shown = lines if len(lines) <= MOST else sorted(lines, key=lambda line: (math.isnan(line[0]), line[0]))[:MOST]
    rows = [("setting", *HEADER) if several else HEADER, *(cells for _, cells in shown)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    count = "" if len(shown) == len(lines) else f", the {MOST} of least fidelity of {len(lines):,}"
    head = f"Medians over the rows of each head{count}; least fidelity; entropy in nats, margin in logits:"
    return "\n".join([head, *("  ".join(cell.rjust(width) for cell, width in zip(row, widths)) for row in rows)])


def _median(values: np.ndarray) -> float:
    return float(np.median(values)) if values.size else math.nan


def _shown(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else "-" if math.isnan(value) else f"{value:g}"
