"""Do the tests notice a wrong sign? Mutants of bounds/ and of the checks of empirical/, drawn before any is run.

    python benchmarks/mutants.py [--count 150] [--seed 0] [--list] [--resume] [--without TEST ...]

A candidate is one change of one place that cosmic-ray (`pip install cosmic-ray`) can make: an operator for its
opposite, a comparison for its neighbour or its negation, a number one more or less, and for or, a condition negated, an
exception or a decorator dropped, a loop that does not run. Annotations, and files that are printed from others, are no
places. `--count` candidates are drawn with `--seed` from all of them, and each is made alone in a copy of the
repository: first the tests that are named after its file, in its room or above it, then its room's; of bounds/ also
those that import it, and tests of bounds/ that do so over `FAR` imports or fewer. Not asked are tests farther away,
which use it through others, studies, which train, pages, which need a browser, and of a theorem's file the cases of
theorems that stand elsewhere. What is asked less kills less, never more. Tests of freshness are left out, and the
digests of a theorem's evidence are renewed: any change makes printed files stale, noticed otherwise or not.

A mutant is killed when a test fails, or when one takes more CPU time than any test should, which is counted apart.
Whatever killed one is run on the original in the end, and must pass there: `--without` leaves out a test that does not,
and is saved. Survivors are listed with their difference,
and with the reason why no test can notice where `EQUIVALENT` gives one. All is saved after every mutant; `--resume`
keeps what was killed, asks again those that survived, and goes on with the draw, which must be from the same sources.
Exit status 1 below 95 % of those that are not equivalent, or while some of the draw are not judged.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import importlib
import json
import multiprocessing
import os
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from difflib import unified_diff
from functools import cache
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from common import save

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from test_house import imports, modules  # noqa: E402

try:
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.mutating import MutationVisitor
    from cosmic_ray.plugins import get_operator
except ImportError:
    sys.exit("mutants are made by cosmic-ray: pip install cosmic-ray")

MUTATED = ("bounds", "empirical/check", "empirical/dial", "empirical/observe")
SECONDS = 60  # of CPU time: a test that takes longer is not one of the original
BYTES = 16 * 2**30  # of address space: what a mutant may ask for
FAR = {"bounds": 2, "empirical": 0}  # imports from a test to the mutated module: tests farther away are not asked
NEVER = ("studies", "pages")  # rooms of tests that are not asked
FRESHNESS = ("fresh", "stale", "of_this_version", "of_todays")  # in names of tests that any change breaks
LIMIT = 0.95
PRELOADED = ("flint", "hypothesis", "matplotlib.pyplot", "scipy.optimize", "sympy", "torch", "xarray")
OPPOSITE = (
    *("Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "Pow_Mul", "FloorDiv_Mul", "Mod_Add"),
    *("BitOr_BitAnd", "BitAnd_BitOr"),
)
NEIGHBOUR = ("Lt_LtE", "LtE_Lt", "Gt_GtE", "GtE_Gt", "Lt_GtE", "GtE_Lt", "Gt_LtE", "LtE_Gt", "Eq_NotEq", "NotEq_Eq")
OPERATORS = (
    *(f"core/ReplaceBinaryOperator_{pair}" for pair in OPPOSITE),
    *(f"core/ReplaceComparisonOperator_{pair}" for pair in (*NEIGHBOUR, "Is_IsNot", "IsNot_Is")),
    *(f"core/{name}" for name in ("NumberReplacer", "ReplaceAndWithOr", "ReplaceOrWithAnd", "AddNot")),
    *(f"core/{name}" for name in ("ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "ReplaceUnaryOperator_Delete_USub")),
    *(f"core/{name}" for name in ("ExceptionReplacer", "RemoveDecorator", "ZeroIterationForLoop")),
)
# A survivor that no test can tell from the original -> why; by file and the changed line as it stands there.
EQUIVALENT: dict[str, str] = {}


@dataclass(frozen=True)
class Mutant:
    """One change: the file, cosmic-ray's operator, and which of the places it could change."""

    path: str
    operator: str
    occurrence: int

    def code(self) -> str:
        """The file with the change made."""
        text = (ROOT / self.path).read_text(encoding="utf-8")
        return MutationVisitor.mutate_code(text, get_operator(self.operator)(), self.occurrence)

    def difference(self) -> list[str]:
        before = (ROOT / self.path).read_text(encoding="utf-8").splitlines()
        lines = list(unified_diff(before, self.code().splitlines(), n=0, lineterm=""))[2:]
        return [line for line in lines if line[:1] in "@+-"]

    @property
    def why(self) -> str:
        """Why no test can notice it, or nothing."""
        return EQUIVALENT.get(f"{self.path}: {self.difference()[-1][1:].strip()}", "")


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant: whether tests noticed, and the first that did."""

    mutant: Mutant
    killed: bool
    by: str = ""
    slow: bool = False  # noticed only by the time it took


def sources() -> Iterator[Path]:
    for folder in MUTATED:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if "generated" not in path.read_text(encoding="utf-8")[:300].lower():
                yield path


def digest() -> str:
    """Names what the draw is from."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources())).hexdigest()[:16]


