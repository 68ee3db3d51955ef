"""The claims of the papers beside what is proved here: renders paper_checks.md from the theorem objects.

`python -m bounds.claims` writes the file, `python -m bounds.claims --check` exits 1 where it is stale.
Only the abstracts are at hand, so a claim is an abstract's, and every formula is ours.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sympy import exp, latex, log, oo
from sympy import limit as limit_of

from bounds.theorems import THEOREMS
from bounds.theorems.symbols import c, x_plus, y
from bounds.theorems.theorem import ProofStep, Relation, Theorem

FILE = Path(__file__).resolve().parent.parent / "paper_checks.md"

MAIN = "arXiv:2510.09338v2"
RECRUITMENT, RULES, PROGRESSIVE, AILA = "arXiv:2510.17358", "arXiv:2510.05106", "arXiv:2511.18375", "arXiv:2511.03559"


@dataclass(frozen=True)
class Claim:
    """What an abstract claims, in our words, and what became of it."""

    key: str
    source: str
    words: str
    verdict: str


CLAIMS = (
    Claim(
        "C1",
        MAIN,
        "a locality dial moves the model continuously between localist and distributed",
        "proved for every attention row, given that layer's input: the odds law is exact and continuous in the dial",
    ),
    Claim(
        "C2",
        MAIN,
        "the dial works at inference, with no retraining",
        "proved for every attention row, given that layer's input; several layers together are not stated here",
    ),
    Claim(
        "C3",
        MAIN,
        "penalty thresholds exist above which attention concentrates on the relevant block",
        "true with two additions: *which* threshold (worst case, leakage-aware, critical), and anchors. False without "
        "anchors, see below",
    ),
    Claim(
        "C4",
        MAIN,
        "attention entropy then obeys an exponential bound",
        "false as a pure exponential with one constant, see below; proved in the exact form and as a repaired family",
    ),
    Claim("C5", MAIN, "pointer fidelity then obeys an exponential bound", "proved, with the best constants"),
    Claim(
        "C6",
        MAIN,
        "the error of doing so is negligible",
        "touched only: the dial scales the odds of the leakage, and nothing else moves the output. An output error "
        "bound is not stated here",
    ),
    Claim(
        "C10",
        RECRUITMENT,
        "results hold at stationary points, with exact constants",
        "proved for the group penalty: stationarity, levels A and D, finite identification by plain proximal steps",
    ),
)
NOT_YET = (
    ("C7", MAIN, "information-theoretic anchor design"),
    ("C8", MAIN, "dynamic rule injection"),
    ("C9", RECRUITMENT, "recruitment by penalised likelihood converges"),
    ("C11", RULES, "anchor redundancy raises fidelity and entropy together; five kinds of attention"),
    ("C12", RULES, "hot reload of verified rules raises asymptotic compliance"),
    ("C13", PROGRESSIVE, "steep layer schedules, late layers localised, cost least"),
    ("C14", AILA, "measured entropies and the best intermediate dial on text"),
)


@dataclass(frozen=True)
class Counterexample:
    """A claim as it may be read, why that is false, and what is true instead."""

    claim: str
    reading: str
    refutation: str
    repaired: str
    steps: tuple[ProofStep, ...]
    tests: tuple[str, ...]


_EXCESS = log(1 + y) + x_plus * y / (1 + y)  # H - ln m at its maximum, r = m, y = (n-m) e^-x / m
_SHARPEST = (1 + x_plus) * exp(-(1 - c) * x_plus)

COUNTEREXAMPLES = (
    Counterexample(
        "C4",
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
            "tests/test_claims.py::test_no_single_constant_bounds_the_entropy",
            "tests/test_claims.py::test_repaired_family_holds_with_its_best_constant",
        ),
    ),
    Counterexample(
        "C3",
        "A large enough penalty alone concentrates attention on the relevant block.",
        "With every cross block zero the logits outside are 0, not minus infinity: with own logits 0 too, fidelity is "
        "m/n, and tends to 0 as n grows.",
        "Anchors of logit a for their own block's queries give a margin, and fidelity at least "
        "r/(r + (n-m)e^(-a/tau)): theorem `anchor_floor`.",
        (),
        ("tests/test_dial.py::test_zero_cross_blocks_without_anchors_concentrate_nothing",),
    ),
)

_ANY_ROW = "tests/test_theorems.py::test_no_row_of_any_logits_violates_a_theorem"
_ATTAINED = "tests/test_theorems.py::test_witnesses_attain_the_bound_and_notice_one_per_cent"
_RANDOM, _FLOORS = (
    "tests/test_concentration.py::test_every_bound_holds_on_random_rows",
    "tests/test_floors.py::test_floors_hold_on_random_rows",
)

TESTS: dict[str, tuple[str, ...]] = {
    "leakage_ceiling": (_ATTAINED, _ANY_ROW, _RANDOM),
    "leakage_ceiling_range": (_ATTAINED, _ANY_ROW, _RANDOM),
    "fidelity_floor": (_ATTAINED, _ANY_ROW, _RANDOM),
    "entropy_ceiling": (_ATTAINED, _ANY_ROW, _RANDOM, "tests/test_concentration.py::test_monotone_in_the_counts"),
    "entropy_envelope": (
        _ATTAINED,
        _ANY_ROW,
        _RANDOM,
        "tests/test_concentration.py::test_the_envelope_for_all_anchors_fails_for_few",
    ),
    "entropy_split": (_ATTAINED, _ANY_ROW, _RANDOM),
    "frontier": (
        _ATTAINED,
        _ANY_ROW,
        _RANDOM,
        "tests/test_concentration.py::test_the_frontier_touches_the_entropy_ceiling_at_the_maximisers_leakage",
    ),
    "fidelity_ceiling": (_ATTAINED, _ANY_ROW, _FLOORS),
    "entropy_floor": (_ATTAINED, _ANY_ROW, "tests/test_floors.py::test_exact_over_whole_numbers_of_keys"),
    "specht_floor": (_ANY_ROW, _FLOORS, "tests/test_floors.py::test_specht_is_never_above_the_exact_floor"),
    "odds_law": ("tests/test_dial.py::test_odds_law_holds_on_rows_and_notices_a_wrong_dial",),
    "anchor_floor": (
        "tests/test_dial.py::test_anchor_floor_holds_and_needs_each_hypothesis",
        "tests/test_dial.py::test_anchor_floor_is_attained_when_the_whole_block_is_anchors",
    ),
    "kkt_zero": ("tests/test_penalty_theorems.py::test_stationarity_holds_and_notices_a_wrong_gradient",),
    "kkt_active": ("tests/test_penalty_theorems.py::test_stationarity_holds_and_notices_a_wrong_gradient",),
    "worst_case_gradient": (
        "tests/test_penalty.py::test_no_gradient_exceeds_the_levels",
        "tests/test_penalty.py::test_level_a_is_attained_by_two_keys",
    ),
    "leakage_aware_gradient": (
        "tests/test_penalty.py::test_no_gradient_exceeds_the_levels",
        "tests/test_penalty.py::test_level_b_is_attained_by_three_points",
        "tests/test_penalty.py::test_the_level_for_a_mean_is_attained_by_a_mixture",
    ),
    "worst_case_threshold": ("tests/test_penalty_theorems.py::test_above_level_a_every_cross_group_is_zero",),
    "steps_to_zero": (
        "tests/test_penalty.py::test_steps_to_zero_is_attained_by_a_constant_outward_gradient",
        "tests/test_penalty.py::test_real_proximal_steps_are_within_the_prediction",
    ),
    "critical_stays": ("tests/test_penalty_theorems.py::test_both_sides_of_the_critical_penalty",),
    "critical_leaves": ("tests/test_penalty_theorems.py::test_both_sides_of_the_critical_penalty",),
}
"""The tests that show a theorem, beside those that every theorem goes through."""

ATTAINED = frozenset({"anchor_floor", "worst_case_gradient", "leakage_aware_gradient", "steps_to_zero"})
"""Theorems without a witness row whose constant one of their tests attains."""

_SIGN = {Relation.AT_MOST: r"\le", Relation.AT_LEAST: r"\ge", Relation.EQUAL: "="}


def named_tests() -> set[str]:
    """Every test that paper_checks.md names."""
    return {test for tests in TESTS.values() for test in tests} | {test for ex in COUNTEREXAMPLES for test in ex.tests}


def _status(theorem: Theorem) -> str:
    outcomes = [step.settled() for step in theorem.proof]
    if False in outcomes:
        return "a step fails"
    return f"{outcomes.count(True)} settled by sympy, {outcomes.count(None)} argued"


def _witness(theorem: Theorem) -> str:
    return "in every run" if theorem.tight else "in a test" if theorem.key in ATTAINED else "none"


def _steps(steps: tuple[ProofStep, ...]) -> Iterator[str]:
    for step in steps:
        status = {True: "sympy", None: "argued", False: "FAILS"}[step.settled()]
        yield f"- [{status}] {step.words}".replace("*", r"\*")


def _theorem(theorem: Theorem) -> Iterator[str]:
    quantity = theorem.quantity.replace("_", " ")
    yield from ("", f"### `{theorem.key}`: {theorem.title}", "", theorem.statement, "")
    yield from ("```math", rf"\text{{{quantity}}} {_SIGN[theorem.relation]} {latex(theorem.expression)}", "```", "")
    yield f"Claims {', '.join(theorem.claims)}; {theorem.source}. One check a {theorem.level}."
    yield from (
        "",
        "Hypotheses, tested on data:",
        "",
        *(f"- {hypothesis.statement}" for hypothesis in theorem.hypotheses),
        "",
        "Proof:",
        "",
    )
    yield from _steps(theorem.proof)
    yield from ("", f"Attained: {_witness(theorem)}. Tests: {_list(TESTS.get(theorem.key, ()))}.")


def _list(tests: tuple[str, ...]) -> str:
    return ", ".join(f"`{test}`" for test in tests) or "none named"


def _counterexample(example: Counterexample) -> Iterator[str]:
    yield from ("", f"### {example.claim} as it may be read", "", f"*Reading.* {example.reading}", "")
    yield from (f"*False.* {example.refutation}", "", f"*Instead.* {example.repaired}", "")
    yield from _steps(example.steps)
    yield from ("", f"Tests: {_list(example.tests)}.")


def render() -> str:
    """The text of paper_checks.md."""
    lines = [
        "# What the papers claim, and what is proved here",
        "",
        "<!-- Generated by `python -m bounds.claims` from the theorem objects. Do not edit. -->",
        "",
        "This file is generated. Only the abstracts are at hand: a claim is an abstract's, in our words, and no",
        "formula is attributed to a paper. Every formula is derived here. A proof step is *settled by sympy* or",
        "*argued* in its words.",
        "",
        "| claim | abstract | claimed | theorems | verdict |",
        "|---|---|---|---|---|",
    ]
    for claim in CLAIMS:
        theorems = ", ".join(f"`{theorem.key}`" for theorem in THEOREMS if claim.key in theorem.claims)
        lines.append(f"| {claim.key} | {claim.source} | {claim.words} | {theorems} | {claim.verdict} |")
    lines += [f"| {key} | {source} | {words} | | not yet stated here |" for key, source, words in NOT_YET]
    lines += ["", "| theorem | claims | proof steps | constant attained | checked per |", "|---|---|---|---|---|"]
    for theorem in THEOREMS:
        cells = (f"`{theorem.key}`", ", ".join(theorem.claims), _status(theorem), _witness(theorem), theorem.level)
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "## False as read"]
    for example in COUNTEREXAMPLES:
        lines += _counterexample(example)
    lines += ["", "## Theorems"]
    for theorem in THEOREMS:
        lines += _theorem(theorem)
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bounds.claims", description="Write paper_checks.md.")
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 where the file is stale")
    text = render()
    if parser.parse_args(arguments).check:
        fresh = FILE.exists() and FILE.read_text(encoding="utf-8") == text
        print(f"{FILE.name} is {'fresh' if fresh else 'stale: run python -m bounds.claims'}")
        return 0 if fresh else 1
    FILE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
