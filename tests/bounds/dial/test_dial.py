"""The dial: an exact law on every row, the least dial for a target, and what is lost near 1."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bounds.dial import theorems
from bounds.dial.calculators import (
    dial_bias,
    dial_for_fidelity,
    dial_leakage,
    dial_of_kappa,
    kappa_bias,
    kappa_for_fidelity,
    kappa_leakage,
    kappa_of_dial,
    worst_case_dial,
    worst_case_kappa,
)
from bounds.theory.theorem import Verdict

leakages = st.floats(0, 1, exclude_max=True)
dials = st.floats(0, 1)
fidelities = st.floats(1e-6, 1 - 1e-12)
seeds = st.integers(0, 2**32 - 1)
THEOREMS = {theorem.key: theorem for theorem in theorems.THEOREMS}


def masses(logits, m):
    """Leakage and fidelity of rows whose first m keys are the block."""
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    total = weights.sum(-1)
    return weights[..., m:].sum(-1) / total, weights[..., :m].sum(-1) / total


@given(seeds, st.floats(0, 0.999999), st.floats(0.1, 10))
def test_bias_on_the_logits_follows_the_odds_law(seed, dial, tau):
    logits = np.random.default_rng(seed).normal(0, 3 * tau, (20, 12))
    before, _ = masses(logits / tau, 5)
    turned = logits + np.where(np.arange(12) < 5, 0.0, dial_bias(dial, tau))
    after, _ = masses(turned / tau, 5)
    np.testing.assert_allclose(after, dial_leakage(before, dial), rtol=1e-9)
    np.testing.assert_allclose(after, kappa_leakage(before, kappa_of_dial(dial)), rtol=1e-9)


@given(leakages, dials)
def test_closed_form_against_60_digits(leakage, dial):
    with mpmath.workdps(60):
        e, w = mpmath.mpf(leakage), 1 - mpmath.mpf(dial)
        exact = e * w / (1 - e + e * w)
        found = mpmath.mpf(dial_leakage(leakage, dial))
        assert abs(found - exact) <= 8 * np.finfo(float).eps * exact + 1e-320


@given(leakages, st.floats(0, 30), st.floats(0, 30))
def test_dials_compose_and_more_dial_leaks_less(leakage, first, second):
    once = kappa_leakage(leakage, first)
    assert kappa_leakage(once, second) == pytest.approx(kappa_leakage(leakage, first + second), rel=1e-10)
    assert kappa_leakage(leakage, first + second) <= once <= leakage * (1 + 1e-15)


def test_ends_of_the_dial():
    assert dial_leakage(0.3, 0.0) == 0.3
    assert dial_leakage(0.3, 1.0) == 0.0 == kappa_leakage(0.3, math.inf)
    assert dial_leakage(1.0, 0.5) == 1.0
    assert (dial_bias(0.0), dial_bias(1.0), kappa_bias(0.0)) == (0.0, -math.inf, 0.0)
    assert math.copysign(1, dial_bias(0.0)) == math.copysign(1, kappa_bias(0.0)) == 1
    assert dial_bias(0.5, 2.0) == pytest.approx(-2 * math.log(2)) == kappa_bias(math.log(2), 2.0)
    assert kappa_of_dial(1.0) == math.inf
    assert dial_of_kappa(math.inf) == 1.0


@given(fidelities, leakages)
def test_least_dial_meets_the_target_and_less_does_not(fidelity, leakage):
    dial, kappa = dial_for_fidelity(fidelity, leakage), kappa_for_fidelity(fidelity, leakage)
    assert 0 <= dial <= 1
    rounding = 1 + 4e-14  # of the law in float64; that both are safe exactly: test_safe_side.py
    assert dial_leakage(leakage, dial) <= (1 - fidelity) * rounding
    assert kappa_leakage(leakage, kappa) <= (1 - fidelity) * rounding
    if leakage <= (1 - fidelity) * (1 - 1e-9):
        assert dial == kappa == 0
    if kappa > 1e-3 and fidelity > 1e-3:
        less = kappa * (1 - 1e-12) - 1e-14 - 1e-15 / (1 - fidelity)
        assert kappa_leakage(leakage, max(less, 0)) > (1 - fidelity) * (1 - 4e-14)
        assert 1 - dial == pytest.approx(math.exp(-kappa), rel=1e-9, abs=2.3e-16)


@given(st.floats(1e-3, 1 - 1e-9), st.floats(0, 60), st.integers(2, 10**6), st.floats(0, 1), st.floats(0.1, 10))
def test_worst_case_dial_serves_the_worst_row_and_is_tight(fidelity, scaled_range, n, share, tau):
    m = 1 + int(share * (n - 2))
    kappa = worst_case_kappa(fidelity, scaled_range * tau, n, m, tau)
    dial = worst_case_dial(fidelity, scaled_range * tau, n, m, tau)
    with mpmath.workdps(60):
        odds = mpmath.mpf(n - m) / m * mpmath.exp(mpmath.mpf(scaled_range * tau) / mpmath.mpf(tau))
        allowed = (1 - mpmath.mpf(fidelity)) / mpmath.mpf(fidelity)
        rounding = 1e-14 * (2 + scaled_range) + 2e-16 / (1 - fidelity)
        assert odds * mpmath.exp(-mpmath.mpf(kappa)) <= allowed * (1 + rounding)
        assert odds * (1 - mpmath.mpf(dial)) <= allowed * (1 + rounding)
        if kappa > 0:
            assert odds * mpmath.exp(-mpmath.mpf(kappa)) >= allowed * (1 - rounding)


def test_a_float64_dial_cannot_express_what_kappa_can():
    """n = 9, m = 8, range 37, fidelity 0.9: the nearest float64 to the dial leaks 0.14, so the safe dial is 1."""
    kappa = worst_case_kappa(0.9, 37.0, 9, 8)
    worst = 1 / (1 + 8 * math.exp(-37.0))  # one key outside at the top, the block at the bottom
    fidelity = 8 * math.exp(-37.0) * worst
    nearest = dial_of_kappa(kappa)
    assert nearest == 1 - 2**-53
    assert (1 - nearest) * worst / ((1 - nearest) * worst + fidelity) == pytest.approx(0.14, abs=0.01)
    assert worst_case_dial(0.9, 37.0, 9, 8) == 1.0
    assert kappa == pytest.approx(37 + math.log(9 / 8), rel=1e-15)
    assert math.exp(-kappa) * worst / (math.exp(-kappa) * worst + fidelity) == pytest.approx(0.1, rel=1e-12)


@pytest.mark.parametrize("scaled_range", [700.0, 750.0, 1e4, 1e308])
def test_huge_ranges_stay_finite_and_safe(scaled_range):
    assert worst_case_dial(0.9, scaled_range, 10, 5) == 1.0
    assert worst_case_kappa(0.9, scaled_range, 10, 5) >= scaled_range
    assert worst_case_kappa(0.9, 1e308, 10, 5, 1e-3) == math.inf


def test_arrays_broadcast():
    grid = dial_for_fidelity(np.linspace(0.5, 0.99, 5)[:, None], np.linspace(0, 0.9, 4))
    assert grid.shape == (5, 4)
    assert grid[-1, -1] == dial_for_fidelity(0.99, 0.9)
    assert worst_case_dial([0.5, 0.9], 3.0, [[10], [20]], 5).shape == (2, 2)
    assert kappa_of_dial([0.0, 0.5]).shape == (2,)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dial_leakage(0.5, 1.1), "dial must be in [0, 1], got 1.1"),
        (lambda: dial_leakage(-0.1, 0.5), "leakage must be in [0, 1], got -0.1"),
        (lambda: dial_leakage(1.0, 1.0), "leakage must be below 1"),
        (lambda: kappa_leakage(1.0, 1e4), "leakage must be below 1"),
        (lambda: dial_for_fidelity(0.9, 1.0), "leakage must be below 1"),
        (lambda: dial_for_fidelity(1.0, 0.5), "fidelity must be in (0, 1), got 1.0"),
        (lambda: kappa_leakage(0.5, -1.0), "kappa must be >= 0 (inf masks), got -1.0"),
        (lambda: worst_case_dial(0.9, -1.0, 8, 2), "logit_range must be finite and >= 0, got -1.0"),
        (lambda: dial_bias(0.5, 0.0), "temperature must be finite and > 0, got 0.0"),
        (lambda: dial_bias(math.nan), "dial must be in [0, 1], got nan"),
    ],
)
def test_bad_input_names_argument_value_and_what_is_allowed(call, message):
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value).startswith(message)


def attention_rows(seed, m=5, n=12, dial=0.7, tau=2.0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 6, (200, n))
    leakage, fidelity = masses(logits / tau, m)
    dialled, _ = masses((logits + np.where(np.arange(n) < m, 0, tau * math.log1p(-dial))) / tau, m)
    return {
        "leakage": leakage,
        "fidelity": fidelity,
        "leakage_dialled": dialled,
        "dial": np.float64(dial),
        "temperature": np.float64(tau),
        "margin": np.sort(logits[:, :m], -1)[:, -2] - logits[:, m:].max(-1),
        "logit_range": np.ptp(logits, axis=-1),
        "n_keys": np.int64(n),
        "n_block": np.int64(m),
        "n_anchors": np.int64(2),
        "valid": np.ones(200, bool),
    }


def verdicts(key, rows):
    return {
        Verdict.HOLDS: 0,
        **{list(Verdict)[c]: int(k) for c, k in zip(*np.unique(THEOREMS[key].verdicts(rows), return_counts=True))},
    }


@pytest.mark.theorem("odds_law")
@pytest.mark.parametrize("dial", [0.0, 0.3, 0.999, 1 - 2**-53])
def test_odds_law_holds_on_rows_and_notices_a_wrong_dial(dial):
    rows = attention_rows(3, dial=dial)
    assert verdicts("odds_law", rows) == {Verdict.HOLDS: 200}
    wrong = {**rows, "dial": np.float64(0.31)}
    assert Verdict.HOLDS not in verdicts("odds_law", wrong) or verdicts("odds_law", wrong)[Verdict.HOLDS] < 5
    flipped = {**rows, "leakage_dialled": rows["leakage"] * (1 - 1e-9)}
    assert verdicts("odds_law", flipped)[Verdict.HOLDS] == 0


def test_a_row_without_mass_in_its_block_says_nothing():
    rows = attention_rows(4)
    rows |= {"leakage": np.ones(200), "fidelity": np.zeros(200)}
    assert verdicts("odds_law", rows)[Verdict.VACUOUS] == 200


def anchored_rows(anchor_logit, n=12, m=5, r=2):
    """Outside logits exactly 0, r anchors at the anchor logit, own content anywhere."""
    rng = np.random.default_rng(0)
    logits = np.zeros((200, n))
    logits[:, :r] = anchor_logit
    logits[:, r:m] = rng.normal(0, 3, (200, m - r))
    leakage, fidelity = masses(logits, m)
    return {
        **{
            key: value for key, value in attention_rows(0).items() if key in ("valid", "n_keys", "n_block", "n_anchors")
        },
        "leakage": leakage,
        "fidelity": fidelity,
        "temperature": np.float64(1),
        "margin": np.sort(logits[:, :m], -1)[:, -r] - logits[:, m:].max(-1),
        "logit_range": np.ptp(logits, axis=-1),
        "anchor_logit": np.float64(anchor_logit),
        "localist": np.array(True),
        "active_cross_blocks": np.zeros(200),
    }


def test_anchor_floor_holds_and_needs_each_hypothesis():
    rows = anchored_rows(3.0)
    assert verdicts("anchor_floor", rows) == {Verdict.HOLDS: 200}
    for change in (
        {"localist": np.array(False)},
        {"anchor_logit": np.float64(np.nan)},
        {"active_cross_blocks": np.ones(200)},
    ):
        assert verdicts("anchor_floor", {**rows, **change})[Verdict.VACUOUS] == 200
    without = {
        key: value for key, value in rows.items() if key not in ("localist", "anchor_logit", "active_cross_blocks")
    }
    assert verdicts("anchor_floor", without)[Verdict.VACUOUS] == 200


@pytest.mark.theorem("anchor_floor")
def test_anchor_floor_is_attained_when_the_whole_block_is_anchors():
    floor = THEOREMS["anchor_floor"].bound({**anchored_rows(3.0), "n_anchors": np.int64(5)})
    logits = np.where(np.arange(12) < 5, 3.0, 0.0)
    assert masses(logits, 5)[1] == pytest.approx(float(np.ravel(floor)[0]), rel=1e-15)
    assert (
        verdicts(
            "anchor_floor",
            {**anchored_rows(3.0), "fidelity": 0.99 * THEOREMS["anchor_floor"].bound(anchored_rows(3.0))},
        )[Verdict.VIOLATED]
        == 200
    )


@pytest.mark.refutes("C3: without anchors")
def test_zero_cross_blocks_without_anchors_concentrate_nothing():
    """Counterexample to reading C3 without anchors: outside logits 0, own logits 0, any n: fidelity m/n."""
    for n in (10, 1000, 10**6):
        assert masses(np.zeros(n), 5)[1] == pytest.approx(5 / n)


@pytest.mark.parametrize("theorem", theorems.THEOREMS, ids=lambda theorem: theorem.key)
def test_every_proof_step_that_sympy_can_settle_is_settled(theorem):
    outcomes = [step.settled() for step in theorem.proof]
    assert False not in outcomes
    assert True in outcomes
