"""Gates trained with the weights: which are exactly 0 at which penalty, what leakage is left, how training went.

Marked are the critical penalty that each seed's localised model predicts; the global witness, the largest (L_0 - L)/
Omega found, L_0 the seed's least loss without leakage: below it no solution without leakage that was found is a global
minimiser; and level A, above which every gate is shut at every stationary point. Leakage 0 stands below its axis.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bounds.gates.calculators import penalised_leakage_ceiling
from bounds.penalty.fields import Start
from empirical.check.gates import level_a
from empirical.figures import style
from empirical.figures.observed import Absent, Observed
from empirical.figures.penalty_axis import PenaltyAxis, critical_penalties, penalty_norm, sides

SOLUTION = ("loss_train", "omega")
NEED = ("gate", *SOLUTION, "loss_localised", "loss_shut", "critical")


def zero_gates(seen: Observed) -> Figure:
    """The share of gates that are exactly 0 at each penalty, beside three levels: the critical penalty, at which one
    predicts that gates open from all shut; the global witness, below which shut gates are not best; level A, above
    which every gate is shut wherever training comes to rest.

    Raises Absent where no gates were trained.
    """
    seen.need(*NEED)
    moved = seen.start != Start.UNGATED
    if not moved.any():
        raise Absent("no gates were moved")
    shut = (seen.values("gate") == 0).mean(-1)
    axis, places = _places(seen)
    figure = style.sheet(6.4, 3.6, *_shut_title(seen, shut, moved))
    axes = figure.subplots()
    for start, _, order in seen.branches():
        if start != Start.UNGATED:
            axes.plot(places[start][order], shut[order], color=style.STARTS[start][1], lw=0.7, alpha=0.6, zorder=2)
            style.mark_settings(axes, start, places[start][order], shut[order], seen.solid[order])
    marks = _mark(axes, axis, seen)
    axes.set(ylim=(-0.04, 1.04), ylabel="share of gates exactly 0")
    axis.dress(axes, seen.penalty_label)
    starts = [start for start in seen.starts if start != Start.UNGATED]
    style.legend_below(figure, [*style.start_key(starts, hollow=not seen.solid.all()), *marks], columns=3)
    return figure


def _places(seen: Observed) -> tuple[PenaltyAxis, dict[str, np.ndarray]]:
    axis = PenaltyAxis(np.concatenate([seen.penalty, [value for _, value, _ in _levels(seen)]]))
    return axis, {start: axis.place(seen.penalty, side) for start, side in sides(seen.starts).items()}


def witness(seen: Observed) -> float:
    """The largest (L_0 - L)/Omega of a setting, L_0 its seed's least loss at leakage 0; NaN without one above 0."""
    loss, omega, *others = (seen.values(name).astype(float) for name in (*SOLUTION, "loss_localised", "loss_shut"))
    best = 0.0
    for seed in np.unique(seen.seed):
        mine = seen.seed == seed
        least = min(values[mine].min() for values in others)
        some = mine & (omega > 0)
        best = max(best, float(((least - loss[some]) / omega[some]).max(initial=0.0)))
    return best if best > 0 else math.nan


def _levels(seen: Observed) -> Iterator[tuple[str, float, dict[str, Any]]]:
    """Words, value and look of every level that is known."""
    critical, level = critical_penalties(seen), level_a(seen.dataset)
    found = (
        ("critical penalty, predicted", float(np.median(critical)) if critical.size else math.nan, {"ls": "-"}),
        ("global witness", witness(seen), {"ls": (0, (4, 2))}),
        ("level A, proved", float(level[0]), {"ls": (0, (1, 1.5))}),
    )
    yield from (one for one in found if np.isfinite(one[1]) and one[1] > 0)


def _mark(axes: Axes, axis: PenaltyAxis, seen: Observed) -> list[Line2D]:
    """Every level as a line, the critical penalties of all seeds behind theirs; the handles of a legend."""
    critical = axis.place(critical_penalties(seen))
    if critical.size > 1:
        axes.axvspan(critical.min(), critical.max(), color=style.PALE, lw=0, zorder=0)
    handles = []
    for words, value, look in _levels(seen):
        axes.axvline(float(axis.place(value)), color=style.BLACK, lw=0.9, zorder=1, **look)
        handles.append(Line2D([], [], color=style.BLACK, lw=0.9, label=f"{words}: {value:.3g}", **look))
    return handles


def _shut_title(seen: Observed, shut: np.ndarray, moved: np.ndarray) -> tuple[str, str]:
    stay = moved & (seen.start == Start.LOCALISED) & (seen.penalty > seen.values("critical"))
    level = level_a(seen.dataset)
    above = moved & (seen.penalty > level)
    claim = f"All gates are exactly 0 in {(shut == 1)[moved].sum()} of {style.counted(int(moved.sum()), 'setting')}"
    if above.any():
        claim += f", {(shut == 1)[above].sum()} of {above.sum()} above level A"
    note = f"{seen.values('gate').shape[1]} gates, weights trained with them"
    if stay.any():
        ended = int((shut == 1)[stay].sum())
        note += f"; of {stay.sum()} localised starts above the critical penalty {ended} end all shut"
        note += "" if ended == stay.sum() else ": weights move on, and it with them"
    return claim, note


