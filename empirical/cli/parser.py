"""What cannot be read of a command line is refused in one line: what was given, what is allowed, what is nearest."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import Any

from bounds.numbers.errors import nearest
from empirical.errors import BadInput

NEGATIVE = re.compile(r"-(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$|-(inf|nan)$", re.IGNORECASE)
WORDS: dict[Any, str] = {int: "a whole number", float: "a number"}
ONE = {None: "one argument", "?": "one argument at most"}


class Parser(argparse.ArgumentParser):
    """A flag is given once, by its whole name; a negative number is no flag."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings, allow_abbrev=False, formatter_class=argparse.RawTextHelpFormatter)
        self._negative_number_matcher = NEGATIVE

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        given = sys.argv[1:] if args is None else list(args)
        own = list(takewhile(lambda word: word != "--", given))
        if self._subparsers is not None:  # what follows the command is the command's
            own = list(takewhile(lambda word: word.startswith("-"), own))
        self._flags(own)
        found, more = super().parse_known_args(given, namespace)
        if more:
            raise BadInput(f"{self.prog} must be given no more arguments, got {more[0]!r}")
        return found, more

    def _flags(self, given: Sequence[str]) -> None:
        seen: set[argparse.Action] = set()
        for word in given:
            if not word.startswith("-") or word == "-" or " " in word or NEGATIVE.match(word):
                continue
            name, equals, value = word.partition("=")
            action = self._option_string_actions.get(name)
            if action is None:
                close = nearest(name, [flag for flag in self._option_string_actions if flag.startswith("--")])
                raise BadInput(f"{self.prog} must be given flags of its own, got {name!r}; nearest: {close}")
            if equals and action.nargs == 0:
                raise BadInput(f"{name} must be given without a value, got {value!r}")
            if action in seen and not isinstance(action, argparse._AppendAction):
                raise BadInput(f"{name} must be given once, got it again")
            seen.add(action)

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        try:
            return super()._get_value(action, arg_string)
        except argparse.ArgumentError:
            allowed = WORDS.get(action.type, "of its kind")
            raise BadInput(f"{_name(action)} must be {allowed}, got {arg_string!r}") from None

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        known = [str(choice) for choice in action.choices]
        if action.dest == "command":
            raise BadInput(
                f"COMMAND must be a command of {self.prog}, got {value!r}; nearest: {nearest(str(value), known)}"
            )
        raise BadInput(f"{_name(action)} must be one of {', '.join(known)}, got {value!r}")

    def _match_argument(self, action: argparse.Action, arg_strings_pattern: str) -> int:
        try:
            return super()._match_argument(action, arg_strings_pattern)
        except argparse.ArgumentError:
            allowed = ONE.get(action.nargs, "at least one argument")  # pyright: ignore[reportArgumentType]
            raise BadInput(f"{_name(action)} must be followed by {allowed}, got none") from None

    def error(self, message: str) -> Any:
        """What is left: arguments that are required."""
        lacking = message.partition("the following arguments are required: ")[2]
        raise BadInput(f"{self.prog} must be given {lacking}" if lacking else f"{self.prog}: {message}")


def _name(action: argparse.Action) -> str:
    return action.option_strings[-1] if action.option_strings else str(action.metavar or action.dest)


def commands_of(parser: argparse.ArgumentParser) -> Iterator[str]:
    """The names of its commands."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices
