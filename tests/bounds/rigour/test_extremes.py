"""At the ends of float64: no exception of another name, no raw warning, no NaN, and the exact value is enclosed.

Truth is the textbook formula at 800 digits, written out here. (Warnings are errors in every test.)
"""

from __future__ import annotations

import inspect
import math
import random
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
from mpmath import exp, inf, log, mpf, sqrt

import bounds
from bounds.numbers.errors import BadInput
from bounds.numbers.search import Unreachable
from bounds.rigour.balls import outward, working_precision

DIGITS = 800  # 1 - e^-746 and 1 - 5e-324 take 324 of them
LARGEST = float(np.finfo(np.float64).max)
NAMES = (name for name in bounds.__all__ if name.lower() != "design")
CALCULATORS = [n for n in NAMES if "rigorous" in inspect.signature(getattr(bounds, n)).parameters]

SIZES = (0.0, 5e-324, 1e-310, 1e-17, 0.3, 1.0, 18.3, 746.0, 1e4, 1e154, 1e300, 1e308, LARGEST)
SHARES = (0.0, 5e-324, 1e-300, 1e-17, 0.25, 0.5, 0.75, 1 - 2.0**-53, 1.0)
ANGLES = (0.0, 5e-324, 1e-9, 0.3, 1.5, math.pi / 2, math.pi)
KINDS: dict[str, tuple[float, ...]] = {
    "fidelity leakage dial query_share eta anchor_mass beta_1 beta_2": SHARES,
    "theta phi jitter": ANGLES,
    "margin offset loss loss_localised gap": (*SIZES, *(-v for v in SIZES)),
    "n_keys": (2, 10, 12, 64, 2.0**53),
    "n_block": (1, 2, 9, 50, 2.0**53 - 1),
    "n_anchors n_rule n_first n_second n_blocks n_patterns dimension n_observations group_size": (1, 2, 5, 40, 2.0**53),
}
BY_NAME = {name: kind for names, kind in KINDS.items() for name in names.split()}
AXES = ("removal", "errors", "lipschitz", "diameters")


def drawn(rng: random.Random, name: str) -> dict[str, Any]:
    """Arguments from the ends of every kind; counts mostly fit together."""
    given: dict[str, Any] = {}
    for p in inspect.signature(getattr(bounds, name)).parameters.values():
        kind = BY_NAME.get(p.name, SIZES)
        if p.name in ("n_anchors", "logit_range") and p.default is None and rng.random() < 0.5:
            given[p.name] = None
        elif p.name in AXES or p.name.endswith(("_norms", "_bounds", "_diameters")):
            given[p.name] = [rng.choice(SHARES if p.name == "removal" else SIZES) for _ in range(3)]
        elif p.name == "of":
            given["of"] = rng.choice(("each", "mean"))
        elif p.name not in ("axis", "rigorous"):
            given[p.name] = rng.choice(kind)
    if {"n_keys", "n_block"} <= given.keys():
        given["n_block"] = min(given["n_block"], given["n_keys"] - 1)
        if given.get("n_anchors"):
            given["n_anchors"] = min(given["n_anchors"], given["n_block"])
    return given


def answers(name: str, count: int) -> list[tuple[dict[str, Any], bounds.Enclosed[Any]]]:
    """So many enclosures at extreme arguments that are allowed and have an answer."""
    rng, found = random.Random(name), []
    for _ in range(40 * count):
        given = drawn(rng, name)
        try:
            plain = getattr(bounds, name)(**given)
            enclosed = getattr(bounds, name)(**given, rigorous=True)
        except BadInput:
            continue
        assert isinstance(plain, Unreachable) or not np.isnan(np.asarray(plain, float)).any(), (name, given)
        if not isinstance(enclosed, Unreachable):
            found.append((given, enclosed))
        if len(found) == count:
            break
    return found


