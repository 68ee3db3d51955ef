"""The dial's whole curve, predicted and observed; what a dial of each query's own saves; the dial in training."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from empirical.figures import style
from empirical.studies.findings import Numbers

LAYERS = (("o", style.BLUE), ("s", style.RED), ("^", style.GREEN), ("D", style.PURPLE))
AT = 2  # the promise that the title tells of


def draw(found: Numbers) -> dict[str, Figure]:
    return {"dial": along_the_dial(found), "costs": costs_of_a_promise(found)}


def along_the_dial(found: Numbers) -> Figure:
    """Fidelity, entropy and loss along the dial, and rows whose entropy must first rise."""
    rising, loss = found["entropies"], np.array(found["loss"])
    best = int(loss.argmin())
    figure = style.sheet(
        7.2,
        5.6,
        f"One trained model from dial 0 to 1: loss {loss[0]:.3f} to {loss[-1]:.3f} nats, least at dial "
        f"{found['dials'][best]:.3g}",
        f"seed {found['seed']}; lines: predicted from the rows at dial 0, exact in layer 0, whose inputs stay; "
        f"markers: observed, every layer dialled alike. Of {rising['rows']:,} rows {rising['predicted']:,} must first "
        f"rise in entropy and {rising['observed']:,} do; {len(rising['curves'])} of them are drawn",
    )
    (fidelity, entropy), (losses, rows) = figure.subplots(2, 2)
    x, curve = style.dial_places(found["dials"]), found.get("curve", found)  # a folder of before has the dials alone
    for layer, (marker, colour) in zip(range(len(found["fidelity"][0])), LAYERS):
        for axes, name in ((fidelity, "fidelity"), (entropy, "entropy")):
            law = np.array(curve[f"{name}_predicted"])[:, layer]
            axes.plot(style.dial_places(curve["dials"]), law, color=colour, ls="-" if layer == 0 else "--")
            axes.plot(x, np.array(found[name])[:, layer], marker, color=colour, mec="white", mew=0.4)
        losses.plot(x, found["loss_alone"][layer], f"-{marker}", color=colour, mec="white", mew=0.4, lw=0.8)
    losses.plot(x, loss, "-*", color=style.BLACK, ms=6)
    _rising(rows, rising)
    fidelity.set_ylabel("mean pointer fidelity")
    entropy.set_ylabel("mean attention entropy (nats)")
    losses.set_ylabel("held-out loss (nats a token)")
    style.loss_axis(losses, [loss, *found["loss_alone"]])
    for axes in (fidelity, entropy, losses):
        style.dress_dials(axes)
    handles = [
        Line2D([], [], ls="", marker=marker, color=colour, label=f"layer {layer}")
        for layer, (marker, colour) in zip(range(len(found["fidelity"][0])), LAYERS)
    ]
    handles += [
        Line2D([], [], color=style.GREY, label="predicted from dial 0, exact"),
        Line2D([], [], color=style.GREY, ls="--", label="the same, of deeper layers"),
        Line2D([], [], marker="*", ms=6, color=style.BLACK, label="loss: all layers dialled (others: one alone)"),
    ]
    style.legend_below(figure, handles)
    return figure


def _rising(axes: Axes, found: Numbers) -> None:
    kappa = np.array(found["kappa"])
    for curve, peak, top in zip(found["curves"], found["peak_kappa"], found["peak_entropy"]):
        colour = style.ORANGE if peak > 0 else style.GREY
        axes.plot(kappa, curve, color=colour, lw=1)
        if 0 < peak < kappa[-1]:
            axes.plot(peak, top, "x", color=style.BLACK, ms=5, mew=1.2)
    axes.set_xlabel("$\\kappa = -\\ln(1 - dial)$")
    axes.set_ylabel(f"entropy of {style.counted(len(found['curves']), 'row')} (nats)")
    handles = [
        Line2D([], [], color=style.ORANGE, label="must first rise"),
        Line2D([], [], color=style.GREY, label="falls throughout"),
        Line2D([], [], ls="", marker="x", color=style.BLACK, label="predicted peak"),
    ]
    axes.set_ylim(top=1.35 * axes.get_ylim()[1])
    axes.legend(handles=handles, loc="upper right", ncols=2)


def costs_of_a_promise(found: Numbers) -> Figure:
    """Loss against the fidelity that every row is promised; and what the dial in training does."""
    adaptive, training = found["adaptive"], found["training"]
    rise = {name: adaptive[name][AT] - found["loss"][0] for name in ("loss", "loss_fixed")}
    figure = style.sheet(
        7.2,
        3.4,
        f"Every row at fidelity {found['targets'][AT]:g} costs {rise['loss']:+.3f} nats with a dial of each query's "
        f"own, {rise['loss_fixed']:+.3f} with the one dial that reaches it everywhere; "
        f"in training cross blocks vanish {_vanish(training)}",
        f"seed {found['seed']}; left: no row misses, watched at run time; right: penalty = critical dial/(1 - dial), "
        "critical from one model whose cross blocks are held at zero",
    )
    left, right = figure.subplots(1, 2)
    x = range(len(found["targets"]))
    left.plot(x, adaptive["loss_fixed"], "-s", color=style.RED, label="one dial for all rows")
    left.plot(x, adaptive["loss"], "-o", color=style.BLUE, label="each query's own least dial")
    for words, level, dash in (("dial 0", found["loss"][0], ":"), ("dial 1", found["loss"][-1], "--")):
        left.axhline(level, color=style.BLACK, ls=dash, lw=0.8, label=words)
    left.set_xticks(x, [f"{target:g}" for target in found["targets"]])
    left.set(xlabel="fidelity promised to every row", ylabel="held-out loss (nats a token)")
    style.loss_axis(left, [*adaptive["loss_fixed"], *adaptive["loss"], found["loss"][0], found["loss"][-1]])
    style.legend_below(figure, left.get_legend_handles_labels()[0])
    right.plot(training["dials"], training["active"], "-o", color=style.BLUE)
    right.axvline(0.5, color=style.BLACK, lw=0.8, ls="--")
    right.annotate("critical penalty,\npredicted", (0.5, 0.6), (4, 0), textcoords="offset points", size=7)
    right.set(xlabel="dial in training", ylabel="share of cross blocks that are not zero", ylim=(-0.03, 1.03))
    other = right.twinx()
    other.plot(training["dials"], training["loss"], "-^", color=style.ORANGE)
    other.spines["right"].set_visible(True)
    other.set_ylabel("held-out loss (nats a token)", color=style.ORANGE)
    style.loss_axis(other, training["loss"])
    return figure


def _vanish(training: Numbers) -> str:
    none = [dial for dial, active in zip(training["dials"], training["active"]) if active == 0]
    some = [dial for dial, active in zip(training["dials"], training["active"]) if active > 0]
    return f"between dial {max(some):g} and {min(none):g}" if none and some else "at no dial tried"
