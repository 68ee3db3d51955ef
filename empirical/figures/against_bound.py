"""The plot that the project is for: what was observed against what is proved, every row, a panel a group of theorems.

    x: the bound of the row          y: what was observed of it          diagonal: attained; beyond it: VIOLATED

Theorems on one quantity, bounded from one side, share a panel. Hexagons count rows that HOLD or are UNKNOWN; a VIOLATED
row is a cross of its own. A theorem is drawn from its `Cloud`, so figures cost no memory however many rows there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from textwrap import shorten

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PolyCollection
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Polygon
from matplotlib.ticker import MaxNLocator

from bounds.theory.theorem import Relation, Verdict
from empirical.check.clouds import Cloud, Points
from empirical.check.report import share
from empirical.check.verdicts import Checked
from empirical.figures import style
from empirical.figures.observed import Absent
from empirical.observe.schema import SCHEMA

COLUMNS = 4
HEXAGONS = 34  # across a panel
DECADES = 12  # of a logarithmic panel; what lies below shares its edge
SHADES = {
    Verdict.HOLDS: ListedColormap(matplotlib.colormaps["Blues"](np.linspace(0.3, 1.0, 256))),
    Verdict.UNKNOWN: ListedColormap(matplotlib.colormaps["YlOrBr"](np.linspace(0.3, 0.75, 256))),
}
SIDE = {Relation.AT_MOST: "at most", Relation.AT_LEAST: "at least", Relation.EQUAL: "equal to"}


@dataclass(frozen=True)
class Group:
    """Outcomes on one quantity and one side of it; their rows share a panel."""

    quantity: str
    relation: Relation
    outcomes: tuple[Checked, ...]

    @property
    def title(self) -> str:
        unit = SCHEMA[self.quantity][1] if self.quantity in SCHEMA else "1"
        name = self.quantity.removesuffix("_nats").replace("_", " ")
        return f"{name}{'' if unit == '1' else f' ({unit})'}, {SIDE[self.relation]}"

    @property
    def clouds(self) -> list[Cloud]:
        return [outcome.cloud for outcome in self.outcomes if outcome.cloud is not None]

    @cached_property
    def points(self) -> dict[Verdict, Points]:
        drawn = (Verdict.HOLDS, Verdict.UNKNOWN, Verdict.VIOLATED)
        parts = {v: [cloud.points(v) for cloud in self.clouds] for v in drawn}
        return {v: Points(*(np.concatenate(column) for column in zip(*found))) for v, found in parts.items()}

    @property
    def rows(self) -> int:
        """How many rows the points stand for: those with a finite bound and a finite observation."""
        return sum(int(points.rows.sum()) for points in self.points.values())

    @cached_property
    def values(self) -> np.ndarray:
        return np.concatenate([part for points in self.points.values() for part in (points.bound, points.observed)])

    @cached_property
    def trivial(self) -> tuple[float, ...]:
        """The ends of its rows' trivial bounds."""
        return tuple(end for cloud in self.clouds if cloud.trivial is not None for end in cloud.trivial)

    @property
    def spread(self) -> bool:
        """Whether there is more to see than one place on the diagonal."""
        return bool(self.values.size and np.ptp(self.values) > 0)


def groups(outcomes: Sequence[Checked]) -> list[Group]:
    """Theorems with rows, in the order in which they are stated."""
    found: dict[tuple[str, Relation], list[Checked]] = {}
    for outcome in outcomes:
        if outcome.rows:
            found.setdefault((outcome.theorem.quantity, outcome.theorem.relation), []).append(outcome)
    return [Group(*key, tuple(members)) for key, members in found.items()]


