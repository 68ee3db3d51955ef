"""Levels A and B of the penalty: no cross gradient exceeds them (claim C3).

    grad_bc = (1/tau) E_i [ x_i^(b) Cov_{j ~ a_i}(u_ij, x_j^(c))^T ],   |u_ij - u_ik| <= G V
    ||grad_bc|| <= (G V X_b p_b / tau) min(D_c/4, X_c phi(eps)),   phi(e) = e(1-e) up to 1/3, (1+e)^2/8 beyond

u_ij = <gradient of query i's loss at the head's output, v_j>. Both constants are attained.
"""

# sympy has no types: what comes of its functions is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false, reportUnknownParameterType=false

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from sympy import Expr, Min, Piecewise, Rational, Symbol, diff, sqrt

import bounds.penalty.calculators as calculators
from bounds.penalty.fields import LEVEL_FIELDS
from bounds.theory.boxes import LITTLE
from bounds.theory.stable_forms import Forms
from bounds.theory.statement import Statement
from bounds.theory.symbols import D_key, G, V, X_key, X_query, eps, eta, gradient, norm, penalty, share, tau
from bounds.theory.theorem import Hypothesis, Level, ProofStep, Relation, Rows, Theorem

SOURCE = "arXiv:2510.09338v2, abstract, claim C3, and arXiv:2510.17358, abstract, claim C10; derived here"

# --- expressions -----------------------------------------------------------------------------------------------------
_low, _high = eps * (1 - eps), (1 + eps) ** 2 / 8
_chord = (sqrt(2) - 1) * eps + Rational(3, 2) - sqrt(2)
_touch = 1 - 1 / sqrt(2)

PHI: Expr = Piecewise((_low, eps <= Rational(1, 3)), (_high, True))
PHI_MAJORANT: Expr = Piecewise((_low, eps <= _touch), (_chord, True))
_SCALE = G * V * X_query * share / tau
WORST_CASE: Expr = _SCALE * Min(D_key / 4, X_key / 2)
LEAKAGE_AWARE: Expr = _SCALE * Min(D_key / 4, X_key * PHI)
LEAKAGE_AWARE_MEAN: Expr = _SCALE * Min(D_key / 4, X_key * PHI_MAJORANT)
STEPS = norm / (eta * (penalty - gradient))

_ARGUMENTS = (G, V, X_query, X_key, D_key, share, tau)
FORMS: Forms = {
    "worst_case": (_ARGUMENTS, WORST_CASE),
    "leakage_aware": ((*_ARGUMENTS, eps), LEAKAGE_AWARE),
    "leakage_aware_mean": ((*_ARGUMENTS, eps), LEAKAGE_AWARE_MEAN),
    "phi": ((eps,), PHI),
    "phi_majorant": ((eps,), PHI_MAJORANT),
    "product": ((G, V, X_query, D_key, tau), G * V * X_query * D_key / (4 * tau)),
    "steps": ((norm, penalty, gradient, eta), STEPS),
}

# --- what the data must satisfy --------------------------------------------------------------------------------------


def field(rows: Rows, name: str) -> np.ndarray:
    return np.asarray(rows.get(name, np.nan), dtype=np.float64)


def flag(rows: Rows, name: str) -> np.ndarray:
    return np.asarray(rows.get(name, False), dtype=bool)


CROSS = Hypothesis("query and key are of different blocks", lambda rows: rows["block_query"] != rows["block_key"])
EITHER = replace(CROSS, spare="it holds for own blocks too; the penalty is on cross blocks")
PRESENT = Hypothesis(
    "gradients, values and features have a bound that holds for all parameters",
    lambda rows: np.logical_and.reduce(np.broadcast_arrays(*(np.isfinite(field(rows, name)) for name in LEVEL_FIELDS))),
    spare="without them there is no level to compare with",
)


def gradient_rounding(rows: Rows) -> np.ndarray:
    """1e-12, thousands of ulp of the level.

    A gradient is a mean over queries of softmax covariances, each to some (D + log2 n) ulp of its largest term;
    residual and gradient come from one evaluation, so the gaps of stationarity carry the same.
    """
    return np.asarray(1e-12)


def _level(calculator: Callable[..., np.ndarray], rows: Rows, **more: np.ndarray | str) -> np.ndarray:
    """A level from the rows, NaN where a bound that it needs is absent."""
    present = PRESENT.holds(rows)
    arguments = {name: np.where(present, field(rows, name), 0.0) for name in LEVEL_FIELDS}
    return np.where(present, calculator(**arguments, temperature=rows["temperature"], **more), np.nan)


def worst_case(rows: Rows) -> np.ndarray:
    return _level(calculators.penalty_threshold_worst_case, rows)


def _leakage_aware(rows: Rows) -> np.ndarray:
    leakage = field(rows, "mean_leakage")
    clean = np.clip(np.where(np.isfinite(leakage), leakage, 1.0), 0.0, 1.0)
    return _level(calculators.penalty_threshold_leakage_aware, rows, leakage=clean, of="mean")


# --- proofs ----------------------------------------------------------------------------------------------------------
_p = Symbol("p", positive=True)  # mass on the upper of the outer points
_above = _p * (1 + eps - 2 * _p)  # E (y - Ey)^+ of y = +1, -1, 0 with masses p, eps - p, 1 - eps
_e1 = 8 * sqrt(2) - 11

