"""A configuration and every threshold that it determines, and no other.

    design(Setting(n_keys=64, n_block=16, fidelity=0.9, margin=3.0))["anchors_for_fidelity"]

A target is *guaranteed* where the theorems force it on every such row, *impossible* where they exclude it from every
one, *open* in between. `Design.table()` and `Design.as_dict()` say the same, in nats and bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, ParamSpec, TypeVar, cast

from bounds.concentration.calculators import fidelity_floor, leakage_ceiling
from bounds.concentration.inverse import (
    anchors_for_fidelity,
    context_for_fidelity,
    margin_for_fidelity,
    temperature_for_fidelity,
)
from bounds.dial.calculators import (
    dial_bias,
    dial_for_fidelity,
    dial_leakage,
    kappa_bias,
    kappa_for_fidelity,
    worst_case_dial,
    worst_case_kappa,
)
from bounds.entropy.calculators import entropy_ceiling
from bounds.entropy.inverse import margin_for_entropy
from bounds.floors.calculators import entropy_floor, fidelity_ceiling
from bounds.numbers.search import Unreachable
from bounds.penalty.calculators import penalty_threshold_leakage_aware, penalty_threshold_worst_case, steps_to_zero
from bounds.thresholds.setting import PenaltySetting, Setting

__all__ = ["Design", "Line", "PenaltySetting", "Region", "Setting", "design"]

BITS = 1 / math.log(2)
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Line:
    """One threshold: a number, or an `Unreachable` that says why there is none."""

    key: str
    label: str
    value: float | int | Unreachable
    unit: str
    theorem: str

    @property
    def reason(self) -> str | None:
        return self.value.reason if isinstance(self.value, Unreachable) else None

    @property
    def bits(self) -> float | None:
        return self.value * BITS if self.unit == "nats" and not isinstance(self.value, Unreachable) else None

    def as_dict(self) -> dict[str, Any]:
        value = None if isinstance(self.value, Unreachable) else _json_number(self.value)
        plain = {"key": self.key, "label": self.label, "value": value, "unit": self.unit}
        bits = {} if self.bits is None else {"bits": self.bits}
        return {**plain, **bits, "theorem": self.theorem, "reason": self.reason}


@dataclass(frozen=True)
class Region:
    """Where a target lies at this x = margin/temperature and D = logit_range/temperature (None: not known)."""

    target: str
    wanted: float
    region: str
    theorem: str
    x: float
    scaled_range: float | None


@dataclass(frozen=True)
class Design:
    """The thresholds of a configuration, in reading order."""

    setting: Setting
    penalty: PenaltySetting | None
    lines: tuple[Line, ...]
    regions: tuple[Region, ...]
    rigorous: bool = False  # every value is the safe end of a rigorous enclosure

    def __getitem__(self, key: str) -> float | int | Unreachable:
        return {line.key: line.value for line in self.lines}[key]

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON: an infinity is "inf" or "-inf", a threshold that cannot be met is null with its reason."""
        return {
            "setting": asdict(self.setting),
            "penalty": None if self.penalty is None else asdict(self.penalty),
            "thresholds": [line.as_dict() for line in self.lines],
            "rigorous": self.rigorous,
            "regions": [{k: _json_number(v) for k, v in asdict(region).items()} for region in self.regions],
        }

    def table(self) -> str:
        """Aligned text; the reasons why a threshold is unreachable stand below."""
        given = {k: v for k, v in asdict(self.setting).items() if v is not None}
        rows = [("threshold", "value", "unit", "theorem")]
        reasons: list[str] = []
        for line in self.lines:
            bits = "" if line.bits is None else f" = {_text(line.bits)} bits"
            if line.reason is not None:
                reasons.append(f"{line.label}: {line.reason}")
            text = repr if self.rigorous else _text  # six digits would round to either side
            value = "unreachable" if isinstance(line.value, Unreachable) else text(line.value)
            rows.append((line.label, value, line.unit + bits, line.theorem))
        for region in self.regions:
            sign = ">=" if region.target == "fidelity" else "<="
            rows.append((f"{region.target} {sign} {_text(region.wanted)}", region.region, "region", region.theorem))
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        rows.insert(1, tuple("-" * width for width in widths))  # pyright: ignore[reportArgumentType]
        text = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
        title = "Setting: " + ", ".join(f"{name} {_text(value)}" for name, value in given.items())
        return "\n".join([title, "", *text, *reasons])


def _json_number(value: Any) -> Any:
    return str(value) if isinstance(value, float) and math.isinf(value) else value


def _text(value: float | int) -> str:
    """Six digits, or as many as it takes to tell a dial from 1."""
    if isinstance(value, int) or (0 < abs(1 - value) < 1e-4):
        return repr(value)
    return f"{value:.6g}"


