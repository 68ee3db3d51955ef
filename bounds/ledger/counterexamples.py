"""Readings of the claims that are false: the counterexample, and what is true instead. Each has a test."""

# sympy does not type its operators.
# pyright: reportOperatorIssue=false

from __future__ import annotations

from dataclasses import dataclass

from sympy import Expr, Rational, Symbol, exp, log, oo
from sympy import limit as limit_of

from bounds.theory.symbols import c, x_plus, y
from bounds.theory.theorem import ProofStep


@dataclass(frozen=True)
class Counterexample:
    """A claim as it may be read, why that is false, and what is true instead."""

    claim: str
    name: str
    reading: str
    refutation: str
    repaired: str
    steps: tuple[ProofStep, ...]
    tests: tuple[str, ...]


_EXCESS = log(1 + y) + x_plus * y / (1 + y)  # H - ln m at its maximum, r = m, y = (n-m) e^-x / m
_SHARPEST = (1 + x_plus) * exp(-(1 - c) * x_plus)


def _anchored(r: int) -> Expr:
    """Entropy of r anchors at 23/5 over 100 keys at 0."""
    x, n = Rational(23, 5), 100
    total = r * exp(x) + n
    return log(total) - r * x * exp(x) / total


_scale = Symbol("c", positive=True)
_scaled_leakage = 1 / (1 + exp(_scale))  # one key inside, one outside, margin c

