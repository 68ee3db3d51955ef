"""The loop of a penalty ramped up and down, its edges predicted and met; where leaking little lowers the level."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from empirical.figures import style
from empirical.studies.findings import Numbers

LEGS = {"up": ("^", style.RED, "penalty rising, from W = 0"), "down": ("v", style.BLUE, "penalty falling again")}


def draw(found: Numbers) -> dict[str, Figure]:
    return {"loop": loop(found), "levels": leakage_aware_levels(found)}


def loop(found: Numbers) -> Figure:
    """Share of active cross blocks and median fidelity against the penalty, both ways, a line a seed."""
    seeds = found["seeds"]
    off = max(seed["lower_off"] for seed in seeds)
    widths = [seed["width"] for seed in seeds]
    wide = f"{min(widths):.2f}" if len(seeds) == 1 else f"{min(widths):.2f} to {max(widths):.2f}"
    figure = style.sheet(
        6.4,
        5.2,
        f"Cross blocks return at the critical penalty, predicted to {100 * off:.2g} %, and vanish only at {wide} times "
        "the return edge: a first-order transition with hysteresis",
        f"task blocks, {style.counted(len(seeds), 'seed')}; critical penalty from one localised model; "
        f"proved: no stationary point has a cross block beyond {max(s['proved_stationary'] for s in seeds):,.0f} "
        "times it",
    )
    upper, lower = figure.subplots(2, 1, sharex=True)
    for seed in seeds:
        for leg, (marker, colour, _) in LEGS.items():
            way = seed["legs"][leg]
            sound = np.array(way["converged"])
            for axes, name in ((upper, "active"), (lower, "fidelity")):
                x, y = np.array(way["penalty"]), np.array(way[name])
                axes.plot(x, y, "-", color=colour, lw=0.9)
                axes.plot(x[sound], y[sound], marker, color=colour, mec="white", mew=0.3)
                axes.plot(x[~sound], y[~sound], marker, mfc="white", color=colour)
    for axes in (upper, lower):
        _edges(axes, seeds)
        axes.set_xscale("log")
    upper.set_ylabel("share of cross blocks not zero")
    lower.set(xlabel="penalty over the predicted critical penalty", ylabel="median pointer fidelity")
    ticks = [0.25, 0.5, 1, 2, 4, 8, 16]
    lower.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    lower.minorticks_off()
    handles: list[Any] = [Line2D([], [], marker=m, color=c, mec="white", label=words) for m, c, words in LEGS.values()]
    handles += [
        Line2D([], [], color=style.BLACK, ls="--", label="predicted return edge"),
        Line2D([], [], color=style.GREEN, ls=":", label="objectives cross, searched"),
        Patch(color=style.PALE, label="vanishing edge, bracketed"),
    ]
    style.legend_below(figure, handles, 3)
    return figure


def _edges(axes: Axes, seeds: list[Numbers]) -> None:
    axes.axvline(1, color=style.BLACK, ls="--", lw=0.9)
    for seed in seeds:
        axes.axvline(seed["crossing"], color=style.GREEN, ls=":", lw=0.9)
        low, high = seed["upper"]
        middle = np.sqrt(low * high)
        axes.axvspan(min(low, middle / 1.01), max(high, middle * 1.01), color=style.PALE, zorder=0)


def leakage_aware_levels(found: Numbers) -> Figure:
    """Level B over level A, and the gradients that both bound, against the mean leakage of a block."""
    ways = [(leg, seed["legs"][leg]) for seed in found["seeds"] for leg in LEGS]
    factor = np.concatenate([way["factor"] for _, way in ways])
    gradient = np.concatenate([way["gradient"] for _, way in ways])
    figure = style.sheet(
        6.4,
        3.6,
        f"Level B's factor goes down to {factor.min():.2g} of level A where a block leaks little; gradients stay below "
        f"{gradient.max():.2g} of it on both branches",
        "each point a cross block at a stationary point of the loop; leakage: mean over the block's queries",
    )
    axes = figure.subplots()
    for leg, way in ways:
        marker, colour, _ = LEGS[leg]
        axes.plot(way["leakage"], way["factor"], "_", color=colour, ms=7)
        axes.plot(way["leakage"], np.maximum(way["gradient"], 1e-7), marker, color=colour, ms=2.5, mew=0)
    axes.axhline(1, color=style.BLACK, lw=0.9, ls="--")
    axes.set(yscale="log", xlabel="mean leakage of the block", ylabel="over level A")
    handles = [
        Line2D([], [], ls="", marker="_", ms=7, color=style.GREY, label="level B, proved"),
        Line2D([], [], color=style.BLACK, ls="--", label="level A, proved"),
        *(Line2D([], [], ls="", marker=m, color=c, label=f"gradient, {words}") for m, c, words in LEGS.values()),
    ]
    style.legend_below(figure, handles, 2)
    return figure
