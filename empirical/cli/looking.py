"""`localist report` and `localist explore`: self-contained pages of saved results, and of the mathematics."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from empirical.cli.exits import OK, epilog
from empirical.errors import BadInput
from empirical.files import one_line

if TYPE_CHECKING:
    from empirical.cli.arguments import Commands
    from empirical.pages.chapters import Chapter


def add_parsers(commands: Commands) -> None:
    """The parsers of both commands, and what each runs."""
    report = commands.add_parser(
        "report",
        help="one self-contained page of what was found: a run, study, checkpoint, prices or gates; or several",
        epilog=epilog(
            "localist report runs/blocks runs/topics --out report.html",
            "one HTML file that needs no network: the conclusion first, then verdicts, figures, worst rows,\n"
            "  hypotheses, provenance, how to reproduce it; a folder that is foreign, damaged or unfinished is refused",
        ),
    )
    report.add_argument("paths", metavar="DIR", nargs="+", type=Path, help="as run, observe, price, localise wrote it")
    report.add_argument("--out", metavar="FILE", type=Path, default=Path("report.html"), help="default: report.html")
    report.set_defaults(run=_report)

    explore = commands.add_parser(
        "explore",
        help="one self-contained page of sliders: every bound of a row, live, with observed rows on top",
        epilog=epilog(
            "localist explore --run runs/blocks --out explorer.html",
            "one HTML file that needs no network; its address keeps its state; a foreign or damaged folder is refused",
        ),
    )
    explore.add_argument("--out", metavar="FILE", type=Path, default=Path("explorer.html"), help="explorer.html")
    explore.add_argument("--run", dest="of", metavar="DIR|FILE", type=Path, help="observed rows to draw on top")
    explore.set_defaults(run=_explore)


def _report(arguments: argparse.Namespace) -> int:
    _usable_file(arguments.out)
    from empirical.pages.report import overall, report

    chapters = [chapter_of(path) for path in arguments.paths]
    _write(arguments.out, report(chapters))
    print(overall(chapters))
    print(f"\n{one_line(arguments.out)}")
    return OK


def chapter_of(path: Path) -> Chapter:
    """What a report says of a folder, by what the folder holds. Raises BadInput for one of none of the kinds."""
    from empirical.cli.studies import is_study
    from empirical.pages import gates, observed

    if is_study(path):
        from empirical.studies.chapter import study_chapter

        return study_chapter(path)
    if gates.holds_prices(path):
        return gates.prices_chapter(path)
    if gates.holds_gates(path):
        return gates.gates_chapter(path)
    if observed.holds_observations(path):
        return observed.observed_chapter(path)
    observed.refuse_unfinished(path)
    raise BadInput(
        f"DIR must hold a run, a study, observations, prices or gates, got {str(path)!r} "
        f"{'with none of them' if path.exists() else 'which is not there'}"
    )


def _explore(arguments: argparse.Namespace) -> int:
    _usable_file(arguments.out)
    from empirical.pages.explorer import explorer

    if arguments.of is None:
        page = explorer()
    else:
        from empirical.observe.files import open_observations

        page = explorer(open_observations(arguments.of), str(arguments.of))
    _write(arguments.out, page)
    print(f"Every bound of an attention row, turned by hand: open {one_line(arguments.out)} in a browser.")
    return OK


def _usable_file(path: Path) -> None:
    """Raises BadInput for what no page can be written to."""
    if path.is_dir() or path.suffix != ".html":
        raise BadInput(
            f"--out must be a file that ends in .html, got {'the folder ' if path.is_dir() else ''}{str(path)!r}"
        )
    folder = path.absolute().parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise BadInput(f"--out must be a file in a writable folder, got {str(path)!r}")


def _write(path: Path, content: bytes) -> None:
    from empirical.files import write_atomically

    write_atomically(path, content)
