"""The figures of the study of gates: paths by loss and leakage, zeros, the ceiling that was foretold, the bracket."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from empirical.figures import style
from empirical.studies.findings import Numbers

STARTS = (
    ("mask", "v", style.BLUE, "solved from the mask"),
    ("trained", "^", style.RED, "solved from the model as trained"),
)
TITLES = {"reference": "reference model", "gpt2": "GPT-2", "capped": "capped twin", "deep": "deep twin"}
LEVELS = (  # of the bracket: field, marker, colour, words
    ("critical", "o", style.BLUE, "critical penalty: local, exact"),
    ("witness", "D", style.SKY, "global witness: found"),
    ("measured", "^", style.RED, "largest with an open stationary point: found"),
    ("level", "s", style.BLACK, "rates of gates, enclosed: proved"),
    ("pair", "P", style.ORANGE, "level A* of pairs: proved"),
    ("norm", "X", style.GREY, "level A, norms: proved"),
)


def draw(numbers: Numbers) -> dict[str, Figure]:
    return {
        "paths": paths(numbers),
        "zeros": zeros(numbers),
        "ceilings": ceilings(numbers),
        "levels": levels(numbers),
    }


def _subjects(numbers: Numbers) -> list[tuple[str, list[Numbers]]]:
    """name -> one a seed."""
    names = [name for name in TITLES if any(name in seed["subjects"] for seed in numbers["seeds"])]
    return [(name, [seed["subjects"][name] for seed in numbers["seeds"]]) for name in names]


def _panels(
    numbers: Numbers, claim: str, note: str, height: float = 3.1
) -> tuple[Figure, list[tuple[str, Axes, list[Numbers]]]]:
    subjects = _subjects(numbers)
    figure = style.sheet(7.2, height, claim, note)
    panels = np.atleast_1d(figure.subplots(1, len(subjects)))
    for (name, _), axes in zip(subjects, panels):
        axes.set_title(TITLES[name])
    return figure, [(name, axes, ones) for (name, ones), axes in zip(subjects, panels)]


def _keys() -> list[Line2D]:
    return [
        Line2D([], [], marker=marker, color=colour, mec="white", label=words) for _, marker, colour, words in STARTS
    ]


def paths(numbers: Numbers) -> Figure:
    """Loss against leakage on the judged documents, from the mask to the model as trained, with both ends."""
    bought = []
    for _, ones in _subjects(numbers):
        for one in ones:
            trained_loss, trained_leak = one["ends_judged"][1]
            near = np.array(one["loss_judged"]) <= trained_loss + 0.01
            left = np.array(one["omega_judged"])[near] / trained_leak
            bought.append(100 * (1 - left.min()) if left.size else 0.0)
    figure, panels = _panels(
        numbers,
        f"Within 0.01 nats of the model as trained the path takes away {min(bought):.0f} to {max(bought):.0f} % of the "
        "leakage, judged on documents that no gate was chosen on",
        f"{style.counted(len(numbers['seeds']), 'seed')}, {numbers['documents']} documents at most to choose and as "
        "many to judge; each point the gates of one penalty",
    )
    for _, axes, ones in panels:
        for one in ones:
            for at, (_, marker, colour, _) in enumerate(STARTS):
                axes.plot(
                    one["omega_judged"][at], one["loss_judged"][at], marker + "-", color=colour, mec="white", mew=0.3
                )
            (mask, _), (trained, leak) = one["ends_judged"]
            axes.plot(0, mask, "s", color=style.BLACK, ms=4.5)
            axes.plot(leak, trained, "*", color=style.BLACK, ms=7)
        losses = [np.ravel(one["loss_judged"]) for one in ones] + [np.array(one["ends_judged"])[:, 0] for one in ones]
        style.loss_axis(axes, np.concatenate(losses))
        axes.set(
            xlabel="leakage $\\Omega$, sum over heads",
            ylabel="loss (nats a token), judged" if axes is panels[0][1] else "",
        )
    ends = [("s", "the mask"), ("*", "as trained")]
    style.legend_below(
        figure, [*_keys(), *(Line2D([], [], ls="", marker=m, color=style.BLACK, label=w) for m, w in ends)], 4
    )
    return figure


def zeros(numbers: Numbers) -> Figure:
    """Share of gates that are exactly 0 against the penalty, over each seed's critical one, with its levels."""
    sharp = [one["sharp"] for _, ones in _subjects(numbers) for one in ones]
    shut = sum(one["open_solved"][0] == 0 for one in sharp)
    opened = sum(one["open_solved"][1] > 0 for one in sharp)
    later = sum(
        bool((np.array(one["shut"][1]) < one["shut"][0]).any()) for _, ones in _subjects(numbers) for one in ones
    )
    figure, panels = _panels(
        numbers,
        f"At 1.001 of the critical penalty every gate stays exactly 0 in {shut} of {len(sharp)} models, at 0.999 one "
        f"opens in {opened}; solved from the other end gates shut at a larger penalty in {later}",
        "share of gates exactly 0; critical penalty: predicted from one backward pass at the mask",
    )
    for name, axes, ones in panels:
        for one in ones:
            critical = np.max(one["critical"]) or 1.0
            x = np.array(one["penalty"]) / critical
            for at, (_, marker, colour, _) in enumerate(STARTS):
                axes.plot(x, 100 * np.array(one["shut"][at]), marker + "-", color=colour, mec="white", mew=0.3)
            axes.axvline(one["witness"] / critical, color=style.SKY, ls=":", lw=0.9)
        axes.axvline(1, color=style.BLACK, ls="--", lw=0.9)
        if name == "capped":
            for seed, one in zip(numbers["seeds"], ones):
                twin = seed["twins"]["capped"]
                for field, colour in (("level", style.BLACK), ("pair", style.ORANGE), ("norm", style.GREY)):
                    axes.axvline(twin[field] / np.max(one["critical"]), color=colour, ls="-", lw=0.7)
        axes.set(xscale="log", ylim=(-4, 104), xlabel="penalty over the critical penalty")
    panels[0][1].set_ylabel("gates exactly 0 (%)")
    lines = (
        ("--", style.BLACK, "critical penalty, predicted"), (":", style.SKY, "global witness"),
        ("-", style.BLACK, "rates enclosed, proved"), ("-", style.ORANGE, "level A* of pairs"),
        ("-", style.GREY, "level A"),
    )  # fmt: skip
    style.legend_below(figure, [*_keys(), *(Line2D([], [], ls=d, color=c, label=w) for d, c, w in lines)], 4)
    return figure


