"""The explorer: every bound of a row turned by hand, in one page that needs no network.

fields of Setting and PenaltySetting -> sliders;   closed forms printed as JavaScript -> what they say
observed rows of a run -> points, those of the very counts that are set in colour
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bounds.theorems import THEOREMS
from bounds.theory.symbols import c
from bounds.thresholds.setting import PenaltySetting, Setting
from empirical.errors import BadInput
from empirical.files import one_line
from empirical.laboratory.config import MOST_NUMBERS, ModelConfig, SweepConfig, TaskConfig
from empirical.pages.templates import closed_forms, rendered

if TYPE_CHECKING:
    import xarray as xr

MOST_ROWS = 3000
"""Observed rows that are drawn, evenly chosen among all."""
ENDS = (0.05, 0.99)
"""Quantiles of the rows between which every picture reaches."""


class Slider(NamedTuple):
    """Where a field begins and ends, how its slider moves, and where it stands at first."""

    low: float
    high: float
    scale: str
    first: float


SLIDERS: dict[str, Slider] = {
    "n_keys": Slider(2, 2**15, "count", 64),
    "n_block": Slider(1, 2**15, "count", 16),
    "n_anchors": Slider(1, 2**15, "count", 4),
    "margin": Slider(-10, 40, "linear", 5.0),
    "temperature": Slider(0.1, 10, "log", 1.0),
    "logit_range": Slider(0, 60, "linear", 8.0),
    "fidelity": Slider(0.01, 0.9999, "odds", 0.95),
    "entropy": Slider(0.01, 11, "linear", 3.0),
    "dial": Slider(0, 1, "dial", 0.5),
    "penalty": Slider(1e-4, 100, "log", 2.0),
    "gradient_bound": Slider(0.01, 100, "log", 4.0),
    "value_diameter": Slider(0.01, 100, "log", 2.0),
    "query_norm": Slider(0.01, 100, "log", 1.0),
    "key_norm": Slider(0.01, 100, "log", 1.0),
    "key_diameter": Slider(0.01, 100, "log", 2.0),
    "query_share": Slider(0.01, 1, "log", 0.25),
    "group_norm": Slider(0.01, 100, "log", 2.0),
    "step": Slider(1e-3, 1000, "log", 1.0),
    "exponent": Slider(0.0, 0.98, "linear", 0.5),
}
OPTIONAL = ("logit_range",)
ROW = ("margin", "logit_range", "temperature", "fidelity", "leakage", "entropy_nats", "valid")
COUNTS = ("n_keys", "n_block", "n_anchors")

PICTURES = (
    ("fidelity", "How much attention a margin guarantees"),
    ("entropy", "How much entropy a margin leaves"),
    ("frontier", "Leakage and entropy together"),
    ("phase", "Guaranteed, open, impossible"),
    ("dial", "The dial, on the row of largest leakage"),
    ("penalty", "Penalties above which cross blocks vanish"),
)


def _field(name: str, section: str, meaning: str, unit: str) -> dict[str, Any]:
    return {
        "name": name,
        "label": name.replace("_", " "),
        "section": section,
        "meaning": meaning,
        "unit": unit,
        "optional": name in OPTIONAL,
        **SLIDERS[name]._asdict(),
    }


def page_fields() -> list[dict[str, Any]]:
    """The fields of the page's state: those of Setting and PenaltySetting, and the repaired envelope's exponent."""
    found = [
        _field(item.name, section, **item.metadata)
        for section, kind in (("setting", Setting), ("penalty", PenaltySetting))
        for item in fields(kind)
        if item.name in SLIDERS
    ]
    order = list(SLIDERS)
    exponent = _field("exponent", "page", f"{c.name}: the exponential's share of the margin, in [0, 1)", "1")
    return [*sorted(found, key=lambda one: order.index(one["name"])), exponent]


def explorer(dataset: xr.Dataset | None = None, name: str = "") -> bytes:
    """The page; with the observations of a run or checkpoint, their rows on top, and their typical counts at first.

    Raises BadInput for observations without a valid row.
    """
    run = None if dataset is None else observed_points(dataset, name)
    first = {item: slider.first for item, slider in SLIDERS.items()}
    if run is not None:
        first |= run["first"]
    theorems = {key: {"title": theorem.title, "statement": theorem.statement} for key, theorem in THEOREMS.items()}
    most = {  # keys times blocks, and keys squared, that a configuration may have (`Config.shapes`)
        "blocks": MOST_NUMBERS // (TaskConfig().queries * ModelConfig().d_block),
        "topics": MOST_NUMBERS // SweepConfig.batch,
    }
    data = {"fields": page_fields(), "first": first, "theorems": theorems, "run": run, "most": most}
    return rendered("explorer.html", data=data, run=run, pictures=PICTURES, closed_forms=closed_forms())


def observed_points(dataset: xr.Dataset, name: str) -> dict[str, Any]:
    """Columns of the rows that are drawn, six digits each; where the page begins; in words what they are of."""
    wanted = (*ROW, *COUNTS)
    if missing := [one for one in wanted if one not in dataset.variables]:
        raise BadInput(f"--run must hold observed rows with {', '.join(missing)}, got {name!r} without")
    like = dataset["fidelity"]
    column = {one: dataset[one].broadcast_like(like).transpose(*like.dims).values.ravel() for one in wanted}
    good = column["valid"].astype(bool) & np.isfinite(column["margin"]) & np.isfinite(column["entropy_nats"])
    places = np.flatnonzero(good)
    if not places.size:
        raise BadInput(f"--run must hold a valid row with a finite margin, got {name!r} without")
    few = places[np.unique(np.linspace(0, places.size - 1, MOST_ROWS).astype(int))]
    row = {one: values[few].astype(float) for one, values in column.items()}
    drawn = {
        "x": row["margin"] / row["temperature"],
        "D": row["logit_range"] / row["temperature"],
        "fidelity": row["fidelity"],
        "leakage": row["leakage"],
        "entropy": row["entropy_nats"],
    }
    words = (
        f"Points: {few.size:,} of {places.size:,} observed rows of {one_line(name)} with a finite margin, those of the "
        "counts set here in colour; pictures reach as far as bounds say something."
    )
    columns = {one: [_six(v) for v in values] for one, values in drawn.items()}
    ends = {one: [float(end) for end in np.nanquantile(v, ENDS)] for one, v in drawn.items()}
    n, m, r = (row[one].astype(int).tolist() for one in COUNTS)
    return {**columns, "n": n, "m": m, "r": r, "ends": ends, "first": _beginning(row), "words": words}


def _beginning(row: dict[str, np.ndarray]) -> dict[str, float]:
    """The counts of most rows, the longest among equals, and what is usual of those whose margin is positive."""
    sizes = np.stack([row[one] for one in COUNTS], 1).astype(int)
    triples, often = np.unique(sizes, axis=0, return_counts=True)
    typical = triples[often == often.max()][-1]
    same = (sizes == typical).all(1)
    ahead = same & (row["margin"] > 0)
    begun = ahead if ahead.any() else same  # a margin that is not positive guarantees next to nothing
    counts = {one: min(int(count), int(SLIDERS[one].high)) for one, count in zip(COUNTS, typical)}
    usual = {one: float(f"{np.median(row[one][begun]):.4g}") for one in ("margin", "logit_range", "temperature")}
    return counts | usual


def _six(value: float) -> float | None:
    return float(f"{value:.6g}") if np.isfinite(value) else None
