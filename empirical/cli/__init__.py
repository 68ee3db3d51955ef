"""`localist`, the command line."""

from empirical.cli.commands import main

__all__ = ["main"]
