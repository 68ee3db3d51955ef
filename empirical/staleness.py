"""Which code saved numbers depend on, found from what is imported, and a digest of it.

    sources(root) = root and every module of `bounds` and `empirical` that import statements lead to from there
    digest(root)  = sha256 of their code: syntax trees, in which comments, docstrings and layout have no part

An import inside a function counts, one for type checkers alone does not. A module loaded by a name that is put together
at run time stands for every module of such a name; where the root has such a name, for the root: it is the one chosen.
The `__init__` of a package counts where names are imported from it, not where a module inside it is imported.
Not covered: files read at run time, whose digests are kept apart (configuration, text), and other packages (versions).
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from bounds.numbers.repository import ROOT

PACKAGES = ("bounds", "empirical")
ASIDE = ("empirical.figures", "bounds.rigour.balls", "bounds.rigour.branch_and_bound", "bounds.rigour.exact")
"""No saved number is drawn, or enclosed by balls."""


@dataclass
class Module:
    """What one file says: its code as words, the names that it imports, and patterns of modules loaded by name."""

    package: tuple[str, ...]
    code: list[str] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    patterns: set[str] = field(default_factory=set)

    def read(self, node: ast.AST) -> None:
        """Adds the node and all below it; nothing empty is written, so that versions of Python agree."""
        if _no_code(node):
            return
        self._imported(node)
        self.code.append(type(node).__name__)
        for name in node._fields:
            value = getattr(node, name, None)
            if value is None or value == []:
                continue
            self.code.append(name)
            for part in value if isinstance(value, list) else [value]:
                if isinstance(part, ast.AST):
                    self.read(part)
                else:
                    self.code.append(repr(part))
        self.code.append("end")

    def _imported(self, node: ast.AST) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                self.names |= {alias.name} if alias.asname else {alias.name, alias.name.split(".")[0]}
        elif isinstance(node, ast.ImportFrom):
            above = self.package[: len(self.package) - node.level + 1] if node.level else ()
            source = ".".join([*above, *([node.module] if node.module else [])])
            self.names |= {source, *(f"{source}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Call) and node.args and _called(node) == "import_module":
            parts = node.args[0].values if isinstance(node.args[0], ast.JoinedStr) else node.args[:1]
            self.patterns.add(
                "".join(re.escape(str(p.value)) if isinstance(p, ast.Constant) else r"\w+" for p in parts)
            )


def _no_code(node: ast.AST) -> bool:
    """A string that stands alone, such as a docstring; what only type checkers read."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    return isinstance(node, ast.If) and getattr(node.test, "id", getattr(node.test, "attr", "")) == "TYPE_CHECKING"


def _called(call: ast.Call) -> str:
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


@cache
def _modules(folder: Path) -> dict[str, Path]:
    """Every module and package of ours, by name."""
    files = [file for package in PACKAGES for file in sorted((folder / package).rglob("*.py"))]
    return {".".join(f.relative_to(folder).with_suffix("").parts).removesuffix(".__init__"): f for f in files}


@cache
def _module(name: str, folder: Path) -> Module:
    file = _modules(folder)[name]
    parts = tuple(name.split("."))
    module = Module(parts if file.name == "__init__.py" else parts[:-1])
    module.read(ast.parse(file.read_bytes()))
    return module


def _next(name: str, root: str, folder: Path) -> Iterator[str]:
    """The modules that one module leads to."""
    known, module = _modules(folder), _module(name, folder)
    yield from (found for found in module.names if found in known)
    for pattern in module.patterns:
        yield from [root] if re.fullmatch(pattern, root) else (found for found in known if re.fullmatch(pattern, found))


@cache
def sources(root: str, folder: Path = ROOT) -> tuple[str, ...]:
    """Modules that the numbers of module `root` may depend on, by name, in order; without ASIDE."""
    found, waiting = {root}, [root]
    while waiting:
        for name in _next(waiting.pop(), root, folder):
            if name not in found and not f"{name}.".startswith(tuple(f"{room}." for room in ASIDE)):
                found.add(name)
                waiting.append(name)
    return tuple(sorted(found))


@cache
def digest(root: str, folder: Path = ROOT) -> str:
    """sha256 of the code that the numbers of module `root` may depend on, wherever it is installed."""
    whole = hashlib.sha256()
    for name in sources(root, folder):
        whole.update("\n".join([name, *_module(name, folder).code, ""]).encode())
    return whole.hexdigest()
