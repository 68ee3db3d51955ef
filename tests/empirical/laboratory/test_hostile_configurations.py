"""A configuration may ask for anything: what it is refused for is its key, and nothing is made of it before."""

from __future__ import annotations

import json
import time

import pytest
import torch
from hostile import DEEP, HEX, LONG
from safetensors.torch import save_file
from small import SMALL, TOPICS, configured

from empirical.cli import main
from empirical.errors import BadInput
from empirical.laboratory.config import load, parse
from empirical.laboratory.model import initial_parameters
from empirical.laboratory.model_file import load_model, save_model

KEYS = ".".join("a" * 30_000) + " = 1"


@pytest.mark.parametrize(
    "text",
    [
        KEYS,
        *(f"schema_version = 1\n[task]\nqueries = {v}\n" for v in (LONG, HEX, "[" * DEEP, "{a=" * DEEP, "[3," * 70)),
    ],
)
def test_toml_without_end_is_a_refusal_of_one_line_in_a_moment(tmp_path, capsys, text):
    path, began = tmp_path / "file.toml", time.monotonic()
    path.write_text(text)
    assert main(["thresholds", str(path)]) == 2
    assert time.monotonic() - began < 5
    said = capsys.readouterr().err
    assert said.startswith("localist: CONFIG must be a TOML file, got ")
    assert said.count("\n") == 1
    assert len(said) < 600


def test_a_whole_number_of_a_thousand_digits_is_refused_by_its_key(tmp_path):
    path = tmp_path / "file.toml"
    path.write_text(f"schema_version = 1\n[model]\nanchor_logit = 1{'0' * 400}\n")
    with pytest.raises(BadInput, match=r"\(model.anchor_logit: a whole number of 1,329 bits, beyond 64\)"):
        load(path)


def test_a_configuration_has_a_largest_size(tmp_path):
    endless = tmp_path / "endless.toml"
    endless.symlink_to("/dev/zero")
    with pytest.raises(BadInput, match=r"CONFIG must be a readable TOML file of at most 131,072 bytes, got more in"):
        load(endless)


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("task", "queries", 99999999999),
        ("task", "vocabulary", 2**40),
        ("model", "layers", 10**6),
        ("model", "d_block", 10**7),
        ("sweep", "workers", 10**6),
        ("sweep", "batch", 10**9),
    ],
)
def test_a_size_without_end_is_refused_by_its_key(section, key, value):
    with pytest.raises(BadInput, match=rf"{section}.{key} must be a whole number in \[\d+, \d+\], got {value}"):
        parse({"schema_version": 1, section: {key: value}})


@pytest.mark.parametrize(
    ("base", "changes", "name"),
    [
        (TOPICS, {"model": {"blocks": 256, "d_block": 256, "heads": 64}}, "forms"),
        (TOPICS, {"task": {"queries": 2**20}}, "logits"),
        (TOPICS, {"task": {"queries": 2**12, "vocabulary": 2**20}}, "scores"),
        (SMALL, {"setting": {"n_keys": 2**40, "n_block": 2**39}}, "keys"),
    ],
)
def test_sizes_that_ask_for_any_amount_together_are_refused(base, changes, name):
    with pytest.raises(
        BadInput, match=rf"{name} of the configuration must be of at most 2,147,483,648 numbers, got \(\d"
    ):
        configured(base, **changes)


def test_the_shapes_of_a_configuration_are_those_of_its_parameters():
    for changes in ({}, {"stream": "shared"}, {"mlp": False, "anchor_logit": None}):
        config = configured(TOPICS, model=changes)
        drawn = initial_parameters(config, 0, 1, torch.device("cpu"), torch.float32)
        assert {name: tuple(value.shape[1:]) for name, value in drawn.items()} == config.shapes


def test_a_model_whose_configuration_asks_for_more_than_there_is_is_refused_before_room_is_made(tmp_path, monkeypatch):
    path, config = tmp_path / "model.safetensors", configured(TOPICS)
    save_model(path, initial_parameters(config, 0, 1, torch.device("cpu"), torch.float32), config)
    load_model(path)
    monkeypatch.setattr(torch, "randn", lambda *_, **__: pytest.fail("made"))
    plain = config.as_dict()
    for changes in ({"blocks": 256, "d_block": 256, "heads": 64}, {"blocks": 64, "d_block": 64, "heads": 64}):
        saved = {"config": json.dumps({**plain, "model": {**plain["model"], **changes}})}
        save_file({"forms": torch.zeros(1)}, path, saved)
        with pytest.raises(BadInput, match=r"MODEL must (be a checkpoint of this toolkit|hold the tensors)"):
            load_model(path)


@pytest.mark.parametrize("tensors", [{"forms": torch.tensor(1.0)}, {"forms": torch.zeros(1, dtype=torch.bfloat16)}, {}])
def test_a_model_of_other_tensors_is_refused(tmp_path, tensors):
    save_file(tensors, tmp_path / "x.safetensors", {"config": json.dumps(configured(TOPICS).as_dict())})
    with pytest.raises(BadInput, match="MODEL must"):
        load_model(tmp_path / "x.safetensors")


def test_a_number_that_changed_in_a_model_is_noticed(tmp_path):
    path, config = tmp_path / "model.safetensors", configured(TOPICS)
    save_model(path, initial_parameters(config, 0, 1, torch.device("cpu"), torch.float32), config)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(BadInput, match="whose content is not what its digest is of"):
        load_model(path)
