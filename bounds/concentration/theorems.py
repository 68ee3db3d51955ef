"""Concentration: a margin x = margin/temperature forces attention into the block (claims C3, C5).

    leakage <= (n-m) e^-x / ((n-m) e^-x + r),   fidelity >= r / (r + (n-m) e^-x)      every real x

The first r of the m block keys are the anchors: each beats every key outside the block by the margin.
"""

# sympy has no types: what comes of its functions is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false, reportUnknownParameterType=false
# pyright: reportOperatorIssue=false

from __future__ import annotations

import numpy as np
from sympy import Expr, Max, Min, Rational, Symbol, diff, exp, log, together
from sympy.codegen.numpy_nodes import logaddexp

import bounds.concentration.calculators as calculators
from bounds.theory.boxes import RHO, X, Y, rho
from bounds.theory.rows import (
    ABSTRACT,
    FINITE_RANGE,
    VALID,
    far_free_keys,
    low_free_keys,
    margin_arguments,
    mass_rounding,
    range_argument,
    softmax_rounding,
)
from bounds.theory.stable_forms import Forms, same
from bounds.theory.statement import Statement
from bounds.theory.symbols import D, F_goal, eps_goal, m, n, r, x, x_plus, y
from bounds.theory.theorem import ProofStep, Relation, Rows, Theorem

# --- expressions, as one would write them down -----------------------------------------------------------------------
u: Expr = (n - m) * exp(-x)
LEAKAGE: Expr = u / (u + r)
FIDELITY: Expr = r / (r + u)
LEAKAGE_RANGE: Expr = (n - m) / ((n - m) + r * exp(x) + (m - r) * exp(-(D - Max(x, 0))))

# --- the same, in forms that stay accurate and finite ----------------------------------------------------------------
x0: Expr = Max(x, 0)
u0: Expr = (n - m) * exp(-x0)
r0: Expr = r * exp(Min(x, 0))
low: Expr = (m - r) * exp(-D)

FORMS: Forms = {
    "leakage_ceiling": ((x, n, m, r), u0 / (u0 + r0)),
    "log_leakage_ceiling": ((x, n, m, r), -logaddexp(0, x + log(r / (n - m)))),
    "fidelity_floor": ((x, n, m, r), r0 / (u0 + r0)),
    "leakage_ceiling_range": ((x, n, m, r, D), u0 / (u0 + r0 + low)),
    "log_leakage_ceiling_range": ((x, n, m, r, D), -logaddexp(0, x0 + log((r0 + low) / (n - m)))),
    "fidelity_floor_range": ((x, n, m, r, D), (r0 + low) / (u0 + r0 + low)),
    # what a fidelity needs, F_goal and eps_goal = 1 - F_goal being arguments of their own
    "scaled_margin": ((F_goal, eps_goal, n, m, r), log((n - m) * F_goal / (r * eps_goal))),
    "anchors_needed": ((x, F_goal, eps_goal, n, m), (n - m) * (F_goal / eps_goal) * exp(-x)),
    "outsiders_allowed": ((x, F_goal, eps_goal, r), r * (eps_goal / F_goal) * exp(x)),
}


def _range_bound(rows: Rows) -> np.ndarray:
    arguments = margin_arguments(rows)
    arguments["margin"] = np.where(np.isfinite(arguments["margin"]), arguments["margin"], 0.0)
    reach = np.maximum(range_argument(rows), np.abs(arguments["margin"]))
    return calculators.leakage_ceiling(**arguments, logit_range=reach)


# --- proofs ----------------------------------------------------------------------------------------------------------
_inside, _out = Symbol("W_in", positive=True), Symbol("W_out", positive=True)  # total weights
_mass = _out / (_out + _inside)

_EXTREMES = (
    ProofStep("Leakage W_out/(W_out + W_in) rises with the weight outside", relation=together(diff(_mass, _out)) > 0),
    ProofStep("and falls with the weight inside", relation=together(diff(_mass, _inside)) < 0),
    ProofStep(
        "Scale the largest outside weight to 1: W_out <= n - m, and r anchors give W_in >= r e^x", lemma="termwise"
    ),
    ProofStep(
        "At these extremes leakage is the ceiling", residual=_mass.subs({_out: n - m, _inside: r * exp(x)}) - LEAKAGE
    ),
)

