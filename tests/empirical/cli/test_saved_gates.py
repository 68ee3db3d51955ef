"""`--gates DIR` of observe and generate, and in Python: gated weights, caches, and what is refused by name."""

from __future__ import annotations

import copy
import json
import shutil

import numpy as np
import pytest
import torch
from small_checkpoints import HEADS, LAYERS, network, tokenizer, whole_checkpoint, write_documents

from empirical.checkpoints import gated
from empirical.checkpoints.documents import align, read_documents
from empirical.checkpoints.gate_files import Layout, model_digest, save_gates
from empirical.checkpoints.gate_masks import gate_mask
from empirical.checkpoints.gates import gating, groups_of
from empirical.cli import main
from empirical.errors import BadInput
from empirical.observe.files import open_observations

pytest.importorskip("transformers")
NAMES = ("cat", "dog")
BY_HEAD = torch.tensor([0.0, 0.3, 1.0, 0.6], dtype=torch.float64)
GATES = BY_HEAD.expand(LAYERS, HEADS).flatten()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return whole_checkpoint("gpt2", tmp_path_factory.mktemp("gpt2"))


@pytest.fixture(scope="module")
def gates(tmp_path_factory):
    folder, model = tmp_path_factory.mktemp("gates") / "saved", network("gpt2")
    save_gates(folder, GATES, groups_of(model, 2), model, Layout("spans", NAMES, {}, []), {})
    return folder


@pytest.fixture
def text(tmp_path):
    return write_documents(tmp_path / "text.jsonl", 24, 20)


def read(text):
    """Tokens and labels of every document."""
    reads = tokenizer(48)
    for document in read_documents(text):
        encoded = reads(document.text, return_offsets_mapping=True, return_tensors="pt")
        labels = torch.as_tensor(align(document, encoded["offset_mapping"][0].tolist(), list(NAMES)))[None]
        yield encoded["input_ids"], labels


def observed(saved, text, out, *more):
    assert main(["observe", str(saved), "--text", str(text), "--out", str(out), "--dtype", "float64", *more]) in (0, 3)
    return open_observations(out)


def test_observed_rows_carry_the_gated_weights_of_the_stock_model_under_their_mask(
    saved, gates, text, tmp_path, capsys
):
    found = observed(saved, text, tmp_path / "out", "--gates", str(gates), "--batch", "2")
    assert "2 of 8 gates exactly shut" in capsys.readouterr().out
    stock, leaks = network("gpt2", "eager"), []
    for ids, labels in read(text):
        mask = gate_mask(stock, BY_HEAD, blocks=labels, groups=("head",))
        with torch.no_grad():
            weights = torch.stack(stock(input_ids=ids, attention_mask=mask, output_attentions=True).attentions)[:, 0]
        outside = (labels[0][:, None] != labels[0][None]).double()
        leaks.append((weights * outside).sum(-1)[..., labels[0] >= 0])
    truth = torch.cat(leaks, -1).numpy()
    np.testing.assert_allclose(found["leakage"].values[0], truth, rtol=1e-6, atol=1e-9)  # eager softmax in float32
    plain = observed(saved, text, tmp_path / "plain")
    assert abs(plain["leakage"].values[0] - truth).max() > 1e-2
    np.testing.assert_allclose(plain["leakage"].values[0, 0, 2], truth[0, 2], rtol=1e-6, atol=1e-9)  # an open gate


def test_a_cache_changes_nothing_of_what_is_generated_under_gates(saved, gates, text, capsys):
    command = ["generate", str(saved), "--prompt", str(text), "--tokens", "4", "--dtype", "float64"]
    assert main([*command, "--gates", str(gates)]) == 0
    found = capsys.readouterr().out
    model, reads = network("gpt2"), tokenizer(48)
    for ids, labels in read(text):
        grown = labels[labels >= 0][-1:]
        last = int((labels[0] >= 0).nonzero().max()) + 1
        labels = torch.cat([labels[:, :last], grown.expand(1, ids.shape[1] - last)], 1)
        for _ in range(4):
            with torch.no_grad(), gating(model, GATES, blocks=labels):
                new = model(input_ids=ids, use_cache=False).logits[:, -1:].argmax(-1)
            ids, labels = torch.cat([ids, new], 1), torch.cat([labels, grown[None]], 1)
        assert reads.decode(ids[0, -4:], skip_special_tokens=True) in found


