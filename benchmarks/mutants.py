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
and is saved. Survivors are listed with their difference, and with the reason why no test can notice where `EQUIVALENT`
gives one. The whole draw is saved, and after every mutant what is known: `--resume` draws none anew, keeps what was
killed, judges the rest, and asks those that survived again. It finds a mutant by its change, wherever the line stands
now; one whose line is no more stays as it was. Exit status 1 below 95 % of those that are not equivalent, or while some
of the draw are not judged.
"""

from __future__ import annotations

import argparse
import ast
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
import time
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

from empirical.provenance import commit

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
# A survivor that no test can tell from the original -> why; by the changed line.
ROOM = "room for rounding, several times what there is: a 64th more or less of it decides no row"
EQUIVALENT: dict[str, str] = {
    "if found > most:": "a ball that is the most exactly is the only whole number between its own ends, too",
    'return f"{top} / {below[ -1]}" if len(below) == 1 else f"{top} / ({\' * \'.join(below)})"': (
        "of one, the last is the first"
    ),
    "if exponent.is_Integer and exponent > 0:": "sympy has no power with exponent 0: it is 1",
    'tolerance=lambda rows: 255 * ULP * rows["value_size"],': ROOM,
    'tolerance=lambda rows: 257 * ULP * rows["value_size"],': ROOM,
    "rounding=lambda rows: np.asarray( 257 * ULP),": ROOM,
    "rounding=lambda rows: np.asarray( 65 * ULP),": ROOM,
    "rows = check.together(a[..., 0], allowed)[ -1].shape": "`together` gives all arrays one shape",
    "steps = rounded(on_intervals(closed_forms.gate_steps), True, start, "
    "np.where(pushes, gamma, 2.0), eta, whole=True)": "of slopes that do not push, whose steps a reason replaces",
    "most = up.add(up.next_plus(least), width) if width <= NARROW else up.next_plus(_ln(self.digits, high))": (
        "at that very width both are upper ends"
    ),
    "self[name] = np.ones(( 2,) * (len(PAIR) + 1))": "rows beside it have at most two of every dim: two fit like one",
    "if (largest := _largest(found)) <= least:": "of packings that are equally good, either will do",
    'ProofStep("and it follows from ours: u/(1+u) <= u", relation=(factor(_z - _z / (1 + _z)) >= 0)),': (
        "what the step says is <=, which follows from either"
    ),
}


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
        """The lines that it changes, before and after."""
        before = (ROOT / self.path).read_text(encoding="utf-8").splitlines()
        lines = list(unified_diff(before, self.code().splitlines(), n=0, lineterm=""))[2:]
        return [line for line in lines if line[:1] in "+-"]


@dataclass
class Case:
    """A drawn mutant, and what became of it: whether tests noticed, and the first that did."""

    mutant: Mutant
    difference: list[str]
    killed: bool | None = None  # none: not judged yet
    by: str = ""
    slow: bool = False  # noticed only by the time it took
    commit: str = ""  # at which it was judged

    @property
    def why(self) -> str:
        """Why no test can notice it, or nothing."""
        return EQUIVALENT.get(self.difference[-1][1:].strip(), "")

    def today(self) -> Mutant | None:
        """The same change in the sources as they are, in its own file if it is still there."""
        lines = [line[1:] for line in self.difference if line.startswith("-")]
        files = [file for file in sources() if {*lines} <= {*file.read_text(encoding="utf-8").splitlines()}]
        for file in sorted(files, key=lambda file: str(file.relative_to(ROOT)) != self.mutant.path):
            text = file.read_text(encoding="utf-8").splitlines()
            found = (mutant for mutant, line in places(file, self.mutant.operator) if text[line - 1] in lines)
            for mutant in sorted(found, key=lambda one: abs(one.occurrence - self.mutant.occurrence)):
                if mutant.difference() == self.difference:
                    return mutant
        return None


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


def places(file: Path, name: str) -> Iterator[tuple[Mutant, int]]:
    """Every change that an operator can make in a file, with its line."""
    operator, skipped = get_operator(name)(), annotations(file.read_text(encoding="utf-8"))
    found = (place for node in nodes_of(file) for place in operator.mutation_positions(node))
    for number, (start, *_) in enumerate(found):
        if not any(first <= tuple(start) < last for first, last in skipped):
            yield Mutant(str(file.relative_to(ROOT)), name, number), start[0]


@cache
def nodes_of(file: Path) -> list[Any]:
    return list(ast_nodes(get_ast(file.read_text(encoding="utf-8"))))


def candidates() -> list[Mutant]:
    """Every change of every place, in the order of files, operators and places."""
    return [mutant for file in sources() for name in OPERATORS for mutant, _ in places(file, name)]


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


def judge(case: Case, mutant: Mutant, copy: Path, options: list[str]) -> None:
    """Makes the change in the copy, asks the tests, and undoes it."""
    target = copy / mutant.path
    original, times = target.read_text(encoding="utf-8"), target.stat()
    target.write_text(mutant.code(), encoding="utf-8")
    later = time.time() + 10
    os.utime(target, (later, later))  # its bytecode must not pass for the original's, written in the same second
    case.killed, case.by, case.slow, case.commit = False, "", False, commit("benchmarks/*.json")
    try:
        for group in tests_of(mutant.path):
            if found := failing(copy, group, keys_in(mutant.path), options):
                case.killed, (case.by, case.slow) = True, found
                return
    finally:
        subprocess.run(["git", "checkout", "-q", "--", "bounds/ledger/evidence"], cwd=copy, check=True)
        target.write_text(original, encoding="utf-8")
        os.utime(target, ns=(times.st_atime_ns, times.st_mtime_ns))


def summary(cases: list[Case], draw: dict[str, Any]) -> dict[str, Any]:
    judged = [case for case in cases if case.killed is not None]
    killed = [case for case in judged if case.killed]
    equivalent = [case for case in judged if not case.killed and case.why]
    ratio = len(killed) / max(len(judged) - len(equivalent), 1)
    return {
        **draw,
        "drawn": len(cases),
        "judged": len(judged),
        "killed": len(killed),
        "slow": sum(case.slow for case in killed),
        "equivalent": len(equivalent),
        "ratio": ratio,
        "limit": LIMIT,
        "kept": len(judged) == len(cases) and ratio >= LIMIT,
        "mutants": [{**asdict(case), "why": case.why} for case in cases],
    }


def saved(path: Path) -> tuple[list[Case], dict[str, Any]]:
    """The draw of an earlier run with what it found, and what the draw was from."""
    found = json.loads(path.read_text(encoding="utf-8"))
    cases = [
        Case(**{name: row[name] for name in Case.__dataclass_fields__} | {"mutant": Mutant(**row["mutant"])})
        for row in found["mutants"]
    ]
    return cases, {name: found[name] for name in ("candidates", "seed", "drawn_from")}


def main() -> None:
    parser = argparse.ArgumentParser(description="mutants of bounds/ and the checks, and which tests kill them")
    parser.add_argument("--count", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--list", action="store_true", help="draw and print; run none")
    parser.add_argument("--resume", action="store_true", help="of the draw that is saved: judge what was not killed")
    parser.add_argument("--without", nargs="+", default=[], metavar="TEST", help="tests that fail on the original")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    asked = parser.parse_args()
    if asked.resume:
        cases, draw = saved(asked.out)
    else:
        every = candidates()
        drawn = random.Random(asked.seed).sample(every, asked.count)
        cases = [Case(mutant, mutant.difference()) for mutant in drawn]
        draw = {"candidates": len(every), "seed": asked.seed, "drawn_from": commit()}
    draw |= {"cosmic_ray": version("cosmic-ray"), "without": asked.without}
    if asked.list:
        for case in cases:
            print(case.mutant.path, case.mutant.operator, *case.difference, sep="\n    ")
        return
    save(summary(cases, draw), asked.out)
    open_cases = sorted((case for case in cases if not case.killed), key=lambda case: case.killed is not None)
    for name in PRELOADED:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        subprocess.run(["git", "clone", "-q", str(ROOT), str(copy)], check=True)
        for case in open_cases:
            if (mutant := case.today()) is None:
                print(case.mutant.path, *case.difference, "ITS LINE IS NO MORE", sep="\n    ")
                continue
            judge(case, mutant, copy, [f"--deselect={test}" for test in asked.without])
            words = f"killed by {case.by}" if case.killed else f"SURVIVES {case.why}"
            print(mutant.path, mutant.operator, *case.difference, words, sep="\n    ", flush=True)
            save(summary(cases, draw), asked.out)
        killers = {case.by for case in open_cases if "::" in case.by and not case.slow}
        wrong = failing(copy, sorted(killers), set(), [])
    result = summary(cases, draw)
    print(f"{result['killed']} of {result['judged']} killed, {result['equivalent']} equivalent ({result['ratio']:.1%})")
    if wrong:
        print(f"which says nothing: {wrong[0]} fails on the original")
    sys.exit(bool(wrong) or not result["kept"])


if __name__ == "__main__":
    main()
