"""Rules at inference (claims C8, C12): a bias b on the r_R keys of a rule multiplies their odds by e^(b/tau).

    mass off the rule <= (n-r_R) / ((n-r_R) + r_R e^(b/tau - D)) in every row of range D
    M_A/M_B >= (r_A/r_B) e^(gap/tau - D);   P(still violating) <= product of (1 - p_t) <= e^-(sum of p_t)

It is attention mass that is controlled: whether the model complies is measured.
"""

# sympy has no types: what comes of its functions is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false, reportUnknownParameterType=false
# pyright: reportOperatorIssue=false

from __future__ import annotations

import numpy as np
from sympy import Expr, Product, S, Sum, Symbol, diff, exp, log

from bounds.concentration.theorems import LEAKAGE
from bounds.rules import closed_forms
from bounds.theory.boxes import LITTLE
from bounds.theory.reading import FalseReading
from bounds.theory.rows import ABSTRACT, ULP
from bounds.theory.stable_forms import Forms
from bounds.theory.statement import Statement
from bounds.theory.symbols import (
    D,
    bias,
    gap,
    m,
    mass_goal,
    n,
    n_rule,
    p_of,
    p_t,
    r,
    r_A,
    r_B,
    reloads,
    tau,
    when,
    x,
    x_plus,
)
from bounds.theory.theorem import Hypothesis, Level, ProofStep, Relation, Rows, Theorem

SOURCE = f"{ABSTRACT}, claim C8; derived here"
RELOAD = "arXiv:2510.05106, abstract, claim C12; derived here"

OFF_RULE: Expr = (n - n_rule) / ((n - n_rule) + n_rule * exp(bias / tau - D))
RATIO: Expr = r_A / r_B * exp(gap / tau - D)
GAP: Expr = tau * (D + log(mass_goal * r_B / r_A))
SURVIVES = 1 - p_t

FORMS: Forms = {
    "off_rule": ((bias, D, tau, n, n_rule), (n - n_rule) / ((n - n_rule) + n_rule * exp(bias / tau - D))),
    "mass_ratio": ((gap, D, tau, r_A, r_B), RATIO),
    "gap_needed": ((mass_goal, D, tau, r_A, r_B), GAP),
    "survives": ((p_t,), SURVIVES),
}


def _rounding(rows: Rows) -> np.ndarray:
    """Like a softmax row: some ulp times the range and the bias, over tau."""
    reach = np.abs(rows["logit_range"]) + np.abs(rows.get("bias", 0.0)) + np.abs(rows.get("gap", 0.0))
    return ULP * (64 + 8 * reach / rows["temperature"])


def _scaled(rows: Rows) -> np.ndarray:
    return np.asarray(rows["logit_range"] / rows["temperature"])


RANGE = Hypothesis(
    "without the rules the logits span at most the range",
    lambda rows: rows["observed_range"] <= rows["logit_range"],
)
_p = Symbol("p", nonnegative=True)

