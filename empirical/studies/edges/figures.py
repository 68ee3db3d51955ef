"""Figures of the study of edges: penalty levels on one logarithmic axis, of every seed, and the bracket of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from empirical.figures import style
from empirical.studies.edges.measure import over_critical
from empirical.studies.findings import Numbers

LOOKS = {  # kind: (marker, colour)
    "exact": ("D", style.BLACK),
    "followed": ("o", style.BLUE),
    "searched": (">", style.GREEN),
    "proved": ("<", style.RED),
}


def draw(numbers: Numbers) -> dict[str, Figure]:
    figures = {"edges": levels_of_every_seed([numbers])}
    return figures | ({"bracket": bracket(numbers["bracket"])} if numbers["bracket"] else {})


def levels_of_every_seed(problems: Sequence[Numbers]) -> Figure:
    """One panel a problem, a marker a seed."""
    off = max(abs(ratio - 1) for problem in problems for ratio in over_critical(problem, "lower edge"))
    further = ", ".join(f"{np.median(over_critical(p, 'upper edge')):.1f} times that ({p['task']})" for p in problems)
    figure = style.sheet(
        7.2,
        0.8 + sum(0.5 + 0.25 * len(problem["levels"]) for problem in problems),
        f"The localised branch ends at the critical penalty, within {100 * off:.1g} %; the other at {further}",
        "followed from penalty to penalty; searched values bound lambda_glob from below, proved ones from above",
    )
    heights = [1 + len(problem["levels"]) for problem in problems]
    panels = figure.subplots(len(problems), 1, squeeze=False, height_ratios=heights)
    for axes, problem in zip(panels[:, 0], problems):
        shown = [
            {**level, "value": [v for v in level["value"].values() if v]}
            for level in problem["levels"]
            if any(level["value"].values())
        ]
        _levels(axes, shown)
        axes.set_title(f"{problem['task']}, {style.counted(len(problem['seeds']), 'seed')}")
    figure.align_ylabels(panels[:, 0])
    return figure


def bracket(found: Numbers) -> Figure:
    """One row a level on a logarithmic penalty axis; the kind by marker and in words."""
    levels = [level for level in found["levels"] if level["value"]]  # 0: none was found
    values = {level["level"]: level["value"] for level in levels}
    best = min((level for level in levels if level["kind"] == "proved"), key=lambda level: level["value"])
    gap = best["value"] / values["lambda_glob, witness"]
    gain = values["level A, with query shares"] / best["value"]
    figure = style.sheet(
        7.2,
        2.9,
        f"lambda_glob is known to a factor {gap:.0f}: {best['level']}, {gain:.0f} times below level A",
        f"task blocks, seed {found['seed']}; searched values bound from below, proved ones from above",
    )
    _levels(figure.subplots(), levels)
    return figure


def _levels(axes: Axes, levels: Sequence[Mapping[str, Any]]) -> None:
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
