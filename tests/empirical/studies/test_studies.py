"""Every study at the size of a test: verdicts, figures, resuming after a kill, checking and drawing what was saved."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from small import SMALL, TOPICS, configured

from bounds.theorems import Verdict
from empirical.cli import main
from empirical.cli.exits import UNDECIDED
from empirical.cli.verdicts import judged_study
from empirical.errors import BadInput
from empirical.laboratory.config import BRANCHES, load
from empirical.studies import STUDIES
from empirical.studies import frame as studies
from empirical.studies.dial import measure as dial_study
from empirical.studies.floors import measure as floors
from empirical.studies.frame import draws, measures, preset, read_study, run_study, verdicts
from empirical.studies.hysteresis import measure as hysteresis

ROOT = Path(__file__).resolve().parents[3]
LOOP = {"penalties": [0.5, 0.97, 1.03, 3.0, 40.0], "seeds": [1], "starts": [*BRANCHES], "max_steps": 4000}
CONFIGS = {
    "dial": configured(TOPICS, model={"anchor_logit": None}, sweep={"penalties": [0.0]}),
    "hysteresis": configured(SMALL, sweep=LOOP),
    "floors": preset("floors", True),
}  # the others are run from end to end in tests of their own


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """name -> the folder of a finished study, made when it is first asked for."""
    made = {}

    def folder(name):
        if name not in made:
            made[name] = tmp_path_factory.mktemp(name)
            run_study(name, CONFIGS[name], made[name])
        return made[name]

    return folder


@pytest.mark.parametrize("name", CONFIGS)
def test_no_row_is_violated_and_every_theorem_is_decided(finished, name):
    outcomes = verdicts(finished(name))
    assert {o.verdict for o in outcomes} == {Verdict.HOLDS}
    assert all(o.decided for o in outcomes)


@pytest.mark.parametrize("name", CONFIGS)
def test_checked_and_drawn_from_what_was_saved(finished, name, tmp_path, capsys):
    folder = finished(name)
    capsys.readouterr()
    assert main(["check", str(folder), "--json", "--out", str(tmp_path / "checked")]) == 0
    assert (tmp_path / "checked" / "against_bound.png").exists()
    said = json.loads(capsys.readouterr().out)["outcomes"]
    assert [o["verdict"] for o in said] == ["HOLDS"] * len(said)
    assert main(["plot", str(folder), "--out", str(tmp_path / "drawn")]) == 0
    drawn = sorted(p.name for p in (tmp_path / "drawn").iterdir())
    assert "against_bound.png" in drawn
    assert [name for name in drawn if name.endswith(".png")] == [n[:-3] + "png" for n in drawn if n.endswith(".svg")]


@pytest.mark.parametrize("name", CONFIGS)
def test_a_killed_study_goes_on_and_ends_with_the_same_numbers(finished, name, tmp_path):
    folder = tmp_path / "again"
    shutil.copytree(finished(name), folder)
    (folder / "study.json").unlink()
    first = min((folder / "cells").iterdir())
    first.unlink()
    with pytest.raises(BadInput, match="new or empty folder"):
        run_study(name, CONFIGS[name], folder)
    run_study(name, CONFIGS[name], folder, resume=True)
    assert read_study(folder)["numbers"] == read_study(finished(name))["numbers"]


def test_a_changed_row_is_found(finished, tmp_path):
    """The verdict is of the saved rows, not of what was said of them when they were saved."""
    folder = tmp_path / "changed"
    shutil.copytree(finished("dial"), folder)
    run = json.loads((folder / "run.json").read_text())
    store = studies.Store(folder, run["config_digest"], run["code"])
    rows = store.load("rows before")
    rows["leakage_dialled"][3] *= 1 + 1e-9
    store.save("rows before", rows)
    assert next(o for o in verdicts(folder) if o.theorem.key == "odds_law").verdict is Verdict.VIOLATED
    assert main(["check", str(folder)]) == 1


def test_another_study_or_configuration_is_not_resumed(finished, tmp_path):
    folder = tmp_path / "other"
    shutil.copytree(finished("dial"), folder)
    with pytest.raises(BadInput, match="made from another configuration"):
        run_study("dial", configured(TOPICS), folder, resume=True)
    run = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**run, "study": "depth"}))
    with pytest.raises(BadInput, match=r"run.json must be as it was written"):
        run_study("dial", CONFIGS["dial"], folder, resume=True)
    del run["seal"]  # as an earlier release wrote it
    (folder / "run.json").write_text(json.dumps({**run, "study": "depth"}))
    with pytest.raises(BadInput, match="made from another study"):
        run_study("dial", CONFIGS["dial"], folder, resume=True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "--study", "dails", "--out", "x"], "--study must be one of .*dial, .* got 'dails'"),
        (["run", "--out", "x"], "must be given CONFIG.toml or --study NAME, got neither"),
        (
            ["run", "examples/topics.toml", "--quick", "--study", "dial", "--out", "x"],
            "--quick must go with the preset",
        ),
        (["run", "--study", "dial", "--require", "fidelity>=0.1", "--out", "x"], "--require must go with a run"),
        (["run", "examples/blocks.toml", "--study", "dial", "--out", "x"], "task.name must be 'topics'"),
        (["run", "examples/topics.toml", "--study", "hysteresis", "--out", "x"], "task.name must be 'blocks'"),
    ],
)
def test_bad_input_is_named(arguments, words, capsys, tmp_path):
    at = [str(tmp_path / "out") if word == "x" else word for word in arguments]
    assert main(at) == 2
    assert pytest.importorskip("re").search(words, capsys.readouterr().err)


@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.parametrize("quick", [True, False])
def test_every_study_has_presets(name, quick):
    config = preset(name, quick)
    assert config.sweep.workers >= 1


def test_studies_are_collected_from_their_folders_without_torch():
    """A new one is a folder; its line is what `__init__.py` says."""
    folder = Path(studies.__file__).parent
    assert set(STUDIES) == {file.parent.name for file in folder.glob("*/measure.py")}
    assert all("\n" not in line and line for line in STUDIES.values())
    probe = (
        "import sys; from empirical.studies import STUDIES; print([m for m in ('torch', 'numpy') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True).stdout
    assert found.strip() == "[]"


def test_the_ledger_s_floors_are_those_of_the_study(finished):
    """Equal up to the last digits of another machine's exp."""
    numbers = read_study(finished("floors"))["numbers"]
    kept = json.loads((ROOT / "bounds" / "ledger" / "evidence" / "studies" / "floors.json").read_text())
    for kind in ("curves", "rows"):
        for name, values in numbers[kind].items():
            np.testing.assert_allclose(values, kept[kind][name], rtol=1e-12, atol=1e-14)


