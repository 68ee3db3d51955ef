"""`localist run --study`, and `check` and `plot` on the folder of a study."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from empirical.cli.exits import OK, REFUTED, UNDECIDED
from empirical.errors import BadInput

if TYPE_CHECKING:
    from empirical.check.verdicts import Checked
    from empirical.laboratory.config import Config


def refuse_unused(arguments: argparse.Namespace, given: Iterable[str]) -> None:
    """Raises BadInput for a flag that the study does not look at."""
    from empirical.studies.frame import uses

    if arguments.require:
        raise BadInput(f"--require must go with a run without --study, got {arguments.require[0]!r}")
    for name in given:
        if name not in uses(arguments.study):
            raise BadInput(f"--{name} must go with a run that uses it, got the study of {arguments.study!r}")


def preset(arguments: argparse.Namespace) -> Config:
    from empirical.studies import frame

    return frame.preset(arguments.study, arguments.quick)


def run(arguments: argparse.Namespace, config: Config) -> int:
    from empirical.studies.frame import run_study

    outcomes = run_study(arguments.study, config, arguments.out, arguments.resume)
    return verdicts(outcomes, arguments.out) or draw(arguments.out, arguments.out / "figures")


def check(arguments: argparse.Namespace) -> tuple[int, tuple[Checked, ...]]:
    """The exit status, and the outcomes with where their rows lie."""
    from empirical.studies import frame

    for name in ("theorem", "require"):
        if getattr(arguments, name):
            raise BadInput(f"--{name} must go with observations, got the folder of a study")
    outcomes = frame.verdicts(arguments.path, cloud=True)
    return verdicts(outcomes, arguments.path, arguments.json), outcomes


def verdicts(outcomes: Sequence[Checked], folder: Path, as_json: bool = False) -> int:
    """Prints and saves the verdicts; every theorem must have a decided row."""
    from bounds.theorems import Verdict
    from empirical.check.report import verdict_table
    from empirical.files import write_atomically

    text = json.dumps({"outcomes": [outcome.as_dict() for outcome in outcomes]}, indent=2)
    print(text if as_json else verdict_table(outcomes))
    write_atomically(folder / "verdicts.json", (text + "\n").encode())
    if any(outcome.verdict is Verdict.VIOLATED for outcome in outcomes):
        return REFUTED
    return OK if outcomes and all(outcome.decided for outcome in outcomes) else UNDECIDED


def draw(folder: Path, out: Path) -> int:
    from empirical.studies.frame import draw_study

    files = draw_study(folder, out)
    print(f"\n{sum(f.suffix == '.png' for f in files)} figures in {out}")
    return OK


def is_study(path: Path) -> bool:
    return (path / "study.json").is_file()
