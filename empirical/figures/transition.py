"""Where cross blocks vanish: share of zero groups and loss against the penalty, with the levels marked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

import bounds
from bounds.penalty.fields import LEVEL_FIELDS
from empirical.figures import style
from empirical.figures.observed import Observed

ZOOM = (0.9, 1.1)  # penalty / critical in the close-up


@dataclass(frozen=True)
class MarkedLevel:
    """A penalty that theory singles out, with its values by seed."""

    letter: str
    words: str
    values: np.ndarray
    dash: tuple


def share_of_zero_groups(seen: Observed) -> np.ndarray:
    """The share of cross-block groups that are exactly zero, by setting."""
    norms = seen.pairs("group_norm")
    return (norms == 0).reshape(norms.shape[0], -1).mean(axis=1)


def levels(seen: Observed) -> list[MarkedLevel]:
    """The levels that the dataset determines, smallest first."""
    found = [
        MarkedLevel("D", "critical, predicted from the localised model", _finite(seen, "critical"), ()),
        MarkedLevel("E", "global transition, at least (witness)", _global_witness(seen), (1, 1.5)),
        MarkedLevel("C", "level C, mean of products", _worst_of_pairs(seen, "level_c"), (5, 2)),
        MarkedLevel("A", "level A, proved: zero above it", _worst_case(seen), (5, 1.5, 1, 1.5)),
    ]
    return sorted((level for level in found if level.values.size), key=lambda level: float(np.median(level.values)))


def transition(seen: Observed) -> Figure:
    """Left the whole range, right the close-up at the critical penalty where the dataset has settings there."""
    seen.need("group_norm", "loss_train")
    share, loss, localised = share_of_zero_groups(seen), seen.values("loss_train").astype(float), _localised_loss(seen)
    if localised is not None:
        loss = loss - localised
    marks = levels(seen)
    ratio = _ratio(seen)
    near = np.isfinite(ratio) & (ratio >= ZOOM[0]) & (ratio <= ZOOM[1]) & (np.unique(ratio).size > 1)
    close = near.sum() >= 2
    figure = style.sheet(7.2 if close else 5.2, 4.8, *_title(seen, share, ratio))
    grid = figure.subplots(2, 2 if close else 1, squeeze=False, sharey="row", width_ratios=[1.9, 1] if close else [1])
    axis = style.PenaltyAxis(seen.penalty, [float(v) for level in marks for v in level.values])
    for axes, values in zip(grid[:, 0], (share, loss)):
        _draw(axes, seen, axis.place(seen.penalty), values)
        _mark(axes, marks, letters=values is share)
        axis.dress(axes, seen.penalty_label if values is loss else None)
    grid[0, 0].set_ylabel("share of cross blocks\nthat are exactly zero")
    grid[0, 0].set_ylim(-0.04, 1.04)
    grid[1, 0].set_ylabel(f"training loss{'' if localised is None else ' above localised'}\n({seen.loss_unit})")
    if localised is not None:
        grid[1, 0].axhline(0, color=style.GREY, lw=0.6, zorder=0)
    if close:
        for axes, values in zip(grid[:, 1], (share, loss)):
            _draw(axes, seen, ratio, values)
            axes.axvline(1, color=style.BLACK, lw=0.9, zorder=1)
            axes.set_xlim(ZOOM[0] - 0.01, ZOOM[1] + 0.01)
        grid[0, 1].set_title("close-up at D", loc="center")
        grid[1, 1].set_xlabel("penalty / critical penalty\nof the same seed")
    figure.align_ylabels(grid[:, 0])
    grid[1, 0].ticklabel_format(axis="y", style="sci", scilimits=(-2, 3), useMathText=True)
    starts, lines = _key(seen, marks)
    longest = max(len(starts), len(lines))
    blank = Line2D([], [], ls="", label=" ")
    padded = [*starts, *[blank] * (longest - len(starts)), *lines, *[blank] * (longest - len(lines))]
    style.legend_below(figure, padded, columns=2)
    return figure


def _draw(axes: Axes, seen: Observed, x: np.ndarray, y: np.ndarray) -> None:
    for start, _, order in seen.branches():
        marker, colour, _ = style.STARTS[start]
        size = 5.4 - 0.9 * seen.starts.index(start)  # smaller markers on larger ones: none hides another
        axes.plot(x[order], y[order], color=colour, lw=0.5, alpha=0.6, zorder=2)
        done = seen.solid[order]
        axes.plot(x[order][done], y[order][done], marker, color=colour, ms=size, mew=0.5, mec="white", zorder=4)
        axes.plot(x[order][~done], y[order][~done], marker, color=colour, ms=size, mew=0.8, mfc="white", zorder=3)


def _mark(axes: Axes, marks: list[MarkedLevel], letters: bool) -> None:
    for level in marks:
        axes.axvspan(level.values.min(), level.values.max(), color=style.PALE, lw=0, zorder=0)
        axes.axvline(
            np.median(level.values), color=style.BLACK, lw=0.9, ls=(0, level.dash) if level.dash else "-", zorder=1
        )
        if letters:
            axes.text(
                float(np.median(level.values)),
                1.02,
                level.letter,
                ha="center",
                va="bottom",
                transform=axes.get_xaxis_transform(),
            )


def _key(seen: Observed, marks: list[MarkedLevel]) -> tuple[list, list]:
    """Handles of the starts, and of the levels with their values."""
    starts: list = style.start_key(seen.starts, hollow=not seen.solid.all())
    lines: list = []
    for level in marks:
        low, high = level.values.min(), level.values.max()
        value = f"{low:.2g}" if f"{low:.2g}" == f"{high:.2g}" else f"{low:.2g} to {high:.2g}"
        dash = (0, level.dash) if level.dash else "-"
        lines.append(
            Line2D([], [], color=style.BLACK, lw=0.9, ls=dash, label=f"{level.letter}: {level.words}: {value}")
        )
    if marks:
        starts.append(Patch(color=style.PALE, label="range of a level over seeds"))
    return starts, lines


def _title(seen: Observed, share: np.ndarray, ratio: np.ndarray) -> tuple[str, str]:
    """For every start, the least penalty (over critical) from which all cross blocks are zero in every seed."""
    edges: dict[str, list[str]] = {}
    for start in seen.starts:
        chosen = (seen.start == start) & np.isfinite(ratio)
        active, idle = ratio[chosen & (share < 1)], ratio[chosen & (share == 1)]
        beyond = idle[idle > active.max()] if active.size else idle
        if beyond.size:
            edges.setdefault(f"{beyond.min():.3g}", []).append(start)
    parts = [f"{edge} D ({', '.join(starts)})" for edge, starts in edges.items()]
    seeds = np.unique(seen.seed).size
    note = f"{seen.penalty.size} settings, {seeds} seeds, {seen.convergence}"
    if parts:
        return "Every cross block is zero from " + ", ".join(
            parts
        ), f"{note}; D is the critical penalty of the same seed"
    low, high = share[seen.penalty == seen.penalty.min()], share[seen.penalty == seen.penalty.max()]
    change = f"from {low.mean():.2f} at the least penalty to {high.mean():.2f} at the largest"
    return f"The share of cross blocks at zero goes {change}", note


def _localised_loss(seen: Observed) -> np.ndarray | None:
    """The loss of each seed's localised solution, None where no run has one."""
    if not seen.has("loss_localised"):
        return None
    localised = seen.values("loss_localised").astype(float)
    return localised if np.isfinite(localised).any() else None


