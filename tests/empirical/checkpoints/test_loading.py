"""A checkpoint that is not whole is refused before any work; a head that it lacks gives no loss, and no text."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from small_checkpoints import whole_checkpoint, write_documents

from empirical.cli import main
from empirical.observe.files import open_observations

pytest.importorskip("transformers")
pytestmark = pytest.mark.usefixtures("unsaved")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """name -> the folder of its checkpoint."""
    from transformers.utils import logging

    made = {}
    logging.disable_progress_bar()

    def folder(name):
        if name not in made:
            made[name] = whole_checkpoint(name, tmp_path_factory.mktemp(name))
        return made[name]

    yield folder
    logging.enable_progress_bar()


@pytest.fixture
def text(tmp_path):
    return write_documents(tmp_path / "text.jsonl", 24)


def changed(folder, to, change):
    shutil.copytree(folder, to)
    tensors = change(load_file(to / "model.safetensors"))
    save_file(tensors, to / "model.safetensors", {"format": "pt"})
    return to


def configured(folder, to, **values):
    shutil.copytree(folder, to)
    config = to / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **values}))
    return to


def observe(folder, text, out, *more):
    kind = () if "--dtype" in more else ("--dtype", "float64")
    return main(["observe", str(folder), "--text", str(text), "--out", str(out), *kind, *more])


def without(part):
    return lambda tensors: {name: value for name, value in tensors.items() if part not in name}


@pytest.mark.parametrize(
    ("name", "change", "lacks"),
    [
        ("gpt2", without("h.1.attn.c_attn.weight"), "transformer.h.1.attn.c_attn.weight"),
        ("bert", without("layer.1.output.LayerNorm"), "bert.encoder.layer.1.output.LayerNorm.bias and 1 more"),
        ("t5", without("encoder.block.1.layer.0.SelfAttention.k"), "encoder.block.1.layer.0.SelfAttention.k.weight"),
        (
            "llama",
            lambda tensors: {f"x.{n}": v for n, v in tensors.items()},
            r"model.* and 1. more \(but with x.model.*\)",
        ),
    ],
)
def test_a_body_that_lacks_weights_is_refused_by_their_names(whole, text, tmp_path, capsys, name, change, lacks):
    folder = changed(whole(name), tmp_path / "lacking", change)
    assert observe(folder, text, tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert re.search(f"localist: MODEL must hold every weight of its body, got .* without {lacks}", error), error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"n_layer": 3}, r"MODEL must hold every weight of its body, got .* without transformer\.h\.2\..* 11 more"),
        (
            {"n_layer": 1},
            r"MODEL must hold no more layers than its config.json tells of, got .* with .*h\.1\..* 10 more",
        ),
        ({"n_embd": 64}, "MODEL must hold weights of the shapes in its config.json, got .* with transformer.h.0"),
        ({"vocab_size": 10**10}, "config.json must describe the weights that are there, .* numbers, got .* of 320,"),
        ({"n_layer": 10**6}, "config.json must describe the weights that are there, 28 tensors, got .*layers=1000000"),
        ({"n_positions": 10**8, "n_ctx": 10**8}, "config.json must describe the weights that are there"),
    ],
)
def test_a_configuration_of_another_size_is_refused_before_room_is_made(whole, text, tmp_path, capsys, values, said):
    folder = configured(whole("gpt2"), tmp_path / "other", **values)
    assert observe(folder, text, tmp_path / "out") == 2
    assert re.search(said, capsys.readouterr().err)


def test_a_head_that_is_not_there_gives_no_loss_and_no_text(whole, text, tmp_path, capsys):
    headless = changed(whole("llama"), tmp_path / "headless", without("lm_head"))
    assert observe(headless, text, tmp_path / "out", "--dial", "0.5") == 0
    assert "no loss: the checkpoint holds no lm_head.weight" in capsys.readouterr().out
    dataset = open_observations(tmp_path / "out")
    assert np.isnan(dataset["loss_heldout"]).all()
    assert observe(whole("llama"), text, tmp_path / "with", "--dial", "0.5") == 0
    assert np.isfinite(open_observations(tmp_path / "with")["loss_heldout"]).all()
    np.testing.assert_array_equal(dataset["fidelity"], open_observations(tmp_path / "with")["fidelity"])
    assert main(["generate", str(headless), "--prompt", str(text), "--tokens", "2"]) == 2
    assert "MODEL must hold its head to generate text, got" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"{", b"[" * 5000, b'{"model": {}}', b"\xff"])
def test_a_broken_tokenizer_is_a_refusal(whole, text, tmp_path, capsys, content):
    folder = configured(whole("gpt2"), tmp_path / "broken")
    (folder / "tokenizer.json").write_bytes(content)
    assert observe(folder, text, tmp_path / "out") == 2
    assert "MODEL must be a readable checkpoint" in capsys.readouterr().err


def test_the_odds_law_judges_the_dialled_pass(whole, text, tmp_path, monkeypatch):
    """A dial that takes off 1 % less than it says is noticed, though each pass agrees with itself."""
    import empirical.checkpoints.contexts as contexts

    def verdict(out):
        assert observe(whole("gpt2"), text, out, "--dial", "0.5", "0.9", "--dtype", "float32") in (0, 1)
        outcomes = json.loads((out / "verdicts.json").read_text())["outcomes"]
        return next(o for o in outcomes if o["theorem"] == "odds_law")

    honest = verdict(tmp_path / "honest")
    assert honest["verdict"] == "HOLDS"
    dataset = open_observations(tmp_path / "honest")
    after = dataset["leakage"].values
    np.testing.assert_array_equal(dataset["leakage_dialled"].values[:2, 0], after[1:, 0])  # of the next dial's pass
    assert np.isnan(dataset["leakage_dialled"].values[:, 1:]).all()  # deeper inputs move: the law is silent
    true = contexts.kappa_of_dial
    monkeypatch.setattr(contexts, "kappa_of_dial", lambda dial: 0.99 * true(dial))
    assert verdict(tmp_path / "weak")["verdict"] == "VIOLATED"


def test_rows_at_dial_1_are_whole_and_judged(whole, text, tmp_path, capsys):
    """They see what they saw, with no weight outside; what they show inside is that of the block alone."""
    out = tmp_path / "out"
    assert observe(whole("gpt2"), text, out, "--dial", "1", "--require", "fidelity>=0.1") in (0, 1)
    said = capsys.readouterr().out
    assert "nan" not in said.split("theorem")[0]
    dataset = open_observations(out)
    valid = dataset["valid"].values.astype(bool)
    np.testing.assert_array_equal(valid[1], valid[0])
    one = {name: dataset[name].values[1][valid[1]] for name in ("fidelity", "leakage", "margin", "entropy_nats")}
    assert (one["fidelity"] == 1).all()
    assert (one["leakage"] == 0).all()
    assert (one["margin"] == np.inf).all()
    block = dataset["n_block"].values[1][valid[1]]
    assert ((one["entropy_nats"] >= 0) & (one["entropy_nats"] <= np.log(block) + 1e-12)).all()
    assert np.isfinite(dataset["logit_range"].values[1][valid[1]]).all()
    outcomes = json.loads((out / "verdicts.json").read_text())["outcomes"]
    counts = next(o["counts"] for o in outcomes if o["theorem"] == "leakage_ceiling")
    assert counts["VACUOUS"] == (~valid).sum()
    assert torch.get_default_dtype() is torch.float32