THEOREMS: tuple[Theorem, ...] = (
    Theorem(
        key="leakage_ceiling",
        claims=("C3", "C5"),
        title="Leakage ceiling",
        statement="Attention mass outside the block is at most (n-m)e^-x / ((n-m)e^-x + r), for every real x.",
        quantity="leakage",
        relation=Relation.AT_MOST,
        formula=LEAKAGE,
        trivial=1 - m / n,
        hypotheses=(VALID,),
        bound=lambda rows: calculators.leakage_ceiling(**margin_arguments(rows)),
        rounding=softmax_rounding,
        proof=(
            *_EXTREMES,
            *same(FORMS, "leakage_ceiling", LEAKAGE),
            *same(FORMS, "log_leakage_ceiling", log(LEAKAGE)),
        ),
        source=f"{ABSTRACT}, claims C3 and C5; derived here",
        witness=far_free_keys,
        enclosures=(
            Statement("it falls in x: minus its slope is y/(1+y)^2 > 0", 0, y / (1 + y) ** 2, {y: Y}, (y,)),
            Statement("and is at most rho e^-x, the pure exponential", y / (1 + y), y, {y: Y}, (y,)),
            Statement(
                "the exponential cannot be lowered by 1 %",
                rho * exp(-x_plus) / (1 + rho * exp(-x_plus)),
                Rational(99, 100) * rho * exp(-x_plus),
                {x_plus: X, rho: RHO},
                (rho,),
                false=True,
            ),
        ),
    ),
    Theorem(
        key="leakage_ceiling_range",
        needs=("leakage_ceiling",),
        claims=("C3", "C5"),
        title="Leakage ceiling with the logit range known",
        statement="With the range D known too, leakage is at most (n-m) / ((n-m) + r e^x + (m-r) e^-(D - max(x, 0))).",
        quantity="leakage",
        relation=Relation.AT_MOST,
        formula=LEAKAGE_RANGE,
        trivial=1 - m / n,
        hypotheses=(VALID, FINITE_RANGE),
        bound=_range_bound,
        rounding=softmax_rounding,
        proof=(
            *_EXTREMES[:2],
            ProofStep(
                "With the largest outside weight 1 the largest of all is at least e^max(x,0), so a free block key "
                "weighs at least e^(max(x,0) - D): W_in >= r e^x + (m-r) e^(max(x,0) - D)",
                lemma="termwise",
            ),
            ProofStep(
                "At these extremes leakage is the ceiling",
                residual=_mass.subs({_out: n - m, _inside: r * exp(x) + (m - r) * exp(Max(x, 0) - D)}) - LEAKAGE_RANGE,
            ),
            *same(FORMS, "leakage_ceiling_range", LEAKAGE_RANGE),
            *same(FORMS, "log_leakage_ceiling_range", log(LEAKAGE_RANGE)),
            *same(FORMS, "fidelity_floor_range", 1 - LEAKAGE_RANGE),
        ),
        source=f"{ABSTRACT}, claims C3 and C5; derived here",
        witness=low_free_keys,
    ),
    Theorem(
        key="fidelity_floor",
        needs=("leakage_ceiling",),
        claims=("C5",),
        title="Pointer fidelity floor",
        statement="Attention mass on the block is at least r / (r + (n-m)e^-x), for every real x.",
        quantity="fidelity",
        relation=Relation.AT_LEAST,
        formula=FIDELITY,
        trivial=m / n,
        hypotheses=(VALID,),
        bound=lambda rows: calculators.fidelity_floor(**margin_arguments(rows)),
        rounding=mass_rounding,
        proof=(
            *_EXTREMES,
            ProofStep("Fidelity is one minus leakage", residual=1 - LEAKAGE - FIDELITY),
            *same(FORMS, "fidelity_floor", FIDELITY),
        ),
        source=f"{ABSTRACT}, claim C5; derived here",
        witness=far_free_keys,
        enclosures=(Statement("the floor is at least 1 - y", 1 - y, 1 / (1 + y), {y: Y}, (y,)),),
    ),
)
