"""Kinds of attention (claim C11): what carries over from softmax rows, with which n and margin.

a_j = w_j / sum w for any positive weights: every row theorem holds with logits ln w_j, x = ln(least anchor/most out)
weights f(score) of a kernel whose values span at most a factor R: fidelity <= m / (m + (n-m)/R), whatever the scores
"""

# sympy has no types: what comes of its functions is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false, reportUnknownParameterType=false
# pyright: reportOperatorIssue=false

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sympy import S, exp, factor, oo
from sympy import limit as limit_of

from bounds.concentration.theorems import LEAKAGE
from bounds.floors.theorems import FIDELITY_CEILING
from bounds.kinds import closed_forms
from bounds.theory.reading import FalseReading
from bounds.theory.rows import ULP
from bounds.theory.stable_forms import Forms
from bounds.theory.symbols import D, kernel_ratio, m, n, r, weight_ratio, x, x_plus
from bounds.theory.theorem import Hypothesis, Level, ProofStep, Relation, Theorem

SOURCE = "arXiv:2510.05106, abstract, claim C11; derived here"

WEIGHTS = (n - m) / ((n - m) + r * weight_ratio)
KERNEL = m / (m + (n - m) / kernel_ratio)

FORMS: Forms = {
    "weights_leakage": ((weight_ratio, n, m, r), WEIGHTS),
    "kernel_ceiling": ((kernel_ratio, n, m), KERNEL),
}


@dataclass(frozen=True)
class Kind:
    """A kind of attention: the keys that count, the margin, and what carries over."""

    name: str
    keys: str
    margin: str
    carries: str


KINDS = (
    Kind("causal", "n = i + 1 at position i, m and r counted among them", "of the logits", "all row theorems, per row"),
    Kind("bidirectional", "n = sequence length", "of the logits", "all row theorems"),
    Kind(
        "local-sparse",
        "n = keys in the window, m and r counted there",
        "of the logits",
        "all row theorems; a block outside the window is UNKNOWN",
    ),
    Kind("cross", "n = encoder keys", "of the logits", "all row theorems; queries and keys are of different sequences"),
    Kind(
        "kernelised, positive features",
        "n = visible keys",
        "ln(least anchor weight / most outside weight)",
        "all row theorems, for that margin. From a margin of *scores* an exponential rate follows only if f(s + "
        "d)/f(s) grows exponentially in d, as for exp; with polynomial or bounded f it is impossible "
        "(`kernel_ceiling`, and the counterexample below)",
    ),
    Kind(
        "kernelised, signed features",
        "n = visible keys",
        "none",
        "nothing: weights may be negative, fidelity may exceed 1",
    ),
)

POSITIVE = Hypothesis("every weight is positive", lambda rows: rows["least_weight"] > 0)

THEOREMS: tuple[Theorem, ...] = (
    Theorem(
        key="weights_leakage",
        claims=("C11", "C3", "C5"),
        title="Leakage ceiling for any positive weights",
        statement="Attention by positive weights leaks at most (n-m)/((n-m) + r R), R = least anchor weight over "
        "largest "
        "outside weight: softmax, causal, window, cross and kernelised attention with positive features alike.",
        quantity="leakage",
        relation=Relation.AT_MOST,
        formula=WEIGHTS,
        trivial=1 - m / n,
        hypotheses=(POSITIVE,),
        bound=lambda rows: closed_forms.weights_leakage(
            rows["weight_ratio"], rows["n_keys"], rows["n_block"], rows["n_anchors"]
        ),
        rounding=lambda rows: np.asarray(512 * ULP),
        proof=(
            ProofStep("w = e^(ln w): the row of logits ln w, whose margin is ln R", lemma="definition"),
            ProofStep(
                "The leakage ceiling at e^x = R",
                residual=factor(LEAKAGE.rewrite(exp).subs(exp(-x), 1 / weight_ratio) - WEIGHTS),
            ),
        ),
        source=SOURCE,
        level=Level.WEIGHTS,
        needs=("leakage_ceiling",),
        attained=True,
    ),
    Theorem(
        key="kernel_ceiling",
        claims=("C11",),
        title="What a kernel of bounded ratio cannot reach",
        statement="If the kernel's values lie within a factor R of each other, fidelity is at most m/(m + (n-m)/R), "
        "whatever the margin of the scores: it tends to 0 as n grows.",
        quantity="fidelity",
        relation=Relation.AT_MOST,
        formula=KERNEL,
        trivial=S.One,
        hypotheses=(
            POSITIVE,
            Hypothesis(
                "the weights lie within a factor R", lambda rows: rows["observed_ratio"] <= rows["kernel_ratio"]
            ),
        ),
        bound=lambda rows: closed_forms.kernel_ceiling(rows["kernel_ratio"], rows["n_keys"], rows["n_block"]),
        rounding=lambda rows: np.asarray(512 * ULP),
        proof=(
            ProofStep(
                "The fidelity ceiling at e^D = R",
                residual=factor(FIDELITY_CEILING.subs(exp(-D), 1 / kernel_ratio) - KERNEL),
            ),
            ProofStep("for logits ln w", lemma="definition"),
        ),
        source=SOURCE,
        level=Level.WEIGHTS,
        needs=("fidelity_ceiling",),
        attained=True,
    ),
)

FALSE_READINGS = (
    FalseReading(
        "C11",
        "exponential rate for every kernel",
        "Kernelised attention obeys an exponential bound in the margin of its scores.",
        "With the kernel (1 + s)^p one anchor at score d against N keys at 0 leaks N/(N + (1+d)^p): times e^(a d), "
        "for any a > 0, that grows without bound.",
        "The margin that counts is ln(anchor weight / outside weight): theorem `weights_leakage`; a kernel whose "
        "values span a bounded factor has a ceiling, theorem `kernel_ceiling`.",
        (
            ProofStep(
                "e^(d/10) / (1 + (1+d)^3) has no bound",
                relation=(limit_of(exp(x_plus / 10) / (1 + (1 + x_plus) ** 3), x_plus, oo) > 10**9),
            ),
        ),
    ),
)
