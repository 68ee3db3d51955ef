"""The plane of margin and range, and the frontier of leakage and entropy, with the observed rows on both."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Polygon

import bounds
from empirical.figures import style
from empirical.figures.observed import Absent, Observed, middle, thinned

GUARANTEED = "#cde6f5"


def phase_diagram(seen: Observed) -> Figure:
    """Impossible, open, guaranteed for the target fidelity at the typical (n, m, r); rows and medians of every head."""
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
    low, right = np.percentile(x[known], [0.5, 99.5])  # a few far rows shall not shrink the rest
    high = 1.1 * max(float(np.percentile(span[known], 99.5)), needed, assured)
    low = min(float(low), -0.15 * high) - 0.03 * high
    right = max(float(right), assured) + 0.12 * (assured - low)
    grid_x, grid_d = np.meshgrid(np.linspace(low, right, 481), np.linspace(0, high, 481))
    beyond = int((known & ((x < low) | (x > right) | (span > high))).sum())
    floor = bounds.fidelity_floor(np.clip(grid_x, -grid_d, grid_d), *sizes, r, logit_range=grid_d)
    ceiling = bounds.fidelity_ceiling(grid_d, *sizes)
    figure = style.sheet(5.4, 4.8, *_title(seen, known, (n, m, r), beyond))
    axes = figure.subplots()
    axes.contourf(grid_x, grid_d, floor, levels=[seen.target, 2], colors=[GUARANTEED])
    axes.contourf(grid_x, grid_d, ceiling, levels=[-1, seen.target], colors=["#ffffff"], hatches=["////"])
    axes.contour(grid_x, grid_d, floor, levels=[seen.target], colors=[style.BLUE], linewidths=0.9)
    axes.contour(grid_x, grid_d, ceiling, levels=[seen.target], colors=[style.BLACK], linewidths=0.9)
    end = max(right, high)
    axes.add_patch(Polygon([(0, 0), (end, end), (end, 0)], fc="white", ec="none", zorder=2))
    axes.plot([0, end], [0, end], color=style.GREY, lw=0.8, zorder=3)
    norm = style.penalty_norm(seen.penalty)
    _scatter(axes, seen, x, span, known, norm)
    axes.set(xlim=(low, right), ylim=(0, high))
    axes.set_xlabel("margin / temperature, $x = \\delta/\\tau$ (nats)")
    axes.set_ylabel("range / temperature, $D$ (nats)")
    figure.colorbar(ScalarMappable(norm, style.ORDERED), ax=axes, label=seen.penalty_label, pad=0.01, aspect=35)
    handles = [
        Patch(fc=GUARANTEED, ec=style.BLUE, label="guaranteed"),
        Patch(fc="white", ec=style.BLACK, lw=0.5, label="open"),
        Patch(fc="white", ec="#8a8a8a", hatch="////", label="impossible"),
        Line2D([], [], color=style.GREY, lw=0.8, label="$x = D$, the largest margin"),
        *style.start_key(seen.starts, grey=True),
    ]
    style.legend_below(figure, handles, columns=3)
    return figure


def _scatter(axes, seen: Observed, x: np.ndarray, y: np.ndarray, known: np.ndarray, norm: Normalize) -> None:
    """Rows as a rasterised cloud, medians of each setting and head as markers in the shape of their start."""
    colour = np.broadcast_to(seen.penalty[:, None, None, None], x.shape)
    few = thinned(known)
    axes.scatter(
        x.flat[few],
        y.flat[few],
        c=colour.flat[few],
        norm=norm,
        cmap=style.ORDERED,
        s=1.2,
        lw=0,
        alpha=0.35,
        zorder=4,
        rasterized=True,
    )
    settings, layers, heads, _ = x.shape
    centre_x = middle(np.where(known, x, np.nan).reshape(settings * layers * heads, -1))
    centre_y = middle(np.where(known, y, np.nan).reshape(settings * layers * heads, -1))
    owner = np.repeat(np.arange(settings), layers * heads)
    look = {"norm": norm, "s": 22, "lw": 0.6, "zorder": 5}
    style.scatter_starts(axes, seen.start[owner], centre_x, centre_y, seen.penalty[owner], **look)


def frontier(seen: Observed) -> Figure:
    """Rows of the typical size under the frontier of their own colour, the margin; floors of the largest range."""
    seen.need(
        "penalty", "leakage", "entropy_nats", "margin", "logit_range", "temperature", "n_keys", "n_block", "n_anchors"
    )
    (n, m, r), same = seen.typical
    sizes = (n, m)
    leakage, entropy = seen.row("leakage"), seen.row("entropy_nats")
    x, span = seen.row("margin") / seen.row("temperature"), seen.row("logit_range") / seen.row("temperature")
    known = same & np.isfinite(leakage) & np.isfinite(entropy) & np.isfinite(x)
    if not known.any():
        raise Absent("no row of the typical size has a finite leakage, entropy and margin")
    few = thinned(known)
    norm = Normalize(*np.percentile(x[known], [1, 99]))
    above = _above(leakage[known], entropy[known], x[known], n, m, r)
    verdict = "No row lies" if above == 0 else f"{above} ROWS LIE"
    shown = f"{few.size:,} of {int(known.sum()):,} rows of n = {n}, m = {m}, r = {r}; {int(seen.valid.sum()):,} in all"
    figure = style.sheet(6.0, 4.9, f"{verdict} above the frontier of its own margin", shown)
    axes = figure.subplots()
    axes.scatter(
        leakage.flat[few],
        entropy.flat[few],
        c=x.flat[few],
        norm=norm,
        cmap=style.ORDERED,
        s=2.5,
        lw=0,
        alpha=0.6,
        rasterized=True,
    )
    reach = min(1.0, 1.12 * float(leakage[known].max()))
    eps = np.linspace(0, 1, 2001)
    axes.plot(eps, bounds.entropy_split(eps, *sizes), color=style.BLACK, lw=1.0)
    colours = ScalarMappable(norm, style.ORDERED)
    handles = [
        Line2D([], [], color=style.BLACK, lw=1.0, label="entropy split: any margin"),
        *_frontiers(axes, x[known], colours, r, sizes),
    ]
    widest = float(np.nanmax(np.where(known, span, np.nan)))
    lowest = bounds.entropy_floor(widest, n_keys=n)
    handles.append(_floors(axes, widest, lowest, 1 - bounds.fidelity_ceiling(widest, *sizes)))
    axes.set(xlim=(-0.02 * reach, reach), ylim=(min(0, lowest) - 0.05, 1.04 * np.log(n)))
    axes.set_xlabel("leakage $\\varepsilon$ (attention mass outside the block)")
    axes.set_ylabel("attention entropy $H$ (nats)")
    figure.colorbar(colours, ax=axes, label="margin / temperature, $x$ (nats)", pad=0.01, aspect=35, extend="both")
    style.legend_below(figure, handles, columns=3)
    return figure


def _frontiers(
    axes: Axes, margins: np.ndarray, colours: ScalarMappable, r: int, sizes: tuple[int, int]
) -> list[Line2D]:
    """The frontier of some margins, each in its colour, and their legend; one that says no more than the split is not
    drawn.
    """
    dashes = ("-", (0, (6, 2)), (0, (3, 1.5)), (0, (1, 1.2)))
    handles = []
    for margin, dash in zip(np.unique(np.round(np.percentile(margins, [5, 35, 65, 95]), 1) + 0.0), dashes):
        largest = bounds.leakage_ceiling(margin, *sizes, r)
        part = np.linspace(0, largest, 801)
        line = bounds.frontier(part, margin, *sizes, r)
        if np.allclose(line, bounds.entropy_split(part, *sizes), atol=1e-3):
            continue
        colour = tuple(colours.to_rgba(margin))
        axes.plot(part, line, color=colour, lw=1.4, ls=dash)
        axes.plot([largest], [line[-1]], "|", color=colour, ms=7, mew=1.4)
        handles.append(Line2D([], [], color=colour, lw=1.4, ls=dash, label=f"frontier at $x$ = {margin:g}"))
    if handles:
        ends = {"ls": "", "marker": "|", "color": style.GREY, "ms": 7, "mew": 1.4}
        handles.append(Line2D([], [], label="largest leakage at that $x$", **ends))
    return handles


def _floors(axes: Axes, widest: float, entropy: float, leakage: float) -> Line2D:
    """What the largest range cannot reach, and its legend."""
    look = {"color": style.RED, "lw": 0.8, "ls": (0, (5, 1.5, 1, 1.5))}
    axes.axhline(entropy, **look)
    axes.axvline(leakage, **look)
    return Line2D([], [], label=f"floors at the largest $D$, {widest:.1f}", **look)


def _title(seen: Observed, known: np.ndarray, sizes: tuple[int, int, int], beyond: int) -> tuple[str, str]:
    n, m, r = sizes
    fidelity = middle(np.where(known, seen.row("fidelity"), np.nan))
    reached = int((fidelity >= seen.target).sum())
    return (
        f"{reached} of {np.isfinite(fidelity).sum()} settings reach fidelity {seen.target:g} in the median row",
        f"{int(known.sum()):,} rows of n = {n}, m = {m}, r = {r}; {beyond} beyond the axes; "
        "large markers: medians of a setting and head",
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
