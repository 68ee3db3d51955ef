"""Verdicts as text: one line a theorem, by topic, what must be seen; then tightest rows, why VACUOUS, the witnesses."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from bounds.theory.theorem import Relation, Verdict
from empirical.check.gates import FIELD
from empirical.check.verdicts import Checked
from empirical.files import one_line
from empirical.observe.schema import ROW_FIELDS

VERBOSE = "--verbose shows tightest rows, why what is VACUOUS is so, and how near witness rows come."
"""What a table without details says of them on the command line."""


def verdict_table(outcomes: Sequence[Checked], asked: bool = False, verbose: bool = True) -> str:
    """One line a theorem, by topic; what is VIOLATED or UNKNOWN and why; with `verbose` the details.

    Entropy slacks are in nats, leakage and fidelity slacks in attention mass, gradients in loss per norm.

    "says more": the rows on which the bound says more than what is known without it (`Theorem.trivial`). `asked`: each
    of the theorems was asked for, so that what one without rows lacks is said.
    """
    counts = (*(verdict.name for verdict in Verdict), "decided", "says more")
    header = ("topic", "theorem", "verdict", *counts, "least slack", "median slack")
    judged = [outcome for outcome in outcomes if outcome.rows]
    rows: list[tuple[str, ...]] = [header]
    for topic, members in groupby(judged, key=lambda outcome: outcome.theorem.topic):
        rows += [("" if at else topic, *_cells(outcome)) for at, outcome in enumerate(members)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
    rows.insert(1, tuple("-" * width for width in widths))
    lines: list[str] = []
    for row in rows:
        cells = [c.ljust(w) if i < 3 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths))]
        lines.append("  ".join(cells).rstrip())
    details = _details(outcomes) if verbose else ()
    lacking = _lacking(outcomes, asked) if asked or verbose or not judged else ()
    return "\n".join([*lines, *details, *lacking, *_findings(outcomes)])


def conclusion(saved: Iterable[Mapping[str, Any]]) -> str:
    """One sentence on outcomes as they are saved (`Checked.as_dict`), of one run or of several: what is violated, what
    holds with the least slack, which rows are UNKNOWN, what no row decides.

    The least slack is of a theorem all of whose rows are decided: that of an UNKNOWN row is none.
    """
    from bounds.theorems import by_key

    verdicts: dict[str, set[str]] = {}
    slacks: dict[str, float] = {}
    unknown: Counter[str] = Counter()
    for outcome in saved:
        key, slack = outcome["theorem"], outcome["least_slack"]
        if sum(outcome["counts"].values()):
            verdicts.setdefault(key, set()).add(outcome["verdict"])
            slacks[key] = min(slacks.get(key, math.inf), math.inf if slack is None else slack)
            unknown[key] += outcome["counts"].get(Verdict.UNKNOWN.name, 0)
    order = (Verdict.VIOLATED, Verdict.HOLDS, Verdict.UNKNOWN, Verdict.VACUOUS)
    of = {key: next(v for v in order if v.name in found) for key, found in verdicts.items()}
    wrong, held = ([key for key, verdict in of.items() if verdict is v] for v in order[:2])
    open_ = [f"{key} ({verdict.name})" for key, verdict in of.items() if verdict in order[2:]]
    words = [f"VIOLATED: {', '.join(wrong)}" if wrong else "Nothing is violated"]
    if held:
        bounded = [key for key in held if by_key(key).relation is not Relation.EQUAL and not unknown[key]]
        nearest = min(bounded, key=slacks.__getitem__, default=None)
        least = "" if nearest is None else f", {nearest} with the least slack, {slacks[nearest]:.2g}"
        words.append(f"{len(held)} theorem{'s' * (len(held) != 1)} {'hold' if len(held) != 1 else 'holds'}{least}")
    if rows := unknown.total():
        words.append(f"{rows:,} row{'s are' if rows > 1 else ' is'} UNKNOWN, most of {unknown.most_common(1)[0][0]}")
    words.append(f"no row decides {', '.join(open_)}" if open_ else "every theorem that has rows is decided")
    return "; ".join(words) + "."


def _cells(outcome: Checked) -> Iterator[str]:
    yield from (outcome.theorem.key, outcome.verdict.name)
    for verdict in Verdict:
        yield f"{outcome.counts[verdict]:,}"
    yield share(outcome.decided, outcome.rows)
    yield "" if outcome.says_more is None else share(outcome.says_more, outcome.rows)
    yield from ("" if math.isnan(s) else f"{s + 0.0:.3g}" for s in (outcome.least_slack, outcome.median_slack))


def _way_to(fields: Sequence[str]) -> str:
    """How observations come to have the fields."""
    if set(fields) <= {*ROW_FIELDS, "temperature", "dial"}:
        return "a .npz with logits, or attention, and block gives them"
    kind = ', with penalty.kind = "gates",' if FIELD in fields else ""
    return f"`localist run CONFIG.toml`{kind} saves them"


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else one_line(value)


def share(part: int, whole: int) -> str:
    """Per cent, saying 100 only of everything and 0 only of nothing."""
    if not whole:
        return "none"
    percent = 100 * part / whole
    return f"{percent:.0f} %" if part in (0, whole) else f"{min(max(percent, 0.1), 99.9):.1f} %"


def _details(outcomes: Sequence[Checked]) -> Iterator[str]:
    """What explains the table: tightest rows, why VACUOUS, what "says more" means, how many witnesses attain."""
    said = [o for o in outcomes if o.worst]
    if said:
        yield from ("", "Tightest row:")
    for outcome in said:
        yield f"  {outcome.theorem.key}: {', '.join(f'{name} {_short(v)}' for name, v in outcome.worst.items())}"
    vacuous = [o for o in outcomes if o.counts[Verdict.VACUOUS]]
    if vacuous:
        yield from ("", "VACUOUS, because a hypothesis does not hold there (one row may fail several):")
    for outcome in vacuous:
        yield f"  {outcome.theorem.key}: {share(outcome.counts[Verdict.VACUOUS], outcome.rows)}"
        for statement, count in outcome.failed.items():
            yield f"    not on {share(count, outcome.rows)}: {statement}"
    told = {o.theorem.trivial_words: "" for o in outcomes if o.rows and o.says_more is not None}
    if told:
        yield from ("", f"says more: than what is known without the theorem, of these {', '.join(told)}.")
    tight = [o.witness for o in outcomes if o.witness is not None]
    if tight:
        yield from ("", f"Witness rows attain {sum(w.attained for w in tight)} of {len(tight)} tight theorems.")


def _lacking(outcomes: Sequence[Checked], asked: bool) -> Iterator[str]:
    """Which theorems have no rows; of those that were asked for, what would give them some."""
    absent = [o for o in outcomes if not o.rows]
    if absent:
        yield from ("", f"No rows: the observations lack the fields of {', '.join(o.theorem.key for o in absent)}.")
    for outcome in absent if asked else ():
        yield f"  {outcome.theorem.key} needs {', '.join(outcome.lacks)}: {_way_to(outcome.lacks)}"


def _findings(outcomes: Sequence[Checked]) -> Iterator[str]:
    """What is UNKNOWN whatever the arithmetic, and what is VIOLATED, by rows or by a witness."""
    reasons = [o for o in outcomes if o.unknown]
    if reasons:
        yield from ("", "UNKNOWN, whatever the arithmetic:")
    for outcome in reasons:
        yield f"  {outcome.theorem.key}: {outcome.unknown}"
    wrong = [o for o in outcomes if o.counts[Verdict.VIOLATED]]
    for outcome in wrong:
        yield from ("", f"VIOLATED {outcome.theorem.key}, worst at {outcome.worst}: {outcome.theorem.statement}")
    for outcome in outcomes:
        if outcome.witness is not None and not outcome.witness.attained:
            n, m, r, x = outcome.witness.size
            yield (
                f"VIOLATED {outcome.theorem.key}: the row that attains it (n={n}, m={m}, r={r}, x={x:g}) reaches "
                f"{outcome.witness.ratio:.6f} of it; the theorem, its constant or the observer is wrong"
            )
