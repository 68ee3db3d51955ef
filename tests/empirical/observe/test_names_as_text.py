"""Names that come from files are text: on a terminal, in a figure, in a message."""

from __future__ import annotations

import json

import numpy as np
import pytest
from figure_checks import words_of

from empirical.checkpoints.documents import read_documents
from empirical.cli import main
from empirical.cli.exits import status_of
from empirical.errors import BadInput
from empirical.figures import style
from empirical.figures.heads import by_head, under_the_frontier
from empirical.figures.observed import Observed
from empirical.observe.files import open_observations

EVIL = "\x1b[31mred\x1b[0m\x07\u202e\r\u2028$\\frac{"


@pytest.fixture
def named(tmp_path):
    """Rows of settings whose starts are named so."""
    blocks = {"query_block": np.arange(6) % 2, "key_block": np.arange(8) % 2}
    np.savez(tmp_path / "raw.npz", logits=np.random.default_rng(0).normal(size=(2, 1, 1, 6, 8)), **blocks)
    dataset = open_observations(tmp_path / "raw.npz")
    rows = {str(name): dataset[name].values for name in dataset.data_vars}
    np.savez(tmp_path / "own.npz", **rows, start=[EVIL, EVIL + "$"], seed=[1, 1], penalty=[1.0, 2.0])
    return tmp_path / "own.npz"


def test_no_escape_of_a_name_reaches_a_terminal(named, capsys):
    def refuse() -> int:
        raise BadInput(f"--relevant must be a block of the text ({EVIL}\n), got 'a'")

    assert status_of(refuse) == 2
    assert main(["check", str(named), "--verbose"]) in (0, 3)
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    for shown in (said.out, said.err):
        assert all(letter.isprintable() or letter == "\n" for letter in shown)
        assert "\\x1b[31mred" in shown


def test_a_dollar_in_a_name_is_a_dollar_in_a_figure(named, tmp_path):
    for draw in (by_head, under_the_frontier):
        with style.drawing():
            figure = draw(Observed(open_observations(named)))
            style.save(figure, tmp_path, "figure")
        assert all(letter.isprintable() or letter == "\n" for letter in words_of(figure))
    assert main(["plot", str(named), "--out", str(tmp_path / "figures")]) == 0


@pytest.mark.parametrize("name", [EVIL, "$", "$$", "a$b$c", "\\$x$", "$\\frac{"])
def test_a_name_stays_text_beside_mathematics(name, tmp_path):
    with style.drawing():
        figure = style.sheet(3, 2, f"$e^H$ of {style.plain(name)}")
        style.save(figure, tmp_path, "figure")


def test_block_names_are_what_the_file_says(tmp_path):
    path = tmp_path / "text.jsonl"
    path.write_text(json.dumps({"text": "abc", "spans": [{"start": 0, "end": 2, "block": EVIL}]}))
    assert read_documents(path)[0].blocks == (EVIL,)
