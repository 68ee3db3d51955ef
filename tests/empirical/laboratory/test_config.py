"""Configurations: the same from TOML and from code, checked once, named in every error."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small import SMALL, TOPICS, configured

from empirical.errors import BadInput
from empirical.laboratory.config import Config, ModelConfig, SweepConfig, TaskConfig, load, parse

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


@pytest.mark.parametrize("base", [SMALL, TOPICS])
def test_round_trip(base):
    config = configured(base)
    assert parse(config.as_dict()) == config
    assert parse(json.loads(json.dumps(config.as_dict()))).digest() == config.digest()


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_examples_load(path):
    assert parse(load(path).as_dict()) == load(path)


def test_the_digest_knows_everything_but_the_workers():
    digest = configured(SMALL).digest()
    assert configured(SMALL, sweep={"workers": 9}).digest() == digest
    for section, change in (
        ("sweep", {"tolerance": 2e-6}),
        ("sweep", {"seeds": [1, 3]}),
        ("task", {"cue": 0.2}),
        ("model", {"dtype": "float32"}),
        ("setting", {"temperature": 0.9}),
    ):
        assert configured(SMALL, **{section: change}).digest() != digest


def test_penalty_levels_follow_from_the_configuration_where_they_are_proved():
    assert configured(SMALL).penalty_setting.gradient_bound == 4.0
    named = parse({**SMALL, "penalty": {"gradient_bound": 1.0, "group_norm": 2.0}}).penalty_setting
    assert (named.gradient_bound, named.value_diameter, named.group_norm, named.step) == (1.0, 2.0, 2.0, 20.0)
    assert configured(TOPICS).penalty_setting.gradient_bound is None
    capped = configured(TOPICS, model={"layers": 1, "mlp": False, "value_norm": 2.0, "unembedding_norm": 3.0})
    assert (capped.penalty_setting.gradient_bound, capped.penalty_setting.value_diameter) == (6.0, 4.0)
    assert configured(TOPICS, model={"value_norm": 2.0, "unembedding_norm": 3.0}).penalty_setting.gradient_bound is None


@pytest.mark.parametrize(
    ("section", "change", "message"),
    [
        ("model", {"layers": 0}, "model.layers must be a whole number in [1, 1024], got 0"),
        ("model", {"dtype": "float16"}, "model.dtype must be 'float64' or 'float32', got 'float16'"),
        ("model", {"causal": 1}, "model.causal must be true or false, got 1"),
        ("model", {"layers": 2}, "model.layers must go with task.name='topics', got 2"),
        ("model", {"anchor_logit": 6.0}, "model.anchor_logit must go with task.name='topics', got 6.0"),
        ("model", {"hedas": 1}, "[model] must have only known keys, got 'hedas'; did you mean 'heads'?"),
        ("task", {"name": "images"}, "task.name must be 'blocks' or 'topics', got 'images'"),
        ("task", {"cue": 1.0}, "task.cue must be a number in [0, 1), got 1.0"),
        (
            "sweep",
            {"penalties": []},
            "sweep.penalties must be a list of finite numbers >= 0, not empty, each once, got ()",
        ),
        ("sweep", {"penalties": [float("nan")]}, "got (nan,)"),
        ("sweep", {"seeds": [1, 1]}, "each once, got (1, 1)"),
        ("sweep", {"starts": ["warm"]}, "got ('warm',)"),
        ("sweep", {"tolerance": 0.0}, "sweep.tolerance must be a finite number > 0, got 0.0"),
        ("sweep", {"device": "tpu"}, "sweep.device must be 'cpu' or 'cuda' or 'mps' or 'auto', got 'tpu'"),
        ("sweep", {"device": "mps"}, "sweep.device must be 'cpu' or 'cuda' with model.dtype='float64', got 'mps'"),
        ("setting", {"n_keys": 9}, "setting.n_keys must be model.blocks * n_block = 8, got 9"),
        ("setting", {"fidelity": 1.0}, "fidelity must be in (0, 1), got 1.0"),
    ],
)
def test_bad_values_are_named(section, change, message):
    with pytest.raises(ValueError) as caught:
        configured(SMALL, **{section: change})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bad_files(tmp_path):
    with pytest.raises(BadInput, match="CONFIG must be a readable TOML file"):
        load(tmp_path / "nowhere.toml")
    (tmp_path / "bad.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(BadInput, match="CONFIG must be a TOML file"):
        load(tmp_path / "bad.toml")
    with pytest.raises(BadInput, match="model must be a table, got 3"):
        parse({"schema_version": 1, "model": 3})
    with pytest.raises(BadInput, match="schema_version must be 1, got None"):
        parse({})


def test_defaults_are_valid():
    assert Config() == Config(model=ModelConfig(), task=TaskConfig(), sweep=SweepConfig())
