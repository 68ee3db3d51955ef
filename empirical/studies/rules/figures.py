"""Figures of the study of rules: mass and behaviour, priority, reloads, and a rule file that changes while it runs."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from empirical.figures import style
from empirical.studies.findings import Numbers


def draw(numbers: Numbers) -> dict[str, Figure]:
    return {
        "rules_mass": mass_and_behaviour(numbers),
        "rules_priority": priority(numbers),
        "rules_reloads": reloads(numbers),
        "rules_running": running_file(numbers),
    }


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def mass_and_behaviour(numbers: Numbers) -> Figure:
    """A row for each rule: attention beside its floors; what the model then says, which no theorem predicts."""
    rules = numbers["strength"]
    ends = [f"{percent(c['share'][0])} to {percent(c['share'][-1])}" for c in rules.values()]
    claim = (
        "A rule gets the attention that its strength guarantees; the model need not comply: with all attention on the "
        f"target, complying next words go from {ends[0]} (block) and {ends[1]} (words)"
    )
    note = (
        f"{style.counted(numbers['sequences'], 'held-out sequence')}; logits can span "
        f"{np.max(numbers['ranges']):.0f} on some input, and span {numbers['observed_range']:.0f} at most here"
    )
    figure = style.sheet(7.2, 6.0, claim, note)
    panels = figure.subplots(2, 2, sharex="row")
    targets = ("rule on block keys", f"rule on the words {', '.join(numbers['words'])}")
    for (left, right), curve, target in zip(panels, rules.values(), targets):
        _mass(left, curve)
        left.set(title=target, xlabel="strength (logits)", ylabel="attention on the target")
        x = curve["strength"]
        right.plot(x, curve["moved"], "-^", color=style.PURPLE, label="moved (total variation)")
        right.plot(x, curve["probability"], "-s", color=style.GREEN, label="probability of complying words")
        right.plot(x, curve["share"], "-o", color=style.ORANGE, label="complying top word")
        right.axhline(
            curve["reference"], color=style.ORANGE, ls=":", label="complying top word where the text complies"
        )
        right.set(title="behaviour: measured, nothing predicts it", xlabel="strength (logits)", ylabel="of next words")
        right.set_ylim(0, None)
        right.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        right.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    handles = [*panels[0, 0].get_legend_handles_labels()[0], *panels[0, 1].get_legend_handles_labels()[0]]
    style.legend_below(figure, handles, 3)
    return figure


def _mass(axes: Axes, curve: Numbers) -> None:
    axes.plot(curve["line"], curve["line_floor"], color=style.BLACK, label="predicted floor, every input")
    axes.plot(curve["strength"], curve["floor_seen"], "--", color=style.GREY, label="predicted floor, ranges seen")
    axes.plot(curve["strength"], curve["least"], "o", color=style.BLUE, label="measured, least row")
    axes.plot(curve["strength"], curve["mean"], "x", color=style.SKY, label="measured, mean row")
    axes.axvline(curve["needed_0.9"], color=style.PALE, zorder=0)
    axes.text(curve["needed_0.9"], 0.35, " needed\n for 90 %", ha="left", va="center", size=6.5)
    axes.set_ylim(-0.03, 1.05)


def priority(numbers: Numbers) -> Figure:
    """Attention of a rule over that of a lower one on other keys, against the gap of their strengths."""
    gaps = numbers["gap"]
    x, floor, least = (np.array(gaps[k]) for k in ("gap", "floor", "least"))
    slack = np.log10(least / floor).mean()
    claim = (
        "The gap between two conflicting rules decides which is attended to: the least ratio rises with it by the "
        f"predicted slope, {slack:.0f} powers of ten above the worst case of the logits"
    )
    note = (
        f"{int(gaps['rows'][0]):,} held-out rows a gap that trigger both rules; worst case: (r_A/r_B) e^(gap/tau - D)"
    )
    figure = style.sheet(4.6, 3.6, claim, note)
    axes = figure.subplots()
    axes.plot(x, floor, color=style.BLACK, label="predicted, at least")
    axes.plot(x, least, "o", color=style.BLUE, label="measured, least row")
    axes.plot(x, gaps["median"], "x", color=style.SKY, label="measured, median row")
    axes.axhline(1, color=style.PALE, zorder=0)
    axes.set(yscale="log", xlabel="gap of the strengths (logits)", ylabel="attention of the higher over the lower")
    axes.legend(loc="upper left")
    return figure


def reloads(numbers: Numbers) -> Figure:
    """Probability that the violation is still there, author by author, against the product."""
    courses = numbers["reloads"]
    exact = [name for name, found in courses.items() if found["exactly_the_product"]]
    count = max(found["sequences"] for found in courses.values())
    claim = (
        "Files drawn afresh leave exactly the predicted product of violations "
        f"({style.counted(len(exact), 'author')}); the same file again, or one that drops the rule, breaks the "
        "hypotheses and the product"
    )
    note = f"all {count:,} sequences of four reloads, each of six files, through the checker and the model"
    figure = style.sheet(5.4, 4.2, claim, note)
    axes = figure.subplots()
    drawn = set()
    looks = (("o", style.BLUE), ("s", style.GREEN), ("^", style.RED), ("D", style.PURPLE))
    for (name, found), (marker, colour) in zip(courses.items(), looks):
        after = np.arange(len(found["product"]) + 1)
        product = tuple(found["product"])
        if product not in drawn:
            drawn.add(product)
            dash = "-" if len(drawn) == 1 else "--"
            words = f"predicted: product of (1 - p), {name.split(', ', 1)[1]}"
            axes.plot(after, (1, *product), dash, color=style.BLACK, lw=1.0, label=words)
        look: dict[str, Any] = {"ls": "none"} if found["exactly_the_product"] else {"ls": ":", "lw": 0.8}
        axes.plot(after, [1, *found["violating"]], marker=marker, color=colour, label=name, **look)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="reloads", ylabel="probability that the violation persists", ylim=(0, 1.04))
    style.legend_below(figure, axes.get_legend_handles_labels()[0], 1)
    return figure


def running_file(numbers: Numbers) -> Figure:
    """Attention of the newest token on the rule's block, while the file changes."""
    run = numbers["running"]
    at, promise, mass = np.arange(len(run["mass"])), np.array(run["promise"]), np.array(run["mass"])
    kept = int((mass >= promise)[promise > 0].sum())
    claim = (
        f"Rules reloaded while tokens come: all {kept} tokens under a promise keep it, a refused file changes nothing, "
        "and after removal the attention is that of the model without rules, bit for bit"
        if kept == (promise > 0).sum() and run["same_without_rules"]
        else f"Rules reloaded while tokens come: {kept} of {(promise > 0).sum()} tokens keep what was promised"
    )
    figure = style.sheet(6.4, 3.6, claim, "least over layers and heads of the newest token's attention on one block")
    axes = figure.subplots()
    axes.step(at, promise, where="mid", color=style.BLACK, label="promised by the file that is in force")
    axes.plot(at, run["mass"], "o", color=style.BLUE, label="measured")
    axes.plot(at, run["without"], "x", color=style.GREY, label="measured without rules, same tokens")
    for place, words in run["events"]:
        axes.axvline(place - 0.5, color=style.PALE, zorder=0)
        axes.text(place - 0.3, 1.14, words, size=6.5, va="center")
    axes.set(xlabel="token generated", ylabel="attention on the target", ylim=(-0.04, 1.22), xlim=(-0.7, len(at) - 0.3))
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
    style.legend_below(figure, axes.get_legend_handles_labels()[0], 3)
    return figure
