"""The plane of margin and range, and the frontier of leakage and entropy, with the observed rows on both."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Polygon

import bounds
from empirical.check.report import share
from empirical.figures import style
from empirical.figures.observed import Absent, Observed, middle, thinned
from empirical.figures.penalty_axis import extends, penalty_norm

GUARANTEED, OPEN = "#cde6f5", "#fdf3cf"
IMPOSSIBLE: dict[str, Any] = {"fc": "white", "ec": "#8a8a8a", "hatch": "////"}
PANELS = 4  # of the frontier, each with as many rows


def phase_diagram(seen: Observed) -> Figure:
    """Where margin and range guarantee the target fidelity, exclude it or leave it open; rows and medians of heads."""
    seen.need("penalty", "margin", "logit_range", "temperature", "n_keys", "n_block", "n_anchors")
    (n, m, r), same = seen.typical
    x = np.where(same, seen.row("margin") / seen.row("temperature"), np.nan)
    span = np.where(same, seen.row("logit_range") / seen.row("temperature"), np.nan)
    known = np.isfinite(x) & np.isfinite(span)
    if not known.any():
        raise Absent("no row of the typical size has a finite margin and range")
    sizes = (n, m)
    needed = _edge(lambda d: bounds.fidelity_ceiling(d, *sizes) >= seen.target)
    assured = _edge(lambda d: bounds.fidelity_floor(d, *sizes, r) >= seen.target)
    low, right = (float(v) for v in (x[known].min(), max(x[known].max(), assured)))
    high = 1.05 * max(float(span[known].max()), needed, assured)
    low, right = min(low, 0.0) - 0.05 * (right - low), right + 0.05 * (right - low)
    grid_x, grid_d = np.meshgrid(np.linspace(low, right, 481), np.linspace(0, high, 481))
    floor = bounds.fidelity_floor(np.clip(grid_x, -grid_d, grid_d), *sizes, r, logit_range=grid_d)
    ceiling = bounds.fidelity_ceiling(grid_d, *sizes)
    figure = style.sheet(5.8, 5.0, *_title(seen, x[known], span[known], (n, m, r)))
    axes = figure.subplots()
    axes.set_facecolor(OPEN)
    axes.contourf(grid_x, grid_d, floor, levels=[seen.target, 2], colors=[GUARANTEED])
    axes.contourf(grid_x, grid_d, ceiling, levels=[-1, seen.target], colors=[IMPOSSIBLE["fc"]], hatches=["////"])
    axes.contour(grid_x, grid_d, floor, levels=[seen.target], colors=[style.BLUE], linewidths=0.9)
    axes.contour(grid_x, grid_d, ceiling, levels=[seen.target], colors=[style.BLACK], linewidths=0.9)
    end = max(right, high)
    axes.add_patch(Polygon([(0, 0), (end, end), (end, 0)], fc="white", ec="none", zorder=2))
    axes.plot([0, end], [0, end], color=style.GREY, lw=0.8, zorder=3)
    norm = penalty_norm(seen.penalty)
    _scatter(axes, seen, x, span, known, norm)
    axes.set(xlim=(low, right), ylim=(0, high))
    axes.set_xlabel("margin / temperature, $x = \\delta/\\tau$ (nats)")
    axes.set_ylabel("range / temperature, $D$ (nats)")
    bar = {"pad": 0.01, "aspect": 35, "extend": extends(seen.penalty, norm)}
    figure.colorbar(ScalarMappable(norm, style.ORDERED), ax=axes, label=seen.penalty_label, **bar)
    handles = [
        *region_key(),
        Line2D([], [], color=style.GREY, lw=0.8, label="$x = D$, the largest margin"),
        *style.start_key(seen.starts, grey=True),
    ]
    style.legend_below(figure, handles, columns=3)
    return figure


def region_key() -> list[Patch]:
    """The legend of what a margin guarantees, what a range excludes, and what lies between."""
    return [
        Patch(fc=GUARANTEED, ec=style.BLUE, label="guaranteed by the margin"),
        Patch(fc=OPEN, ec=style.BLACK, lw=0.5, label="open"),
        Patch(label="impossible: the range is too small", **IMPOSSIBLE),
    ]


def _scatter(axes, seen: Observed, x: np.ndarray, y: np.ndarray, known: np.ndarray, norm: Normalize) -> None:
    """Rows as a rasterised cloud, medians of each setting and head as markers in the shape of their start."""
    colour = np.broadcast_to(seen.penalty[:, None, None, None], x.shape)
    few = thinned(known)
    look: dict[str, Any] = {"norm": norm, "cmap": style.ORDERED, "s": 1.2, "lw": 0, "alpha": 0.35, "zorder": 4}
    axes.scatter(x.flat[few], y.flat[few], c=colour.flat[few], rasterized=True, **look)
    settings, layers, heads, _ = x.shape
    centre_x = middle(np.where(known, x, np.nan).reshape(settings * layers * heads, -1))
    centre_y = middle(np.where(known, y, np.nan).reshape(settings * layers * heads, -1))
    owner = np.repeat(np.arange(settings), layers * heads)
    style.scatter_starts(
        axes, seen.start[owner], centre_x, centre_y, seen.penalty[owner], norm=norm, s=22, lw=0.6, zorder=5
    )


def frontier(seen: Observed) -> Figure:
    """Leakage across, entropy up, a panel a range of margins: rows lie below the frontier of their own margin."""
    seen.need("penalty", "leakage", "entropy_nats", "margin", "temperature", "n_keys", "n_block", "n_anchors")
    (n, m, r), same = seen.typical
    leakage, entropy = seen.row("leakage"), seen.row("entropy_nats")
    x = seen.row("margin") / seen.row("temperature")
    known = same & np.isfinite(leakage) & np.isfinite(entropy) & np.isfinite(x)
    if not known.any():
        raise Absent("no row of the typical size has a finite leakage, entropy and margin")
    above = _above(leakage[known], entropy[known], x[known], n, m, r)
    verdict = "No row lies" if above == 0 else f"{above} ROWS LIE"
    edges = np.unique(np.quantile(x[known], np.linspace(0, 1, PANELS + 1)))
    edges = edges if edges.size > 1 else np.repeat(edges, 2)
    few = thinned(known)
    shown = f"{few.size:,} of {int(known.sum()):,} rows of n = {n}, m = {m}, r = {r}; {int(seen.valid.sum()):,} in all"
    panels = edges.size - 1
    figure = style.sheet(
        7.2, 1.4 + 2.3 * -(-panels // 2), f"{verdict} above the frontier of its own margin", f"{shown}; split by margin"
    )
    grid = figure.subplots(-(-panels // 2), 2, squeeze=False, sharey=True)
    order = np.digitize(x.flat[few], edges[1:-1])
    for at, axes in enumerate(grid.flat):
        if at >= panels:
            axes.set_axis_off()
            continue
        mine = few[order == at]
        _margins(axes, (float(edges[at]), float(edges[at + 1])), (n, m, r))
        axes.scatter(leakage.flat[mine], entropy.flat[mine], c=style.BLUE, s=2.5, lw=0, alpha=0.5, rasterized=True)
        reach = min(1.0, 1.12 * float(leakage[known & (x >= edges[at]) & (x <= edges[at + 1])].max()))
        axes.set_xlim(-0.02 * reach, reach)
        axes.set_title(f"margin / temperature {edges[at]:.3g} to {edges[at + 1]:.3g}")
    lowest = min(0.0, float(entropy[known].min()))
    grid[0, 0].set_ylim(lowest - 0.05, 1.04 * np.log(n))
    for axes in grid[-1]:
        axes.set_xlabel("leakage $\\varepsilon$ (mass outside the block)")
    for axes in grid[:, 0]:
        axes.set_ylabel("attention entropy $H$ (nats)")
    handles = [
        Line2D([], [], color=style.BLACK, lw=1.0, label="entropy split: any margin"),
        Patch(fc=GUARANTEED, ec=style.BLUE, label="frontiers of the margins in the panel"),
        Line2D([], [], ls="", marker="o", ms=3, color=style.BLUE, label="rows"),
    ]
    style.legend_below(figure, handles, columns=3)
    return figure


def _margins(axes: Axes, margins: tuple[float, float], sizes: tuple[int, int, int]) -> None:
    """The split, and below it the band of the frontiers from the least to the largest margin, each to its own end."""
    n, m, r = sizes
    eps = np.linspace(0, 1, 1001)
    axes.plot(eps, bounds.entropy_split(eps, n, m), color=style.BLACK, lw=1.0, zorder=2)
    part = np.linspace(0, 1, 401)
    curves = []
    for margin in margins:
        largest = bounds.leakage_ceiling(margin, n, m, r)
        curves.append((largest * part, bounds.frontier(largest * part, margin, n, m, r)))
    (wide, upper), (narrow, lower) = curves
    between = np.linspace(*margins, 41)
    ends = bounds.leakage_ceiling(between, n, m, r)
    outline = (
        np.concatenate([wide, ends, narrow[::-1]]),
        np.concatenate([upper, bounds.frontier(ends, between, n, m, r), lower[::-1]]),
    )
    axes.fill(*outline, fc=GUARANTEED, lw=0, zorder=1)
    for leakage, curve in curves:
        axes.plot(leakage, curve, color=style.BLUE, lw=0.8, zorder=3)


def _title(seen: Observed, x: np.ndarray, span: np.ndarray, sizes: tuple[int, int, int]) -> tuple[str, str]:
    """What the plane shows: the shares of rows in each region."""
    n, m, r = sizes
    sure = bounds.fidelity_floor(x, n, m, r, logit_range=np.maximum(span, np.abs(x))) >= seen.target
    out = bounds.fidelity_ceiling(span, n, m) < seen.target
    shares = [share(int(mask.sum()), mask.size) for mask in (sure, out)]
    return (
        f"Margin and range guarantee {seen.target_words} in {shares[0]} of rows and exclude it in {shares[1]}; "
        "the others are open",
        f"{x.size:,} rows of n = {n}, m = {m}, r = {r}; large markers: medians of a setting and head",
    )


def _above(leakage: np.ndarray, entropy: np.ndarray, x: np.ndarray, n: int, m: int, r: int) -> int:
    """How many rows exceed their frontier by more than rounding: 1e-9 of an entropy of a few nats."""
    largest = bounds.leakage_ceiling(x, n_keys=n, n_block=m, n_anchors=r)
    limit = bounds.frontier(np.minimum(leakage, largest), x, n_keys=n, n_block=m, n_anchors=r)
    return int((entropy > limit + 1e-9 * np.log(n)).sum())


def _edge(reached) -> float:
    """The least point of a 0.05 grid up to 60 nats at which a monotone condition holds."""
    grid = np.arange(0, 60, 0.05)
    good = np.flatnonzero(reached(grid))
    return float(grid[good[0]]) if good.size else 0.0
