"""A run that is ended from outside: status 130 or 143, one line with the way to go on, no warnings; time left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

LONG = """schema_version = 1
[setting]
n_keys = 8
n_block = 4
[model]
blocks = 2
d_block = 3
[task]
name = "blocks"
queries = 60
[sweep]
penalties = [0.9, 1.1]
relative_to_critical = true
starts = ["localised"]
max_steps = 1000000
tolerance = 1e-300
step = 20.0
"""


@pytest.mark.parametrize("whole_group", [False, True])
def test_sigterm_ends_like_an_interrupt(tmp_path, whole_group):
    (tmp_path / "long.toml").write_text(LONG)
    command = [sys.executable, "-m", "empirical.cli", "run", "long.toml", "--out", "out"]
    pipes = {"stderr": subprocess.PIPE, "stdout": subprocess.DEVNULL, "text": True}
    process = subprocess.Popen(command, cwd=tmp_path, start_new_session=True, **pipes)
    while not (tmp_path / "out" / "run.json").exists() and process.poll() is None:
        time.sleep(0.05)
    time.sleep(1.5)
    (os.killpg if whole_group else os.kill)(process.pid, signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "--resume goes on from there" in said
    for noise in ("Warning", "Traceback", "leaked", "Terminated"):
        assert noise not in said


def test_only_what_can_be_resumed_is_told_so(monkeypatch, capsys):
    from empirical.cli import main

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("bounds.thresholds.design.design", interrupted)
    assert main(["thresholds", "--n-keys", "64", "--n-block", "16", "--fidelity", "0.9"]) == 130
    assert "--resume" not in capsys.readouterr().err


def test_time_left_waits_until_it_means_something():
    from empirical.laboratory.sweep import time_left

    assert time_left(gone=0.5, done=1e-6) is None
    assert time_left(gone=3.0, done=0.001) is None
    assert time_left(gone=60.0, done=0.1) == pytest.approx(540.0)
    assert time_left(gone=5.0, done=0.5) == pytest.approx(5.0)
