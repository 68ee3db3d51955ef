"""Every theorem: no proof step fails, its bound is its formula, its witness attains it, its verdicts are four."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st
from numpy_rows import numpy_row

from bounds.theorems import THEOREMS, by_key
from bounds.theory import symbols
from bounds.theory.theorem import Level, ProofStep, Relation, Verdict

SIZES = ((2, 1, 1, 0.7), (9, 8, 3, 2.0), (9, 3, 3, -1.5), (64, 16, 4, 5.0), (500, 10, 1, 12.0), (33, 32, 32, 30.0))
TIGHT = [theorem for theorem in THEOREMS.values() if theorem.tight]
ROW = [t for t in THEOREMS.values() if t.level is Level.ROW and t.topic != "dial"]
CLOSED = [t for t in ROW if t.key != "entropy_floor_margin"]  # a least over rows: test_ledger has it by brute force


@pytest.mark.parametrize("theorem", THEOREMS.values(), ids=lambda t: t.key)
def test_no_proof_step_fails_and_none_is_empty(theorem):
    outcomes = [step.settled() for step in theorem.proof]
    assert False not in outcomes
    assert outcomes
    assert theorem.hypotheses
    assert "derived here" in theorem.source


def test_a_false_step_is_noticed():
    x = symbols.x_plus
    assert ProofStep("", residual=sympy.exp(x) - 1 - x).settled() is False
    assert ProofStep("", relation=x >= 1).settled() is False
    assert ProofStep("only words").settled() is None


def test_keys_are_unique_and_found():
    assert len({theorem.key for theorem in THEOREMS.values()}) == len(THEOREMS)
    assert by_key("frontier").key == "frontier"
    with pytest.raises(ValueError, match="got 'fidelty_floor'; nearest: fidelity_floor"):
        by_key("fidelty_floor")


@pytest.mark.parametrize("theorem", CLOSED, ids=lambda t: t.key)
@pytest.mark.parametrize("size", SIZES)
def test_the_bound_of_a_row_is_the_formula(theorem, size):
    """At a row of random logits, evaluated by sympy in 40 digits from the row's own fields."""
    n, m, r, _ = size
    row = numpy_row(np.random.default_rng(7).normal(size=n) * 2 + np.where(np.arange(n) < m, 2.0, 0.0), m, r, 0.8)
    x = float(row["margin"] / 0.8)
    values = {symbols.x: x, symbols.n: n, symbols.m: m, symbols.r: r, symbols.D: float(row["logit_range"] / 0.8)}
    values |= {symbols.eps: float(row["leakage"])}
    values |= {symbols.c: 0.5}
    if theorem.key == "repaired_envelope":
        values[symbols.x] = max(x, 0.0)  # where its hypotheses hold
    exact = float(theorem.formula.subs(values).doit().evalf(40))
    assert theorem.bound(row) == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize("theorem", TIGHT, ids=lambda t: t.key)
def test_witnesses_are_rows_of_their_size(theorem):
    for n, m, r, x in SIZES:
        logits = theorem.witness(n, m, r, x)
        assert logits.shape == (n,)
        assert np.isfinite(logits).all()
        row = numpy_row(logits, m, r)
        if theorem.key not in ("fidelity_ceiling", "entropy_floor", "entropy_ceiling", "frontier"):
            assert row["margin"] == pytest.approx(x)  # the others choose their own margin where x < 0


@pytest.mark.parametrize("theorem", [t for t in TIGHT if t.key != "odds_law"], ids=lambda t: t.key)
def test_witnesses_attain_the_bound_and_notice_one_per_cent(theorem):
    """The bound holds with room for rounding alone; tightened by 1 % some witness violates it."""
    tighter = 0.99 if theorem.relation is Relation.AT_MOST else 1.01
    wrong = replace(theorem, bound=lambda rows: theorem.bound(rows) * tighter)
    seen = set()
    for size in SIZES:
        row = numpy_row(theorem.witness(*size), size[1], size[2])
        assert theorem.verdicts(row) != Verdict.VIOLATED.code, size
        seen.add(int(wrong.verdicts(row)))
    assert Verdict.VIOLATED.code in seen


@given(st.integers(2, 40), st.data())
def test_no_row_of_any_logits_violates_a_theorem(n, data):
    m = data.draw(st.integers(1, n - 1))
    r = data.draw(st.integers(1, m))
    scale = data.draw(st.sampled_from([1e-3, 1.0, 10.0, 300.0]))
    tau = data.draw(st.floats(0.1, 10))
    logits = np.array(data.draw(st.lists(st.floats(-1, 1), min_size=n, max_size=n))) * scale
    row = numpy_row(logits, m, r, tau)
    for theorem in ROW:
        assert theorem.verdicts(row) != Verdict.VIOLATED.code, (theorem.key, theorem.slack(row), theorem.room(row))


EDGES = [  # a hypothesis with its fields where it just holds, and where it just fails
    ("rows_above", "no leakage is negative", {"least_leakage": 0.0}, {"least_leakage": -1e-300}),
    ("mean_entropy_mixed", "mu is not negative", {"multiplier": 0.0}, {"multiplier": -1e-300}),
    ("weights_leakage", "every weight is positive", {"least_weight": 1e-300}, {"least_weight": 0.0}),
    ("anchor_floor", "every cross block", {"active_cross_blocks": 0}, {"active_cross_blocks": 1}),
    ("curvature_gain", "no loss lies more", {"gain": 2.0, "gain_bound": 2.0}, {"gain": 2.1, "gain_bound": 2.0}),
    (
        "hopfield_error",
        "the pattern is separated",
        *({"observed_separation": v, "separation": 2.0} for v in (2.0, 1.9)),
    ),
]


@pytest.mark.parametrize(("key", "statement", "holding", "failing"), EDGES)
def test_a_hypothesis_holds_at_its_edge_and_not_beyond(key, statement, holding, failing):
    (hypothesis,) = (h for h in by_key(key).hypotheses if h.statement.startswith(statement))
    assert hypothesis.holds({name: np.asarray(value) for name, value in holding.items()})
    assert not hypothesis.holds({name: np.asarray(value) for name, value in failing.items()})


def test_verdicts_are_four():
    theorem = by_key("leakage_ceiling")
    row = numpy_row(np.array([1.0, 0.0, 0.5]), 1, 1)
    assert theorem.verdicts(row) == Verdict.HOLDS.code
    assert theorem.verdicts({**row, "leakage": np.asarray(0.9)}) == Verdict.VIOLATED.code
    assert theorem.verdicts({**row, "leakage": theorem.bound(row) * (1 - 1e-16)}) == Verdict.UNKNOWN.code
    assert theorem.verdicts({**row, "leakage": np.asarray(math.nan)}) == Verdict.UNKNOWN.code
    assert theorem.verdicts({**row, "n_block": np.asarray(3)}) == Verdict.VACUOUS.code
    assert theorem.verdicts({**row, "valid": np.asarray(False)}) == Verdict.VACUOUS.code
    assert [verdict.code for verdict in Verdict] == [0, 1, 2, 3]


HEAVY = ("sympy", "scipy", "torch", "matplotlib", "xarray")
PROBE = f"import sys; print([m for m in {HEAVY} if m in sys.modules])"


def loaded(statement: str) -> str:
    done = subprocess.run([sys.executable, "-c", f"{statement}; {PROBE}"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_import_bounds_is_light():
    assert loaded("import bounds") == "[]"


def test_the_probe_can_fail():
    assert loaded("import bounds; bounds.THEOREMS") == "['sympy']"
