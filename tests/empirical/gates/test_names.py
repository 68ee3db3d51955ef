"""The public names of gates load with what they are of, and no sooner."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

from empirical import gates


def test_every_name_is_what_type_checkers_are_told():
    tree = ast.parse(Path(gates.__file__ or "").read_text(encoding="utf-8"))
    told = {
        (node.module, alias.name) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    told = {pair for pair in told if str(pair[0]).startswith("empirical.")}
    assert {name for _, name in told} == set(gates.__all__)
    assert all(getattr(gates, name).__module__ == module for module, name in told)


def test_a_run_loads_no_price_and_no_path():
    code = "import sys, empirical.gates.merge; print([m for m in sys.modules if m.startswith('empirical.gates.')])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "price" not in found
    assert "along_penalties" not in found
