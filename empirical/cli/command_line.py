"""`localist`: thresholds of a configuration, a run from end to end, checks and figures of what was saved.

Exit status: 0; 1 violated, or a requirement missed; 2 bad input; 3 a requested theorem has no decided row, or
no theorem has; 130 interrupted, 143 terminated. Everything heavy is imported by the command that needs it.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from bounds import __version__
from empirical.cli import gates, ledger, looking, models, planning, runs, thresholds
from empirical.cli.exits import status_of
from empirical.cli.parser import Parser, commands_of
from empirical.errors import BadInput

GROUPS = (thresholds, runs, looking, models, gates, ledger, planning)


def parser() -> Parser:
    whole = Parser(prog="localist", description=__doc__)
    whole.add_argument("--version", action="version", version=f"localist {__version__}")
    commands = whole.add_subparsers(dest="command", metavar="COMMAND")
    for group in GROUPS:
        group.add_parsers(commands)
    return whole


def main(argv: Sequence[str] | None = None) -> int:
    arguments = argparse.Namespace()

    def command() -> int:
        whole = parser()
        if "_ARGCOMPLETE" in os.environ:  # a shell asks what could come next
            import argcomplete  # pyright: ignore[reportMissingImports]  (an extra)

            argcomplete.autocomplete(whole)
        whole.parse_args(argv, arguments)
        if arguments.command is None:
            raise BadInput(f"localist must be given a command ({', '.join(commands_of(whole))}), got none")
        return arguments.run(arguments)

    return status_of(command, lambda: hasattr(arguments, "resume"))
