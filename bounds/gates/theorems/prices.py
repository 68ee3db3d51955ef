"""What opening a gate does to the loss: its slope, the pair law, what shares of a path add up to (claims C1, C6, C13).

o = (Z_in o_in + sum_c s_c Z_c o_c)/Z;   do/ds_c = (Z_c/Z)(o_c - o);   dL/ds_c = sum_i (Z_c,i/Z_i) <g_i, o_c,i - o_i>
at the mask:   lambda_c = sum_p w_p lambda_p / sum_p w_p,   w_p = w_ij/Z_in,i,   lambda_ij = N_l <-g_i, v_j - o_in,i>
"""

# sympy has no types: what comes of its functions is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false, reportUnknownParameterType=false
# pyright: reportOperatorIssue=false

from __future__ import annotations

import numpy as np
from sympy import Expr, Sum, Symbol, diff, simplify

from bounds.gates import closed_forms
from bounds.theory.rows import ABSTRACT, ULP, exact
from bounds.theory.stable_forms import Forms
from bounds.theory.symbols import (
    gate,
    gate_part,
    group_share,
    leakage_ref,
    odds_of,
    pair_odds,
    pair_of,
    pair_penalty,
    phi_of,
    pull,
    pull_of,
    row,
    rows_,
    share_of,
    speed,
    steepest,
    w_group,
    w_in,
)
from bounds.theory.theorem import Hypothesis, Level, ProofStep, Relation, Rows, Theorem

SOURCE = (
    f"{ABSTRACT}, claims C1 and C6; derived here. Slopes of a loss in masks of heads: Michel et al. 2019 "
    "(arXiv:1905.10650); theirs multiply a head's output, these its weights before they are normalised"
)
PATHS = (
    f"{ABSTRACT}, claim C6; derived here. Path integrals of partial derivatives: Aumann and Shapley 1974; Friedman "
    "2004; of a network's inputs, integrated gradients, Sundararajan et al. 2017 (arXiv:1703.01365)"
)

_each = (row, 1, rows_)
PRICE: Expr = Sum(share_of[row] * pull_of[row], _each)  # pyright: ignore[reportAssignmentType]
PAIR_LAW: Expr = Sum(odds_of[row] * pair_of[row], _each) / Sum(odds_of[row], _each)
TOTAL: Expr = Sum(phi_of[row], _each)  # pyright: ignore[reportAssignmentType]
STAIRCASE: Expr = steepest * leakage_ref

FORMS: Forms = {"staircase": ((steepest, leakage_ref), STAIRCASE)}

_o_in, _o_c = Symbol("o_in", real=True), Symbol("o_c", real=True)
_output = (w_in * _o_in + gate * w_group * _o_c) / (w_in + gate * w_group)
_mass = w_group / (w_in + gate * w_group)
_eps = gate * _mass


def _sums(*names: str):
    """Relative error of a sum of products next to the sum of their sizes: 8 ulp each, and those of observed slopes."""

    def room(rows: Rows) -> np.ndarray:
        size = np.prod([np.abs(rows[name]) for name in names], axis=0)
        return 4096 * ULP * size.sum(-1)

    return room


