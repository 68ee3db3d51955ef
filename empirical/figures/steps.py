"""Predicted against observed steps to zero, on plain proximal steps."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bounds.theory.theorem import Verdict
from empirical.figures import style
from empirical.figures.observed import Absent, Observed
from empirical.figures.penalty_axis import extends, penalty_norm


def predicted_and_observed(seen: Observed) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(predicted, observed, penalty) of every cross block on which the theorem says something: those of its verdicts.

    A block that is not zero at the end of its run counts as one step later.
    """
    from bounds.theorems import by_key
    from empirical.check.verdicts import rows_of

    theorem = by_key("steps_to_zero")
    rows = rows_of(seen.dataset, theorem)
    if rows is None:
        raise Absent("the dataset lacks the fields of steps_to_zero")
    judged = theorem.judge(rows)
    use = (judged.codes != Verdict.VACUOUS.code) & np.isfinite(judged.bound) & np.isfinite(judged.observed)
    if not use.any():
        raise Absent("no run of plain proximal steps lasted as long as predicted, its penalty above the gradients met")
    penalty = np.broadcast_to(seen.penalty[:, None, None, None, None], use.shape)
    return judged.bound[use], judged.observed[use], penalty[use]


def steps_to_zero(seen: Observed) -> Figure:
    predicted, taken, penalty = predicted_and_observed(seen)
    late = int((taken > predicted).sum())
    verdict = "none is late" if late == 0 else f"{late} ARE LATE"
    share = np.median(taken / np.maximum(predicted, 1))
    figure = style.sheet(
        5.2,
        4.5,
        f"Of {style.counted(taken.size, 'cross block')} {verdict}; the median takes {share:.2f} of the steps predicted",
        "plain proximal steps, penalty above every gradient met, runs as long as predicted",
    )
    axes = figure.subplots()
    low, high = max(0.8, 0.7 * min(taken.min(), predicted.min())), 1.4 * max(taken.max(), predicted.max())
    axes.fill_between([low, high], [low, high], [high, high], color=style.PALE, lw=0)
    axes.plot([low, high], [low, high], color=style.BLACK, lw=0.9)
    norm = penalty_norm(penalty)
    points = axes.scatter(
        predicted,
        taken,
        c=penalty,
        norm=norm,
        cmap=style.ORDERED,
        s=12,
        lw=0.3,
        ec="white",
        zorder=3,
        rasterized=taken.size > 2000,
    )
    axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high), aspect="equal")
    axes.set_xlabel("predicted steps to zero, at most")
    axes.set_ylabel("observed steps to zero")
    bar = {"pad": 0.01, "aspect": 35, "extend": extends(penalty, norm)}
    figure.colorbar(points, ax=axes, label=seen.penalty_label, **bar)
    handles = [
        Line2D([], [], color=style.BLACK, lw=0.9, label="observed = predicted"),
        Line2D([], [], color=style.PALE, lw=6, label="would refute the theorem"),
    ]
    style.legend_below(figure, handles)
    return figure