def _ratio(seen: Observed) -> np.ndarray:
    if not seen.has("critical"):
        return np.full(seen.penalty.shape, np.nan)
    critical = seen.values("critical").astype(float)
    return np.divide(seen.penalty, critical, out=np.full(seen.penalty.shape, np.nan), where=critical > 0)


def _finite(seen: Observed, name: str) -> np.ndarray:
    values = seen.values(name).astype(float).ravel() if seen.has(name) else np.array([])
    return np.unique(values[np.isfinite(values) & (values > 0)])


def _by_seed(seen: Observed, values: np.ndarray) -> np.ndarray:
    """The largest finite positive value of each seed."""
    values = np.where(np.isfinite(values), values, -np.inf).reshape(values.shape[0], -1).max(axis=1)
    best = np.array([values[seen.seed == seed].max() for seed in np.unique(seen.seed)])
    return best[best > 0]


def _worst_of_pairs(seen: Observed, name: str) -> np.ndarray:
    if not seen.has(name):
        return np.array([])
    return _by_seed(seen, seen.along(name, ("setting", "block_query", "block_key"))[..., seen.cross])


def _worst_case(seen: Observed) -> np.ndarray:
    """Level A of the worst pair; nothing where no gradient bound is proved."""
    names = (*LEVEL_FIELDS, "temperature")
    if not seen.has(*names):
        return np.array([])
    fields = {n: seen.along(n, ("setting", "block_query", "block_key")) for n in names}
    known = [np.isfinite(a).reshape(a.shape[0], -1).all(axis=1) for a in fields.values()]
    proved = np.logical_and.reduce(known)
    if not proved.any():
        return np.array([])
    level = bounds.penalty_threshold_worst_case(*(fields[n][proved] for n in names))
    out = np.full((proved.size, *seen.cross.shape), np.nan)
    out[proved] = level
    return _by_seed(seen, out[..., seen.cross])


def _global_witness(seen: Observed) -> np.ndarray:
    """What each seed's settings prove about the global transition from below."""
    localised = _localised_loss(seen)
    if localised is None:
        return np.array([])
    norms = seen.pairs("group_norm").astype(float)
    norms = norms.reshape(norms.shape[0], -1)
    loss = seen.values("loss_train").astype(float)
    best = []
    for seed in np.unique(seen.seed):
        use = (seen.seed == seed) & np.isfinite(localised) & (norms.sum(axis=1) > 0)
        if use.any():
            best.append(np.max(bounds.global_penalty_witness(localised[use], loss[use], norms[use])))
    values = np.array(best, dtype=float)
    return values[np.isfinite(values) & (values > 0)]
