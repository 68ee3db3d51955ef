"""One theorem under attack: what an adversary's inputs make of it, and the inputs that attain it.

x: the bound of the input          y: what is observed of it          diagonal: attained; beyond it: VIOLATED
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bounds.theory.theorem import Judgement, Relation, Theorem, Verdict
from empirical.figures import style
from empirical.figures.observed import Absent

DECADES = 9  # of a logarithmic axis; what lies below shares its edge
ALLOWED = {Relation.AT_MOST: "below", Relation.AT_LEAST: "above", Relation.EQUAL: "on"}
LOOKS = {
    Verdict.VACUOUS: ("x", style.PALE, "a hypothesis fails: says nothing"),
    Verdict.HOLDS: (".", style.BLUE, "holds"),
    Verdict.UNKNOWN: (".", style.ORANGE, "on the bound, within rounding"),
    Verdict.VIOLATED: ("X", style.RED, "VIOLATED"),
}


def attacked(theorem: Theorem, inputs: Judgement, attaining: Judgement | None = None) -> Figure:
    """Inputs of one theorem by verdict, observed against bound; those that attain it as stars.

    Raises Absent where all that are not VACUOUS lie at one place.
    """
    counts = {verdict: int((inputs.codes == verdict.code).sum()) for verdict in Verdict}
    decided = counts[Verdict.HOLDS] + counts[Verdict.VIOLATED]
    claim = f"None of {decided:,} decided inputs lies beyond the bound"
    if counts[Verdict.VIOLATED]:
        claim = f"BEYOND THE BOUND: {counts[Verdict.VIOLATED]:,} of {decided:,} decided inputs"
    figure = style.sheet(4.6, 3.9, claim, f"{theorem.key}: {theorem.title.lower()}")
    axes = figure.add_subplot()
    points = [(v, np.isfinite(inputs.bound) & np.isfinite(inputs.observed) & (inputs.codes == v.code)) for v in LOOKS]
    drawn = [mask for verdict, mask in points if verdict is not Verdict.VACUOUS]
    seen = np.logical_or.reduce(drawn) if np.logical_or.reduce(drawn).any() else points[0][1]
    values = np.concatenate([inputs.bound[seen], inputs.observed[seen]])
    if not values.size or not np.ptp(values):
        raise Absent(f"the inputs of {theorem.key} meet it exactly, at one place, or not at all")
    _scale(axes, values)
    for verdict, mask in points:
        marker, colour, words = LOOKS[verdict]
        if mask.any():
            look = {"ms": 3.5 if verdict is Verdict.HOLDS else 4.5, "zorder": 2 + list(LOOKS).index(verdict)}
            axes.plot(*_inside(axes, inputs, mask), marker, color=colour, label=words, mew=0.6, **look)
    if attaining is not None:
        axes.plot(*_inside(axes, attaining, slice(None)), "*", color=style.GREEN, ms=8, mec="white", mew=0.4, zorder=7)
        axes.plot([], [], "*", color=style.GREEN, ms=8, label="rows made to attain it")
    axes.plot(axes.get_xlim(), axes.get_xlim(), color=style.BLACK, lw=0.8, zorder=1)
    quantity = theorem.quantity.removesuffix("_nats").replace("_", " ")
    axes.set_xlabel(f"bound on {quantity}{' (nats)' if theorem.quantity.endswith('_nats') else ''}")
    axes.set_ylabel(f"observed; allowed {ALLOWED[theorem.relation]} the diagonal")
    style.legend_below(figure, axes.get_legend_handles_labels()[0], columns=2)
    return figure


def _scale(axes: Axes, values: np.ndarray) -> None:
    """Both axes alike, from the smallest value to the largest; logarithmic where that spans decades."""
    low, high = np.percentile(values, [0.5, 99.5])
    positive = values[values > 0]
    if (values >= 0).all() and positive.size and high > 1e3 * max(np.percentile(positive, 5), 1e-300):
        low = max(float(np.percentile(positive, 0.5)), high / 10**DECADES)
        axes.set(xscale="log", yscale="log")
        low, high = low / 2, high * 2
    else:
        room = 0.06 * (high - low) or max(0.1 * abs(high), 0.1)
        low, high = low - room, high + room
    axes.set(xlim=(low, high), ylim=(low, high))
    axes.set_aspect("equal")


def _inside(axes: Axes, rows: Judgement, mask: np.ndarray | slice) -> tuple[np.ndarray, np.ndarray]:
    """Bound and observed of the rows chosen, moved to the edge of the axes where they lie beyond it."""
    low, high = axes.get_xlim()
    return np.clip(rows.bound[mask], low, high), np.clip(rows.observed[mask], low, high)
