"""The notebook runs from top to bottom, is stored without outputs, and has no logic of its own."""

from __future__ import annotations

import ast
from pathlib import Path

import nbformat
import pytest

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "walkthrough.ipynb"
LOGIC = (ast.FunctionDef, ast.ClassDef, ast.Lambda, ast.For, ast.While, ast.If, ast.Try, ast.ListComp, ast.BinOp)


@pytest.fixture
def notebook():
    return nbformat.read(NOTEBOOK, as_version=4)


def code_of(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_outputs_are_stripped(notebook):
    assert code_of(notebook)
    for cell in code_of(notebook):
        assert cell.outputs == []
        assert cell.execution_count is None


def test_it_calls_the_packages_and_decides_nothing(notebook):
    """No definition, loop, branch or arithmetic, save paths joined with `/`."""
    for cell in code_of(notebook):
        for node in ast.walk(ast.parse(cell.source)):
            joined = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)
            assert joined or not isinstance(node, LOGIC), cell.source


def test_everything_that_it_imports_is_there(notebook):
    for cell in code_of(notebook):
        for node in ast.parse(cell.source).body:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                exec(compile(ast.Module([node], []), "notebook", "exec"), {})


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # the kernel's own machinery warns on some platforms
def test_it_runs_to_the_end(notebook, tmp_path, monkeypatch):
    from nbclient import NotebookClient

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    kinds = [output.output_type for cell in code_of(notebook) for output in cell.outputs]
    assert "error" not in kinds
    pictures = [o for cell in code_of(notebook) for o in cell.outputs if "image/png" in o.get("data", {})]
    assert len(pictures) == 3
