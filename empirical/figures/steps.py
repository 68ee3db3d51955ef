"""Predicted against observed steps to zero, on plain proximal steps."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

import bounds
from empirical.figures import style
from empirical.figures.observed import Absent, Observed


def predicted_and_observed(seen: Observed) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(predicted, observed, penalty) of every cross block on plain steps whose penalty exceeds its gradient's peak.

    A block that is not zero at the end of a run as long as predicted counts as one step later than the run.
    """
    seen.need("group_norm_start", "gradient_peak", "steps_to_zero", "step", "steps")
    plain = seen.start == "plain"
    if not plain.any():
        raise Absent("no setting with plain proximal steps (start = plain)")
    first, peak = seen.pairs("group_norm_start").astype(float), seen.pairs("gradient_peak").astype(float)
    taken = seen.pairs("steps_to_zero").astype(float)
    penalty, step, length = (
        np.broadcast_to(values.astype(float)[:, None, None, None], taken.shape)
        for values in (seen.penalty, seen.values("step"), seen.values("steps"))
    )
    with np.errstate(invalid="ignore"):
        use = plain[:, None, None, None] & (peak < penalty) & (first > 0) & np.isfinite(step)
    predicted = np.full(taken.shape, np.inf)
    predicted[use] = bounds.steps_to_zero(first[use], penalty[use], peak[use], step[use]).values
    use &= (taken >= 0) | (predicted <= length)
    if not use.any():
        raise Absent("no plain setting whose penalty exceeds the largest gradient of a cross block on its way")
    taken = np.where(taken < 0, length + 1, taken)
    return predicted[use], taken[use], penalty[use]


def steps_to_zero(seen: Observed) -> Figure:
    predicted, taken, penalty = predicted_and_observed(seen)
    late = int((taken > predicted).sum())
    verdict = "none is late" if late == 0 else f"{late} ARE LATE"
    share = np.median(taken / predicted)
    figure = style.sheet(
        4.6,
        4.4,
        f"{taken.size:,} cross blocks vanish, {verdict}; the median takes {share:.2f} of the steps predicted",
        "plain proximal steps, penalty above the largest gradient seen on the way",
    )
    axes = figure.subplots()
    low, high = max(0.8, 0.7 * min(taken.min(), predicted.min())), 1.4 * max(taken.max(), predicted.max())
    axes.fill_between([low, high], [low, high], [high, high], color=style.PALE, lw=0)
    axes.plot([low, high], [low, high], color=style.BLACK, lw=0.9)
    norm = style.penalty_norm(seen.penalty[seen.start == "plain"])
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
    figure.colorbar(points, ax=axes, label=seen.penalty_label, pad=0.01, aspect=35)
    handles = [
        Line2D([], [], color=style.BLACK, lw=0.9, label="observed = predicted"),
        Line2D([], [], color=style.PALE, lw=6, label="would refute the theorem"),
    ]
    style.legend_below(figure, handles)
    return figure