THEOREMS: tuple[Theorem, ...] = (
    Theorem(
        key="gate_price",
        claims=("C1", "C6"),
        title="The price of a gate",
        statement="At every s, dL/ds_c = sum_i (Z_c,i/Z_i) <g_i, o_c,i - o_i>: what the group's keys would say, less "
        "what the row says, along the loss.",
        quantity="loss_slope",
        relation=Relation.EQUAL,
        formula=PRICE,
        step=group_share * pull,
        hypotheses=(
            Hypothesis(
                "the gate multiplies weights before the row is normalised", lambda rows: rows["after_softmax"] == 0
            ),
        ),
        bound=lambda rows: (rows["group_shares"] * rows["pulls"]).sum(-1),
        rounding=exact,
        proof=(
            ProofStep(
                "do/ds_c = (Z_c/Z)(o_c - o), with everything that is not of the group in Z_in and o_in",
                residual=simplify(diff(_output, gate) - _mass * (_o_c - _output)),
            ),
            ProofStep("dL/ds_c = sum_i <dL/do_i, do_i/ds_c>", lemma="chain rule of derivatives"),
        ),
        source=SOURCE,
        level=Level.GATE,
        trivial="a slope is not known without it",
        tolerance=_sums("group_shares", "pulls"),
        attained=True,
    ),
    Theorem(
        key="pair_law",
        claims=("C3", "C13"),
        title="A gate's critical penalty is a mean of its pairs'",
        statement="At the mask the critical penalty of a pair alone is lambda_ij = N_l <-g_i, v_j - o_in,i>, "
        "whatever its attention weight; that of a gate within one layer is the mean of its pairs', weighted by "
        "w_ij/Z_in,i.",
        quantity="critical_ratio",
        relation=Relation.EQUAL,
        formula=PAIR_LAW,
        step=pair_odds * pair_penalty,
        hypotheses=(Hypothesis("all gates are 0", lambda rows: rows["gate"] == 0),),
        bound=lambda rows: (rows["pair_odds"] * rows["pair_penalties"]).sum(-1) / rows["pair_odds"].sum(-1),
        rounding=exact,
        proof=(
            ProofStep(
                "At s = 0: dL/ds_c = sum_i (Z_c/Z_in)<g_i, o_c - o_in>, and Z_c (o_c - o_in) = sum_j w_ij (v_j - o_in)",
                lemma="definition",
            ),
            ProofStep(
                "own-layer deps/ds_c = (Z_c/Z)(1 - eps), at s = 0 Z_c/Z_in, and N_l times dOmega/ds_c is their sum",
                residual=simplify(diff(_eps, gate) - _mass * (1 - _eps)),
            ),
            ProofStep("so -(dL/ds_c)/(dOmega/ds_c) is the weighted mean", lemma="definition"),
        ),
        source=f"{ABSTRACT}, claim C3; derived here",
        level=Level.GATE,
        trivial="a critical penalty is not known without it",
        needs=("gate_price",),
        tolerance=lambda rows: _sums("pair_odds", "pair_penalties")(rows) / rows["pair_odds"].sum(-1),
        attained=True,
    ),
    Theorem(
        key="gate_shares",
        claims=("C6",),
        title="Shares of a path add up",
        statement="Along any path of gates from the mask to the model as trained, L(0) - L(1) is the sum over gates "
        "of minus the path integrals of their own slopes.",
        quantity="loss_change",
        relation=Relation.EQUAL,
        formula=TOTAL,
        step=gate_part * speed,
        hypotheses=(
            Hypothesis("the loss is continuously differentiable along the path", lambda rows: rows["jumps"] == 0),
        ),
        bound=lambda rows: rows["gate_shares"].sum(-1),
        rounding=exact,
        proof=(
            ProofStep("dL/dt along the path is sum_c (dL/ds_c) ds_c/dt", lemma="chain rule of derivatives"),
            ProofStep("its integral is the change of L, and the sum of the integrals", lemma="fundamental theorem"),
        ),
        source=PATHS,
        level=Level.GATE,
        trivial="shares are not known to add up without it",
        needs=("gate_price",),
        tolerance=lambda rows: rows["quadrature"],
        attained=True,
    ),
    Theorem(
        key="gate_staircase",
        claims=("C6", "C13"),
        title="The cost ledger of a staircase",
        statement="Open layers one after the other, shallow first, deeper ones shut: L(0) - L(s) is the sum over "
        "layers of the integrals of sum_i <-g_i, o_out,i - o_in,i> d eps_i, and Omega(s) that of sum_i d eps_i/N_l. "
        "So L(0) - L(s) is at most Omega(s) times the largest N_l <-g_i, o_out,i - o_in,i> on the way.",
        quantity="loss_change",
        relation=Relation.AT_MOST,
        formula=STAIRCASE,
        hypotheses=(
            Hypothesis("shallow layers open first, deeper ones are shut", lambda rows: rows["deep_first"] == 0),
            Hypothesis(
                "no N_l <-g_i, o_out,i - o_in,i> on the way is larger", lambda rows: rows["steepest"] <= rows["rate"]
            ),
        ),
        bound=lambda rows: closed_forms.staircase(rows["rate"], rows["penalised_leakage"]),
        rounding=lambda rows: np.asarray(4096 * ULP),
        proof=(
            ProofStep(
                "o = o_in + eps (o_out - o_in), and while its layer opens o_in and o_out do not move",
                residual=simplify(_output - _o_in - _eps * (_o_c - _o_in)),
            ),
            ProofStep("so dL/dt = sum_i <g_i, o_out,i - o_in,i> d eps_i/dt", lemma="chain rule of derivatives"),
            ProofStep("the changes of the layers add up, each eps_i rising", lemma="fundamental theorem"),
            ProofStep("a weighted sum is at most the largest rate times the sum of weights", lemma="termwise"),
        ),
        source=PATHS,
        level=Level.GATE,
        trivial="how much the loss changes is not known without it",
        needs=("gate_shares",),
        attained=True,
    ),
)
