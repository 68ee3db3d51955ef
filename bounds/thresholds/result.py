"""What `design` gives: thresholds, where each target lies, what was of no use and what is missing; as text and JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from bounds.numbers.search import Unreachable
from bounds.thresholds.setting import PenaltySetting, Setting

BITS = 1 / math.log(2)
Number = float | int | Unreachable


@dataclass(frozen=True)
class Line:
    """One threshold: a number, or an `Unreachable` that says why there is none.

    `one_anchor` is what it is with one anchor in the block, where nobody said how many there are: `value` is then that
    of a block whose keys are all anchors, the best that there can be. `means`: what is so beyond it, in a sentence.
    """

    key: str
    label: str
    value: Number
    unit: str
    theorem: str
    one_anchor: Number | None = None
    means: str = ""

    @property
    def reason(self) -> str | None:
        return self.value.reason if isinstance(self.value, Unreachable) else None

    @property
    def bits(self) -> float | None:
        return self.value * BITS if self.unit == "nats" and not isinstance(self.value, Unreachable) else None

    def as_dict(self) -> dict[str, Any]:
        plain = {"key": self.key, "label": self.label, "value": _json_number(self.value), "unit": self.unit}
        bits = {} if self.bits is None else {"bits": self.bits}
        one = {} if self.one_anchor is None else {"one_anchor": _json_number(self.one_anchor)}
        means = {"means": self.means} if self.means else {}
        return {**plain, **bits, **one, "theorem": self.theorem, "reason": self.reason, **means}


@dataclass(frozen=True)
class Region:
    """Where a target lies at this x = margin/temperature and D = logit_range/temperature (None: not known)."""

    target: str
    wanted: float
    region: str
    theorem: str
    x: float
    scaled_range: float | None
    one_anchor: str | None = None  # the region with one anchor, where nobody said how many there are

    def as_dict(self) -> dict[str, Any]:
        said = {k: _json_number(v) for k, v in asdict(self).items()}
        return said if self.one_anchor is not None else {k: v for k, v in said.items() if k != "one_anchor"}


@dataclass(frozen=True)
class Missing:
    """A threshold that is not given, and the inputs that it still needs."""

    gives: str
    needs: tuple[str, ...]


@dataclass(frozen=True)
class Design:
    """The thresholds of a configuration, in reading order."""

    setting: Setting
    penalty: PenaltySetting | None
    lines: tuple[Line, ...]
    regions: tuple[Region, ...]
    rigorous: bool = False  # every value is the safe end of a rigorous enclosure
    used: frozenset[str] = frozenset()  # inputs that some threshold here depends on
    missing: tuple[Missing, ...] = ()  # what a little more would give

    @property
    def unused(self) -> tuple[str, ...]:
        """What was given, and no threshold here depends on."""
        return tuple(name for owner in (self.setting, self.penalty) for name in said(owner) if name not in self.used)

    def __getitem__(self, key: str) -> Number:
        return {line.key: line.value for line in self.lines}[key]

    @property
    def anchors_assumed(self) -> int | None:
        """How many anchors a block is taken to have because nobody said; none where somebody did, or nothing asks."""
        assumed = any(item.one_anchor is not None for item in (*self.lines, *self.regions))
        return self.setting.n_block if assumed else None

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON: an infinity is "inf" or "-inf", a threshold that cannot be met is null with its reason."""
        return {
            "setting": asdict(self.setting),
            "penalty": None if self.penalty is None else asdict(self.penalty),
            "anchors_assumed": self.anchors_assumed,
            "thresholds": [line.as_dict() for line in self.lines],
            "rigorous": self.rigorous,
            "regions": [region.as_dict() for region in self.regions],
            "unused": list(self.unused),
            "missing": [{"gives": one.gives, "needs": list(one.needs)} for one in self.missing],
        }

    def table(self) -> str:
        """Aligned text: what was given, thresholds, why some are unreachable, and what more inputs would give."""
        text = repr if self.rigorous else _text  # six digits would round to either side

        def cell(value: Number | None) -> str:
            return "" if value is None else "unreachable" if isinstance(value, Unreachable) else text(value)

        rows = [("threshold", "value", "with 1 anchor", "unit", "theorem")]
        for line in self.lines:
            bits = "" if line.bits is None else f" = {_text(line.bits)} bits"
            rows.append((line.label, cell(line.value), cell(line.one_anchor), line.unit + bits, line.theorem))
        for region in self.regions:
            label = f"{region.target} {'>=' if region.target == 'fidelity' else '<='} {_text(region.wanted)}"
            rows.append((label, region.region, region.one_anchor or "", "region", region.theorem))
        if self.anchors_assumed is None:
            rows = [(*row[:2], *row[3:]) for row in rows]
        widths = [max(len(cell) for cell in column) for column in zip(*rows)]
        ruled = [rows[0], tuple("-" * width for width in widths), *rows[1:]]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in ruled]
        reasons = [f"{line.label}: {line.reason}" for line in self.lines if line.reason is not None]
        means = [f"{line.label}: {line.means}" for line in self.lines if line.means]
        return "\n".join([*self._head(), "", *lines, *reasons, *([""] if means else []), *means, *self._more()])

    def _head(self) -> Iterator[str]:
        if (anchors := self.anchors_assumed) is not None:
            taken = f"all {anchors} keys of the block are taken for anchors, as n_anchors was not given"
            yield f"Assumed: {taken}; 1 stands beside"
        yield "Setting: " + ", ".join(_given(asdict(self.setting)))
        if self.penalty is not None and self.penalty != PenaltySetting():
            yield "Penalty: " + ", ".join(_given(asdict(self.penalty)))

    def _more(self) -> Iterator[str]:
        """What is of no use, and one line for each set of inputs that is missing."""
        if self.unused:
            yield from ("", f"without effect on any threshold here: {', '.join(self.unused)}")
        more: dict[tuple[str, ...], list[str]] = {}
        for one in self.missing:
            more.setdefault(one.needs, []).append(one.gives)
        if more:
            yield ""
        for needs, gives in more.items():
            yield f"with {', '.join(needs)}: {'; '.join(gives)}"


def said(owner: Setting | PenaltySetting | None) -> dict[str, Any]:
    """What was given: all that is not its default."""
    values = {} if owner is None else {item.name: (getattr(owner, item.name), item.default) for item in fields(owner)}
    return {name: value for name, (value, default) in values.items() if value != default}


def _given(values: Mapping[str, Any]) -> list[str]:
    return [f"{name} {_text(value)}" for name, value in values.items() if value is not None]


def _json_number(value: Any) -> Any:
    if isinstance(value, Unreachable):
        return None
    return str(value) if isinstance(value, float) and math.isinf(value) else value


def _text(value: float | int) -> str:
    """Six digits, or as many as it takes to tell a dial from 1."""
    if isinstance(value, int) or (0 < abs(1 - value) < 1e-4):
        return repr(value)
    return f"{value:.6g}"
