"""What locality costs: loss against fidelity, and localised training against masking at inference."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

import bounds
from empirical.figures import style
from empirical.figures.against_penalty import KEYS
from empirical.figures.observed import Absent, Observed, average, middle
from empirical.figures.penalty_axis import PenaltyAxis, extends, penalty_norm


def loss_against_fidelity(seen: Observed) -> Figure:
    """Loss up, fidelity across, a point a setting: training loss, and held-out loss where there is one."""
    seen.need("loss_train", "fidelity")
    fidelity = middle(seen.row("fidelity"))
    panels = [("loss_train", "training")]
    if seen.has("loss_heldout") and np.isfinite(seen.values("loss_heldout")).any():
        panels.append(("loss_heldout", "held out"))
    figure = style.sheet(
        1.4 + 2.8 * len(panels),
        3.5,
        _title(seen, fidelity, panels[-1]),
        "one point a setting, median over its valid rows",
    )
    grid = figure.subplots(1, len(panels), squeeze=False)[0]
    norm = penalty_norm(seen.penalty)
    for axes, (name, words) in zip(grid, panels):
        loss = seen.values(name).astype(float)
        style.scatter_starts(axes, seen.start, fidelity, loss, seen.penalty, norm=norm, s=20, lw=0.5)
        style.loss_axis(axes, loss)
        axes.set_title(words)
        axes.set_xlabel("median pointer fidelity $F$")
    grid[0].set_ylabel(f"loss ({seen.loss_unit})")
    bar = {"pad": 0.01, "aspect": 28, "extend": extends(seen.penalty, norm)}
    figure.colorbar(ScalarMappable(norm, style.ORDERED), ax=list(grid), label=seen.penalty_label, **bar)
    style.legend_below(figure, style.start_key(seen.starts, grey=True))
    return figure


def _title(seen: Observed, fidelity: np.ndarray, panel: tuple[str, str]) -> str:
    name, words = panel
    loss = seen.values(name).astype(float)
    least, most = seen.penalty == seen.penalty.min(), seen.penalty == seen.penalty.max()
    change = average(loss[most]) - average(loss[least])
    gain = average(fidelity[most]) - average(fidelity[least])
    which = "held-out" if name == "loss_heldout" else words
    cost = f"{which} loss by {change:+.3g} {seen.loss_unit}"
    return f"From the least to the largest penalty fidelity changes by {gain:+.2f}, {cost}"


def masking(seen: Observed) -> Figure:
    """Held-out loss as trained and with foreign blocks masked, above; fidelity and its anchor floor, below."""
    seen.need("loss_heldout", "loss_masked", "fidelity")
    if seen.task != "topics":
        raise Absent("it compares held-out text losses, and the task is not topics")
    axis = PenaltyAxis(seen.penalty)
    figure = style.sheet(5.4, 5.2, *_masking_title(seen))
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[1.25, 1])
    styles = (
        ("loss_heldout", "as trained", "o", style.BLUE, "-"),
        ("loss_masked", "foreign blocks masked (dial 1)", "s", style.RED, (0, (4, 2))),
    )
    handles: list = []
    for name, words, marker, colour, dash in styles:
        _seeds(upper, seen, axis, seen.values(name).astype(float), marker, colour, dash)
        handles.append(
            Line2D([], [], marker=marker, color=colour, ls=dash, lw=0.9, ms=3.6, label=f"held-out loss, {words}")
        )
    upper.set_ylabel(f"held-out loss ({seen.loss_unit})")
    style.loss_axis(upper, [seen.values(name).astype(float) for name, *_ in styles])
    fidelity = middle(seen.row("fidelity"))
    _seeds(lower, seen, axis, fidelity, "o", style.BLUE, "-")
    if seen.has("anchor_logit") and np.isfinite(seen.values("anchor_logit")).any():
        floor = middle(seen.bound(bounds.fidelity_floor, margin="anchor_logit", **KEYS))
        lower.axhline(average(floor), color=style.BLACK, lw=0.9, ls=(0, (5, 2)))
        handles.append(
            Line2D(
                [],
                [],
                color=style.BLACK,
                lw=0.9,
                ls=(0, (5, 2)),
                label="anchor floor, cross blocks at zero",
            )
        )
    lower.set_ylabel("median pointer fidelity $F$")
    axis.dress(upper, None)
    axis.dress(lower, seen.penalty_label)
    style.legend_below(figure, handles, columns=2)
    return figure


def _seeds(axes: Axes, seen: Observed, axis: PenaltyAxis, values: np.ndarray, marker: str, colour: str, dash) -> None:
    """One thin line and its points a seed and start, and the mean over them as a thicker line."""
    for _, _, order in seen.branches():
        x = axis.place(seen.penalty[order])
        axes.plot(x, values[order], marker, color=colour, ms=3.4, mew=0.4, mec="white", zorder=4)
        axes.plot(x, values[order], color=colour, lw=0.4, alpha=0.5, zorder=2)
    levels = np.unique(seen.penalty)
    mean = [average(values[seen.penalty == level]) for level in levels]
    axes.plot(axis.place(levels), mean, color=colour, ls=dash, lw=1.3, zorder=3)


def _masking_title(seen: Observed) -> tuple[str, str]:
    """Costs in held-out loss against the least penalised model of the same seed, with standard errors over seeds."""
    heldout, masked = (seen.values(n).astype(float) for n in ("loss_heldout", "loss_masked"))
    base, trained, cut = ([], [], [])
    for _, _, order in seen.branches():
        base.append(heldout[order[0]])
        cut.append(masked[order[0]])
        trained.append(heldout[order[-1]])
    cost_cut, cost_trained = np.subtract(cut, base), np.subtract(trained, base)
    if not (np.isfinite(cost_cut).any() and np.isfinite(cost_trained).any()):
        raise Absent("the least penalised settings have no finite held-out and masked loss")
    which = "unpenalised" if seen.penalty.min() == 0 else "least penalised"
    return (
        f"Masking foreign blocks costs the {which} model {_mean(cost_cut)} nats, "
        f"training at the largest penalty {_mean(cost_trained)}",
        "held-out loss beyond that of the least penalised model of the same seed; mean ± standard error over seeds",
    )


def _mean(values: np.ndarray) -> str:
    values = values[np.isfinite(values)]
    error = f" ± {values.std(ddof=1) / np.sqrt(values.size):.3f}" if values.size > 1 else ""
    return f"{values.mean():.3f}{error}"