_GRADIENT = (
    ProofStep(
        "The gradient of a logit s_ij in W_bc is x_i^(b) x_j^(c)^T, and that of the mean u in s_j is "
        "a_j (u_j - mean u)/tau by the softmax",
        lemma="softmax derivative",
    ),
    ProofStep(
        "so grad_bc = (1/tau) E_i x_i^(b) Cov(u_i, x^(c))^T, a mean over all queries of which the share p_b has x^(b) "
        "not 0; u_ij = <gradient at the output, v_j> has range G V at most",
        lemma="softmax derivative",
    ),
    ProofStep(
        "|Cov(u, y)| <= range(u) E(y - Ey)^+ for y = <direction, x^(c)>: u is best at its top where y > Ey",
        lemma="convex extreme",
    ),
)
_GRUESS = (
    ProofStep(
        "E(y - Ey)^+ is convex in y: extreme at two points, where it is range times p(1-p)", lemma="convex extreme"
    ),
    ProofStep("at most a quarter of the range", residual=Rational(1, 4) - _p * (1 - _p) - (_p - Rational(1, 2)) ** 2),
)
_THREE_POINTS = (
    ProofStep(
        "y in [-X_c, X_c] and 0 off a mass eps: convexity puts the mass at +X_c (p), -X_c (eps - p) and 0; by symmetry "
        "Ey >= 0, so only +X_c lies above the mean and E(y - Ey)^+ = X_c p (1 + eps - 2p)",
        lemma="convex extreme",
    ),
    ProofStep("Its free maximum over p is (1+eps)^2/8", residual=_high - _above - 2 * (_p - (1 + eps) / 4) ** 2),
    ProofStep("at p = (1+eps)/4, which exceeds eps for eps < 1/3", residual=diff(_above, _p).subs(_p, (1 + eps) / 4)),
    ProofStep("Below 1/3 all mass sits on +X_c", residual=_above.subs(_p, eps) - _low),
    ProofStep("The pieces join", residual=(_low - _high).subs(eps, Rational(1, 3))),
    ProofStep("phi rises: 1 - 2 eps up to 1/3, (1+eps)/4 beyond", residual=diff(_low, eps) - (1 - 2 * eps)),
)
_MAJORANT = (
    ProofStep("The chord touches e(1-e) at 1 - 1/sqrt(2)", residual=_chord - _low - (eps - _touch) ** 2),
    ProofStep("and lies above (1+e)^2/8, which it meets at 1", residual=_chord - _high - (1 - eps) * (eps - _e1) / 8),
    ProofStep("from 8 sqrt(2) - 11 on, which is below 1/3", relation=_e1 < Rational(1, 3)),
    ProofStep("Minimum of two concave functions: Jensen over the block's queries", lemma="jensen"),
)

THEOREMS: tuple[Theorem, ...] = (
    Theorem(
        key="worst_case_gradient",
        claims=("C3",),
        title="Level A: no gradient exceeds it, whatever the parameters",
        statement="||grad_bc|| <= (G V X_b p_b / tau) min(D_c/4, X_c/2) at every W.",
        quantity="gradient_norm",
        relation=Relation.AT_MOST,
        formula=WORST_CASE,
        trivial="nothing bounds a gradient but what the task and the weights say",
        hypotheses=(EITHER, PRESENT),
        bound=worst_case,
        rounding=gradient_rounding,
        proof=(*_GRADIENT, *_GRUESS, ProofStep("phi(1) = 1/2", residual=_high.subs(eps, 1) - Rational(1, 2))),
        source=SOURCE,
        level=Level.PAIR,
        enclosures=(
            Statement("p (1-p) <= 1/4, to 1e-9", eta * (1 - eta), Rational(1, 4) * (1 + LITTLE), {eta: (0.0, 1.0)}),
        ),
    ),
    Theorem(
        key="leakage_aware_gradient",
        needs=("worst_case_gradient",),
        claims=("C3",),
        title="Level B: small leakage, small gradient",
        statement="||grad_bc|| <= (G V X_b p_b / tau) min(D_c/4, X_c psi(eps)), eps the mean leakage of the block's "
        "queries and psi the concave majorant of phi.",
        quantity="gradient_norm",
        relation=Relation.AT_MOST,
        formula=LEAKAGE_AWARE_MEAN,
        trivial=WORST_CASE,  # without the leakage
        hypotheses=(
            EITHER,
            PRESENT,
            Hypothesis(
                "keys hold features in their own block only, so x^(c) is 0 off a mass of the leakage",
                lambda rows: flag(rows, "localist"),
            ),
            Hypothesis(
                "the mean leakage is known",
                lambda rows: np.isfinite(field(rows, "mean_leakage")),
                spare="an unknown one counts as 1: level A",
            ),
        ),
        bound=_leakage_aware,
        rounding=gradient_rounding,
        proof=(*_GRADIENT, *_GRUESS, *_THREE_POINTS, *_MAJORANT),
        source=SOURCE,
        level=Level.PAIR,
        enclosures=(
            Statement("the chord is at least e (1-e) up to 1/3, to 1e-9", _low, _chord + LITTLE, {eps: (0.25, 0.34)}),
            Statement("and at least (1+e)^2/8 from there to 1, to 1e-9", _high, _chord + LITTLE, {eps: (0.33, 1.0)}),
        ),
    ),
)