def against_bound(outcomes: Sequence[Checked]) -> Figure:
    """Each row right is what its theorem allows, up what was observed: on the diagonal attained, in the grey violated.

    From outcomes that hold their clouds. Raises Absent where no row has a finite bound.
    """
    found = groups(outcomes)
    drawn = [group for group in found if group.spread]
    if not drawn:
        raise Absent("no theorem has rows with a finite bound that differ")
    columns = min(COLUMNS, len(drawn))
    lines = -(-len(drawn) // columns)
    figure = style.sheet(1.0 + 1.95 * max(columns, 2), 1.3 + 2.0 * lines, *_title(found))
    grid = figure.subplots(lines, columns, squeeze=False)
    most = max(int(points.rows.max(initial=1)) for group in drawn for points in group.points.values())
    norm = LogNorm(1, max(most, 10))
    for axes, group in zip(grid.flat, drawn):
        _panel(axes, group, norm)
    for axes in list(grid.flat)[len(drawn) :]:
        axes.set_axis_off()
    for axes in grid[:, 0]:
        axes.set_ylabel("observed")
    for at, axes in enumerate(list(grid.flat)[: len(drawn)]):
        if at + columns >= len(drawn):
            axes.set_xlabel("bound")
    bar = ScalarMappable(norm, SHADES[Verdict.HOLDS])
    figure.colorbar(bar, ax=list(grid.flat), pad=0.01, aspect=40, shrink=0.9, label="rows in a hexagon")
    style.legend_below(figure, _key(drawn), columns=4 if columns > 2 else 2)
    return figure


def _title(found: Sequence[Group]) -> tuple[str, str]:
    outcomes = [outcome for group in found for outcome in group.outcomes]
    decided = sum(outcome.decided for outcome in outcomes)
    beyond = [o for o in outcomes if o.counts[Verdict.VIOLATED]]
    count = sum(o.counts[Verdict.VIOLATED] for o in beyond)
    theorems = style.counted(sum(bool(o.decided) for o in outcomes), "theorem")
    said = f"{style.counted(decided, 'decided verdict')} of {theorems}"
    claim = f"No decided row lies beyond its bound: {said}"
    if beyond:
        names = shorten(", ".join(o.theorem.key for o in beyond), 120, placeholder=", ...")
        claim = f"BEYOND THE BOUND: {count:,} VIOLATED ({names}) among {said}"
    if not decided:
        claim = "No row decides a theorem"
    still = [
        f"{o.theorem.key} ({o.rows - o.counts[Verdict.VACUOUS]:,})"
        for group in found
        if not group.spread
        for o in group.outcomes
        if o.rows > o.counts[Verdict.VACUOUS]
    ]
    note = "every row that is not VACUOUS; per cent: rows on which the bound says more than the trivial one"
    if still:
        note += f"; not drawn, all at one place: {', '.join(still)}"
    infinite = sum(o.rows - o.counts[Verdict.VACUOUS] for o in outcomes) - sum(g.rows for g in found)
    return claim, note + (f"; not drawn, UNKNOWN without a finite value: {infinite:,} rows" if infinite else "")


class _Scale:
    """Where values stand in a panel: as they are, or by powers of ten where they span more than two of them.

    Bounds that say less than every trivial one share the edge, and so does what lies `DECADES` below the largest.
    """

    def __init__(self, group: Group) -> None:
        values = group.values
        positive = values[values > 0]
        self.log = bool((values >= 0).all() and positive.size and values.max() > 100 * np.quantile(positive, 0.05))
        self.least, self.most = self._limits(group)
        if self.log:
            self.least = max(positive.min(), values.max() * 10.0**-DECADES)
        self.cut = bool((values < self.least).any()), bool((values > self.most).any())
        low, high = (float(v) for v in (self.place(values).min(), self.place(values).max()))
        room = 0.05 * (high - low)
        self.ends = (low - room, high + room)

    @staticmethod
    def _limits(group: Group) -> tuple[float, float]:
        """Between which a bound may say something, with room; infinite on the side of the theorem."""
        if len(group.trivial) == 0 or group.relation is Relation.EQUAL:
            return -np.inf, np.inf
        observed = np.concatenate([points.observed for points in group.points.values()])
        low, high = float(min(*group.trivial, observed.min())), float(max(*group.trivial, observed.max()))
        room = 0.25 * (high - low)
        return (low - room, np.inf) if group.relation is Relation.AT_LEAST else (-np.inf, high + room)

    def place(self, values: np.ndarray) -> np.ndarray:
        kept = np.clip(values, self.least, self.most)
        return np.log10(kept) if self.log else kept

    def dress(self, axes: Axes) -> None:
        """Ticks, the same on both axes; what shares an edge is named there."""
        low, high = self.ends
        if self.log:
            every = max(1, round((high - low) / 4))
            marks = [(t, f"$10^{{{t}}}$") for t in range(int(np.ceil(low)), int(high) + 1) if t % every == 0]
        else:
            marks = [(float(t), f"{t:.10g}") for t in MaxNLocator(4).tick_values(low, high) if low <= t <= high]
        edges = [
            (float(self.place(np.array([end]))[0]), word) for end, word in ((self.least, "less"), (self.most, "more"))
        ]
        for (place, word), there in zip(edges, self.cut):
            if there:
                marks = [mark for mark in marks if abs(mark[0] - place) > 0.16 * (high - low)] + [(place, word)]
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_ticks([place for place, _ in marks], [name for _, name in marks])
        axes.set(xlim=self.ends, ylim=self.ends)
        axes.set_box_aspect(1)


def _panel(axes: Axes, group: Group, norm: LogNorm) -> None:
    scale = _Scale(group)
    low, high = scale.ends
    corners = {Relation.AT_MOST: (low, high), Relation.AT_LEAST: (high, low)}
    if group.relation in corners:
        axes.add_patch(Polygon([(low, low), (high, high), corners[group.relation]], fc=style.PALE, lw=0, zorder=0))
    axes.plot([low, high], [low, high], color=style.BLACK, lw=0.8, zorder=2)
    for verdict, shades in SHADES.items():
        _hexagons(axes, group.points[verdict], scale, norm, shades, verdict)
    wrong = group.points[Verdict.VIOLATED]
    if wrong.rows.size:
        place = scale.place(wrong.bound), scale.place(wrong.observed)
        cross = axes.scatter(*place, marker="X", color=style.RED, s=34, lw=0.4, ec="white", zorder=6, clip_on=False)
        cross.set_gid(Verdict.VIOLATED.name)
    _trivial(axes, group, scale)
    scale.dress(axes)
    axes.set_title(group.title, fontsize=6.5)
    below = group.relation is Relation.AT_LEAST
    axes.text(
        0.98 if below else 0.02,
        0.02 if below else 0.98,
        "\n".join(_said(outcome) for outcome in group.outcomes),
        transform=axes.transAxes,
        ha="right" if below else "left",
        va="bottom" if below else "top",
        fontsize=5,
        color=style.GREY,
        zorder=5,
    )


def _said(outcome: Checked) -> str:
    name = outcome.theorem.key.replace("_", " ")
    return name if outcome.says_more is None else f"{name} {share(outcome.says_more, outcome.rows)}"


def _hexagons(axes: Axes, points: Points, scale: _Scale, norm: LogNorm, shades: ListedColormap, verdict: Verdict):
    if not points.rows.size:
        return
    drawn: PolyCollection = axes.hexbin(
        scale.place(points.bound),
        scale.place(points.observed),
        C=points.rows.astype(float),
        reduce_C_function=np.sum,
        gridsize=(HEXAGONS, round(HEXAGONS / np.sqrt(3))),
        extent=(*scale.ends, *scale.ends),
        norm=norm,
        cmap=shades,
        lw=0.15,
        ec="face",
        zorder=4 if verdict is Verdict.UNKNOWN else 3,
    )
    drawn.set_gid(verdict.name)


def _trivial(axes: Axes, group: Group, scale: _Scale) -> None:
    """The range of the rows' trivial bounds; of an equality they are no line of the panel."""
    if not group.trivial or group.relation is Relation.EQUAL:
        return
    low, high = (float(scale.place(np.array([end]))[0]) for end in (min(group.trivial), max(group.trivial)))
    axes.axvspan(low, high, color=style.GREEN, alpha=0.12, lw=0, zorder=1)
    for place in {low, high}:
        axes.axvline(place, color=style.GREEN, lw=0.9, ls=(0, (4, 2)), zorder=2)


def _key(drawn: Sequence[Group]) -> list:
    handles: list = [
        Patch(fc=SHADES[Verdict.HOLDS](0.6), label="HOLDS"),
        Patch(fc=SHADES[Verdict.UNKNOWN](0.6), label="UNKNOWN: undecided, on either side"),
        Line2D([], [], ls="", marker="X", color=style.RED, mec="white", ms=6, label="VIOLATED"),
        Line2D([], [], color=style.BLACK, lw=0.8, label="attained"),
        Patch(fc=style.PALE, label="beyond the bound"),
    ]
    if any(group.trivial for group in drawn if group.relation is not Relation.EQUAL):
        look = {"color": style.GREEN, "lw": 0.9, "ls": (0, (4, 2))}
        handles.append(Line2D([], [], label="trivial bounds of the rows", **look))
    return handles