def ceilings(numbers: Numbers) -> Figure:
    """Leakage that was found against the ceiling that was foretold, before anything was solved."""
    used = [np.array(one["omega"]) / np.array(one["ceiling"]) for _, ones in _subjects(numbers) for one in ones]
    beating = np.concatenate([np.ravel(one["beats_mask"]) for _, ones in _subjects(numbers) for one in ones])
    figure, panels = _panels(
        numbers,
        f"No solution leaks more than was foretold: at most {max(u.max() for u in used):.2g} of the ceiling, and "
        f"J(found) <= J(mask) in {100 * beating.mean():.0f} % of them",
        "ceiling (L_mask - 0)/penalty from the mask's loss alone; its digest is in the file of the solutions",
    )
    for _, axes, ones in panels:
        for one in ones:
            penalty = np.array(one["penalty"])
            axes.plot(penalty, one["ceiling"], color=style.BLACK, lw=1.0)
            for at, (_, marker, colour, _) in enumerate(STARTS):
                leak = np.array(one["omega"][at])
                open_ones = leak > 0
                axes.plot(penalty[open_ones], leak[open_ones], marker, color=colour, mec="white", mew=0.3)
        axes.set(xscale="log", yscale="log", xlabel="penalty $\\lambda$")
    panels[0][1].set_ylabel("leakage $\\Omega$")
    style.legend_below(figure, [Line2D([], [], color=style.BLACK, label="foretold ceiling"), *_keys()], 3)
    return figure


def levels(numbers: Numbers) -> Figure:
    """The bracket of every twin and seed: exact, found and proved penalties on one axis."""
    rows = [(name, seed["seed"], seed["twins"][name]) for name in ("capped", "deep") for seed in numbers["seeds"]]
    told = [(one["level"] / one["witness"]) for _, _, one in rows if one["told"]]
    starts = [one for _, _, one in rows if one["told"]]
    above = sum(int(np.count_nonzero(one["open_above"])) for one in starts)
    half = sum(int(np.count_nonzero(one["open_half"])) for one in starts)
    total = sum(len(one["open_above"]) for one in starts)
    found = f"above it {above} of {total} starts end open, at half the witness {half}"
    figure = style.sheet(
        7.2,
        1.9 + 0.32 * len(rows) + 0.32 * len(numbers["seeds"]),
        f"A penalty above which the mask is the one stationary point is proved, at most {max(told):.2g} times the "
        f"witness: {found}"
        if told
        else "No penalty above which the mask is the one stationary point is proved; below are those that were found",
        f"proved for {len(told)} of {len(rows)} models; weights frozen, in rows `together` any that the caps allow",
    )
    axes = figure.subplots()
    labels: list[str] = []
    for name, seed, one in rows:
        y = len(labels)
        labels.append(f"{TITLES[name]}, seed {seed}" + ("" if one["told"] else " (level UNKNOWN)"))
        shown = [entry for entry in LEVELS if one["told"] or entry[0] in ("critical", "witness", "measured")]
        values = [one[field] for field, *_ in shown if one[field] > 0]
        axes.plot([min(values), max(values)], [y, y], color=style.PALE, lw=3, zorder=0)
        axes.plot(one["critical"], y, "o", color=style.BLUE, mfc="none", ms=10, zorder=1)  # often the witness itself
        for field, marker, colour, _ in shown[1:]:
            _point(axes, one[field], y, marker, colour)
    for seed in numbers["seeds"]:
        labels.append(f"capped twin, together, seed {seed['seed']}")
        _point(axes, seed["twins"]["capped"]["together"]["level"], len(labels) - 1, "X", style.GREY)
    axes.set_yticks(range(len(labels)), labels)
    axes.set(xscale="log", xlabel="penalty $\\lambda$ (nats a unit of leakage)", ylim=(len(labels) - 0.5, -0.5))
    axes.xaxis.set_major_formatter(_one_two_five)
    axes.xaxis.set_minor_formatter(_one_two_five)
    (_, _, blue, local), *others = LEVELS
    ring = Line2D([], [], ls="", marker="o", color=blue, mfc="none", ms=8, label=local)
    handles = [Line2D([], [], ls="", marker=m, color=c, mec="white", mew=0.3, label=w) for _, m, c, w in others]
    style.legend_below(figure, [ring, *handles], 2)
    return figure


def _one_two_five(value: float, _: float | None = None) -> str:
    """A plain number at 1, 2 and 5 of a decade: an axis of less than one has no power of ten to read."""
    return f"{value:g}" if f"{value:e}"[0] in "125" else ""


def _point(axes: Axes, value: Any, y: int, marker: str, colour: str) -> None:
    if value > 0:
        axes.plot(value, y, marker, color=colour, mec="white", mew=0.4, ms=5.5)
