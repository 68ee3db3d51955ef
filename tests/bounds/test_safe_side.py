"""Every inverse and every threshold is on the safe side of the exact real value of its float64 inputs, and next to it.

Truth is typed in benchmarks/inverses.py on Arb balls, or here in fractions, apart from the formulas of `bounds`.
"""

from __future__ import annotations

import importlib
import math
import sys
from fractions import Fraction
from pathlib import Path

import flint
import mpmath
import numpy as np
import pytest

import bounds
from bounds.numbers.errors import BadInput
from bounds.samples import row_kappa
from bounds.thresholds.setting import Setting

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
exact = importlib.import_module("inverses")
sys.path.remove(str(BENCHMARKS))


@pytest.mark.parametrize("name", exact.CASES)
def test_an_inverse_is_safe_in_exact_arithmetic_and_next_to_the_exact_value(name):
    found = exact.measure(name, seed=7, size=40 if name == "margin_for_entropy" else 250)
    assert found["answers"] > 0
    assert (found["unsafe"], found["loose"]) == (0, 0), found


def test_inverses_are_as_tight_next_to_fidelity_0_and_1():
    with mpmath.workdps(400):
        for fidelity in (1 - 2.0**-53, 1 - 2.0**-52, 1 - 2.0**-50, 0.5, 2.0**-53, 1e-300):
            odds = mpmath.mpf(fidelity) / (1 - mpmath.mpf(fidelity))
            for found, wanted in (
                (bounds.margin_for_fidelity(fidelity, 16, 1), mpmath.log(15 * odds)),
                (bounds.worst_case_kappa(fidelity, 1.0, 16, 1), max(mpmath.log(15 * odds) + 1, 0)),
                (bounds.kappa_for_fidelity(fidelity, 0.3), max(mpmath.log(odds * 3 / 7), 0)),
                (
                    bounds.context_for_fidelity(fidelity, 45.2, 8),
                    min(8 + mpmath.floor(8 * mpmath.exp(45.2) / odds), 2**53),
                ),
            ):
                assert abs(found - wanted) <= 1e-9 * abs(wanted)


def test_ties_are_exact():
    assert bounds.anchors_for_fidelity(0.75, 0.34657359027997264, 2107, 1265, 0.5) == 1264
    assert bounds.context_for_fidelity(0.25, 6.238324625039508, 77, 30, 1.0) == 46156
    assert bounds.most_recruitments(32.68, 0, 1, 0.86) == 38
    assert bounds.anchors_for_fidelity(0.75, 0.0, 64, 48) == 48
    assert bounds.margin_for_fidelity(0.5, 64, 32) == 0
    assert bounds.worst_case_dial(0.5, 0.0, 3, 1) == 0.5
    assert bounds.dial_for_fidelity(0.75, 0.25) == 0
    assert bounds.rule_bias(0.5, 0.3, 8, 4, 0.1) == 0.3
    assert bounds.steps_to_zero(1.0, 1e-20, 0.0, 1e-280) == pytest.approx(1e300, rel=1e-15)


def test_beta_1_next_to_the_root_of_beta_2_loses_no_digit():
    b1, b2 = Fraction(0.7458784211139635), Fraction(0.5563346190835151)
    found = Fraction(bounds.adam_threshold(4, float(b1), float(b2)))
    assert 1 <= found**2 / (4 * (1 - b1) ** 2 * b2 / ((1 - b2) * (b2 - b1**2))) <= 1 + Fraction(1, 10**15)


def test_adams_error_names_the_entry_that_is_wrong():
    with pytest.raises(BadInput, match=r"beta_1 must be below sqrt\(beta_2\), got 0.99 with beta_2=0.9"):
        bounds.adam_threshold(4, [0.5, 0.99], [0.999, 0.9])


def test_a_rigorous_estimate_lies_within_its_enclosure():
    for name in exact.CASES:
        inputs = exact.CASES[name].draw(np.random.default_rng(3), 12)
        found = getattr(bounds, name)(**inputs, rigorous=True)
        known = ~np.isnan(found.estimate)
        assert np.all((found.lower <= found.estimate)[known]), name
        assert np.all((found.estimate <= found.upper)[known]), name
    assert len(set(bounds.anchors_for_fidelity(0.9999999999999999, 40.913587303825295, 2422, 76, rigorous=True))) == 1
    assert bounds.context_for_fidelity(0.5, 1e300, 8, temperature=1e-300, rigorous=True).upper == 2**53


