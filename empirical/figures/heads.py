"""Attention that was not trained here, a checkpoint's say: layer by head, rows of every size beside their bounds."""

from __future__ import annotations

import json
from typing import Any

import matplotlib.colors
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

import bounds
from bounds.concentration.closed_forms import scaled_margin
from bounds.dial.closed_forms import dial_leakage
from empirical.check.report import share
from empirical.figures import style
from empirical.figures.observed import Absent, Observed, average, thinned
from empirical.figures.phase import GUARANTEED, IMPOSSIBLE, OPEN, region_key

KEYS = {"n_keys": "n_keys", "n_block": "n_block"}


def _medians(rows: np.ndarray) -> np.ndarray:
    """(setting, layer, head): the median over queries, NaN without a valid one."""
    some = np.isfinite(rows).any(-1)
    out = np.full(rows.shape[:-1], np.nan)
    out[some] = np.nanmedian(rows[some], -1)
    return out


def by_head(seen: Observed) -> Figure:
    """Median fidelity, effective tokens e^H and margin of every head: at the first setting, and at the last one that
    has a valid row, in the same colours.
    """
    seen.need("fidelity", "entropy_nats", "margin")
    fidelity = _medians(seen.row("fidelity"))
    panels: list[tuple[str, np.ndarray, Any]] = [
        ("pointer fidelity", fidelity, {"vmin": 0, "vmax": 1}),
        ("effective tokens $e^H$", np.exp(_medians(seen.row("entropy_nats"))), {"vmin": 1}),
        ("margin (logits)", _medians(np.where(np.isinf(seen.row("margin")), np.nan, seen.row("margin"))), {}),
    ]
    _, layers, heads = fidelity.shape
    there = np.flatnonzero(np.isfinite(fidelity).any((1, 2)))
    shown = sorted({int(there[0]), int(there[-1])})
    first = fidelity[shown[0]]
    best = np.unravel_index(np.nanargmax(first), first.shape)
    figure = style.sheet(
        7.2,
        max(1.4, 0.3 * layers + 0.9) * len(shown) + 0.7,
        f"The most local head is {seen.number('head', best[1])} of layer {seen.number('layer', best[0])}: median "
        f"fidelity {first[best]:.2f}; all heads: {np.nanmin(first):.2f} to {np.nanmax(first):.2f}",
        f"medians over those of {style.counted(seen.valid.shape[-1], 'query')} that see their "
        "block and something outside",
    )
    grid = figure.subplots(len(shown), len(panels), squeeze=False)
    for setting, line in zip(shown, grid):
        for axes, (words, values, ends) in zip(line, panels):
            scale = {"vmin": np.nanmin(values[shown]), "vmax": np.nanmax(values[shown]), **ends}
            image = axes.imshow(values[setting], cmap=style.ORDERED, aspect="auto", **scale)
            figure.colorbar(image, ax=axes, pad=0.02, aspect=18)
            axes.set_title(words if len(shown) == 1 else f"{words}, {style.plain(seen.start[setting])}")
            axes.set_xticks(_few(heads), [str(seen.number("head", at)) for at in _few(heads)])
            axes.set_yticks(_few(layers), [str(seen.number("layer", at)) for at in _few(layers)])
            axes.set_xlabel("head")
        line[0].set_ylabel("layer")
    return figure


