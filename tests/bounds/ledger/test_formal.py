"""The formal proofs, without Coq: fresh definitions, a result of these very sources, an answer for every key."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from pathlib import Path

import pytest

from bounds.ledger import formal
from bounds.printing import coq as coq_printer
from bounds.theorems import FALSE_READINGS, THEOREMS, Relation, by_key

SPEC = importlib.util.spec_from_file_location("gate", formal.FOLDER / "gate.py")
assert SPEC is not None
assert SPEC.loader is not None
gate = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(gate)

ROLES = ("_attained", "_sharp", "_best")


def built() -> bool:
    """Whether every source was compiled after it was last changed."""
    objects = {file: file.with_suffix(".vo") for file in gate.files()}
    return all(vo.exists() and vo.stat().st_mtime >= file.stat().st_mtime for file, vo in objects.items())


def test_the_coq_definitions_are_fresh(capsys):
    assert coq_printer.main(["--check"]) == 0, capsys.readouterr().out


def test_a_stale_definition_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(coq_printer, "FILE", tmp_path / "ClosedForms.v")
    assert coq_printer.main(["--check"]) == 1
    assert coq_printer.main([]) == 0
    assert coq_printer.main(["--check"]) == 0
    text = coq_printer.FILE.read_text()
    assert "(n - m) * exp (- x) / (r + (n - m) * exp (- x))" in text
    coq_printer.FILE.write_text(text.replace("exp (- x) / (r +", "exp (- x) / (101 / 100 * r +"))
    assert coq_printer.main(["--check"]) == 1


def test_the_gate_s_result_is_of_these_sources():
    result = json.loads(formal.RESULT.read_text())
    assert result["sources"] == formal.sources(), "run make proofs and commit proofs/formal.json"
    assert set(result["axioms"]) <= formal.AXIOMS
    assert sorted(result["theorems"]) == sorted(formal.pinned()["theorems"]) == sorted(gate.declared(gate.STATEMENT))
    assert sorted(formal.pinned()["definitions"]) == sorted(gate.declared(gate.DEFINITION, ("ClosedForms.v",)))


def test_nothing_is_admitted():
    assert list(gate.forbidden()) == []


@pytest.mark.parametrize("word", ["Admitted", "admit", "Axiom", "Parameter"])
def test_what_the_gate_forbids_is_noticed(word, tmp_path, monkeypatch):
    for name in ("_CoqProject", *(file.name for file in gate.files())):
        shutil.copy(formal.FOLDER / name, tmp_path / name)
    monkeypatch.setattr(gate, "FOLDER", tmp_path)
    file = tmp_path / "Sums.v"
    text = file.read_text()
    file.write_text(f"(* {word} in a comment (* nested *) is no harm *)\n{text}")
    assert list(gate.forbidden()) == []
    file.write_text(f"{text}\n{word}.\n")
    assert list(gate.forbidden()) == [f"Sums.v uses {word}"]
    file.write_text(f"Section S.\nHypothesis h : True.\nEnd S.\n{text}")
    assert list(gate.forbidden()) == []
    file.write_text(f"{text}\nHypothesis h : False.\n")
    assert list(gate.forbidden()) == ["Sums.v uses Hypothesis outside a section"]


def test_differences_are_worded():
    found, pinned = {"A.new": "x <= 1", "A.weak": "x <= 2"}, {"A.gone": "x <= 0", "A.weak": "x <= 1"}
    words = list(gate.differences("theorem", found, pinned))
    assert words[:2] == ["theorem A.new is not pinned", "theorem A.gone is pinned and gone"]
    assert "A.weak is not as pinned" in words[2]


def test_every_formal_theorem_has_its_place():
    refuted = {f"refuted_{formal.slug(reading.name)}" for reading in FALSE_READINGS}
    for name in formal.checked():
        short = name.split(".")[1]
        assert formal.key_of(short) is not None or short in refuted, name


def test_reasons_and_proofs_share_out_the_ledger():
    reasons = {key for key, theorem in THEOREMS.items() if theorem.why_not_formal}
    assert not formal.by_key().keys() & reasons
    assert formal.by_key().keys() | reasons == THEOREMS.keys()
    assert len(formal.by_key()) > 0.9 * len(THEOREMS), "README says: nearly all"
    refuted = [reading.title for reading in FALSE_READINGS if formal.refutation(reading.name) is None]
    assert refuted == [], "every refuted reading has its negation proved"


@pytest.mark.parametrize("theorem", THEOREMS.values(), ids=lambda t: t.key)
def test_every_key_is_formal_or_says_why_not(theorem):
    found = formal.of(theorem.key)
    if found is None:
        assert theorem.why_not_formal
        return
    assert not theorem.why_not_formal
    assert found.names[0] == theorem.key, "the main statement bears the key's name"
    assert found.instances, "some instance satisfies all hypotheses"
    if theorem.tight and theorem.relation is not Relation.EQUAL:
        assert any(name.endswith(ROLES) for name in found.names), "a tight theorem has its equality case"


def test_statements_are_about_the_printed_expressions():
    """Statements of a key name its printed definition, by themselves or through what they are made of.

    Not where the expression is a mere number or variable.
    """
    bodies = {name.split(".")[1]: body for name, body in formal.pinned()["definitions"].items()}
    for key, found in formal.by_key().items():
        if getattr(by_key(key).expression, "is_Atom", True):
            continue
        statements = formal.pinned()["theorems"]
        texts = [statements[f"{found.module}.{name}"] for name in found.names]
        named: set[str] = set()
        while more := {n for text in texts for n in re.findall(r"[\w']+", text) if n in bodies} - named:
            named |= more
            texts += [bodies[name] for name in more]
        assert any(f"Bound.{key}" in text for text in texts), key


@pytest.mark.skipif(shutil.which("coqc") is None, reason="proofs were not run: no coqc (see make proofs)")
def test_statements_and_axioms_are_as_pinned():
    if not built():
        pytest.skip("proofs were not run: not built (see make proofs)")
    statements, bodies, axioms = gate.printed(
        gate.declared(gate.STATEMENT), gate.declared(gate.DEFINITION, ("ClosedForms.v",))
    )
    assert statements == formal.pinned()["theorems"]
    assert bodies == formal.pinned()["definitions"]
    assert set(axioms) <= formal.AXIOMS


def test_without_coq_the_gate_says_so(monkeypatch, capsys):
    monkeypatch.setattr(gate.shutil, "which", lambda name: None)
    assert gate.main([]) == 2
    assert "proofs were not run" in capsys.readouterr().err
    assert Path(gate.FOLDER).name == "proofs"