COUNTEREXAMPLES = (
    Counterexample(
        "C4",
        "a pure exponential",
        "Entropy is at most ln m + C (n-m)/m e^-x, one constant C for all margins x.",
        "The largest entropy exceeds ln m by (1 + x)(n-m)/m e^-x to leading order, and 1 + x has no bound.",
        "For every 0 <= c < 1, entropy is at most ln m + (n-m)/m e^-c/(1-c) e^(-c x) (r = m, x >= 0), with the best "
        "constant; it is touched at x = c/(1-c) as (n-m)/m falls.",
        (
            ProofStep("Excess over (n-m)/m e^-x tends to 1 + x", residual=limit_of(_EXCESS / y, y, 0) - (1 + x_plus)),
            ProofStep("which is unbounded", relation=limit_of(1 + x_plus, x_plus, oo) > 10**9),
            ProofStep(
                "(1+x) e^(-(1-c) x) is stationary at x = c/(1-c)",
                residual=_SHARPEST.diff(x_plus).subs(x_plus, c / (1 - c)),
            ),
            ProofStep("where it is e^-c/(1-c)", residual=_SHARPEST.subs(x_plus, c / (1 - c)) - exp(-c) / (1 - c)),
        ),
        (
            "tests/bounds/ledger/test_claims.py::test_no_single_constant_bounds_the_entropy",
            "tests/bounds/ledger/test_claims.py::test_repaired_family_holds_with_its_best_constant",
        ),
    ),
    Counterexample(
        "C3",
        "without anchors",
        "A large enough penalty alone concentrates attention on the relevant block.",
        "With every cross block zero the logits outside are 0, not minus infinity: with own logits 0 too, fidelity is "
        "m/n, and tends to 0 as n grows.",
        "Anchors of logit a for their own block's queries give a margin, and fidelity at least "
        "r/(r + (n-m)e^(-a/tau)): theorem `anchor_floor`.",
        (),
        ("tests/bounds/dial/test_dial.py::test_zero_cross_blocks_without_anchors_concentrate_nothing",),
    ),
    Counterexample(
        "C3",
        "an optimum always exists",
        "The localised problem has an optimum, at which the critical penalty can be read off.",
        "If some W separates the keys to attend to by a positive margin, W times c lowers the loss for ever: the "
        "leakage is "
        "positive at every finite c and tends to 0.",
        "Cap ||W_bb||, or report the critical penalty with the in-block residual. That training then moves towards the "
        "max-margin direction is Tarzanagh et al. 2023 (arXiv:2306.13596).",
        (
            ProofStep("The ceiling at margin c x falls in c", relation=(_scaled_leakage.diff(_scale).simplify() < 0)),
            ProofStep("and has no least value: it tends to 0", residual=limit_of(_scaled_leakage, _scale, oo)),
        ),
        ("tests/bounds/ledger/test_ledger.py::test_separable_data_have_no_in_block_optimum",),
    ),
    Counterexample(
        "C11",
        "fidelity and entropy together",
        "Redundant anchors raise fidelity and entropy together.",
        "With 100 outside keys at 0, anchors at 4.6 and r = 1, 2, 3: fidelity rises, 0.50, 0.67, 0.75, entropy "
        "falls, 3.00, "
        "2.64, 2.54 nats.",
        "dH/dr = (q/r)(1 - eps G): entropy falls until leakage times gap is 1 and rises after, theorem "
        "`replication_slope`.",
        (
            ProofStep(
                "H of r anchors at x over N outsiders at 0 falls from r = 1 to 2 at N = 100, x = 23/5",
                relation=(_anchored(2) < _anchored(1)),
            ),
            ProofStep("and from 2 to 3", relation=(_anchored(3) < _anchored(2))),
        ),
        ("tests/bounds/ledger/test_ledger.py::test_redundancy_need_not_raise_entropy",),
    ),
    Counterexample(
        "C11",
        "exponential rate for every kernel",
        "Kernelised attention obeys an exponential bound in the margin of its scores.",
        "With the kernel (1 + s)^p one anchor at score d against N keys at 0 leaks N/(N + (1+d)^p): times e^(a d), "
        "for any "
        "a > 0, that grows without bound.",
        "The margin that counts is ln(anchor weight / outside weight): theorem `weights_leakage`; a kernel whose "
        "values "
        "span a bounded factor has a ceiling, theorem `kernel_ceiling`.",
        (
            ProofStep(
                "e^(d/10) / (1 + (1+d)^3) has no bound",
                relation=(limit_of(exp(x_plus / 10) / (1 + (1 + x_plus) ** 3), x_plus, oo) > 10**9),
            ),
        ),
        ("tests/bounds/ledger/test_ledger.py::test_a_polynomial_kernel_has_no_exponential_rate",),
    ),
    Counterexample(
        "C12",
        "without the condition",
        "If every reload removes a violation with probability at least p, compliance tends to 1.",
        "Reloads that all work or all fail, with probability 1/2 each: every one removes with probability 1/2, and the "
        "violation persists with probability 1/2 for ever.",
        "With removal at least p_t *given that the violation persists* it is at most the product of 1 - p_t: theorems "
        "`reload_compliance`, `reload_limit`.",
        (),
        ("tests/bounds/ledger/test_ledger.py::test_correlated_reloads_stay_at_one_half",),
    ),
    Counterexample(
        "C13",
        "powers of depth",
        "Schedules (l/L)^beta tend to the least cost as they get steeper.",
        "L = 8 layers of equal value diameter, Lip = 1/4, a budget for the last five: within it (l/L)^beta reaches "
        "0.88, "
        "0.51 and 0.38 of the optimum at beta = 1, 3 and 5, and tends to 0.20, the last layer alone.",
        "The optimum is a knapsack, theorem `schedule_optimum`; the clipped family min(1, s (l/l0)^beta) tends to "
        "it where "
        "the last layers are the cheapest, theorem `late_layers`: 0.88, 0.98, 0.99, and 1.00 at beta = 40.",
        (),
        ("tests/bounds/ledger/test_ledger.py::test_powers_of_depth_do_not_tend_to_the_optimum",),
    ),
    Counterexample(
        "C10",
        "with Nesterov's momentum",
        "Proximal steps identify a zero group in ceil(||W|| / (eta (lambda - g))) steps, accelerated or not.",
        "With momentum 0.98 and a gradient of norm 0.5 lambda along the velocity, a group of norm 1 with eta lambda "
        "= 0.01 "
        "swings for ever; 200 steps are predicted.",
        "Plain steps, theorem `steps_to_zero`; heavy ball with g/(1-mu), theorem `heavy_ball_steps`; Nesterov's if the "
        "extrapolated group is reset whenever it is longer than the group.",
        (),
        ("tests/bounds/ledger/test_ledger.py::test_nesterov_breaks_finite_identification",),
    ),
    Counterexample(
        "C9",
        "nothing more helps",
        "When recruitment ends no further recruitment lowers the penalised likelihood.",
        "Two parts that only explain the data together: neither alone lowers the NLL, so neither is recruited, and "
        "both "
        "would be worth far more than their price.",
        "No *single* recruitment helps at the end: theorem `recruitment_end`.",
        (),
        ("tests/bounds/ledger/test_ledger.py::test_a_pair_may_still_be_worth_recruiting",),
    ),
    Counterexample(
        "C14",
        "more dial, less entropy",
        "Turning the dial up lowers the entropy of every row.",
        "A row with one key inside, of mass 0.01, and one outside, of mass 0.99: entropy rises from 0.056 to ln 2 "
        "nats on "
        "the way and falls to 0 only after.",
        "It falls throughout iff the leakage at dial 0 is at most e^H_out/(e^H_in + e^H_out): theorem "
        "`entropy_turning_point`.",
        (),
        ("tests/bounds/ledger/test_ledger.py::test_entropy_may_first_rise_along_the_dial",),
    ),
)
