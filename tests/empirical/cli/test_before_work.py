"""What can be refused is refused before any work, with nothing printed and nothing made."""

from __future__ import annotations

import numpy as np
import pytest

from empirical.cli import main
from empirical.cli.exits import BAD_INPUT, OK, REFUTED, UNDECIDED

pytestmark = pytest.mark.usefixtures("unsaved")
SMALL = """schema_version = 1
[setting]
n_keys = 8
n_block = 4
fidelity = 0.6
[model]
blocks = 2
d_block = 3
[task]
name = "blocks"
queries = 60
[sweep]
penalties = [0.9]
relative_to_critical = true
starts = ["localised"]
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a configuration, attention of one's own, a file that is no folder, a folder that is not empty."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.toml").write_text(SMALL)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "held").write_text("")
    np.savez("own.npz", logits=np.eye(4), query_block=np.arange(4) % 2, key_block=np.arange(4) % 2)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("run small.toml --out out --require foo>=0.9", "--require must name a field of the rows, got 'foo'"),
        ("run small.toml --out out --require attention>=0.9", "--require must name a field of the rows, got 'atten"),
        ("run small.toml --out out --require anchor_mass>=0.9@dial=1", "got 'dial=1'"),
        ("run small.toml --out out --require fidelity>=0.9@start=random", "got 'start=random'"),
        ("run small.toml --out full", "--out must be a new or empty folder"),
        ("run small.toml --out own.npz", "--out must be a folder"),
        ("run small.toml --out own.npz/out", "--out must be a writable folder"),
        ("run --study dial --quick --out own.npz/out", "--out must be a writable folder"),
        ("check own.npz --require loss_train>=0.9", "--require must name a field of these observations"),
        ("check own.npz --theorem schedule_optimum", "theorem must speak of observations"),
        ("plot own.npz --out own.npz/out", "--out must be a writable folder"),
        ("anchors --blocks 12 --dim 3 --out own.npz/out", "--out must be a writable folder"),
        ("verify --out own.npz", "--out must be a folder"),
        ("verify leakage_ceiling --out own.npz/out", "--out must be a writable folder"),
    ],
)
def test_what_can_be_refused_is_refused_before_work(here, capsys, monkeypatch, arguments, said):
    def worked(*_, **__):
        raise AssertionError("work began")

    for work in (
        "empirical.laboratory.sweep.train_cells",
        "empirical.laboratory.sweep._in_workers",
        "empirical.check.verdicts.check_dataset",
        "empirical.planning.anchors.pack",
        "empirical.figures.points.write_points",
        "empirical.verify.gathering.attack",
    ):
        monkeypatch.setattr(work, worked)
    before = sorted(here.rglob("*"))
    assert main(arguments.split()) == BAD_INPUT
    out, error = capsys.readouterr()
    assert said in error
    assert error.count("\n") == 1
    assert out == ""
    assert sorted(here.rglob("*")) == before


def test_a_theorem_that_cannot_apply_names_the_input_that_is_missing(here, capsys):
    assert main(["check", "own.npz", "--theorem", "steps_to_zero"]) == UNDECIDED
    said = capsys.readouterr().out
    assert "steps_to_zero needs" in said
    assert "group_norm_start" in said
    assert "localist run" in said
    assert main(["check", "own.npz", "--theorem", "rule_mass"]) == BAD_INPUT
    assert "localist verify rule_mass" in capsys.readouterr().err


def test_a_level_that_cannot_be_given_says_what_is_missing_and_what_to_use(here, capsys):
    text = SMALL.replace('"blocks"\n', '"topics"\n').replace("relative_to_critical = true\n", "")
    text = text.replace('["localised"]', '["random"]').replace("n_keys = 8\n", "n_keys = 60\n")
    (here / "topics.toml").write_text(text.replace("d_block = 3", "d_block = 3\nlayers = 2"))
    assert main(["thresholds", "topics.toml"]) == OK
    said = capsys.readouterr().out
    assert "penalty levels A and B: not proved for this model" in said
    assert "critical_penalty" in said
    for name in ("gradient_bound", "value_diameter", "query_norm", "key_norm", "key_diameter"):
        assert name in said


def test_a_requirement_says_which_rows_it_is_about(here, capsys):
    np.savez("rows.npz", fidelity=np.array([0.2, 0.95]).reshape(2, 1, 1, 1), penalty=[0.0, 1.0])
    assert main(["check", "rows.npz", "--require", "fidelity>=0.9"]) == REFUTED
    assert main(["check", "rows.npz", "--require", "fidelity>=0.9@penalty=1"]) == UNDECIDED  # no theorem has rows
    assert "fidelity >= 0.9 at penalty 1: met by all 1 rows" in capsys.readouterr().out
    assert main(["check", "rows.npz", "--require", "fidelity>=0.9@penalty=2"]) == BAD_INPUT
    assert "penalty of these observations (0, 1), got 'penalty=2'" in capsys.readouterr().err


def test_verdicts_are_printed_where_they_cannot_be_saved(here, capsys, monkeypatch):
    from empirical.errors import BadInput

    def full(*_):
        raise BadInput("--out must be a writable folder")

    monkeypatch.setattr("empirical.files.write_atomically", full)
    assert main(["check", "own.npz", "--out", "verdicts"]) == BAD_INPUT
    assert "HOLDS" in capsys.readouterr().out
