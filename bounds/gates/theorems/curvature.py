"""What curvature allows (claims C3, C10): how far the mask's basin reaches, what a layer's leakage may take off a loss.

    J(s) - J(0) >= gamma ||s|| - M ||s||^2/2      L(0) - L(s) <= Omega (max lambda_ij + N_l M V^2 max eps/2)

M bounds the negative curvature of J in the gates, or of the loss in the outputs of one layer.
"""

# sympy has no types: what comes of its functions is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false, reportUnknownParameterType=false
# pyright: reportOperatorIssue=false

from __future__ import annotations

import numpy as np
from sympy import Expr

from bounds.gates import closed_forms
from bounds.theory.rows import ABSTRACT, ULP
from bounds.theory.stable_forms import Forms
from bounds.theory.symbols import M, V, gate_slope, gates_norm, largest_leakage, largest_pair, layer_rows, leakage_ref
from bounds.theory.theorem import Hypothesis, Level, ProofStep, Relation, Rows, Theorem

SOURCE = f"{ABSTRACT}, claim C3; derived here"

RISE: Expr = gate_slope * gates_norm - M * gates_norm**2 / 2
BASIN: Expr = 2 * gate_slope / M
RATE: Expr = largest_pair + layer_rows * M * V**2 * largest_leakage / 2
TAKEN_OFF: Expr = leakage_ref * RATE

FORMS: Forms = {
    "rise": ((gate_slope, M, gates_norm), RISE),
    "basin": ((gate_slope, M), BASIN),
    "rate": ((largest_pair, layer_rows, M, V, largest_leakage), RATE),
}


def _rate(rows: Rows) -> np.ndarray:
    return closed_forms.rate(
        rows["pair_penalty"],
        rows["layer_rows"],
        rows["curvature_bound"],
        rows["value_diameter"],
        rows["largest_leakage"],
    )


THEOREMS: tuple[Theorem, ...] = (
    Theorem(
        key="gate_basin",
        claims=("C3", "C10"),
        title="The basin of the mask",
        statement="With dJ/ds_c >= gamma at the mask for every gate, and no negative curvature of J beyond M, J(s) - "
        "J(0) >= gamma ||s|| - M ||s||^2/2: the mask is better than all other gates with ||s|| < 2 gamma/M.",
        quantity="objective_rise",
        relation=Relation.AT_LEAST,
        formula=RISE,
        hypotheses=(
            Hypothesis("every slope at the mask is at least gamma", lambda rows: rows["least_slope"] >= rows["gap"]),
            Hypothesis("no negative curvature exceeds M", lambda rows: rows["curvature"] <= rows["curvature_bound"]),
        ),
        bound=lambda rows: closed_forms.rise(rows["gap"], rows["curvature_bound"], rows["gates_norm"]),
        rounding=lambda rows: np.asarray(64 * ULP),
        proof=(
            ProofStep(
                "sum_c s_c dJ/ds_c >= gamma sum_c s_c >= gamma ||s||, since no gate is negative", lemma="termwise"
            ),
            ProofStep("the second derivative along the ray is at least -M ||s||^2", lemma="rayleigh"),
            ProofStep(
                "so the bound is J's expansion, and 0 at ||s|| = 2 gamma/M", residual=RISE.subs(gates_norm, BASIN)
            ),
        ),
        source=SOURCE,
        level=Level.GATE,
        trivial="how far a local minimum reaches is not known without it",
        tolerance=lambda rows: 64 * ULP * (rows["gap"] * rows["gates_norm"] + rows["curvature_bound"]),
        attained=True,
    ),
    Theorem(
        key="gate_curvature",
        claims=("C3", "C6"),
        title="What the leakage of one layer may take off the loss",
        statement="The gates of one layer open, the loss of negative curvature at most M in its outputs, o_out and "
        "o_in at most V apart, no leakage above eps: L(0) - L(s) <= Omega (max lambda_ij + N_l M V^2 eps/2), lambda_ij "
        "the critical penalties of its pairs at the mask. From that rate on no such gates are better than the mask.",
        quantity="loss_change",
        relation=Relation.AT_MOST,
        formula=TAKEN_OFF,
        hypotheses=(
            Hypothesis("the gates of one layer are open", lambda rows: rows["layers_open"] == 1),
            Hypothesis("no pair has a larger critical penalty", lambda rows: rows["steepest"] <= rows["pair_penalty"]),
            Hypothesis("no negative curvature exceeds M", lambda rows: rows["curvature"] <= rows["curvature_bound"]),
            Hypothesis("no o_out is further from its o_in", lambda rows: rows["apart"] <= rows["value_diameter"]),
            Hypothesis("no row leaks more than eps", lambda rows: rows["worst_leakage"] <= rows["largest_leakage"]),
        ),
        bound=lambda rows: rows["penalised_leakage"] * _rate(rows),
        rounding=lambda rows: np.asarray(256 * ULP),
        proof=(
            ProofStep("o_i - o_in,i = eps_i (o_out,i - o_in,i)", lemma="definition"),
            ProofStep("L(0) - L(s) <= -<g, o - o_in> + M ||o - o_in||^2/2", lemma="rayleigh"),
            ProofStep("of each row at most eps_i (lambda_max/N_l + M V^2 eps/2), o_out being a mean", lemma="termwise"),
        ),
        source=SOURCE,
        level=Level.GATE,
        trivial="how much the loss changes is not known without it",
        needs=("pair_law",),
        tolerance=lambda rows: 256 * ULP * rows["size"],
        attained=True,
    ),
)
