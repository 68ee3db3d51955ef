"""Every formula is the bound, as it is printed: evaluated to 40 digits on random inputs, its sums written out.

A row has the fields that the bound reads; a symbol says in `bounds.theory.symbols` which of them it is. Rows come from
the families that attack the theorems; where a formula runs over layers or reloads, from rows of random length.
"""

from __future__ import annotations

import functools
import math
import zlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import sympy

from bounds.ledger.markdown import statement
from bounds.theorems import THEOREMS, Level, by_key
from bounds.theory import symbols as s
from empirical.verify.adversary import FAMILIES, family_of

ROWS = 8
SAME = 1e-9  # relative: bounds are float64, some hundred ulp off where they reduce an axis
CANCELLED = 1e-13  # absolute, at most: cos(2 pi/4) is 6e-17 in float64
MOST_KEYS = 12  # of a least over levels, which is written out

FIELDS: dict[Any, str] = {entry.symbol: entry.field for entry in s.GLOSSARY if entry.field}
OTHERWISE: dict[str, dict[Any, str]] = {
    "leakage_aware_gradient": {s.eps: "mean_leakage"},
    "steps_to_zero": {s.gradient: "gradient_peak", s.norm: "group_norm_start"},
    "curvature_gain": {s.gradient: "slope_bound"},
    "factorised_heads": {s.Delta: "objective"},
    "pointer_information": {s.K: "blocks"},
    "hopfield_error": {s.K: "patterns", s.M: "radius", s.Delta: "separation"},
    "retrieval_error": {s.K: "patterns", s.M: "radius", s.Delta: "separation"},
}
SCALED = {s.x: "margin", s.D: "logit_range"}  # over the temperature, where the row has one
INDEXED = {s.e_l: "errors", s.Lip_l: "lipschitz", s.A_l: "costs", s.u_l: "available", s.p_of: "promised"}
INDEXED |= {s.share_of: "group_shares", s.pull_of: "pulls", s.odds_of: "pair_odds", s.pair_of: "pair_penalties"}
INDEXED |= {
    s.phi_of: "gate_shares",
    s.split_of: "splits",
    s.rate_of: "rates",
    s.keys_of: "row_keys",
    s.block_of: "row_blocks",
    s.probability_of: "probabilities",
    s.slope_of: "logit_slopes",
}


def exact(value: float) -> Any:
    return sympy.Integer(int(value)) if float(value).is_integer() else sympy.Float(float(value), 60)


def evaluated(formula: Any, key: str, row: dict[str, np.ndarray]) -> float:
    """The formula at the row, every sum, product and least written out."""
    fields = FIELDS | OTHERWISE.get(key, {})
    lengths = {len(row[name]) for name in INDEXED.values() if name in row}
    labels = {base.label for base in sympy.sympify(formula).atoms(sympy.IndexedBase)}
    values: dict[Any, Any] = {}
    for symbol in sympy.sympify(formula).free_symbols - labels:
        if symbol in SCALED:
            values[symbol] = exact(float(row[SCALED[symbol]]) / float(row.get("temperature", 1.0)))
        elif symbol == s.kappa:
            values[symbol] = -sympy.log(1 - exact(float(row["dial"])))
        elif symbol in (s.layers, s.reloads, s.rows_):
            values[symbol] = sympy.Integer(lengths.pop())
        elif symbol == s.classes:
            values[symbol] = sympy.Integer(row["probabilities"].shape[-1])
        elif symbol == s.budget:
            values[symbol] = exact(float(row["budget"]))
        elif symbol in fields:
            values[symbol] = exact(float(row[fields[symbol]]))
    written = sympy.sympify(formula).subs(values).doit()
    entries = {
        base[tuple(i + 1 for i in at)]: exact(entry)
        for base, name in INDEXED.items()
        if name in row
        for at, entry in np.ndenumerate(row[name])
    }
    number = written.xreplace(entries)
    assert not number.free_symbols, f"symbols.py must say which field of a row these are: {number.free_symbols}"
    return float(number.evalf(40))


@functools.cache
def sample(name: str) -> dict[str, np.ndarray]:
    family = next(family for family in FAMILIES if family.name == name)
    return family.sample(np.random.default_rng(zlib.crc32(name.encode())), 2_000)


