"""Gates along penalties: what is lost and what leaks, which gates are zero, and leakage against what was predicted.

predicted before the path is solved: lambda_crit from one pass at the mask; Omega <= (L(mask) - L_lower)/penalty
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from empirical.figures import style
from empirical.figures.observed import Absent
from empirical.figures.penalty_axis import PenaltyAxis

LOOKS = {
    "mask": ("o", style.BLUE, "-", "from the mask, penalties falling"),
    "trained": ("s", style.RED, (0, (4, 2)), "from all open, penalties rising"),
}
ENDS = {"mask": ("P", style.BLACK, "mask: all gates shut"), "as_trained": ("*", style.GREEN, "model as trained")}


def loss_and_leakage(found: xr.Dataset) -> Figure:
    """Losses of both halves of the documents against mean leakage, and against the outside attention that is gone."""
    said = found.attrs
    halves = [("", "documents that chose"), ("_held_out", "documents held out")]
    figure = style.sheet(6.6, 4.9, *_cheapest(found))
    grid = figure.subplots(2, 2, sharex="col", sharey="row")
    for line, (half, words) in zip(grid, halves):
        whole = said[f"omega_as_trained{half}"]
        scales = (lambda omega: omega / said["heads"], lambda omega, whole=whole: 1 - omega / whole)
        for axes, scale in zip(line, scales):
            for start, (marker, colour, dash, _) in _there(found).items():
                one = found.sel(start=start)
                x, y = scale(one[f"omega{half}"].values), one[f"loss{half}"].values
                axes.plot(x, y, color=colour, ls=dash, lw=0.9)
                axes.plot(x, y, marker, color=colour, ms=3.6, mec="white", mew=0.4)
            for end, (marker, colour, _) in ENDS.items():
                place = scale(said[f"omega_{end}{half}"]), said[f"loss_{end}{half}"]
                axes.plot(*place, marker, color=colour, ms=8, mec="white", mew=0.6, zorder=5)
            if half and "loss_chosen" in said:
                at = scale(said["omega_chosen"]), said["loss_chosen"]
                axes.plot(*at, "o", mfc="none", mec=style.ORANGE, ms=10, mew=1.6, zorder=6)
        line[0].set_ylabel(f"loss ({_unit(said)})\n{words}")
        losses = [*found[f"loss{half}"].values.ravel(), *(said[f"loss_{end}{half}"] for end in ENDS)]
        style.loss_axis(line[0], losses)
    grid[1][0].set_xlabel("mean leakage of a head")
    grid[1][1].set_xlabel("share of outside attention removed")
    chosen = [Line2D([], [], ls="", marker="o", mfc="none", mec=style.ORANGE, ms=8, mew=1.6, label="gates saved")]
    style.legend_below(figure, [*_starts(found), *_ends(), *chosen], columns=3)
    return figure


def _unit(said: dict) -> str:
    return {"cosine": "1 - cosine", "kl": "KL, nats a token"}.get(said.get("unit", ""), "nats a token")


def _cheapest(found: xr.Dataset) -> tuple[str, str]:
    """The most outside attention that went at 0.01 or less above the model as trained, held out."""
    said = found.attrs
    change = found["loss_held_out"].values - said["loss_as_trained_held_out"]
    removed = 1 - found["omega_held_out"].values / said["omega_as_trained_held_out"]
    cheap = change <= 0.01
    cost = said["loss_mask_held_out"] - said["loss_as_trained_held_out"]
    mask = f"the mask costs {cost:+.3g}"
    note = "one point a penalty; removed: of the leakage as trained. Gates were chosen on the documents above alone"
    if not cheap.any():
        least = f"the cheapest gates found cost {change.min():+.3g}, {mask}"
        return f"No gates found are within 0.01 of the model as trained, held out: {least}", note
    best = np.unravel_index(int(np.where(cheap, removed, -np.inf).argmax()), removed.shape)
    return f"{removed[best]:.0%} of outside attention goes at {change[best]:+.3g} held out; {mask}", note


def _there(found: xr.Dataset) -> dict[str, tuple]:
    return {start: LOOKS[start] for start in LOOKS if start in found["start"].values}


def _starts(found: xr.Dataset) -> list[Line2D]:
    return [
        Line2D([], [], marker=marker, color=colour, ls=dash, lw=0.9, ms=3.6, label=words)
        for marker, colour, dash, words in _there(found).values()
    ]


def _ends() -> list[Line2D]:
    return [Line2D([], [], ls="", marker=m, color=c, ms=7, label=words) for m, c, words in ENDS.values()]


def zero_gates(found: xr.Dataset) -> Figure:
    """The share of gates that are exactly zero, against the penalty; predicted, and found."""
    axis, axes, figure = _against_penalty(found, 3.2, *_opens(found))
    for start, (marker, colour, dash, _) in _there(found).items():
        one = found.sel(start=start)
        x = axis.place(one["penalty"].values)
        axes.plot(x, one["shut"].values, color=colour, ls=dash, lw=1.0)
        axes.plot(x, one["shut"].values, marker, color=colour, ms=4, mec="white", mew=0.4)
    axes.set_ylim(-0.03, 1.05)
    axes.set_ylabel("share of gates exactly 0")
    style.legend_below(figure, [*_starts(found), *_lines(axes, axis, found)], columns=2)
    return figure


def _against_penalty(found: xr.Dataset, height: float, claim: str, note: str) -> tuple[PenaltyAxis, Axes, Figure]:
    penalties = found["penalty"].values
    if len(penalties) < 2:
        raise Absent("gates were solved for one penalty alone")
    witness, critical = found.attrs["global_witness"], found.attrs["lambda_crit"]
    axis = PenaltyAxis([*penalties, *(x for x in (witness, critical) if np.isfinite(x) and x > 0)])
    figure = style.sheet(5.4, height, claim, note)
    axes = figure.subplots()
    axis.dress(axes, "penalty on leakage summed over heads (nats a token)")
    return axis, axes, figure


def _opens(found: xr.Dataset) -> tuple[str, str]:
    critical, falling = found.attrs["lambda_crit"], found.sel(start="mask")
    shut = falling["shut"].values == 1
    above, below = (found["penalty"].values > critical), (found["penalty"].values < critical)
    kept = "as predicted" if shut[above].all() else "BUT NOT ALL STAY SHUT ABOVE IT"
    opened = f"{falling['shut'].values[below].max():.0%} are zero next below" if below.any() else ""
    return (
        f"From the mask every gate is exactly zero above the critical penalty {critical:.3g}, {kept}; {opened}",
        "critical penalty: predicted by one backward pass at the mask. Witness: the mask is no global "
        "minimiser at a smaller penalty, by the gates found",
    )


def _lines(axes: Axes, axis: PenaltyAxis, found: xr.Dataset) -> list[Line2D]:
    """The critical penalty and the global witness."""
    told = (
        ("lambda_crit", style.BLACK, "-", "critical penalty"),
        ("global_witness", style.PURPLE, ":", "global witness"),
    )
    handles = []
    for name, colour, dash, words in told:
        value = found.attrs[name]
        if np.isfinite(value) and value > 0:
            axes.axvline(float(axis.place(value)), color=colour, ls=dash, lw=1.1)
            handles.append(Line2D([], [], color=colour, ls=dash, lw=1.1, label=f"{words} {value:.3g}"))
    return handles


def predicted_leakage(found: xr.Dataset) -> Figure:
    """Leakage against the ceiling that was predicted before the path was solved."""
    beats, omega = found["beats_mask"].values.astype(bool), found["omega"].values
    ceiling = np.broadcast_to(found["omega_ceiling"].values, omega.shape)
    over = omega > ceiling * (1 + 1e-9)  # of rounding
    held, judged = int((beats & ~over).sum()), int(beats.sum())
    some = beats & (omega > 0)
    near = f"; {(omega[some] / ceiling[some]).max():.2g} of it at the nearest" if some.any() else ""
    axis, axes, figure = _against_penalty(
        found,
        3.3,
        f"Leakage is below its predicted ceiling at {held} of {judged} solutions no worse than the mask{near}",
        f"ceiling (L(mask) - L_lower)/penalty, L_lower = {found.attrs['loss_lower']:g}; hollow: worse than the mask, "
        "about which the ceiling says nothing. Zeros stand on the lower edge",
    )
    floor = 10 ** np.floor(np.log10(omega[omega > 0].min())) if (omega > 0).any() else 1e-6
    penalties = found["penalty"].values
    axes.plot(axis.place(penalties), found["omega_ceiling"].values, color=style.BLACK, lw=1.2)
    for start, (marker, colour, dash, _) in _there(found).items():
        at = list(found["start"].values).index(start)
        y = np.maximum(omega[at], floor)
        axes.plot(axis.place(penalties), y, color=colour, ls=dash, lw=0.7)
        for mine, look in ((beats[at], {"mec": "white", "mew": 0.4}), (~beats[at], {"mfc": "white", "mew": 0.8})):
            axes.plot(axis.place(penalties)[mine], y[mine], marker, color=colour, ms=4.2, **look)
    most = max(found.attrs["omega_as_trained"], float(omega.max()))
    axes.axhline(most, color=style.GREEN, lw=0.8, ls="-.")
    axes.set_yscale("log")
    axes.set_ylim(floor / 1.5, 3 * max(most, float(np.nanmin(found["omega_ceiling"].values))))
    axes.set_ylabel("leakage, summed over heads")
    lines = [
        Line2D([], [], color=style.BLACK, lw=1.2, label="predicted ceiling"),
        Line2D([], [], color=style.GREEN, lw=0.8, ls="-.", label="as trained"),
    ]
    style.legend_below(figure, [*_starts(found), *lines, *_lines(axes, axis, found)], columns=2)
    return figure


def trained_weights(found: xr.Dataset) -> Figure:
    """Loss, leakage and gates, a document a step, while weights and gates are trained together."""
    if "training_loss" not in found:
        raise Absent("weights were not trained")
    loss, omega, shut = (found[f"training_{name}"].values for name in ("loss", "omega", "shut"))
    part = max(1, len(loss) // 4)
    figure = style.sheet(
        6.4,
        2.7,
        f"Weights trained with gates: loss {loss[:part].mean():.3f} in the first quarter of the steps, "
        f"{loss[-part:].mean():.3f} in the last; gates exactly zero {shut[0]:.0%}, {shut[-1]:.0%}",
        "one document a step, on the documents that chose",
    )
    panels = (("loss (nats a token)", loss), ("leakage, summed over heads", omega), ("share of gates exactly 0", shut))
    for axes, (words, values), colour in zip(figure.subplots(1, 3), panels, (style.BLUE, style.RED, style.GREY)):
        axes.plot(np.arange(len(values)), values, color=colour, lw=0.9)
        axes.set(title=words, xlabel="step")
    return figure
