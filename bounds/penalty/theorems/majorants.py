"""Level E from above, through a quadratic majorant of what cross logits can win, one query at a time.

eta l_i(t, 0) - l_i(t, w) <= Psi_i + w^T M_i w for all in-block logits t and |w| <= n |x_i|,  n = sum_c ||C_c||, gives
(L_loc - L(I, C))/n <= [(1-eta) L_loc + mean Psi + Lambda n^2]/n,  Lambda >= top eigenvalue of mean M_i (x) x_i x_i^T, 0
"""

# sympy has no types: what comes of its functions is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false, reportUnknownParameterType=false
# pyright: reportOperatorIssue=false

from __future__ import annotations

from typing import Any

import numpy as np
from sympy import Matrix, Symbol, kronecker_product, symbols

from bounds.penalty import closed_forms
from bounds.penalty.theorems.global_threshold import SOURCE
from bounds.theory.stable_forms import Forms
from bounds.theory.symbols import cross_norm, kept, localised, offset, quadratic
from bounds.theory.theorem import Hypothesis, Level, ProofStep, Relation, Rows, Theorem

QUADRATIC_DUAL = ((1 - kept) * localised + offset + quadratic * cross_norm**2) / cross_norm

FORMS: Forms = {"quadratic_dual": ((localised, kept, offset, quadratic, cross_norm), QUADRATIC_DUAL)}


def _rounding(rows: Rows) -> np.ndarray:
    """1e-10: a mean of at most a thousand terms and three products, with a thousand ulp to spare for each."""
    return np.asarray(1e-10)


def _tolerance(rows: Rows) -> np.ndarray:
    """1e-13 of the losses over n: both sides are differences of losses, and may be small beside them."""
    sizes = sum(np.abs(rows[name]) for name in ("loss_localised", "localised_infimum", "loss", "offset"))
    return 1e-13 * np.asarray(sizes) / rows["cross_norm"]


def _blocks() -> tuple[Any, Any]:
    """x^T C M C^T x, and the same as a form in vec(C): for two features of a query and two of the keys."""
    entries = Matrix(2, 2, symbols("C_11 C_12 C_21 C_22", real=True))
    m11, m12, m22 = symbols("M_11 M_12 M_22", real=True)
    features, majorant = Matrix(symbols("x_1 x_2", real=True)), Matrix([[m11, m12], [m12, m22]])
    columns = Matrix([entries[:, 0], entries[:, 1]])
    pull = entries.T * features
    form = kronecker_product(majorant, features * features.T)
    return (pull.T * majorant * pull)[0, 0], (columns.T * form * columns)[0, 0]


_infimum, _loss = Symbol("L_inf", real=True), Symbol("L", real=True)
_over, _above, _rest = symbols("g_1 s_1 rho", nonnegative=True)  # L_loc - infimum, L(I, 0) - infimum, 1 - eta
_c1, _c2 = symbols("c_1 c_2", nonnegative=True)
_n1, _n2, _level = symbols("n_1 n_2 lambda_0", positive=True)
_short1, _short2 = symbols("r_1 r_2", nonnegative=True)
_query, _stacked = _blocks()

THEOREMS: tuple[Theorem, ...] = (
    Theorem(
        key="quadratic_dual",
        claims=("C3", "C10"),
        title="Level E from quadratic majorants, query by query",
        statement="If eta l_i(t, 0) - l_i(t, w) <= Psi_i + w^T M_i w for every query i of a block, all its in-block "
        "logits t and all |w| <= n |x_i|, and Lambda is at least 0 and the top eigenvalue of mean M_i (x) x_i x_i^T, "
        "then (L_loc - L(I, C))/n <= [(1-eta) L_loc + mean Psi + Lambda n^2]/n at every I and all cross blocks with "
        "sum_c ||C_c|| = n. Here w_i = C^T x_i, a mean is the sum over the block over the number of all queries, and "
        "L_loc on the right may be any upper bound. The supremum over n > 0, the largest of the blocks, is at least "
        "lambda_glob.",
        quantity="global_witness",
        relation=Relation.AT_MOST,
        formula=QUADRATIC_DUAL,
        trivial="no penalty is known to keep cross blocks at zero everywhere without it",
        hypotheses=(
            Hypothesis("every Psi_i completes its majorant", lambda rows: rows["majorant_excess"] <= 0),
            Hypothesis(
                "Lambda is at least the top eigenvalue of mean M_i (x) x_i x_i^T",
                lambda rows: rows["quadratic_top"] <= rows["quadratic"],
            ),
            Hypothesis("Lambda is not negative", lambda rows: rows["quadratic"] >= 0),
            Hypothesis(
                "L_loc is at least the infimum of the loss with every cross block zero",
                lambda rows: rows["localised_infimum"] <= rows["loss_localised"],
            ),
            Hypothesis("eta >= 0", lambda rows: rows["eta"] >= 0),
            Hypothesis("eta <= 1", lambda rows: rows["eta"] <= 1),
        ),
        bound=lambda rows: closed_forms.quadratic_dual(
            rows["loss_localised"], rows["eta"], rows["offset"], rows["quadratic"], rows["cross_norm"]
        ),
        rounding=_rounding,
        tolerance=_tolerance,
        proof=(
            ProofStep(
                "With g = L_loc - infimum and s = L(I, 0) - infimum, (1-eta) L_loc + eta L(I, 0) - L exceeds "
                "infimum - L by (1-eta) g + eta s, which is not negative",
                residual=(
                    (1 - kept) * (_infimum + _over)
                    + kept * (_infimum + _above)
                    - _loss
                    - (_infimum - _loss)
                    - ((1 - kept) * _over + kept * _above)
                ).expand(),
                relation=_rest * _over + kept * _above >= 0,
            ),
            ProofStep("|w_i| = |C^T x_i| <= ||C||_F |x_i|", lemma="cauchy-schwarz"),
            ProofStep(
                "||C||_F^2 = sum_c ||C_c||^2 <= n^2, so the majorant applies at w_i: n^2 exceeds it by 2 ||C_c|| "
                "||C_c'|| a pair",
                residual=((_c1 + _c2) ** 2 - _c1**2 - _c2**2 - 2 * _c1 * _c2).expand(),
                relation=2 * _c1 * _c2 >= 0,
            ),
            ProofStep("so eta L(I, 0) - L(I, C) <= mean Psi + mean w_i^T M_i w_i", lemma="termwise"),
            ProofStep(
                "x^T C M C^T x = vec(C)^T [M (x) x x^T] vec(C), query by query",
                residual=(_query - _stacked).expand(),
            ),
            ProofStep("vec(C)^T [mean M_i (x) x_i x_i^T] vec(C) <= Lambda ||vec(C)||^2", lemma="rayleigh"),
            ProofStep(
                "Lambda sum_c ||C_c||^2 <= Lambda n^2, as Lambda is not negative",
                relation=(quadratic * ((_c1 + _c2) ** 2 - _c1**2 - _c2**2)).expand() >= 0,
            ),
            ProofStep(
                "The sum over n is the expression",
                residual=QUADRATIC_DUAL * cross_norm - (1 - kept) * localised - offset - quadratic * cross_norm**2,
            ),
            ProofStep(
                "The loss is a sum over the blocks of the queries, each with parameters of its own: gains of at most "
                "lambda n_b add up to at most lambda sum n_b",
                relation=_level - ((_level * _n1 - _short1 + _level * _n2 - _short2) / (_n1 + _n2)).expand().simplify()
                >= 0,
            ),
        ),
        source=SOURCE,
        level=Level.LANDSCAPE,
        needs=("global_below_gradient",),
        attained=True,
    ),
)
