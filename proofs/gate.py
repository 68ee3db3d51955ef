"""The gate of the formal proofs: builds them, and fails on anything that would make them say less than they seem to.

python proofs/gate.py         build, check, write formal.json      --pin    write pinned.json from what is proved
Fails on a stale ClosedForms.v, on Admitted, admit, Axiom and the like, on an axiom beyond the four of the standard
library's reals, on a theorem that is not pinned or pinned and gone, and on a statement or definition whose printed
text differs from the pinned one.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent))

from bounds.ledger import formal  # noqa: E402
from bounds.printing import coq as coq_printer  # noqa: E402

FORBIDDEN = re.compile(
    r"\b(Admitted|admit|give_up|Axioms?|Parameters?|Conjecture|bypass_check|Unset\s+Guard\s+Checking"
    r"|Unset\s+Universe\s+Checking|Unset\s+Positivity\s+Checking|type_in_type)\b"
)
SCOPE = re.compile(r"^\s*(Section|Module|End|Hypothesis|Hypotheses|Variables?|Context)\b", re.MULTILINE)
STATEMENT = re.compile(r"^\s*(?:Theorem|Example)\s+(\w+)", re.MULTILINE)
DEFINITION = re.compile(r"^\s*(?:Definition|Fixpoint|Record|Inductive)\s+(\w+)", re.MULTILINE)


class Failure(Exception):
    """The gate is shut, and why."""


def files() -> list[Path]:
    """The sources that _CoqProject names, in its order."""
    named = [line.strip() for line in (FOLDER / "_CoqProject").read_text(encoding="utf-8").splitlines()]
    listed = [FOLDER / name for name in named if name.endswith(".v")]
    if unlisted := {file.name for file in FOLDER.glob("*.v")} - {file.name for file in listed}:
        raise Failure(f"_CoqProject must name every source, got none of {', '.join(sorted(unlisted))}")
    return listed


def code_of(file: Path) -> str:
    """The source without its comments, which may nest."""
    text, depth, kept = file.read_text(encoding="utf-8"), 0, []
    for part in re.split(r"(\(\*|\*\))", text):
        if part == "(*":
            depth += 1
        elif part == "*)":
            depth -= 1
        elif depth == 0:
            kept.append(part)
    return "".join(kept)


def declared(pattern: re.Pattern[str], skip: tuple[str, ...] = ()) -> list[str]:
    """Module.name of everything that the pattern finds."""
    return [
        f"{file.stem}.{name}" for file in files() if file.name not in skip for name in pattern.findall(code_of(file))
    ]


def forbidden() -> Iterator[str]:
    """Words that leave something unproved; a hypothesis outside every section is an axiom too."""
    for file in files():
        code, depth = code_of(file), 0
        for word in sorted(set(FORBIDDEN.findall(code))):
            yield f"{file.name} uses {word}"
        for word in SCOPE.findall(code):
            depth += {"Section": 1, "Module": 1, "End": -1}.get(word, 0)
            if depth == 0 and word not in ("Section", "Module", "End"):
                yield f"{file.name} uses {word} outside a section"


def run(*command: str) -> str:
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failure(f"{' '.join(command)} failed:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
    return done.stdout


def build() -> None:
    run("coq_makefile", "-f", "_CoqProject", "-o", "Makefile.coq")
    run("make", "-f", "Makefile.coq", "-j2", "--no-print-directory")


def printed(theorems: list[str], definitions: list[str]) -> tuple[dict[str, str], dict[str, str], list[str]]:
    """Statement of every theorem, body of every definition, and the axioms of all theorems together.

    One conjunction of them all is asked for its axioms: the library is then walked once and not once a theorem.
    """
    lines = ["Require Import Reals.", f"From Localist Require Import {' '.join(file.stem for file in files())}."]
    lines += ["Open Scope R_scope.", "Set Printing Width 110."]
    for kind, names in (("Check @", theorems), ("Print ", definitions)):
        for name in names:
            lines += [f'Goal True. idtac "== {kind.strip("@ ")} {name}". Abort.', f"{kind}Localist.{name}."]
    together = "I"
    for name in theorems:
        together = f"(conj (@Localist.{name})\n {together})"
    lines += [f"Definition together := {together}.", 'Goal True. idtac "== Axioms together". Abort.']
    lines += ["Print Assumptions together."]
    with tempfile.TemporaryDirectory() as scratch:
        questions = Path(scratch) / "Questions.v"
        questions.write_text("\n".join(lines) + "\n", encoding="utf-8")
        output = run("coqc", "-q", "-w", "none", "-Q", ".", "Localist", str(questions))
    texts: dict[str, dict[str, str]] = {"Check": {}, "Print": {}, "Axioms": {}}
    for part in output.split("== ")[1:]:
        title, _, text = part.partition("\n")
        kind, _, name = title.partition(" ")
        texts[kind][name] = text.strip()
    statements = {name: text.partition(":")[2].strip() for name, text in texts["Check"].items()}
    bodies = {name: text.partition("\n\nArguments")[0] for name, text in texts["Print"].items()}
    used = texts["Axioms"]["together"].replace("Axioms:", "")
    return statements, bodies, sorted(re.findall(r"^([A-Za-z_][\w.']*)\s*(?::|$)", used, re.MULTILINE))


def differences(kind: str, found: dict[str, str], pinned: dict[str, str]) -> Iterator[str]:
    for name in sorted(found.keys() - pinned.keys()):
        yield f"{kind} {name} is not pinned"
    for name in sorted(pinned.keys() - found.keys()):
        yield f"{kind} {name} is pinned and gone"
    for name in sorted(found.keys() & pinned.keys()):
        if found[name] != pinned[name]:
            yield f"{kind} {name} is not as pinned:\n  is     {found[name]}\n  pinned {pinned[name]}"


def check(pin: bool) -> str:
    """Everything in order, a word on it. Raises Failure with all that is wrong."""
    if coq_printer.main(["--check"]):
        raise Failure("the definitions must be those of the theorems: run python -m bounds.printing.coq")
    if words := list(forbidden()):
        raise Failure("\n".join(words))
    build()
    theorems, definitions = declared(STATEMENT), declared(DEFINITION, ("ClosedForms.v",))
    statements, bodies, axioms = printed(theorems, definitions)
    found = {"theorems": statements, "definitions": bodies}
    if pin:
        formal.PINNED.write_text(json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n", "utf-8")
    pinned = json.loads(formal.PINNED.read_text(encoding="utf-8")) if formal.PINNED.exists() else {}
    wrong = [line for kind in found for line in differences(kind[:-1], found[kind], pinned.get(kind, {}))]
    wrong += [f"the theorems rest on {axiom}" for axiom in axioms if axiom not in formal.AXIOMS]
    if wrong:
        raise Failure("\n".join(wrong))
    version = run("coqc", "--print-version").split()[0]
    result = {"coq": version, "sources": formal.sources(FOLDER), "axioms": axioms, "theorems": sorted(theorems)}
    formal.RESULT.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return f"{len(theorems)} theorems, {len(definitions)} definitions: as pinned, no axiom beyond the reals'"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python proofs/gate.py", description="Build and check the formal proofs.")
    parser.add_argument("--pin", action="store_true", help="write pinned.json from what is proved; read the diff")
    pin = parser.parse_args(arguments).pin
    if shutil.which("coqc") is None:
        print("proofs were not run: no coqc (Debian: coq libcoq-coquelicot libcoq-interval)", file=sys.stderr)
        return 2
    try:
        print(check(pin))
    except Failure as failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
