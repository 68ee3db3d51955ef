"""Attention of one seed before and after the penalty, queries and keys sorted by block."""

from __future__ import annotations

from itertools import pairwise

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from bounds.penalty.fields import Start
from empirical.figures import style
from empirical.figures.observed import Absent, Observed

PREFERRED = (Start.ZERO, Start.UPWARDS, Start.RANDOM, Start.UNGATED, Start.PLAIN, Start.LOCALISED, Start.DOWNWARDS)
"""Those first that show most of what the penalty changes."""
SHADES = "Blues"
MOST = 4  # heads drawn
STRIP = 0.03  # width of the strips that name the blocks, as a share of the map


def attention_maps(seen: Observed) -> Figure:
    """Attention of queries (down) on keys (across), at the least and largest penalty of a seed; heads side by side."""
    seen.need("attention", "map_query_block", "map_key_block")
    before, after = _pair(seen)
    maps = seen.along("attention", ("setting", "layer", "head", "map_query", "map_key"))
    queries, keys = (seen.values(n).astype(int) for n in ("map_query_block", "map_key_block"))
    anchors = seen.values("map_key_anchor").astype(bool) if seen.has("map_key_anchor") else np.zeros(keys.shape, bool)
    by_query = np.argsort(queries, kind="stable")
    by_key = np.lexsort((np.arange(keys.size), ~anchors, keys))  # anchors lead their block
    heads = _chosen(*maps.shape[1:3])
    columns = len(heads) if len(heads) > 1 else 2
    lines = 2 if len(heads) > 1 else 1
    shown = [(setting, head) for setting in (before, after) for head in heads]
    top = float(np.nanmax([maps[setting, *head] for setting, head in shown]))
    norm = PowerNorm(0.5, 0, top)
    figure = style.sheet(1.0 + 2.1 * columns, 0.9 + 2.3 * lines, *_title(seen, shown, maps, queries, keys))
    grid = figure.subplots(lines, columns, squeeze=False, gridspec_kw={"wspace": 0.08, "hspace": 0.1})
    for axes, (setting, head) in zip(grid.flat, shown):
        picture = maps[setting, *head][np.ix_(by_query, by_key)]
        _draw(axes, picture, queries[by_query], keys[by_key], anchors[by_key], norm)
    words = [seen.head_words(*head) for head in heads]
    penalties = [f"$\\lambda$ = {_number(seen.penalty[setting])}" for setting in (before, after)]
    tops, sides = (words, penalties) if lines == 2 else (penalties, [words[0]])
    for axes, top_words in zip(grid[0], tops):
        axes.set_title(top_words)
    for axes, side_words in zip(grid[:, 0], sides):
        axes.set_ylabel(f"{side_words}\nquery, sorted by block".strip())
    for axes in grid[-1]:
        axes.set_xlabel("key, sorted by block")
    figure.colorbar(
        ScalarMappable(norm, SHADES),
        ax=list(grid.flat),
        label="attention weight (square-root scale)",
        pad=0.01,
        aspect=35,
    )
    blocks = np.unique(np.concatenate([queries, keys[keys >= 0]]))
    handles: list = [Patch(color=_colour(b), label=style.plain(seen.block_words(b))) for b in blocks]
    if anchors.any():
        handles.append(Line2D([], [], ls="", marker="v", color=style.BLACK, ms=3, label="anchor key"))
    if any((maps[setting, *head] == 0).any() for setting, head in shown):
        handles.append(Patch(fc=style.PALE, label="not visible"))
    style.legend_below(figure, handles, columns=min(len(handles), 3 * columns))
    return figure


