"""Do the tests notice a wrong sign? Mutants of bounds/ and of the checks of empirical/, drawn before any is run.

    python benchmarks/mutants.py [--count 150] [--seed 0] [--list] [--resume]

A candidate is one change of one place that cosmic-ray (`pip install cosmic-ray`) can make: an operator for its
opposite, a comparison for its neighbour or its negation, a number one more or less, and for or, a condition negated, an
exception or a decorator dropped, a loop that does not run. Annotations, and files that are printed from others, are no
places. `--count` candidates are drawn with `--seed` from all of them, and each is made alone in a copy of the
repository: first the tests that are named after its file, then those that stand where it stands, then those that import
it over `FAR` imports or fewer, nearest first; tests of rooms above, which use it through others, are not asked, nor
studies, which train. Tests of freshness are left out: any change makes printed files stale, noticed otherwise or not.

A mutant is killed when a test fails, or when one takes more CPU time than any test should, which is counted apart.
Whatever killed one is run on the original in the end, and must pass there. Survivors are listed with their difference,
and with the reason why no test can notice where `EQUIVALENT` gives one. All is saved after every mutant; `--resume`
keeps what was killed and asks only the others again. Exit status 1 below 95 % of those that are not equivalent.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import json
import multiprocessing
import os
import random
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
SECONDS = 150  # of CPU time: a test that takes longer is not one of the original
BYTES = 16 * 2**30  # of address space: what a mutant may ask for
FAR = {"bounds": 3, "empirical": 2}  # imports from a test to the mutated module: tests farther away are not asked
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


def tests_of(path: str) -> list[list[str]]:
    """The tests to run, nearest first: the file's own, its room's, those that import it."""
    parts = Path(path).with_suffix("").parts
    room = ROOT / Path("tests", *parts[:-1])
    while not room.is_dir():
        room = room.parent
    every = sorted(file for name in ("bounds", "empirical") for file in (ROOT / "tests" / name).rglob("test_*.py"))
    every = [file for file in every if file.parent.name != "studies"]
    word, module = parts[-2] if parts[-1] == "__init__" else parts[-1], graph()[0][ROOT / path]
    named = [file for file in every if word in file.stem and file.is_relative_to(ROOT / "tests" / parts[0])]
    near = [file for file in every if file.is_relative_to(room)] if room.parent.name != "tests" else []
    far = [file for file in every if away(file).get(module, 9) <= FAR[file.relative_to(ROOT / "tests").parts[0]]]
    groups: list[list[str]] = []
    seen: set[Path] = set()
    for group in (named, near, sorted(far, key=lambda file: away(file)[module])):
        fresh = [file for file in group if file not in seen]
        seen |= set(fresh)
        groups += [[str(file.relative_to(ROOT)) for file in fresh]] if fresh else []
    return groups


class First:
    """Tells the first test that fails, and ends the process with SIGPROF where one takes too long."""

    def __init__(self, sender: Connection) -> None:
        self.sender = sender

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        self.running = item.nodeid
        signal.setitimer(signal.ITIMER_PROF, SECONDS)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.sender.send(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.sender.send(report.nodeid)


def within(copy: Path, tests: list[str], sender: Connection, keeps: bool) -> None:
    """pytest in this process, which is forked from one that has loaded what all tests need."""
    for name in [name for name in sys.modules if name.split(".")[0] in ("bounds", "empirical", "common")]:
        del sys.modules[name]
    os.chdir(copy)
    sys.path.insert(0, str(copy))
    os.environ |= {"PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    sys.dont_write_bytecode = not keeps  # of mutants; a file of the same size and second would pass for the original
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)  # for what is imported
    words = ["-x", "-p", "no:cacheprovider", "--tb=no", "-k", "not fresh"]
    words += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # of what the parent has loaded
    words += [*(["--collect-only"] if keeps else []), *tests]
    os._exit(pytest.main(words, plugins=[First(sender)]))


def failing(copy: Path, tests: list[str], keeps: bool = False) -> tuple[str, bool] | None:
    """The first of the tests that fails, and whether only for its time; or nothing."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=within, args=(copy, tests, sender, keeps))
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


def run(mutant: Mutant, copy: Path) -> Outcome:
    target = copy / mutant.path
    original, times = target.read_text(encoding="utf-8"), target.stat()
    target.write_text(mutant.code(), encoding="utf-8")
    try:
        for group in tests_of(mutant.path):
            if found := failing(copy, group):
                return Outcome(mutant, True, *found)
        return Outcome(mutant, False)
    finally:
        target.write_text(original, encoding="utf-8")
        os.utime(target, ns=(times.st_atime_ns, times.st_mtime_ns))


def summary(outcomes: list[Outcome], drawn: int, candidates: int, seed: int) -> dict[str, Any]:
    judged = [outcome for outcome in outcomes if outcome.killed or not outcome.mutant.why]
    killed = [outcome for outcome in outcomes if outcome.killed]
    survivors = [outcome.mutant for outcome in outcomes if not outcome.killed]
    ratio = len(killed) / max(len(judged), 1)
    return {
        "candidates": candidates,
        "drawn": drawn,
        "run": len(outcomes),
        "seed": seed,
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
    """What an earlier run found killed."""
    rows = json.loads(path.read_text(encoding="utf-8"))["mutants"] if path.exists() else []
    known = [(Mutant(row["path"], row["operator"], row["occurrence"]), row) for row in rows]
    return {mutant: Outcome(mutant, True, row["by"], row["slow"]) for mutant, row in known if row["killed"]}


def main() -> None:
    parser = argparse.ArgumentParser(description="mutants of bounds/ and the checks, and which tests kill them")
    parser.add_argument("--count", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--list", action="store_true", help="draw and print; run none")
    parser.add_argument("--resume", action="store_true", help="keep what is saved as killed; run the others")
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
    result = summary(outcomes, len(drawn), len(every), asked.seed)
    for name in PRELOADED:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        subprocess.run(["git", "clone", "-q", str(ROOT), str(copy)], check=True)
        if wrong := failing(copy, ["tests/bounds", "tests/empirical"], keeps=True):  # bytecode for all
            sys.exit(f"{wrong[0]} cannot be collected")
        for mutant in drawn:
            if mutant in known:
                continue
            outcomes.append(run(mutant, copy))
            words = f"killed by {outcomes[-1].by}" if outcomes[-1].killed else f"SURVIVES {mutant.why}"
            print(mutant.path, mutant.operator, *mutant.difference(), words, sep="\n    ", flush=True)
            result = summary(outcomes, len(drawn), len(every), asked.seed)
            save(result, asked.out)
        killers = {outcome.by for outcome in outcomes if "::" in outcome.by and not outcome.slow}
        wrong = failing(copy, sorted(killers))
    print(f"{result['killed']} of {result['judged']} killed ({result['ratio']:.1%}), of {len(every):,} candidates")
    if wrong:
        print(f"which says nothing: {wrong[0]} fails on the original")
    sys.exit(bool(wrong) or not result["kept"])


if __name__ == "__main__":
    main()
