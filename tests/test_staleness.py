"""What saved numbers depend on is found from the imports: constants count wherever they stand, words never do."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bounds.ledger.evidence import digest as evidence_digest
from bounds.numbers.repository import ROOT
from bounds.theorems import THEOREMS
from empirical.laboratory.store import NUMERICS
from empirical.staleness import PACKAGES, digest, sources

CELLS, DIAL, RULES = NUMERICS, "empirical.studies.dial.measure", "empirical.studies.rules.measure"


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """Both packages somewhere else; a test changes a file and puts it back, as digests are cached by folder."""
    folder = tmp_path_factory.mktemp("elsewhere")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__", "*.json"))
    return folder


def digests(folder: Path) -> dict[str, str]:
    """Digests of code in the folder, read anew."""
    from empirical import staleness

    for cached in (staleness._modules, staleness._module, staleness.sources, staleness.digest):
        cached.cache_clear()
    return {root: digest(root, folder) for root in (CELLS, DIAL, RULES)}


def with_a_constant_changed(source: str) -> str:
    """The source with the first number inside one of its functions, or else the first of all, raised by one."""
    tree = ast.parse(source)
    inside = [n for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) for n in ast.walk(f)]
    node = next(n for n in [*inside, *ast.walk(tree)] if isinstance(n, ast.Constant) and type(n.value) in (int, float))
    lines = source.splitlines(keepends=True)
    line = lines[node.lineno - 1].encode()
    assert node.end_col_offset is not None
    changed = line[: node.col_offset] + repr(node.value + 1).encode() + line[node.end_col_offset :]
    lines[node.lineno - 1] = changed.decode()
    return "".join(lines)


@pytest.mark.parametrize(
    ("file", "stale"),
    [
        ("bounds/penalty/calculators.py", {CELLS, DIAL, RULES}),
        ("bounds/penalty/closed_forms.py", {CELLS, DIAL, RULES}),
        ("bounds/rules/theorems.py", {DIAL, RULES}),  # rows are judged; a cell is not
        ("empirical/laboratory/model.py", {CELLS, DIAL, RULES}),
        ("empirical/penalise/solver.py", {CELLS, DIAL, RULES}),
        ("empirical/check/verdicts.py", set()),  # rows are saved; verdicts are made of them anew
        ("empirical/studies/dial/measure.py", {DIAL}),
        ("empirical/studies/rules/measure.py", {RULES}),
        ("empirical/figures/style.py", set()),
    ],
)
def test_a_changed_constant_makes_stale_what_depends_on_it_and_nothing_else(copy, file, stale):
    before, whole = digests(copy), (copy / file).read_text(encoding="utf-8")
    (copy / file).write_text(with_a_constant_changed(whole), encoding="utf-8")
    after = digests(copy)
    (copy / file).write_text(whole, encoding="utf-8")
    assert {root for root in before if before[root] != after[root]} == stale


def with_other_words(source: str) -> str:
    """Another docstring, a comment, and a blank line."""
    return re.sub(r'"""', '"""Other words. ', source, count=1) + "\n\n# Words that no number depends on.\n"


@pytest.mark.parametrize("file", ["empirical/laboratory/model.py", "bounds/penalty/calculators.py"])
def test_words_make_nothing_stale(copy, file):
    before, whole = digests(copy), (copy / file).read_text(encoding="utf-8")
    (copy / file).write_text(with_other_words(whole), encoding="utf-8")
    after = digests(copy)
    (copy / file).write_text(whole, encoding="utf-8")
    assert after == before


def test_the_place_of_a_checkout_has_no_part_in_it(copy):
    assert digests(copy) == digests(ROOT)


def test_what_type_checkers_alone_read_does_not_count(tmp_path):
    (tmp_path / "bounds").mkdir()
    (tmp_path / "bounds" / "a.py").write_text("if TYPE_CHECKING:\n    import bounds.b\nfrom .c import d\n")
    for name in "bc":
        (tmp_path / "bounds" / f"{name}.py").write_text("x = 1\n")
    assert sources("bounds.a", tmp_path) == ("bounds.a", "bounds.c")


def test_studies_and_topics_loaded_by_name_count():
    every = set(sources("empirical.studies.frame"))
    assert {DIAL, RULES, "bounds.dial.theorems", "bounds.rules.theorems"} <= every
    assert RULES not in sources(DIAL)


IMPORTED = """
import importlib
import sys

importlib.import_module(sys.argv[1])
ours = {name: module for name, module in sys.modules.items() if name.startswith("empirical.")}
print(*(name for name, module in ours.items() if not hasattr(module, "__path__")))
"""


def test_everything_that_training_loads_is_found():
    found = subprocess.run(
        [sys.executable, "-c", IMPORTED, CELLS], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert CELLS in found.stdout.split()
    assert set(found.stdout.split()) <= set(sources(CELLS))


def test_a_digest_is_made_once(monkeypatch):
    before = digests(ROOT)  # reads anew, and so leaves everything cached
    monkeypatch.setattr(Path, "read_text", None)
    assert digest(DIAL) == before[DIAL]


PRINTED = """
from bounds.ledger.evidence import digest
from bounds.theorems import THEOREMS
print(*map(digest, THEOREMS.values()))
"""


def test_evidence_is_of_the_mathematics_and_not_of_the_words_around_it(copy):
    theorem = THEOREMS["leakage_ceiling"]
    assert evidence_digest(replace(theorem, formula=1.01 * theorem.formula)) != evidence_digest(theorem)
    for file in (copy / "bounds" / "concentration").glob("*.py"):
        file.write_text(with_other_words(file.read_text(encoding="utf-8")), encoding="utf-8")
    found = subprocess.run([sys.executable, "-c", PRINTED], capture_output=True, text=True, cwd=copy, env={})
    assert found.stdout.split() == [evidence_digest(theorem) for theorem in THEOREMS.values()], found.stderr
