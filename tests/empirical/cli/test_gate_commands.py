"""`localist price` and `localise` on a saved checkpoint: what is saved, what is said, what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import xarray as xr
from small_checkpoints import whole_checkpoint, write_documents

from empirical.checkpoints.gate_files import Layout, load_gates, save_gates
from empirical.checkpoints.gates import gating, groups_of
from empirical.checkpoints.loading import load_checkpoint
from empirical.cli import main
from empirical.errors import BadInput

pytest.importorskip("transformers")
LAYOUT = Layout("spans", ("cat", "dog"), {}, [])


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return whole_checkpoint("gpt2", tmp_path_factory.mktemp("gpt2"))


@pytest.fixture
def text(tmp_path):
    return write_documents(tmp_path / "text.jsonl", 24, 20, 28, 16)


def run(command, saved, text, out, *more):
    return main([command, str(saved), "--text", str(text), "--out", str(out), "--dtype", "float64", *more])


def test_prices_of_a_text_are_saved_and_said(saved, text, tmp_path, capsys):
    assert run("price", saved, text, tmp_path / "out") == 0
    said = capsys.readouterr().out
    assert "on 4 documents" in said
    assert "share: sum" in said
    found = xr.open_dataset(tmp_path / "out" / "prices.nc", engine="h5netcdf")
    assert found["share"].dims == ("layer", "head")
    assert float(found["share"].sum()) == pytest.approx(found.attrs["change"], abs=1e-5)
    found.close()


def test_gates_for_a_budget_are_saved_judged_held_out_and_loaded_for_their_model_alone(saved, text, tmp_path, capsys):
    out = tmp_path / "out"
    assert run("localise", saved, text, out, "--loss-budget", "0.01") == 0
    assert "documents held out: loss" in capsys.readouterr().out
    said = json.loads((out / "gates.json").read_text())
    assert said["chosen_on"]["change"] <= 0.01 + 1e-9
    assert said["documents"] == {"choose": 2, "judge": 2}
    model = load_checkpoint(str(saved), dtype="float64").model
    gates, groups = load_gates(out, model)
    assert int((gates == 0).sum()) == said["shut"]
    ids, blocks = torch.arange(3, 11)[None], torch.tensor([[0, 0, 1, 1, 0, 0, 1, 1]])
    with torch.no_grad(), gating(model, gates, blocks=blocks, groups=groups):
        assert torch.isfinite(model(input_ids=ids).logits).all()
    with torch.no_grad():
        next(iter(model.parameters())).add_(1e-3)
    with pytest.raises(BadInput, match="gates must be of this model"):
        load_gates(out, model)


def test_a_fidelity_and_a_penalty_are_met(saved, text, tmp_path):
    assert run("localise", saved, text, tmp_path / "one", "--target-fidelity", "1") == 0
    assert not np.any(json.loads((tmp_path / "one" / "gates.json").read_text())["chosen_on"]["leakage_kept"])
    assert run("localise", saved, text, tmp_path / "two", "--penalty", "1000") == 0
    two = json.loads((tmp_path / "two" / "gates.json").read_text())
    assert two["shut"] == two["gates"]


@pytest.mark.parametrize(
    ("command", "more", "said"),
    [
        ("localise", (), "one of --penalty"),
        ("localise", ("--penalty", "1", "--loss-budget", "0"), "one of --penalty"),
        ("localise", ("--target-fidelity", "2"), "--target-fidelity must be in"),
        ("localise", ("--loss-budget", "-5"), "--loss-budget must be within reach"),
        ("price", ("--groups", "row"), "groups must be some of"),
        ("price", ("--groups", "head", "--paths", "staircase"), "path must not be the staircase"),
        ("price", ("--loss", "hinge"), "loss must be one of"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_made(saved, text, tmp_path, capsys, command, more, said):
    assert run(command, saved, text, tmp_path / "out", *more) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("said", ["no JSON", "[]", '{"axes": [[]], "blocks": 2}', "[" * 100_000])
def test_gates_that_say_nothing_of_themselves_are_refused(saved, tmp_path, said):
    model = load_checkpoint(str(saved), dtype="float64").model
    save_gates(tmp_path, torch.ones(8), groups_of(model, 2), model, LAYOUT, {})
    (tmp_path / "gates.json").write_text(said)
    with pytest.raises(BadInput, match=r"gates\.json"):
        load_gates(tmp_path, model)
