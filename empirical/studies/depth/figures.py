"""Figures of the study of depth: drift beside the depth sum, and over-smoothing by depth and dial."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from empirical.figures import style
from empirical.studies.findings import Numbers


def draw(numbers: Numbers) -> dict[str, Figure]:
    return {"depth": drift_by_layer(numbers), "smoothing": smoothing_by_layer(numbers)}


def drift_by_layer(numbers: Numbers) -> Figure:
    """Drift of each layer dialled alone and of all, beside the sums; every sequence against its own."""
    drift, own, foretold = (np.array(numbers[key]) for key in ("drift", "bound_own", "bound_calibrated"))
    beyond, missed = int((drift > own * (1 + 1e-9)).sum()), int((drift > foretold).sum())
    ratio = float(np.median(own[:, -1] / drift[:, -1]))
    claim = (
        f"Dialling layers moves the output within the depth sum in {drift.size - beyond:,} of {drift.size:,} cases; "
        f"with all layers dialled the sum is {ratio:.1f} times the drift"
    )
    note = (
        f"seed {numbers['seed']}, {style.counted(numbers['layers'], 'layer')} of attention and MLP, "
        f"{style.counted(numbers['sequences'], 'held-out sequence')}; calibrated: the largest Lip of other sequences, "
        f"exceeded by {style.counted(missed, 'drift')}; median of the ratio"
    )
    figure = style.sheet(7.2, 3.8, claim, note)
    left, right = figure.subplots(1, 2)
    looks = ((style.BLUE, "o"), (style.GREEN, "s"), (style.RED, "^"))
    names, places = [*map(str, range(numbers["layers"])), "all"], np.arange(numbers["layers"] + 1)
    for d, (dial, (colour, marker)) in enumerate(zip(numbers["dials"], looks)):
        for part in (slice(-1), slice(-1, None)):  # no line between single layers and all of them
            left.plot(places[part], own[d].mean(-1)[part], "--", color=colour, marker=marker, mfc="white", lw=0.9)
            left.plot(places[part], drift[d].mean(-1)[part], "-", color=colour, marker=marker)
        left.plot([], [], "-", color=colour, marker=marker, label=f"dial {dial:g}")
        right.plot(drift[d].ravel(), own[d].ravel(), marker, color=colour, ms=2.4, mew=0, rasterized=True)
    left.plot([], [], "-", color=style.GREY, label="observed, mean")
    left.plot([], [], "--", color=style.GREY, label="predicted at most, mean")
    left.set_xticks(places, names)
    left.set(yscale="log", xlabel="layer dialled alone, or all", ylabel="drift at the output")
    left.set_title("layer by layer")
    right.plot(drift.ravel(), foretold.ravel(), "x", color=style.GREY, ms=2.4, mew=0.5, zorder=0, rasterized=True)
    ends = [drift.min(), drift.max()]
    right.plot(ends, ends, color=style.BLACK, lw=0.8)
    right.plot([], [], "D", color=style.BLACK, mfc="white", label="in colour, own Lip: a theorem")
    right.plot([], [], "x", color=style.GREY, label="calibrated Lip: a prediction")
    right.set(xscale="log", yscale="log", xlabel="observed drift of a sequence", ylabel="predicted at most")
    right.set_title("sequence by sequence (on the line: attained)")
    right.legend(loc="upper left")
    style.legend_below(figure, left.get_legend_handles_labels()[0], columns=5)
    return figure


def smoothing_by_layer(numbers: Numbers) -> Figure:
    """Similarity, effective rank and contraction, layer by layer and dial by dial."""
    parts = {key: np.array(value) for key, value in numbers["smoothing"].items()}
    last, reached = parts["similarity"][:, -1], (parts["contraction"] / parts["contraction_at_most"]).max()
    claim = (
        f"Tokens end at a mean cosine of {last[0]:.2f} with dial 0 and {last[-1]:.2f} with dial 1 in every layer; "
        f"outputs of one head lie at most {reached:.0%} as far apart as its attention rows allow"
    )
    note = (
        f"seed {numbers['seed']}, means over {style.counted(numbers['sequences'], 'held-out sequence')}; no theorem "
        "is claimed of similarity or rank; predicted at most: the mean total variation distance of two attention rows"
    )
    figure = style.sheet(7.2, 3.3, claim, note)
    alike, rank, contracted = figure.subplots(1, 3)
    looks = ((style.BLACK, "D"), (style.BLUE, "o"), (style.GREEN, "s"), (style.RED, "^"))
    for d, (dial, (colour, marker)) in enumerate(zip(numbers["smoothed"], looks)):
        look = {"color": colour, "marker": marker, "ms": 3.4}
        alike.plot(parts["similarity"][d], "-", label=f"dial {dial:g}", **look)
        rank.plot(parts["rank"][d], "-", **look)
        layers = np.arange(numbers["layers"])
        contracted.plot(layers, parts["contraction"][d], "-", **look)
        contracted.plot(layers, parts["contraction_at_most"][d], "--", mfc="white", lw=0.9, **look)
    alike.set(xlabel="layers passed", ylabel="mean cosine of two tokens", title="similarity, observed")
    rank.set(xlabel="layers passed", ylabel="exp(entropy of singular values)", title="effective rank, observed")
    contracted.set(xlabel="layer", ylabel="mean distance of outputs / V", title="contraction of one head")
    contracted.set_ylim(0, 1.05)
    alike.plot([], [], "-", color=style.GREY, label="observed")
    alike.plot([], [], "--", color=style.GREY, label="predicted at most")
    style.legend_below(figure, alike.get_legend_handles_labels()[0], columns=6)
    return figure
