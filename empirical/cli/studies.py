"""`localist run --study`, and `check` and `plot` on the folder of a study."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from empirical.cli.arguments import document, drawn
from empirical.cli.exits import OK
from empirical.cli.verdicts import Judged, judged_study
from empirical.errors import BadInput

if TYPE_CHECKING:
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
    from empirical.studies import frame

    found = judged_study(frame.run_study(arguments.study, config, arguments.out, arguments.resume))
    print(found.words(arguments.verbose, frame.table(arguments.out)))
    found.save(arguments.out)
    return found.status or draw(arguments.out, arguments.out / "figures")


def check(arguments: argparse.Namespace) -> Judged:
    """The verdicts, printed and saved, with where their rows lie."""
    from empirical.studies import frame

    for name in ("theorem", "require"):
        if getattr(arguments, name):
            raise BadInput(f"--{name} must go with observations, got the folder of a study")
    found = judged_study(frame.verdicts(arguments.path, cloud=True))
    print(document(found.saved) if arguments.json else found.words(arguments.verbose, frame.table(arguments.path)))
    found.save(arguments.path)
    return found


def draw(folder: Path, out: Path) -> int:
    from empirical.studies.frame import draw_study

    print(drawn(draw_study(folder, out), out))
    return OK


def is_study(path: Path) -> bool:
    return (path / "study.json").is_file()
