"""The figure of the study of ablation: attention mass beside causal use."""

from __future__ import annotations

from matplotlib.figure import Figure

from empirical.figures import style
from empirical.studies.ablation.measure import ANCHORS, INSIDE, OUTSIDE, causal_shares, rank_correlation
from empirical.studies.findings import Numbers


def draw(numbers: Numbers) -> dict[str, Figure]:
    return {"ablation": mass_beside_use(numbers)}


def mass_beside_use(numbers: Numbers) -> Figure:
    """Mass against loss rise, fidelity against the part of the use that lies inside, and the theorem's own check."""
    heads, by_sides = numbers["heads"], {row["sides"]: row for row in numbers["correlations"]}
    fidelity, share = causal_shares(heads)
    ranked = rank_correlation(fidelity, share)
    claim = (
        f"Rank correlation of attention mass with use (loss rise without those keys): {by_sides[OUTSIDE]['mass']:+.2f} "
        f"outside, {by_sides[INSIDE]['mass']:+.2f} inside; of fidelity with the part of use inside {ranked:+.2f}"
    )
    note = (
        f"{style.counted(len(fidelity), 'head')}, one at a time; weights left are renormalised; "
        f"seed {numbers['seed']}, {style.counted(numbers['sequences'], 'held-out sequence')}; the output is predicted, "
        "of the loss no theorem speaks"
    )
    figure = style.sheet(7.2, 3.3, claim, note)
    left, middle, right = figure.subplots(1, 3)
    looks = {OUTSIDE: ("s", style.RED), INSIDE: ("o", style.BLUE), ANCHORS: ("^", style.GREEN)}
    for side, (marker, colour) in looks.items():
        mine = [row for row in heads if row["side"] == side]
        if mine:
            look = {"color": colour, "mfc": "white", "ls": "", "marker": marker, "label": side}
            left.plot([row["mass"] for row in mine], [row["removed"] for row in mine], **look)
            right.plot([row["predicted"] for row in mine], [row["output_change"] for row in mine], **look)
            bound = [row["predicted_at_most"] for row in mine]
            right.plot(bound, [row["output_change"] for row in mine], marker, color=colour, ms=2, alpha=0.7)
    left.axhline(0, color=style.GREY, lw=0.6)
    spread = max(abs(row["removed"]) for row in heads)
    left.set_yscale("symlog", linthresh=spread / 100, linscale=0.5)
    left.set(xlabel="attention mass taken away", ylabel="rise of the loss (nats a token)", xlim=(-0.03, 1.03))
    rises = [row["removed"] for row in heads]
    left.set_ylim(min(*rises, 0.0) * 1.6 - spread / 100, max(*rises, 0.0) * 1.6)
    middle.plot([0, 1], [0, 1], "--", color=style.BLACK, lw=0.8, label="if mass were use")
    middle.plot(fidelity, share, "D", color=style.PURPLE, mfc="white")
    middle.set(xlabel="fidelity of the head", ylabel="part of its use that lies inside", xlim=(-0.03, 1.03))
    middle.set(ylim=(-0.03, 1.03))
    most = max(row["predicted_at_most"] for row in heads)
    right.plot([0, most], [0, most], color=style.BLACK, lw=0.8, zorder=0)
    top = 1.08 * max(row["output_change"] for row in heads)
    right.set(xlabel="predicted (small: at most, m V)", ylabel="observed", xlim=(0, 1.05 * most), ylim=(0, top))
    left.set_title("loss, without those keys")
    middle.set_title("fidelity beside use")
    right.set_title("change of the head's output")
    style.legend_below(figure, left.get_legend_handles_labels()[0] + middle.get_legend_handles_labels()[0])
    return figure