def _chosen(layers: int, heads: int) -> list[tuple[int, int]]:
    """All heads, or where they are more than `MOST` the first of each layer, of layers evenly spread from first to
    last."""
    if layers * heads <= MOST:
        return [(layer, head) for layer in range(layers) for head in range(heads)]
    each = max(1, MOST // layers)
    some = np.unique(np.linspace(0, layers - 1, min(layers, MOST)).round().astype(int)).tolist()
    return [(layer, head) for layer in some for head in range(min(each, heads))]


def _pair(seen: Observed) -> tuple[int, int]:
    """Least and largest penalty of the first seed, from the start preferred."""
    for start in sorted(seen.starts, key=PREFERRED.index):
        for begun, _, order in seen.branches():
            if begun == start and seen.penalty[order[0]] < seen.penalty[order[-1]]:
                return int(order[0]), int(order[-1])
    raise Absent("no seed has two penalties from the same start, so there is no before and after")


def _draw(
    axes: Axes, picture: np.ndarray, queries: np.ndarray, keys: np.ndarray, anchors: np.ndarray, norm: PowerNorm
) -> None:
    shades = matplotlib.colormaps[SHADES].with_extremes(bad=style.PALE)
    hidden = ~np.isfinite(picture) | (picture == 0)
    axes.imshow(
        np.ma.masked_array(picture, hidden),
        norm=norm,
        cmap=shades,
        aspect="auto",
        interpolation="nearest",
        rasterized=True,
    )
    height, width = picture.shape
    for place in np.flatnonzero(np.diff(keys)) + 0.5:
        axes.axvline(place, color=style.BLACK, lw=0.4)
    for place in np.flatnonzero(np.diff(queries)) + 0.5:
        axes.axhline(place, color=style.BLACK, lw=0.4)
    edge = -STRIP - 0.01
    across, along = axes.get_xaxis_transform(), axes.get_yaxis_transform()
    for block, first, end in _runs(keys):
        _strip(axes, Rectangle((first - 0.5, edge), end - first, STRIP, fc=_colour(block), transform=across))
    for block, first, end in _runs(queries):
        _strip(axes, Rectangle((edge, first - 0.5), STRIP, end - first, fc=_colour(block), transform=along))
    places = np.flatnonzero(anchors)
    if places.size:
        marks = {"marker": "v", "ls": "", "color": style.BLACK, "ms": 2.2, "mew": 0}
        (line,) = axes.plot(
            places, np.full(places.size, 1.015), transform=axes.get_xaxis_transform(), clip_on=False, **marks
        )
        line.set_in_layout(False)
    axes.set(xticks=[], yticks=[], xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    axes.xaxis.labelpad = axes.yaxis.labelpad = 8
    axes.title.set_y(1.02)


def _strip(axes: Axes, patch: Rectangle) -> None:
    """A patch beside the axes that takes no room in the layout."""
    patch.set_clip_on(False)
    patch.set_in_layout(False)
    axes.add_patch(patch)


def _runs(blocks: np.ndarray):
    """(block, first, end) of every stretch of equal blocks."""
    edges = [0, *(np.flatnonzero(np.diff(blocks)) + 1), blocks.size]
    return [(int(blocks[a]), a, b) for a, b in pairwise(edges)]


def _colour(block: int | np.integer) -> str:
    return style.PALE if block < 0 else style.BLOCKS[block % len(style.BLOCKS)]


def _number(value: float) -> str:
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}$\\times10^{{{int(exponent)}}}$" if abs(int(exponent)) > 2 else f"{value:.3g}"


def _title(
    seen: Observed, shown: list[tuple[int, tuple[int, int]]], maps: np.ndarray, queries: np.ndarray, keys: np.ndarray
) -> tuple[str, str]:
    """The mass in the query's own block on the maps drawn, and which heads those are."""
    own, settings = queries[:, None] == keys[None, :], list(dict.fromkeys(setting for setting, _ in shown))
    inside = {s: [np.nansum(np.where(own, maps[s, *h], 0), axis=-1) for at, h in shown if at == s] for s in settings}
    least, most = (100 * float(np.mean(inside[s])) for s in settings)
    heads, every = len(shown) // 2, maps.shape[1] * maps.shape[2]
    some = f"; {heads} of {every} heads drawn, {style.counted(maps.shape[1], 'layer')} in all" if heads < every else ""
    verb = "gathers in" if most > least else "does not gather in"
    return (
        f"Attention {verb} the query's own block: {least:.0f} % of it at the least penalty, {most:.0f} % at the "
        "largest",
        f"seed {seen.seed[settings[0]]}, {style.plain(seen.start[settings[0]])} start; mean over the queries "
        f"drawn{some}",
    )
