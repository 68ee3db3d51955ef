"""Attention of one's own: the format is said where one looks, little suffices, and its summary comes first."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from empirical.cli import main
from empirical.cli.exits import BAD_INPUT, OK
from empirical.errors import BadInput
from empirical.observe.files import observations, open_observations, save_dataset
from empirical.observe.summary import by_head

ROOT = Path(__file__).parents[3]
ATTENTION = np.array([[[0.7, 0.1, 0.2], [0.3, 0.3, 0.4], [0.25, 0.25, 0.5]], [[0.5, 0.25, 0.25]] * 3])  # head, T, T
BLOCK = np.array([0, 0, 1])


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_format_is_in_the_help_the_readme_and_the_docs_and_its_example_runs(here, capsys):
    with pytest.raises(SystemExit):
        main(["check", "--help"])
    said = capsys.readouterr().out
    for name in ("attention", "logits", "query_block", "key_block", "visible", "n_anchors", "temperature", "dial"):
        assert re.search(rf"^ +{name} ", said, re.MULTILINE), name
    page = (ROOT / "docs" / "formats.md").read_text()
    assert "docs/formats.md" in (ROOT / "README.md").read_text()
    example = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    subprocess.run([sys.executable, "-c", example[1]], check=True, cwd=here)
    assert main(["check", "my_attention.npz"]) == OK


@pytest.mark.parametrize("labels", [{"block": BLOCK}, {"block": np.array(["cat", "cat", "dog"])}, "two"])
def test_attention_and_the_block_of_each_token_suffice_and_the_summary_comes_first(here, capsys, labels):
    given = {"query_block": BLOCK, "key_block": BLOCK} if labels == "two" else labels
    np.savez("mine.npz", attention=ATTENTION, **given)
    assert main(["check", "mine.npz"]) == OK
    lines = capsys.readouterr().out.splitlines()
    heads = [line.split() for line in lines[: next(i for i, line in enumerate(lines) if "verdict" in line)]]
    assert ["layer", "head", "rows", "fidelity", "least", "entropy", "margin"] in heads
    # medians over the three rows: fidelity .8, .6, .5 and .75, .75, .25
    assert any(line[:5] == ["0", "0", "3", "0.6000", "0.5000"] for line in heads)
    assert any(line[:5] == ["0", "1", "3", "0.7500", "0.2500"] for line in heads)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        pytest.param({"attention": ATTENTION}, "with block (or query_block and key_block), got no block"),
        pytest.param({"attention": ATTENTION, "labels": BLOCK}, "got 'labels'; did you mean 'block'"),
        pytest.param({"logits": ATTENTION, "block": BLOCK, "mask": BLOCK}, "got 'mask'; did you mean 'visible'"),
        pytest.param({"attn_weights": ATTENTION, "block": BLOCK}, "got 'attn_weights'; did you mean 'attention'"),
        pytest.param({"scores": ATTENTION, "block": BLOCK}, "got 'scores'; did you mean 'logits'"),
        ({"entropy": [1.0], "fidelity": [0.5]}, "got 'entropy'; did you mean 'entropy_nats'"),
        pytest.param({"attention": ATTENTION, "logits": ATTENTION, "block": BLOCK}, "got both"),
        pytest.param({"attention": ATTENTION, "block": np.array([0, 1])}, "block must be"),
    ],
)
def test_an_unknown_name_gets_the_right_hint(here, capsys, arrays, said):
    np.savez("mine.npz", **arrays)
    assert main(["check", "mine.npz"]) == BAD_INPUT
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_arrays_at_hand_give_what_their_file_gives(here):
    """Fidelities by hand, as above; a text is a setting, names are kept, lists will do."""
    np.savez("mine.npz", attention=ATTENTION, block=np.array(["cat", "cat", "dog"]))
    at_hand = observations(attention=ATTENTION.tolist(), block=["cat", "cat", "dog"])
    assert at_hand.identical(open_observations(here / "mine.npz"))
    np.testing.assert_allclose(at_hand["fidelity"].values[0, 0], [[0.8, 0.6, 0.5], [0.75, 0.75, 0.25]])
    assert json.loads(at_hand.attrs["blocks"]) == ["cat", "dog"]
    two = observations(attention=np.stack([ATTENTION[None], ATTENTION[None]]), block=BLOCK)
    assert dict(two.sizes) == {"setting": 2, "layer": 1, "head": 2, "query": 3}


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"attention": ATTENTION}, "got no block"),
        ({"patterns": ATTENTION, "block": BLOCK}, "got 'patterns'"),
        ({"attention": ATTENTION, "block": BLOCK[:2]}, "block must be one label a token"),
    ],
)
def test_arrays_at_hand_are_refused_as_their_file_is(arrays, said):
    with pytest.raises(BadInput, match=said):
        observations(**arrays)


def test_of_many_heads_those_of_least_fidelity_are_shown_and_said_to_be():
    few = by_head(observations(attention=ATTENTION, block=BLOCK))
    assert "of least fidelity of" not in few
    many = by_head(observations(attention=np.tile(ATTENTION, (20, 1, 1)), block=BLOCK)).splitlines()
    assert "the 32 of least fidelity of 40" in many[0]
    fidelities = [line.split()[3] for line in many[2:]]
    assert fidelities == ["0.6000"] * 20 + ["0.7500"] * 12


def test_many_rows_are_saved_in_less_room_than_they_take(tmp_path):
    attention = np.full((1, 1, 1, 20_000, 2), 0.5)
    rows = observations(attention=attention, query_block=np.zeros(20_000, int), key_block=np.arange(2))
    save_dataset(rows, tmp_path / "rows.nc")
    assert (tmp_path / "rows.nc").stat().st_size < rows.nbytes / 10
