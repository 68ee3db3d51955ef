"""Behind the conclusion: how near to its bound in each unit, what is vacuous and why, how much is undecided."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from bounds.theory.theorem import Relation, Verdict
from empirical.check.report import share
from empirical.check.verdicts import Checked
from empirical.observe.schema import SCHEMA

LISTED = 3
"""Theorems that are named before the others are counted."""
ROUNDING = 1e-12
"""What is no slack to speak of."""


def reasons(outcomes: Sequence[Checked]) -> tuple[str, ...]:
    """Sentences on the least slacks, on what is VACUOUS and why, on what is UNKNOWN, where there is such a thing."""
    judged = [outcome for outcome in outcomes if outcome.rows]
    return *_slacks(judged), *_vacuous(judged), *_unknown(judged)


def _names(outcomes: Sequence[Checked]) -> str:
    """The first of them by name, and how many more there are."""
    said = [outcome.theorem.title for outcome in outcomes[:LISTED]]
    more = len(outcomes) - len(said)
    return ", ".join(said) + (f" and {more} more" if more else "")


def unit(outcome: Checked) -> str:
    """The unit of its slack: nats, or attention where it is a share of it."""
    quantity = outcome.theorem.quantity
    if quantity in ("leakage", "fidelity", "leakage_dialled"):
        return "attention"
    return SCHEMA[quantity][1].removeprefix("1") if quantity in SCHEMA else ""


def _slacks(judged: Sequence[Checked]) -> Iterator[str]:
    """For every unit the theorem that comes nearest to its bound; an equality has no slack to speak of."""
    tightest: dict[str, Checked] = {}
    for outcome in judged:
        bounded = outcome.theorem.relation is not Relation.EQUAL and not math.isnan(outcome.least_slack)
        if bounded and outcome.verdict is Verdict.HOLDS:
            best = tightest.get(unit(outcome))
            if best is None or outcome.least_slack < best.least_slack:
                tightest[unit(outcome)] = outcome
    if tightest:
        said = (f"{_spare(o, u)} ({o.theorem.title})" for u, o in tightest.items())
        yield f"Nearest to its bound: {', '.join(said)}."


def _spare(outcome: Checked, of: str) -> str:
    """The least slack in its unit; within rounding of the bound, nothing."""
    return f"{outcome.least_slack:.3g} {of}".rstrip() if outcome.least_slack > ROUNDING else "attained"


def _vacuous(judged: Sequence[Checked]) -> Iterator[str]:
    empty = [outcome for outcome in judged if outcome.verdict is Verdict.VACUOUS]
    if empty:
        reasons = {max(o.failed, key=lambda statement: o.failed[statement]): None for o in empty if o.failed}
        why = f", since this does not hold: {'; '.join(list(reasons)[:LISTED])}" if reasons else ""
        yield f"Vacuous on every row: {_names(empty)}{why}."


def _unknown(judged: Sequence[Checked]) -> Iterator[str]:
    open_rows, rows = sum(o.counts[Verdict.UNKNOWN] for o in judged), sum(o.rows for o in judged)
    if open_rows:
        yield f"Undecided: {open_rows:,} of {rows:,} verdicts, {share(open_rows, rows)}, are UNKNOWN."
