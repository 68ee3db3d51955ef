"""`localist init`: every field of a configuration, with its meaning, in a file that runs as it is."""

from __future__ import annotations

import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from empirical.cli import main
from empirical.cli.exits import OK
from empirical.laboratory.config import SECTIONS, load

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(("task", "penalty"), [("blocks", "norms"), ("topics", "norms"), ("topics", "gates")])
def test_a_configuration_with_every_field_is_written_and_runs_as_it_is(tmp_path, capsys, monkeypatch, task, penalty):
    monkeypatch.chdir(tmp_path)
    assert main(["init", "--task", task, "--penalty", penalty]) == OK
    text = capsys.readouterr().out
    (tmp_path / "my.toml").write_text(text)
    assert load("my.toml").task.name == task
    assert load("my.toml").penalty.kind == penalty
    for section, kind in SECTIONS.items():
        part = text.partition(f"[{section}]")[2].partition("\n[")[0]
        for field in fields(kind):
            (line,) = [line for line in part.splitlines() if line.lstrip("# ").startswith(f"{field.name} =")]
            assert "  # " in line, line  # its meaning
    held = tomllib.loads(text)
    assert not set(held["task"]) & ({"cue"} if task == "topics" else {"segment", "vocabulary", "text_dir"})
    assert main(["thresholds", "my.toml"]) == OK


def test_naming_the_task_is_enough(tmp_path):
    (tmp_path / "my.toml").write_text('schema_version = 1\n[task]\nname = "topics"\n')
    assert load(tmp_path / "my.toml").sweep.starts == ("random",)


def test_blocks_of_text_bear_the_names_of_their_files(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts").mkdir()
    for at, name in enumerate(("contracts.txt", "letters.txt", "recipes.txt")):
        (tmp_path / "texts" / name).write_text(" ".join(f"word{at}{i % 7}" for i in range(900 - 100 * at)))
    assert main(["init", "--task", "topics", "--text-dir", "texts"]) == OK
    text = capsys.readouterr().out
    assert "blocks = 3" in text
    for name, value in (("max_steps", 2), ("queries", 12), ("layers", 1), ("batch", 2)):
        line = next(line for line in text.splitlines() if line.startswith(f"{name} ="))
        text = text.replace(line, f"{name} = {value}")
    (tmp_path / "my.toml").write_text(text.replace("n_keys =", "# n_keys =").replace("n_block =", "# n_block ="))
    assert main(["run", "my.toml", "--out", "out", "--workers", "1"]) in (0, 3)
    said = capsys.readouterr().out
    assert "contracts.txt" in said
    assert "letters.txt" in said
    from empirical.observe.files import open_observations

    assert "recipes.txt" in open_observations(tmp_path / "out").attrs["blocks"]


def test_the_docs_have_every_field_and_are_fresh():
    from empirical.laboratory.template import page

    assert page() == (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