def test_a_range_that_is_the_margin_up_to_rounding_is_the_margin():
    margin, tau = next((k / 10, 0.7) for k in range(1, 99) if k / 10 / 0.7 * 0.7 > k / 10)
    again = (margin / tau) * tau  # one of the two, computed another way
    assert again != margin
    for span in (margin, again, math.nextafter(margin, 0)):
        assert bounds.fidelity_floor(margin, 8, 2, 1, tau, span) == pytest.approx(
            bounds.fidelity_floor(margin, 8, 2, 1, tau, margin), rel=1e-14
        )
        assert bounds.entropy_floor_with_margin(margin, span, 8, 2, 1, tau) > 0
        for calculator in (bounds.leakage_ceiling, bounds.log_leakage_ceiling, bounds.fidelity_floor):
            found = calculator(margin, 8, 2, 1, tau, span, rigorous=True)
            assert found.lower <= found.estimate <= found.upper
        assert Setting(margin=margin, logit_range=span, temperature=tau).logit_range >= margin
    with pytest.raises(BadInput, match="logit_range"):
        bounds.fidelity_floor(margin, 8, 2, 1, tau, margin * (1 - 1e-12))


def test_a_rigorous_design_takes_every_setting_that_is_valid():
    setting = Setting(n_keys=15, n_block=2, margin=-139.16, dial=0.5, fidelity=0.9, logit_range=139.16)
    found = bounds.design(setting, rigorous=True)
    assert found["leakage_ceiling"] == 1
    assert found["leakage_dialled"] == 1
    assert isinstance(found["dial_at_margin"], bounds.Unreachable)


def test_a_region_is_decided_in_exact_arithmetic():
    """At the least margin the target is guaranteed, one float64 below it is not, whatever float64 says of the floor."""
    rng = np.random.default_rng(5)
    for fidelity in rng.uniform(0.01, 0.99, 40):
        least = bounds.margin_for_fidelity(fidelity, 64, 16, 4, 0.7)
        for margin, region in ((least, "guaranteed"), (math.nextafter(least, -math.inf), "open")):
            setting = Setting(n_keys=64, n_block=16, n_anchors=4, temperature=0.7, margin=margin, fidelity=fidelity)
            assert bounds.design(setting).regions[0].region == region
    for target in rng.uniform(2.9, 4.1, 10):
        least = bounds.margin_for_entropy(target, 64, 16, 4, 0.7)
        for margin, region in ((least, "guaranteed"), (math.nextafter(least, -math.inf), "open")):
            setting = Setting(n_keys=64, n_block=16, n_anchors=4, temperature=0.7, margin=margin, entropy=target)
            assert bounds.design(setting).regions[0].region == region


def test_an_entropy_is_impossible_exactly_below_the_floor_of_the_range():
    """In exact arithmetic: at the float64 above the floor some row has it, at the one below none has."""
    rng = np.random.default_rng(6)
    for span, n in zip(rng.uniform(0, 30, 40), rng.integers(3, 40, 40).tolist()):
        with mpmath.workdps(60):
            levels = ((k, mpmath.exp(-mpmath.mpf(span) / mpmath.mpf(0.7)) * (n - k)) for k in range(1, n))
            floor = min(mpmath.log(k + v) + mpmath.mpf(span) / mpmath.mpf(0.7) * v / (k + v) for k, v in levels)
            near = float(floor)
            below, above = (near, math.nextafter(near, 9)) if near < floor else (math.nextafter(near, -1), near)
        for target, region in ((below, "impossible"), (above, "open")):
            setting = Setting(n_keys=n, n_block=2, temperature=0.7, logit_range=span, entropy=target)
            assert bounds.design(setting).regions[0].region == region, (span, n)


def test_levels_over_queries_and_groups_are_on_their_safe_side():
    """Sums of many terms of any size: the level is no less than its exact value, the witness of a minimum no more."""
    rng = np.random.default_rng(12)
    for size in (1, 3, 40):
        factors = np.exp(rng.normal(0, rng.choice([1.0, 60.0], (30, 1, 1)), (30, 4, size)))
        for gradients, values, keys, queries in factors:
            level = bounds.penalty_threshold_mean_of_products(gradients, values, keys, queries, 0.7, rigorous=True)
            assert level.estimate == level.upper <= level.lower * (1 + 1e-13)
            witness = bounds.global_penalty_witness(float(gradients[0]), float(values[0]), keys, rigorous=True)
            assert witness.upper * (1 - 1e-13) <= witness.estimate == witness.lower


