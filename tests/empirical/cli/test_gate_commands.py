"""`localist price` and `localise` on a saved checkpoint: what is saved, what is said, what is refused."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
import xarray as xr
from small_checkpoints import TEXT, tokenizer, whole_checkpoint, write_documents

from empirical.checkpoints.documents import align, read_documents
from empirical.checkpoints.gate_files import Layout, load_gates, save_gates
from empirical.checkpoints.gate_prices import gate_problem
from empirical.checkpoints.gates import gating, groups_of
from empirical.checkpoints.loading import load_checkpoint
from empirical.checkpoints.localise import judged
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


def test_prices_of_a_text_are_saved_said_and_drawn_and_the_time_left_is_told(saved, text, tmp_path, capsys):
    assert run("price", saved, text, tmp_path / "out") == 0
    said = capsys.readouterr()
    assert "on 4 documents" in said.out
    assert "share: sum" in said.out
    assert said.err.startswith("at least ")
    assert "left: " in said.err
    found = xr.open_dataset(tmp_path / "out" / "prices.nc", engine="h5netcdf")
    assert found["share"].dims == ("layer", "head")
    assert float(found["share"].sum()) == pytest.approx(found.attrs["change"], abs=1e-5)
    found.close()
    drawn = {path.name for path in (tmp_path / "out" / "figures").glob("*.png")}
    assert drawn == {"price_map.png", "price_blocks.png", "staircase.png"}
    assert main(["plot", str(tmp_path / "out"), "--out", str(tmp_path / "again")]) == 0
    assert {path.name for path in (tmp_path / "again").glob("*.png")} == drawn


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


def test_a_budget_that_no_gates_meet_is_refused_with_how_far_they_get(saved, text, tmp_path, capsys):
    assert run("localise", saved, text, tmp_path / "out", "--loss-budget", "-5") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "--loss-budget must be within reach, got -5.0: at least " in error
    assert -1 < float(error.split("at least ")[1].split()[0]) < 0
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("said", ["no JSON", "[]", '{"axes": [[]], "blocks": 2}', "[" * 100_000])
def test_gates_that_say_nothing_of_themselves_are_refused(saved, tmp_path, said):
    model = load_checkpoint(str(saved), dtype="float64").model
    save_gates(tmp_path, torch.ones(8), groups_of(model, 2), model, LAYOUT, {})
    (tmp_path / "gates.json").write_text(said)
    with pytest.raises(BadInput, match=r"gates\.json"):
        load_gates(tmp_path, model)


@pytest.mark.parametrize(
    ("command", "more", "said"),
    [
        ("localise", (), "one of --penalty"),
        ("localise", ("--penalty", "1", "--loss-budget", "0"), "one of --penalty"),
        ("localise", ("--target-fidelity", "2"), "--target-fidelity must be in"),
        ("localise", ("--penalty", "nan"), "--penalty must be finite"),
        ("localise", ("--penalty", "-1"), "--penalty must be finite and >= 0"),
        ("localise", ("--loss-budget", "inf"), "--loss-budget must be finite"),
        ("localise", ("--penalty", "1", "--groups", "row"), "groups must be some of"),
        ("localise", ("--penalty", "1", "--loss", "answer"), "--loss must be one of next_token, kl, cosine"),
        ("localise", ("--penalty", "1", "--steps", "3"), "--steps must go with --weights"),
        ("localise", ("--loss-budget", "1", "--weights"), "--weights must go with --penalty"),
        ("localise", ("--penalty", "1", "--weights", "--loss", "kl"), "does not compare with the model itself"),
        ("localise", ("--penalty", "1", "--weights", "--rate", "0"), "--rate must be finite and > 0"),
        ("localise", ("--penalty", "1", "--keep", "cow"), "--keep must be a block of the text"),
        ("price", ("--groups", "row"), "groups must be some of"),
        ("price", ("--groups", "head", "--paths", "staircase"), "path must not be the staircase"),
        ("price", ("--paths", "straight"), "path must be some of"),
        ("price", ("--loss", "hinge"), "--loss must be one of"),
        ("price", ("--blocks", "paragraphs"), "--blocks must be one of"),
    ],
)
def test_what_is_wrong_whatever_the_model_is_refused_before_one_is_loaded(
    saved, text, tmp_path, capsys, monkeypatch, command, more, said
):
    def loaded(*_):
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("empirical.checkpoints.gate_texts.load_checkpoint", loaded)
    assert run(command, saved, text, tmp_path / "out", *more) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_one_document_is_refused_to_choose_and_judge_before_a_model_is_loaded(saved, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("empirical.checkpoints.gate_texts.load_checkpoint", None)
    one = write_documents(tmp_path / "one.jsonl", 24)
    assert run("localise", saved, one, tmp_path / "out", "--penalty", "1") == 2
    assert "documents to choose on and to judge on, got 1" in capsys.readouterr().err


def test_an_interval_over_one_document_is_unknown_and_not_of_width_0(saved, tmp_path, capsys):
    two = write_documents(tmp_path / "two.jsonl", 24, 20)
    assert run("localise", saved, two, tmp_path / "out", "--penalty", "1000") == 0
    assert capsys.readouterr().out.count("95 % UNKNOWN: at least 2 documents are needed") == 2
    assert json.loads((tmp_path / "out" / "gates.json").read_text())["held_out"]["change_interval"] is None
    one = write_documents(tmp_path / "one.jsonl", 24)
    assert run("price", saved, one, tmp_path / "prices", "--paths", "--no-ablations") == 0
    assert "95 % UNKNOWN: at least 2 documents are needed" in capsys.readouterr().out
    with xr.open_dataset(tmp_path / "prices" / "prices.nc", engine="h5netcdf") as found:
        assert np.isnan(found["critical_penalty_low"]).all()


@pytest.mark.parametrize(
    ("family", "command", "more", "said"),
    [
        ("t5", "price", (), "MODEL must be one stack"),
        ("bert", "price", ("--loss", "next_token"), "which predicts no next token"),
        ("bert", "localise", ("--penalty", "1", "--weights"), "does not compare with the model itself, got 'kl'"),
    ],
)
def test_models_without_what_is_asked_are_refused_by_name(
    text, tmp_path, tmp_path_factory, capsys, family, command, more, said
):
    model = whole_checkpoint(family, tmp_path_factory.mktemp(family))
    assert run(command, model, text, tmp_path / "out", *more) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_architecture_that_is_not_known_is_refused_by_name(saved, text, tmp_path, capsys):
    other = shutil.copytree(saved, tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(
        json.dumps({**config, "model_type": "mamba", "architectures": ["MambaForCausalLM"]})
    )
    assert run("price", other, text, tmp_path / "out") == 2
    assert "mamba" in capsys.readouterr().err


def test_blocks_that_cover_everything_have_nothing_to_price(saved, tmp_path, capsys):
    text = tmp_path / "text.jsonl"
    text.write_text(json.dumps({"text": TEXT, "spans": [{"start": 0, "end": len(TEXT), "block": "cat"}]}))
    assert run("price", saved, text, tmp_path / "out") == 2
    assert "blocks must leave a query something outside its own to see" in capsys.readouterr().err


def test_weights_trained_with_gates_are_a_checkpoint_of_their_own_and_both_losses_are_told(
    saved, text, tmp_path, capsys
):
    out = tmp_path / "out"
    more = ("--penalty", "0.05", "--weights", "--steps", "12", "--rate", "0.01")
    assert run("localise", saved, text, out, *more) == 0
    told = capsys.readouterr().out
    assert "weights trained with gates: " in told
    assert "with the weights as they were, held out: loss" in told
    said = json.loads((out / "gates.json").read_text())
    before, after = said["weights_as_trained"]["held_out"], said["held_out"]
    assert before["loss_as_trained"] == after["loss_as_trained"] == pytest.approx(before["loss_open"])
    assert after["loss"] < before["loss"]
    assert after["loss_open"] != after["loss_as_trained"]
    assert said["training"]["residual"] <= 1e-4 * (said["training"]["lambda_crit"] or 1)
    trained = load_checkpoint(str(out / "model"), dtype="float64").model
    gates, _ = load_gates(out, trained)
    assert int((gates == 0).sum()) == said["shut"]
    one = judged(gate_problem(trained, *_of(text)), gates)  # the documents held out, read anew
    assert one["loss"] == pytest.approx(after["loss"], rel=1e-9)
    assert one["loss_mask"] == pytest.approx(after["loss_mask"], rel=1e-9)
    with pytest.raises(BadInput, match="gates must be of this model"):
        load_gates(out, load_checkpoint(str(saved), dtype="float64").model)
    assert (out / "figures" / "trained_weights.png").is_file()


def _of(text):
    """Batches and labels of the documents 1, 3, ..."""
    reads, found = tokenizer(48), []
    for document in read_documents(text)[1::2]:
        encoded = reads(document.text, return_offsets_mapping=True, return_tensors="pt")
        labels = align(document, encoded["offset_mapping"][0].tolist(), ["cat", "dog"])
        found.append(({"input_ids": encoded["input_ids"]}, torch.as_tensor(labels)[None]))
    batches, labels = zip(*found)
    return list(batches), list(labels)
