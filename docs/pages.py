"""What Sphinx makes of this repository when it builds the site: pages that are printed, and text that it can read.

theory/KEY.md   a page a theorem: statement, formula, hypotheses, proof, formal statement, evidence, its figure
commands.md     the help of every command
api/NAME.rst    the public modules
tutorials/      the notebooks
None of them is kept in git: they are made again by every build.
"""

from __future__ import annotations

import argparse
import re
import shutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import numpy as np
from sphinx.application import Sphinx

import bounds
from bounds.ledger import evidence_page, formal, proofs_page
from bounds.ledger.evidence import committed, statuses
from bounds.ledger.marked_tests import marked_tests
from bounds.theorems import THEOREMS, TOPICS
from bounds.theory.theorem import Judgement, Theorem
from empirical.check.witness import ALWAYS, observed_row
from empirical.cli.command_line import parser
from empirical.figures import style
from empirical.figures.attacked import attacked
from empirical.figures.observed import Absent
from empirical.verify.adversary import FAMILIES

HERE = Path(__file__).parent
PAGES = {"../README.md": "index.md", "../CHANGELOG.md": "changelog.md"}
INPUTS = 2_000  # of an attack that a figure shows
PUBLIC = (
    *(f"bounds.{topic}" for topic in TOPICS),
    *("bounds.thresholds.design", "bounds.samples", "bounds.logit_range", "bounds.theory.theorem"),
    *("empirical.checkpoints", "empirical.gates", "empirical.dial", "empirical.rules"),
    *("empirical.penalise.modules", "empirical.penalise.optimizer", "empirical.laboratory.config"),
    *("empirical.laboratory.sweep", "empirical.laboratory.assemble", "empirical.check.verdicts", "empirical.figures"),
)


def theory() -> Iterator[tuple[Path, str]]:
    """A page and a figure a theorem."""
    folder = HERE / "theory"
    drawn = figures(folder)
    evidence, marked = committed(), marked_tests()
    standing = statuses(evidence)
    for key, theorem in THEOREMS.items():
        lines = [f"# {theorem.title}", "", f"`{key}`", ""]
        lines += evidence_page.entry(theorem, evidence[key], standing[key], marked)
        if found := formal.of(key):
            lines += ["", "## Formal statements", "", f"In `proofs/{found.module}.v`, checked by Coq:", ""]
            lines += proofs_page.statements(found.module, found.names)
        if key in drawn:
            lines += ["", "## Under attack", "", f"![{theorem.title}: observed against bound]({key}.png)", ""]
            lines += [f"*{INPUTS:,} inputs of an adversary; {evidence_page.attack_in_words(evidence[key])}.*"]
        lines += ["", "## In code", "", *_code(theorem)]
        yield folder / f"{key}.md", "\n".join(lines) + "\n"
    yield folder / "index.md", "\n".join(_index(standing)) + "\n"


def _code(theorem: Theorem) -> Iterator[str]:
    if hasattr(bounds, theorem.key):
        yield f"- {{py:func}}`bounds.{theorem.key}` evaluates it."
    yield f"- `bounds/{theorem.topic}/`: the theorem, its calculators, and these on Arb balls."


def _index(standing: dict[str, str]) -> Iterator[str]:
    yield from ("# Theory: a page a theorem", "")
    yield f"{len(THEOREMS)} theorems by topic. What the papers claim of them stands in [paper checks](../claims.md)."
    for topic in TOPICS:
        keys = [key for key, theorem in THEOREMS.items() if theorem.topic == topic]
        if keys:
            yield from ("", f"## {topic.capitalize()}", "", "| theorem | status | says |", "|---|---|---|")
            for key in keys:
                says = THEOREMS[key].statement.replace("|", r"\|")
                yield f"| [{THEOREMS[key].title}]({key}.md) | {standing[key]} | {says} |"
    yield from ("", "```{toctree}", ":hidden:", "", *THEOREMS, "```")