def test_lower_estimate_upper_are_in_order_wherever_there_is_an_answer():
    for name in CALCULATORS:
        found = answers(name, 12)
        assert found, name
        for given, (lower, estimate, upper) in found:
            assert np.all((lower <= estimate) & (estimate <= upper)), (name, given, lower, estimate, upper)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("log_leakage_ceiling", (3.0, 2107, 9, 5, 3.0)),
        ("priority_gap", (3.0, 5.0, 2, 7, 0.7)),
        ("anchors_for_fidelity", (0.9999999999999999, 40.913587303825295, 2422, 76)),
    ],
)
def test_a_reported_enclosure_is_in_order(name, arguments):
    lower, estimate, upper = getattr(bounds, name)(*arguments, rigorous=True)
    assert lower <= estimate <= upper


def _inside(x: mpf, r: mpf, m: mpf, span: mpf | None, tau: mpf) -> mpf:
    """Weight of the block over that of the largest outsider."""
    return r * exp(x) + (0 if span is None else (m - r) * exp(max(x, 0) - span / tau))


def _leakage(margin: mpf, n: mpf, m: mpf, r: mpf | None, tau: mpf, span: mpf | None) -> mpf:
    return (n - m) / (n - m + _inside(margin / tau, m if r is None else r, m, span, tau))


def _entropy_ceiling(margin: mpf, n: mpf, m: mpf, r: mpf | None, tau: mpf) -> mpf:
    x, r = max(margin / tau, 0), m if r is None else r
    u = (n - m) * exp(-x)
    return log((m - r) + (r + u) * exp(x * u / (r + u)))


def _split(eps: mpf, n: mpf, m: mpf) -> mpf:
    return sum((p * log(k / p) for p, k in ((eps, n - m), (1 - eps, m)) if p), mpf(0))


def _levels(*levels: tuple[mpf, mpf]) -> mpf:
    """Entropy of so many keys at each logit."""
    z = sum(count * exp(height) for count, height in levels)
    return log(z) - sum(count * height * exp(height) for count, height in levels) / z


def _floor(span: mpf, n: mpf, tau: mpf) -> mpf:
    return min(_levels((k, span / tau), (n - k, mpf(0))) for k in range(1, int(n)))


def _floor_with_margin(margin: mpf, span: mpf, n: mpf, m: mpf, r: mpf | None, tau: mpf) -> mpf:
    x, d, r = margin / tau, span / tau, m if r is None else r
    free = range(int(m - r) + 1)
    rows = [((f + r - i, d), (mpf(i), x), (n - f - r, mpf(0))) for f in free for i in range(int(r) + 1)]
    rows += [((f + r, d), (mpf(j), d - x), (n - f - r - j, mpf(0))) for f in free for j in range(int(n - m) + 1)]
    return min(_levels(*row) for row in rows)


def _kappa(fidelity: mpf, leakage: mpf) -> mpf:
    return max(mpf(0), log(leakage * fidelity / ((1 - leakage) * (1 - fidelity)))) if leakage else mpf(0)


def _scaled_margin(fidelity: mpf, n: mpf, m: mpf, r: mpf | None) -> mpf:
    return log((n - m) * fidelity / ((m if r is None else r) * (1 - fidelity)))


def _quadratic(g: mpf, twice: mpf) -> mpf:
    return (g + sqrt(g * g + twice)) / 2


def _level(g, v, xb, xc, dc, p, tau, share=0.5):
    return g * v * xb * p / tau * min(dc / 4, xc * share)


def _phi(eps: mpf, of: str) -> mpf:
    at, beyond = (
        (mpf(1) / 3, (1 + eps) ** 2 / 8) if of == "each" else (1 - 1 / sqrt(2), (sqrt(2) - 1) * eps + 1.5 - sqrt(2))
    )
    return eps * (1 - eps) if eps <= at else beyond


