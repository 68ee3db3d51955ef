"""Entropy from a margin x = margin/temperature: the exact maximum, its envelope, the repaired exponential (claim C4).

    H <= ln((m-r) + A e^(x g)),   u = (n-m) e^-x,  A = r + u,  g = u/A      x >= 0, exact; ln n for x <= 0

The first r of the m block keys are the anchors: each beats every key outside the block by the margin.
"""

# sympy has no types: what comes of its functions is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false, reportUnknownParameterType=false
# pyright: reportOperatorIssue=false

from __future__ import annotations

import numpy as np
from sympy import Expr, Min, Rational, Symbol, diff, exp, log, oo, together
from sympy import limit as limit_of
from sympy.codegen.cfunctions import expm1, log1p

import bounds.entropy.calculators as calculators
from bounds.concentration.theorems import u, u0, x0
from bounds.entropy import closed_forms
from bounds.numbers.arguments import scaled
from bounds.theory.boxes import LITTLE, X, Y, z
from bounds.theory.reading import FalseReading
from bounds.theory.rows import ABSTRACT, VALID, entropy_maximiser, margin_arguments, softmax_rounding, two_levels
from bounds.theory.stable_forms import Forms, plain, same
from bounds.theory.statement import Statement
from bounds.theory.symbols import c, m, n, r, x, x_plus, y
from bounds.theory.theorem import Hypothesis, ProofStep, Relation, Rows, Theorem

# --- expressions, as one would write them down -----------------------------------------------------------------------
A: Expr = r + u
g: Expr = u / A
ENTROPY: Expr = log((m - r) + A * exp(x * g))
ENVELOPE: Expr = log(m - r + r * exp((n - m) * (1 + x) * exp(-x) / r))
REPAIRED: Expr = log(m) + (n - m) / m * exp(-c * (1 + x)) / (1 - c)

# --- the same, in forms that stay accurate and finite ----------------------------------------------------------------
g0: Expr = u0 / (r + u0)
no_more: Expr = Min(x0, 10**4)  # e^-x is 0 long before, and (n-m)(1+x) must not overflow
t0: Expr = u0 * (1 + no_more) / r

FORMS: Forms = {
    "entropy_ceiling": ((x, n, m, r), log(m) + log1p((r * expm1(x0 * g0) + u0 * exp(x0 * g0)) / m)),
    "entropy_envelope": ((x, n, m, r), t0 + log(r + (m - r) * exp(-t0))),
    "repaired_envelope": ((x, n, m, c), log(m) + (n - m) / m * exp(-c * (1 + x0)) / (1 - c)),
}


def _exponent(rows: Rows) -> np.ndarray:
    """The exponent of the repaired envelope; rows that name none take one half."""
    return np.asarray(rows.get("envelope_exponent", 0.5), dtype=np.float64)


def _repaired_bound(rows: Rows) -> np.ndarray:
    row = margin_arguments(rows)
    keys = (row["n_keys"], row["n_block"])
    with np.errstate(all="ignore"):
        return closed_forms.repaired_envelope(scaled(row["margin"], row["temperature"]), *keys, _exponent(rows))


# --- proofs ----------------------------------------------------------------------------------------------------------
_v, _t, _s = Symbol("v", positive=True), Symbol("t", nonnegative=True), Symbol("s", nonnegative=True)
_total = r * exp(x) + (n - m) + (m - r) * exp(x * (1 - g))  # of the maximiser's weights

_GIBBS = (
    ProofStep(
        "Gibbs: H(a) <= ln sum v - sum a_j ln v_j for any positive weights v, equal where a is proportional to v",
        lemma="gibbs",
    ),
    ProofStep(
        "Take v = e^x on the anchors, 1 outside, e^(x(1-g)) on the free keys: the right side is the ceiling if "
        "P_anchors + (1-g) P_free >= 1 - g, that is eps / P_anchors <= g/(1-g)",
        residual=_total * exp(-x * (1 - g)) - exp(ENTROPY),
    ),
    ProofStep("and g/(1-g) = u/r", residual=g / (1 - g) - u / r),
    ProofStep(
        "while eps <= (n-m) max outside <= (n-m) e^-x min anchor <= (u/r) P_anchors: the margin itself",
        lemma="termwise",
    ),
    ProofStep(
        "For x <= 0 it is ln n, as for any row", residual=plain(FORMS["entropy_ceiling"][1]).subs(x, -x_plus) - log(n)
    ),
)
_MONOTONE = (
    ProofStep(
        "It falls in x: d/dx (ln A + x g) = -x g (1-g)",
        residual=diff(log(A) + x * g, x) + x * g * (1 - g),
    ),
    ProofStep(
        "in r: the derivative of (m-r) + A e^(xg) is -(1 - (1-t) e^t) at t = xg, which is at most 0",
        residual=diff(exp(ENTROPY), r) + 1 - (1 - x * g) * exp(x * g),
    ),
    ProofStep("since (1-t) e^t falls from 1", relation=-diff((1 - _t) * exp(_t), _t) >= 0),
    ProofStep(
        "It rises in n: d/du (ln A + x u/A) = 1/A + x r/A^2",
        residual=diff(log(r + _v) + x * _v / (r + _v), _v) - 1 / (r + _v) - x * r / (r + _v) ** 2,
    ),
    ProofStep(
        "and in m: the derivative is 1 - (1+s) e^-s at s = x(1-g), which is at least 0",
        residual=diff(exp(ENTROPY), m) - 1 + (1 + x * (1 - g)) * exp(-x * (1 - g)),
    ),
    ProofStep("since (1+s) e^-s falls from 1", relation=-diff((1 + _s) * exp(-_s), _s) >= 0),
)
_excess = log(1 + y) + x_plus * y / (1 + y)  # H - ln m at its maximum, r = m, y = (n-m) e^-x / m
_sharpest = (1 + x_plus) * exp(-(1 - c) * x_plus)

