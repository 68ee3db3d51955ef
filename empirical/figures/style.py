"""How every figure looks: one palette (Okabe-Ito), one set of markers, one way to save.

Colour never stands alone: starts differ in marker shape, lines in dash, regions in hatch, so grey print loses nothing.
No pyplot: a figure is an object, and style holds only inside `drawing()`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bounds.dial.closed_forms import kappa_of_dial
from bounds.penalty.fields import Start
from empirical.files import one_line

BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, RED, PURPLE = (
    "#000000",
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#F0E442",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
)
GREY, PALE = "#6b6b6b", "#e4e4e4"
BLOCKS = (BLUE, ORANGE, GREEN, PURPLE, SKY, RED, YELLOW, GREY)
STARTS: Mapping[str, tuple[str, str, str]] = {  # start: (marker, colour, words)
    Start.LOCALISED: ("o", BLUE, "localised start"),
    Start.ZERO: ("s", RED, "zero start"),
    Start.RANDOM: ("^", GREEN, "random start"),
    Start.PLAIN: ("D", PURPLE, "random start, plain steps"),
    Start.DOWNWARDS: ("v", BLUE, "localised branch, downwards"),
    Start.UPWARDS: ("^", RED, "distributed branch, upwards"),
    Start.UNGATED: ("s", RED, "no gates: a plain penalty on leakage"),
}
ORDERED = ListedColormap(matplotlib.colormaps["viridis"](np.linspace(0, 0.92, 256)))  # ordered in grey as well
DPI = 200
LEAST_SPAN = 0.02  # of an axis of losses, as a share of the loss
DIAL_ONE = 11.0  # where dial 1 stands on an axis of kappa
RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8.0,
    "axes.titlesize": 8.0,
    "axes.labelsize": 8.0,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "xtick.labelsize": 7.0,
    "ytick.labelsize": 7.0,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "legend.fontsize": 7.0,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "lines.markersize": 4.0,
    "hatch.linewidth": 0.4,
    "hatch.color": "#8a8a8a",
    "svg.fonttype": "path",  # the same letters on every machine
    "svg.hashsalt": "localist-bounds",  # the same file from the same data
}


@contextmanager
def drawing() -> Iterator[None]:
    """Our style inside, the caller's settings outside."""
    with matplotlib.rc_context(RC):
        yield


def sheet(width: float, height: float, claim: str, note: str = "") -> Figure:
    """An empty figure in inches: what is seen as its title, the conditions in grey below, both wrapped to its width."""
    figure = Figure(figsize=(width, height))
    top = 1 - 0.06 / height
    for words, size, weight, colour, letters in ((claim, 8.5, "bold", BLACK, 14.0), (note, 7.0, "normal", GREY, 18.5)):
        if words:
            lines = fill(words, int(letters * width))
            figure.text(0.05 / width, top, lines, va="top", size=size, weight=weight, color=colour, linespacing=1.2)
            top -= 1.32 * size / 72 / height * (lines.count("\n") + 1)
    figure.set_layout_engine("constrained", rect=(0, 0, 1, top - 0.02 / height))
    return figure


def plain(name: object) -> str:
    """A name from a file as text: no mathematics, no control characters, one line."""
    return one_line(name).replace("$", r"\$")


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """NAME.png at 200 dpi and NAME.svg without a date, so that equal data give equal files."""
    png, svg = folder / f"{name}.png", folder / f"{name}.svg"
    figure.savefig(png, dpi=DPI, metadata={"Software": None})
    figure.set_layout_engine("none")  # laid out by now: not once more for the second file
    figure.savefig(svg, dpi=DPI, metadata={"Date": None, "Creator": None})
    return [png, svg]


def counted(count: int, noun: str) -> str:
    """`1 seed`, `3 seeds`, `1,200 queries`."""
    several = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{count:,} {noun if count == 1 else several}"


def loss_axis(axes: Axes, values: Any) -> None:
    """Limits that show a difference of losses as large only where it is: at least 2 % of the loss from end to end."""
    finite = np.asarray(values, dtype=float)
    finite = finite[np.isfinite(finite)]
    if not finite.size:
        return
    low, high = float(finite.min()), float(finite.max())
    span = max(1.1 * (high - low), LEAST_SPAN * max(abs(low), abs(high)))
    if span:
        axes.set_ylim(0.5 * (low + high - span), 0.5 * (low + high + span))


def scatter_starts(axes: Axes, start: np.ndarray, x: np.ndarray, y: np.ndarray, c: np.ndarray, **look: Any) -> None:
    """Points in the shape of their start and the colour of `c`, edged in white."""
    for name, (marker, _, _) in STARTS.items():
        mine = start == name
        if mine.any():
            axes.scatter(x[mine], y[mine], c=c[mine], cmap=ORDERED, marker=marker, ec="white", **look)


def mark_settings(axes: Axes, start: str, x: np.ndarray, y: np.ndarray, solid: np.ndarray, size: float = 4.0) -> None:
    """Settings of one start: filled where they converged, hollow where not, all of one size."""
    marker, colour, _ = STARTS[start]
    for mask, look in ((solid, {"mec": "white", "mew": 0.4}), (~solid, {"mfc": "white", "mew": 0.8})):
        if mask.any():
            axes.plot(x[mask], y[mask], marker, color=colour, ms=size, zorder=4, **look)


def start_key(starts: Sequence[str], hollow: bool = False, grey: bool = False) -> list[Line2D]:
    """Legend handles of the starts present; hollow markers stand for settings that did not converge."""
    looks = [(STARTS[s][0], GREY if grey else STARTS[s][1], STARTS[s][2]) for s in starts]
    handles = [Line2D([], [], ls="", marker=marker, color=colour, label=words) for marker, colour, words in looks]
    if hollow:
        handles.append(Line2D([], [], ls="", marker="o", mfc="white", color=GREY, label="hollow: not converged"))
    return handles


def legend_below(figure: Figure, handles: Sequence[Any], columns: int = 4) -> None:
    figure.legend(handles=list(handles), loc="outside lower left", ncols=columns, handlelength=2.2, columnspacing=1.6)


def dial_places(dials: Any) -> np.ndarray:
    """Where dials stand on an axis of kappa; dial 1 at its end."""
    with np.errstate(divide="ignore"):
        return np.minimum(kappa_of_dial(np.asarray(dials, dtype=float)), DIAL_ONE)


def dials_between(low: float, high: float) -> np.ndarray:
    """Dials along an axis of kappa, close enough for a curve; dial 1 where its end is there."""
    kappa = np.linspace(low, min(high, DIAL_ONE), 161)
    return np.where(kappa >= DIAL_ONE, 1.0, -np.expm1(-kappa))


def dress_dials(axes: Axes) -> None:
    """An axis of kappa, told as dials: near 1 nothing else is even."""
    ticks = [0, 0.5, 0.9, 0.99, 0.999, 0.9999, 1]
    axes.set_xticks(dial_places(ticks), ["0", ".5", ".9", ".99", ".999", ".9999", "1"])
    axes.set_xlabel("dial, evenly in $\\kappa = -\\ln(1 - dial)$")
