"""Fidelity and entropy against the penalty: every seed and start observed, and what its margins guarantee."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

import bounds
from empirical.figures import style
from empirical.figures.observed import Observed, average, middle

KEYS = {"n_keys": "n_keys", "n_block": "n_block", "n_anchors": "n_anchors", "temperature": "temperature"}
QUANTITIES = (
    ("fidelity", bounds.fidelity_floor, "pointer fidelity $F$", "guaranteed at least"),
    ("entropy_nats", bounds.entropy_ceiling, "attention entropy $H$ (nats)", "guaranteed at most"),
)


def fidelity_and_entropy(seen: Observed) -> Figure:
    """Medians over a setting's rows; the bound is evaluated row by row, so its median bounds the median observed."""
    seen.need("penalty", "fidelity", "entropy_nats", "margin", "n_keys", "n_block", "n_anchors", "temperature")
    heads = seen.heads()
    figure = style.sheet(max(4.8, 1.0 + 2.1 * len(heads)), 4.7, *_title(seen))
    grid = figure.subplots(2, len(heads), squeeze=False, sharex=True, sharey="row")
    for line, (name, calculator, label, _) in zip(grid, QUANTITIES):
        observed = seen.row(name)
        bound = seen.bound(calculator, margin="margin", **KEYS)
        for axes, (words, head) in zip(line, heads):
            axis = _draw(axes, seen, observed[:, *head], bound[:, *head])
            axis.dress(axes, label=seen.penalty_label if name == "entropy_nats" else None)
            if name == "fidelity":
                axes.set_title(words)
        line[0].set_ylabel(label)
    grid[0, 0].set_ylim(top=1.02)
    for axes in grid[0]:
        axes.axhline(seen.target, color=style.GREY, lw=0.6, ls=(0, (1, 2)), zorder=0)
    style.legend_below(figure, _key(seen), columns=2 if len(heads) == 1 else 3)
    return figure


def _draw(axes: Axes, seen: Observed, observed: np.ndarray, bound: np.ndarray) -> style.PenaltyAxis:
    critical = _critical(seen)
    axis = style.PenaltyAxis(seen.penalty, critical.tolist())
    value, guarantee = middle(observed), middle(bound)
    low, high = middle(observed, 10), middle(observed, 90)
    for start, _, order in seen.branches():
        marker, colour, _ = style.STARTS[start]
        side = seen.starts.index(start) - (len(seen.starts) - 1) / 2
        x = axis.place(seen.penalty[order]) * axis.apart**side
        axes.plot(x, guarantee[order], color=colour, lw=0.8, ls=(0, (4, 2)), zorder=2)
        axes.vlines(x, low[order], high[order], color=colour, lw=0.5, alpha=0.35, zorder=1)
        done = seen.solid[order]
        axes.plot(x[done], value[order][done], marker, color=colour, ms=3.8, mew=0.4, mec="white", zorder=4)
        axes.plot(x[~done], value[order][~done], marker, color=colour, ms=3.6, mew=0.8, mfc="white", zorder=3)
    if critical.size:
        axes.axvspan(critical.min(), critical.max(), color=style.PALE, lw=0, zorder=0)
        axes.axvline(np.median(critical), color=style.BLACK, lw=0.7, zorder=1)
    return axis


def _critical(seen: Observed) -> np.ndarray:
    if not seen.has("critical"):
        return np.array([])
    critical = seen.values("critical").astype(float)
    return np.unique(critical[np.isfinite(critical) & (critical > 0)])


def _key(seen: Observed) -> list:
    handles: list = style.start_key(seen.starts, hollow=not seen.solid.all())
    handles.append(Line2D([], [], color=style.GREY, lw=0.8, alpha=0.6, label="80 % of the rows"))
    handles.append(
        Line2D([], [], color=style.GREY, lw=0.8, ls=(0, (4, 2)), label="guaranteed by the rows' margins (median)")
    )
    handles.append(Line2D([], [], color=style.GREY, lw=0.6, ls=(0, (1, 2)), label=f"target fidelity {seen.target:g}"))
    if _critical(seen).size:
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
    size = f"{np.isfinite(fidelity).sum()} settings, {int(seen.valid.sum()):,} valid rows"
    return (
        f"Median fidelity goes from {average(fidelity[least]):.2f} at the least penalty to "
        f"{average(fidelity[most]):.2f} at the largest; {bound}",
        f"median row of each setting, starts side by side; {size}",
    )