THEOREMS: tuple[Theorem, ...] = (
    Theorem(
        key="entropy_ceiling",
        claims=("C4",),
        title="Entropy ceiling, the exact maximum",
        statement="Entropy is at most ln((m-r) + A e^(x g)), u = (n-m)e^-x, A = r + u, g = u/A, with max(x, 0) for x.",
        quantity="entropy_nats",
        relation=Relation.AT_MOST,
        formula=ENTROPY.subs(x, x0),
        trivial=log(n),
        step=ENTROPY,
        hypotheses=(VALID,),
        bound=lambda rows: calculators.entropy_ceiling(**margin_arguments(rows)),
        rounding=softmax_rounding,
        proof=(*_GIBBS, *same(FORMS, "entropy_ceiling", ENTROPY)[:1], *_MONOTONE),
        source=f"{ABSTRACT}, claim C4; derived here",
        witness=entropy_maximiser,
        enclosures=(
            Statement(
                "it falls in x: minus its slope is x y/(1+y)^2 >= 0, to 1e-9",
                0,
                x_plus * y / (1 + y) ** 2 + LITTLE,
                {x_plus: X, y: Y},
                (y,),
            ),
            Statement(
                "it falls in r: 1 - (1-t) e^t >= 0 at t = x g, to 1e-9",
                0,
                1 - (1 - x_plus) * exp(x_plus) + LITTLE,
                {x_plus: X},
            ),
            Statement(
                "it rises in m: 1 - (1+s) e^-s >= 0 at s = x (1-g), to 1e-9",
                0,
                1 - (1 + x_plus) * exp(-x_plus) + LITTLE,
                {x_plus: X},
            ),
            Statement(
                "it rises in n: 1/(1+y) + x/(1+y)^2 > 0",
                0,
                1 / (1 + y) + x_plus / (1 + y) ** 2,
                {x_plus: X, y: Y},
                (y,),
            ),
            Statement("no constant 10 stands for 1 + x", _excess, 10 * y, {x_plus: X, y: Y}, (y,), false=True),
        ),
    ),
    Theorem(
        key="entropy_envelope",
        needs=("entropy_ceiling",),
        claims=("C4",),
        title="Exponential envelope of the entropy",
        statement="Entropy is at most ln(m - r + r exp((n-m)(1+x)e^-x / r)), with max(x, 0) for x; for r = m this is "
        "ln m + ((n-m)/m)(1+x)e^-x.",
        quantity="entropy_nats",
        relation=Relation.AT_MOST,
        formula=ENVELOPE.subs(x, x0),
        trivial=log(n),
        step=ENVELOPE,
        hypotheses=(VALID,),
        bound=lambda rows: calculators.entropy_envelope(**margin_arguments(rows)),
        rounding=softmax_rounding,
        proof=(
            ProofStep(
                "In the exact maximum A e^(xg) = r exp(ln(1+v) + x v/(1+v)) at v = u/r", residual=A / r - 1 - u / r
            ),
            ProofStep("ln(1+v) <= v, both 0 at 0", relation=together(diff(_v - log(1 + _v), _v)) > 0),
            ProofStep("x v/(1+v) <= x v", relation=together(x_plus * _v - x_plus * _v / (1 + _v)) >= 0),
            ProofStep(
                "so the exponent is at most v(1+x)", residual=(u / r) * (1 + x) - (n - m) * (1 + x) * exp(-x) / r
            ),
            *same(FORMS, "entropy_envelope", ENVELOPE, {no_more: x0})[:1],
            ProofStep(
                "For r = m it is linear", residual=ENVELOPE.subs(r, m) - log(m) - (n - m) / m * (1 + x) * exp(-x)
            ),
        ),
        source=f"{ABSTRACT}, claim C4; derived here",
        witness=two_levels,
        witness_ratio=0.999,  # as (n-m) e^-x falls, at m = 1
        enclosures=(
            Statement("ln(1+y) + x y/(1+y) <= y (1+x)", _excess, y * (1 + x_plus), {x_plus: X, y: Y}, (y,)),
            Statement(
                "the envelope cannot be lowered by 1 %",
                _excess,
                Rational(99, 100) * y * (1 + x_plus),
                {x_plus: X, y: Y},
                (y,),
                false=True,
            ),
        ),
    ),
    Theorem(
        key="repaired_envelope",
        claims=("C4",),
        title="The repaired exponential, with its best constant",
        statement="For r = m, x >= 0 and any 0 <= c < 1 the entropy is at most ln m + ((n-m)/m) (e^-c/(1-c)) e^(-c "
        "x); no "
        "smaller constant will do.",
        quantity="entropy_nats",
        relation=Relation.AT_MOST,
        formula=REPAIRED,
        trivial=log(n),
        hypotheses=(
            VALID,
            Hypothesis("the whole block is anchors", lambda rows: rows["n_anchors"] == rows["n_block"]),
            Hypothesis(
                "the margin is not negative",
                lambda rows: rows["margin"] >= 0,
                spare="at x <= 0 the form is that of x = 0, ln m + (n-m)/m e^-c/(1-c), which is at least ln n",
            ),
            Hypothesis("0 <= c < 1", lambda rows: (_exponent(rows) >= 0) & (_exponent(rows) < 1)),
        ),
        bound=_repaired_bound,
        rounding=softmax_rounding,
        proof=(
            ProofStep("The envelope: H <= ln m + ((n-m)/m)(1+x) e^-x", lemma="theorem"),
            ProofStep(
                "(1+x) e^(-(1-c)x) is stationary at x = c/(1-c)",
                residual=((1 + x) * exp(-(1 - c) * x)).diff(x).subs(x, c / (1 - c)),
            ),
            ProofStep(
                "where its slope goes from positive to negative: it is e^(-(1-c)x)(c - (1-c)x)",
                residual=((1 + x) * exp(-(1 - c) * x)).diff(x) - exp(-(1 - c) * x) * (c - (1 - c) * x),
            ),
            ProofStep(
                "and where it is e^-c/(1-c)",
                residual=((1 + x) * exp(-(1 - c) * x)).subs(x, c / (1 - c)) - exp(-c) / (1 - c),
            ),
            ProofStep(
                "The printed form equals it for x >= 0",
                residual=(FORMS["repaired_envelope"][1] - REPAIRED).subs(x, x_plus),
            ),
        ),
        source=f"{ABSTRACT}, claim C4; derived here",
        needs=("entropy_envelope",),
        attained=True,
        enclosures=(
            Statement("z e^(1-z) <= 1 at z = (1-c)(1+x), to 1e-9", z * exp(1 - z), 1 + LITTLE, {z: (1e-3, 60.0)}, (z,)),
            Statement(
                "the constant cannot be lowered by 0.1 %",
                z * exp(1 - z),
                Rational(999, 1000),
                {z: (1e-3, 60.0)},
                (z,),
                false=True,
            ),
        ),
    ),
)

FALSE_READINGS = (
    FalseReading(
        "C4",
        "a pure exponential",
        "Entropy is at most ln m + C (n-m)/m e^-x, one constant C for all margins x.",
        "The largest entropy exceeds ln m by (1 + x)(n-m)/m e^-x to leading order, and 1 + x has no bound.",
        "For every 0 <= c < 1, entropy is at most ln m + (n-m)/m e^-c/(1-c) e^(-c x) (r = m, x >= 0), with the best "
        "constant; it is touched at x = c/(1-c) as (n-m)/m falls.",
        (
            ProofStep("Excess over (n-m)/m e^-x tends to 1 + x", residual=limit_of(_excess / y, y, 0) - (1 + x_plus)),
            ProofStep("which is unbounded", relation=limit_of(1 + x_plus, x_plus, oo) > 10**9),
            ProofStep(
                "(1+x) e^(-(1-c) x) is stationary at x = c/(1-c)",
                residual=_sharpest.diff(x_plus).subs(x_plus, c / (1 - c)),
            ),
            ProofStep("where it is e^-c/(1-c)", residual=_sharpest.subs(x_plus, c / (1 - c)) - exp(-c) / (1 - c)),
        ),
    ),
)
