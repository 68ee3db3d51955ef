"""`localist`, the command line: a module for each group of commands."""

from empirical.cli.command_line import main

__all__ = ["main"]
