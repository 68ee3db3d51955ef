"""The help of every command: an example that parses, what comes out, every exit status."""

from __future__ import annotations

import argparse
import shlex

import pytest

from empirical.cli.command_line import parser
from empirical.cli.exits import BAD_INPUT, INTERRUPTED, OK, TERMINATED

(ACTION,) = [action for action in parser()._actions if isinstance(action, argparse._SubParsersAction)]
MANY = 10


@pytest.mark.parametrize("name", ACTION.choices)
def test_help_has_an_example_what_comes_out_and_exit_statuses(name):
    said = ACTION.choices[name].format_help()
    example, _, rest = said.partition("\nexample:\n")[2].partition("\n\ncomes out:\n")
    gives, _, ends = rest.partition("\n\nexit status:\n")
    assert gives.strip()
    for line in example.splitlines():
        words = shlex.split(line)
        assert words[0] == "localist"
        parser().parse_args(words[1 : words.index(">") if ">" in words else None])
    assert shlex.split(example)[1] == name
    for status in (OK, BAD_INPUT, INTERRUPTED, TERMINATED):
        assert f"{status}: " in ends


@pytest.mark.parametrize("name", ACTION.choices)
def test_many_flags_are_grouped_and_each_says_what_it_means(name):
    command = ACTION.choices[name]
    ungrouped = [a for a in command._optionals._group_actions if not isinstance(a, argparse._HelpAction)]
    assert len(ungrouped) < MANY
    for action in command._actions:
        assert action.help or action.choices or not action.option_strings, action
