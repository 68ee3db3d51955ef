"""A cell is believed by the digest of what it holds, and a run by that of its configuration."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from small import SMALL, configured

from empirical.errors import BadInput
from empirical.laboratory.assemble import assemble
from empirical.laboratory.store import Store, read_run

CELL = json.dumps([1, "localised", [0.5]])


@pytest.fixture
def store(tmp_path):
    made = Store.open(tmp_path / "run", configured(SMALL), {}, resume=False)
    made.save(CELL, {"fidelity": np.arange(4.0), "steps": np.asarray(3)})
    return made


def header(path):
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        return file.metadata()


def rewritten(store, cell=CELL, /, change=None, **described):
    path = store.path(cell)
    found, said = load_file(path), header(path)
    save_file({**found, **(change or {})}, path, {**said, **described})


def test_a_cell_whose_numbers_changed_is_no_cell(store):
    assert set(store.load(CELL)) == {"fidelity", "steps"}
    rewritten(store)
    assert set(store.load(CELL)) == {"fidelity", "steps"}
    rewritten(store, change={"fidelity": np.arange(4.0) + 1e-9})
    assert store.load(CELL) is None


@pytest.mark.parametrize(
    "change", [{"more": np.zeros(1)}, {"fidelity": np.arange(4.0).reshape(2, 2)}, {"steps": np.asarray(3, np.int32)}]
)
def test_a_cell_of_other_names_shapes_or_types_is_no_cell(store, change):
    rewritten(store, change=change)
    assert store.load(CELL) is None


def test_a_cell_of_another_code_version_is_no_cell_whatever_its_header_says(store):
    old = Store(store.folder, store.digest, "another version")
    shutil.copy(store.path(CELL), old.path(CELL))
    assert old.load(CELL) is None
    rewritten(old, name=old.name(CELL))
    assert old.load(CELL) is None
    other = json.dumps([2, "zero", [0.5]])
    shutil.copy(store.path(CELL), store.path(other))
    rewritten(store, other, name=store.name(other), cell=other)
    assert store.load(other) is None


def test_a_run_whose_configuration_was_edited_is_refused_by_name(store):
    path = store.folder / "run.json"
    found = json.loads(path.read_text())
    found["config"]["task"]["cue"] = 0.5
    del found["seal"]  # as an earlier release wrote it
    path.write_text(json.dumps(found))
    with pytest.raises(BadInput, match=r"run.json must be as it was written"):
        assemble(store.folder)
    with pytest.raises(BadInput, match=r"run.json must be as it was written"):
        Store.open(store.folder, configured(SMALL), {}, resume=True)


@pytest.mark.parametrize("lacks", ["config", "code", "config_digest", "versions", "commit", "text"])
def test_a_run_that_does_not_say_what_it_is_of_is_refused_by_key(store, lacks):
    path = store.folder / "run.json"
    found = json.loads(path.read_text())
    del found[lacks]
    path.write_text(json.dumps(found))
    with pytest.raises(BadInput, match=f"run.json must say its {lacks}"):
        assemble(store.folder)


@pytest.mark.parametrize("value", [{}, {"sweep": 3}, "text"])
def test_a_configuration_that_is_none_is_refused(store, value):
    path = store.folder / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "config": value}))
    with pytest.raises(BadInput, match=r"run.json must"):
        assemble(store.folder)


def test_a_cell_of_an_earlier_release_is_read_and_not_resumed_from(store):
    """A saved run opens in every release; only what its digest vouches for is gone on with."""
    path = store.folder / "run.json"
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "seal"}))
    arrays = load_file(store.path(CELL))
    save_file(arrays, store.path(CELL), {k: v for k, v in header(store.path(CELL)).items() if k != "digest"})
    assert Store.open(store.folder, configured(SMALL), {}, resume=True).load(CELL) is None
    read = Store.of(store.folder, read_run(store.folder))
    assert set(read.load(CELL)) == {"fidelity", "steps"}
    rewritten(store, change={"fidelity": np.zeros(3)}, digest="0" * 64)
    assert read.load(CELL) is None