TRUTH: dict[str, Callable[..., mpf]] = {
    "leakage_ceiling": _leakage,
    "log_leakage_ceiling": lambda *a: log(_leakage(*a)),
    "fidelity_floor": lambda *a: 1 - _leakage(*a),
    "margin_for_fidelity": lambda f, n, m, r, tau: tau * _scaled_margin(f, n, m, r),
    "entropy_ceiling": _entropy_ceiling,
    "entropy_split": _split,
    "fidelity_ceiling": lambda span, n, m, tau: m / (m + (n - m) * exp(-span / tau)),
    "entropy_floor": _floor,
    "entropy_floor_with_margin": _floor_with_margin,
    "dial_leakage": lambda e, d: e * (1 - d) / (1 - d * e),
    "kappa_leakage": lambda e, k: e * exp(-k) / (1 - e + e * exp(-k)),
    "kappa_for_fidelity": _kappa,
    "dial_for_fidelity": lambda f, e: 1 - exp(-_kappa(f, e)),
    "worst_case_kappa": lambda f, span, n, m, tau: max(mpf(0), span / tau + _scaled_margin(f, n, m, None)),
    "dial_bias": lambda d, tau: tau * log(1 - d) if d < 1 else -inf,
    "kappa_bias": lambda k, tau: -k * tau,
    "kappa_of_dial": lambda d: -log(1 - d) if d < 1 else inf,
    "dial_of_kappa": lambda k: 1 - exp(-k),
    "penalty_threshold_worst_case": _level,
    "penalty_threshold_leakage_aware": lambda *a: _level(*a[:7], _phi(*a[7:])),
    "penalty_threshold_cauchy_schwarz": lambda x, c, tau: x * c / (4 * tau),
    "penalty_threshold_mean_of_products": lambda *a: (
        sum(g * v * d * q for g, v, d, q in zip(*a[:4])) / (4 * a[4] * len(a[0]))
    ),
    "penalty_threshold_factorised": lambda g, k, f: _quadratic(g * k, 2 * g * f),
    "global_penalty_ceiling": lambda g, m, gain: _quadratic(g, 2 * m * gain),
    "global_penalty_dual": lambda loss, eta, psi, quadratic, n: ((1 - eta) * loss + psi + quadratic * n * n) / n,
    "global_penalty_witness": lambda a, b, norms: max(a - b, 0) / sum(norms) if sum(norms) else mpf(0),
    "drift_bound": lambda e, lip: sum(v * mpmath.fprod(1 + k for k in lip[i + 1 :]) for i, v in enumerate(e)),
    "recruitment_price": lambda p, n, c: c + p * log(n) / 2,
    "anchor_margin": lambda t, phi, beta, jitter: beta * (mpmath.cos(t + jitter) - mpmath.cos(phi - t - jitter)),
    "rule_bias": lambda f, span, n, r, tau: tau * max(mpf(0), span / tau + _scaled_margin(f, n, r, None)),
    "priority_gap": lambda c, span, a, b, tau: span + tau * log(c * b / a),
    "most_attention": lambda span, n, tau: 1 / (1 + (n - 1) * exp(-span / tau)),
    "least_attention": lambda span, n, tau: 1 / (1 + (n - 1) * exp(span / tau)),
    "scalable_softmax_floor": lambda delta, n, m, r, s: (r or m) / ((r or m) + (n - m) * exp(-s * delta * log(n))),
    "hopfield_error": lambda n, b, sep, m, d: 2 * m * (n - 1) * exp(-b * (sep - 2 * m * d)),
    "retrieval_error": lambda n, b, sep, m, d: 2 * m / (1 + exp(b * (sep - 2 * m * d)) / (n - 1)),
}
REPORTED = (
    ("margin_for_fidelity", (1e-6, 64, 9, 9, LARGEST)),
    ("log_leakage_ceiling", (1e308, 10, 5, None, 1e-6, None)),
    ("hopfield_error", (10, 1e3, 0.0, 10.0, 1.0)),
    ("entropy_floor_with_margin", (0.0, 746.0, 10, 3, None, 1.0)),
    ("entropy_ceiling", (LARGEST, 64, 50, None, LARGEST)),
    ("kappa_bias", (10.0, 1e308)),
    ("rule_bias", (0.9, 5.0, 64, 3, 1e308)),
)


