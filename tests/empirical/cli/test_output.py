"""What a command prints: with --json one document alone; no escape code, no bar where nobody looks."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import termios

import numpy as np
import pytest
from small_checkpoints import whole_checkpoint, write_documents

from empirical.cli import main
from empirical.cli.arguments import document
from empirical.cli.exits import OK

QUICK = {
    "thresholds": "thresholds --n-keys 64 --n-block 16 --fidelity 0.9",
    "anchors": "anchors --blocks 3 --dim 2",
    "schedule": "schedule --diameters 1 2 --lipschitz 1 1 --budget 0.5",
    "claims": "claims",
    "verify": "verify reload_limit --quick",
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return whole_checkpoint("gpt2", tmp_path_factory.mktemp("gpt2"))


def document_of(arguments, capsys):
    """What is printed, which must be one JSON document from its first character to its last."""
    assert main([*arguments, "--json"]) == OK
    printed = capsys.readouterr().out
    assert printed.startswith("{")
    assert printed.endswith("}\n")
    return json.loads(printed, parse_constant=pytest.fail)


@pytest.mark.parametrize("command", QUICK.values(), ids=QUICK)
def test_json_is_one_document(command, capsys):
    assert document_of(command.split(), capsys)


def test_check_prints_its_sentence_and_outcomes_as_one_document(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("own.npz", logits=np.eye(4), query_block=np.arange(4) % 2, key_block=np.arange(4) % 2)
    found = document_of(["check", "own.npz"], capsys)
    assert found["conclusion"].startswith("Nothing is violated")
    main(["check", "own.npz"])
    assert capsys.readouterr().out.splitlines()[0] == found["conclusion"]


@pytest.mark.parametrize(
    ("command", "more"),
    [("observe", ["--certify"]), ("price", ["--paths", "--no-ablations"]), ("localise", ["--penalty", "0.1"])],
)
def test_commands_on_a_checkpoint_print_one_document(checkpoint, tmp_path, capsys, command, more):
    text = write_documents(tmp_path / "text.jsonl", 16, 20, 16, 18)
    asked = [command, str(checkpoint), "--text", str(text), "--out", str(tmp_path / "out"), "--dtype", "float64"]
    assert document_of([*asked, *more], capsys)["conclusion"]


def test_what_is_no_number_of_json_is_null_or_a_word():
    given = {"a": float("nan"), "b": (np.float64("-inf"), np.int64(3), np.array([0.5])), 1: True}
    assert json.loads(document(given)) == {"a": None, "b": ["-inf", 3, [0.5]], "1": True}


def seen_on_a_terminal(command, **variables):
    """All that a terminal is sent."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 120))
    environment = {**os.environ, "TERM": "xterm-256color", **variables}
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    sent = b""
    while True:
        try:
            part = os.read(ours, 2**16)
        except OSError:  # how Linux says that the other end is closed
            break
        sent += part
        if not part:
            break
    os.close(ours)
    assert process.wait() == OK
    return sent


VERIFY = [sys.executable, "-m", "empirical.cli", "verify", "reload_limit", "--quick"]


def test_a_bar_moves_on_a_terminal_and_without_colour_there_is_no_escape_code():
    sent = seen_on_a_terminal(VERIFY, NO_COLOR="1")
    assert b" inputs/s" in sent
    assert b"\r" in sent
    assert b"\x1b" not in sent


def test_no_bar_and_no_escape_code_where_the_output_is_no_terminal():
    done = subprocess.run(VERIFY, capture_output=True, check=True)
    assert done.stderr == b""
    assert b"\x1b" not in done.stdout
    assert done.stdout.startswith(b"1 of 1 theorems stand")


def test_training_shows_its_bar_on_a_terminal_alone():
    shows = "from empirical.laboratory.sweep import Bar; Bar(3, 0, True).finished(None)"
    command = [sys.executable, "-c", shows]
    assert b"1/3 cells done" in seen_on_a_terminal(command)
    assert subprocess.run(command, capture_output=True, check=True).stderr == b""
