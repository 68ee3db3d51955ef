"""Recruitment by penalised likelihood (claim C9): recruit iff the drop in NLL exceeds (1/2) p ln N + c.

recruitments < NLL_0 / (c + (1/2) p_min ln N);   at the end no single recruitment is worth its price
"""

# sympy has no types: what comes of its functions is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false, reportUnknownParameterType=false
# pyright: reportOperatorIssue=false

from __future__ import annotations

import numpy as np
from sympy import Expr, Rational, Symbol, factor, log

from bounds.recruitment import closed_forms
from bounds.theory.reading import FalseReading
from bounds.theory.rows import ULP
from bounds.theory.stable_forms import Forms
from bounds.theory.symbols import NLL, cost, extra, observations
from bounds.theory.theorem import Hypothesis, Level, ProofStep, Relation, Theorem

SOURCE = "arXiv:2510.17358, abstract, claim C9; derived here"

PRICE: Expr = cost + Rational(1, 2) * extra * log(observations)
COUNT: Expr = NLL / PRICE

FORMS: Forms = {
    "recruitment_price": ((extra, observations, cost), PRICE),
    "recruitment_count": ((NLL, extra, observations, cost), COUNT),
}
_t = Symbol("T", positive=True)

_RULE = Hypothesis(
    "every recruitment lowered the NLL by more than its price",
    lambda rows: rows["least_drop"] > closed_forms.recruitment_price(rows["extra"], rows["observations"], rows["cost"]),
)
_NON_NEGATIVE = Hypothesis(
    "the NLL of the data cannot be negative (discrete data)", lambda rows: rows["final_nll"] >= 0
)
_REFIT = Hypothesis("refitting never raised the NLL", lambda rows: rows["worst_refit"] <= 0)

THEOREMS: tuple[Theorem, ...] = (
    Theorem(
        key="recruitment_count",
        claims=("C9",),
        title="Recruitment ends",
        statement="With total NLL >= 0, N >= 1 fixed and c > 0, fewer than NLL_0/(c + (1/2) p ln N) recruitments are "
        "made, p the least number of parameters that one adds. The same for blocks and for whole models.",
        quantity="recruitments",
        relation=Relation.AT_MOST,
        formula=COUNT,
        trivial="any number of recruitments is possible without a price",
        hypotheses=(_RULE, _NON_NEGATIVE, _REFIT),
        bound=lambda rows: closed_forms.recruitment_count(
            rows["first_nll"], rows["extra"], rows["observations"], rows["cost"]
        ),
        rounding=lambda rows: ULP * 16 * (1 + rows["recruitments"]),
        proof=(
            ProofStep(
                "Each recruitment lowers the NLL by more than the price, refitting does not raise it", lemma="induction"
            ),
            ProofStep("0 <= NLL_T < NLL_0 - T price", residual=factor((NLL - _t * PRICE).subs(_t, COUNT))),
        ),
        source=SOURCE,
        level=Level.RECRUITMENT,
        attained=True,
    ),
    Theorem(
        key="recruitment_end",
        claims=("C9",),
        title="What the end of recruitment means",
        statement="Where the rule recruits no more, no *single* candidate lowers the NLL by more than its price. "
        "Pairs may.",
        quantity="best_single_drop",
        relation=Relation.AT_MOST,
        formula=PRICE,
        trivial="the best drop is not known without a price",
        hypotheses=(
            Hypothesis("the rule looked at every candidate and recruited none", lambda rows: rows["ended"] != 0),
        ),
        bound=lambda rows: closed_forms.recruitment_price(rows["extra"], rows["observations"], rows["cost"]),
        rounding=lambda rows: np.asarray(ULP * 64),
        proof=(ProofStep("It is the negation of the rule", lemma="definition"),),
        source=SOURCE,
        level=Level.RECRUITMENT,
        tolerance=lambda rows: 64 * ULP * rows["first_nll"],
        attained=True,
    ),
)

FALSE_READINGS = (
    FalseReading(
        "C9",
        "nothing more helps",
        "When recruitment ends no further recruitment lowers the penalised likelihood.",
        "Two parts that only explain the data together: neither alone lowers the NLL, so neither is recruited, and "
        "both would be worth far more than their price.",
        "No *single* recruitment helps at the end: theorem `recruitment_end`.",
    ),
)