def _few(count: int) -> range:
    return range(0, count, max(1, -(-count // 8)))


def _colours(seen: Observed, few: np.ndarray) -> tuple[list[str], list[Line2D]]:
    """A colour a setting, and their legend."""
    setting = np.unravel_index(few, seen.valid.shape)[0]
    names = [style.plain(name) for name in seen.start.tolist()]
    shades = style.ORDERED(np.linspace(0, 1, max(2, len(names))))
    palette = [style.BLUE, style.ORANGE] if len(names) <= 2 else [matplotlib.colors.to_hex(shade) for shade in shades]
    handles = [Line2D([], [], ls="", marker="o", color=palette[at], label=name) for at, name in enumerate(names)]
    return [palette[at] for at in setting], handles


def along_the_dial(seen: Observed) -> Figure:
    """Loss against the dial, where there is one, and mean fidelity by layer beside what the rows at dial 0 predict."""
    dials = json.loads(seen.dataset.attrs.get("dials", "[]"))
    if len(dials) < 3:
        raise Absent("fewer than two dials were asked for")
    seen.need("fidelity", "leakage")
    fidelity, leakage, valid = seen.row("fidelity"), seen.row("leakage"), seen.valid[0]
    order = np.argsort(dials).tolist()
    x = style.dial_places(np.array(dials)[order])
    loss = seen.values("loss_heldout").astype(float)[order] if seen.has("loss_heldout") else np.array([np.nan])
    told = bool(np.isfinite(loss).all())
    first, last = average(fidelity[order[0]]), _seen(fidelity, valid, order[-1])
    claim = f"mean fidelity goes from {first:.2f} to {last:.2f}"
    if told:
        claim += f", loss from {loss[0]:.3f} to {loss[-1]:.3f} nats a token"
    figure = style.sheet(
        7.2 if told else 4.6,
        3.3,
        f"From dial 0 to {max(dials):g} {claim}",
        "every layer dialled alike, nothing retrained; markers: observed; lines: predicted from the rows at dial 0"
        + (", exact in layer 0" if seen.number("layer", 0) == 0 else ""),
    )
    *before, right = figure.subplots(1, 2 if told else 1, squeeze=False)[0]
    for axes in before:
        axes.plot(x, loss, "o", color=style.BLACK)
        axes.set_ylabel("loss (nats a token)")
        style.loss_axis(axes, loss)
    layers = fidelity.shape[1]
    curve = style.dials_between(x.min(), x.max())
    for layer in range(layers):
        colour = style.ORDERED(layer / max(1, layers - 1))
        left_of = [1 - dial_leakage(leakage[0, layer], fidelity[0, layer], dial) for dial in curve]
        predicted = [average(values[valid[layer]]) for values in left_of]
        label = f"layer {seen.number('layer', layer)}"
        marker = "os^D"[layer % 4]
        right.plot(style.dial_places(curve), predicted, color=colour)
        right.plot([], [], f"-{marker}", color=colour, mec="white", label=label)
        mean = [_seen(fidelity[:, [layer]], valid[[layer]], at) for at in order]
        right.plot(x, mean, marker, color=colour, mec="white", ms=6 - layer % 4)
    right.set_ylabel("mean pointer fidelity")
    if layers <= 8:
        right.legend()
    for axes in (*before, right):
        style.dress_dials(axes)
    return figure


def _seen(fidelity: np.ndarray, valid: np.ndarray, at: int) -> float:
    """Mean over the rows that are valid at dial 0: at dial 1 a row sees nothing outside, and has fidelity 1."""
    return average(np.where(np.isnan(fidelity[at]), 1.0, fidelity[at])[valid])


def under_the_frontier(seen: Observed) -> Figure:
    """Each row's entropy against the most that its own sizes, margin and leakage allow: on the line it is attained."""
    seen.need("leakage", "entropy_nats", "margin", "temperature", "n_keys", "n_block", "n_anchors")
    entropy = seen.row("entropy_nats")
    scaled = {"leakage": "leakage", "margin": "margin", "n_anchors": "n_anchors", "temperature": "temperature", **KEYS}
    most = seen.bound(bounds.frontier, **scaled)
    known = np.isfinite(entropy) & np.isfinite(most)
    if not known.any():
        raise Absent("no row has a finite frontier")
    few = thinned(known)
    over = int((entropy[known] > most[known] * (1 + 1e-9) + 1e-9).sum())
    part = average((entropy / most)[known])
    figure = style.sheet(
        5.2,
        4.6,
        f"{'No row lies' if over == 0 else f'{over} ROWS LIE'} above its frontier; entropy is {part:.2f} of it "
        "on average",
        f"{few.size:,} of {int(known.sum()):,} rows, each at the frontier of its own n, m, r, margin and leakage",
    )
    axes = figure.subplots()
    colours, handles = _colours(seen, few)
    axes.scatter(most.flat[few], entropy.flat[few], c=colours, s=3, lw=0, alpha=0.5, rasterized=True)
    end = float(np.nanmax(most[known]))
    axes.plot([0, end], [0, end], color=style.BLACK, lw=0.9)
    axes.set(
        xlabel="frontier of the row (nats)",
        ylabel="attention entropy (nats)",
        xlim=(0, end * 1.02),
        ylim=(0, end * 1.02),
    )
    style.legend_below(figure, [*handles, Line2D([], [], color=style.BLACK, lw=0.9, label="attained")])
    return figure


def regions(seen: Observed) -> Figure:
    """Rows of every size in one plane: how far margin and range are from what the target fidelity needs."""
    seen.need("margin", "logit_range", "temperature", "n_keys", "n_block", "n_anchors")
    target = seen.target
    n, m, r, tau = (seen.row(name) for name in ("n_keys", "n_block", "n_anchors", "temperature"))
    with np.errstate(invalid="ignore", divide="ignore"):
        x = seen.row("margin") / tau - scaled_margin(target, 1 - target, n, m, r)
        span = seen.row("logit_range") / tau - np.maximum(scaled_margin(target, 1 - target, n, m, m), 0.0)
    known = np.isfinite(x) & np.isfinite(span)
    if not known.any():
        raise Absent("no row has a finite margin and range")
    few = thinned(known)
    sure, out = (share(int(mask.sum()), int(known.sum())) for mask in (x[known] >= 0, span[known] < 0))
    figure = style.sheet(
        5.8,
        4.9,
        f"Margins guarantee {seen.target_words} in {sure} of rows, ranges exclude it in {out}; the others are open",
        f"{few.size:,} of {int(known.sum()):,} rows; what is needed is that of each row's own n, m and r",
    )
    axes = figure.subplots()
    (left, right), (bottom, top) = ((min(v[known].min(), 0.0), max(v[known].max(), 0.0)) for v in (x, span))
    room = 0.04 * max(right - left, top - bottom, 1.0)
    axes.set(xlim=(left - room, right + room), ylim=(bottom - room, top + room))
    axes.set_facecolor(OPEN)
    axes.axvspan(0, right + room, color=GUARANTEED, zorder=0)
    axes.axhspan(bottom - room, 0, lw=0, zorder=1, **IMPOSSIBLE)
    colours, handles = _colours(seen, few)
    axes.scatter(x.flat[few], span.flat[few], c=colours, s=3, lw=0, alpha=0.5, rasterized=True, zorder=3)
    axes.axvline(0, color=style.BLUE, lw=0.9)
    axes.axhline(0, color=style.BLACK, lw=0.9)
    axes.set_xlabel("margin / temperature beyond what guarantees the target (nats)")
    axes.set_ylabel("range / temperature beyond what\nit takes at least (nats)")
    style.legend_below(figure, [*handles, *region_key()], columns=3)
    return figure
