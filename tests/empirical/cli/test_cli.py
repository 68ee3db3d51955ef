"""`localist` as a user meets it: tables, exit statuses, one-line errors, a light start."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import bounds
from empirical.cli import main
from empirical.cli.exits import BAD_INPUT, INTERRUPTED, OK, REFUTED, UNDECIDED

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
SMALL = """
schema_version = 1
[setting]
n_keys = 8
n_block = 4
n_anchors = 1
fidelity = 0.6
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
max_steps = 400
step = 20.0
workers = 1
"""
FLAGS = ["--n-keys", "64", "--n-block", "16", "--n-anchors", "1", "--margin", "6", "--fidelity", "0.95"]


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    (folder / "small.toml").write_text(SMALL)
    assert main(["run", str(folder / "small.toml"), "--out", str(folder / "out")]) == OK
    return folder / "out"


def test_thresholds_from_flags(capsys):
    assert main(["thresholds", *FLAGS, "--json"]) == OK
    found = {line["key"]: line for line in json.loads(capsys.readouterr().out)["thresholds"]}
    assert found["margin_for_fidelity"]["value"] == bounds.margin_for_fidelity(0.95, 64, 16, 1)
    assert found["entropy_ceiling"]["bits"] == pytest.approx(found["entropy_ceiling"]["value"] / math.log(2))
    assert main(["thresholds", *FLAGS]) == OK
    table = capsys.readouterr().out
    assert "nats" in table
    assert "bits" in table
    assert "open" in table


def test_flags_win_over_the_file(capsys):
    example = str(EXAMPLES / "topics.toml")
    assert main(["thresholds", example, "--fidelity", "0.99", "--json"]) == OK
    found = json.loads(capsys.readouterr().out)
    assert found["setting"]["fidelity"] == 0.99
    assert found["setting"]["n_keys"] == 68
    assert found["regions"][0]["region"] == "open"


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_example_has_thresholds(example, capsys):
    assert main(["thresholds", str(example)]) == OK
    assert "least margin for the fidelity" in capsys.readouterr().out


def test_penalty_levels_and_steps_from_the_configuration(capsys):
    assert main(["thresholds", str(EXAMPLES / "blocks.toml"), "--json", "--step", "0.5"]) == OK
    found = {line["key"]: line for line in json.loads(capsys.readouterr().out)["thresholds"]}
    assert found["penalty_worst_case"]["value"] == 4.0
    assert found["steps_to_zero"]["value"] == 1
    assert (
        main(
            [
                "thresholds",
                "--gradient-bound",
                "1",
                "--value-diameter",
                "1",
                "--query-norm",
                "1",
                "--key-norm",
                "1",
                "--key-diameter",
                "1",
                "--group-norm",
                "1",
                "--step",
                "0.1",
                "--penalty",
                "0.5",
                "--json",
            ]
        )
        == OK
    )
    found = {line["key"]: line for line in json.loads(capsys.readouterr().out)["thresholds"]}
    assert found["penalty_worst_case"]["value"] == 0.25
    assert found["steps_to_zero"]["value"] == 40


def test_a_run_leaves_everything(run, capsys):
    assert {p.name for p in run.iterdir()} == {"cells", "figures", "observations.nc", "run.json", "verdicts.json"}
    saved = json.loads((run / "verdicts.json").read_text())
    assert {o["verdict"] for o in saved["outcomes"]} <= {"HOLDS", "VACUOUS"}
    assert (run / "figures" / "transition.png").exists()
    assert (run / "figures" / "transition.svg").exists()
    assert (run / "figures" / "against_bound.png").exists()
    assert not list(run.rglob("*.part"))


def test_check_needs_only_saved_data(run, capsys, monkeypatch):
    monkeypatch.setattr("empirical.laboratory.training.train", None)
    before = (run / "verdicts.json").read_text()
    assert main(["check", str(run)]) == OK
    out = capsys.readouterr().out
    assert out.startswith("Nothing is violated; ")
    assert "concentration  leakage_ceiling" in out
    assert "--verbose shows" in out
    assert "Tightest row" not in out
    assert main(["check", str(run), "--verbose"]) == OK
    out = capsys.readouterr().out
    assert "VACUOUS, because" in out
    assert "Tightest row" in out
    assert (run / "verdicts.json").read_text() == before
    assert main(["plot", str(run / "observations.nc"), "--out", str(run.parent / "again")]) == OK
    for name in ("transition.png", "points.csv"):
        assert (run.parent / "again" / name).read_bytes() == (run / "figures" / name).read_bytes()


def test_requirements_and_requested_theorems_set_the_status(run, capsys, unsaved):
    assert main(["check", str(run), "--require", "fidelity>=0"]) == OK
    assert main(["check", str(run), "--require", "fidelity>=0.9999999"]) == REFUTED
    assert main(["check", str(run), "--theorem", "fidelity_floor"]) == OK
    assert main(["check", str(run), "--theorem", "anchor_floor"]) == UNDECIDED
    assert main(["check", str(run), "--require", "anchor_logit>0"]) == UNDECIDED
    capsys.readouterr()
    assert main(["check", str(run), "--json"]) == OK
    assert {"outcomes", "requirements", "commit", "config_digest"} <= set(json.loads(capsys.readouterr().out))


def test_own_attention_and_a_violation(tmp_path, capsys, unsaved):
    np.savez(
        tmp_path / "own.npz",
        logits=np.random.default_rng(1).normal(size=(6, 9)),
        query_block=np.arange(6) % 3,
        key_block=np.arange(9) % 3,
    )
    assert main(["check", str(tmp_path / "own.npz")]) == OK
    np.savez(
        tmp_path / "bad.npz",
        leakage=[0.9],
        fidelity=[0.1],
        margin=[3.0],
        logit_range=[4.0],
        n_keys=[4],
        n_block=[2],
        n_anchors=[1],
        valid=[True],
    )
    assert main(["check", str(tmp_path / "bad.npz")]) == REFUTED
    assert "VIOLATED leakage_ceiling" in capsys.readouterr().out
    np.savez(tmp_path / "little.npz", loss_train=[1.0])
    assert main(["check", str(tmp_path / "little.npz")]) == UNDECIDED
    assert "No rows: the observations lack the fields of leakage_ceiling" in capsys.readouterr().out


TEXT = SMALL.replace('"blocks"', '"topics"').replace('["localised"]', '["random"]').replace("n_keys = 8\n", "")
TEXT = TEXT.replace("relative_to_critical = true\n", "").replace("n_block = 4\n", "")


def toml(**changes: str) -> str:
    text = SMALL
    for key, value in changes.items():
        lines = [line for line in text.splitlines() if line.startswith(f"{key} =")]
        text = text.replace(lines[0], f"{key} = {value}") if lines else text + f"\n{key} = {value}\n"
    return text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (toml(n_block="8"), "n_block must be in [1, n_keys - 1], got 8 with n_keys=8"),
        (toml(n_anchors="1\ntemperature = 0.0"), "temperature must be finite and > 0, got 0.0"),
        (toml(n_anchors="1\ntemperature = -1.0"), "temperature must be finite and > 0, got -1.0"),
        (toml(fidelity="1.0"), "fidelity must be in (0, 1), got 1.0"),
        (toml(fidelity="nan"), "fidelity must be in (0, 1), got nan"),
        (toml(penalty="[1.0]"), "got 'penalty'; did you mean 'penalties'?"),
        (toml(max_steps="0"), "sweep.max_steps must be a whole number in [1, 2147483648], got 0"),
        (toml(penalties="[-1.0]"), "sweep.penalties must be a list of finite numbers >= 0"),
        (SMALL.replace("[sweep]", "[swept]"), "got 'swept'; did you mean 'sweep'?"),
        (SMALL.replace("schema_version = 1", "schema_version = 9"), "schema_version must be 1, got 9"),
        ("this is no TOML", "CONFIG must be a TOML file"),
        (
            SMALL.replace('"blocks"', '"topics"'),
            "sweep.relative_to_critical must go with penalty.kind='gates' or task.name='blocks', got True",
        ),
        (TEXT.replace('["random"]', '["zero"]'), "sweep.starts must be ['random']"),
    ],
)
def test_bad_configurations(tmp_path, capsys, text, said):
    (tmp_path / "bad.toml").write_text(text)
    assert main(["run", str(tmp_path / "bad.toml"), "--out", str(tmp_path / "out")]) == BAD_INPUT
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "files", [{}, {"a.txt": b"some words " * 400}, {"a.txt": b"\xff\xfe", "b.txt": b"words " * 400}]
)
def test_bad_text_folders(tmp_path, capsys, files):
    (tmp_path / "text").mkdir()
    for name, content in files.items():
        (tmp_path / "text" / name).write_bytes(content)
    (tmp_path / "topics.toml").write_text(TEXT)
    arguments = [
        "run",
        str(tmp_path / "topics.toml"),
        "--out",
        str(tmp_path / "out"),
        "--text-dir",
        str(tmp_path / "text"),
    ]
    assert main(arguments) == BAD_INPUT
    error = capsys.readouterr().err
    assert "task.text_dir must" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["thresholds"], "thresholds must be given CONFIG.toml or flags"),
        (["thresholds", "nowhere.toml"], "CONFIG must be a readable TOML file, got 'nowhere.toml'"),
        (
            ["thresholds", "--n-keys", "8", "--n-block", "9", "--fidelity", "0.5"],
            "n_block must be in [1, n_keys - 1], got 9",
        ),
        (["check", "nowhere"], "which is not there"),
        (["plot", "nowhere.nc"], "which is not there"),
        (["check", "nowhere", "--require", "fidelity"], "--require must be FIELD"),
        (["check", "nowhere", "--theorem", "fidelity_flor"], "nearest: fidelity_floor"),
    ],
)
def test_bad_arguments(arguments, said, capsys):
    assert main(arguments) == BAD_INPUT
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_run_refuses_a_folder_in_use(run, small, capsys, unsaved):
    assert main(["run", str(small), "--out", str(run)]) == BAD_INPUT
    assert "or --resume" in capsys.readouterr().err
    assert main(["run", str(small), "--out", str(run), "--resume"]) == OK


def test_an_interrupt_is_130(tmp_path):
    (tmp_path / "long.toml").write_text(SMALL.replace("max_steps = 400", "max_steps = 1000000\ntolerance = 1e-300"))
    command = [
        sys.executable,
        "-m",
        "empirical.cli",
        "run",
        str(tmp_path / "long.toml"),
        "--out",
        str(tmp_path / "out"),
    ]
    process = subprocess.Popen(
        command, start_new_session=True, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    while not (tmp_path / "out" / "run.json").exists():
        time.sleep(0.05)
    time.sleep(1.5)
    os.killpg(process.pid, signal.SIGINT)
    try:
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == INTERRUPTED
    assert "--resume goes on" in said


HEAVY = ("sympy", "scipy", "torch", "matplotlib", "xarray", "h5py")
PROBE = f"""
import sys
from empirical.cli import main
status = main(sys.argv[1:])
print([m for m in {HEAVY} if m in sys.modules], file=sys.stderr)
"""


@pytest.mark.parametrize("arguments", [FLAGS, [str(EXAMPLES / "blocks.toml")]])
def test_thresholds_starts_light(arguments):
    done = subprocess.run([sys.executable, "-c", PROBE, "thresholds", *arguments], capture_output=True, text=True)
    assert done.stderr.strip() == "[]"


def test_the_light_start_probe_can_fail():
    heavy = PROBE.replace("import sys\n", "import sys, sympy\n", 1)
    done = subprocess.run([sys.executable, "-c", heavy, "thresholds", *FLAGS], capture_output=True, text=True)
    assert done.stderr.strip() == "['sympy']"
