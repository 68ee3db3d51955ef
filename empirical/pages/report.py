"""The report: chapters of saved results in one page that needs no network, side by side where they are several."""

from __future__ import annotations

from collections.abc import Sequence

from bounds.theory.theorem import Theorem, Verdict
from empirical.check.report import conclusion
from empirical.check.verdicts import Checked
from empirical.pages.chapters import Chapter, Table, number
from empirical.pages.templates import rendered


def report(chapters: Sequence[Chapter]) -> bytes:
    """The page. What is found stands first; a text from a file is never markup."""
    beside = side_by_side(chapters) if len(chapters) > 1 else ()
    return rendered("report.html", chapters=chapters, sentence=overall(chapters), beside=beside)


def overall(chapters: Sequence[Chapter]) -> str:
    """One sentence on all verdicts, and in which results one is VIOLATED; without verdicts, what each result says."""
    if len(chapters) == 1 or not any(chapter.outcomes for chapter in chapters):
        return " ".join(chapter.sentences[0] for chapter in chapters)
    outcomes = [outcome.as_dict() for chapter in chapters for outcome in chapter.outcomes]
    wrong = [c.name for c in chapters if any(o.verdict is Verdict.VIOLATED for o in c.outcomes)]
    return conclusion(outcomes) + (f" VIOLATED in {', '.join(wrong)}." if wrong else "")


def side_by_side(chapters: Sequence[Chapter]) -> tuple[Table, ...]:
    """The verdict and least slack of every theorem in each result; the settings in which they differ."""
    judged = [chapter for chapter in chapters if chapter.outcomes]
    configured = [chapter for chapter in chapters if chapter.settings]
    theorems: dict[str, Theorem] = {o.theorem.key: o.theorem for c in judged for o in c.outcomes if o.rows}
    found = [{o.theorem.key: o for o in chapter.outcomes if o.rows} for chapter in judged]
    verdicts = tuple((t.title, *(_cell(outcomes.get(key)) for outcomes in found)) for key, t in theorems.items())
    keys = dict.fromkeys(key for chapter in configured for key in chapter.settings)
    settings = ((key, *(chapter.settings.get(key, "") for chapter in configured)) for key in keys)
    differ = tuple(row for row in settings if len(set(row[1:])) > 1)
    columns = [("theorem", *(chapter.name for chapter in judged)), ("setting", *(c.name for c in configured))]
    tables = (
        Table("Side by side", columns[0], verdicts, "Verdict, and least slack in the theorem's unit."),
        Table("Where they differ", columns[1], differ, "All else in their configurations is the same."),
    )
    return tuple(table for table in tables if table.rows)


def _cell(outcome: Checked | None) -> str:
    return "" if outcome is None else f"{outcome.verdict.name} {number(outcome.least_slack)}".strip()
