"""Which tests show a theorem or refute a reading, read from the markers in tests/ of a checkout.

@pytest.mark.theorem("entropy_ceiling", ...)    the test shows these theorems; without a key, every one
@pytest.mark.refutes("C9: nothing more helps")  the test shows that the reading is false
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bounds.numbers.repository import repository


class Marked(NamedTuple):
    """One marker of one test: the names that it gives, none for a test of every theorem."""

    test: str  # path::function
    marker: str
    names: tuple[str, ...]


MARKERS = ("theorem", "refutes")


def marked_tests(root: Path | None = None) -> tuple[Marked, ...]:
    """Every marker of tests/, by file and line. Raises BadInput where there is no checkout."""
    root = repository("the list of tests") if root is None else root
    files = sorted((root / "tests").rglob("test_*.py"))
    return tuple(marked for file in files for marked in _in_file(file, file.relative_to(root).as_posix()))


def _in_file(file: Path, name: str) -> Iterator[Marked]:
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            for decorator in node.decorator_list:
                called = isinstance(decorator, ast.Call)
                path = ast.unparse(decorator.func if called else decorator)
                arguments = decorator.args if called else []
                marker = path.removeprefix("pytest.mark.")
                if path != marker and marker in MARKERS:
                    names = tuple(str(ast.literal_eval(argument)) for argument in arguments)
                    yield Marked(f"{name}::{node.name}", marker, names)


def that_name(marked: tuple[Marked, ...], marker: str, name: str) -> tuple[str, ...]:
    """The tests whose marker gives that name."""
    return tuple(m.test for m in marked if m.marker == marker and name in m.names)


def of_every_theorem(marked: tuple[Marked, ...]) -> tuple[str, ...]:
    """The tests that every theorem goes through."""
    return tuple(m.test for m in marked if m.marker == "theorem" and not m.names)