class _LeakageAxis:
    """Leakage by powers of ten; exactly 0 half a decade below the least."""

    def __init__(self, *values: np.ndarray) -> None:
        every = np.concatenate([v[np.isfinite(v)] for v in values])
        positive = every[every > 0]
        self.low = float(np.floor(np.log10(positive.min()))) if positive.size else -1.0
        self.high = float(np.log10(positive.max())) if positive.size else 0.0
        self.zero = self.low - 0.6

    def place(self, values: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):
            return np.where(values > 0, np.log10(values), self.zero)

    def dress(self, axes: Axes) -> None:
        every = max(1, round((self.high - self.low) / 6))
        ticks = range(int(self.low), int(np.floor(self.high)) + 1, every)
        axes.set_yticks([self.zero, *ticks], ["exactly 0", *(f"$10^{{{t}}}$" for t in ticks)])
        axes.axhspan(self.zero - 0.3, self.zero + 0.3, color=style.PALE, lw=0, zorder=0)
        axes.set(ylim=(self.zero - 0.3, self.high + 0.3), ylabel="leakage $\\Omega$, summed over heads")


def leakage_and_ceiling(seen: Observed) -> Figure:
    """The leakage that each setting ended with, under the line that was known before training and the dash that its
    loss gives; the dash holds where the objective is no larger than that of the localised model.

    Raises Absent where no gates were trained.
    """
    seen.need(*NEED)
    loss, omega, localised = (seen.values(name).astype(float) for name in (*SOLUTION, "loss_localised"))
    applies = loss + seen.penalty * omega <= localised
    before, after = _ceiling(seen, localised, 0 * loss), _ceiling(seen, localised, np.where(applies, loss, np.nan))
    axis, places = _places(seen)
    leakage = _LeakageAxis(omega, after, before)
    figure = style.sheet(6.4, 4.0, *_ceiling_title(seen, applies, omega > after * (1 + 1e-12)))
    axes = figure.subplots()
    for start, _, order in seen.branches():
        x, marker, colour = places[start][order], *style.STARTS[start][:2]
        if start == seen.starts[0]:
            line = axis.place(seen.penalty[order])
            axes.plot(line, leakage.place(before[order]), color=style.BLACK, lw=1.0, zorder=2)
        looks: list[dict[str, Any]] = [{"mfc": "white"}, {"mec": "white", "mew": 0.4}]
        for decided, look in enumerate(looks):
            mask = applies[order] == decided
            axes.plot(x[mask], leakage.place(omega[order])[mask], marker, color=colour, ms=5, zorder=4, **look)
        known = np.isfinite(after[order])
        axes.plot(x[known], leakage.place(after[order])[known], "_", color=colour, ms=9, mew=1.2, zorder=3)
    leakage.dress(axes)
    axis.dress(axes, seen.penalty_label)
    found = "ceiling with the loss found: $(L_{loc} - L)/\\lambda$"
    handles = [
        *style.start_key(seen.starts),
        Line2D([], [], color=style.BLACK, lw=1.0, label="ceiling before training: $L_{loc}/\\lambda$"),
        Line2D([], [], ls="", color=style.GREY, marker="_", ms=9, mew=1.2, label=found),
    ]
    if not applies.all():
        hollow = "hollow: the ceiling says nothing (VACUOUS)"
        handles.append(Line2D([], [], ls="", color=style.GREY, marker="o", mfc="white", label=hollow))
    style.legend_below(figure, handles, columns=2)
    return figure


def _ceiling(seen: Observed, reference: np.ndarray, loss: np.ndarray) -> np.ndarray:
    """Of every setting, NaN where its loss or penalty allows none."""
    known = np.isfinite(loss) & np.isfinite(reference) & (seen.penalty > 0) & (loss <= reference)
    out = np.full(loss.shape, np.nan)
    out[known] = penalised_leakage_ceiling(reference[known], loss[known], seen.penalty[known])
    return out


def _ceiling_title(seen: Observed, applies: np.ndarray, beyond: np.ndarray) -> tuple[str, str]:
    claim = f"No leakage lies above its ceiling, in {style.counted(int(applies.sum()), 'setting')}"
    if beyond.any():
        claim = f"{style.counted(int(beyond.sum()), 'setting').upper()} WITH MORE LEAKAGE THAN THE CEILING ALLOWS"
    note = "the ceiling holds where J(found) <= J of the seed's localised model, whose leakage is 0"
    still = int((~applies).sum())
    if still:
        kinds = [f"{(~applies & (seen.start == start)).sum()} {start}" for start in seen.starts]
        note += f"; VACUOUS in {still} ({', '.join(kinds)}): training ended above it"
    return claim, note


