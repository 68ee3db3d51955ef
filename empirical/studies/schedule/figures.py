"""The figure of the study of schedules: costs of the layers, slack of the bounds, drift and loss of allocations."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from empirical.figures import style
from empirical.studies.findings import Numbers
from empirical.studies.schedule.measure import FIRST, KNAPSACK, LAST, QUADRATURE, UNIFORM

DRAWN = {  # allocation: look, colour
    LAST: ("-s", style.BLUE),
    FIRST: ("-v", style.RED),
    UNIFORM: ("-o", style.GREEN),
    "(l/L)^3": ("-^", style.PURPLE),
    "clipped, beta 5": ("-D", style.SKY),
    QUADRATURE: ("-*", style.BLACK),
    KNAPSACK: ("--", style.ORANGE),
}


def draw(numbers: Numbers) -> dict[str, Figure]:
    return {"schedule": schedule(numbers)}


def schedule(numbers: Numbers) -> Figure:
    """Four panels: costs, bounds against drift, and what each allocation does to drift and to the loss."""
    rows, late = numbers["rows"], numbers["late_layers"]
    middle = {row["allocation"]: np.mean(row["drift"]) for row in rows if row["share"] == 0.5}
    claim = (
        f"A falls with depth in {sum(late)} of {len(late)} steps; half of the leakage dialled away moves the output by "
        f"{middle[LAST]:.1f} in the last layers, {middle[UNIFORM]:.1f} in all alike, {middle[FIRST]:.1f} in the first"
    )
    note = f"seed {numbers['seed']}; bounds: every allocation and held-out sequence; lines: means over sequences"
    figure = style.sheet(7.2, 6.4, claim, note)
    (cost, slack), (left, right) = figure.subplots(2, 2)
    for axes in (cost, slack):
        axes.set_prop_cycle(color=(style.BLUE, style.ORANGE, style.GREEN, style.BLACK))
    _costs(cost, numbers)
    _slack(slack, numbers)
    _allocations(left, right, numbers)
    for axes in (cost, slack):
        axes.legend(markerscale=1.5)
    style.legend_below(figure, left.get_legend_handles_labels()[0])
    return figure


def _costs(axes: Axes, numbers: Numbers) -> None:
    layers = numbers["layers"]
    for key, look, label in (
        ("costs", "-o", "A, by 1 + Lip of f"),
        ("costs_whole", "--s", "A, by Lip of x + f"),
        ("diameters", ":D", "V"),
        ("alone", "-*", "measured alone"),
    ):
        axes.plot(range(len(layers[key])), layers[key], look, label=label)
    axes.set(yscale="log", xlabel="layer", ylabel="drift a unit of leakage")


def _slack(axes: Axes, numbers: Numbers) -> None:
    rows = numbers["rows"]
    drifts = np.concatenate([row["drift"] for row in rows])
    for key, look, label in (
        ("bound_calibrated", "^", "calibrated Lip"),
        ("bound_own", "o", "own Lip: a theorem"),
        ("bound_whole", "s", "own Lip of x + f: a theorem"),
    ):
        found = np.concatenate([row[key] for row in rows])
        axes.plot(drifts, found, look, ms=2, mew=0, rasterized=True, label=label)
    ends = [drifts.min(), drifts.max()]
    axes.plot(ends, ends, color=style.BLACK, lw=0.8)
    axes.set(xscale="log", yscale="log", xlabel="measured drift", ylabel="bound (on the line: attained)")


def _allocations(left: Axes, right: Axes, numbers: Numbers) -> None:
    for name, (look, colour) in DRAWN.items():
        mine = [row for row in numbers["rows"] if row["allocation"] == name]
        removed = [sum(row["removed"]) for row in mine]
        left.plot(removed, [np.mean(row["drift"]) for row in mine], look, color=colour, label=name)
        right.plot(removed, [row["loss_rise"] for row in mine], look, color=colour)
    left.set(xlabel="leakage dialled away, all layers", ylabel="measured drift")
    right.set(xlabel="leakage dialled away, all layers", ylabel="rise of held-out loss (nats a token)")
