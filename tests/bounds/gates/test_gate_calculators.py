"""Calculators of gates: safe in exact arithmetic and next to it, attained, brute force, refusals in words."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bounds.entropy.calculators import entropy_split
from bounds.gates.calculators import (
    critical_gate_penalty,
    gate_basin,
    gate_penalty_for_leakage,
    gate_penalty_level_a,
    gate_rate_ceiling,
    gate_steps_to_zero,
    masked_loss_ceiling,
    mean_entropy_ceiling,
    penalised_leakage_ceiling,
    rows_above_ceiling,
)
from bounds.numbers.errors import BadInput
from bounds.numbers.search import Solutions, Unreachable

positive = st.floats(1e-150, 1e150)
losses = st.tuples(st.floats(-1e6, 1e6), st.floats(0, 1e6)).map(lambda pair: (pair[0] + pair[1], pair[0]))


def above(value: float, exact: Fraction) -> bool:
    """The float64 next to the exact value, no less than it."""
    return Fraction(value) >= exact and Fraction(math.nextafter(value, -math.inf)) < exact


def close_above(value: float, exact: Fraction) -> bool:
    """No less than the exact value, and within 1e-14 or a few of the least float64."""
    return exact <= Fraction(value) <= exact * (1 + Fraction(1, 10**14)) + Fraction(2e-323)


@given(losses, positive)
def test_leakage_and_penalty_are_exchanged_at_the_loss_that_lies_between(pair, weight):
    """(L_ref - L)/lambda rounded up, whatever cancels."""
    high, low = pair
    exact = (Fraction(high) - Fraction(low)) / Fraction(weight)
    assert above(penalised_leakage_ceiling(high, low, weight), exact)
    assert gate_penalty_for_leakage(high, low, weight) == penalised_leakage_ceiling(high, low, weight)


@given(st.floats(-1e9, 1e9), positive, st.floats(0, 1))
def test_masking_costs_what_the_global_penalty_times_leakage_is(loss, penalty, leakage):
    exact = Fraction(loss) + Fraction(penalty) * Fraction(leakage)
    assert above(masked_loss_ceiling(loss, penalty, leakage), exact)


@given(st.integers(1, 2**53), positive, st.floats(0, 1e100))
def test_level_a_is_the_product_rounded_up_and_of_arrays_close_to_it(rows, g, v):
    exact = Fraction(rows) * Fraction(g) * Fraction(v)
    assert above(gate_penalty_level_a(rows, g, v), exact)
    (found,) = gate_penalty_level_a([rows], g, v)
    assert close_above(found, exact)


@given(positive, positive)
def test_the_basin_is_the_quotient_rounded_down(slope, curvature):
    exact = 2 * Fraction(slope) / Fraction(curvature)
    found = gate_basin(slope, curvature)
    assert Fraction(found) <= exact < Fraction(math.nextafter(found, math.inf))
    assert gate_basin(slope, [0.0, curvature]).tolist() == [math.inf, found]


@given(st.floats(-1e9, 1e9), st.integers(1, 10**9), st.floats(0, 1e9), st.floats(0, 1e9), st.floats(0, 1))
def test_the_rate_of_a_bent_loss_is_rounded_up(largest, rows, curvature, v, eps):
    exact = Fraction(largest) + rows * Fraction(curvature) * Fraction(v) ** 2 * Fraction(eps) / 2
    assert above(gate_rate_ceiling(largest, rows, curvature, v, eps), exact)


@given(st.lists(st.tuples(st.floats(-1e100, 1e100), positive), min_size=1, max_size=5))
def test_the_critical_penalty_is_the_largest_ratio(slopes):
    loss, leakage = map(list, zip(*slopes))
    exact = max(max(-Fraction(a) / Fraction(b), Fraction(0)) for a, b in slopes)
    found = critical_gate_penalty(loss, leakage)
    assert close_above(found, exact)
    assert (found == 0) == all(a >= 0 for a in loss)


def test_a_number_of_gates_is_the_last_axis():
    assert list(critical_gate_penalty([[-1.0, -3.0], [2.0, 0.5]], [1.0, 2.0])) == pytest.approx([1.5, 0.0])
    assert critical_gate_penalty(-1.0, 4.0) == pytest.approx(0.25)


@given(st.floats(0, 1), st.floats(1e-9, 1))
def test_the_share_of_rows_above_is_markovs(eps, threshold):
    found, exact = rows_above_ceiling(eps, threshold), Fraction(eps) / Fraction(threshold)
    assert found == 1 if exact >= 1 else above(found, exact)


@given(st.floats(0, 1), st.floats(1e-3, 1e3), st.floats(1e-3, 10))
def test_steps_to_zero_are_the_least_in_exact_arithmetic(gate, slope, step):
    found = gate_steps_to_zero(gate, slope, step)
    taken = Fraction(step) * Fraction(slope)
    assert found * taken >= Fraction(gate)
    assert found == 0 or (found - 1) * taken < Fraction(gate)


def test_a_gate_is_zero_after_those_steps_and_not_before():
    for gate, slope, step in ((1.0, 0.3, 0.1), (0.5, 0.25, 0.125), (0.1, 3.0, 1.0), (0.0, 1.0, 1.0)):
        steps, s = gate_steps_to_zero(gate, slope, step), gate
        taken = 0
        while s > 0:
            s, taken = max(0.0, s - step * slope), taken + 1
        assert taken in (steps, steps + 1)


def test_a_slope_that_pushes_nowhere_is_unreachable():
    found = gate_steps_to_zero(0.5, [1.0, 0.0, -2.0], 0.1)
    assert isinstance(found, Solutions)
    assert found.reachable.tolist() == [True, False, False]
    assert gate_steps_to_zero(0.5, -1.0, 0.1) == Unreachable("the slope does not push the gate towards 0")
    assert gate_steps_to_zero(1.0, 1e-300, 1e-300) == Unreachable("more steps than a float64 can count")


def test_a_target_is_met_by_every_minimiser_from_that_penalty_on_and_missed_just_below():
    """Two solutions, the mask at loss 1 and another at loss 0 and leakage 2: the other is best below 1/2."""
    loss, leakage = np.array([1.0, 0.0]), np.array([0.0, 2.0])
    penalty = gate_penalty_for_leakage(1.0, 0.0, 2.0)
    assert penalty == 0.5
    for weight, kept in ((penalty * 1.001, 0.0), (penalty * 0.999, 2.0)):
        best = (loss + weight * leakage).argmin()
        assert leakage[best] == kept <= penalised_leakage_ceiling(1.0, loss[best], weight)
    assert masked_loss_ceiling(0.0, 0.5, 2.0) == 1.0  # the steepest descent from the mask: 1/2


def entropies(a: np.ndarray) -> np.ndarray:
    return -np.where(a > 0, a * np.log(np.where(a > 0, a, 1.0)), 0.0).sum(-1)


@given(st.lists(st.tuples(st.integers(2, 40), st.floats(0, 1)), min_size=1, max_size=6), st.floats(0, 1))
def test_mean_entropy_is_never_above_either_ceiling_and_is_attained_at_some_leakage(sizes, leakage):
    n = np.array([keys for keys, _ in sizes])
    m = np.array([1 + int(share * (keys - 2)) for keys, share in sizes])
    ceiling = mean_entropy_ceiling(leakage, n, m)
    assert ceiling <= np.log(n).mean() * (1 + 1e-14) + 1e-14
    mu = 1.3  # rows whose outside keys have weight e^-mu attain the mixed ceiling at their own leakage
    outside = (n - m) * np.exp(-mu)
    attained = (np.log(m + outside) + mu * outside / (m + outside)).mean()
    own = mean_entropy_ceiling((outside / (m + outside)).mean(), n, m)
    assert own == pytest.approx(attained, rel=1e-12)


def test_mean_entropy_of_random_rows_by_brute_force():
    rng, n, m = np.random.default_rng(3), np.array([4, 9, 30]), np.array([1, 8, 10])
    for spread in (0.1, 1.0, 5.0):
        for _ in range(100):
            rows = [np.exp(spread * rng.normal(size=keys)) for keys in n]
            rows = [row / row.sum() for row in rows]
            leakage = np.mean([row[block:].sum() for row, block in zip(rows, m)])
            mean = np.mean([entropies(row) for row in rows])
            assert mean <= mean_entropy_ceiling(leakage, n, m) * (1 + 1e-13)
            assert mean <= mean_entropy_ceiling(min(1.0, leakage * 1.2), n, m) * (1 + 1e-13)


def test_rows_alike_have_the_split_and_rows_that_differ_have_less():
    assert mean_entropy_ceiling(0.2, 64, 16) == pytest.approx(entropy_split(0.2, 64, 16), rel=1e-12)
    assert mean_entropy_ceiling(0.95, 64, 16) == pytest.approx(math.log(64), rel=1e-12)  # 0.95 is more than even
    assert mean_entropy_ceiling(0.0, 64, 16) == pytest.approx(math.log(16), rel=1e-12)
    n, m = np.array([4, 124]), np.array([1, 31])
    assert mean_entropy_ceiling(0.2, n, m) < entropy_split(0.2, 64, 16) - 0.1
    assert mean_entropy_ceiling([0.0, 0.2], n, m).shape == (2,)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: critical_gate_penalty([-1.0], [0.0]), "leakage_slopes must be finite and > 0, got 0.0"),
        (lambda: critical_gate_penalty([], []), "loss_slopes must be at least one slope, got none"),
        (lambda: critical_gate_penalty([math.nan], [1.0]), "loss_slopes must be a finite number, got nan"),
        (lambda: gate_penalty_level_a(0.5, 1.0, 1.0), "layer_rows must be a whole number in [1, 2^53], got 0.5"),
        (lambda: gate_penalty_level_a(2, -1.0, 1.0), "gradient_bound must be finite and >= 0, got -1.0"),
        (lambda: gate_basin(0.0, 1.0), "slope must be finite and > 0, got 0.0"),
        (lambda: gate_basin(1.0, -1.0), "curvature must be finite and >= 0, got -1.0"),
        (lambda: gate_rate_ceiling(1.0, 2, 1.0, 1.0, 2.0), "leakage must be in [0, 1], got 2.0"),
        (lambda: gate_penalty_for_leakage(1.0, 2.0, 0.1), "loss_least must be at most loss_reference, got 2 with 1"),
        (lambda: gate_penalty_for_leakage(1.0, 0.0, 0.0), "target must be finite and > 0, got 0.0"),
        (lambda: penalised_leakage_ceiling(1.0, 1.5, 0.1), "loss_found must be at most loss_reference, got 1.5 with 1"),
        (lambda: penalised_leakage_ceiling(1.0, 0.5, -0.1), "penalty must be finite and > 0, got -0.1"),
        (lambda: masked_loss_ceiling(1.0, -0.5, 0.1), "global_penalty must be finite and >= 0, got -0.5"),
        (lambda: rows_above_ceiling(0.1, 0.0), "threshold must be in (0, 1], got 0.0"),
        (lambda: mean_entropy_ceiling(0.1, [8, 8], [8, 2]), "n_block must be in [1, n_keys - 1], got 8"),
        (lambda: mean_entropy_ceiling(1.1, 8, 2), "leakage must be in [0, 1], got 1.1"),
        (lambda: gate_steps_to_zero(1.5, 1.0, 0.1), "gate must be in [0, 1], got 1.5"),
        (lambda: gate_steps_to_zero(1.0, 1.0, 0.0), "step must be finite and > 0, got 0.0"),
    ],
)
def test_bad_input_names_argument_value_and_what_is_allowed(call, message):
    with pytest.raises(BadInput) as caught:
        call()
    assert str(caught.value).startswith(message)
