"""Where cross blocks vanish: share of zero groups and loss against the penalty; below, the levels that theory gives."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

import bounds
from bounds.theory.theorem import Theorem
from empirical.figures import style
from empirical.figures.observed import Observed
from empirical.figures.penalty_axis import ZOOM, PenaltyAxis, close_up, critical_penalties, over_critical, sides
from empirical.observe.schema import PAIR

LEVEL_ROW = 0.2  # inches a level


@dataclass(frozen=True)
class MarkedLevel:
    """A penalty that theory singles out, with its values: one a seed, or one a setting."""

    key: str
    words: str
    values: np.ndarray

    @property
    def said(self) -> str:
        low, high = f"{self.values.min():.2g}", f"{self.values.max():.2g}"
        return f"{self.words}: {low}" if low == high else f"{self.words}: {low} to {high}"


def share_of_zero_groups(seen: Observed) -> np.ndarray:
    """The share of cross-block groups that are exactly zero, by setting."""
    norms = seen.pairs("group_norm")
    return (norms == 0).reshape(norms.shape[0], -1).mean(axis=1)


def levels(seen: Observed) -> list[MarkedLevel]:
    """The levels that the dataset determines, smallest first."""
    aware, worst = (_worst_gradient(seen, key) for key in ("leakage_aware_gradient", "worst_case_gradient"))
    found = [
        MarkedLevel("critical", "critical, predicted from localised models", critical_penalties(seen)),
        MarkedLevel("witness", "global transition, at least (witness)", _global_witness(seen)),
        MarkedLevel("C", "level C, mean of products", _worst_of_pairs(seen, "level_c")),
        MarkedLevel("B", "level B, proved at the leakage of each setting", aware),
        MarkedLevel("A", "level A, proved for every input", _by_seed(seen, worst)),
    ]
    some = [replace(level, values=level.values[np.isfinite(level.values) & (level.values > 0)]) for level in found]
    return sorted((level for level in some if level.values.size), key=lambda level: float(np.median(level.values)))


def transition(seen: Observed) -> Figure:
    """Share of cross blocks that are exactly zero, and loss, against the penalty; right, the critical one close up."""
    seen.need("group_norm", "loss_train")
    share, loss, localised = share_of_zero_groups(seen), seen.values("loss_train").astype(float), _localised_loss(seen)
    if localised is not None:
        loss = loss - localised
    marks, ratio = levels(seen), over_critical(seen)
    close = close_up(ratio)
    extra = (0.55 + LEVEL_ROW * len(marks)) if marks else 0.0
    figure = style.sheet(7.2 if close else 5.2, 4.3 + extra, *_title(seen, share, ratio))
    grid = figure.add_gridspec(
        3 if marks else 2,
        2 if close else 1,
        width_ratios=[1.6, 1] if close else [1],
        height_ratios=[1.6, 1.6, *([0.2 + LEVEL_ROW * len(marks)] if marks else [])],
    )
    left = [figure.add_subplot(grid[line, 0]) for line in range(2)]
    axis = PenaltyAxis(seen.penalty)
    for axes, values in zip(left, (share, loss)):
        _draw(axes, seen, axis, values)
        _band(axes, axis, marks)
        axis.dress(axes, seen.penalty_label if values is loss else None)
    left[0].set_ylabel("share of cross blocks\nthat are exactly zero")
    left[0].set_ylim(-0.04, 1.04)
    lacking = "" if localised is None else "\nless that of the localised model"
    left[1].set_ylabel(f"training loss{lacking}\n({seen.loss_unit})")
    if localised is not None:
        left[1].axhline(0, color=style.GREY, lw=0.6, zorder=0)
    if close:
        panels = [figure.add_subplot(grid[line, 1], sharey=left[line]) for line in range(2)]
        _close_up(panels, seen, share, loss)
    if marks:
        _strip(figure.add_subplot(grid[2, :]), marks, seen)
    figure.align_ylabels(left)
    left[1].ticklabel_format(axis="y", style="sci", scilimits=(-2, 3), useMathText=True)
    style.legend_below(figure, _key(seen, marks), columns=3)
    return figure


def _draw(axes: Axes, seen: Observed, axis: PenaltyAxis, y: np.ndarray) -> None:
    side = sides(seen.starts)
    for start, _, order in seen.branches():
        x = axis.place(seen.penalty[order], side[start])
        axes.plot(x, y[order], color=style.STARTS[start][1], lw=0.5, alpha=0.5, zorder=2)
        style.mark_settings(axes, start, x, y[order], seen.solid[order])


def _close_up(panels: list[Axes], seen: Observed, share: np.ndarray, loss: np.ndarray) -> None:
    """Penalties over the critical one of their seed; starts side by side."""
    ratio, side = over_critical(seen), sides(seen.starts)
    for axes, values in zip(panels, (share, loss)):
        for start, _, order in seen.branches():
            x = ratio[order] + 0.006 * side[start]
            axes.plot(x, values[order], color=style.STARTS[start][1], lw=0.5, alpha=0.5, zorder=2)
            style.mark_settings(axes, start, x, values[order], seen.solid[order])
        axes.axvline(1, color=style.BLACK, lw=0.9, zorder=1)
        axes.set_xlim(ZOOM[0] - 0.015, ZOOM[1] + 0.015)
        axes.tick_params(labelleft=False)
    panels[0].tick_params(labelbottom=False)
    panels[0].set_title("close-up at the critical penalty")
    panels[1].set_xlabel("penalty / critical of the same seed")


def _band(axes: Axes, axis: PenaltyAxis, marks: list[MarkedLevel]) -> None:
    """The critical penalties of all seeds."""
    for level in marks:
        if level.key == "critical":
            ends = axis.place([level.values.min(), level.values.max()])
            axes.axvspan(*ends, color=style.PALE, lw=0, zorder=0)
            axes.axvline(float(axis.place(np.median(level.values))), color=style.BLACK, lw=0.9, zorder=1)


def _strip(axes: Axes, marks: list[MarkedLevel], seen: Observed) -> None:
    """A row a level from its least to its largest value, on the whole logarithmic axis, and the penalties run."""
    run = np.unique(seen.penalty[seen.penalty > 0])
    rows = [*((level.said, level.values) for level in marks), ("penalties run", run)]
    every = np.concatenate([values for _, values in rows])
    middle = np.sqrt(every.min() * every.max())
    for row, (words, values) in enumerate(rows):
        axes.plot([values.min(), values.max()], [row, row], color=style.BLACK, lw=1.2 if values is not run else 0)
        axes.plot(values, np.full(values.size, row), "|", color=style.BLACK, ms=6, mew=0.9)
        first = np.sqrt(values.min() * values.max()) < middle  # its words stand on the side that has room
        place, shift, side = (values.max(), 5, "left") if first else (values.min(), -5, "right")
        look = {"ha": side, "va": "center", "fontsize": 7, "textcoords": "offset points"}
        axes.annotate(words, (float(place), row), (shift, 0), **look)
    axes.set(xscale="log", xlim=(every.min() / 1.6, every.max() * 1.6), ylim=(len(marks) + 0.6, -0.6), yticks=[])
    axes.set_xlabel(seen.penalty_label)
    axes.spines["left"].set_visible(False)


def _key(seen: Observed, marks: list[MarkedLevel]) -> list:
    handles: list = style.start_key(seen.starts, hollow=not seen.solid.all())
    if any(level.key == "critical" for level in marks):
        handles.append(Line2D([], [], color=style.BLACK, lw=0.9, label="critical penalty, median of the seeds"))
        handles.append(Patch(color=style.PALE, label="critical penalty, all seeds"))
    return handles


def _title(seen: Observed, share: np.ndarray, ratio: np.ndarray) -> tuple[str, str]:
    """For every start, the least penalty (over critical) from which all cross blocks are zero in every seed."""
    edges: dict[str, list[str]] = {}
    for start in seen.starts:
        chosen = (seen.start == start) & np.isfinite(ratio)
        active, idle = ratio[chosen & (share < 1)], ratio[chosen & (share == 1)]
        beyond = idle[idle > active.max()] if active.size else idle
        if beyond.size:
            edges.setdefault(f"{beyond.min():.3g}", []).append(start)
    parts = [f"{edge} ({', '.join(starts)})" for edge, starts in edges.items()]
    seeds = style.counted(np.unique(seen.seed).size, "seed")
    note = f"{style.counted(seen.penalty.size, 'setting')}, {seeds}, {seen.convergence}; equal penalties side by side"
    if parts:
        return f"Every cross block is zero from {', '.join(parts)} times the critical penalty of its seed", note
    low, high = share[seen.penalty == seen.penalty.min()], share[seen.penalty == seen.penalty.max()]
    change = f"from {low.mean():.2f} at the least penalty to {high.mean():.2f} at the largest"
    return f"The share of cross blocks at zero goes {change}", note


def _localised_loss(seen: Observed) -> np.ndarray | None:
    """The loss of each seed's localised solution, None where no run has one."""
    if not seen.has("loss_localised"):
        return None
    localised = seen.values("loss_localised").astype(float)
    return localised if np.isfinite(localised).any() else None


