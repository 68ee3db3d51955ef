"""The sweep: nothing lost, nothing doubled, nothing changed, whoever is killed and however many workers there are."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import small
from small import SMALL, configured

from empirical.errors import BadInput
from empirical.laboratory import sweep as sweeps
from empirical.laboratory.assemble import assemble
from empirical.laboratory.cells import CELL_SETTINGS, LOCALISE, Cell, plan
from empirical.laboratory.config import BRANCHES
from empirical.laboratory.store import Store
from empirical.laboratory.sweep import sweep


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One uninterrupted run with two workers, and its dataset."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    sweep(configured(SMALL), out, progress=False)
    return out, assemble(out)


def same_bits(one, other) -> bool:
    return set(one.variables) == set(other.variables) and all(
        one[name].dtype == other[name].dtype and one[name].values.tobytes() == other[name].values.tobytes()
        if one[name].dtype.kind in "fiub"
        else (one[name].values == other[name].values).all()
        for name in one.variables
    )


def test_the_plan_covers_every_setting_once_and_knows_no_workers():
    config = configured(SMALL, sweep={"penalties": [0.1 * i for i in range(1, 20)]})
    cells = plan(config)
    settings = [(c.start, c.seed, p) for c in cells for p in c.penalties]
    sweep_of = config.sweep
    assert settings == [(a, s, p) for a in sweep_of.starts for s in sweep_of.seeds for p in sweep_of.penalties]
    assert [c.start for c in cells[:2]] == [LOCALISE] * 2
    assert {len(c.penalties) for c in cells if c.start in BRANCHES} == {19}
    assert max(len(c.penalties) for c in cells if c.start not in BRANCHES) == CELL_SETTINGS
    assert plan(configured(SMALL, sweep={"penalties": [1.0], "workers": 7})) == plan(
        configured(SMALL, sweep={"penalties": [1.0], "workers": 1})
    )


def test_dataset_is_whole_and_settings_are_in_order(finished):
    _, dataset = finished
    assert dataset.sizes["setting"] == 50
    assert dataset["converged"].values[dataset["start"].values != "plain"].all()
    critical = dataset["critical"].values
    ratio = dataset["penalty"].values / critical
    np.testing.assert_allclose(ratio, np.tile([0.5, 0.95, 1.05, 3.0, 3000.0], 10), rtol=1e-15)
    assert list(dict.fromkeys(dataset["start"].values)) == list(configured(SMALL).sweep.starts)


def test_one_worker_gives_the_same_bits(finished, tmp_path):
    sweep(configured(SMALL, sweep={"workers": 1}), tmp_path / "one", progress=False)
    assert same_bits(finished[1], assemble(tmp_path / "one"))


def test_batched_settings_equal_separate_ones(finished):
    """In float64 a sum over settings side by side may round differently: 1e-9 allows for it over hundreds of steps."""
    from empirical.laboratory.training import train

    out, dataset = finished
    config = configured(SMALL)
    store = Store(out, config.digest(), json.loads((out / "run.json").read_text())["code"])
    localised = store.load(Cell(1, LOCALISE).spec)
    for index in range(4):
        alone = train(config, 1, "localised", (float(dataset["penalty"][index]),), localised)
        for name in ("fidelity", "entropy_nats", "group_norm", "loss_train"):
            np.testing.assert_allclose(alone[name][0], dataset[name].values[index], rtol=1e-9, atol=1e-9)


def test_a_finished_run_resumes_without_training(finished, monkeypatch):
    out, dataset = finished
    monkeypatch.setattr(sweeps, "train_cells", None)
    monkeypatch.setattr(sweeps, "_in_workers", None)
    before = {f.name: f.stat().st_mtime_ns for f in (out / "cells").iterdir()}
    sweep(configured(SMALL), out, resume=True, progress=False)
    assert {f.name: f.stat().st_mtime_ns for f in (out / "cells").iterdir()} == before
    assert same_bits(dataset, assemble(out))


def test_a_damaged_cell_is_trained_again(finished, tmp_path):
    import shutil

    out, dataset = finished
    copy = tmp_path / "copy"
    shutil.copytree(out, copy)
    cells = sorted((copy / "cells").iterdir())
    cells[0].write_bytes(cells[0].read_bytes()[:100])
    cells[1].write_bytes(cells[2].read_bytes())  # whole, but another cell
    with pytest.raises(BadInput, match=r"DIR must hold every cell of its run, got . of 10 missing|none localised"):
        assemble(copy)
    sweep(configured(SMALL), copy, resume=True, progress=False)
    assert same_bits(dataset, assemble(copy))


SUPPORT = str(Path(small.__file__).parent)
PROGRAM = """
import json, sys
sys.path.insert(0, sys.argv[2])
from small import SMALL, configured
from empirical.laboratory.sweep import sweep
if __name__ == "__main__":
    sweep(configured(SMALL, sweep={"workers": 1}), sys.argv[1], resume=True, progress=False)
