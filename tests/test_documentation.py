"""README and docs: every command parses, every block of Python runs, every picture and link is there.

A block that begins ```python notest needs what a page cannot have (a model, somebody's cache); its syntax is checked.
"""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path
from typing import NamedTuple

import pytest

from empirical.cli.command_line import parser

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
MADE = {"theory", "api", "tutorials", "_build"}  # by `make docs`
PAGES = [ROOT / "README.md", ROOT / "paper_checks.md", ROOT / "CONTRIBUTING.md"]
PAGES += sorted(page for page in DOCS.rglob("*.md") if not MADE & set(page.relative_to(DOCS).parts))
OTHERS = ("make", "python", "pip")  # commands that are not ours


class Block(NamedTuple):
    """A fenced block: the page, its language with what follows, its text."""

    page: Path
    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    found = re.findall(r"^```([^\n`]*)\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [Block(page, language.strip(), text) for language, text in found]


BLOCKS = [block for page in PAGES for block in blocks(page)]
COMMANDS = [
    line[2:].split("#")[0].strip()
    for block in BLOCKS
    if block.language == "console"
    for line in block.text.splitlines()
    if line.startswith("$ ")
]
MENTIONED = sorted(
    {c for page in PAGES for c in re.findall(r"`localist ([a-z][^`]*)`", page.read_text(encoding="utf-8"))}
)
PYTHON = [block for block in BLOCKS if block.language.split()[:1] == ["python"]]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def test_there_is_something_to_check():
    assert len(COMMANDS) > 15
    assert len(MENTIONED) > 15
    assert len(PYTHON) > 5


@pytest.mark.parametrize("command", sorted(set(COMMANDS)))
def test_every_command_parses(command):
    words = shlex.split(command)
    if words[0] == "localist":
        parser().parse_args(words[1 : words.index(">") if ">" in words else None])
    else:
        assert words[0] in OTHERS, command


@pytest.mark.parametrize("mentioned", MENTIONED)
def test_every_command_that_prose_mentions_is_there_with_its_flags(mentioned, capsys):
    """`localist run --study depth` in a sentence may leave out what the command needs."""
    name, *words = mentioned.split()
    with pytest.raises(SystemExit) as left:
        parser().parse_args([name, "--help"])
    assert left.value.code == 0
    said = capsys.readouterr().out
    for flag in [word.strip("[],.;'") for word in words if word.startswith(("--", "[--"))]:
        assert re.search(rf"{flag}\b", said), flag


@pytest.mark.parametrize("block", PYTHON, ids=lambda block: f"{block.page.name}")
def test_every_import_of_a_page_is_there(block):
    for node in ast.parse(block.text).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            exec(compile(ast.Module([node], []), str(block.page), "exec"), {})


@pytest.mark.slow
@pytest.mark.parametrize(
    "block", [block for block in PYTHON if "notest" not in block.language], ids=lambda block: block.page.name
)
def test_every_block_of_python_runs(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(block.text, str(block.page), "exec"), {"__name__": "page"})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    """Pictures, files, pages that `make docs` makes, and anchors."""
    prose = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"(?<!\\)\]\(([^)\s]+)\)", prose):
        file, _, anchor = target.partition("#")
        if "://" in file or file.startswith("mailto:"):
            continue
        path = (page.parent / file).resolve() if file else page
        if DOCS in path.parents and MADE & set(path.relative_to(DOCS).parts):
            assert path.name == "index.md" or (ROOT / "notebooks" / path.name).exists(), target
            continue
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), target


def test_tables_of_contents_name_every_page():
    named = {
        line.strip()
        for block in blocks(DOCS / "index.md")
        if "toctree" in block.language
        for line in block.text.splitlines()
    }
    pages = {str(page.relative_to(DOCS).with_suffix("")) for page in DOCS.rglob("*.md")}
    pages = {page for page in pages if not MADE & set(Path(page).parts)} - {"index", "commands"}
    assert pages <= named
