"""Ranges of logits by head: what weights allow, what an attack on layer inputs finds, what was observed of rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bounds.logit_range import HARD_MASK
from empirical.checkpoints.weights import Head, outside
from empirical.figures import style

LOOKS = (  # field: marker, colour, words
    ("logit_range", "_", style.RED, "certified from weights"),
    ("attacked", "^", style.BLUE, "found by an attack on layer inputs"),
    ("observed", "o", style.GREEN, "widest observed row"),
)


def ranges(heads: Sequence[Head]) -> Figure:
    """One column a head, layers side by side; the line is where the guaranteed dial is a hard mask in float32."""
    values = {name: np.array([np.nan if (v := getattr(h, name)) is None else v for h in heads]) for name, *_ in LOOKS}
    spare = float(np.median([h.kappa - h.logit_range for h in heads]))
    masks = sum(h.hard_mask_only for h in heads)
    beyond = len(outside(heads))
    wide = f"{style.counted(beyond, 'head')} SPAN MORE THAN WEIGHTS ALLOW"
    words = wide if beyond else "No row spans more than weights allow"
    figure = style.sheet(
        float(np.clip(2.5 + 0.1 * len(heads), 4.5, 12.0)),
        3.2,
        f"{words}; {masks} of {len(heads)} heads: hard mask only",
        "Range of a row's logits in nats. Above the dashed line the dial that is guaranteed whatever the text is zero "
        "in float32.",
    )
    axes = figure.subplots()
    place = np.arange(len(heads))
    for name, marker, colour, _ in LOOKS:
        shown = values[name] > 0
        look = {"s": 34, "lw": 1.6} if marker == "_" else {"s": 12, "lw": 0.4}
        axes.scatter(place[shown], values[name][shown], marker=marker, color=colour, zorder=3, **look)
    axes.axhline(HARD_MASK - spare, color=style.GREY, ls="--", lw=0.8)
    starts = [0] + [i for i in range(1, len(heads)) if (heads[i].kind, heads[i].layer) != _site(heads[i - 1])]
    for i in starts[1:]:
        axes.axvline(i - 0.5, color=style.PALE, lw=0.6, zorder=0)
    every = max(1, len(starts) // 24)
    middles = [(a + b - 1) / 2 for a, b in zip(starts, [*starts[1:], len(heads)])]
    several = len({h.kind for h in heads}) > 1
    names = [f"{heads[i].kind} {heads[i].layer}" if several else f"{heads[i].layer}" for i in starts]
    axes.set_xticks(middles[::every], names[::every])
    axes.set(yscale="log", xlabel="layer, its heads from left to right", ylabel="range of logits (nats)")
    axes.set_xlim(-0.7, len(heads) - 0.3)
    shown = [look for look in LOOKS if np.isfinite(values[look[0]]).any()]
    keys = [
        Line2D([], [], ls="", marker=m, color=c, label=words, mew=1.6 if m == "_" else 0.4) for _, m, c, words in shown
    ]
    keys.append(Line2D([], [], ls="--", color=style.GREY, lw=0.8, label="hard mask only above"))
    style.legend_below(figure, keys, columns=2)
    return figure


def _site(head: Head) -> tuple[str, int]:
    return head.kind, head.layer
