"""Fidelity and entropy against the penalty: every seed and start observed, and what its margins guarantee."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

import bounds
from empirical.figures import style
from empirical.figures.observed import Observed, average, middle
from empirical.figures.penalty_axis import ZOOM, PenaltyAxis, close_up, critical_penalties, over_critical, sides

KEYS = {"n_keys": "n_keys", "n_block": "n_block", "n_anchors": "n_anchors", "temperature": "temperature"}
QUANTITIES = (
    ("fidelity", bounds.fidelity_floor, "pointer fidelity $F$"),
    ("entropy_nats", bounds.entropy_ceiling, "attention entropy $H$ (nats)"),
)
SEEDS = ("-", (0, (4, 2)), (0, (1, 1.5)), (0, (6, 1.5, 1, 1.5)))  # lines of the seeds, in turn


def fidelity_and_entropy(seen: Observed) -> Figure:
    """Medians over a setting's rows; the bound is evaluated row by row, so its median bounds the median observed.

    With one head, a second column is the close-up at the critical penalty.
    """
    seen.need("penalty", "fidelity", "entropy_nats", "margin", "n_keys", "n_block", "n_anchors", "temperature")
    heads = seen.heads()
    close = len(heads) == 1 and close_up(over_critical(seen))
    columns = 2 if close else len(heads)
    figure = style.sheet(max(5.4, 1.0 + 2.1 * columns, 7.2 if close else 0.0), 5.0, *_title(seen))
    ratios = [1.5, 1] if close else None
    grid = figure.subplots(2, columns, squeeze=False, sharex="col", sharey="row", width_ratios=ratios)
    axis = PenaltyAxis(seen.penalty)
    for line, (name, calculator, label) in zip(grid, QUANTITIES):
        observed, bound = seen.row(name), seen.bound(calculator, margin="margin", **KEYS)
        for axes, (words, head) in zip(line, heads):
            places = {start: axis.place(seen.penalty, side) for start, side in sides(seen.starts).items()}
            _draw(axes, seen, places, observed[:, *head], bound[:, *head])
            _critical(axes, axis.place(critical_penalties(seen)))
            axis.dress(axes, seen.penalty_label if name == "entropy_nats" else None)
            if name == "fidelity":
                axes.set_title(words)
        line[0].set_ylabel(label)
    if close:
        _close_up(grid[:, 1], seen, heads[0][1])
    grid[0, 0].set_ylim(top=1.02)
    if seen.asked is not None:
        for axes in grid[0]:
            axes.axhline(seen.asked, color=style.GREY, lw=0.6, ls=(0, (1, 2)), zorder=0)
    style.legend_below(figure, _key(seen), columns=3)
    return figure


def _draw(axes: Axes, seen: Observed, places: dict[str, np.ndarray], observed: np.ndarray, bound: np.ndarray) -> None:
    """The median of each setting, 10 to 90 % of its rows, and the median that their margins guarantee."""
    value, guarantee, low, high = middle(observed), middle(bound), middle(observed, 10), middle(observed, 90)
    seeds = np.unique(seen.seed).tolist()
    for start, seed, order in seen.branches():
        x, colour = places[start][order], style.STARTS[start][1]
        axes.vlines(x, low[order], high[order], color=colour, lw=0.5, alpha=0.35, zorder=1)
        axes.plot(x, value[order], color=colour, lw=0.7, ls=SEEDS[seeds.index(seed) % len(SEEDS)], zorder=2)
        axes.plot(x, guarantee[order], "_", color=colour, ms=5, mew=0.9, zorder=3)
        style.mark_settings(axes, start, x, value[order], seen.solid[order], 3.4)


def _close_up(panels: np.ndarray, seen: Observed, head: tuple) -> None:
    ratio = over_critical(seen)
    near = (ratio >= ZOOM[0]) & (ratio <= ZOOM[1])
    places = {start: np.where(near, ratio + 0.006 * side, np.nan) for start, side in sides(seen.starts).items()}
    for axes, (name, calculator, _) in zip(panels, QUANTITIES):
        bound = seen.bound(calculator, margin="margin", **KEYS)
        _draw(axes, seen, places, seen.row(name)[:, *head], bound[:, *head])
        _critical(axes, np.array([1.0]))
        axes.set_xlim(ZOOM[0] - 0.015, ZOOM[1] + 0.015)
    panels[0].set_title("close-up at the critical penalty")
    panels[1].set_xlabel("penalty / critical penalty\nof the same seed")


def _critical(axes: Axes, places: np.ndarray) -> None:
    if places.size:
        axes.axvspan(places.min(), places.max(), color=style.PALE, lw=0, zorder=0)
        axes.axvline(np.median(places), color=style.BLACK, lw=0.7, zorder=1)


def _key(seen: Observed) -> list:
    handles: list = style.start_key(seen.starts, hollow=not seen.solid.all())
    seeds = np.unique(seen.seed).tolist()
    if len(seeds) > 1:
        for dash, seed in zip(SEEDS, seeds):
            handles.append(Line2D([], [], color=style.GREY, lw=0.8, ls=dash, label=f"seed {seed}"))
    grey: dict[str, Any] = {"color": style.GREY, "ls": ""}
    handles.append(Line2D([], [], marker="|", ms=9, mew=0.7, label="10 % to 90 % of the rows", **grey))
    handles.append(Line2D([], [], marker="_", ms=6, mew=0.9, label="guaranteed by the margins (median)", **grey))
    if seen.asked is not None:
        handles.append(Line2D([], [], color=style.GREY, lw=0.6, ls=(0, (1, 2)), label=f"asked fidelity {seen.asked:g}"))
    if critical_penalties(seen).size:
        handles.append(Line2D([], [], color=style.BLACK, lw=0.7, label="critical penalty, median of the seeds"))
        handles.append(Patch(color=style.PALE, label="critical penalty, all seeds"))
    return handles


def _title(seen: Observed) -> tuple[str, str]:
    """What the medians say: how far fidelity moves, and whether any median passes its bound."""
    fidelity, entropy = middle(seen.row("fidelity")), middle(seen.row("entropy_nats"))
    floor = middle(seen.bound(bounds.fidelity_floor, margin="margin", **KEYS))
    ceiling = middle(seen.bound(bounds.entropy_ceiling, margin="margin", **KEYS))
    least, most = seen.penalty == seen.penalty.min(), seen.penalty == seen.penalty.max()
    room = 1e-12
    beyond = int(((fidelity < floor - room) | (entropy > ceiling + room)).sum())
    bound = "no median passes its bound" if beyond == 0 else f"{beyond} MEDIANS PASS THEIR BOUND"
    size = f"{style.counted(int(np.isfinite(fidelity).sum()), 'setting')}, {int(seen.valid.sum()):,} valid rows"
    return (
        f"Median fidelity goes from {average(fidelity[least]):.2f} at the least penalty to "
        f"{average(fidelity[most]):.2f} at the largest; {bound}",
        f"median row of each setting, starts side by side; {size}",
    )
