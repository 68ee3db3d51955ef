"""Anchors as pointers (claims C7, C11): what one more equal anchor does to the entropy, and what a pointer tells.

one more equal anchor: dH/dr = (q/r)(1 - eps G);   information of a pointer >= H(B) - h(eps) - eps ln(K-1)
"""

# sympy has no types: what comes of its functions is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false, reportUnknownParameterType=false
# pyright: reportOperatorIssue=false

from __future__ import annotations

from typing import Any

from sympy import Expr, Max, Piecewise, Rational, S, Symbol, diff, exp, log
from sympy.codegen.cfunctions import log1p

from bounds.anchors import closed_forms
from bounds.anchors.theorems.geometry import ANCHORS
from bounds.anchors.theorems.rounding import absolute, flat
from bounds.theory.reading import FalseReading
from bounds.theory.stable_forms import Forms
from bounds.theory.symbols import G_anchor, K, eps, prior, q, r
from bounds.theory.theorem import Hypothesis, Level, ProofStep, Relation, Theorem

RULES = "arXiv:2510.05106, abstract, claim C11; derived here"

SLOPE = q / r * (1 - eps * G_anchor)
INFORMATION: Expr = prior + eps * log(eps) + (1 - eps) * log(1 - eps) - eps * log(K - 1)

FORMS: Forms = {
    "replication_slope": ((q, eps, G_anchor, r), SLOPE),
    "pointer_information": (
        (prior, eps, K),
        prior
        + Piecewise((eps * (log(eps) - log(Max(K - 1, 1))), eps > 0), (S.Zero, True))
        + Piecewise(((1 - eps) * log1p(-eps), eps < 1), (S.Zero, True)),
    ),
}

_a, _others, _mean = (Symbol(name, positive=True) for name in ("a", "Z_o", "mu"))
_total = r * exp(_a) + _others
_entropy = log(_total) - (r * _a * exp(_a) + _others * _mean) / _total


def _anchored(count: int) -> Any:
    """Entropy of so many anchors at 23/5 over 100 keys at 0."""
    logit, outside = Rational(23, 5), 100
    total = count * exp(logit) + outside
    return log(total) - count * logit * exp(logit) / total


THEOREMS: tuple[Theorem, ...] = (
    Theorem(
        key="replication_slope",
        claims=("C11",),
        title="What one more equal anchor does to the entropy",
        statement="With r equal anchors of joint mass q, the mass eps = 1 - q elsewhere and G the anchor logit "
        "minus the "
        "attention-weighted mean logit elsewhere (over tau): dH/dr = (q/r)(1 - eps G). Entropy falls in r until "
        "eps G = 1 and rises after; fidelity always rises.",
        quantity="entropy_slope",
        relation=Relation.EQUAL,
        formula=SLOPE,
        trivial="a slope is not known without it",
        hypotheses=(Hypothesis("the anchors are equal", lambda rows: rows["anchor_spread"] == 0),),
        bound=lambda rows: closed_forms.replication_slope(
            rows["anchor_mass"], rows["leakage"], rows["gap"], rows["n_anchors"]
        ),
        rounding=flat(256),
        proof=(
            ProofStep(
                "H = ln Z - E of r anchors at logit a and any others, differentiated in r",
                residual=diff(_entropy, r)
                - SLOPE.subs({q: r * exp(_a) / _total, eps: _others / _total, G_anchor: _a - _mean}),
            ),
            ProofStep("G does not depend on r and eps falls in r, so 1 - eps G changes sign once", lemma="definition"),
            ProofStep(
                "Fidelity rises: dq/dr = q eps/r",
                residual=diff(r * exp(_a) / _total, r) - (exp(_a) / _total) * (_others / _total),
            ),
        ),
        source=RULES,
        level=Level.ANCHORS,
        tolerance=absolute(256),
        attained=True,
    ),
    Theorem(
        key="pointer_information",
        claims=("C7",),
        title="Information of a pointer",
        statement="A pointer that names one of K blocks and errs with probability eps carries at least "
        "H(B) - h(eps) - eps ln(K-1) nats about the block.",
        quantity="information_nats",
        relation=Relation.AT_LEAST,
        formula=INFORMATION,
        trivial=S.Zero,
        hypotheses=(Hypothesis("the pointer always names one of the K blocks", lambda rows: rows["off_mass"] == 0),),
        bound=lambda rows: closed_forms.pointer_information(rows["prior_entropy"], rows["leakage"], rows["blocks"]),
        rounding=flat(256),
        proof=(
            ProofStep("I = H(B) - H(B | pointer) and Fano", lemma="fano"),
            ProofStep(
                "An upper bound on eps may stand for it up to 1 - 1/K: the slope in eps is ln(eps/((1-eps)(K-1)))",
                residual=diff(INFORMATION, eps) - log(eps) + log(1 - eps) + log(K - 1),
            ),
        ),
        source=ANCHORS,
        level=Level.ANCHORS,
        tolerance=absolute(256, "prior_entropy"),
        attained=True,
    ),
)

FALSE_READINGS = (
    FalseReading(
        "C11",
        "fidelity and entropy together",
        "Redundant anchors raise fidelity and entropy together.",
        "With 100 outside keys at 0, anchors at 4.6 and r = 1, 2, 3: fidelity rises, 0.50, 0.67, 0.75, entropy "
        "falls, 3.00, 2.64, 2.54 nats.",
        "dH/dr = (q/r)(1 - eps G): entropy falls until leakage times gap is 1 and rises after, theorem "
        "`replication_slope`.",
        (
            ProofStep(
                "H of r anchors at x over N outsiders at 0 falls from r = 1 to 2 at N = 100, x = 23/5",
                relation=(_anchored(2) < _anchored(1)),
            ),
            ProofStep("and from 2 to 3", relation=(_anchored(3) < _anchored(2))),
        ),
    ),
)