"""


def killed_run(tmp_path, kills: int, due: Callable[[Path], bool]):
    """Starts the sweep again and again and kills its process group when it is `due`, then lets it finish."""
    out, script = tmp_path / "killed", tmp_path / "program.py"
    script.write_text(PROGRAM)
    command, met = [sys.executable, str(script), str(out), SUPPORT], 0
    for _ in range(kills):
        process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
        while not due(out) and process.poll() is None:
            time.sleep(0.02)
        met += process.poll() is None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert met
    subprocess.run(command, check=True, capture_output=True)
    assert not list(out.rglob("*.part"))
    assert len(list((out / "cells").iterdir())) == len(plan(configured(SMALL)))
    return assemble(out)


def test_a_kill_amid_its_cells_changes_nothing(finished, tmp_path):
    assert same_bits(finished[1], killed_run(tmp_path, 1, lambda out: len(list(out.glob("cells/*"))) >= 3))


@pytest.mark.slow
def test_twenty_kills_at_any_moment_change_nothing(finished, tmp_path):
    moments = random.Random(2)

    def waited(_) -> bool:
        time.sleep(moments.uniform(0.3, 6.0))
        return True

    assert same_bits(finished[1], killed_run(tmp_path, 20, waited))


def test_a_kill_while_the_folder_is_made_leaves_one_that_resumes(tmp_path, monkeypatch):
    """Stopped at each step of opening: before run.json is written, and before cells/ is made."""
    import pathlib

    config, folder = configured(SMALL), tmp_path / "run"
    make = pathlib.Path.mkdir

    def killed(*_, **__):
        raise KeyboardInterrupt

    def killed_at_cells(path, *arguments, **options):
        return killed() if path.name == "cells" else make(path, *arguments, **options)

    for target, stop in (
        ("empirical.laboratory.store.write_atomically", killed),
        ("pathlib.Path.mkdir", killed_at_cells),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(target, stop)
            with pytest.raises(KeyboardInterrupt):
                Store.open(folder, config, {}, resume=True)
        assert not (folder / "cells").exists()
    assert Store.open(folder, config, {}, resume=True).folder == folder
    assert (folder / "run.json").exists()
    assert (folder / "cells").is_dir()


def alive(group: int) -> list[str]:
    """Processes of the group that still run (a zombie does not)."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, member = entry.read_text().rsplit(")", 1)[1].split()[:3]
            if int(member) == group and state != "Z":
                found.append(entry.parent.name)
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to see processes")
def test_an_interrupt_stops_the_workers_and_leaves_what_is_finished(tmp_path):
    out, script = tmp_path / "run", tmp_path / "program.py"
    script.write_text(PROGRAM)
    process = subprocess.Popen(
        [sys.executable, str(script), str(out), SUPPORT],
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (out / "run.json").exists():
        assert process.poll() is None
        time.sleep(0.05)
    time.sleep(1.0)
    os.killpg(process.pid, signal.SIGINT)
    try:
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode != 0
    assert "KeyboardInterrupt" in said
    deadline = time.monotonic() + 10
    while (left := alive(process.pid)) and time.monotonic() < deadline:  # the helpers of multiprocessing leave last
        time.sleep(0.1)
    assert not left


def test_a_workers_error_is_the_runs(tmp_path):
    config = configured(SMALL)
    store = Store.open(tmp_path / "run", config, {}, resume=False)
    with sweeps._bar(1, 0, shown=False) as bar, pytest.raises(BadInput, match="start must be one of"):
        sweeps._in_workers(config, store, [[Cell(1, "nowhere", (0.1,))]], 1, bar)


def test_a_killed_worker_is_an_error_and_no_hang(tmp_path, monkeypatch):
    config = configured(SMALL)
    store = Store.open(tmp_path / "run", config, {}, resume=False)
    monkeypatch.setattr(sweeps, "_work", os.abort)  # called with arguments that it does not take: the worker fails
    with sweeps._bar(1, 0, shown=False) as bar, pytest.raises(RuntimeError, match="a worker process ended with status"):
        sweeps._in_workers(config, store, [[Cell(1, LOCALISE)]], 1, bar)


ALONE = """
import sys
for name in ("xarray", "h5netcdf", "h5py", "matplotlib", "tqdm", "jaxtyping", "beartype", "scipy"):
    sys.modules[name] = None  # as if it were not installed
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from small import GATES, SMALL, configured
from empirical import observe_attention
from empirical.laboratory.store import Store
from empirical.laboratory.sweep import plan, train_cells
for base, start in ((SMALL, "zero"), (GATES, "random")):
    config = configured(base, sweep={"seeds": [1], "starts": [start], "max_steps": 2})
    store = Store.open(Path(sys.argv[2]) / start, config, {}, resume=False)
    for cell in plan(config):
        train_cells(config, store, [cell])
    print(sum(store.load(cell.spec) is not None for cell in plan(config)))
"""


def test_training_and_observing_need_only_torch_numpy_and_safetensors(tmp_path):
    command = [sys.executable, "-c", ALONE, SUPPORT, str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout.split() == ["2", "2"], done.stderr


# --- folders ---------------------------------------------------------------------------------------------------------


def test_folders_that_are_refused(finished, tmp_path):
    out, _ = finished
    with pytest.raises(BadInput, match=r"--out must be a new or empty folder \(or --resume\), got"):
        sweep(configured(SMALL), out, progress=False)
    with pytest.raises(BadInput, match="made from another configuration"):
        sweep(configured(SMALL, sweep={"tolerance": 1e-5}), out, resume=True, progress=False)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    for resume in (False, True):
        with pytest.raises(BadInput, match=r"--out must be|DIR must be"):
            sweep(configured(SMALL), tmp_path / "mine", resume=resume, progress=False)
    assert [f.name for f in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    with pytest.raises(BadInput, match="got the file"):
        sweep(configured(SMALL), tmp_path / "mine" / "thesis.txt", progress=False)


def test_another_version_of_the_code_is_refused(finished, monkeypatch):
    monkeypatch.setattr("empirical.laboratory.store.digest", lambda root: "0" * 64)
    with pytest.raises(BadInput, match="made from another version of the code"):
        sweep(configured(SMALL), finished[0], resume=True, progress=False)


def test_a_device_that_is_not_there_is_refused_before_anything_is_written(tmp_path):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(BadInput, match=r"sweep.device must be a device of this machine \('cpu'.*got 'cuda'"):
        sweep(configured(SMALL, sweep={"device": "cuda"}), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_a_full_disk_leaves_no_half_cell(tmp_path, monkeypatch):
    import errno

    from empirical.files import write_atomically

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BadInput, match=r"--out must be a writable folder with room for 3 bytes, got .*No space left"):
        write_atomically(tmp_path / "cell", b"abc")
    assert list(tmp_path.iterdir()) == []
