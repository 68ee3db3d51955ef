"""The room that verdicts leave for rounding: enough that a value at its bound is UNKNOWN, too little to hide 1e-8."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from numpy_rows import numpy_row

from bounds.theorems import THEOREMS, Level, Relation, Verdict
from bounds.theory.rows import ULP, softmax_rounding
from empirical.verify.adversary import FAMILIES

HEAD = {"block_query": 0, "block_key": 1, "understated": 0, "temperature": 0.7}
HEAD |= {"product_mean": 3.1, "query_operator": 0.4, "covariance_bound": 1.3}
SLOW = ("heads", "packings")  # seconds, whatever the number of rows
EXACT = {"non_interference", "steps_to_zero", "heavy_ball_steps", "critical_leaves"}  # bits and whole numbers: no room
EXACT |= {"worst_case_threshold", "critical_stays"}  # a group is exactly zero
EXACT |= {"gates_stay", "gates_open", "gate_level_a", "gate_steps_to_zero"}
LOOSE = {"anchor_margin", "entropy_turning_point"}  # of an angle by its cosine, of a search: their rooms say so
LOOSE |= {"gate_shares"}  # of a quadrature


def row(n: int = 64, m: int = 16, r: int = 4) -> dict[str, Any]:
    """A row of random logits whose anchors lie above the others."""
    logits = np.random.default_rng(5).normal(size=n) + np.where(np.arange(n) < r, 6.0, 0.0)
    return numpy_row(logits, m, r, 0.8)


@functools.cache
def drawn(key: str) -> dict[str, Any]:
    """Rows of a theorem by which it can be decided, or none."""
    theorem = THEOREMS[key]
    if theorem.level is Level.ROW and theorem.topic != "dial":
        both = (row(), row(r=16))  # what is of blocks without free keys takes the second
        return {name: np.stack([one[name] for one in both]) for name in both[0]}
    if theorem.level is Level.HEAD:
        return {name: np.asarray(value) for name, value in HEAD.items()}
    family = next(f for f in FAMILIES if key in f.keys)
    if family.name in (*SLOW, "attention rows"):
        return {}
    with np.errstate(all="ignore"):
        return family.sample(np.random.default_rng(1), 60)


@pytest.mark.parametrize("key", [key for key in THEOREMS if drawn(key) and key not in EXACT])
def test_a_value_at_its_bound_is_unknown_and_one_beyond_it_is_violated(key):
    """For an equality it holds. Beyond: by 1e-8 of the bound, a hundred times the widest room that is promised."""
    theorem, rows = THEOREMS[key], drawn(key)
    with np.errstate(all="ignore"):
        bound = np.asarray(theorem.bound(rows), dtype=np.float64)
        counts = np.asarray(theorem.applies(rows)) & np.isfinite(bound) & (np.abs(bound) > 1e-3)
    assert counts.any()
    at = Verdict.HOLDS if theorem.relation is Relation.EQUAL else Verdict.UNKNOWN
    for name in {theorem.quantity} & {"leakage", "fidelity"}:  # each is one minus the other
        rows = {**rows, name: bound}
    codes = theorem.verdicts({**rows, theorem.quantity: bound})
    assert (codes[counts] == at.code).all()
    beyond = -1 if theorem.relation is Relation.AT_LEAST else 1
    step = np.abs(bound) * (1e-3 if key in LOOSE else 1e-8)
    codes = theorem.verdicts({**rows, theorem.quantity: bound + beyond * step})
    assert (codes[counts] == Verdict.VIOLATED.code).all()


@pytest.mark.parametrize("key", [k for k, t in THEOREMS.items() if t.tolerance is not None and drawn(k)])
def test_a_stated_tolerance_is_not_nothing(key):
    rows = drawn(key)
    with np.errstate(all="ignore"):
        assert np.max(THEOREMS[key].tolerance(rows)) > 0


def test_a_row_beyond_its_bound_by_a_few_hundred_ulp_is_violated():
    """The room of a softmax row, as its docstring counts it: 16 + 4 D + 4 log2 n ulp, some hundred here."""
    seen, theorem = row(), THEOREMS["leakage_ceiling"]
    reach = float(seen["logit_range"] / seen["temperature"])
    assert softmax_rounding(seen) == pytest.approx(ULP * (16 + 4 * reach + 4 * 6))
    ulps = np.array([16 + 4 * reach + 24 - 4, 16 + 4 * reach + 24 + 4]) * ULP
    codes = theorem.verdicts({**seen, "leakage": theorem.bound(seen) * (1 + ulps)})
    assert list(codes) == [Verdict.UNKNOWN.code, Verdict.VIOLATED.code]