def annotations(text: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Where annotations begin and end: no code that runs."""
    found: list[ast.expr | None] = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.arg | ast.AnnAssign):
            found.append(node.annotation)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.append(node.returns)
    return [
        ((node.lineno, node.col_offset), (node.end_lineno or 0, node.end_col_offset or 0)) for node in found if node
    ]


def candidates() -> list[Mutant]:
    """Every change of every place, in the order of files, operators and places."""
    found: list[Mutant] = []
    for path in sources():
        text = path.read_text(encoding="utf-8")
        nodes, skipped = list(ast_nodes(get_ast(text))), annotations(text)
        for name in OPERATORS:
            operator = get_operator(name)()
            places = (place for node in nodes for place in operator.mutation_positions(node))
            for number, (start, *_) in enumerate(places):
                if not any(first <= tuple(start) < last for first, last in skipped):
                    found.append(Mutant(str(path.relative_to(ROOT)), name, number))
    return found


@cache
def graph() -> tuple[dict[Path, str], dict[str, set[str]]]:
    """Every file of the packages and of their tests -> its module, and every module -> those that it imports."""
    files = modules(ROOT)
    for file in sorted((ROOT / "tests").rglob("*.py")):
        files[
            file.stem if file.parent.name == "support" else ".".join(file.relative_to(ROOT).with_suffix("").parts)
        ] = file
    return {file: name for name, file in files.items()}, imports(files)


@cache
def away(test: Path) -> dict[str, int]:
    """Every module that a test imports, itself or through others, and through how many."""
    names, used = graph()
    front = {names[test]}
    found = dict.fromkeys(front, 0)
    while front:
        front = set().union(*(used[name] for name in front)) - set(found)
        found |= dict.fromkeys(front, max(found.values()) + 1)
    return found


def only(name: str) -> bool:
    """Whether one module alone has this name."""
    return sum(module.split(".")[-1] == name for module in graph()[1]) == 1


def tests_of(path: str) -> list[list[str]]:
    """The tests to run, nearest first: the file's own, its room's, those that import it, by how many imports."""
    package, *inner = Path(path).with_suffix("").parts
    room = ROOT / Path("tests", package, *inner[:-1])
    while not room.is_dir():
        room = room.parent
    asked = [file for file in sorted((ROOT / "tests").glob("*/**/test_*.py")) if file.parent.name not in NEVER]
    every = [file for file in asked if file.is_relative_to(ROOT / "tests" / package)]
    above, module = (room, *room.parents), graph()[0][ROOT / path]
    named = [file for file in every if file.parent in above and any(word in file.stem for word in inner[-2:])]
    named += [file for file in asked if inner[-1].rstrip("s") in file.stem and only(inner[-1])]
    near = [file for file in every if file.is_relative_to(room)] if room.parent.name != "tests" else []
    most = FAR[package] + len(inner) - min(len(inner), 2)  # a folder inside a room passes its names on
    far = [[file for file in asked if away(file).get(module) == distance] for distance in range(1, most + 1)]
    far = [[file for file in group if distance == 0 or file in every] for distance, group in enumerate(far)]
    groups: list[list[str]] = []
    seen: set[Path] = set()
    for group in (named, near, *far):
        new = [file for file in dict.fromkeys(group) if file not in seen]
        seen |= set(new)
        groups += [[str(file.relative_to(ROOT)) for file in new]] if new else []
    return groups


def keys_in(path: str) -> set[str]:
    """The theorems that stand in a file, by key."""
    return set(re.findall(r'\bkey="(\w+)"', (ROOT / path).read_text(encoding="utf-8"))) if "theorems" in path else set()


class First:
    """Tells the first test that fails, and ends the process with SIGPROF where one takes too long."""

    def __init__(self, sender: Connection, keys: set[str]) -> None:
        self.sender, self.keys = sender, keys

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leaves out the cases of other theorems than the mutated file's."""
        if self.keys:
            from bounds.ledger import evidence

            others = {file.stem for file in evidence.FOLDER.glob("*.json")} - self.keys
            items[:] = [item for item in items if not others & {*item.name.rstrip("]").replace("[", "-").split("-")}]
            renew(self.keys)

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        self.running = item.nodeid
        signal.setitimer(signal.ITIMER_PROF, SECONDS)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.sender.send(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.sender.send(report.nodeid)


def renew(keys: set[str]) -> None:
    """The digests that the evidence of the copy has of these theorems, as `localist verify` would write them."""
    from bounds.ledger import evidence

    for theorem in (evidence.THEOREMS[key] for key in sorted(keys)):
        file = evidence.file_of(theorem.key)
        known = json.loads(file.read_text(encoding="utf-8"))
        file.write_text(json.dumps(known | {"digest": evidence.digest(theorem)}), encoding="utf-8")


def within(copy: Path, tests: list[str], sender: Connection, keys: set[str], options: list[str]) -> None:
    """pytest in this process, which is forked from one that has loaded what all tests need."""
    for name in [name for name in sys.modules if name.split(".")[0] in ("bounds", "empirical", "common")]:
        del sys.modules[name]
    os.chdir(copy)
    sys.path.insert(0, str(copy))
    os.environ |= {"PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    # Of mutants none: a file of the same size and second would pass for the original.
    sys.dont_write_bytecode = "--collect-only" not in options
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)  # for what is imported
    words = ["-x", "-p", "no:cacheprovider", "--tb=no", "-k", " and ".join(f"not {word}" for word in FRESHNESS)]
    words += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # of what the parent has loaded
    os._exit(pytest.main([*words, *options, *tests], plugins=[First(sender, keys)]))


def failing(copy: Path, tests: list[str], keys: set[str], options: list[str]) -> tuple[str, bool] | None:
    """The first of the tests that fails, and whether only for its time; or nothing. `options` are pytest's."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=within, args=(copy, tests, sender, keys, options))
    process.start()
    sender.close()
    process.join()
    slow = process.exitcode == -signal.SIGPROF
    if process.exitcode in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        return None
    try:
        return receiver.recv(), slow
    except EOFError:
        return ("took too long" if slow else f"ended with {process.exitcode}"), slow


def run(mutant: Mutant, copy: Path, options: list[str]) -> Outcome:
    target = copy / mutant.path
    original, times = target.read_text(encoding="utf-8"), target.stat()
    target.write_text(mutant.code(), encoding="utf-8")
    try:
        for group in tests_of(mutant.path):
            if found := failing(copy, group, keys_in(mutant.path), options):
                return Outcome(mutant, True, *found)
        return Outcome(mutant, False)
    finally:
        subprocess.run(["git", "checkout", "-q", "--", "bounds/ledger/evidence"], cwd=copy, check=True)
        target.write_text(original, encoding="utf-8")
        os.utime(target, ns=(times.st_atime_ns, times.st_mtime_ns))


def summary(outcomes: list[Outcome], drawn: int, candidates: int, asked: argparse.Namespace) -> dict[str, Any]:
    judged = [outcome for outcome in outcomes if outcome.killed or not outcome.mutant.why]
    killed = [outcome for outcome in outcomes if outcome.killed]
    survivors = [outcome.mutant for outcome in outcomes if not outcome.killed]
    ratio = len(killed) / max(len(judged), 1)
    return {
        "candidates": candidates,
        "drawn": drawn,
        "run": len(outcomes),
        "seed": asked.seed,
        "without": asked.without,
        "sources": digest(),
        "cosmic_ray": version("cosmic-ray"),
        "judged": len(judged),
        "killed": len(killed),
        "slow": sum(outcome.slow for outcome in killed),
        "ratio": ratio,
        "limit": LIMIT,
        "kept": len(outcomes) == drawn and ratio >= LIMIT,
        "survivors": [{**asdict(one), "difference": one.difference(), "why": one.why} for one in survivors],
        "mutants": [{**row.pop("mutant"), **row} for row in map(asdict, outcomes)],
    }


def saved(path: Path) -> dict[Mutant, Outcome]:
    """What an earlier run found killed. Ends where its draw was from other sources."""
    found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"mutants": [], "sources": digest()}
    if found["sources"] != digest():
        sys.exit(f"--resume goes on with a draw from the same sources, got one from those of commit {found['commit']}")
    known = [(Mutant(row["path"], row["operator"], row["occurrence"]), row) for row in found["mutants"]]
    return {mutant: Outcome(mutant, True, row["by"], row["slow"]) for mutant, row in known if row["killed"]}


def main() -> None:
    parser = argparse.ArgumentParser(description="mutants of bounds/ and the checks, and which tests kill them")
    parser.add_argument("--count", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--list", action="store_true", help="draw and print; run none")
    parser.add_argument("--resume", action="store_true", help="keep what is saved as killed; run the rest")
    parser.add_argument("--without", nargs="+", default=[], metavar="TEST", help="tests that fail on the original")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    asked = parser.parse_args()
    every = candidates()
    drawn = random.Random(asked.seed).sample(every, asked.count)
    if asked.list:
        for mutant in drawn:
            print(mutant.path, mutant.operator, *mutant.difference(), sep="\n    ")
        return
    known = saved(asked.out) if asked.resume else {}
    outcomes = [known[mutant] for mutant in drawn if mutant in known]
    result = summary(outcomes, len(drawn), len(every), asked)
    for name in PRELOADED:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        subprocess.run(["git", "clone", "-q", str(ROOT), str(copy)], check=True)
        every_test = sorted({test for mutant in drawn for group in tests_of(mutant.path) for test in group})
        if wrong := failing(copy, every_test, set(), ["--collect-only"]):  # bytecode for all
            sys.exit(f"{wrong[0]} cannot be collected")
        for mutant in drawn:
            if mutant in known:
                continue
            outcomes.append(run(mutant, copy, [f"--deselect={test}" for test in asked.without]))
            words = f"killed by {outcomes[-1].by}" if outcomes[-1].killed else f"SURVIVES {mutant.why}"
            print(mutant.path, mutant.operator, *mutant.difference(), words, sep="\n    ", flush=True)
            result = summary(outcomes, len(drawn), len(every), asked)
            save(result, asked.out)
        killers = {outcome.by for outcome in outcomes if "::" in outcome.by and not outcome.slow}
        wrong = failing(copy, sorted(killers), set(), [])
    print(f"{result['killed']} of {result['judged']} killed ({result['ratio']:.1%}), of {len(every):,} candidates")
    if wrong:
        print(f"which says nothing: {wrong[0]} fails on the original")
    sys.exit(bool(wrong) or not result["kept"])


if __name__ == "__main__":
    main()
