"""`localist observe` and `generate` on saved checkpoints: what is saved, what is refused, no network unasked."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from small_checkpoints import LAYERS, TEXT, whole_checkpoint, write_documents

from empirical.checkpoints.loading import load_checkpoint
from empirical.cli import main
from empirical.observe.files import open_observations

pytest.importorskip("transformers")
pytestmark = pytest.mark.usefixtures("unsaved")  # figures are laid out once below, and saved in their own tests


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """name -> the folder of its checkpoint, saved when it is first asked for."""
    made = {}

    def folder(name):
        if name not in made:
            made[name] = whole_checkpoint(name, tmp_path_factory.mktemp(name))
        return made[name]

    return folder


@pytest.fixture
def text(tmp_path):
    return write_documents(tmp_path / "text.jsonl", 24, 24)


def observe(folder, text, out, *more):
    return main(["observe", str(folder), "--text", str(text), "--out", str(out), "--dtype", "float64", *more])


@pytest.mark.parametrize(
    ("name", "attention"), [("gpt2", "self"), ("llama", "self"), ("bert", "self"), ("bart", "cross"), ("t5", "encoder")]
)
def test_a_checkpoint_is_observed_checked_and_drawn(saved, text, tmp_path, capsys, name, attention):
    out = tmp_path / "out"
    assert observe(saved(name), text, out, "--attention", attention, "--dial", "0.5", "1") == 0
    said = capsys.readouterr().out
    assert "in 2 blocks" in said
    assert "VIOLATED" in said  # the column's title
    dataset = open_observations(out)
    assert dict(dataset.sizes) | {"query": 0} == {"setting": 3, "layer": LAYERS, "head": 4, "query": 0}
    assert (dataset["document"].values[:3] == 0).all()
    fidelity, valid = dataset["fidelity"].values, dataset["valid"].values.astype(bool)
    assert (fidelity[1][valid[1]] > fidelity[0][valid[1]] - 1e-12).mean() > 0.75  # deeper rows move
    assert (fidelity[2][valid[2]] == 1).all()
    np.testing.assert_allclose(dataset["leakage_dialled"].values[0, 0], dataset["leakage"].values[1, 0], atol=1e-12)
    if name == "gpt2":
        assert main(["check", str(out)]) == 0
        assert main(["plot", str(out)]) == 0
    drawn = {path.stem for path in (out / "figures").glob("*.png")}
    assert {"heads", "under_the_frontier", "regions", "along_the_dial", "slack"} <= drawn
    assert "text" not in dataset.attrs


def test_options(saved, text, tmp_path):
    out = tmp_path / "out"
    more = ["--layers", "1", "--relevant", "dog", "--keep-text", "--n-anchors", "2", "--require", "fidelity>=0"]
    assert observe(saved("gpt2"), text, out, *more) == 0
    dataset = open_observations(out)
    assert dataset.sizes["layer"] == 1
    assert json.loads(dataset.attrs["text"]) == [TEXT, TEXT]
    assert (dataset["query_block"].values == 1).all()
    assert dataset.attrs["queries_in_no_block"] == 0
    assert dataset["n_anchors"].values.max() == 2
    assert observe(saved("gpt2"), text, tmp_path / "two", "--require", "fidelity>=0.999") == 1


def test_a_chosen_layer_keeps_its_number_wherever_it_is_named(saved, text, tmp_path, capsys):
    """The dataset, the table, the worst row of a verdict, the plotted points and the figures, all from 0."""
    from figure_checks import words_of

    from empirical.figures import UNSWEPT
    from empirical.figures.observed import Observed

    out = tmp_path / "out"
    assert observe(saved("gpt2"), text, out, "--layers", "1", "--dial", "0.5", "0.9") == 0
    table = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[1] for line in table if line[:1] in (["0"], ["0.5"], ["0.9"])] == ["1"] * 3
    dataset = open_observations(out)
    assert dataset["layer"].values.tolist() == [1]
    assert dataset["head"].values.tolist() == [0, 1, 2, 3]
    outcomes = json.loads((out / "verdicts.json").read_text())["outcomes"]
    assert {o["worst"]["layer"] for o in outcomes if "layer" in o["worst"]} == {1}
    points = [line.split(",") for line in (out / "figures" / "points.csv").read_text().splitlines()]
    assert {line[points[0].index("layer")] for line in points[1:]} == {"1"}
    seen = Observed(dataset)
    heads, dialled = UNSWEPT["heads"](seen), UNSWEPT["along_the_dial"](seen)
    assert "of layer 1" in words_of(heads)
    assert [tick.get_text() for tick in heads.axes[0].get_yticklabels()] == ["1"]
    assert [tick.get_text() for tick in heads.axes[0].get_xticklabels()] == ["0", "1", "2", "3"]
    assert [t.get_text() for t in dialled.axes[1].get_legend().get_texts()] == ["layer 1"]
    assert "exact" not in words_of(dialled)  # of deeper layers the rows at dial 0 are a prediction alone


def test_every_layer_that_is_named_is_there_or_refused_before_any_work(saved, text, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("empirical.checkpoints.observe.losses", lambda *_: pytest.fail("it worked before it refused"))
    for given in (["0", "7"], ["-1"]):
        assert observe(saved("gpt2"), text, tmp_path / "out", "--layers", *given) == 2
        assert f"--layers must be among 0 to {LAYERS - 1}, got {given[-1]}" in capsys.readouterr().err


def test_generation_is_the_plain_one_at_dial_0(saved, text, capsys):
    found = []
    for value in ("0", "1"):
        arguments = ["--prompt", str(text), "--dial", value, "--tokens", "12", "--dtype", "float64"]
        assert main(["generate", str(saved("gpt2")), *arguments]) == 0
        found.append(capsys.readouterr().out)
    model, tokens, _ = load_checkpoint(str(saved("gpt2")), dtype="float64")
    ids = tokens(TEXT, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        plain = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False)
    assert found[0].splitlines()[0] == tokens.decode(plain[0, ids.shape[1] :], skip_special_tokens=True)
    assert found[0] != found[1]


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_at_dial_1_the_first_new_token_reads_its_block_alone_whatever_ends_the_prompt(saved, tmp_path, capsys, name):
    """What follows the last block is in no block, and read everything: the first new token was drawn from it."""
    spans, found = [{"start": 0, "end": 24, "block": "tool"}, {"start": 24, "end": 38, "block": "user"}], []
    for number in range(8):
        path, tool = tmp_path / f"{number}.jsonl", "".join(chr(97 + (7 * number + at * at) % 26) for at in range(24))
        path.write_text(json.dumps({"text": tool + "who is it then, in the end", "spans": spans}))
        arguments = ["--prompt", str(path), "--dtype", "float64", "--dial", "1", "--tokens", "6"]
        assert main(["generate", str(saved(name)), *arguments]) == 0
        found.append(capsys.readouterr().out)
    assert len(set(found)) == 1


RULES = """[[rule]]
name = "dogs for cats"
trigger = { block = "dog" }
target = { block = "cat" }
strength = 400.0
mass = 0.9
"""


def test_weights_rules_and_guard(saved, text, tmp_path, capsys):
    out, rules = tmp_path / "out", tmp_path / "rules.toml"
    rules.write_text(RULES)
    assert observe(saved("gpt2"), text, out, "--certify", "--dial", "0.5") == 0
    heads = json.loads((out / "weights.json").read_text())
    assert len(heads) == LAYERS * 4
    assert all(0 < head["observed"] <= head["logit_range"] for head in heads)
    assert (out / "figures" / "ranges.png").exists()
    assert observe(saved("gpt2"), text, tmp_path / "ruled", "--rules", str(rules), "--relevant", "cat") == 0
    dataset = open_observations(tmp_path / "ruled")
    valid, seen = dataset["valid"].values[0].astype(bool), dataset["fidelity"].values[0]
    dogs = np.tile((np.arange(48) >= 24) & (np.arange(48) < 46), 2)[: seen.shape[-1]]
    assert (seen[..., dogs][valid[..., dogs]] > 0.9).all()
    rules.write_text(RULES.replace("400.0", "1.0"))
    capsys.readouterr()
    assert observe(saved("gpt2"), text, tmp_path / "weak", "--rules", str(rules)) == 2
    assert "rules.toml:5: strength of rule 'dogs for cats' must be at least" in capsys.readouterr().err
    assert observe(saved("gpt2"), text, tmp_path / "guarded", "--guard", "0.99") == 1
    assert "fidelity must be at least 0.99, got" in capsys.readouterr().err
    assert (tmp_path / "guarded" / "observations.nc").exists()  # what was observed is not lost
    assert (tmp_path / "guarded" / "verdicts.json").exists()
    assert observe(saved("gpt2"), text, tmp_path / "kept", "--guard", "0.9", "--dial", "1") == 0


def test_clusters_of_embeddings_are_blocks(saved, text, tmp_path):
    assert observe(saved("gpt2"), text, tmp_path / "out", "--blocks", "clusters:2") == 0
    assert len(json.loads(open_observations(tmp_path / "out").attrs["blocks"])) == 2


def test_what_cannot_be_observed_is_refused_and_nothing_is_left(saved, text, tmp_path, capsys):
    pickled, unknown, none = tmp_path / "pickled", tmp_path / "unknown", tmp_path / "empty"
    for folder in (pickled, unknown, none):
        folder.mkdir()
    (pickled / "config.json").write_text((saved("gpt2") / "config.json").read_text())
    (pickled / "pytorch_model.bin").write_bytes(b"x")
    (unknown / "config.json").write_text(json.dumps({"model_type": "mamba"}))
    (unknown / "model.safetensors").write_bytes(b"x")
    long = tmp_path / "long.jsonl"
    long.write_text(json.dumps({"text": TEXT * 9, "spans": [{"start": 0, "end": 9, "block": "a"}]}))
    bare = tmp_path / "bare.jsonl"
    bare.write_text(json.dumps({"text": TEXT}))
    good = saved("gpt2")
    for folder, given, more, words in (
        (pickled, text, (), "weights as safetensors, got .*pytorch_model.bin', which may run code"),
        (unknown, text, (), "known architecture .*, got 'mamba'"),
        (none, text, (), "a folder with a config.json"),
        (tmp_path / "not" / "there", text, (), "a folder or a hub id, got .* not there"),
        (good, long, (), "long.jsonl:1 must fit into the context of 96 tokens, got"),
        (good, bare, (), "bare.jsonl:1 must have a text with at least one block"),
        (good, text, ("--relevant", "bird"), r"--relevant must be a block of the text \(cat, dog\), got 'bird'"),
        (good, text, ("--dial", "1.5"), r"--dial must be in \[0, 1\], got 1.5"),
        (good, text, ("--attention", "cross"), "--attention must be 'self' for a gpt2, got 'cross'"),
        (good, text, ("--layers", "7"), "--layers must be among 0 to 1, got 7"),
        (good, text, ("--device", "cuda"), "--device must be a device of this machine, got 'cuda'"),
    ):
        if "cuda" in more and torch.cuda.is_available():
            continue
        out = tmp_path / "out"
        assert observe(folder, given, out, *more) == 2, words
        error = capsys.readouterr().err
        assert pytest.importorskip("re").search(words, error), (words, error)
        assert not out.exists()
    full = tmp_path / "full"
    full.mkdir()
    (full / "x").touch()
    assert observe(good, text, full) == 2
    assert "must be a new or empty folder" in capsys.readouterr().err


def test_a_hub_id_says_that_it_asks_the_network_and_a_folder_asks_none(saved, monkeypatch, capsys):
    import socket

    import transformers

    def refused(*_, **__):
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refused)
    load_checkpoint(str(saved("gpt2")))
    assert "network" not in capsys.readouterr().err
    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", refused)
    with pytest.raises(ValueError, match=r"a readable checkpoint, got 'some/model' \(no network in this test\)"):
        load_checkpoint("some/model")
    assert "'some/model' is no folder: asking the hub for it, over the network" in capsys.readouterr().err


def test_every_figure_of_unswept_attention_fits_its_sheet_and_names_its_axes(saved, text, tmp_path):
    from figure_checks import cut_off, words_of

    from empirical.figures import UNSWEPT, style
    from empirical.figures.observed import Observed

    assert observe(saved("llama"), text, tmp_path / "out", "--dial", "0.5", "0.9", "1") == 0
    seen = Observed(open_observations(tmp_path / "out"))
    for name, draw in UNSWEPT.items():
        with style.drawing():
            figure = draw(seen)
            assert not cut_off(figure), name
            assert words_of(figure)
            assert all(axes.get_xlabel() or axes.get_ylabel() for axes in figure.axes[:1]), name


def test_relevance_is_asked_for_by_flags_and_said_with_and_without_what_is_kept(saved, tmp_path, capsys):
    text = tmp_path / "text.jsonl"
    ends = {"cat": (4, 16), "dog": (16, 32), "bird": (32, 46)}  # a tag of no block before
    spans = [{"start": start, "end": end, "block": block} for block, (start, end) in ends.items()]
    text.write_text(json.dumps({"text": TEXT, "spans": spans}))
    flags, asked = ("--relation", "dog=cat", "--keep", "none", "--dial", "1"), {}
    for name, more in (("plain", ("--dial", "1")), ("related", flags)):
        assert observe(saved("gpt2"), text, tmp_path / name, *more) == 0
        asked[name] = open_observations(tmp_path / name), capsys.readouterr().out
    (plain, said), (related, says) = asked["plain"], asked["related"]
    assert json.loads(related.attrs["relation"]) == {"sees": {"dog": ["cat"]}, "keep": ["none"]}
    assert "without kept" in says
    assert "without kept" not in said
    for one in (said, says):  # the tags have read nothing before them
        assert "no attention carries anything to a block from what it may not see" in one
    block = related["query_block"].values
    more = (related["n_block"] - plain["n_block"]).values[0, 0, 0]
    assert more.tolist() == [4] * 12 + [4 + 12] * 16 + [4] * 14
    np.testing.assert_array_equal(plain["kept_mass"].values, 0)
    added = (related["fidelity"] - plain["fidelity"]).values[0]  # at dial 0 of the same rows: what is kept, and the cat
    np.testing.assert_allclose(added[..., block != 1], related["kept_mass"].values[0][..., block != 1], atol=1e-12)
    assert float(related["loss_heldout"][1]) != float(plain["loss_heldout"][1])


def test_a_path_around_a_mask_is_named(saved, tmp_path, capsys):
    """Tokens of no block between a cat and a dog: kept, they tell the dog of the cat."""
    path = tmp_path / "text.jsonl"
    spans = [{"start": 0, "end": 10, "block": "cat"}, {"start": 24, "end": 46, "block": "dog"}]
    path.write_text(json.dumps({"text": TEXT, "spans": spans}))
    assert observe(saved("gpt2"), path, tmp_path / "out", "--keep", "none", "--dial", "1") == 0
    said = capsys.readouterr().out
    assert "dial 1 isolates no block: in " in said
    assert "(dog) reads token 10 (no block), which reads token 0 (cat)" in said


def test_generation_is_dialled_under_a_relation(saved, text, capsys):
    found = []
    for more in ((), ("--relation", "dog=cat"), ("--keep", "cat")):
        arguments = ["--prompt", str(text), "--dial", "1", "--tokens", "12", "--dtype", "float64", "--guard", "1"]
        assert main(["generate", str(saved("gpt2")), *arguments, *more]) == 0
        found.append(capsys.readouterr().out)
    assert found[0] != found[1] == found[2]  # the cat has nothing before it: kept for all, only dogs see more
