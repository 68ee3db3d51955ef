"""A refusal is one line and status 2; a bug is a traceback; a missing package has a remedy; nothing is left set."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch

from empirical.cli import main
from empirical.cli.exits import BAD_INPUT, OK, REFUTED, status_of
from empirical.errors import BadInput, Miss, Missed

FLAGS = ["--n-keys", "64", "--n-block", "16", "--n-anchors", "1", "--margin", "6", "--fidelity", "0.95"]
EXAMPLE = str(Path(__file__).parents[3] / "examples" / "blocks.toml")


@pytest.mark.parametrize("bug", [ValueError, ImportError, RuntimeError, KeyError, AssertionError])
def test_a_bug_is_a_traceback(monkeypatch, bug):
    def broken(*_):
        raise bug("planted")

    monkeypatch.setattr("bounds.thresholds.design.design", broken)
    with pytest.raises(bug, match="planted"):
        main(["thresholds", *FLAGS])


def test_bad_input_and_a_missed_promise_are_statuses(capsys):
    def refuse(error: Exception):
        def command() -> int:
            raise error

        return command

    assert status_of(refuse(BadInput("n must be 1, got 2"))) == BAD_INPUT
    assert capsys.readouterr().err == "localist: n must be 1, got 2\n"
    assert status_of(refuse(Missed(0.9, [Miss(0, 1, 2, 3, 4, 0.5)]))) == REFUTED
    assert "fidelity must be at least 0.9, got 0.5 in layer 1" in capsys.readouterr().err


def test_a_missed_promise_has_a_name_of_its_own():
    """No other error that only looks like one becomes a status."""

    class Missed(RuntimeError):
        pass

    def command() -> int:
        raise Missed("planted")

    with pytest.raises(Missed):
        status_of(command)


BLOCKED = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in blocked or (blocked == {"all"} and name.split(".")[0] not in allowed):
            raise ImportError(f"{name} is blocked")

blocked = set(sys.argv[1].split(","))
allowed = {*sys.stdlib_module_names, "numpy", "bounds", "empirical"}
sys.meta_path.insert(0, Block())
if sys.argv[2] == "import":
    import bounds
    print(bounds.fidelity_floor(6.0, 64, 16, 1))
else:
    from empirical.cli import main
    sys.exit(main(sys.argv[2:]))
"""


def blocked(packages: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", BLOCKED, packages, *arguments], capture_output=True, text=True)


@pytest.mark.parametrize("arguments", [["import"], ["thresholds", *FLAGS], ["thresholds", EXAMPLE], ["--version"]])
def test_bounds_and_thresholds_need_numpy_alone(arguments):
    done = blocked("all", *arguments)
    assert done.returncode == OK, done.stderr
    assert done.stdout


def test_that_block_can_refuse():
    assert "is blocked" in blocked("all", "verify", "--quick").stderr


@pytest.mark.parametrize(
    ("package", "arguments", "said"),
    [
        ("flint", ["thresholds", *FLAGS, "--rigorous"], "pip install python-flint"),
        (
            "transformers",
            ["generate", "MODEL", "--prompt", __file__, "--dial", "0.9"],
            "pip install 'localist-bounds[hf]'",
        ),
    ],
)
def test_a_missing_package_is_named_with_its_remedy(package, arguments, said):
    done = blocked(package, *arguments)
    assert done.returncode == BAD_INPUT, done.stderr
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.fixture
def damaged(tmp_path, monkeypatch):
    """A folder with files that are not what they are called."""
    monkeypatch.chdir(tmp_path)
    for name in ("bytes.toml", "bytes.json", "bytes.npz", "bytes.nc"):
        (tmp_path / name).write_bytes(b"\xff\xfe")
    np.savez(tmp_path / "own.npz", logits=np.eye(4), query_block=np.arange(4) % 2, key_block=np.arange(4) % 2)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("thresholds bytes.toml", "CONFIG must be a TOML file, got 'bytes.toml'"),
        ("thresholds .", "CONFIG must be a readable TOML file, got '.'"),
        ("check bytes.npz", "FILE.npz must hold plain numeric arrays, got 'bytes.npz'"),
        ("check bytes.nc", "DIR|FILE must be a netCDF file of observations, got 'bytes.nc'"),
        ("plot own.npz --out bytes.nc", "--out must be a folder, got the file 'bytes.nc'"),
        ("plot own.npz --out bytes.nc/figures", "--out must be a writable folder, got 'bytes.nc/figures'"),
        ("schedule bytes.json --budget 1", "SCHEDULE.json must be a readable JSON file"),
        ("verify --quick --claim C15", "--claim must be one of C1, C2"),
        ("verify --quick --runs bytes.nc", "--runs must name folders of finished runs"),
        ("anchors --blocks 3 --dim 2 --out bytes.nc", "--out must be a folder, got the file 'bytes.nc'"),
        (f"run {EXAMPLE} --out bytes.nc", "--out must be a folder, got the file 'bytes.nc'"),
    ],
)
def test_file_errors_are_refusals(damaged, capsys, arguments, said):
    assert main(arguments.split()) == BAD_INPUT
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_what_was_set_is_as_it_was(damaged, capsys):
    threads, backend, seed = torch.get_num_threads(), matplotlib.rcParams["backend"], torch.initial_seed()
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    assert main(["plot", "own.npz", "--out", "figures"]) == OK
    assert main(["verify", "leakage_ceiling", "--quick"]) == OK
    assert main(["anchors", "--blocks", "3", "--dim", "2"]) == OK
    assert (torch.get_num_threads(), matplotlib.rcParams["backend"], torch.initial_seed()) == (threads, backend, seed)
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002
