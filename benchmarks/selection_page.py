"""docs/selection.md and its figure, from what selection.py saved: conclusions first.

python benchmarks/selection_page.py
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.stats import spearmanr

from empirical.figures import style
from empirical.files import write_atomically

HERE = Path(__file__).parent
SAVED, DOCS = HERE / "selection.json", HERE.parent / "docs"
OURS = "penalty path"
NAMES = {"text": "GPT-2 on interleaved topics", "iglm": "antibody language model", "minilm": "sentence encoder"}
UNITS = {"cosine": ""}  # nats a token otherwise
LOOKS = {  # way: (colour, dash, marker)
    OURS: (style.BLUE, "-", "o"),
    "ablation anew": (style.GREEN, (0, (5, 2)), "s"),
    "single ablation": (style.GREEN, (0, (1, 1.2)), "^"),
    "path shares (integrated gradients)": (style.PURPLE, (0, (5, 2)), "D"),
    "first-order price": (style.PURPLE, (0, (1, 1.2)), "v"),
    "hard-concrete (L0)": (style.RED, "-", "P"),
    "least leakage first": (style.ORANGE, "-", "<"),
    "late first": (style.BLACK, (0, (5, 2)), "."),
    "early first": (style.BLACK, (0, (1, 1.2)), "."),
    "powers of depth": (style.SKY, (0, (5, 2)), "X"),
}
MOST, LEAST = 3.0, 1e-3  # of the axis of costs; it is linear below LEAST
Saved = dict[str, Any]


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def signed(pair: list[float]) -> str:
    return f"{100 * pair[0]:+.0f} to {100 * pair[1]:+.0f}"


def best_other(model: Saved) -> tuple[str, Saved]:
    """Of the other ways, the one that reaches furthest held out."""
    return max(((name, way) for name, way in model["ways"].items() if name != OURS), key=lambda pair: pair[1]["reach"])


def against(model: Saved) -> str:
    """How ours does beside the best of the others, by the paired interval."""
    name, other = best_other(model)
    low, high = other["ours_less_this"]
    said = "further than" if low > 0 else "less far than" if high < 0 else "as far, for all the interval tells, as"
    ours, best = (percent(one["reach"]) for one in (model["ways"][OURS], other))
    return (
        f"The penalty path reaches {said} the best of the others, {name} ({ours} against {best}; paired difference in "
        f"points {signed(other['ours_less_this'])})."
    )


def penalised(model: Saved) -> list[tuple[float, float]]:
    """Leakage kept and held-out cost at each penalty, gates turned down as well: the path's first candidates."""
    return list(zip(model["solver"]["omega_kept"], model["ways"][OURS]["cost"]))


def turned_down(model: Saved, budget: float) -> str:
    """What goes where gates need not be exactly 0."""
    within = [(kept, cost) for kept, cost in penalised(model) if cost <= budget]
    if not within:
        return "With gates turned down instead of shut no penalty stays within it."
    kept, cost = min(within)
    return f"With gates turned down instead of shut {percent(1 - kept)} of leakage goes at {cost:+.4f}."


def result(model: Saved, budget: float) -> str:
    """What a practitioner gets: gates picked on the documents to choose on, judged on the others."""
    kept = {name: way for name, way in model["ways"].items() if way["picked"]["cost"] <= budget}
    name, way = max(kept.items(), key=lambda pair: pair[1]["picked"]["removed"])
    got, unit = way["picked"], UNITS.get(model["loss"], " nats")
    low, high = got["cost_interval"]
    return (
        f"{percent(got['removed'])} of outside attention goes by exact zeros at a held-out cost of "
        f"{got['cost']:+.4f}{unit} (95 % {low:+.4f} to {high:+.4f}), chosen by {name}; the mask costs "
        f"{model['mask']['cost']:+.3f}."
    )


def permuted(model: Saved) -> str:
    """Whether the true blocks are cheaper than chance ones."""
    if "null" not in model:
        return "Permuted blocks were not measured, so whether the true ones cost less is open."
    told = model["null"]
    parts, holds = [], []
    for at, share in enumerate(told["shares"]):
        drawn = median(one[at] for one in told["permuted"])
        holds.append(told["p"][at] <= 0.05)
        parts.append(f"{told['true'][at]:+.3f} against {drawn:+.3f} at {percent(share)} (p = {told['p'][at]:.2f})")
    said = "cost less" if all(holds) else "do not always cost less" if any(holds) else "cost **no less**"
    drawn = f"permuted ones of the same sizes, median of {len(told['permuted'])} draws"
    return f"The true blocks {said} than {drawn}: {', '.join(parts)}."


