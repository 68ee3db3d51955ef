"""Verdicts as `run`, `check` and `observe` say them: a sentence, what was required, the table by topic; as JSON."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from empirical.cli.arguments import document
from empirical.cli.exits import OK, REFUTED, UNDECIDED
from empirical.errors import BadInput

if TYPE_CHECKING:
    import xarray as xr

    from bounds.theory.theorem import Theorem
    from empirical.check.requirement import Requirement
    from empirical.check.verdicts import Checked


@dataclass(frozen=True)
class Judged:
    """What was found, the exit status of it, and how it is said."""

    outcomes: tuple[Checked, ...]
    status: int
    saved: dict[str, Any]  # ready for JSON
    met: tuple[str, ...] = ()  # how each requirement fared, in words
    asked: bool = False  # each of the theorems was asked for

    def words(self, verbose: bool, beside: str = "") -> str:
        """The sentence, requirements, what stands `beside` it, the table; with `verbose` what explains that."""
        from empirical.check.report import VERBOSE, verdict_table

        shown = [verdict_table(self.outcomes, self.asked, verbose), *(() if verbose else ("", VERBOSE))]
        return "\n".join([self.saved["conclusion"], *self.met, "", *((beside, "") if beside else ()), *shown])

    def save(self, folder: Path) -> None:
        """Writes verdicts.json."""
        from empirical.files import make_folder, write_atomically

        make_folder(folder)
        write_atomically(folder / "verdicts.json", f"{document(self.saved)}\n".encode())


def add_verbose(parser: argparse.ArgumentParser) -> None:
    words = "also tightest rows, why what is VACUOUS is so, and witness rows"
    parser.add_argument("--verbose", action="store_true", help=words)


def judged(dataset: xr.Dataset, requirements: Sequence[Requirement], theorems: Sequence[Theorem] = ()) -> Judged:
    """The observations against every theorem, or those asked for, and against what is required of them."""
    from empirical.check.report import conclusion
    from empirical.check.requirement import meets
    from empirical.check.verdicts import check_dataset

    try:
        outcomes = check_dataset(dataset, theorems or None, cloud=True)
        met = [meets(requirement, dataset) for requirement in requirements]
    except OSError as error:  # a file that is read as it is used shows its damage only now
        source = dataset.encoding.get("source", "observations")
        raise BadInput(f"DIR|FILE must be readable to its end, got {source!r} ({error})") from None
    plain = [outcome.as_dict() for outcome in outcomes]
    saved = {
        "conclusion": conclusion(plain),
        "config_digest": dataset.attrs.get("config_digest"),
        "commit": dataset.attrs.get("commit"),
        "outcomes": plain,
        "requirements": [{"requirement": str(m.requirement), "rows": m.rows, "missed": m.missed} for m in met],
    }
    asked = all if theorems else any  # without a request, one decided theorem is enough to have said something
    decided = asked(outcome.decided for outcome in outcomes) and all(m.rows for m in met)
    status = _status(outcomes, decided, missed=any(m.missed for m in met))
    return Judged(outcomes, status, saved, tuple(map(str, met)), bool(theorems))


def judged_study(outcomes: tuple[Checked, ...]) -> Judged:
    """The verdicts of a study: every one of its theorems must have a decided row."""
    from empirical.check.report import conclusion

    plain = [outcome.as_dict() for outcome in outcomes]
    status = _status(outcomes, bool(outcomes) and all(outcome.decided for outcome in outcomes))
    return Judged(outcomes, status, {"conclusion": conclusion(plain), "outcomes": plain})


def _status(outcomes: Sequence[Checked], decided: bool, missed: bool = False) -> int:
    from bounds.theorems import Verdict

    if missed or any(outcome.verdict is Verdict.VIOLATED for outcome in outcomes):
        return REFUTED
    return OK if decided else UNDECIDED