def drawn(key: str) -> list[dict[str, np.ndarray]]:
    """Rows on which the theorem says something, away from where float64 has lost the digits of 1 - leakage."""
    theorem = by_key(key)
    rows = sample(family_of(key).name)
    with np.errstate(all="ignore"):
        count = theorem.verdicts(rows).size
        wanted = np.broadcast_to(theorem.applies(rows), (count,)).copy()
        bound = np.broadcast_to(theorem.bound(rows), (count,))
    wanted &= np.isfinite(bound) & (np.abs(bound) < 1e6) & ((np.abs(bound) > 1e-20) | (bound == 0))
    for name in ("leakage", "mean_leakage"):
        if name in rows:
            wanted &= (rows[name] > 1e-3) & (rows[name] < 1 - 1e-3)
    if theorem.level is Level.ROW:
        wanted &= (np.abs(bound) > 1e-6) & (rows["n_keys"] <= MOST_KEYS)
    if {s.eps, s.x} <= sympy.sympify(theorem.formula).free_symbols:  # at the ceiling the free mass is 0, to rounding
        wanted &= rows["leakage"] < 0.99 * by_key("leakage_ceiling").bound(rows)
    places = np.random.default_rng(0).permutation(np.flatnonzero(wanted))[:ROWS]
    return [{name: np.asarray(values[at]) for name, values in rows.items() if np.ndim(values)} for at in places]


def layered(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Layers and reloads of one random number each, every field that a bound over them reads."""
    count = int(rng.integers(1, 7))
    lipschitz, diameters = rng.uniform(0, 2, count), np.sort(rng.uniform(0.2, 2, count))[::-1]
    costs = [v * math.prod(1 + k for k in lipschitz[at + 1 :]) for at, v in enumerate(diameters)]
    available = rng.uniform(0, 1, count)
    return {
        "errors": rng.uniform(0, 1, count),
        "lipschitz": lipschitz,
        "diameters": diameters,
        "costs": np.array(costs),
        "available": available,
        "budget": np.asarray(rng.uniform(0.05, 1) * (costs * available).sum()),
        "state_size": np.zeros(()),
        "promised": rng.uniform(0, 0.9, count),
    }


@functools.cache
def inputs(key: str) -> tuple[dict[str, np.ndarray], ...]:
    if by_key(key).level in (Level.LAYERS, Level.RELOADS) and by_key(key).formula != 0:
        rng = np.random.default_rng(zlib.crc32(key.encode()))
        return tuple(layered(rng) for _ in range(ROWS))
    return tuple(drawn(key))


def agrees(formula: Any, key: str) -> bool:
    """Whether the formula is the bound in every row, beyond the rounding of a bound that may cancel."""
    theorem = by_key(key)
    for row in inputs(key):
        got, want = evaluated(formula, key, row), float(theorem.bound(row))
        room = 0.0 if theorem.tolerance is None else min(float(theorem.tolerance(row)), CANCELLED)
        if max(abs(got - want) - room, 0) / max(abs(want), 1e-300) > SAME:
            return False
    return True


@pytest.mark.parametrize("key", THEOREMS)
def test_the_printed_formula_is_the_bound(key):
    assert len(inputs(key)) == ROWS
    assert agrees(by_key(key).formula, key)


@pytest.mark.parametrize("key", THEOREMS)
def test_a_formula_changed_by_a_millionth_is_noticed(key):
    formula = sympy.sympify(by_key(key).formula)
    assert not agrees(formula * (1 + sympy.Rational(1, 10**6)) if formula != 0 else formula + 1, key)


@pytest.mark.parametrize("key", [key for key, theorem in THEOREMS.items() if theorem.step is not None])
def test_a_step_is_not_the_bound_and_the_page_says_so(key):
    theorem = by_key(key)
    text = "\n".join(statement(theorem))
    assert f"`Bound.{key}`, are about its step" in text
    assert "step" not in "\n".join(statement(replace(theorem, step=None)))
    assert theorem.step != theorem.formula


def test_a_sum_that_stops_one_layer_early_is_noticed():
    formula = by_key("depth_sum").formula
    assert not agrees(formula.subs(s.layers, s.layers - 1), "depth_sum")
