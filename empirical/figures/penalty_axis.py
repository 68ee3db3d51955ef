"""A logarithmic penalty axis without empty stretches, its colours, and the window around the critical penalty."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm

from empirical.figures import style
from empirical.figures.observed import Observed

EMPTY = 1 / 3  # of an axis: a wider stretch without a penalty is cut out
UNLIKE = 3.0  # and wider than this many of the others
BREAK = 0.12  # width of a break, as a share of what is drawn
ZOOM = (0.9, 1.1)  # penalty / critical in a close-up


class PenaltyAxis:
    """Places of penalties on a linear axis: log10, less what is cut out.

    An unpenalised setting stands left of the others, marked 0; a wide gap is cut out. Either break is marked, and what
    stands beyond has ticks of its own. With `apart`, branches at equal penalties stand side by side.
    """

    def __init__(self, penalties: Any):
        penalties = np.asarray(penalties, dtype=float)
        self.has_zero = bool((penalties == 0).any())
        positive = np.unique(penalties[np.isfinite(penalties) & (penalties > 0)])
        log = np.log10(positive if positive.size else np.array([1e-4, 1e-2]))
        self.ends = (float(log[0]), float(log[-1]))
        self.gaps = _gaps(log)
        drawn = max(self.ends[1] - self.ends[0] - sum(high - low for low, high in self.gaps), 0.3)
        self.step = BREAK * drawn
        self.apart = 0.012 * drawn

    def place(self, penalties: Any, side: float = 0.0) -> np.ndarray:
        """Where penalties stand, `side` steps of `apart` to the right; NaN in a gap that is cut out."""
        penalties = np.asarray(penalties, dtype=float)
        with np.errstate(divide="ignore"):
            log = np.log10(penalties)
        place = log.copy()
        for low, high in self.gaps:
            place = np.where(log >= high - 1e-12, place - (high - low) + self.step, place)
            place = np.where((log > low + 1e-12) & (log < high - 1e-12), np.nan, place)
        return np.asarray(np.where(penalties == 0, self.ends[0] - self.step, place) + side * self.apart)

    def dress(self, axes: Axes, label: str | None) -> None:
        """Limits, ticks and breaks; without a label the ticks too have no names."""
        starts = [self.ends[0], *(high for _, high in self.gaps)]
        parts = list(zip(starts, [*(low for low, _ in self.gaps), self.ends[1]]))
        several = sum(int(np.floor(high) - np.ceil(low)) + 1 for low, high in parts) >= 3
        ticks = [tick for low, high in parts for tick in _ticks(low, high, several)]
        places, names = [float(self.place(tick)) for tick, _ in ticks], [name for _, name in ticks]
        if self.has_zero:
            places, names = [float(self.place(0.0)), *places], ["0", *names]
        axes.set_xticks(places, names)
        minor = [float(self.place(t)) for low, high in parts for t in _between(low, high)]
        axes.set_xticks(minor, minor=True)
        left = self.ends[0] - (self.step if self.has_zero else 0.0)
        right = float(self.place(10 ** self.ends[1]))
        room = max(0.03 * (right - left), 3 * self.apart)
        axes.set_xlim(left - room, right + room)
        breaks = [float(self.place(10**low)) + 0.5 * self.step for low, _ in self.gaps]
        for middle in [*([self.ends[0] - 0.5 * self.step] if self.has_zero else []), *breaks]:
            for shift in (-0.12, 0.12):
                across = axes.get_xaxis_transform()
                place = [middle + shift * self.step] * 2
                axes.plot(place, [-0.018, 0.018], transform=across, color=style.BLACK, lw=0.7, clip_on=False)
        if label:
            axes.set_xlabel(label)
        else:
            axes.tick_params(labelbottom=False)


def _gaps(log: np.ndarray) -> list[tuple[float, float]]:
    """The stretches to cut out, from left to right."""
    widths, left, gaps = np.diff(log), float(log[-1] - log[0]), []
    for at in np.argsort(-widths, kind="stable"):
        if widths[at] <= max(EMPTY * left, UNLIKE * float(np.median(widths))):
            break
        gaps.append((float(log[at]), float(log[at + 1])))
        left -= float(widths[at])
    return sorted(gaps)


def _ticks(low: float, high: float, several: bool) -> list[tuple[float, str]]:
    """(penalty, name): powers of ten, and 2 and 5 times them where they are few; in a short stretch its middle."""
    factors = (1,) if several else (1, 2, 5)
    found = [(f * 10.0**e, _name(f, e)) for e in range(int(np.floor(low)), int(np.ceil(high)) + 1) for f in factors]
    found = [(value, name) for value, name in found if low - 1e-9 <= np.log10(value) <= high + 1e-9]
    if found:
        return found
    mantissa, exponent = f"{10 ** (0.5 * (low + high)):.1e}".split("e")
    return [(float(f"{mantissa}e{exponent}"), _name(float(mantissa), int(exponent)))]


def _name(factor: float, exponent: int) -> str:
    if -2 <= exponent <= 2:
        return f"{factor * 10.0**exponent:g}"
    return f"$10^{{{exponent}}}$" if factor == 1 else f"${factor:g}\\!\\times\\!10^{{{exponent}}}$"


def _between(low: float, high: float) -> list[float]:
    values = [f * 10.0**e for e in range(int(np.floor(low)), int(np.ceil(high)) + 1) for f in range(2, 10)]
    return [value for value in values if low <= np.log10(value) <= high]


def penalty_norm(penalties: np.ndarray) -> LogNorm:
    """Colours by penalty, logarithmic, spread over where most settings are; an unpenalised one takes the darkest."""
    positive = penalties[penalties > 0]
    if positive.size == 0 or positive.min() == positive.max():
        value = positive.min() if positive.size else 1.0
        return LogNorm(value / 10, value * 10, clip=True)
    least, most = np.quantile(positive, (0.05, 0.85))
    return LogNorm(least, most, clip=True) if least < most else LogNorm(positive.min(), positive.max(), clip=True)


def extends(penalties: np.ndarray, norm: LogNorm) -> str:
    """At which ends of its bar the scale says less than the penalties."""
    below, above = (penalties < norm.vmin).any(), (penalties > norm.vmax).any()
    return {(True, True): "both", (True, False): "min", (False, True): "max"}.get((bool(below), bool(above)), "neither")


def critical_penalties(seen: Observed) -> np.ndarray:
    """The critical penalties predicted from the seeds' localised models, each once."""
    values = seen.values("critical").astype(float).ravel() if seen.has("critical") else np.array([])
    return np.unique(values[np.isfinite(values) & (values > 0)])


def over_critical(seen: Observed) -> np.ndarray:
    """Each setting's penalty over the critical penalty of its seed, NaN without one."""
    ratio = np.full(seen.penalty.shape, np.nan)
    if not seen.has("critical"):
        return ratio
    critical = seen.values("critical").astype(float)
    return np.divide(seen.penalty, critical, out=ratio, where=critical > 0)


def close_up(ratio: np.ndarray) -> bool:
    """Whether settings of several penalties lie in the window around the critical one."""
    near = ratio[np.isfinite(ratio) & (ratio >= ZOOM[0]) & (ratio <= ZOOM[1])]
    return np.unique(near).size >= 2


def sides(starts: Sequence[str]) -> dict[str, float]:
    """How far each start stands from the middle of those that share a penalty."""
    return {start: at - (len(starts) - 1) / 2 for at, start in enumerate(starts)}