def beside_plain_penalty(seen: Observed) -> Figure:
    """Leakage and training loss at each penalty: with gates, which reach 0 exactly, and with a plain penalty on the
    same leakage, which softmax cannot bring to 0.

    Raises Absent without both.
    """
    seen.need(*NEED)
    plain, gated = seen.start == Start.UNGATED, seen.start != Start.UNGATED
    if not plain.any() or not gated.any():
        raise Absent("not both gates and a plain penalty on leakage were trained")
    omega, loss = (seen.values(name).astype(float) for name in ("omega", "loss_train"))
    least, shut = omega[plain].min(), (omega[gated] == 0).sum()
    claim = (
        f"Gates bring leakage to exactly 0 in {shut} of {style.counted(int(gated.sum()), 'setting')}, a plain penalty "
    )
    claim += f"in none: its least is {least:.1g}" if least > 0 else "too, where its weights underflow"
    at = np.flatnonzero(plain)[omega[plain].argmin()]
    extra = loss[at] - float(seen.values("loss_localised")[at])
    note = (
        f"there, at penalty {seen.penalty[at]:.3g}, its loss is {abs(extra):.3f} {seen.loss_unit} "
        f"{'above' if extra > 0 else 'below'} that of the localised model, whose leakage is 0; training sequences"
    )
    axis, places = _places(seen)
    leakage = _LeakageAxis(omega)
    figure = style.sheet(6.4, 4.8, claim, note)
    top, bottom = figure.subplots(2, 1, sharex=True)
    for start, _, order in seen.branches():
        x, colour = places[start][order], style.STARTS[start][1]
        for axes, values in ((top, leakage.place(omega)), (bottom, loss)):
            axes.plot(x, values[order], color=colour, lw=0.7, alpha=0.6, zorder=2)
            style.mark_settings(axes, start, x, values[order], seen.solid[order])
    for value in np.unique(seen.values("loss_localised")):
        bottom.axhline(value, color=style.BLACK, lw=0.8, zorder=1)
    leakage.dress(top)
    top.set_ylabel("leakage $\\Omega$")
    style.loss_axis(bottom, np.append(loss, seen.values("loss_localised")))
    bottom.set_ylabel(f"training loss\n({seen.loss_unit})")
    axis.dress(bottom, seen.penalty_label)
    line = Line2D([], [], color=style.BLACK, lw=0.8, label="loss of the localised model")
    style.legend_below(figure, [*style.start_key(seen.starts, hollow=not seen.solid.all()), line], columns=2)
    return figure


def along_training(seen: Observed) -> Figure:
    """As weights are trained the critical penalty moves with them: what it is at each moment's mask, and the norm of
    the gradient of the objective in all weights, a column for each start."""
    seen.need(*NEED, "moment_critical", "moment_gradient", "probe_open")
    steps, opened = seen.values("moment_step"), seen.values("probe_open")
    critical, gradient = seen.values("moment_critical"), seen.values("moment_gradient")
    ratios, wants = seen.values("probe_ratio"), critical > 0
    below, above = (opened[..., side][wants] > 0 for side in (ratios < 1, ratios > 1))
    claim = (
        f"At {ratios.min():g} of the moment's critical penalty one projected step opens a gate in {below.sum()} of "
        f"{below.size} moments, at {ratios.max():g} in {above.sum()} of {above.size}"
    )
    note = "critical penalties at the mask of each moment's weights; a line a setting, its penalty in colour"
    if np.isfinite(level_a(seen.dataset)).any():
        note += "; caps hold weights where their gradient is not 0"
    if not wants.all():
        note += f"; in {(~wants).sum()} further moments no gate wants to open at any penalty"
    figure = style.sheet(max(5.0, 1.2 + 2.1 * len(seen.starts)), 4.2, claim, note)
    grid = figure.subplots(2, len(seen.starts), sharex=True, sharey="row", squeeze=False)
    norm = penalty_norm(seen.penalty)
    for column, start in zip(grid.T, seen.starts):
        for at in np.flatnonzero(seen.start == start):
            colour = style.ORDERED(float(norm(max(seen.penalty[at], norm.vmin or 0.0))))
            for axes, values in zip(column, (critical, gradient)):
                axes.plot(steps, np.where(values[at] > 0, values[at], np.nan), "o-", color=colour, lw=0.8, ms=2.5)
        column[0].set_title(style.STARTS[start][2])
        column[1].set_xlabel("steps")
        column[1].set_xticks(steps[[0, -1]])
    for axes, words in zip(grid[:, 0], ("critical penalty of the moment", "norm of $\\partial J/\\partial\\theta$")):
        axes.set_yscale("log")
        axes.set_ylabel(words)
    figure.colorbar(ScalarMappable(norm, style.ORDERED), ax=grid, pad=0.01, aspect=40, label=seen.penalty_label)
    return figure
