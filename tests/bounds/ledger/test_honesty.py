"""What the ledger counts: decided inputs alone, inputs that exist, mutations that can fail, today's examples."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bounds.ledger.claims import CLAIMS
from bounds.ledger.evidence import committed, decided, faults
from bounds.ledger.evidence_page import render
from bounds.numbers.repository import ROOT
from bounds.theorems import THEOREMS, by_key
from bounds.theory.theorem import Relation
from empirical.cli import main
from empirical.errors import BadInput
from empirical.laboratory.config import load
from empirical.verify.adversary import descent, family_of
from empirical.verify.gathering import SHARES, AttackCounts, attack, cite, gather, observed_in, possible, tightened

FEW = 4_000


def counted(theorem, rows):
    counts = AttackCounts(theorem)
    counts.add(rows)
    return counts


def test_an_attack_that_decides_nothing_is_a_fault():
    theorem = by_key("output_error")
    undecided = replace(theorem, rounding=lambda rows: np.asarray(1e9))
    counts = attack(family_of(theorem.key), [undecided], FEW, lambda *_: None)[theorem.key]
    found = counts.as_dict()
    assert found["unknown"] > 0
    assert decided(found) == 0
    assert any("no input decides it" in wrong for wrong in faults(undecided, gather(undecided, counts, [])))


def test_every_attack_decides():
    shares = {key: decided(e["adversary"]) / e["adversary"]["rows"] for key, e in committed().items()}
    assert min(shares.values()) > 0.05, min(shares, key=shares.get)


def test_the_page_counts_decided_inputs():
    adversary = committed()["frontier"]["adversary"]
    row = next(line for line in render().splitlines() if line.startswith("| `frontier`"))
    assert f"| 0 of {adversary['holds']:,} |" in row


def test_a_row_that_cannot_be_is_no_need():
    theorem = by_key("fidelity_floor")
    row = {
        "n_keys": 2, "n_block": 1, "n_anchors": 1, "margin": 5.0, "logit_range": 5.0, "temperature": 1.0, "valid": False
    }  # fmt: skip
    rows = {name: np.array([value, value]) for name, value in row.items()} | {"leakage": np.array([0.0, 0.0])}
    impossible = counted(theorem, rows | {"fidelity": np.array([-0.5, -0.5])})
    assert impossible.necessity()[0]["breaks"] is None
    kept_by_a_sink = counted(theorem, rows | {"fidelity": np.array([0.5, 0.5])})
    assert kept_by_a_sink.necessity()[0]["breaks"]["fidelity"] == 0.5


def test_committed_needs_are_inputs_that_exist():
    for key, evidence in committed().items():
        for needed in evidence["necessity"]:
            found = {name: value for name, value in (needed["breaks"] or {}).items() if name in SHARES}
            numbers = {name: np.array([value], dtype=float) for name, value in found.items() if value != "nan"}
            assert np.all(possible(numbers)), (key, numbers)


def test_a_bound_of_zero_is_moved_by_its_threshold():
    exact = [t for t in THEOREMS.values() if t.formula == 0 and t.relation is Relation.EQUAL]
    assert {t.key for t in exact} >= {"worst_case_threshold", "critical_stays", "non_interference"}
    assert all(t.widened is not None for t in exact)
    theorem = by_key("non_interference")
    rows = {name: np.array(value) for name, value in {
        "output_change": [0.0, 0.25, 0.25], "least_dial": [1.0, 0.995, 0.9], "foreign_queries": [0.0, 0.0, 0.0]}.items()
    }  # fmt: skip
    assert tightened(theorem).applies(rows).tolist() == [True, True, False]
    assert counted(theorem, rows).noticed == 1
    assert counted(theorem, {**rows, "output_change": np.zeros(3)}).noticed == 0  # the mutation can go unseen


def test_level_a_is_attacked_by_heads():
    """Far below level A steps on real attention leave groups that are not zero; above it none is left."""
    rows = descent.penalised_heads(np.random.default_rng(1), 2_000)
    half = slice(1_000, None)
    level = by_key("worst_case_gradient").bound(rows)[half]
    heads = {name: value[half] for name, value in rows.items()}
    settled = heads["residual"] < 1e-6
    above = settled & (heads["penalty"] > level)
    assert above.sum() > 100
    assert not heads["group_norm"][above].any()
    assert (heads["group_norm"][settled & (heads["penalty"] < 0.1 * level)] > 0.01).sum() > 20


# what is observed


@pytest.mark.parametrize("name", ["blocks", "topics", "topics_without_anchors"])
def test_observed_runs_are_of_todays_examples(name):
    digest = load(ROOT / "examples" / f"{name}.toml").digest()
    cited = [run for e in committed().values() for run in e["observed"] if run["run"] == name]
    assert cited
    assert {run["config_digest"] for run in cited} == {digest}


def is_commit(name):
    return len(name) == 40 and int(name, 16) > 0


def test_provenance_is_a_commit():
    assert all(is_commit(evidence["provenance"]["commit"]) for evidence in committed().values())


def test_runs_that_are_cited_are_of_a_commit():
    assert all(is_commit(run["commit"]) for evidence in committed().values() for run in evidence["observed"])


def saved_run(folder: Path, commit: str) -> Path:
    folder.mkdir()
    outcomes = [{"theorem": "rule_mass", "counts": {"HOLDS": 3, "VIOLATED": 0}}]
    (folder / "verdicts.json").write_text(json.dumps({"config_digest": "d", "commit": commit, "outcomes": outcomes}))
    return folder


def test_runs_of_a_modified_tree_are_not_cited(tmp_path):
    clean = saved_run(tmp_path / "clean", "0" * 39 + "1")
    assert observed_in([clean])["rule_mass"][0]["counts"] == {"HOLDS": 3}
    for at, commit in enumerate(("", "0" * 40 + "-modified")):
        with pytest.raises(BadInput, match="--runs must name runs of a committed tree"):
            observed_in([saved_run(tmp_path / str(at), commit)])


def test_runs_are_cited_without_a_new_attack(tmp_path, capsys):
    theorem, run = by_key("rule_mass"), saved_run(tmp_path / "run", "0" * 39 + "1")
    evidence = gather(theorem, attack(family_of("rule_mass"), [theorem], FEW, lambda *_: None)["rule_mass"], [])
    (tmp_path / "rule_mass.json").write_text(json.dumps(evidence))
    asked = ["verify", "rule_mass", "--observed", "--out", str(tmp_path)]
    assert main([*asked, "--runs", str(run)]) == 0
    new = json.loads((tmp_path / "rule_mass.json").read_text())
    assert [entry["run"] for entry in new.pop("observed")] == ["run"]
    assert new == {name: value for name, value in evidence.items() if name != "observed"}
    assert main(asked) == 2
    with pytest.raises(BadInput, match="got none on rule_priority"):
        list(cite([by_key("rule_priority")], tmp_path, [run]))
    capsys.readouterr()


def test_what_is_false_names_its_reading():
    verdicts = {claim.key: claim for claim in CLAIMS}
    assert all(
        "in the reading" in c.detail.lower() for key, c in verdicts.items() if key in ("C3", "C4", "C9", "C10", "C12")
    )
    assert verdicts["C3"].status == "not decidable from the abstract"
    assert "false in the reading" in verdicts["C3"].detail.lower()
    assert "true in the reading" in verdicts["C3"].detail.lower()
    assert "refuted" not in {claim.status for claim in CLAIMS}
