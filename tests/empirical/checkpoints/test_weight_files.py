"""Folders of weights that are not understood are refused by name, before anything of theirs is trusted."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_checkpoints import model_of, saved

from empirical.checkpoints.weights import certify
from empirical.errors import BadInput

pytest.importorskip("transformers")
SERVED = {"fidelity": 0.9, "n_keys": 24, "n_block": 6}


def edit(folder, **values):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def rewrite(folder, change):
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def index(folder, shard):
    names = load_file(folder / "model.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": dict.fromkeys(names, shard)}))


def only_pickle(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def link_out(folder):
    (folder / "model.safetensors").rename(folder.parent / "elsewhere.safetensors")
    (folder / "model.safetensors").symlink_to(folder.parent / "elsewhere.safetensors")


REFUSED = {
    "no folder": (lambda f: f.rename(f.parent / "gone"), "folder must be a local folder"),
    "no configuration": (lambda f: (f / "config.json").unlink(), "folder must hold config.json"),
    "not JSON": (lambda f: (f / "config.json").write_text("{"), "config.json must be a readable JSON file"),
    "a list": (lambda f: (f / "config.json").write_text("[]"), "list, no object"),
    "unknown": (lambda f: edit(f, model_type="mamba"), "must be of a known architecture .*got 'mamba'"),
    "code of its own": (lambda f: edit(f, auto_map={"AutoModel": "x.Y"}), "must not ask for auto_map"),
    "quantized": (lambda f: edit(f, quantization_config={"bits": 4}), "must not ask for quantization_config"),
    "scaled rotation": (lambda f: edit(f, rope_parameters={"rope_type": "yarn"}), "rope_type must be .*got 'yarn'"),
    "part of a rotation": (lambda f: edit(f, partial_rotary_factor=0.5), "partial_rotary_factor must be 1, got 0.5"),
    "heads": (lambda f: edit(f, num_attention_heads=3), "must be a multiple of num_key_value_heads"),
    "no heads": (lambda f: edit(f, num_attention_heads="4"), "must give num_attention_heads"),
    "width": (lambda f: edit(f, head_dim=4), "q_proj.weight must have 16 rows, got shape"),
    "layers": (lambda f: edit(f, num_hidden_layers=3), "weights must hold model.layers.2|weights must hold layers.2"),
    "pickle": (only_pickle, "got only pytorch_model.bin: a pickle is never opened"),
    "nothing": (lambda f: (f / "model.safetensors").unlink(), "must hold model.safetensors .*got none"),
    "not safetensors": (lambda f: (f / "model.safetensors").write_bytes(b"\x80\x04K."), "must be a safetensors file"),
    "out of the folder": (lambda f: index(f, "../elsewhere.safetensors"), "plain names .*got '../elsewhere"),
    "absolute": (lambda f: index(f, "/etc/passwd"), "plain names .*got '/etc/passwd'"),
    "pickled shard": (lambda f: index(f, "model.bin"), "plain names .*got 'model.bin'"),
    "missing shard": (lambda f: index(f, "other.safetensors"), "other.safetensors must be a safetensors file"),
    "a link": (link_out, "a link out of it"),
    "not finite": (
        lambda f: rewrite(f, lambda t: t["layers.1.self_attn.k_proj.weight"].fill_(torch.nan)),
        "k_proj.weight must be finite, got nan",
    ),
    "whole numbers": (
        lambda f: rewrite(f, lambda t: t.update({"layers.0.input_layernorm.weight": torch.ones(32, dtype=torch.int8)})),
        "input_layernorm.weight must be one of F64",
    ),
    "another width": (
        lambda f: rewrite(f, lambda t: t.update({"layers.0.input_layernorm.weight": torch.ones(31)})),
        "must fit config.json",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_understood_is_refused_by_name(case, tmp_path):
    folder = tmp_path / "model"
    saved(model_of("llama", dtype=torch.float32), folder)
    spoil, words = REFUSED[case]
    spoil(folder)
    with pytest.raises(BadInput, match=words):
        list(certify(folder, **SERVED))


def test_a_snapshot_of_a_hub_cache_may_link_to_its_blobs(tmp_path):
    folder = tmp_path / "models--x" / "snapshots" / "abc"
    saved(model_of("gpt2", dtype=torch.float32), folder)
    (tmp_path / "models--x" / "blobs").mkdir()
    (folder / "model.safetensors").rename(tmp_path / "models--x" / "blobs" / "0")
    (folder / "model.safetensors").symlink_to("../../blobs/0")
    assert len(list(certify(folder, **SERVED))) == 8