def depths(model: Saved) -> str:
    """Which depths are cheap: what each layer costs alone, a unit of what it removes."""
    layers = model["layer_by_layer"]
    rates = [layer["cost"] / layer["removed"] for layer in layers]
    rank = float(spearmanr(np.arange(len(rates)), rates).statistic)
    words = "Cost does not go by depth"
    if abs(rank) >= 0.5:
        words = f"{'Late' if rank < 0 else 'Early'} layers are the cheap ones"
    told = ", ".join(
        f"{at} {layer['cost']:+.3f} for {percent(layer['removed'])}" for at, layer in enumerate(layers, start=1)
    )
    return (
        f"{words} (rank correlation of cost a unit with depth {rank:+.2f}): layers shut alone cost, by number, {told}."
    )


def fine_print(model: Saved) -> str:
    solver = model["solver"]
    kept = ", ".join(f"{percent(one)} at {cost:+.4f}" for one, cost in penalised(model))
    return (
        "A penalty turns more gates down than it shuts. Counting those too, leakage kept on the documents that chose, "
        f"and the held-out cost: {kept}. "
        f"Solver: largest residual {max(solver['residual_over_critical']):.1e} of the critical penalty, at most "
        f"{max(solver['gradients'])} gradients a penalty. {submodular(model)} "
        f"{model['documents']['choose']} documents chose, {model['documents']['judge']} judged."
    )


def submodular(model: Saved) -> str:
    if "submodularity" not in model:
        return "The submodularity ratio was not measured."
    ratio = model["submodularity"]
    return (
        f"Submodularity ratio of what opening gates gains, over {ratio['samples']} samples: "
        f"least {ratio['least']:.2f}, median {ratio['median']:.2f}; no guarantee follows."
    )


def table(model: Saved, budget: float) -> list[str]:
    """A line a way, furthest first."""
    rows = ["| way | reach held out | ours less this | picked | its held-out cost |", "|---|---|---|---|---|"]
    for name, way in sorted(model["ways"].items(), key=lambda pair: -pair[1]["reach"]):
        got, (low, high) = way["picked"], (100 * end for end in way["reach_interval"])
        less = "" if name == OURS else signed(way["ours_less_this"])
        least, most = got["cost_interval"]
        cost = f"{got['cost']:+.4f} ({least:+.4f} to {most:+.4f})" + ("" if got["cost"] <= budget else ", over")
        reach = f"{percent(way['reach'])} ({low:.0f} to {high:.0f})"
        rows.append(f"| {name} | {reach} | {less} | {percent(got['removed'])} | {cost} |")
    if "random" in model:
        reaches = [100 * one["reach"] for one in model["random"]]
        spread = f"{median(reaches):.0f} % ({min(reaches):.0f} to {max(reaches):.0f})"
        rows.append(f"| random, {len(reaches)} orders | {spread} | | | |")
    return rows


def page(saved: Saved) -> str:
    """The page, as Markdown."""
    budget = saved["budget"]
    models = saved["models"]
    lines = [
        "# How much attention outside its block can go",
        "",
        f"Exact zeros of gates, one a head, at a loss within {budget} of the model as trained (nats a token; encoders:",
        "mean 1 - cosine), chosen on some documents and judged on others. What was found:",
        "",
    ]
    for name, model in models.items():
        parts = (result(model, budget), against(model), turned_down(model, budget), permuted(model), depths(model))
        lines.append(f"- **{NAMES[name]}**: {' '.join(parts)}")
    absent = [name for name in NAMES if name not in models]
    if absent:
        lines += ["", f"Not measured: {', '.join(NAMES[name] for name in absent)}."]
    lines += [
        "",
        "![Held-out cost against the share of outside attention that exact zeros remove](figures/selection.png)",
        "",
        "What is removed is the leakage as trained of the gates that are exactly 0, a share of that of all. Reach is",
        "the largest of a way's candidates whose held-out cost is within the budget; picked is what the documents to",
        "choose on would take, with its cost on the others. Intervals are 95 % over documents drawn again, the same",
        "draws for every way.",
        "",
        "```console",
        "$ pip install '.[pretrained]'",
        "$ python benchmarks/selection.py --models text iglm minilm",
        "$ python benchmarks/selection_page.py",
        "```",
    ]
    for name, model in models.items():
        lines += [
            "",
            f"## {NAMES[name][0].upper()}{NAMES[name][1:]}",
            "",
            f"{model['said']}. {fine_print(model)}{model.get('note', '')}",
            "",
            *table(model, budget),
        ]
    return "\n".join(lines) + "\n"


