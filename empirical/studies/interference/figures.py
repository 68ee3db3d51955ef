"""The figure of the study of interference: what replaced outside tokens change of a block."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from empirical.figures import style
from empirical.studies.findings import Numbers
from empirical.studies.interference.measure import ANYWHERE


def draw(numbers: Numbers) -> dict[str, Figure]:
    return {"interference": changed_by_outsiders(numbers)}


def changed_by_outsiders(numbers: Numbers) -> Figure:
    """Left, who changes bits; right, how much below dial 1, beside the bound."""
    rows, below = numbers["compared"], numbers["below"]
    first, by_fidelity = rows[0], next(row for row in rows if row["rows_guarded"])
    beyond = sum(row["beyond_bound"] for row in below)
    claim = (
        f"{style.counted(first['perturbed_tokens'], 'outside token')} replaced at dial 1 change "
        f"{first['changed_bits']} bits of a block; with {by_fidelity['case'].replace(' or more', '')} "
        f"{by_fidelity['changed_bits'] / by_fidelity['bits']:.0%} of its bits change; below dial 1 the depth sum holds"
        + (f", but for {style.counted(beyond, 'pair')}" if beyond else "")
    )
    note = (
        f"seed {numbers['seed']}, trained text model; two layers of attention and MLP, read-outs in float64. Bound: "
        "the depth sums of both sequences, own Lipschitz constants; lines join largest values over blocks and sequences"
    )
    figure = style.sheet(7.2, 3.9, claim, note)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.25))
    for at, row in enumerate(reversed(rows)):
        share = row["changed_bits"] / row["bits"]
        left.barh(at, share, 0.62, color=style.RED)
        if row["predicted"] is not None:
            left.plot(row["predicted"], at, "o", color=style.BLUE, mfc="none", ms=6, mew=1.4, clip_on=False, zorder=3)
        left.text(share + 0.015, at, f"{share:.0%}" if row["changed_bits"] else "  0 bits", va="center", size=7)
    left.plot([], [], "o", color=style.BLUE, mfc="none", ms=6, mew=1.4, label="predicted: 0 bits")
    left.barh(0, 0, color=style.RED, label="observed")
    left.legend(loc="upper right")
    names = [f"{row['case']}{',' if row['where'] == ANYWHERE else ''}" for row in rows]
    places = [f"\n{row['where']}" if row["where"] == ANYWHERE else "" for row in rows]
    left.set_yticks(range(len(rows)), [a + b for a, b in zip(names, places)][::-1])
    left.set(xlim=(0, 0.62), xlabel="share of the block's bits that change", title="random tokens outside the block")
    x = [1 - row["dial"] for row in below]
    looks = (
        ("attack", "bound", "--s", style.RED, "predicted at most: both depth sums"),
        ("attack", "change", "-^", style.RED, "found by gradient ascent"),
        ("random", "change", "-o", style.BLUE, "random tokens, largest"),
    )
    for kind, field, look, colour, label in looks:
        right.plot(x, [max(row[kind][field]) for row in below], look, color=colour, mfc="white", label=label)
    right.plot(x, [np.mean(row["random"]["change"]) for row in below], ":", color=style.BLUE, label="random, mean")
    right.set(xscale="log", yscale="log", xlabel="1 - dial (none is left at dial 1: the change is 0)")
    right.set(ylabel="change of the block's outputs", title="how far they can move the block below dial 1")
    right.invert_xaxis()
    right.set_ylim(bottom=right.get_ylim()[0] / 20)  # room for the legend below the curves
    right.legend(loc="lower left")
    return figure
