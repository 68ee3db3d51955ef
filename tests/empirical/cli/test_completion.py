"""Completion is loaded when a shell asks for it, and never else."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from empirical.cli import main
from empirical.cli.parser import commands_of


@pytest.mark.parametrize("asks", [True, False])
def test_a_shell_that_asks_is_given_the_whole_parser(asks, monkeypatch, capsys):
    given = []
    monkeypatch.setitem(sys.modules, "argcomplete", SimpleNamespace(autocomplete=given.append))
    monkeypatch.delenv("_ARGCOMPLETE", raising=False)
    if asks:
        monkeypatch.setenv("_ARGCOMPLETE", "1")
    main(["thresholds", "--n-keys", "64", "--n-block", "16", "--fidelity", "0.9"])
    assert ["thresholds" in commands_of(parser) for parser in given] == [True] * asks