def figures(folder: Path) -> set[str]:
    """Draws every theorem whose inputs do not all lie at one place."""
    folder.mkdir(exist_ok=True)
    drawn: set[str] = set()
    with style.drawing():
        for at, family in enumerate(FAMILIES):
            rows = family.sample(np.random.default_rng([0, at]), INPUTS)
            for key in family.keys:
                try:
                    figure = attacked(THEOREMS[key], THEOREMS[key].judge(rows), _attaining(THEOREMS[key]))
                except Absent:
                    continue
                figure.savefig(folder / f"{key}.png", dpi=110)
                drawn.add(key)
    return drawn


def _attaining(theorem: Theorem) -> Judgement | None:
    """The witness rows of a tight theorem, observed like real attention."""
    if theorem.witness is None:
        return None
    rows = [observed_row(theorem.witness(*size), size[1], size[2]) for size in ALWAYS]
    return theorem.judge({name: np.array([row[name] for row in rows]) for name in rows[0]})


def commands() -> Iterator[tuple[Path, str]]:
    """The help of every command, as the terminal shows it."""
    top = parser()
    lines = ["# Commands", "", "```text", top.format_help().rstrip(), "```"]
    (actions,) = [action for action in top._actions if isinstance(action, argparse._SubParsersAction)]
    for name, command in actions.choices.items():
        lines += ["", f"## localist {name}", "", "```text", command.format_help().rstrip(), "```"]
    yield HERE / "commands.md", "\n".join(lines) + "\n"


def api() -> Iterator[tuple[Path, str]]:
    """A page a module; the names of a topic stand under `bounds`, where they are imported from."""
    folder = HERE / "api"
    for name in PUBLIC:
        title, names = f"``{name}``", getattr(import_module(name), "__all__", ())
        lines = [title, "=" * len(title), "", f".. automodule:: {name}"]
        if name.removeprefix("bounds.") in TOPICS:
            lines += ["   :no-members:", ""]
            for one in names:
                kind = "class" if isinstance(getattr(bounds, one), type) else "function"
                lines += [f".. auto{kind}:: bounds.{one}", ""]
        else:
            lines += ["   :members:"]
        yield folder / f"{name}.rst", "\n".join(lines) + "\n"
    tree = ["Python", "======", "", "Every name below is public: `stability <../stability.html>`__.", ""]
    yield folder / "index.rst", "\n".join([*tree, ".. toctree::", "", *(f"   {name}" for name in PUBLIC)]) + "\n"


def write(app: Sphinx) -> None:
    for folder in ("theory", "api", "tutorials"):
        shutil.rmtree(HERE / folder, ignore_errors=True)
    for notebook in sorted((HERE.parent / "notebooks").glob("*.ipynb")):
        (HERE / "tutorials").mkdir(exist_ok=True)
        shutil.copy(notebook, HERE / "tutorials")
    for make in (theory, commands, api):
        for path, text in make():
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")


def readable(app: Sphinx, page: str, source: list[str]) -> None:
    """GitHub writes inline mathematics as $`x`$; a file that is a page of the site as well is linked as one."""
    source[0] = re.sub(r"\$`(.+?)`\$", r"$\1$", source[0])
    for file, of_the_site in PAGES.items():
        source[0] = source[0].replace(f"]({file})", f"]({of_the_site})")


def docstring(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Our docstrings are plain text: indented lines are formulas or code, `name` is code, nothing else is markup."""
    found: list[str] = []
    for line in lines:
        if line.startswith("  "):
            if not found or not found[-1].startswith("  "):
                found += ["", "::", ""]
            found.append(line)
            continue
        if found and found[-1].startswith("  "):
            found.append("")
        parts = line.split("`")
        found.append(
            "``".join(re.sub(r"([*|_\\])", r"\\\1", part) if i % 2 == 0 else part for i, part in enumerate(parts))
        )
    lines[:] = found


def signature(
    app: Sphinx, what: str, name: str, thing: object, options: object, text: str, back: str
) -> tuple[str, str]:
    """Aliases by their names."""
    plain = [re.sub(r"TypeAliasForwardRef\('(\w+)'\)", r"\1", part) if part else part for part in (text, back)]
    return plain[0], plain[1]


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", write)
    app.connect("source-read", readable)
    app.connect("autodoc-process-docstring", docstring)
    app.connect("autodoc-process-signature", signature)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