def test_saved_gates_act_in_python_as_their_table_does(gates):
    model, ids = network("gpt2"), torch.arange(3, 11)[None]
    blocks = torch.tensor([[0, 0, 1, 1, 0, 0, 1, 1]])
    with torch.no_grad(), gated(model, gates, blocks, names=NAMES) as rows:
        found = model(input_ids=ids).logits
    with torch.no_grad(), gating(model, GATES, blocks=blocks):
        assert torch.equal(found, model(input_ids=ids).logits)
    assert rows.leakage.shape == (1, LAYERS, HEADS)
    for names, said in ((("dog", "cat"), "names must be those"), (("cat",), "names must be of every block")):
        with pytest.raises(BadInput, match=said), gated(model, gates, blocks, names=names):
            pass
    with pytest.raises(BadInput, match="another"), gated(network("llama"), gates, blocks, names=NAMES):
        pass


@pytest.mark.parametrize(
    ("command", "more", "said"),
    [
        ("observe", ("--relation", "cat=dog"), "blocks that see"),
        ("observe", ("--keep", "none"), "blocks kept visible"),
        ("generate", ("--keep", "none"), "blocks kept visible"),
        ("observe", ("--relevant", "cat"), "--gates must be given without --relevant"),
        ("observe", ("--certify",), "--gates must be given without --certify"),
        ("observe", ("--attention", "cross"), "--gates must be given with --attention self"),
        ("observe", ("--rules", "rules.toml"), "--gates must be given without --rules"),
    ],
)
def test_gates_of_another_layout_are_refused_before_a_model_is_loaded(
    saved, gates, text, tmp_path, capsys, monkeypatch, command, more, said
):
    _never_load(monkeypatch)
    way = ["--text", str(text), "--out", str(tmp_path / "out")] if command == "observe" else ["--prompt", str(text)]
    assert main([command, str(saved), *way, "--gates", str(gates), *more]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_blocks_that_gates_do_not_know_and_folders_that_hold_none_are_refused(
    saved, gates, text, tmp_path, capsys, monkeypatch
):
    _never_load(monkeypatch)
    other = tmp_path / "other.jsonl"
    other.write_text(text.read_text().replace('"dog"', '"cow"'))
    for text_of, folder, said in ((other, gates, "blocks named"), (text, tmp_path, "gates.json")):
        out = str(tmp_path / "out")
        assert main(["observe", str(saved), "--text", str(text_of), "--gates", str(folder), "--out", out]) == 2
        assert said in capsys.readouterr().err


def _never_load(monkeypatch):
    def loaded(*_):
        raise AssertionError("a model was loaded")

    for room in ("observe", "generate"):
        monkeypatch.setattr(f"empirical.checkpoints.{room}.load_checkpoint", loaded)


def test_gates_of_another_model_are_refused_and_so_is_a_table_that_is_not_theirs(saved, gates, text, tmp_path, capsys):
    llama = whole_checkpoint("llama", tmp_path / "llama")
    common = ["--text", str(text), "--gates", str(gates), "--out", str(tmp_path / "out")]
    assert main(["observe", str(llama), *common]) == 2
    assert "gates must be of this model" in capsys.readouterr().err
    copied = shutil.copytree(gates, tmp_path / "copied")
    said = json.loads((copied / "gates.json").read_text())
    model = network("gpt2")
    save_gates(copied, 1 - GATES, groups_of(model, 2), model, Layout("spans", NAMES, {}, []), {})
    (copied / "gates.json").write_text(json.dumps(said))
    assert main(["observe", str(saved), "--text", str(text), "--gates", str(copied), "--out", str(tmp_path / "o")]) == 2
    assert "must be of the table beside it" in capsys.readouterr().err


def test_weights_of_float32_and_the_same_in_float64_are_one_model():
    narrow = copy.deepcopy(network("gpt2")).float()
    wide = copy.deepcopy(narrow).double()
    assert model_digest(narrow) == model_digest(wide)
    with torch.no_grad():
        next(iter(wide.parameters()))[0, 0] += 1e-12
    assert model_digest(wide) != model_digest(narrow)