def price(costs, allocation):
    return sum(Fraction(c) * Fraction(t) for c, t in zip(costs.tolist(), allocation.tolist()))


def test_a_schedule_spends_no_more_than_its_budget_and_one_float64_more_would():
    rng = np.random.default_rng(9)
    for _ in range(200):
        costs, available = rng.uniform(0.05, 3, (2, 6))
        budget = float(rng.choice([0.1, 0.5, 1.0]) * (costs @ available))
        taken = bounds.schedule(costs, available, budget)

        assert price(costs, taken) <= Fraction(budget)
        if (part := np.flatnonzero((taken > 0) & (taken < available))).size:
            more = taken.copy()
            more[part] = np.nextafter(more[part], 9)
            assert part.size == 1
            assert price(costs, more) > Fraction(budget)
    assert bounds.schedule([[1.0, 2.0]], [0.5, 0.5], [1.0, 1.5]).tolist() == [[0.5, 0.25], [0.5, 0.5]]
    with pytest.raises(BadInput, match=r"must broadcast against each other, got shapes \(3,\), \(2,\)"):
        bounds.schedule(np.ones((3, 2)), np.ones(2), [1.0, 1.5])


def test_a_rows_kappa_is_enough_in_exact_arithmetic():
    """Of the logarithm and the fidelity as they are given; within 8 ulp of the terms that it is summed from."""
    rng = np.random.default_rng(10)
    targets, leakages = rng.uniform(0.01, 0.999, 300), np.log(rng.uniform(1e-9, 0.999, 300))
    fidelities = rng.uniform(1e-9, 1, 300)
    with mpmath.workdps(60):
        for found, log_leakage, f, goal in zip(
            row_kappa(leakages, fidelities, targets).tolist(), leakages, fidelities, targets
        ):
            terms = mpmath.mpf(log_leakage), -mpmath.log(mpmath.mpf(f)), mpmath.log(goal / (1 - mpmath.mpf(goal)))
            assert max(0, sum(terms)) <= found <= max(0, sum(terms)) + 16 * 2.0**-52 * (sum(map(abs, terms)) + 1)


def test_what_an_inverse_returns_is_used_alike_for_one_and_for_many():
    many = bounds.anchors_for_fidelity(0.9, [0.0, 4.0], 64, 16)
    assert isinstance(many[0], bounds.Unreachable)
    assert many[1] == bounds.anchors_for_fidelity(0.9, 4.0, 64, 16)
    assert [isinstance(one, bounds.Unreachable) for one in many] == [True, False]
    assert np.array_equal(np.asarray(many), many.values, equal_nan=True)
    with pytest.raises(BadInput, match="even the whole block as anchors"):
        float(many[0])


def test_forward_bounds_are_within_the_ulps_that_the_readme_states():
    rng = np.random.default_rng(11)
    for _ in range(200):
        n, m, r = (int(k[0]) for k in exact.keys(rng, 1))
        margin, tau = float(rng.normal(0, 15)), float(exact.positive(rng, 1)[0])
        x = margin / tau
        allowed = (8 + abs(x)) * np.finfo(float).eps
        if abs(x) > 600:
            continue
        with mpmath.workdps(600):
            exponent = mpmath.mpf(margin) / mpmath.mpf(tau)
            u = (n - m) * mpmath.exp(-exponent)
            for found, wanted in (
                (bounds.leakage_ceiling(margin, n, m, r, tau), u / (u + r)),
                (bounds.fidelity_floor(margin, n, m, r, tau), r / (u + r)),
            ):
                assert abs(found - wanted) <= allowed * wanted
            if x > 0:
                ceiling = mpmath.log(m - r + (r + u) * mpmath.exp(exponent * u / (r + u)))
                assert abs(bounds.entropy_ceiling(margin, n, m, r, tau) - ceiling) <= allowed * ceiling


def test_the_precision_of_arb_is_the_callers_again():
    before = flint.ctx.prec
    exact.measure("kappa_of_dial", 1, 2)
    assert flint.ctx.prec == before
