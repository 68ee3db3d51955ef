"""What is installed works: the wheel holds what a run needs, and its commands work, or refuse, outside any checkout."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from email import message_from_string
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import bounds
from bounds.numbers.repository import ROOT
from bounds.theorems import THEOREMS
from empirical import provenance
from empirical.studies import STUDIES

FORMAL = "bounds/ledger/formal_status"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy of what it is made of; no network."""
    source = tmp_path_factory.mktemp("source")
    for name in ("bounds", "empirical", "proofs"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.vo*", "*.glob"))
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", "dist", "."]
    done = subprocess.run(build, cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (found,) = (source / "dist").glob("*.whl")
    return found


def test_the_wheel_holds_both_packages_and_what_they_read(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        for name in ("pinned.json", "formal.json"):
            assert archive.read(f"{FORMAL}/{name}") == (ROOT / "proofs" / name).read_bytes()
    modules = {str(file.relative_to(ROOT)) for p in ("bounds", "empirical") for file in (ROOT / p).rglob("*.py")}
    assert modules <= names
    assert {f"bounds/ledger/evidence/{key}.json" for key in THEOREMS} <= names
    assert {f"empirical/studies/{name}/{kind}.toml" for name in STUDIES for kind in ("preset", "quick")} <= names
    assert "bounds/ledger/evidence/studies/schedule.json" in names
    assert {"bounds/py.typed", "empirical/py.typed"} <= names
    pages = {str(file.relative_to(ROOT)) for file in (ROOT / "empirical/pages/assets").rglob("*") if file.is_file()}
    assert {"bounds/printing/closed_forms.js", *pages} <= names
    kinds = {".py", ".pyi", ".json", ".toml", ".typed", ".html", ".css", ".js", ""}
    assert {Path(name).suffix for name in names} == kinds
    assert {Path(name).name for name in names if not Path(name).suffix} == {"LICENSE"}
    assert {name.split("/")[0] for name in names} == {"bounds", "empirical"}


def test_the_wheel_says_what_it_is_and_needs(wheel):
    with zipfile.ZipFile(wheel) as archive:
        metadata, entries = (archive.read(name).decode() for name in _described(archive))
    said = message_from_string(metadata)
    assert said["Version"] == bounds.__version__
    needs = [need for need in said.get_all("Requires-Dist", []) if "extra ==" not in need]
    base = {re.match(r"[\w-]+", need).group() for need in needs}  # pyright: ignore[reportOptionalMemberAccess]
    assert base == {
        *("numpy", "sympy", "scipy", "torch", "safetensors", "matplotlib"),
        *("xarray", "h5netcdf", "h5py", "tqdm", "python-flint", "jinja2"),
    }
    assert {"rigorous", "hf", "completion", "pretrained", "all", "docs", "dev"} == set(
        said.get_all("Provides-Extra", [])
    )
    assert "localist = empirical.cli:main" in entries


def _described(archive: zipfile.ZipFile) -> list[str]:
    return [name for wanted in ("METADATA", "entry_points.txt") for name in archive.namelist() if name.endswith(wanted)]


def test_version_changelog_and_citation_agree():
    assert f"## [{bounds.__version__}] - 20" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"version: {bounds.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dynamic"] == ["version"]


def test_a_repository_that_is_not_this_one_is_no_provenance(monkeypatch, tmp_path):
    _repository(tmp_path)
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    provenance.commit.cache_clear()
    try:
        monkeypatch.setattr(provenance, "is_checkout", lambda: False)
        assert provenance.commit() == ""  # installed into somebody's repository
        provenance.commit.cache_clear()
        monkeypatch.setattr(provenance, "is_checkout", lambda: True)
        assert re.fullmatch(r"[0-9a-f]{40}", provenance.commit())
        (tmp_path / "new").write_text("x")
        provenance.commit.cache_clear()
        assert provenance.commit().endswith("-modified")
        assert re.fullmatch(r"[0-9a-f]{40}", provenance.commit("new"))
        (tmp_path / "inside").mkdir()
        monkeypatch.setattr(provenance, "ROOT", tmp_path / "inside")
        provenance.commit.cache_clear()
        assert provenance.commit() == ""  # our files, without their history, in somebody's repository
    finally:
        provenance.commit.cache_clear()


def _repository(folder: Path) -> None:
    """A git repository with one commit."""
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for arguments in (["init", "-q"], [*who, "commit", "-q", "--allow-empty", "-m", "somebody else's"]):
        subprocess.run(["git", *arguments], cwd=folder, check=True)


@pytest.fixture(scope="module")
def localist(wheel, tmp_path_factory):
    """Runs `localist`, installed in a fresh environment beside the present dependencies, in a folder of its own."""
    folder = tmp_path_factory.mktemp("installed")
    _repository(folder)
    venv = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    python = str(venv / "bin" / "python")
    install = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True)
    (site,) = venv.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    work = folder / "work"
    work.mkdir()

    def run(*arguments: str, status: int = 0) -> str:
        command = [str(venv / "bin" / "localist"), *arguments]
        done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == status, (arguments, done.stdout[-2000:], done.stderr[-2000:])
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    return SimpleNamespace(run=run, work=work, packages=site)


SMALL = """
schema_version = 1
[setting]
n_keys = 8
n_block = 4
n_anchors = 1
[model]
blocks = 2
d_block = 3
[task]
name = "blocks"
queries = 60
[sweep]
penalties = [0.9, 1.1]
relative_to_critical = true
starts = ["localised"]
max_steps = 400
step = 20.0
"""
FLAGS = ("--n-keys", "64", "--n-block", "16", "--fidelity", "0.95")


@pytest.mark.slow
def test_every_command_of_the_readme_works_outside_a_checkout(localist):
    assert localist.run("--version").strip() == f"localist {bounds.__version__}"
    assert "margin" in localist.run("thresholds", *FLAGS, "--n-anchors", "1", "--margin", "6")
    assert "margin" in localist.run("thresholds", *FLAGS, "--rigorous")
    assert "degrees apart" in localist.run("anchors", "--blocks", "12", "--dim", "3", "--target-fidelity", "0.9")
    layers = localist.packages / "bounds" / "ledger" / "evidence" / "studies" / "schedule.json"
    assert "optimum" in localist.run("schedule", str(layers), "--budget", "20")
    assert "theorems stand as they should" in localist.run("verify", "leakage_ceiling", "--quick")
    np.savez(localist.work / "mine.npz", logits=np.eye(4), query_block=np.arange(4) % 2, key_block=np.arange(4) % 2)
    localist.run("check", "mine.npz")
    localist.run("explore", "--run", "mine.npz", "--out", "explorer.html")
    localist.run("report", "mine.npz", "--out", "report.html")


@pytest.mark.slow
def test_a_run_outside_a_checkout_says_what_made_it(localist):
    (localist.work / "small.toml").write_text(SMALL, encoding="utf-8")
    localist.run("run", "small.toml", "--out", "run")
    localist.run("check", "run", "--require", "fidelity>=0")
    localist.run("plot", "run", "--out", "figures")
    made = json.loads((localist.work / "run" / "run.json").read_text())
    assert made["commit"] == ""  # a repository lies around it, but not this project's
    assert made["versions"]["localist-bounds"] == bounds.__version__


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("claims",), "localist claims must run from a checkout of the repository"),
        (("verify", "leakage_ceiling"), "localist verify without --quick or --out DIR must run from a checkout"),
        (("run", "examples/blocks.toml", "--out", "out"), "CONFIG must be a readable TOML file"),
        (("run", "--study", "dail", "--out", "out"), "--study must be one of ablation, depth, dial"),
        (("schedule", "evidence/studies/schedule.json", "--budget", "20"), "SCHEDULE.json must be a readable JSON"),
        (("observe", "./MODEL", "--text", "FILE.jsonl", "--out", "out"), "must be"),
        (("generate", "./MODEL", "--prompt", "FILE.jsonl", "--dial", "0.9"), "must be"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_what_needs_a_checkout_or_a_file_refuses_in_one_line(localist, arguments, said):
    error = localist.run(*arguments, status=2)
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.slow
def test_a_study_runs_from_the_preset_in_the_wheel(localist):
    localist.run("run", "--study", "depth", "--quick", "--out", "study")
    localist.run("plot", "study")