THEOREMS: tuple[Theorem, ...] = (
    Theorem(
        key="rule_mass",
        claims=("C8",),
        title="What a rule's bias guarantees",
        statement="A bias b on the keys of a rule leaves at most (n-r)/((n-r) + r e^(b/tau - D)) of the attention off "
        "them, in every row of range D; so b >= tau (D + ln((n-r)(1-eps)/(r eps))) guarantees 1 - eps.",
        quantity="off_rule",
        relation=Relation.AT_MOST,
        formula=OFF_RULE,
        trivial=1 - n_rule / n,
        hypotheses=(RANGE,),
        bound=lambda rows: closed_forms.off_rule(
            rows["bias"], _scaled(rows), rows["temperature"], rows["n_keys"], rows["n_rule"]
        ),
        rounding=_rounding,
        proof=(
            ProofStep("Before the bias the rule's keys have a margin of -D at worst", lemma="definition"),
            ProofStep(
                "The leakage ceiling at x = b/tau - D, the rule's keys as the block",
                residual=OFF_RULE - LEAKAGE.subs({x: bias / tau - D, m: n_rule, r: n_rule}),
            ),
        ),
        source=SOURCE,
        level=Level.RULE,
        needs=("leakage_ceiling",),
        attained=True,
    ),
    Theorem(
        key="rule_priority",
        claims=("C8",),
        title="Priority of two rules",
        statement="With biases that differ by gap on two disjoint rules, M_A/M_B >= (r_A/r_B) e^(gap/tau - D): so "
        "gap >= tau (D + ln(c r_B/r_A)) guarantees M_A >= c M_B.",
        quantity="mass_ratio",
        relation=Relation.AT_LEAST,
        formula=RATIO,
        trivial=r_A / r_B,
        hypotheses=(
            RANGE,
            Hypothesis("the rules share no key", lambda rows: rows["shared_keys"] == 0),
        ),
        bound=lambda rows: closed_forms.mass_ratio(
            rows["gap"], _scaled(rows), rows["temperature"], rows["r_A"], rows["r_B"]
        ),
        rounding=_rounding,
        proof=(
            ProofStep("A key of A weighs at least e^(gap/tau - D) times a key of B", lemma="definition"),
            ProofStep("r_A of them against r_B", lemma="termwise"),
            ProofStep("The gap for c gives c", residual=RATIO.subs(gap, GAP) - mass_goal),
        ),
        source=SOURCE,
        level=Level.RULE,
        attained=True,
    ),
    Theorem(
        key="reload_compliance",
        claims=("C12",),
        title="Compliance under verified reloads",
        statement="If reload t removes a violation with probability at least p_t *given that it persists*, and none is "
        "brought back, then P(still violating) <= product of (1 - p_t).",
        quantity="violating",
        relation=Relation.AT_MOST,
        formula=Product(1 - p_of[when], (when, 1, reloads)),
        trivial=S.One,
        step=SURVIVES,
        hypotheses=(
            Hypothesis(
                "each removal has its probability given that the violation persists",
                lambda rows: np.all(rows["removal_given_persisting"] >= rows["promised"] - 4 * ULP, axis=-1),
            ),
            Hypothesis("no reload brings a violation back", lambda rows: rows["reintroduced"] == 0),
        ),
        bound=lambda rows: np.prod(closed_forms.survives(rows["promised"]), axis=-1),
        rounding=lambda rows: ULP * 16 * np.shape(rows["promised"])[-1],
        proof=(
            ProofStep(
                "P(persists at t) = P(persists at t - 1) P(not removed | persists) <= P(persists at t - 1)(1 - p_t)",
                lemma="definition",
            ),
            ProofStep("and so on down to the first", lemma="induction"),
        ),
        source=RELOAD,
        level=Level.RELOADS,
        attained=True,
    ),
    Theorem(
        key="reload_limit",
        needs=("reload_compliance",),
        claims=("C12",),
        title="When reloads end every violation",
        statement="The product of (1 - p_t) is at most e^-(sum of p_t) and at least 1 - (sum of p_t): for p_t < 1 it "
        "tends to 0 iff the sum diverges.",
        quantity="survival_product",
        relation=Relation.AT_MOST,
        formula=exp(-Sum(p_of[when], (when, 1, reloads))),
        trivial=S.One,
        step=exp(-p_t),
        hypotheses=(
            Hypothesis(
                "every p_t is a probability",
                lambda rows: np.all((rows["promised"] >= 0) & (rows["promised"] <= 1), axis=-1),
                spare="it says what a promise is: any other number promises nothing",
            ),
        ),
        bound=lambda rows: np.exp(-rows["promised"].sum(-1)),
        rounding=lambda rows: ULP * 16 * np.shape(rows["promised"])[-1],
        proof=(
            ProofStep(
                "1 - p <= e^-p: e^-p - 1 + p is 0 at 0 and its slope 1 - e^-p is not negative",
                residual=diff(exp(-_p) - 1 + _p, _p) - (1 - exp(-_p)),
            ),
            ProofStep(
                "e^-p - 1 + p is convex, its second slope e^-p being positive", relation=diff(exp(-_p), _p, 2) > 0
            ),
            ProofStep(
                "(1 - P)(1 - p) = 1 - P - p + P p, so the product is at least 1 - sum; apply it to a tail with sum "
                "below 1/2: a convergent sum leaves a positive product",
                residual=((1 - _p) * (1 - p_t) - (1 - _p - p_t + _p * p_t)).expand(),
            ),
        ),
        source=RELOAD,
        level=Level.RELOADS,
        attained=True,
        enclosures=(Statement("1 - p <= e^-p, to 1e-9", 1 - x_plus, exp(-x_plus) + LITTLE, {x_plus: (0.0, 1.0)}),),
    ),
)

FALSE_READINGS = (
    FalseReading(
        "C12",
        "without the condition",
        "If every reload removes a violation with probability at least p, compliance tends to 1.",
        "Reloads that all work or all fail, with probability 1/2 each: every one removes with probability 1/2, and the "
        "violation persists with probability 1/2 for ever.",
        "With removal at least p_t *given that the violation persists* it is at most the product of 1 - p_t: theorems "
        "`reload_compliance`, `reload_limit`.",
    ),
)
