"""What a report says of one folder: facts, tables, pictures, each with words; every kind of result makes such chapters.

the sentence first; then what was run, thresholds, verdicts, worst rows, hypotheses, figures, how to reproduce it
"""

from __future__ import annotations

import base64
import io
import json
import math
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any

from bounds.theory.theorem import Verdict
from empirical.check.reasons import reasons, unit
from empirical.check.report import conclusion, share
from empirical.check.verdicts import Checked
from empirical.figures import Drawn, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 150


@dataclass(frozen=True)
class Table:
    """Cells as text. A row of one cell is a heading."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: str = ""
    folded: bool = False

    @property
    def numeric(self) -> tuple[bool, ...]:
        """Of every column, whether its cells are numbers."""
        cells = zip(*(row for row in self.rows if len(row) > 1))
        return tuple(all(text[:1] in _NUMERIC for text in column) for column in cells)


_NUMERIC = ("", *"0123456789+-")


@dataclass(frozen=True)
class Picture:
    """A figure as PNG, what is seen in it, under which conditions, how it is read."""

    name: str
    data: str
    claim: str
    note: str
    reading: str

    @property
    def title(self) -> str:
        return self.name.replace("_", " ").capitalize()

    @property
    def alternative(self) -> str:
        return f"{self.title}: {self.claim}. {self.reading}"


@dataclass(frozen=True)
class Chapter:
    """Everything about one folder of results."""

    name: str
    kind: str
    sentences: tuple[str, ...]  # the first alone is what stands largest
    facts: tuple[tuple[str, str], ...] = ()
    tables: tuple[Table, ...] = ()
    pictures: tuple[Picture, ...] = ()
    absent: tuple[tuple[str, str], ...] = ()  # figures that are not drawn, and why
    texts: tuple[tuple[str, str], ...] = ()  # titles and preformatted text
    commands: tuple[str, ...] = ()
    provenance: tuple[tuple[str, str], ...] = ()
    outcomes: tuple[Checked, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)  # what runs are compared by


def picture(name: str, figure: Figure, reading: str) -> Picture:
    """The figure as it is saved; its own title is its caption."""
    claim, note = (*(text.get_text().replace("\n", " ") for text in figure.texts[:2]), "", "")[:2]
    buffer = io.BytesIO()
    with style.drawing():
        figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    data = base64.b64encode(buffer.getvalue()).decode()
    return Picture(name, data, _read(claim), _read(note), _read(reading))


def _read(text: str) -> str:
    """A caption without the marks of mathematics in figures, which a reader aloud would spell."""
    plain = text.replace(r"\$", "\0").replace("$", "").replace("\0", "$").replace("\\", "")
    words = " ".join(plain.split())
    return words[:1].upper() + words[1:]


def pictured(figures: Iterable[Drawn]) -> tuple[tuple[Picture, ...], tuple[tuple[str, str], ...]]:
    """The figures that there are, and why the others are not drawn."""
    pictures: list[Picture] = []
    absent: list[tuple[str, str]] = []
    for name, figure, reading, reason in figures:
        if figure is None:
            absent.append((name.replace("_", " "), reason))
        else:
            pictures.append(picture(name, figure, reading))
    return tuple(pictures), tuple(absent)


def number(value: Any) -> str:
    """A number to four digits, a name as it is, nothing for what is not there."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value + 0.0:.4g}"


def listed(values: Iterable[Any], most: int = 12) -> str:
    """Values in a row, the first of them where they are many."""
    every = [number(value) for value in values]
    return ", ".join(every[:most]) + (f" and {len(every) - most:,} more" if len(every) > most else "")


def sentences(outcomes: Sequence[Checked]) -> tuple[str, ...]:
    """What the verdicts come to, then why."""
    return conclusion([outcome.as_dict() for outcome in outcomes]), *reasons(outcomes)


def judged_tables(outcomes: Sequence[Checked]) -> Iterator[Table]:
    """Verdicts by topic; the row next to each bound; which hypotheses held on how many rows."""
    judged = [outcome for outcome in outcomes if outcome.rows]
    rows: list[tuple[str, ...]] = []
    for topic, members in groupby(judged, key=lambda outcome: outcome.theorem.topic):
        rows.append((topic,))
        rows += [
            (
                *(o.theorem.title, o.verdict.name, *(f"{o.counts[v]:,}" for v in Verdict)),
                "" if o.says_more is None else share(o.says_more, o.rows),
                *(number(o.least_slack), number(o.median_slack), unit(o)),
            )
            for o in members
        ]
    columns = ("theorem", "verdict", *(v.name for v in Verdict), "says more", "least slack", "median slack", "unit")
    words = (
        "VACUOUS: a hypothesis does not hold there, so the theorem says nothing. UNKNOWN: within rounding, "
        "or a hypothesis is not certified. Says more: the rows on which the bound says more than is known without the "
        "theorem."
    )
    yield Table("Verdicts", columns, tuple(rows), words)
    worst = tuple(
        (o.theorem.title, number(o.least_slack), ", ".join(f"{name} {number(v)}" for name, v in o.worst.items()))
        for o in judged
        if o.worst
    )
    words = "For every theorem the row with the least slack, next to what rounding can account for."
    yield Table("Worst rows", ("theorem", "slack", "where"), worst, words, folded=True)
    held = tuple(
        (o.theorem.title, h.statement, share(o.rows - o.failed.get(h.statement, 0), o.rows))
        for o in judged
        for h in o.theorem.hypotheses
    )
    words = "The share of a theorem's rows on which each of its hypotheses held."
    yield Table("Hypotheses", ("theorem", "hypothesis", "held on"), held, words, folded=True)
    lacking = tuple((o.theorem.title, ", ".join(o.lacks)) for o in outcomes if not o.rows)
    if lacking:
        words = "These theorems have no rows here: the results lack the fields that they speak of."
        yield Table("Not judged", ("theorem", "fields that are lacking"), lacking, words, folded=True)


def command(*words: Any) -> str:
    """A command line of localist as a shell takes it."""
    return shlex.join(("localist", *map(str, words)))


def toml(plain: Mapping[str, Any]) -> str:
    """A saved configuration as the TOML that makes it again."""
    top = [f"{name} = {json.dumps(value)}" for name, value in plain.items() if not isinstance(value, Mapping)]
    for section, values in plain.items():
        if isinstance(values, Mapping):
            given = [f"{name} = {json.dumps(value)}" for name, value in values.items() if value is not None]
            top += ["", f"[{section}]", *given]
    return "\n".join(top)


def flat(plain: Mapping[str, Any]) -> dict[str, str]:
    """`section.key` -> value as text, of a saved configuration."""
    found: dict[str, str] = {}
    for section, values in plain.items():
        if isinstance(values, Mapping):
            found |= {f"{section}.{name}": json.dumps(value) for name, value in values.items() if value is not None}
    return found