# The figure -----------------------------------------------------------------------------------------------------------


def frontier(way: Saved) -> tuple[np.ndarray, np.ndarray]:
    """The least cost of the candidates that remove at least so much."""
    removed, cost = np.array(way["removed"]), np.array(way["cost"])
    order = np.lexsort((cost, removed))
    least = np.minimum.accumulate(cost[order][::-1])[::-1]
    keep = np.r_[True, np.diff(removed[order]) > 0]
    return removed[order][keep], least[keep]


def panel(axes: Axes, model: Saved, budget: float) -> None:
    """One model: every way, the budget, the model as trained and the mask."""
    for one in model.get("random", []):
        axes.plot(*frontier(one), color=style.PALE, lw=0.8, zorder=1)
    for name, (colour, dash, marker) in LOOKS.items():
        if name in model["ways"]:
            wide = {"lw": 2.0, "ms": 5.0, "zorder": 5} if name == OURS else {"lw": 1.0, "ms": 3.0, "zorder": 3}
            axes.plot(*frontier(model["ways"][name]), color=colour, ls=dash, marker=marker, **wide)
    axes.axhline(budget, color=style.GREY, lw=0.8, ls=(0, (4, 2)), zorder=2)
    axes.plot([0, 1], [0, model["mask"]["cost"]], ls="", marker="*", color=style.BLACK, ms=8, zorder=6, clip_on=False)
    axes.set_yscale("symlog", linthresh=budget)
    axes.set_xlim(-0.01, 1.01)
    axes.set_xlabel("outside attention removed by exact zeros")
    axes.xaxis.set_major_formatter(lambda x, _: f"{100 * x:.0f} %")


def figure(saved: Saved) -> Figure:
    models, budget = saved["models"], saved["budget"]
    best = {name: max(way["reach"] for way in model["ways"].values()) for name, model in models.items()}
    reached = ", ".join(f"{percent(reach)} ({NAMES[name]})" for name, reach in best.items())
    drawn = style.sheet(
        1.0 + 3.4 * len(models),
        4.3,
        f"Exact zeros remove {reached} of outside attention, held out, at most {budget} above the loss as trained",
        "at each share the least held-out cost of a way's candidates that remove at least as much; grey: random orders",
    )
    grid = drawn.subplots(1, len(models), squeeze=False)[0]
    for axes, (name, model) in zip(grid, models.items()):
        panel(axes, model, budget)
        axes.set_title(NAMES[name])
        axes.set_ylabel("held-out " + ("1 - cosine" if model["loss"] == "cosine" else "cost (nats a token)"))
    handles = [
        Line2D([], [], color=colour, ls=dash, marker=marker, ms=3.5, lw=2.0 if name == OURS else 1.0, label=name)
        for name, (colour, dash, marker) in LOOKS.items()
    ]
    handles.append(Line2D([], [], color=style.GREY, lw=0.8, ls=(0, (4, 2)), label=f"budget, {budget}"))
    handles.append(Line2D([], [], ls="", marker="*", ms=7, color=style.BLACK, label="as trained, and the mask"))
    style.legend_below(drawn, handles, columns=2 * len(models))
    return drawn


def main() -> int:
    saved = json.loads(SAVED.read_text(encoding="utf-8"))
    write_atomically(DOCS / "selection.md", page(saved).encode())
    with style.drawing():
        figure(saved).savefig(DOCS / "figures" / "selection.png", dpi=style.DPI, metadata={"Software": None})
    return 0


if __name__ == "__main__":
    sys.exit(main())
