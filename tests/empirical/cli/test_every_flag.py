"""Every flag that is given is used or refused; usage errors take one line, with the nearest flag or command."""

from __future__ import annotations

import json
import math
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from bounds import PenaltySetting, Setting
from empirical.cli import main
from empirical.cli.exits import BAD_INPUT, OK

EXAMPLES = Path(__file__).parents[3] / "examples"
BLOCKS, TOPICS, GATES = (str(EXAMPLES / f"{name}.toml") for name in ("blocks", "topics", "gates"))
COUNTS = ["--n-keys", "64", "--n-block", "16"]
NORMS = ["--gradient-bound", "1", "--value-diameter", "1", "--query-norm", "1", "--key-norm", "1"]


def test_anchors_that_nobody_gave_are_stated_first_and_one_anchor_stands_beside_them(capsys):
    assert main(["thresholds", "--n-keys", "4096", "--n-block", "128", "--fidelity", ".99"]) == OK
    first, *rest = capsys.readouterr().out.splitlines()
    assert "all 128 keys of the block are taken for anchors" in first
    (line,) = [line for line in rest if line.startswith("least margin")]
    optimistic, careful = math.log(3968 / 128 * 99), math.log(3968 * 99)
    assert f"{optimistic:.4f}"[:-1] in line
    assert f"{careful:.3f}"[:-1] in line
    main(["thresholds", "--n-keys", "4096", "--n-block", "128", "--fidelity", ".99", "--json"])
    (saved,) = json.loads(capsys.readouterr().out)["thresholds"]
    assert saved["value"] == pytest.approx(optimistic)
    assert saved["one_anchor"] == pytest.approx(careful)
    main(["thresholds", "--n-keys", "4096", "--n-block", "128", "--fidelity", ".99", "--n-anchors", "128"])
    assert "taken for" not in capsys.readouterr().out


def test_the_help_of_thresholds_says_what_each_flag_means_in_which_unit_and_its_default(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")  # no word is split
    with pytest.raises(SystemExit):
        main(["thresholds", "--help"])
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.strip().startswith("--")}
    for kind in (Setting, PenaltySetting):
        for field in fields(kind):
            line = lines[f"--{field.name.replace('_', '-')}"]
            assert field.metadata["meaning"] in line
            assert field.metadata["unit"] in line
            assert ("default" in line) is (field.default is not None), line
    assert "[1; default 1]" in lines["--temperature"]