@dataclass(frozen=True)
class _Ends:
    """Evaluates calculators: in float64, or at the end of an enclosure that promises no more than is proved."""

    rigorous: bool

    def lower(self, calculator: Callable[P, T], *arguments: P.args, **keywords: P.kwargs) -> T:
        """For what is guaranteed at least, or may be at most."""
        return self._at(0, calculator, *arguments, **keywords)

    def upper(self, calculator: Callable[P, T], *arguments: P.args, **keywords: P.kwargs) -> T:
        """For what is guaranteed at most, or must be at least."""
        return self._at(-1, calculator, *arguments, **keywords)

    def _at(self, end: int, calculator: Callable[P, T], *arguments: P.args, **keywords: P.kwargs) -> T:
        estimate = calculator(*arguments, **keywords)
        if not self.rigorous or isinstance(estimate, Unreachable):
            return estimate
        enclose: Callable[..., Any] = calculator
        same_type = cast(Callable[[float], T], type(estimate))  # a whole number stays one
        return same_type(enclose(*arguments, **keywords, rigorous=True)[end])


def _wanted(at: _Ends, s: Setting) -> Iterator[Line]:
    """The margins that the targets need, and the dial as a bias."""
    n, m, r, tau = s.n_keys, s.n_block, s.n_anchors, s.temperature
    if n is not None and m is not None and s.fidelity is not None:
        least = at.upper(margin_for_fidelity, s.fidelity, n, m, r, tau)
        yield Line("margin_for_fidelity", "least margin for the fidelity", least, "logits", "fidelity_floor")
    if n is not None and m is not None and s.entropy is not None:
        least = at.upper(margin_for_entropy, s.entropy, n, m, r, tau)
        yield Line("margin_for_entropy", "least margin for the entropy", least, "logits", "entropy_ceiling")
    if s.dial is not None:
        bias = at.lower(dial_bias, s.dial, tau)
        yield Line("dial_bias", "bias of the dial outside the block", bias, "logits", "odds_law")


def _guaranteed(at: _Ends, s: Setting) -> Iterator[Line]:
    """What the margin guarantees."""
    n, m, r, tau = s.n_keys, s.n_block, s.n_anchors, s.temperature
    if s.margin is None or n is None or m is None:
        return
    key = leakage_ceiling.__name__
    theorem = key if s.logit_range is None else "leakage_ceiling_range"
    leakage = at.upper(leakage_ceiling, s.margin, n, m, r, tau, s.logit_range)
    floor = at.lower(fidelity_floor, s.margin, n, m, r, tau, s.logit_range)
    yield Line(key, "leakage at most", leakage, "of 1", theorem)
    yield Line("fidelity_floor", "fidelity at least", floor, "of 1", theorem if s.logit_range else "fidelity_floor")
    ceiling = at.upper(entropy_ceiling, s.margin, n, m, r, tau)
    yield Line("entropy_ceiling", "entropy at most", ceiling, "nats", "entropy_ceiling")
    if s.dial is not None:
        masked = Unreachable("a row may have all its attention outside the block, and the dial at 1 masks it")
        after = at.upper(dial_leakage, leakage, s.dial) if leakage < 1 or s.dial < 1 else masked
        yield Line("leakage_dialled", "leakage at most, dialled", after, "of 1", "odds_law")


def _for_fidelity(at: _Ends, s: Setting) -> Iterator[Line]:
    """What else would meet the fidelity at this margin."""
    n, m, r, tau = s.n_keys, s.n_block, s.n_anchors, s.temperature
    if s.margin is None or s.fidelity is None or m is None:
        return
    if n is not None:
        anchors = at.upper(anchors_for_fidelity, s.fidelity, s.margin, n, m, tau)
        yield Line("anchors_for_fidelity", "least anchors at this margin", anchors, "keys", "fidelity_floor")
    context = at.lower(context_for_fidelity, s.fidelity, s.margin, m, r, tau)
    yield Line("context_for_fidelity", "most keys at this margin", context, "keys", "fidelity_floor")
    if n is not None:
        cooler = at.lower if s.margin >= 0 else at.upper  # at a negative margin the least temperature is what is found
        hottest = cooler(temperature_for_fidelity, s.fidelity, s.margin, n, m, r)
        yield Line("temperature_for_fidelity", "temperature at this margin", hottest, "", "fidelity_floor")
        leakage = at.upper(leakage_ceiling, s.margin, n, m, r, tau, s.logit_range)
        yield from _dial_at_margin(at, s.fidelity, leakage, tau)


def _dial_at_margin(at: _Ends, fidelity: float, leakage: float, tau: float) -> Iterator[Line]:
    dial = kappa = bias = Unreachable("at this margin a row may have all its attention outside the block")
    if leakage < 1:
        dial, kappa = at.upper(dial_for_fidelity, fidelity, leakage), at.upper(kappa_for_fidelity, fidelity, leakage)
        bias = at.lower(kappa_bias, kappa, tau)
    yield Line("dial_at_margin", "least dial at this margin", dial, "of 1", "odds_law")
    yield Line("kappa_at_margin", "the same as kappa", kappa, "", "odds_law")
    yield Line("bias_at_margin", "the same as a logit bias", bias, "logits", "odds_law")


