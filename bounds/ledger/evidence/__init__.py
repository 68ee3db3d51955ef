"""Evidence on a theorem: kinds that are never mixed up, kept as one JSON file each, compared with what is committed.

symbolic   proof steps that sympy settles; steps that rest on a named lemma; steps that are only argued
enclosure  inequalities that Arb decides over a box
witness    the input that attains the bound
necessity  for every hypothesis, an input that breaks the conclusion once it is dropped
adversary  a million inputs, random and driven uphill: none violates; of a bound tightened by 1 % they find violations
observed   verdicts of trained models, from saved runs
formal     machine-checked statements, from the gate of proofs/; they outrank the proof steps
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bounds.ledger import formal
from bounds.numbers.errors import BadInput
from bounds.theorems import THEOREMS
from bounds.theory.theorem import Theorem

FOLDER = Path(__file__).resolve().parent

Evidence = dict[str, Any]


def digest(theorem: Theorem) -> str:
    """Names the version of a theorem: statement, step, formula where it is more than that, hypotheses and proof."""
    parts = [theorem.key, theorem.statement, str(theorem.expression), theorem.relation.value]
    parts += [] if theorem.step is None else [str(theorem.formula)]
    parts += [f"{h.statement}|{h.spare}" for h in theorem.hypotheses]
    parts += [f"{s.words}|{s.residual}|{s.relation}|{s.lemma}" for s in theorem.proof]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def file_of(key: str, folder: Path = FOLDER) -> Path:
    return folder / f"{key}.json"


def load(theorem: Theorem, folder: Path = FOLDER) -> Evidence | None:
    """The evidence on this version of the theorem; None where there is none.

    Raises BadInput where the file is of another version of the theorem, or no evidence at all.
    """
    file = file_of(theorem.key, folder)
    if not file.exists():
        return None
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        version = found["digest"]
    except (ValueError, KeyError, TypeError):
        raise BadInput(f"{file.name} must be evidence as `localist verify` writes it, got something else") from None
    if version != digest(theorem):
        raise BadInput(
            f"{file.name} must be of this version of the theorem ({digest(theorem)}), got {version}: "
            f"run localist verify {theorem.key}"
        )
    return {**found, "formal": formal.of(theorem.key)}


def committed() -> dict[str, Evidence]:
    """The committed evidence. Raises BadInput where a theorem has none, or has it from another version."""
    found: dict[str, Evidence] = {}
    for key, theorem in THEOREMS.items():
        evidence = load(theorem)
        if evidence is None:
            raise BadInput(f"evidence/ must hold every theorem, got none on {key}: run localist verify")
        found[key] = evidence
    return found


def statuses(evidence: dict[str, Evidence]) -> dict[str, str]:
    """The status of every theorem, by key."""
    return {key: status(theorem, evidence[key]) for key, theorem in THEOREMS.items()}


def status(theorem: Theorem, evidence: Evidence | None) -> str:
    """formal: machine-checked; proved: every step is settled or rests on a named lemma; argued: some is words alone.

    broken: a proof step or the evidence fails; sampled: there is neither proof nor proof steps.
    """
    outcomes = [(step.settled(), step.lemma) for step in theorem.proof]
    if any(settled is False for settled, _ in outcomes) or (evidence is not None and list(faults(theorem, evidence))):
        return "broken"
    if evidence is not None and evidence.get("formal") is not None:
        return "formal"
    if not outcomes:
        return "sampled"
    return "proved" if all(settled or lemma for settled, lemma in outcomes) else "argued"


def decided(adversary: dict[str, int]) -> int:
    """Inputs that could have refuted the theorem: those on which it holds or is violated, and no others."""
    return adversary["holds"] + adversary["violated"]


def faults(theorem: Theorem, evidence: Evidence) -> Iterator[str]:
    """What is wrong with the evidence by itself."""
    if evidence["symbolic"]["failed"]:
        yield f"proof steps fail: {'; '.join(evidence['symbolic']['failed'])}"
    for enclosure in evidence["enclosure"]:
        if enclosure["decision"] != enclosure["expected"]:
            yield f"enclosure is {enclosure['decision']}, not {enclosure['expected']}: {enclosure['words']}"
    witness = evidence["witness"]
    if witness is not None and not witness["attained"]:
        yield f"the witness reaches {witness['ratio']:.6f} of the bound"
    adversary = evidence["adversary"]
    if adversary["violated"]:
        yield f"{adversary['violated']} of {adversary['rows']} inputs violate it"
    if not decided(adversary):
        yield f"no input decides it: {adversary['vacuous']:,} are VACUOUS, {adversary['unknown']:,} UNKNOWN"
    if (theorem.tight or theorem.attained) and not adversary["tightened"]:
        yield "no input notices the bound tightened by 1 %"
    for needed in evidence["necessity"]:
        if needed["spare"] and needed["breaks"]:
            yield f"a hypothesis called spare is needed: {needed['hypothesis']}"
        if not needed["spare"] and not needed["breaks"]:
            yield f"no input shows that a hypothesis is needed: {needed['hypothesis']}"
    if not any(evidence["mutation"].values()):
        yield "a constant changed by 1 % is caught by nothing"
    for run in evidence["observed"]:
        if run["counts"].get("VIOLATED"):
            yield f"{run['counts']['VIOLATED']} observed rows of {run['run']} violate it"


def worse(new: Evidence, old: Evidence | None) -> Iterator[str]:
    """In what the new evidence falls behind the old, where both are on the same version of the theorem."""
    if old is None or old["digest"] != new["digest"]:
        return
    if new["symbolic"]["settled"] < old["symbolic"]["settled"]:
        yield f"fewer proof steps are settled: {new['symbolic']['settled']}, not {old['symbolic']['settled']}"
    before = {e["words"]: e["decision"] for e in old["enclosure"]}
    for enclosure in new["enclosure"]:
        if before.get(enclosure["words"], enclosure["decision"]) != enclosure["decision"]:
            yield f"enclosure was {before[enclosure['words']]}, is {enclosure['decision']}: {enclosure['words']}"
    if len(new["enclosure"]) < len(old["enclosure"]):
        yield "enclosures are missing"
    if old["witness"] and (new["witness"] is None or new["witness"]["ratio"] < old["witness"]["ratio"] - 1e-6):
        yield "the witness is further from the bound"
    for name, caught in old["mutation"].items():
        if caught and not new["mutation"].get(name):
            yield f"a constant changed by 1 % was caught by {name}, and is no more"
