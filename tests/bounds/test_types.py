"""What type checkers see: a wrong argument and a misspelt keyword are reported; stubs are fresh; nothing is untyped."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import bounds
from bounds.printing import signatures

ROOT = Path(__file__).resolve().parents[2]
PYRIGHT = shutil.which("pyright", path=str(Path(sys.executable).parent))
pytestmark = pytest.mark.skipif(PYRIGHT is None, reason="pyright is in the extra `dev`")
GOOD = """from bounds import Enclosed, fidelity_floor, margin_for_fidelity
from bounds.numbers.arguments import Reals
number: float = fidelity_floor(6.0, 64, 16)
array: Reals = fidelity_floor([6.0, 1], 64, n_block=16)
enclosed: Enclosed[float] = fidelity_floor(6.0, 64, 16, rigorous=True)
least = margin_for_fidelity(0.9, 64, 16)
"""


BAD = ('fidelity_floor("six", 64, 16)', "fidelity_floor(6.0, n_kyes=64, n_block=16)", "least + 1.0")


@pytest.fixture(scope="module")
def errors(tmp_path_factory) -> dict[str, list[str]]:
    """Bad line -> what pyright says of it; of the good ones before it says nothing."""
    assert PYRIGHT is not None
    folder = tmp_path_factory.mktemp("calls")
    lines = [*GOOD.splitlines(), *BAD]
    (folder / "calls.py").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "pyrightconfig.json").write_text(json.dumps({"extraPaths": [str(ROOT)], "pythonVersion": "3.11"}))
    command = [PYRIGHT, "--outputjson", "-p", str(folder), "--pythonpath", sys.executable]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    said: dict[str, list[str]] = {}
    for found in json.loads(done.stdout)["generalDiagnostics"]:
        if found["severity"] == "error":
            said.setdefault(lines[found["range"]["start"]["line"]], []).append(found["message"])
    return said


def test_good_calls_are_good(errors):
    assert set(errors) == set(BAD)


def test_a_string_is_no_margin(errors):  # of a call with overloads pyright speaks twice
    assert any('"Literal[\'six\']" cannot be assigned to parameter "margin"' in words for words in errors[BAD[0]])


def test_a_misspelt_keyword_is_reported_once(errors):
    (words,) = errors[BAD[1]]
    assert 'No overloads for "fidelity_floor"' in words


def test_an_answer_may_be_none(errors):
    (words,) = errors[BAD[2]]
    assert "Unreachable" in words


def test_signatures_are_fresh(capsys):
    assert signatures.main(["--check"]) == 0, capsys.readouterr().out


def test_every_calculator_has_its_overloads():
    printed = "".join(signatures.texts().values())
    for name in bounds.__all__:
        if hasattr(getattr(bounds, name), "__wrapped__"):
            assert f"def {name}(" in printed
            assert printed.count(f"def {name}(") in (3, 5)


@pytest.mark.slow
def test_what_is_public_has_a_type():
    """But for classes that extend sympy's own, which have none to inherit."""
    assert PYRIGHT is not None
    command = [PYRIGHT, "--verifytypes", "bounds", "--ignoreexternal", "--outputjson"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    symbols = json.loads(done.stdout)["typeCompleteness"]["symbols"]
    untyped = {s["name"] for s in symbols if s["isExported"] and not s["isTypeKnown"]}
    printers = {f"bounds.printing.{module}.Printer" for module in ("numpy_forms", "javascript")}
    assert untyped <= {*printers, "bounds.theory.least.Least"}
