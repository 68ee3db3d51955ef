"""Mutations of the main statements: each must make the build fail, or the gate would not notice a weaker theorem.

python proofs/mutations.py     needs the proofs built (make proofs); changes nothing but a copy in a temporary folder
A constant is changed by 1 %, a hypothesis is replaced by True, the inequality is turned. A mutation counts only if Coq
reads the mutated statement and then rejects its proof. Every mutant is false, by the formal theorem beside it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent))

from bounds.ledger import formal  # noqa: E402

NEEDS = {"margin": "margin", "within": "range", "objective": "objective", "mean": "mean"}
"""What a hypothesis is about, by a word in it; of the others the total is 1."""


@dataclass(frozen=True)
class Main:
    """A main statement: the hypothesis to drop, the sign to turn, the factor that is wrong by 1 %, and what refutes."""

    module: str
    name: str
    hypothesis: str
    refuted_by: str
    bound: str = ""  # the printed definition, where it is not that of the name
    lower: bool = False  # the bound is a lower one

    def refutation(self, kind: str) -> str:
        """The formal theorem that refutes the mutant: an equality case, or one of certificates/."""
        needs = next((need for word, need in NEEDS.items() if word in self.hypothesis), "total")
        return {"constant": self.refuted_by, "hypothesis": f"{self.name}_needs_{needs}"}.get(
            kind, f"{self.name}_strict"
        )

    def mutants(self) -> dict[str, tuple[str, str]]:
        """What is changed -> (old, new), within the statement."""
        bound = f"Bound.{self.bound or self.name}"
        sign, turned = (">=", "<=") if self.lower else ("<=", ">=")
        return {
            "constant": (bound, f"{'101' if self.lower else '99'} / 100 * {bound}"),
            "hypothesis": (self.hypothesis, "True"),
            "sign": (rf"{sign}\s*{bound}", f"{turned} {bound}"),
        }


MAIN = (
    Main("Concentration", "leakage_ceiling", "margin s delta keys block anchor", "leakage_ceiling_sharp"),
    Main("Concentration", "leakage_ceiling_range", "within s range keys", "leakage_ceiling_range_attained"),
    Main("Concentration", "fidelity_floor", "margin s delta keys block anchor", "fidelity_floor_attained", lower=True),
    Main("Entropy", "entropy_ceiling", "margin s delta keys block anchor", "entropy_ceiling_attained"),
    Main("Entropy", "entropy_envelope", "margin s delta keys block anchor", "entropy_envelope_sharp"),
    Main("Entropy", "entropy_split", "sum p keys = 1", "entropy_split_attained"),
    Main("Entropy", "frontier", "margin s delta keys block anchor", "frontier_attained"),
    Main("Floors", "fidelity_ceiling", "within s range keys", "fidelity_ceiling_attained"),
    Main("Floors", "entropy_floor", "within s range keys", "entropy_floor_attained", lower=True),
    Main("Dial", "worst_case_dial", "within s range keys", "worst_case_dial_attained"),
    Main("Rules", "rule_mass", "within s range keys", "rule_mass_attained"),
    Main("Kinds", "weights_leakage", "weight_margin w ratio keys block anchor", "weights_leakage_attained"),
    Main(
        "GatesLeakage",
        "penalised_leakage",
        "objective lambda loss_found omega <= objective lambda loss_ref 0",
        "penalised_leakage_attained",
    ),
    Main("GatesLeakage", "rows_above", "mean eps rows <= e", "rows_above_attained"),
)


def statement(text: str, name: str) -> tuple[int, int]:
    """Where the statement begins and ends: from its name to the beginning of its proof."""
    begin = re.search(rf"^Theorem {name}\b", text, re.MULTILINE)
    if begin is None:
        raise ValueError(f"theorem must be in the source, got none named {name}")
    return begin.start(), text.index("Proof.", begin.start())


def outcome(main: Main, kind: str, folder: Path) -> str:
    """caught; or why not: the mutant was accepted, or Coq does not even read it."""
    source = (FOLDER / f"{main.module}.v").read_text(encoding="utf-8")
    begin, end = statement(source, main.name)
    old, new = main.mutants()[kind]
    pattern = old if kind == "sign" else re.escape(old)
    mutated, found = re.subn(pattern, new, source[begin:end], count=1)
    if not found:
        return f"not found: {old}"
    own = folder / f"{main.name}_{kind}"
    own.mkdir()
    for file in FOLDER.glob("*.vo"):
        (own / file.name).symlink_to(file)
    (own / f"{main.module}.vo").unlink()
    (own / f"{main.module}.v").write_text(source[:begin] + mutated + source[end:], encoding="utf-8")
    command = ["coqc", "-q", "-w", "none", "-Q", ".", "Localist", f"{main.module}.v"]
    done = subprocess.run(command, cwd=own, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return "accepted"
    where = re.search(r"line (\d+)", done.stderr)
    proof = (source[:begin] + mutated).count("\n") + 1
    return "caught" if where and int(where[1]) >= proof else f"not read: {done.stderr.strip()[-200:]}"


def main() -> int:
    if shutil.which("coqc") is None or not (FOLDER / "GatesLeakage.vo").exists():
        print("mutations were not run: build the proofs first (make proofs)", file=sys.stderr)
        return 2
    certificates = FOLDER / "certificates" / "Mutants.v"
    failed, proved = 0, {name.split(".")[1] for name in formal.checked()}
    with tempfile.TemporaryDirectory() as scratch:
        copy = shutil.copy(certificates, scratch)
        command = ["coqc", "-q", "-w", "none", "-Q", str(FOLDER), "Localist", copy]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"the certificates must be proved: {done.stderr[-500:]}", file=sys.stderr)
        return 1
    proved |= set(re.findall(r"^Theorem (\w+)", certificates.read_text(encoding="utf-8"), re.MULTILINE))
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(2) as pool:
        jobs = [(entry, kind) for entry in MAIN for kind in entry.mutants()]
        outcomes = pool.map(lambda job: outcome(job[0], job[1], Path(scratch)), jobs)
        for (entry, kind), found in zip(jobs, outcomes, strict=True):
            refutation = entry.refutation(kind)
            failed += found != "caught" or refutation not in proved
            print(f"{entry.name:24} {kind:11} {found:8}  refuted by {refutation}")
    print(f"{len(jobs) - failed} of {len(jobs)} mutations are caught")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
