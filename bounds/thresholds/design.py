"""A configuration and every threshold that it determines, and no other.

    design(Setting(n_keys=64, n_block=16, fidelity=0.9, margin=3.0))["anchors_for_fidelity"]

A target is *guaranteed* where the theorems force it on every such row, *impossible* where they exclude it from every
one, *open* in between. `Design.table()` and `Design.as_dict()` say the same, in nats and bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from types import SimpleNamespace
from typing import Any

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
from bounds.thresholds.setting import LEVEL_BOUNDS, PenaltySetting, Setting

__all__ = ["Design", "Line", "PenaltySetting", "Region", "Setting", "design"]

BITS = 1 / math.log(2)


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
        reasons = []
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


def _known(*values: Any) -> bool:
    return all(value is not None for value in values)


SAFE_SIDE: dict[Callable[..., Any], str] = {
    fidelity_floor: "lower",
    entropy_floor: "lower",
    context_for_fidelity: "lower",
    dial_bias: "lower",
    kappa_bias: "lower",
    **dict.fromkeys((leakage_ceiling, entropy_ceiling, fidelity_ceiling, dial_leakage), "upper"),
    **dict.fromkeys((margin_for_fidelity, margin_for_entropy, anchors_for_fidelity), "upper"),
    **dict.fromkeys((dial_for_fidelity, kappa_for_fidelity, worst_case_dial, worst_case_kappa), "upper"),
    **dict.fromkeys((penalty_threshold_worst_case, penalty_threshold_leakage_aware, steps_to_zero), "upper"),
    temperature_for_fidelity: "cooler",
}
"""The end of a rigorous enclosure that promises no more than is proved."""


def _safe(calculator: Callable[..., Any], side: str) -> Callable[..., Any]:
    def safe(*arguments: Any, **keywords: Any) -> Any:
        found = calculator(*arguments, **keywords, rigorous=True)
        if isinstance(found, Unreachable):
            return found
        if side == "cooler":  # the largest temperature that will do; at a negative margin the least
            return found.lower if arguments[1] >= 0 else found.upper
        value = getattr(found, side)
        return int(value) if calculator in WHOLE else value

    return safe


WHOLE = (anchors_for_fidelity, context_for_fidelity, steps_to_zero)


def _concentration(c: Any, setting: Setting) -> Iterator[Line]:
    """What the margin guarantees and what the targets need of it."""
    s: Any = setting  # `_known` is what tells its optional fields
    tau = s.temperature
    n, m, r = s.n_keys, s.n_block, s.n_anchors
    row = {"n_keys": n, "n_block": m, "n_anchors": r, "temperature": tau}
    if _known(n, m, s.fidelity):
        least = c.margin_for_fidelity(s.fidelity, **row)
        yield Line("margin_for_fidelity", "least margin for the fidelity", least, "logits", "fidelity_floor")
    if _known(n, m, s.entropy):
        least = c.margin_for_entropy(s.entropy, **row)
        yield Line("margin_for_entropy", "least margin for the entropy", least, "logits", "entropy_ceiling")
    if s.dial is not None:
        yield Line("dial_bias", "bias of the dial outside the block", c.dial_bias(s.dial, tau), "logits", "odds_law")
    if _known(s.margin, n, m):
        ranged = {**row, "logit_range": s.logit_range}
        theorem = "leakage_ceiling" if s.logit_range is None else "leakage_ceiling_range"
        leakage = c.leakage_ceiling(s.margin, **ranged)
        floor = c.fidelity_floor(s.margin, **ranged)
        yield Line("leakage_ceiling", "leakage at most", leakage, "of 1", theorem)
        yield Line("fidelity_floor", "fidelity at least", floor, "of 1", theorem if s.logit_range else "fidelity_floor")
        ceiling = c.entropy_ceiling(s.margin, **row)
        yield Line("entropy_ceiling", "entropy at most", ceiling, "nats", "entropy_ceiling")
        if s.dial is not None:
            after = (
                c.dial_leakage(leakage, s.dial)
                if leakage < 1 or s.dial < 1
                else Unreachable("a row may have all its attention outside the block, and the dial at 1 masks it")
            )
            yield Line("leakage_dialled", "leakage at most, dialled", after, "of 1", "odds_law")
    if _known(s.margin, s.fidelity):
        yield from _for_fidelity(c, s)


def _for_fidelity(c: Any, s: Any) -> Iterator[Line]:
    """What else would meet the fidelity at this margin."""
    n: Any = s.n_keys
    m: Any = s.n_block
    tau = s.temperature
    if _known(n, m):
        anchors = c.anchors_for_fidelity(s.fidelity, s.margin, n, m, tau)
        yield Line("anchors_for_fidelity", "least anchors at this margin", anchors, "keys", "fidelity_floor")
    if s.n_block is not None:
        context = c.context_for_fidelity(s.fidelity, s.margin, m, s.n_anchors, tau)
        yield Line("context_for_fidelity", "most keys at this margin", context, "keys", "fidelity_floor")
    if _known(n, m):
        hottest = c.temperature_for_fidelity(s.fidelity, s.margin, n, m, s.n_anchors)
        yield Line("temperature_for_fidelity", "temperature at this margin", hottest, "", "fidelity_floor")
        leakage = c.leakage_ceiling(s.margin, n, m, s.n_anchors, tau, s.logit_range)
        if leakage < 1:
            dial, kappa = c.dial_for_fidelity(s.fidelity, leakage), c.kappa_for_fidelity(s.fidelity, leakage)
            bias = c.kappa_bias(kappa, tau)
        else:
            dial = kappa = bias = Unreachable("at this margin a row may have all its attention outside the block")
        yield Line("dial_at_margin", "least dial at this margin", dial, "of 1", "odds_law")
        yield Line("kappa_at_margin", "the same as kappa", kappa, "", "odds_law")
        yield Line("bias_at_margin", "the same as a logit bias", bias, "logits", "odds_law")


def _range(c: Any, s: Any) -> Iterator[Line]:
    """What the logit range excludes, and the dial that its worst row needs."""
    n: Any = s.n_keys
    m, span, tau = s.n_block, s.logit_range, s.temperature
    if span is None:
        return
    if _known(n, m):
        best = c.fidelity_ceiling(span, n, m, tau)
        yield Line("fidelity_ceiling", "fidelity at most, by the range", best, "of 1", "fidelity_ceiling")
    if s.n_keys is not None:
        yield Line(
            "entropy_floor", "entropy at least, by the range", c.entropy_floor(span, n, tau), "nats", "entropy_floor"
        )
    if _known(n, m, s.fidelity):
        dial, kappa = c.worst_case_dial(s.fidelity, span, n, m, tau), c.worst_case_kappa(s.fidelity, span, n, m, tau)
        yield Line("dial_worst_case", "least dial for every row of the range", dial, "of 1", "odds_law")
        yield Line("kappa_worst_case", "every row: the same as kappa", kappa, "", "odds_law")
        yield Line(
            "bias_worst_case", "every row: the same as a logit bias", c.kappa_bias(kappa, tau), "logits", "odds_law"
        )


def _penalty(c: Any, setting: Any, penalty: Any) -> Iterator[Line]:
    ingredients = {name: getattr(penalty, name) for name in LEVEL_BOUNDS}
    if not _known(*ingredients.values()):
        return
    common: dict[str, Any] = {**ingredients, "query_share": penalty.query_share, "temperature": setting.temperature}
    level = c.penalty_threshold_worst_case(**common)
    yield Line("penalty_worst_case", "penalty, level A: worst case", level, "loss/norm", "worst_case_threshold")
    if _known(setting.margin, setting.n_keys, setting.n_block):
        keys = (setting.n_keys, setting.n_block, setting.n_anchors)
        leakage = c.leakage_ceiling(setting.margin, *keys, setting.temperature, setting.logit_range)
        aware = c.penalty_threshold_leakage_aware(**common, leakage=leakage)
        label = "penalty, level B: at this leakage"
        yield Line("penalty_leakage_aware", label, aware, "loss/norm", "leakage_aware_gradient")
    if _known(penalty.group_norm, penalty.step):
        chosen = 2 * level if penalty.penalty is None else penalty.penalty
        steps = c.steps_to_zero(penalty.group_norm, chosen, level, penalty.step)
        label = f"steps to zero at penalty {_text(chosen)}"
        yield Line("steps_to_zero", label, steps, "steps", "steps_to_zero")


def _regions(c: Any, s: Any) -> Iterator[Region]:
    """A row of range D has a margin of -D at least."""
    n, m, tau = s.n_keys, s.n_block, s.temperature
    if not _known(n, m) or (s.margin is None and s.logit_range is None):
        return
    margin = s.margin if s.margin is not None else -(s.logit_range or 0.0)
    place = (margin / tau, None if s.logit_range is None else s.logit_range / tau)
    if s.fidelity is not None:
        keys = (n, m, s.n_anchors, tau, s.logit_range)
        met = c.fidelity_floor(margin, *keys) >= s.fidelity and (
            s.fidelity <= 0.5 or c.leakage_ceiling(margin, *keys) <= 1 - s.fidelity
        )
        best = math.inf if s.logit_range is None else c.fidelity_ceiling(s.logit_range, n, m, tau)
        by = "fidelity_floor" if s.logit_range is None else "leakage_ceiling_range"
        yield Region("fidelity", s.fidelity, *_place(met, best < s.fidelity, by, "fidelity_ceiling"), *place)
    if s.entropy is not None:
        met = c.entropy_ceiling(margin, n, m, s.n_anchors, tau) <= s.entropy
        least = -math.inf if s.logit_range is None else c.entropy_floor(s.logit_range, n, tau)
        yield Region("entropy", s.entropy, *_place(met, least > s.entropy, "entropy_ceiling", "entropy_floor"), *place)


def _place(met: bool, excluded: bool, by: str, against: str) -> tuple[str, str]:
    return ("guaranteed", by) if met else ("impossible", against) if excluded else ("open", "")


def design(setting: Setting, penalty: PenaltySetting | None = None, rigorous: bool = False) -> Design:
    """Every threshold that the configuration determines, each by its calculator, and the region of each target.

    `rigorous` takes the safe end of each rigorous enclosure: what is needed rounds up, what is guaranteed is never more
    than is proved. It needs python-flint.
    """
    c = SimpleNamespace(**{f.__name__: _safe(f, side) if rigorous else f for f, side in SAFE_SIDE.items()})
    known = () if penalty is None else _penalty(c, setting, penalty)
    lines = [*_concentration(c, setting), *_range(c, setting), *known]
    return Design(setting, penalty, tuple(lines), tuple(_regions(c, setting)), rigorous)
