"""The house: no circle of imports, no arrow against the order of rooms, nothing long, few places for one key."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ORDER = {
    "bounds": (
        *(("__init__",), ("ledger",), ("deciding",), ("printing",), ("theorems",), ("thresholds",), ("samples",)),
        (
            *("gates", "depth", "recruitment", "published", "kinds", "penalty"),
            *("rules", "anchors", "dial", "floors", "entropy", "concentration"),
        ),
        *(("rigour",), ("logit_range",), ("theory",), ("numbers",)),
    ),
    "empirical": (
        *(("__init__",), ("cli",), ("studies",), ("pages",), ("audit", "certificates"), ("planning",), ("figures",)),
        *(("checkpoints",), ("verify",), ("laboratory",), ("executors",), ("gates",), ("rules", "dial")),
        *(
            ("check",),
            ("observe",),
            ("penalise",),
            ("staleness", "provenance", "files", "tables", "threads", "shapes", "errors"),
        ),
    ),
}
"""Lines of rooms from the top; a room uses lines below its own, and on its own line those to its right."""

LONGEST_FILE, LONGEST_FUNCTION, PLACES_OF_A_KEY = 350, 60, 8
GENERATED = re.compile(
    r"bounds/\w+/closed_forms\.py|bounds/ledger/evidence/.*|proofs/(ClosedForms\.v|\w+\.json)|paper_checks\.md"
    r"|docs/((proofs|evidence|commands)\.md|(_build|api|theory|tutorials)/.*)|benchmarks/\w+\.json"
)

Graph = dict[str, set[str]]


def modules(root: Path) -> dict[str, Path]:
    """Dotted name -> file, of both packages."""
    found = {}
    for package in ORDER:
        for file in sorted((root / package).rglob("*.py")):
            name = ".".join(file.relative_to(root).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = file
    return found


def _named(node: ast.AST, module: str) -> Iterator[str]:
    """What an import statement, or a call of import_module, names; a regular expression where a part is computed."""
    if isinstance(node, ast.Import):
        yield from (re.escape(alias.name) for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield from (re.escape(f"{node.module}.{alias.name}") for alias in node.names)
        yield re.escape(node.module)
    elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) == "import_module":
        asked = node.args[0]
        if isinstance(asked, ast.Constant):
            yield re.escape(str(asked.value))
        elif isinstance(asked, ast.JoinedStr):
            yield "".join(_part(part, module) for part in asked.values)


def _part(part: ast.expr, module: str) -> str:
    """A part of a computed name: written out, the module's own, or any word."""
    if isinstance(part, ast.Constant):
        return re.escape(str(part.value))
    own = isinstance(part, ast.FormattedValue) and getattr(part.value, "id", "") == "__name__"
    return re.escape(module) if own else r"\w+"


def imports(files: Mapping[str, Path]) -> Graph:
    """Every module -> the modules it names, at its top, inside functions, for types alone, or by name."""
    graph: Graph = {}
    for name, file in files.items():
        used: set[str] = set()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            patterns = list(_named(node, name))
            hits = [{m for m in files if re.fullmatch(pattern, m)} for pattern in patterns]
            submodules = set().union(*hits[:-1]) if isinstance(node, ast.ImportFrom) and len(hits) > 1 else set()
            if isinstance(node, ast.ImportFrom) and submodules and len(submodules) == len(node.names):
                used |= submodules  # `from package import module`: the package itself gives nothing
            else:
                used |= set().union(*hits) if hits else set()
        graph[name] = used - {name}
    return graph


def circle(graph: Graph) -> list[str]:
    """One circle of imports, or nothing."""
    done: set[str] = set()

    def visit(name: str, trail: list[str]) -> list[str]:
        if name in trail:
            return [*trail[trail.index(name) :], name]
        if name in done:
            return []
        for other in sorted(graph[name]):
            if found := visit(other, [*trail, name]):
                return found
        done.add(name)
        return []

    return next((found for name in sorted(graph) if (found := visit(name, []))), [])


def place(name: str) -> tuple[int, int]:
    """The line of a module's room in its package, and its place on that line."""
    package, _, rest = name.partition(".")
    room = rest.split(".")[0] or "__init__"
    for line, rooms in enumerate(ORDER[package]):
        if room in rooms:
            return line, rooms.index(room)
    raise AssertionError(f"{name}: no line of the house has the room {room!r}")


