"""paper_checks.md: fresh, whole, and every test that it names exists; the readings that it calls false are false."""

from __future__ import annotations

import ast
import functools
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bounds.entropy.calculators import entropy_ceiling
from bounds.ledger import claims
from bounds.ledger.counterexamples import COUNTEREXAMPLES
from bounds.theorems import THEOREMS

ROOT = Path(__file__).resolve().parents[3]


@functools.cache
def functions(file: str) -> set[str]:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_paper_checks_is_fresh(capsys):
    assert claims.main(["--check"]) == 0, capsys.readouterr().out


def test_a_stale_file_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "FILE", tmp_path / "paper_checks.md")
    monkeypatch.setattr(claims, "GRAPH", tmp_path / "graph.svg")
    assert claims.main(["--check"]) == 1
    assert claims.main([]) == 0
    assert claims.main(["--check"]) == 0
    claims.FILE.write_text(claims.FILE.read_text() + " ")
    assert claims.main(["--check"]) == 1


@pytest.mark.parametrize("test", sorted(claims.named_tests()))
def test_every_named_test_exists(test):
    file, name = test.split("::")
    assert name in functions(file)


def test_every_theorem_is_listed_with_a_test_and_no_step_fails():
    text = claims.render()
    for theorem in THEOREMS.values():
        assert f"### `{theorem.key}`" in text
    assert set(claims.TESTS) <= {theorem.key for theorem in THEOREMS.values()}
    assert "FAILS" not in text
    assert "a step fails" not in text


def test_claims_are_all_there_and_theorems_cite_only_known_ones():
    keys = [claim.key for claim in claims.CLAIMS]
    assert keys == [f"C{i}" for i in range(1, 15)]
    assert {claim for theorem in THEOREMS.values() for claim in theorem.claims} == set(keys)
    assert all("abstract" in theorem.source and "derived here" in theorem.source for theorem in THEOREMS.values())


@pytest.mark.parametrize("example", COUNTEREXAMPLES, ids=lambda example: example.name)
def test_counterexample_steps_are_settled(example):
    assert all(step.settled() is True for step in example.steps)


def test_no_single_constant_bounds_the_entropy():
    """(H - ln m) / (rho e^-x) tends to 1 + x: take m >> n - m, so that the excess is resolved next to ln m = 0 ulp."""
    for constant in (1.0, 10.0, 100.0):
        x, m, n = constant + 1, 1, 2  # ln m = 0: the entropy is the excess itself
        rho = (n - m) / m
        assert entropy_ceiling(x, n, m) > constant * rho * math.exp(-x)
        assert entropy_ceiling(x + 30, n, m) / (rho * math.exp(-x - 30)) == pytest.approx(1 + x + 30, rel=1e-9)


@given(st.floats(0, 0.99), st.floats(0, 200), st.integers(2, 10**6), st.floats(0, 1))
def test_repaired_family_holds_with_its_best_constant(c, x, n, share):
    m = 1 + int(share * (n - 2))
    rho, constant = (n - m) / m, math.exp(-c) / (1 - c)
    assert entropy_ceiling(x, n, m) <= math.log(m) + rho * constant * math.exp(-c * x) * (1 + 1e-12) + 1e-15 * math.log(
        n
    )
    touching, y = c / (1 - c), 1e-7  # at m = 1 and y -> 0 by hand: the constant cannot be lowered
    excess = np.log1p(y) + touching * y / (1 + y)
    rho_there = y * math.exp(touching)
    assert excess >= (1 - 1e-5) * rho_there * constant * math.exp(-c * touching)