def test_threads_are_the_caller_s_again(monkeypatch, tmp_path):
    seen, whole, before = [], floors.rows_of, torch.get_num_threads()
    monkeypatch.setattr(floors, "rows_of", lambda *given: (seen.append(torch.get_num_threads()), whole(*given))[1])
    torch.set_num_threads(2)
    try:
        run_study("floors", CONFIGS["floors"], tmp_path)
        assert (seen, torch.get_num_threads()) == ([1], 2)
    finally:
        torch.set_num_threads(before)


def test_the_dial_s_law_is_drawn_as_a_curve_and_a_loss_no_larger_than_it_is(finished):
    found = read_study(finished("dial"))["numbers"]
    curve = found["curve"]
    for name in ("fidelity_predicted", "entropy_predicted"):
        law = [np.interp(found["dials"][:10], curve["dials"], layer) for layer in np.array(curve[name]).T]
        np.testing.assert_allclose(np.array(law).T, np.array(found[name])[:10], atol=2e-3)
    figures = draws("dial").draw(found)
    for axes in figures["dial"].axes[:2]:
        lines = [line for line in axes.get_lines() if line.get_linestyle() != "None"]
        assert lines
        assert all(len(line.get_xdata()) > 100 for line in lines)
    assert "entropy" not in figures["dial"].texts[0].get_text()
    losses = [axes for figure in figures.values() for axes in figure.axes if "loss" in axes.get_ylabel()]
    assert len(losses) == 3
    assert all(np.ptp(axes.get_ylim()) > 0.019 * max(axes.get_ylim()) for axes in losses)
    assert "layer 0" in [text.get_text() for text in figures["dial"].legends[0].get_texts()]
    assert "F0" in measures("dial").table(found)


def test_on_the_dial_of_one_model_predictions_are_the_observations(finished):
    found = read_study(finished("dial"))["numbers"]
    first = [np.array(found[name])[:, 0] for name in ("fidelity", "fidelity_predicted", "entropy", "entropy_predicted")]
    np.testing.assert_allclose(first[0], first[1], rtol=1e-12)
    np.testing.assert_allclose(first[2], first[3], rtol=1e-12)
    deeper = np.array(found["fidelity"])[1:-1, 1] - np.array(found["fidelity_predicted"])[1:-1, 1]
    assert np.abs(deeper).max() > 1e-9  # deeper inputs change: there the law holds given the input alone
    rising = found["entropies"]
    assert rising["agree"] == rising["rows"] - rising["undecided"]
    assert 0 < rising["predicted"] < rising["rows"]
    costs = found["adaptive"]
    assert all(np.array(costs["kappa_mean"]) < np.array(costs["kappa_fixed"]))


def test_a_dial_that_misses_its_promise_ends_the_study(monkeypatch, tmp_path):
    from empirical.errors import Missed

    whole = dial_study.adaptive_dial
    monkeypatch.setattr(dial_study, "adaptive_dial", lambda target, *rest: whole(0.99 * target, *rest))
    with pytest.raises(Missed):
        run_study("dial", CONFIGS["dial"], tmp_path / "out")


def test_the_loop_returns_where_predicted_and_its_other_edge_is_bracketed(finished):
    (seed,) = read_study(finished("hysteresis"))["numbers"]["seeds"]
    assert seed["lower_off"] < 0.02
    assert seed["bracketed"]
    assert seed["width"] > 1
    down = seed["legs"]["down"]
    penalty, active = np.array(down["penalty"]), np.array(down["active"])
    assert (active[penalty > 1.02] == 0).all()
    assert (active[penalty < 0.98] > 0).all()
    assert all(all(leg["converged"]) for leg in seed["legs"].values())


def test_an_edge_elsewhere_would_be_seen(finished, monkeypatch, tmp_path):
    """With a critical penalty 3 % too high, the return edge is off by as much."""
    whole = hysteresis._edges
    monkeypatch.setattr(
        hysteresis,
        "_edges",
        lambda *given: (lambda e: {**e, "critical": np.asarray(e["critical"] * 1.03)})(whole(*given)),
    )
    run_study("hysteresis", CONFIGS["hysteresis"], tmp_path / "out")
    (seed,) = read_study(tmp_path / "out")["numbers"]["seeds"]
    assert seed["lower_off"] > 0.02


def test_presets_are_read_as_they_are(tmp_path):
    path = tmp_path / "own.toml"
    text = (studies.resources.files("empirical.studies") / "dial" / "quick.toml").read_text()
    path.write_text(text)
    assert load(path) == preset("dial", True)


def test_a_study_that_no_theorem_judges_decides_nothing(tmp_path):
    found = judged_study(())
    found.save(tmp_path)
    assert found.status == UNDECIDED
    assert json.loads((tmp_path / "verdicts.json").read_text())["outcomes"] == []