def _range(at: _Ends, s: Setting) -> Iterator[Line]:
    """What the logit range excludes, and the dial that its worst row needs."""
    n, m, span, tau = s.n_keys, s.n_block, s.logit_range, s.temperature
    if span is None or n is None:
        return
    if m is not None:
        best = at.upper(fidelity_ceiling, span, n, m, tau)
        yield Line("fidelity_ceiling", "fidelity at most, by the range", best, "of 1", "fidelity_ceiling")
    floor = at.lower(entropy_floor, span, n, tau)
    yield Line("entropy_floor", "entropy at least, by the range", floor, "nats", "entropy_floor")
    if m is not None and s.fidelity is not None:
        dial = at.upper(worst_case_dial, s.fidelity, span, n, m, tau)
        kappa = at.upper(worst_case_kappa, s.fidelity, span, n, m, tau)
        bias = at.lower(kappa_bias, kappa, tau)
        yield Line("dial_worst_case", "least dial for every row of the range", dial, "of 1", "odds_law")
        yield Line("kappa_worst_case", "every row: the same as kappa", kappa, "", "odds_law")
        yield Line("bias_worst_case", "every row: the same as a logit bias", bias, "logits", "odds_law")


def _penalty(at: _Ends, s: Setting, penalty: PenaltySetting) -> Iterator[Line]:
    if (norms := penalty.norms) is None:
        return
    level = at.upper(penalty_threshold_worst_case, *norms, penalty.query_share, s.temperature)
    yield Line("penalty_worst_case", "penalty, level A: worst case", level, "loss/norm", "worst_case_threshold")
    if s.margin is not None and s.n_keys is not None and s.n_block is not None:
        keys = (s.n_keys, s.n_block, s.n_anchors)
        leakage = at.upper(leakage_ceiling, s.margin, *keys, s.temperature, s.logit_range)
        share, tau = penalty.query_share, s.temperature
        aware = at.upper(penalty_threshold_leakage_aware, *norms, share, tau, leakage=leakage)
        label = "penalty, level B: at this leakage"
        yield Line("penalty_leakage_aware", label, aware, "loss/norm", "leakage_aware_gradient")
    if penalty.group_norm is not None and penalty.step is not None:
        chosen = 2 * level if penalty.penalty is None else penalty.penalty
        steps = at.upper(steps_to_zero, penalty.group_norm, chosen, level, penalty.step)
        label = f"steps to zero at penalty {_text(chosen)}"
        yield Line("steps_to_zero", label, steps, "steps", "steps_to_zero")


def _regions(at: _Ends, s: Setting) -> Iterator[Region]:
    """A row of range D has a margin of -D at least."""
    n, m, r, tau, span = s.n_keys, s.n_block, s.n_anchors, s.temperature, s.logit_range
    if n is None or m is None or (s.margin is None and span is None):
        return
    margin = s.margin if s.margin is not None else -(span or 0.0)
    place = (margin / tau, None if span is None else span / tau)
    if s.fidelity is not None:
        met = at.lower(fidelity_floor, margin, n, m, r, tau, span) >= s.fidelity and (
            s.fidelity <= 0.5 or at.upper(leakage_ceiling, margin, n, m, r, tau, span) <= 1 - s.fidelity
        )
        best = math.inf if span is None else at.upper(fidelity_ceiling, span, n, m, tau)
        by = "fidelity_floor" if span is None else "leakage_ceiling_range"
        yield Region("fidelity", s.fidelity, *_place(met, best < s.fidelity, by, "fidelity_ceiling"), *place)
    if s.entropy is not None:
        met = at.upper(entropy_ceiling, margin, n, m, r, tau) <= s.entropy
        least = -math.inf if span is None else at.lower(entropy_floor, span, n, tau)
        yield Region("entropy", s.entropy, *_place(met, least > s.entropy, "entropy_ceiling", "entropy_floor"), *place)


def _place(met: bool, excluded: bool, by: str, against: str) -> tuple[str, str]:
    return ("guaranteed", by) if met else ("impossible", against) if excluded else ("open", "")


def design(setting: Setting, penalty: PenaltySetting | None = None, rigorous: bool = False) -> Design:
    """Every threshold that the configuration determines, each by its calculator, and the region of each target.

    `rigorous` takes the safe end of each rigorous enclosure: what is needed rounds up, what is guaranteed is never more
    than is proved. It needs python-flint.
    """
    at = _Ends(rigorous)
    lines = [*_wanted(at, setting), *_guaranteed(at, setting), *_for_fidelity(at, setting), *_range(at, setting)]
    lines += () if penalty is None else _penalty(at, setting, penalty)
    return Design(setting, penalty, tuple(lines), tuple(_regions(at, setting)), rigorous)
