"""The figure of the study of floors: what a range allows, and each row against either floor."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from empirical.figures import style
from empirical.studies.findings import Numbers

CURVES = (  # of the range: name, colour, dash, words
    ("range_floor", style.BLUE, "-", "ours, exact from the range"),
    ("specht_floor", style.SKY, "--", "Specht, from the range"),
    ("norm_floor_one_hot", style.RED, "-.", "sigma-Reparam, norm of one spike"),
    ("norm_floor_half", style.ORANGE, ":", "sigma-Reparam, norm of half up, half down"),
)


def draw(numbers: Numbers) -> dict[str, Figure]:
    return {"floors": floors(numbers)}


def floors(numbers: Numbers) -> Figure:
    """Two panels: each floor over the range, and over the entropy of every row."""
    curves, rows = ({k: np.asarray(v) for k, v in numbers[kind].items()} for kind in ("curves", "rows"))
    tighter = float(np.mean(rows["range_floor"] > rows["norm_floor"]))
    figure = style.sheet(
        7.2,
        4.0,
        "Neither floor replaces the other: the norm is sharper for one spike, the range for the rest",
        f"{numbers['n_keys']} keys; a floor excludes every row below it. Of {rows['range'].size} random rows the "
        f"range gives the higher floor for {100 * tighter:.0f} %.",
    )
    left, right = figure.subplots(1, 2)
    top = float(np.log(numbers["n_keys"]))
    _over_the_range(left, curves, top)
    _over_the_entropy(right, rows, top)
    for axes in (left, right):
        axes.legend(loc="upper left", bbox_to_anchor=(0, -0.17), handlelength=2.4, markerscale=1.5)
    return figure


def _over_the_range(axes: Axes, curves: dict[str, np.ndarray], top: float) -> None:
    for name, colour, dash, words in CURVES:
        axes.plot(curves["range"], curves[name], color=colour, ls=dash, label=words)
    some = slice(None, None, 28)
    spikes = (curves["range"][some], curves["entropy_one_hot"][some])
    axes.plot(*spikes, "o", color=style.BLACK, ms=3, label="one spike, observed")
    axes.set(xlabel="logit range over temperature, D", ylabel="entropy (nats)", ylim=(-0.1, top + 0.1))


def _over_the_entropy(axes: Axes, rows: dict[str, np.ndarray], top: float) -> None:
    for name, marker, colour, words in (
        ("range_floor", "o", style.BLUE, "ours, from its range"),
        ("norm_floor", "^", style.RED, "sigma-Reparam, from its norm"),
    ):
        axes.plot(rows["entropy_nats"], rows[name], marker, color=colour, ms=2.2, alpha=0.6, mew=0, label=words)
    axes.plot([0, top], [0, top], color=style.GREY, lw=0.8)
    axes.text(top * 0.3, top * 0.34, "floor = entropy", rotation=40, color=style.GREY, size=7)
    ends = {"xlim": (0, top * 1.02), "ylim": (-0.1, top * 1.02)}
    axes.set(xlabel="entropy of a row (nats)", ylabel="its floor (nats)", **ends)
