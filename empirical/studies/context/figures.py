"""The figure of the study of context: one curve a margin."""

from __future__ import annotations

from matplotlib.figure import Figure

from empirical.figures import style
from empirical.studies.findings import Numbers


def draw(numbers: Numbers) -> dict[str, Figure]:
    figure = style.sheet(
        4.8, 3.6, "A fixed margin is worth less among more keys", f"Blocks of {numbers['n_block']} keys, all anchors."
    )
    axes = figure.subplots()
    for (margin, floor), colour in zip(numbers["floors"].items(), (style.RED, style.ORANGE, style.BLUE), strict=True):
        axes.semilogx(numbers["n_keys"], floor, color=colour, label=f"margin {margin} temperatures")
    axes.set(xlabel="visible keys", ylabel="least fidelity", ylim=(0, 1.02))
    axes.legend()
    return {"context": figure}
