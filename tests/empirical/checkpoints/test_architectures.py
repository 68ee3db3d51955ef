"""Architectures are collected from their folder, each has a row of small models, and nothing global is left changed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from canaries import GREEN, PADS
from small_checkpoints import FAMILIES, ROWS, architecture_of, inputs, network

import empirical.checkpoints.architectures as folder
from empirical.checkpoints import covered
from empirical.checkpoints.architectures import ARCHITECTURES
from empirical.checkpoints.attach import routed
from empirical.checkpoints.contexts import Labels, guarded, observing
from empirical.checkpoints.generate import _seeded
from empirical.checkpoints.loading import load_checkpoint, longest
from empirical.dial.guard import Missed
from empirical.errors import BadInput

pytest.importorskip("transformers")
FILES = {file.stem for file in Path(folder.__file__).parent.glob("[!_]*.py")}
LABELS = Labels(torch.arange(16)[None].expand(2, 16) // 3 % 2)


def registered():
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface

    return [dict(one._global_mapping) for one in (AttentionInterface, AttentionMaskInterface)]


def test_every_file_is_a_family_and_every_architecture_has_a_row():
    assert set(FAMILIES) >= FILES
    assert {architecture_of(name).model_type for name in ROWS} == set(ARCHITECTURES)


SUPPORTED = (
    *("gpt2", "llama", "mistral", "mixtral", "qwen2", "qwen3", "gemma2", "gemma3_text", "gpt_neox", "opt", "phi"),
    *("phi3", "olmo", "bert", "roberta", "xlm-roberta", "distilbert", "modernbert", "bart", "t5"),
)
REFUSED = {
    "gpt_oss": "a sink, a key without a token",
    "gemma3": "images among the text",
    "vit": "no text",
    "olmo2": "one norm of all heads' queries",
}


def test_families_that_people_use_are_covered():
    assert set(SUPPORTED) == set(ARCHITECTURES)


def test_every_combination_that_the_documentation_promises_has_its_canaries(capsys):
    assert covered.main(["--check"]) == 0, capsys.readouterr().out
    promised = {(a.model_type, i, c) for a in ARCHITECTURES.values() for i in a.implementations for c in a.caches}
    assert promised == {(case.row, case.implementation, case.cache) for case in GREEN if case.row in ARCHITECTURES}
    assert {case.padding for case in GREEN} == set(PADS)


@pytest.mark.parametrize("name", REFUSED)
def test_what_rows_cannot_say_is_refused_by_name_and_with_the_reason(name, tmp_path):
    (tmp_path / "config.json").write_text(f'{{"model_type": "{name}"}}')
    (tmp_path / "model.safetensors").write_bytes(b"x")
    with pytest.raises(BadInput, match=f"got '{name}', .*{REFUSED[name]}"):
        load_checkpoint(str(tmp_path))


def test_a_context_counts_positions_that_a_token_can_have():
    """RoBERTa's first position is the one after its padding token: of 98 rows 97 remain where that token is 0."""
    model = network("roberta")
    room = longest(model)
    assert room == model.config.max_position_embeddings - 1 - model.config.pad_token_id
    with torch.no_grad():
        model(input_ids=torch.full((1, room), 3))
        with pytest.raises((IndexError, RuntimeError)):
            model(input_ids=torch.full((1, room + 1), 3))


@pytest.mark.parametrize(("tokens", "limit"), [("1,024", 1.5), ("4,096", 2.5)])
def test_observing_and_judging_cost_little_beside_an_eager_forward(tokens, limit):
    """In CPU time, paired in one run of benchmarks/observe.py."""
    saved = json.loads((Path(__file__).parents[3] / "benchmarks" / "table.json").read_text(encoding="utf-8"))
    (line,) = (line for line in saved["lines"]["observe"] if f"{tokens} tokens" in line["name"])
    assert line["ratio"] <= line["limit"] == limit


def test_no_other_file_knows_an_architecture_by_name():
    names = re.compile("|".join(f"[\"']{name}[\"']" for name in ARCHITECTURES))
    package = Path(folder.__file__).parents[2]
    files = [file for room in ("checkpoints", "cli", "observe") for file in (package / room).rglob("*.py")]
    found = {file for file in files if names.search(file.read_text(encoding="utf-8"))}
    assert {file.parent for file in found} == {Path(folder.__file__).parent}


def test_attention_that_does_not_ask_the_registry_is_refused():
    model = network("gpt2")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model.config, "reorder_and_upcast_attn", True)
        with pytest.raises(BadInput, match="through its registry, got reorder_and_upcast_attn=True"), routed(model):
            pass


@pytest.mark.parametrize("name", FAMILIES)
def test_model_and_registry_are_as_they_were_after_the_last_context(name):
    one, other = network(name), network("gpt2", "eager")
    before, attributes = registered(), [dict(vars(module)) for module in one.modules()]
    with routed(one):
        with routed(other), routed(one):
            assert registered() != before
        assert registered() != before
    assert registered() == before
    assert [dict(vars(module)) for module in one.modules()] == attributes
    assert not any(module._forward_pre_hooks for model in (one, other) for module in model.modules())


def test_a_progress_bar_and_a_seed_are_the_caller_s_own_afterwards(tmp_path):
    from transformers.utils import logging

    logging.enable_progress_bar()
    with pytest.raises(BadInput):
        load_checkpoint(str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    (tmp_path / "model.safetensors").write_bytes(b"x")
    with pytest.raises(BadInput, match="must be a safetensors file"):
        load_checkpoint(str(tmp_path))
    assert logging.is_progress_bar_enabled()
    state = torch.random.get_rng_state()
    with _seeded(3, torch.device("cpu")):
        first = torch.rand(2)
    with _seeded(3, torch.device("cpu")):
        assert torch.equal(torch.rand(2), first)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_guard_within_observing_is_the_guard_and_streams_rows_once(monkeypatch):
    import empirical.checkpoints.contexts as module

    model, given, streamed, whole = network("gpt2"), inputs("gpt2"), [], module.stream_rows
    monkeypatch.setattr(module, "stream_rows", lambda *a, **more: streamed.append(1) or whole(*a, **more))
    with pytest.raises(Missed) as apart, guarded(model, 0.9, LABELS):
        model(**given)
    with pytest.raises(Missed) as together, observing(model, LABELS, layers=(1,), promised=0.9):
        model(**given)
    assert together.value.misses == apart.value.misses
    streamed.clear()
    with torch.no_grad(), observing(model, LABELS, layers=(1,), promised=1e-9) as rows:
        model(**given)
    assert (len(streamed), len(rows.rows)) == (2, 1)


def test_importing_checkpoints_leaves_transformers_unloaded():
    code = "import sys, empirical.checkpoints, empirical.checkpoints.observe; print('transformers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