def against(graph: Graph) -> list[str]:
    """Arrows that go up, to the left, or from `bounds` into `empirical`."""
    wrong = []
    for name, used in graph.items():
        for other in used:
            mine, theirs = name.partition(".")[0], other.partition(".")[0]
            if mine == theirs:
                (line, at), (below, right) = place(name), place(other)
                same_room = (line, at) == (below, right)
                good = same_room or line < below or (line == below and at < right)
            else:
                good = mine == "empirical"
            if not good:
                wrong.append(f"{name} -> {other}")
    return sorted(wrong)


def test_no_circle_of_imports():
    found = circle(imports(modules(ROOT)))
    assert found == []


def test_no_arrow_against_the_order_of_the_house():
    found = against(imports(modules(ROOT)))
    assert found == []


@pytest.mark.parametrize(
    ("file", "text", "what"),
    [
        ("bounds/numbers/a.py", "import bounds.ledger.b\n", "bounds.numbers.a -> bounds.ledger.b"),
        ("bounds/numbers/a.py", "def f():\n    from bounds.ledger import b\n", "bounds.numbers.a -> bounds.ledger.b"),
        (
            "bounds/entropy/a.py",
            "import importlib\nimportlib.import_module(f'bounds.{x}.b')\n",
            "bounds.entropy.a -> bounds.ledger.b",
        ),
        ("bounds/ledger/b.py", "from empirical.check import c\n", "bounds.ledger.b -> empirical.check.c"),
        ("empirical/check/c.py", "from empirical.check import d\n", ""),
    ],
)
def test_the_order_can_be_broken(tmp_path, file, text, what):
    for name in ("bounds/numbers/a.py", "bounds/ledger/b.py", "empirical/check/c.py", "empirical/check/d.py", file):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / file).write_text(text)
    assert what in " ".join(against(imports(modules(tmp_path))))


def test_a_circle_is_found(tmp_path):
    (tmp_path / "bounds").mkdir()
    (tmp_path / "bounds" / "one.py").write_text("def f():\n    import bounds.two\n")
    (tmp_path / "bounds" / "two.py").write_text("from bounds import one\n")
    assert circle(imports(modules(tmp_path))) == ["bounds.one", "bounds.two", "bounds.one"]


def _handwritten() -> dict[str, Path]:
    return {n: f for n, f in modules(ROOT).items() if not GENERATED.fullmatch(f.relative_to(ROOT).as_posix())}


def test_no_file_is_long():
    lengths = {name: len(file.read_text(encoding="utf-8").splitlines()) for name, file in _handwritten().items()}
    assert {name: length for name, length in lengths.items() if length > LONGEST_FILE} == {}


def test_no_function_is_long():
    long = {}
    for name, file in _handwritten().items():
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > LONGEST_FUNCTION:
                    long[f"{name}.{node.name}"] = length
    assert long == {}


def _says(file: Path, key: str) -> bool:
    """Whether a file defines, describes or registers the key; a caller does not, nor a proof that rests on it."""
    text = file.read_text(encoding="utf-8")
    word = re.compile(rf"\b{key}\b")
    if file.suffix == ".v":
        return bool(re.search(rf"^\s*(?:Theorem|Lemma|Definition|Example)\s+{key}\b", text, re.MULTILINE))
    if file.suffix != ".py":
        return bool(word.search(text))
    tree = ast.parse(text)
    rests = {id(n) for k in ast.walk(tree) if isinstance(k, ast.keyword) and k.arg == "needs" for n in ast.walk(k)}
    for node in ast.walk(tree):
        said = isinstance(node, ast.Constant) and isinstance(node.value, str) and word.search(node.value)
        if said and id(node) not in rests:
            return True
        if isinstance(node, ast.FunctionDef) and node.name == key:
            return True
    return False


def test_a_key_stands_in_few_places():
    """Of the ledger's first key, which everything speaks of, outside tests and what is generated."""
    kinds = {".py", ".v", ".md", ".toml", ".ipynb"}
    folders = (*ORDER, "proofs", "docs", "examples", "notebooks", "benchmarks")
    files = [f for folder in folders for f in sorted((ROOT / folder).rglob("*")) if f.suffix in kinds]
    files = [f for f in [*files, *ROOT.glob("*.md")] if not GENERATED.fullmatch(f.relative_to(ROOT).as_posix())]
    places = [f.relative_to(ROOT).as_posix() for f in files if _says(f, "leakage_ceiling")]
    assert len(places) <= PLACES_OF_A_KEY, places
