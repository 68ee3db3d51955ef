"""The notebooks run from top to bottom, are stored without outputs, and have no logic of their own."""

from __future__ import annotations

import ast
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = {path.stem: path for path in sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))}
PICTURES = {"1_thresholds": 0, "2_bound_against_observed": 4, "3_your_checkpoint": 0, "4_refute_a_bound": 0}
LOGIC = (ast.FunctionDef, ast.ClassDef, ast.Lambda, ast.While, ast.If, ast.Try, ast.BinOp)
TRAINS = "3_your_checkpoint"  # a loop over steps of an optimiser, and nothing else


@pytest.fixture(params=NOTEBOOKS)
def name(request):
    return request.param


@pytest.fixture
def notebook(name):
    return nbformat.read(NOTEBOOKS[name], as_version=4)


def code_of(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_the_tutorials_are_all_there():
    assert NOTEBOOKS.keys() == PICTURES.keys()


def test_outputs_are_stripped(notebook):
    assert code_of(notebook)
    for cell in code_of(notebook):
        assert cell.outputs == []
        assert cell.execution_count is None


def test_it_calls_the_packages_and_decides_nothing(notebook, name):
    """No definition, branch or arithmetic, save paths joined with `/`; no loop, save that of a training."""
    loops = 0
    for cell in code_of(notebook):
        for node in ast.walk(ast.parse(cell.source)):
            loops += isinstance(node, ast.For)
            joined = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)
            assert joined or not isinstance(node, LOGIC), cell.source
    assert loops == (name == TRAINS)


def test_everything_that_it_imports_is_there(notebook):
    for cell in code_of(notebook):
        for node in ast.parse(cell.source).body:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                exec(compile(ast.Module([node], []), "notebook", "exec"), {})


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # the kernel's own machinery warns on some platforms
def test_it_runs_to_the_end(notebook, name, tmp_path, monkeypatch):
    from nbclient import NotebookClient

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    kinds = [output.output_type for cell in code_of(notebook) for output in cell.outputs]
    assert "error" not in kinds
    pictures = [o for cell in code_of(notebook) for o in cell.outputs if "image/png" in o.get("data", {})]
    assert len(pictures) == PICTURES[name]