def test_thresholds_say_what_is_missing_for_what_and_state_penalty_inputs_in_the_head(capsys):
    assert main(["thresholds", *COUNTS, "--fidelity", ".9", *NORMS, "--key-diameter", "2"]) == OK
    head, *rest = capsys.readouterr().out.split("\n\n")
    assert "\nPenalty: gradient_bound 1, value_diameter 1, query_norm 1, key_norm 1, key_diameter 2" in head
    assert "with group_norm, step: steps to zero" in rest[-1]
    assert main(["thresholds", *COUNTS, "--fidelity", ".9"]) == OK
    *_, missing = capsys.readouterr().out.split("\n\n")
    assert "with entropy: least margin for the entropy" in missing
    assert main(["thresholds", *COUNTS, "--fidelity", ".9", *NORMS]) == BAD_INPUT
    assert "must go with --key-diameter (penalty level A)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["thresholds", *COUNTS, "--fidelity", ".9", "--penalty", "3"], "--penalty"),
        (["thresholds", *COUNTS, "--fidelity", ".9", *NORMS], "--key-diameter"),
        (["thresholds", *COUNTS, "--fidelity", ".9", "--query-share", ".5"], "--query-share"),
        (["thresholds", "--n-keys", "64", "--logit-range", "3", "--n-anchors", "1"], "--n-anchors"),
        (["thresholds", "--dial", ".5", "--margin", "3"], "--margin"),
        (["thresholds", TOPICS, "--step", "3"], "--step"),
        (["run", BLOCKS, "--out", "out", "--text-dir", "."], "--text-dir"),
        (["run", "--study", "hysteresis", "--quick", "--out", "out", "--text-dir", "."], "--text-dir"),
        (["run", "--study", "dial", "--quick", "--out", "out", "--workers", "3"], "--workers"),
        (["run", BLOCKS, "--quick", "--out", "out"], "--quick"),
        (["run", GATES, "--study", "dial", "--out", "out"], "penalty.kind must be 'norms' for the study of 'dial'"),
        (["init", "--penalty", "gates"], "--penalty gates must go with --task topics"),
        (["thresholds", "--target-leakage", ".1"], "--loss-reference"),
        (["run", BLOCKS, "--out", "out", "--workers", "2", "--device", "cuda"], "--workers"),
        (["generate", "nowhere", "--prompt", "text.jsonl", "--seed", "3"], "--seed"),
        (["verify", "--quick", "--out", "out"], "--out"),
        (["anchors", "--blocks", "3", "--dim", "2", "--restarts", "3"], "--restarts"),
        (["schedule", "--diameters", "1", "--lipschitz", "1", "--budget", "1", "--workers", "1"], "--workers"),
    ],
)
def test_a_flag_without_effect_is_refused_in_one_line_and_nothing_is_made(
    arguments, said, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == BAD_INPUT
    out, error = capsys.readouterr()
    assert said in error
    assert error.startswith("localist: ")
    assert error.count("\n") == 1
    assert out == ""
    assert not list(tmp_path.iterdir())


def test_a_key_of_another_task_is_refused(tmp_path, capsys):
    (tmp_path / "mine.toml").write_text('schema_version = 1\n[task]\nname = "blocks"\nsegment = 8\n')
    assert main(["thresholds", str(tmp_path / "mine.toml")]) == BAD_INPUT
    assert "task.segment must go with task.name='topics', got 8" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["chek", "x"], "must be a command of localist, got 'chek'; nearest: check"),
        ([], "localist must be given a command"),
        (["thresholds", "--n-kys", "3"], "got '--n-kys'; nearest: --n-keys"),
        (["run", "x.toml", "--uot", "y"], "got '--uot'; nearest: --out"),
        (["run", "x.toml"], "localist run must be given --out"),
        (["observe", "x"], "localist observe must be given --text, --out"),
        (["thresholds", "--n-keys", "many"], "--n-keys must be a whole number, got 'many'"),
        (["thresholds", "--margin", "big"], "--margin must be a number, got 'big'"),
        (["thresholds", "--margin"], "--margin must be followed by one argument, got none"),
        (["run", "x.toml", "--out", "y", "--device", "cud"], "--device must be one of cpu, cuda, mps, auto, got 'cud'"),
        (["check", "x", "y"], "localist check must be given no more arguments, got 'y'"),
        (["thresholds", "--json=yes"], "--json must be given without a value, got 'yes'"),
        (["thresholds", "--n-key", "3"], "got '--n-key'; nearest: --n-keys"),
    ],
)
def test_a_usage_error_is_one_line(arguments, said, capsys):
    assert main(arguments) == BAD_INPUT
    error = capsys.readouterr().err
    assert said in error
    assert error.startswith("localist: ")
    assert error.count("\n") == 1
    assert len(error) < 200


@pytest.mark.parametrize("margin", ["-1e-5", "-.5", "-3"])
def test_a_negative_number_is_no_flag(margin, capsys):
    assert main(["thresholds", *COUNTS, "--margin", margin, "--json"]) == OK
    assert json.loads(capsys.readouterr().out)["setting"]["margin"] == float(margin)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("thresholds --n-keys 0", "n_keys must be a whole number in [1, 2^53], got 0"),
        ("thresholds --n-keys 12345678 --n-block 23456789", "got 23456789 with n_keys=12345678"),
        ("thresholds --n-block 12345678 --n-anchors 23456789", "got 23456789 with n_block=12345678"),
        ("thresholds --n-keys 99999999999999999999", "got 99999999999999999999"),
        ("check own.npz --theorem zzz", "nearest: "),
        ("check own.npz --require zzz>=1", "nearest: "),
        ("check odd.npz", "nearest: "),
    ],
)
def test_whole_numbers_come_back_as_given_and_three_names_at_most(arguments, said, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("own.npz", logits=np.eye(4), query_block=np.arange(4) % 2, key_block=np.arange(4) % 2)
    np.savez("odd.npz", logits=np.eye(4), zzz=np.arange(4))
    assert main(arguments.split()) == BAD_INPUT
    error = capsys.readouterr().err
    assert said in error
    if "nearest: " in said:
        assert error.strip().rpartition("nearest: ")[2].count(",") <= 2
    else:
        assert error.strip().endswith(said)
