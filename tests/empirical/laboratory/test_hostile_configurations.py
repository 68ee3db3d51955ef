"""A configuration may ask for anything: what it is refused for is its key, and nothing is made of it before."""

from __future__ import annotations

import time

import pytest
from hostile import DEEP, HEX, LONG

from empirical.cli import main
from empirical.errors import BadInput
from empirical.laboratory.config import load

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
