"""What gates cost to second order, without labels (claim C6): the Gram matrix of a divergence from what was trained.

D(s) = sum over tokens of KL(p || softmax z(s)),   p = softmax z(1):   D(1) = 0,   grad D(1) = 0
v^T (Hessian of D at 1) v = sum over tokens of Var_p(J v) >= 0,   J the slopes of the logits z in the gates
"""

# sympy has no types: what comes of its functions is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false, reportUnknownParameterType=false
# pyright: reportOperatorIssue=false

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from sympy import Add, Expr, Function, Sum, diff, log, simplify, symbols

from bounds.theory.rows import ABSTRACT, ULP, exact
from bounds.theory.symbols import (
    at_class,
    class_share,
    classes,
    logit_slope,
    mean_slope,
    other_class,
    probability_of,
    row,
    rows_,
    slope_of,
)
from bounds.theory.theorem import Hypothesis, Level, ProofStep, Relation, Rows, Theorem

_share, _slope = probability_of[row, at_class], slope_of[row, at_class]
_mean = Sum(probability_of[row, other_class] * slope_of[row, other_class], (other_class, 1, classes))
STEP: Expr = class_share * (logit_slope - mean_slope) ** 2
GRAM: Expr = Sum(  # pyright: ignore[reportAssignmentType]
    STEP.subs({class_share: _share, logit_slope: _slope, mean_slope: _mean}), (at_class, 1, classes), (row, 1, rows_)
)

_t, _bend = symbols("t b", real=True)  # b: mean of the logits' second derivatives
_first, _second = symbols("m_1 m_2", real=True)  # E u, E u^2
_z = Function("Z", positive=True)(_t)  # sum_k p_k e^(z_k(t) - z_k(0)): 1 at 0, its slopes E u and E u^2 + b
_log_z = diff(log(_z), _t, 2).subs(diff(_z, _t, 2), _second + _bend).subs(diff(_z, _t), _first).subs(_z, 1)
_p, _u = symbols("p_1:4", positive=True), symbols("u_1:4", real=True)


def _mean_of(values: Iterable[Expr]) -> Expr:
    """Of three classes."""
    return Add(*(p * value for p, value in zip(_p, values)))


_average, _squares = _mean_of(_u), _mean_of(u**2 for u in _u)
_variance = _mean_of((u - _average) ** 2 for u in _u)


def _spread(rows: Rows) -> np.ndarray:
    """Variances of the logits' slopes, summed over tokens."""
    share, slope = rows["probabilities"], rows["logit_slopes"]
    away = slope - (share * slope).sum(-1, keepdims=True)
    return (share * away**2).sum((-2, -1))


def _of_curvature(rows: Rows) -> np.ndarray:
    """What a second derivative of a divergence loses: ulp of the logits' slopes squared, not of their variance."""
    return 2**14 * ULP * (1 + (rows["logit_slopes"] ** 2).sum((-2, -1)))


THEOREMS: tuple[Theorem, ...] = (
    Theorem(
        key="gate_gram",
        claims=("C6",),
        title="What gates cost to second order",
        statement="At the model as trained the divergence sum_t KL(p_t || softmax z_t(s)), p_t = softmax z_t(1), is 0 "
        "and flat in the gates, and its Hessian is the Gram matrix sum_t J_t^T (diag p_t - p_t p_t^T) J_t of the "
        "logits' slopes: along v it is sum_t Var_p_t(J_t v), at least 0, however the logits bend.",
        quantity="divergence_curvature",
        relation=Relation.EQUAL,
        formula=GRAM,
        step=STEP,
        hypotheses=(
            Hypothesis("all gates are 1", lambda rows: rows["gate"] == 1),
            Hypothesis("the reference is the model as trained", lambda rows: rows["of_labels"] == 0),
            Hypothesis("the logits are twice differentiable in the gates", lambda rows: rows["kinks"] == 0),
        ),
        bound=_spread,
        rounding=exact,
        proof=(
            ProofStep(
                "Of a token along a line of gates, KL is ln Z less the mean of the logits' change, Z = sum_k p_k "
                "e^change: its slope at 1 is E u - E u, p summing to 1",
                residual=diff(log(_z), _t).subs(diff(_z, _t), _first).subs(_z, 1) - _first,
            ),
            ProofStep(
                "(ln Z)'' = Z''/Z - (Z'/Z)^2 with Z = 1, Z' = E u and Z'' = E u^2 + b; the mean bend b is taken off "
                "again: E u^2 - (E u)^2",
                residual=_log_z - _bend - (_second - _first**2),
            ),
            ProofStep(
                "which is the variance, p summing to 1; here of three classes",
                residual=simplify((_variance - (_squares - _average**2)).subs(_p[2], 1 - _p[0] - _p[1])),
            ),
            ProofStep("a sum of variances of J v is v^T times a Gram matrix times v, at least 0", lemma="gram"),
        ),
        source=f"{ABSTRACT}, claim C6; derived here. The Gauss-Newton matrix of a divergence: Martens 2020 "
        "(arXiv:1412.1193); theirs is in the weights, this in the gates",
        level=Level.GATE,
        trivial="the first-order price of every gate is 0 there, which says nothing of several shut",
        tolerance=_of_curvature,
        attained=True,
    ),
)
