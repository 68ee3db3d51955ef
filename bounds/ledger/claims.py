"""The claims of the papers beside what is proved here: renders paper_checks.md from theorems and evidence.

`localist claims` writes it with the graph of theorems and docs/proofs.md; with --check it exits 1 where one is stale.
Only the abstracts are at hand, so a claim is an abstract's, and every formula is ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sympy import latex

from bounds.kinds.theorems import KINDS
from bounds.ledger import formal
from bounds.ledger.counterexamples import COUNTEREXAMPLES, Counterexample
from bounds.ledger.evidence import FOLDER, Evidence, load, status
from bounds.numbers.errors import BadInput
from bounds.numbers.repository import ROOT
from bounds.printing.numpy_forms import generate
from bounds.theorems import THEOREMS
from bounds.theory.lemmas import LEMMAS
from bounds.theory.theorem import ProofStep, Relation, Theorem

FILE = ROOT / "paper_checks.md"
GRAPH = FOLDER / "dependencies.svg"

MAIN = "arXiv:2510.09338v2"
RECRUITMENT, RULES, PROGRESSIVE, AILA = "arXiv:2510.17358", "arXiv:2510.05106", "arXiv:2511.18375", "arXiv:2511.03559"


@dataclass(frozen=True)
class Claim:
    """What an abstract claims, in our words, and what became of it."""

    key: str
    source: str
    words: str
    status: str
    verdict: str


PROVED, REPAIRED = "proved", "refuted as read, repaired"
OPEN = "not decidable from the abstract"

CLAIMS = (
    Claim(
        "C1",
        MAIN,
        "a locality dial moves the model continuously between localist and distributed",
        PROVED,
        "for every attention row, given that layer's input: the odds law is exact and continuous in the dial, and the "
        "output moves along one segment. Entropy is not always monotone on the way: `entropy_turning_point` says when",
    ),
    Claim(
        "C2",
        MAIN,
        "the dial works in training and at inference, with no retraining",
        PROVED,
        "at inference: per row, in the worst case over a range, and through depth by `depth_sum`. In training the "
        "dial is "
        "a penalty, see C3",
    ),
    Claim(
        "C3",
        MAIN,
        "penalty thresholds exist above which attention concentrates on the relevant block",
        REPAIRED,
        "true with two additions: *which* threshold (worst case A, leakage-aware B, products C, critical D, global E), "
        "and anchors. False without anchors",
    ),
    Claim(
        "C4",
        MAIN,
        "attention entropy then obeys an exponential bound",
        REPAIRED,
        "false as a pure exponential with one constant; proved in the exact form and as a repaired family",
    ),
    Claim("C5", MAIN, "pointer fidelity then obeys an exponential bound", PROVED, "with the best constants"),
    Claim(
        "C6",
        MAIN,
        "the error of doing so is negligible",
        PROVED,
        "as a number: leakage times the diameter of the values in each layer, amplified through depth by at most "
        "`depth_sum`. Whether that is negligible is measured",
    ),
    Claim(
        "C7",
        MAIN,
        "information-theoretic anchor design",
        PROVED,
        "the margin that angles give, how far apart K anchors can lie, and how much a pointer of that fidelity tells",
    ),
    Claim(
        "C8",
        MAIN,
        "dynamic rule injection",
        PROVED,
        "for attention mass and priority; removal restores the stored logits exactly. Compliance of behaviour is "
        "measured",
    ),
    Claim(
        "C9",
        RECRUITMENT,
        "blocks, and whole models, are recruited by penalised likelihood; the process converges",
        REPAIRED,
        "the number of recruitments is bounded, for blocks and models alike; at the end no *single* recruitment helps, "
        "pairs may",
    ),
    Claim(
        "C10",
        RECRUITMENT,
        "results hold at stationary points, with exact constants",
        REPAIRED,
        "for the group penalty: stationarity, levels A to E, finite identification by plain and heavy-ball steps, "
        "Adam's "
        "own threshold, factorised heads. False for Nesterov's momentum",
    ),
    Claim(
        "C11",
        RULES,
        "anchor redundancy raises fidelity and entropy together; five kinds of attention",
        REPAIRED,
        "fidelity always rises, entropy only once leakage times gap is at most 1; all kinds with positive weights are "
        "covered, an exponential rate only where the kernel is exponential in the score",
    ),
    Claim(
        "C12",
        RULES,
        "hot reload of verified rules raises asymptotic compliance",
        REPAIRED,
        "proved if each reload works *given that the violation persists*, and none is brought back; false without",
    ),
    Claim(
        "C13",
        PROGRESSIVE,
        "steep layer schedules, late layers localised, cost least",
        REPAIRED,
        "the optimum under a drift budget is a knapsack; it is the last layers iff V_{l+1} <= (1 + Lip_{l+1}) V_l; "
        "powers "
        "(l/L)^beta do not tend to it. It optimises a bound: the claim is explained, not proved",
    ),
    Claim(
        "C14",
        AILA,
        "on text, two layers: entropy 5.36 bits at dial 1 against 7.18 at dial 0; best trade-off at dial 0.6",
        OPEN,
        "a measurement: the abstract gives neither data nor model. That more dial means less entropy has a condition, "
        "which is proved",
    ),
)


_LEDGER = "tests/bounds/ledger/test_ledger.py::"
TESTS: dict[str, tuple[str, ...]] = {
    "entropy_ceiling": (
        f"{_LEDGER}test_entropy_maximum_by_brute_force",
        "tests/bounds/concentration/test_concentration.py::test_monotone_in_the_counts",
    ),
    "entropy_envelope": (
        "tests/bounds/concentration/test_concentration.py::test_the_envelope_for_all_anchors_fails_for_few",
    ),
    "repaired_envelope": ("tests/bounds/ledger/test_claims.py::test_repaired_family_holds_with_its_best_constant",),
    "frontier": (
        f"{_LEDGER}test_frontier_by_brute_force",
        "tests/bounds/concentration/test_concentration.py::test_the_frontier_touches_the_entropy_ceiling_at_the_maximisers_leakage",
    ),
    "entropy_floor": ("tests/bounds/floors/test_floors.py::test_exact_over_whole_numbers_of_keys",),
    "entropy_floor_margin": (f"{_LEDGER}test_floor_with_margin_is_exact",),
    "specht_floor": ("tests/bounds/floors/test_floors.py::test_specht_is_never_above_the_exact_floor",),
    "odds_law": ("tests/bounds/dial/test_dial.py::test_odds_law_holds_on_rows_and_notices_a_wrong_dial",),
    "anchor_floor": ("tests/bounds/dial/test_dial.py::test_anchor_floor_is_attained_when_the_whole_block_is_anchors",),
    "kkt_zero": (
        "tests/bounds/penalty/test_penalty_theorems.py::test_stationarity_holds_and_notices_a_wrong_gradient",
    ),
    "kkt_active": (
        "tests/bounds/penalty/test_penalty_theorems.py::test_stationarity_holds_and_notices_a_wrong_gradient",
    ),
    "worst_case_gradient": (
        f"{_LEDGER}test_heads_by_autograd",
        "tests/bounds/penalty/test_penalty.py::test_level_a_is_attained_by_two_keys",
    ),
    "leakage_aware_gradient": (
        "tests/bounds/penalty/test_penalty.py::test_level_b_is_attained_by_three_points",
        "tests/bounds/penalty/test_penalty.py::test_the_level_for_a_mean_is_attained_by_a_mixture",
    ),
    "worst_case_threshold": (
        "tests/bounds/penalty/test_penalty_theorems.py::test_above_level_a_every_cross_group_is_zero",
    ),
    "steps_to_zero": (
        "tests/bounds/penalty/test_penalty.py::test_steps_to_zero_is_attained_by_a_constant_outward_gradient",
        f"{_LEDGER}test_nesterov_breaks_finite_identification",
    ),
    "critical_stays": ("tests/bounds/penalty/test_penalty_theorems.py::test_both_sides_of_the_critical_penalty",),
    "critical_leaves": ("tests/bounds/penalty/test_penalty_theorems.py::test_both_sides_of_the_critical_penalty",),
    "quadratic_dual": (f"{_LEDGER}test_quadratic_majorants_by_brute_force",),
    "adam_threshold": (f"{_LEDGER}test_adam_moves_by_its_own_threshold",),
    "schedule_optimum": (f"{_LEDGER}test_schedule_is_the_linear_programme",),
    "sigma_reparam_floor": (f"{_LEDGER}test_sigma_reparam_is_attained_by_a_centred_one_hot",),
    "anchors_levenshtein": (f"{_LEDGER}test_the_pentagon_attains_the_third_degree",),
    "rule_mass": (f"{_LEDGER}test_removing_a_rule_restores_the_row",),
}
"""The tests that show a theorem, beside the evidence that every theorem has."""

ALL = (f"{_LEDGER}test_quick_evidence_stands", f"{_LEDGER}test_no_proof_step_fails")
"""Tests that every theorem goes through."""

_SIGN = {Relation.AT_MOST: r"\le", Relation.AT_LEAST: r"\ge", Relation.EQUAL: "="}


def named_tests() -> set[str]:
    """Every test that paper_checks.md names."""
    named = {test for tests in TESTS.values() for test in tests} | {test for ex in COUNTEREXAMPLES for test in ex.tests}
    return named | set(ALL)


def _evidence() -> dict[str, Evidence]:
    """The committed evidence. Raises BadInput where a theorem has none, or has it from another version."""
    found = {}
    for theorem in THEOREMS.values():
        evidence = load(theorem)
        if evidence is None:
            raise BadInput(f"evidence/ must hold every theorem, got none on {theorem.key}: run localist verify")
        found[theorem.key] = evidence
    return found


def _statuses(evidence: dict[str, Evidence]) -> dict[str, str]:
    return {theorem.key: status(theorem, evidence[theorem.key]) for theorem in THEOREMS.values()}


def _kinds(theorem: Theorem, evidence: Evidence) -> Iterator[str]:
    """One cell for each kind of evidence."""
    symbolic, adversary, witness = evidence["symbolic"], evidence["adversary"], evidence["witness"]
    yield f"{symbolic['settled']} + {len(symbolic['lemmas'])} lemmas" + (
        f" + {len(symbolic['argued'])} argued" if symbolic["argued"] else ""
    )
    proved = [e["decision"] for e in evidence["enclosure"] if e["expected"] == "PROVED"]
    yield f"{proved.count('PROVED')} of {len(proved)}" if proved else ""
    yield (
        f"{min(1.0, witness['ratio']):.6f}"
        if witness
        else f"({adversary['closest']:.4f})"
        if theorem.attained
        else "valid"
    )
    needed = [n for n in evidence["necessity"] if not n["spare"]]
    yield f"{sum(n['breaks'] is not None for n in needed)} of {len(needed)}"
    yield f"{adversary['violated']} of {adversary['rows']:,}; {adversary['tightened']:,}"
    observed = [run["counts"] for run in evidence["observed"]]
    held, violated = (sum(counts.get(name, 0) for counts in observed) for name in ("HOLDS", "VIOLATED"))
    yield f"{held:,} hold, {violated} violate" if observed else ""
    checked = evidence["formal"]
    yield f"{checked.module}: {len(checked.names)}" if checked else "no"
    caught = [name for name, seen in evidence["mutation"].items() if seen]
    yield ", ".join(caught)


def _steps(steps: tuple[ProofStep, ...]) -> Iterator[str]:
    for step in steps:
        settled = step.settled()
        label = (
            f"lemma: {step.lemma}"
            if settled is None and step.lemma
            else {True: "sympy", None: "argued", False: "FAILS"}[settled]
        )
        yield f"- [{label}] {step.words}".replace("*", r"\*")


def _shown(found: dict[str, object] | None) -> str:
    """A breaking input, the numbers alone."""
    if found is None:
        return "**none found**"
    numbers = [
        f"{name} {value:g}"
        for name, value in found.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    ]
    return "broken by " + ", ".join(numbers[:12])


def _theorem(theorem: Theorem, evidence: Evidence, standing: str) -> Iterator[str]:
    quantity = theorem.quantity.replace("_", " ")
    yield from ("", f"### `{theorem.key}`: {theorem.title}", "", theorem.statement, "")
    yield from ("```math", rf"\text{{{quantity}}} {_SIGN[theorem.relation]} {latex(theorem.expression)}", "```", "")
    rests = f" Rests on {_list(theorem.needs)}." if theorem.needs else ""
    cited = f"Claims {', '.join(theorem.claims)}; {theorem.source}"
    yield f"Status: {standing}. {cited}. One check a {theorem.level}.{rests}"
    yield from ("", *_formal(theorem.key), "Hypotheses, and what happens without each:", "")
    for needed in evidence["necessity"]:
        without = f"spare: {needed['spare']}" if needed["spare"] else _shown(needed["breaks"])
        yield (
            f"- {needed['hypothesis']} ({without})".replace("*", r"\*")
            if needed["spare"]
            else f"- {needed['hypothesis']} ({without})"
        )
    yield from ("", "Proof:", "")
    yield from _steps(theorem.proof)
    if evidence["enclosure"]:
        yield from ("", "Enclosed by Arb:", "")
        for e in evidence["enclosure"]:
            box = ", ".join(f"{name} in [{low:g}, {high:g}]" for name, (low, high) in e["box"].items())
            yield f"- {e['decision']}: {e['words']} ({box}; {e['boxes']} boxes)"
    if tests := TESTS.get(theorem.key):
        yield from ("", f"Tests: {_list(tests)}.")


def _formal(key: str) -> Iterator[str]:
    """Where the formal statements are, or why there is none."""
    if checked := formal.of(key):
        yield f"Formal: `{checked.module}.v`, {_list(checked.names)}."
    else:
        yield f"Formal: none. {formal.why_not(key)}"
    yield ""


def _list(tests: tuple[str, ...]) -> str:
    return ", ".join(f"`{test}`" for test in tests)


def _counterexample(example: Counterexample) -> Iterator[str]:
    yield from ("", f"### {example.claim}: {example.name}", "", f"*Reading.* {example.reading}", "")
    yield from (f"*False.* {example.refutation}", "", f"*Instead.* {example.repaired}", "")
    if refuted := formal.refutation(example.name):
        yield from (f"Formal: `{refuted}`.", "")
    yield from _steps(example.steps)
    yield from ("", f"Tests: {_list(example.tests)}.")


def render() -> str:
    """The text of paper_checks.md. Raises BadInput where evidence is missing or of another version."""
    evidence = _evidence()
    standing = _statuses(evidence)
    lines = [
        "# What the papers claim, and what is proved here",
        "",
        "<!-- Generated by `localist claims` from the theorems and evidence/. Do not edit. -->",
        "",
        "This file is generated. Only the abstracts are at hand: a claim is an abstract's, in our words, and no",
        "formula is attributed to a paper. Every formula is derived here, or names where it is published.",
        "",
        "| claim | abstract | claimed | theorems | status | verdict |",
        "|---|---|---|---|---|---|",
    ]
    for claim in CLAIMS:
        theorems = ", ".join(f"`{theorem.key}`" for theorem in THEOREMS.values() if claim.key in theorem.claims)
        lines.append(
            f"| {claim.key} | {claim.source} | {claim.words} | {theorems} | {claim.status} | {claim.verdict} |"
        )
    lines += [
        "",
        "![Theorems by claim, coloured by status; an arrow points to what a proof rests on]"
        "(bounds/ledger/evidence/dependencies.svg)",
        "",
        "## Evidence",
        "",
        "*formal*: Coq has checked a proof about the printed expression, side by side with these words in",
        "[docs/proofs.md](docs/proofs.md);",
        "*proved*: every proof step is settled by sympy or rests on a lemma named below; *argued*: some step is words",
        "alone. *Symbolic*: steps. *Enclosure*: inequalities decided by Arb over a box. *Witness*: how far the input",
        "that attains the bound reaches; in brackets, how close the adversary came. *Needed*: hypotheses that an input",
        "found by search shows to be needed, of those not marked spare. *Adversary*: inputs that violate, of all; then",
        "how many notice the bound tightened by 1 %. *Observed*: rows of trained models. *Formal*: the module of",
        "proofs/ and its number of statements. *Caught by*: which kinds of evidence notice",
        f"a constant changed by 1 % to the wrong side. Every theorem goes through {_list(ALL)}.",
        "",
        "| theorem | claims | status | symbolic | enclosure | witness | needed | adversary | observed | formal | "
        "caught by |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for theorem in THEOREMS.values():
        cells = (
            f"`{theorem.key}`",
            ", ".join(theorem.claims),
            standing[theorem.key],
            *_kinds(theorem, evidence[theorem.key]),
        )
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "![The bracket of the penalty thresholds](bounds/ledger/evidence/studies/bracket.png)",
        "",
        "*C3 on the `blocks` task: what is exact, searched from below and proved from above,",
        "`python -m empirical.studies.edges.bracket examples/blocks.toml`; the lowest proved level, by theorem `quadratic_dual`,",
        "has a certificate: `python -m empirical.studies.edges.dual`. Proved in float64, with room for its rounding.*",
        "",
        "![Entropy floors from the range and from the norm](bounds/ledger/evidence/studies/floors.png)",
        "",
        "*sigma-Reparam's published floor and ours on the same rows: `python -m empirical.studies.floors.measure`.*",
        "",
        "![Costs of layers, bounds and measured drift](bounds/ledger/evidence/studies/schedule.png)",
        "",
        "*C13 on a trained model of six layers: `python -m empirical.studies.schedule.measure examples/topics.toml`. The condition of",
        "`late_layers` holds, every drift is within its bound, late layers cost less than early ones. Yet the knapsack",
        "optimises the bound: spread-out allocations drift less at small budgets.*",
    ]
    lines += ["", "## False as read"]
    for example in COUNTEREXAMPLES:
        lines += _counterexample(example)
    lines += [
        "",
        "## Kinds of attention (C11)",
        "",
        "| kind | keys | margin | what carries over |",
        "|---|---|---|---|",
    ]
    lines += [f"| {kind.name} | {kind.keys} | {kind.margin} | {kind.carries} |" for kind in KINDS]
    lines += ["", "## Lemmas", "", "Standard facts that proofs rest on by name.", ""]
    lines += [f"- *{name}*: {words}".replace("||", r"\|\|") for name, words in LEMMAS.items()]
    lines += ["", "## Theorems"]
    for theorem in THEOREMS.values():
        lines += _theorem(theorem, evidence[theorem.key], standing[theorem.key])
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    from bounds.ledger import proofs_page
    from bounds.ledger.graph import draw

    def texts() -> dict[Path, str]:
        return {
            FILE: render(),
            GRAPH: draw(tuple(THEOREMS.values()), _statuses(_evidence())),
            proofs_page.FILE: proofs_page.render(),
        }

    does, fresh = "Write paper_checks.md and its graph.", "paper_checks.md, its graph and docs/proofs.md are fresh"
    return generate(texts, "localist claims", does, fresh, arguments)


if __name__ == "__main__":
    raise SystemExit(main())
