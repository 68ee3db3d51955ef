"""What one would say without a theorem: every theorem has it or the reason why not, and tells where it adds to it."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from numpy_rows import numpy_row

from bounds.theorems import OBSERVED, THEOREMS, Level, by_key
from bounds.theory.symbols import GLOSSARY
from empirical.check.report import verdict_table
from empirical.check.verdicts import check

FIELDS = {entry.symbol: entry.field for entry in GLOSSARY}


@pytest.mark.parametrize("theorem", THEOREMS.values(), ids=lambda t: t.key)
def test_every_theorem_has_a_trivial_bound_in_symbols_that_rows_have_or_the_reason_why_not(theorem):
    if isinstance(theorem.trivial, str):
        assert len(theorem.trivial.split()) > 4
        assert theorem.trivial_bound({}) is None
    else:
        assert all(FIELDS[symbol] for symbol in theorem.trivial.free_symbols)


def test_the_trivial_bound_of_every_row_theorem_is_known_without_the_margin():
    """Closed values for 8 of 32 keys: even spreading 1/4, ln 32, 0, 1, and the leakage itself, which no dial raises."""
    row = numpy_row(np.linspace(-1.0, 2.0, 32)[::-1], 8, 2)
    expected = {
        "leakage": 0.75, "fidelity_floor": 0.25, "anchor_floor": 0.25, "fidelity_ceiling": 1.0,
        "entropy_nats <=": np.log(32), "entropy_nats >=": 0.0, "odds_law": row["leakage"], "worst_case_dial": 0.75,
    }  # fmt: skip
    for theorem in (t for t in OBSERVED if t.level is Level.ROW):
        names = (theorem.key, theorem.quantity, f"{theorem.quantity} {theorem.relation.value}")
        (value,) = (expected[name] for name in names if name in expected)
        assert theorem.trivial_bound(row) == pytest.approx(value, rel=1e-15), theorem.key


@pytest.mark.parametrize(("x", "more"), [(np.log(4) * 1.01, True), (np.log(4) * 0.99, False)])
def test_a_leakage_ceiling_says_more_than_even_spreading_from_the_margin_at_which_they_meet(x, more):
    """(n-m) e^-x / ((n-m) e^-x + r) = (n-m)/n at e^x = m/r: 8 keys, 2 anchors."""
    logits = np.where(np.arange(32) < 2, x, np.where(np.arange(32) < 8, -3.0, 0.0))
    for key in ("leakage_ceiling", "fidelity_floor"):
        assert bool(by_key(key).judge(numpy_row(logits, 8, 2)).says_more) is more


def test_a_bound_within_rounding_of_the_trivial_one_says_no_more():
    """At the margin 0 the entropy ceiling is ln n, whatever its last bit."""
    for n, m in ((32, 8), (7, 3), (1000, 999)):
        row = numpy_row(np.zeros(n), m, 1)
        assert not by_key("entropy_ceiling").judge(row).says_more
        assert not by_key("entropy_split").judge(row).says_more  # even spreading itself


def test_what_a_vacuous_row_says_is_no_more():
    rows = {name: np.repeat(value, 3) for name, value in numpy_row(np.arange(8.0)[::-1] * 2, 3, 1).items()}
    rows["valid"] = np.array([True, False, True])
    assert by_key("leakage_ceiling").judge(rows).says_more.tolist() == [True, False, True]
    assert check(by_key("leakage_ceiling"), rows, ("query",)).says_more == 2


def test_verdicts_tell_the_share_of_rows_on_which_the_bound_says_more():
    """In the table and in JSON; nothing where there is no trivial bound."""
    sharp, dull = (numpy_row(logits, 3, 1) for logits in (np.arange(8.0)[::-1] * 2, np.arange(8.0)))
    rows = {name: np.stack([sharp[name], dull[name], dull[name], dull[name]]) for name in sharp}
    outcome = check(by_key("leakage_ceiling"), rows, ("query",))
    assert outcome.says_more == 1
    header, _, line, *_ = verdict_table([outcome]).splitlines()
    cells = dict(zip(re.split(r"\s{2,}", header), re.split(r"\s{2,}", line)))
    assert cells["says more"] == "25.0 %"
    saved = json.loads(json.dumps(outcome.as_dict()))
    assert (saved["says_more"], saved["trivial"]) == (1, "1 - m/n")
    silent = check(
        by_key("kkt_zero"),
        {name: np.ones(2) for name in ("gradient_norm", "penalty", "residual", "group_norm", "step", "block_query",
                                       "block_key", "converged", "tolerance")},
        ("pair",),
    )  # fmt: skip
    assert silent.says_more is None
    assert silent.as_dict()["trivial"].startswith("nothing bounds")