def exact(name: str, arguments: Any) -> mpf:
    def of(value: Any) -> Any:
        if isinstance(value, list):
            return [mpf(v) for v in value]
        return mpf(value) if isinstance(value, int | float) else value

    with mpmath.workdps(DIGITS):
        return TRUTH[name](*map(of, arguments))


def test_the_exact_value_is_enclosed_at_the_ends_of_float64():
    for name in TRUTH:
        for given, (lower, _, upper) in answers(name, 8):
            if given.get("n_keys", 0) > 100 and name.startswith("entropy_floor"):
                continue  # truth by brute force
            truth = exact(name, given.values())
            assert lower <= truth <= upper, (name, given, lower, mpmath.nstr(truth), upper)


def test_a_reported_extreme_is_enclosed():
    for name, arguments in REPORTED:
        found = getattr(bounds, name)(*arguments, rigorous=True)
        if not isinstance(found, Unreachable):
            assert found.lower <= exact(name, arguments) <= found.upper, (name, arguments, found)


def test_steps_beyond_two_to_the_53_are_enclosed():
    found = bounds.steps_to_zero(1e300, 1.0, 0.3, 1e-3, rigorous=True)
    with mpmath.workdps(400):
        assert found.lower <= mpmath.ceil(mpf(1e300) / (mpf(1e-3) * (1 - mpf(0.3)))) <= found.upper


def test_a_context_beyond_any_count_is_the_largest_count():
    found = bounds.context_for_fidelity(0.999999999, 1e300, 1, temperature=1e4, rigorous=True)
    assert found == (2.0**53, 2.0**53, 2.0**53)


def test_ends_beyond_float64_are_not_both_infinite():
    """1e400 lies between the largest number and infinity, and an infinity alone is exact."""
    import flint

    with working_precision():
        big = flint.arb(10) ** 400
        assert outward(big) == (LARGEST, math.inf)
        assert outward(-big) == (-math.inf, -LARGEST)
        assert outward(flint.arb.neg_inf()) == (-math.inf, -math.inf)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("worst_case_kappa", (5e-324, 1.0, 64, 50)),
        ("retrieval_error", (10, 1e300, 0.0, 1e10, 1.0)),
        ("sigma_reparam_floor", (1e308, 10, 1e-6)),
        ("most_attention", (1e308, 10, 1e-6)),
        ("least_attention", (1e308, 10, 1e-6)),
        ("penalty_threshold_worst_case", (1e200, 1e200, 1.0, 1.0, 1.0)),
        ("rule_bias", (0.9, 5.0, 64, 3, 1e308)),
        ("drift_bound", ([1.0, 0.0, 1.0], [1.0, 1e308, 1e308])),
    ],
)
def test_no_raw_warning_reaches_the_caller(name, arguments):
    with np.errstate(all="raise"):
        value = getattr(bounds, name)(*arguments)
        assert isinstance(value, Unreachable) or not np.isnan(value)


def test_an_infinity_that_is_exact_is_both_ends():
    assert bounds.dial_bias(1.0, rigorous=True) == (-math.inf,) * 3
    assert bounds.kappa_of_dial(1.0, rigorous=True) == (math.inf,) * 3
    assert bounds.kappa_bias(math.inf, rigorous=True) == (-math.inf,) * 3
    assert bounds.temperature_for_fidelity(0.1, 1.0, 10, 9, rigorous=True) == (math.inf,) * 3
    assert bounds.log_leakage_ceiling(math.inf, 10, 4, rigorous=True).lower == -math.inf


def test_what_no_range_can_hold_is_bounded_by_what_every_row_obeys():
    """2 M (N-1) e^(-beta (Delta - 2 M d)) with 2 M d beyond float64 and beta 0: 2 M is always enough."""
    assert bounds.hopfield_error(10, 0.0, 1.0, 1e300, 1e300) == math.inf
    assert bounds.retrieval_error(10, 0.0, 1.0, 1e300, 1e300) == 2e300
