"""How tight every theorem is on the observed rows: histograms of relative slack, and the share left vacuous."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from bounds.theory.theorem import Relation, Theorem, Verdict
from empirical.figures import style
from empirical.figures.observed import Absent, Observed

LEAST, MOST = -18, 1  # decades of relative slack; smaller ones, and exact zeros, share the first bin
BINS = np.linspace(LEAST, MOST, 2 * (MOST - LEAST) + 1)
COLUMNS = 4


@dataclass(frozen=True)
class Slack:
    """log10 of a theorem's relative slack on its decided rows, by verdict, and how many rows were vacuous."""

    theorem: Theorem
    holds: np.ndarray
    unknown: np.ndarray
    violated: np.ndarray
    vacuous: int
    rows: int


def slack_of(theorem: Theorem, rows) -> Slack:
    """|slack| relative to the larger of |observed| and |bound|."""
    codes = theorem.verdicts(rows).ravel()
    with np.errstate(all="ignore"):
        slack, observed, bound = (
            a.ravel() for a in np.broadcast_arrays(theorem.slack(rows), theorem.observed(rows), theorem.bound(rows))
        )
        size = np.log10(np.abs(slack) / np.maximum(np.abs(observed), np.abs(bound)))
    size = np.clip(np.where(np.isnan(size), LEAST, size), LEAST, MOST)
    chosen = {v: size[codes == v.code] for v in Verdict}
    return Slack(
        theorem,
        chosen[Verdict.HOLDS],
        chosen[Verdict.UNKNOWN],
        chosen[Verdict.VIOLATED],
        chosen[Verdict.VACUOUS].size,
        codes.size,
    )


def slack_histograms(seen: Observed) -> Figure:
    """One panel a theorem that the dataset has the fields for, in the order in which they are stated."""
    from bounds.theorems import OBSERVED
    from empirical.check.verdicts import rows_of

    found = []
    for theorem in OBSERVED:
        rows = rows_of(seen.dataset, theorem)
        if rows is not None:
            found.append(slack_of(theorem, rows))
    if not found:
        raise Absent("the dataset has the fields of no theorem")
    lines = -(-len(found) // COLUMNS)
    figure = style.sheet(7.4, 0.9 + 1.15 * lines, *_title(found))
    grid = figure.subplots(lines, COLUMNS, squeeze=False, sharex=True, sharey=True)
    for axes, slack in zip(grid.flat, found):
        _draw(axes, slack)
    for axes in list(grid.flat)[len(found) :]:
        axes.set_axis_off()
    for axes in list(grid.flat)[max(0, len(found) - COLUMNS) : len(found)]:
        axes.tick_params(labelbottom=True)
    for axes in grid[-1]:
        axes.set_xlabel("relative slack")
    for axes in grid[:, 0]:
        axes.set_ylabel("share of rows")
    handles = [
        Patch(fc=style.SKY, label="HOLDS"),
        Patch(fc="white", ec=style.BLACK, hatch="/////", lw=0.5, label="UNKNOWN: within rounding"),
        Patch(fc=style.RED, label="VIOLATED"),
    ]
    style.legend_below(figure, handles)
    return figure


def _draw(axes: Axes, slack: Slack) -> None:
    groups = (slack.holds, slack.unknown, slack.violated)
    decided = sum(g.size for g in groups)
    vacuous = f"vacuous {_percent(slack.vacuous, slack.rows)}"
    axes.set_title(f"{slack.theorem.key.replace('_', ' ')}\n", fontsize=7)
    axes.text(
        0, 1.02, f"{vacuous} of {slack.rows:,}", transform=axes.transAxes, fontsize=6, color=style.GREY, va="bottom"
    )
    axes.set(xlim=(LEAST, MOST), ylim=(0, 1.05), yticks=[0, 0.5, 1])
    ticks = [LEAST, -12, -6, 0]
    axes.set_xticks(ticks, ["0", *(f"$10^{{{t}}}$" for t in ticks[1:-1]), "1"])
    if decided == 0:
        axes.text(0.5, 0.5, "says nothing here", transform=axes.transAxes, ha="center", fontsize=6.5, color=style.GREY)
        return
    looks: tuple[dict[str, Any], ...] = (
        {"fc": style.SKY},
        {"fc": "white", "ec": style.BLACK, "hatch": "/////", "lw": 0.5},
        {"fc": style.RED},
    )
    base = np.zeros(BINS.size - 1)
    for values, look in zip(groups, looks):
        share = np.histogram(values, BINS)[0] / decided
        some = share > 0
        axes.bar(BINS[:-1][some], share[some], 0.5, bottom=base[some], align="edge", **look)
        base += share


def _percent(part: int, whole: int) -> str:
    """A share in per cent that says 100 only when nothing is left and 0 only when nothing is there."""
    share = 100 * part / whole if whole else 0.0
    if 0 < share < 0.1:
        return "< 0.1 %"
    return f"{share:.0f} %" if share in (0.0, 100.0) else f"{min(share, 99.9):.1f} %"


def _title(found: list[Slack]) -> tuple[str, str]:
    violated = sum(s.violated.size for s in found)
    decided = sum(s.holds.size + s.violated.size for s in found)
    equal = [s.theorem.key for s in found if s.theorem.relation is Relation.EQUAL]
    verdict = "none violated" if violated == 0 else f"{violated:,} VIOLATED"
    gap = f"; {', '.join(equal).replace('_', ' ')}: an equality's gap" if equal else ""
    claim = f"{decided:,} decided verdicts over {len(found)} theorems, {verdict}"
    return claim, f"relative slack: distance to the bound over the larger of bound and observed{gap}"
