"""`localist`: thresholds of a configuration, a run from end to end, checks and figures of what was saved.

Exit status: 0; 1 violated, or a requirement missed; 2 bad input; 3 a requested theorem has no decided row, or
no theorem has; 130 interrupted. Everything heavy is imported by the command that needs it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from bounds import __version__
from empirical.cli import ledger, models, planning, runs, thresholds
from empirical.cli.exits import status_of

GROUPS = (thresholds, runs, models, ledger, planning)


def parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(prog="localist", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    whole.add_argument("--version", action="version", version=f"localist {__version__}")
    commands = whole.add_subparsers(dest="command", required=True)
    for group in GROUPS:
        group.add_parsers(commands)
    return whole


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    return status_of(lambda: arguments.run(arguments))
