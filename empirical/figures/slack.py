"""How tight every theorem is on the observed rows: one line a theorem, its relative slack left, its verdicts right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from bounds.theory.theorem import Relation, Verdict
from empirical.check.clouds import EDGES, LEAST, MOST
from empirical.check.report import share
from empirical.check.verdicts import Checked
from empirical.figures import style
from empirical.figures.against_bound import SHADES, groups
from empirical.figures.observed import Absent

LINE = 0.19  # inches a theorem
FEWEST = 1e-3  # share of rows that the palest shade stands for
BARS: tuple[tuple[Verdict, dict[str, Any], str], ...] = (  # verdict, its look, words
    (Verdict.HOLDS, {"fc": style.SKY}, "HOLDS"),
    (Verdict.UNKNOWN, {"fc": SHADES[Verdict.UNKNOWN](0.6)}, "UNKNOWN: the arithmetic cannot decide"),
    (Verdict.VIOLATED, {"fc": style.RED}, "VIOLATED"),
    (Verdict.VACUOUS, {"fc": "white", "ec": style.GREY, "hatch": "////", "lw": 0.3}, "VACUOUS: a hypothesis fails"),
)


def slack(outcomes: Sequence[Checked]) -> Figure:
    """A line a theorem: left how far its rows are from the bound, relative; right the share of rows of each verdict.

    From outcomes that hold their clouds; theorems on one quantity stand together. Raises Absent without a row.
    """
    found = groups(outcomes)
    lines = [outcome for group in found for outcome in group.outcomes]
    if not lines:
        raise Absent("the observations have the fields of no theorem")
    figure = style.sheet(7.4, 1.5 + LINE * (len(lines) + len(found)), *_title(lines))
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[1.7, 1])
    names: list[tuple[float, str]] = []
    place = 0.0
    for group in found:
        left.text(LEAST + 0.3, place, group.title, fontsize=6, color=style.GREY, va="center")
        for outcome in group.outcomes:
            place += 1
            names.append((place, outcome.theorem.key.replace("_", " ")))
            _slacks(left, outcome, place)
            _verdicts(right, outcome, place)
        place += 1
    left.set_yticks([at for at, _ in names], [name for _, name in names], fontsize=6.5)
    left.set(xlim=(LEAST, MOST), ylim=(place - 0.4, -0.6), xlabel="relative slack")
    ticks = [LEAST, -12, -6, 0]
    left.set_xticks(ticks, ["0", *(f"$10^{{{t}}}$" for t in ticks[1:-1]), "1"])
    right.set(xlim=(0, 1), xlabel="share of rows")
    right.set_xticks([0, 0.5, 1], ["0", "50 %", "100 %"])
    for axes in (left, right):
        axes.tick_params(axis="y", length=0)
    bar = ScalarMappable(LogNorm(FEWEST, 1), SHADES[Verdict.HOLDS])
    figure.colorbar(bar, ax=[left, right], pad=0.01, aspect=30, shrink=0.6, label="share of the rows not VACUOUS")
    style.legend_below(figure, [Patch(label=words, **look) for _, look, words in BARS], columns=2)
    return figure


def _slacks(axes: Axes, outcome: Checked, place: float) -> None:
    """The share of its rows in each half decade; UNKNOWN ones below those that HOLD, VIOLATED ones in red."""
    parts = {} if outcome.cloud is None else outcome.cloud.apart
    every = sum(int(counts.sum()) for counts in parts.values())
    if not every:
        look: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 6, "color": style.GREY}
        axes.text(0.5 * (LEAST + MOST), place, "says nothing here", **look)
        return
    shades = {**SHADES, Verdict.VIOLATED: ListedColormap([style.RED])}
    for verdict, shade in shades.items():
        ends = [place - (0.0 if verdict is Verdict.UNKNOWN else 0.4), place + 0.4]
        portion, norm = np.ma.masked_equal(parts[verdict], 0) / every, LogNorm(FEWEST, 1, clip=True)
        mesh = axes.pcolormesh(EDGES, ends, portion[None], cmap=shade, norm=norm)
        mesh.set_gid(f"{verdict.name} {outcome.theorem.key}")


def _verdicts(axes: Axes, outcome: Checked, place: float) -> None:
    start = 0.0
    for verdict, look, _ in BARS:
        part = outcome.counts[verdict] / outcome.rows
        if part:
            (bar,) = axes.barh(place, part, 0.8, left=start, **look)
            bar.set_gid(f"{verdict.name} {outcome.theorem.key}")
        start += part


def _title(lines: Sequence[Checked]) -> tuple[str, str]:
    decided, rows = sum(o.decided for o in lines), sum(o.rows for o in lines)
    violated, unknown = (sum(o.counts[v] for o in lines) for v in (Verdict.VIOLATED, Verdict.UNKNOWN))
    equal = [o.theorem.key.replace("_", " ") for o in lines if o.theorem.relation is Relation.EQUAL]
    verdict = "none VIOLATED" if violated == 0 else f"{violated:,} VIOLATED"
    claim = f"{style.counted(decided, 'decided verdict')} over {style.counted(len(lines), 'theorem')}, {verdict}"
    if unknown:
        claim += f"; UNKNOWN: {share(unknown, rows)} of all rows"
    note = "relative slack: distance to the bound over the larger of bound and observed"
    return claim, note + (f"; of an equality ({', '.join(equal)}) its gap" if equal else "")