def _by_seed(seen: Observed, values: np.ndarray) -> np.ndarray:
    """The largest finite positive value of each seed."""
    if not values.size:
        return values
    values = np.where(np.isfinite(values), values, -np.inf).reshape(values.shape[0], -1).max(axis=1)
    best = np.array([values[seen.seed == seed].max() for seed in np.unique(seen.seed)])
    return best[best > 0]


def _worst_of_pairs(seen: Observed, name: str) -> np.ndarray:
    if not seen.has(name):
        return np.array([])
    return _by_seed(seen, seen.along(name, ("setting", "block_query", "block_key"))[..., seen.cross])


def _worst_gradient(seen: Observed, key: str) -> np.ndarray:
    """What the theorem bounds the gradient of each setting's worst cross block by, NaN where it says nothing."""
    from bounds.theorems import by_key
    from empirical.check.verdicts import rows_of

    theorem: Theorem = by_key(key)
    rows = rows_of(seen.dataset, theorem)
    if rows is None:
        return np.array([])
    bound, applies = np.broadcast_arrays(theorem.bound(rows), theorem.applies(rows))
    level = np.where(applies, bound, np.nan)
    level = np.broadcast_to(level, [seen.dataset.sizes[d] for d in PAIR])[..., seen.cross]
    return np.where(np.isfinite(level), level, -np.inf).reshape(seen.penalty.size, -1).max(axis=1)


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
