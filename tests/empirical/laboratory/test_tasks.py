"""The two tasks: gradients, levels and blocks of the laboratory; topics, groups and held-out words of the text."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from small import SMALL, TOPICS, configured

from bounds import penalty_threshold_worst_case
from empirical.cli import main
from empirical.errors import BadInput
from empirical.laboratory.tasks import level_c, level_ingredients, make_task
from empirical.laboratory.text import (
    HELD_OUT,
    block_pattern,
    interleave,
    read_corpus,
    read_topics,
    text_digest,
    training_batch,
    words_needed,
)
from empirical.penalise.proximal_gradient import group_norms

CPU = torch.device("cpu")
EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


def forms(scale, settings=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(settings, 1, 1, 2, 3, 2, 3, generator=generator, dtype=torch.float64) * scale


@pytest.fixture(scope="module")
def blocks():
    return make_task(configured(SMALL), 1, CPU)


@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0])
def test_the_written_gradient_is_the_derivative(blocks, scale):
    point = forms(scale).requires_grad_()
    blocks.training.loss(point).sum().backward()
    loss, gradient = blocks.training.loss_and_gradient(point.detach())
    torch.testing.assert_close(gradient, point.grad, rtol=1e-10, atol=1e-13)
    torch.testing.assert_close(loss, blocks.training.loss(point.detach()))


def test_a_batch_is_the_same_bits_again_and_held_out_is_another(blocks):
    again = make_task(configured(SMALL), 1, CPU)
    other = make_task(configured(SMALL), 2, CPU)
    for name in ("query", "keys", "values", "target"):
        assert torch.equal(getattr(blocks.training, name), getattr(again.training, name))
        assert not torch.equal(getattr(blocks.training, name), getattr(other.training, name))
        assert not torch.equal(getattr(blocks.training, name), getattr(blocks.heldout, name))


def test_tokens_hold_features_in_their_own_block_only(blocks):
    data = blocks.training
    query = data.query.unflatten(-1, (2, 3))
    keys = data.keys.unflatten(-1, (2, 3))
    for b in range(2):
        assert (query[data.query_block != b][:, b] == 0).all()
        assert (keys[:, data.key_block != b][:, :, b] == 0).all()
    torch.testing.assert_close(data.query.norm(dim=-1), torch.ones(len(data.query), dtype=torch.float64))


def test_the_match_is_in_the_own_block_and_the_cue_in_the_next(blocks):
    """With the values one-hot in mind: the target is (1 - cue) of an own value and cue of a foreign one."""
    data, cue = blocks.training, 0.3
    own = data.in_block
    for i in range(10):
        mine, theirs = data.values[i][own[i]], data.values[i][~own[i]]
        gap = ((1 - cue) * mine[:, None] + cue * theirs[None] - data.target[i]).norm(dim=-1)
        assert gap.min() < 1e-12


@pytest.mark.parametrize("scale", [0.0, 0.3, 3.0, 30.0, 3000.0])
def test_levels_bound_the_gradient_everywhere(blocks, scale):
    ingredients = level_ingredients(blocks.training)
    c = level_c(ingredients, 1.0)
    for seed in range(5):
        _, gradient = blocks.training.loss_and_gradient(forms(scale, seed=seed))
        norms = group_norms(gradient).amax((0, 1, 2)).numpy()
        for b, k in ((0, 1), (1, 0)):
            a = penalty_threshold_worst_case(
                ingredients["gradient_bound"],
                ingredients["value_diameter"],
                ingredients["query_norm"][b],
                ingredients["key_norm"][k],
                ingredients["key_diameter"][k],
                ingredients["query_share"][b],
            )
            assert norms[b, k] <= c[b, k] <= a


# --- text ------------------------------------------------------------------------------------------------------------


def test_groups_are_balanced_and_fixed():
    corpus = read_corpus(configured(TOPICS, model={"blocks": 4}, task={"queries": 32}))
    sizes = [len(stream) for stream in corpus.training]
    assert max(sizes) < 1.05 * min(sizes)
    assert sorted(name for group in corpus.groups for name in group) == sorted(read_topics(None))


def test_the_end_of_every_topic_is_held_out(tmp_path):
    for topic in "abcd":
        (tmp_path / topic).write_text(" ".join(f"{topic}{i}" for i in range(100)))
    config = configured(TOPICS, task={"text_dir": str(tmp_path), "vocabulary": 500, "queries": 6})
    corpus = read_corpus(config)
    words = corpus.vocabulary
    for streams, first, last in ((corpus.training, 0, 84), (corpus.heldout, 85, 99)):
        for stream, group in zip(streams, corpus.groups):
            named = [words[i] for i in stream.tolist()]
            if streams is corpus.training:
                assert named == [f"{topic}{i}" for topic in group for i in range(first, last + 1)]
            else:
                assert set(named) == {"<other>"}  # never seen in training, so not in the vocabulary
                assert len(named) == len(group) * round(100 * HELD_OUT)


def test_segments_come_from_the_groups_in_turn():
    config = configured(TOPICS)
    assert block_pattern(config, 10).tolist() == [0, 0, 1, 1, 0, 0, 1, 1, 0, 0]
    streams = (torch.arange(100, 150), torch.arange(200, 250))
    sequences = interleave(streams, torch.tensor([[0, 5]]), config)
    assert sequences[0, :6].tolist() == [100, 101, 205, 206, 102, 103]
    assert words_needed(config) == 9
    corpus = read_corpus(config)
    one, two = (training_batch(corpus, config, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one, two)
    assert one.shape == (2, 17)


def test_the_digest_is_the_texts():
    config = configured(TOPICS)
    assert text_digest(config) == text_digest(config)
    assert text_digest(config)["text_source"].startswith("pydoc_data.topics of Python 3.")


def test_the_text_of_a_run_is_read_once(tmp_path, monkeypatch, capsys):
    """For the corpus that is tried, the digest that is saved and the blocks that are named."""
    read = []
    monkeypatch.setattr("empirical.laboratory.text.read_topics", lambda given: read.append(given) or read_topics(given))
    monkeypatch.setattr("empirical.laboratory.sweep._train", lambda *_: pytest.fail("enough is seen"))
    with pytest.raises(pytest.fail.Exception):
        main(["run", str(EXAMPLES / "topics.toml"), "--out", str(tmp_path / "run")])
    assert "block 3: " in capsys.readouterr().out
    assert len(read) == 1


def test_the_digest_changes_with_the_text(tmp_path):
    (tmp_path / "a").write_text("one two")
    config = configured(TOPICS, task={"text_dir": str(tmp_path)})
    before = text_digest(config)
    (tmp_path / "a").write_text("one three")
    assert text_digest(config)["text_sha256"] != before["text_sha256"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (None, "must be a readable folder"),
        ({}, "at least model.blocks = 2 files with words, got 0"),
        ({"a": b"words " * 500}, "at least model.blocks = 2 files with words, got 1"),
        ({"a": b"words " * 500, "b": b"..."}, "at least model.blocks = 2 files with words, got 1"),
        ({"a": b"few words", "b": b"few words"}, "must give every group at least 9 training words, got 2"),
        ({"a": b"\xff", "b": b"words " * 500}, "task.text_dir must be a folder of UTF-8 text files"),
    ],
)
def test_bad_folders(tmp_path, files, message):
    folder = tmp_path / "text"
    if files is not None:
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content)
    with pytest.raises(BadInput) as caught:
        read_corpus(configured(TOPICS, task={"text_dir": str(folder)}))
    assert message in str(caught.value)
    assert "task.text_dir" in str(caught.value)


def test_a_python_without_its_documentation(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(BadInput, match=r"task.text_dir must name a folder where this Python has no pydoc_data.topics"):
        read_topics(None)


def test_level_c_is_a_mean_over_all_queries(blocks):
    ingredients = level_ingredients(blocks.training)
    share = ingredients["query_share"]
    product = (ingredients["gradient_bounds"] * ingredients["value_diameters"] * ingredients["key_diameters"][:, 1])[
        np.asarray(blocks.training.query_block) == 0
    ]
    assert level_c(ingredients, 2.0)[0, 1] == pytest.approx(share[0] * product.mean() / 8, rel=1e-12)
