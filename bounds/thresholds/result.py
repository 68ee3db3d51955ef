"""What `design` gives: thresholds, where each target lies, what was of no use and what is missing; as text and JSON."""

# pandas has no types here.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportMissingTypeStubs=false
from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from html import escape
from typing import TYPE_CHECKING, Any

from bounds.numbers.search import Unreachable
from bounds.thresholds.lines import Line, Missing, Number, Region
from bounds.thresholds.sentence import sentence
from bounds.thresholds.setting import PenaltySetting, Setting

if TYPE_CHECKING:
    from pandas import DataFrame


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

    def conclusion(self) -> str:
        """In a sentence or two: what the margin guarantees, and what would meet the targets that it does not."""
        return sentence(self.setting, self.lines, self.regions, self.anchors_assumed)

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON: an infinity is "inf" or "-inf", a threshold that cannot be met is null with its reason."""
        return {
            "conclusion": self.conclusion(),
            "setting": asdict(self.setting),
            "penalty": None if self.penalty is None else asdict(self.penalty),
            "anchors_assumed": self.anchors_assumed,
            "thresholds": [line.as_dict() for line in self.lines],
            "rigorous": self.rigorous,
            "regions": [region.as_dict() for region in self.regions],
            "unused": list(self.unused),
            "missing": [{"gives": one.gives, "needs": list(one.needs)} for one in self.missing],
        }

    to_dict = as_dict

    def to_frame(self) -> DataFrame:
        """A row a threshold, NaN where it is unreachable; needs pandas."""
        import pandas as pd

        frame = pd.DataFrame([line.as_dict() for line in self.lines])
        return frame.assign(value=frame["value"].astype(float)).set_index("key")

    def _repr_html_(self) -> str:
        """The table, as a notebook shows it."""
        return f"<pre>{escape(self.table())}</pre>"

    def table(self) -> str:
        """Aligned text: the conclusion, what was given, thresholds, why some are unreachable, what is missing."""
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
        shown = (*lines, *reasons, *([""] if means else []), *means)
        return "\n".join([self.conclusion(), *self._head(), "", *shown, *self._more()])

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


def _text(value: float | int) -> str:
    """Six digits, or as many as it takes to tell a dial from 1."""
    if isinstance(value, int) or (0 < abs(1 - value) < 1e-4):
        return repr(value)
    return f"{value:.6g}"
