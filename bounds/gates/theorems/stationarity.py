"""Which penalties keep gates shut (claims C3, C10): stationarity on the box, critical penalty, level A, steps to zero.

J = L + lambda Omega on the box [0, 1]^C:   s_c = 0 needs dJ/ds_c >= 0, s_c = 1 needs <= 0, between them = 0
lambda_crit = max_c max(0, -(dL/ds_c)/(dOmega/ds_c)) at the mask;   level A: N_l ||g_i|| V_i, no gate in two layers
"""

# sympy has no types: what comes of its functions is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false, reportUnknownParameterType=false
# pyright: reportOperatorIssue=false

from __future__ import annotations

import numpy as np
from sympy import Expr, Mul, S, Sum, Symbol, ceiling, exp, simplify

from bounds.gates import closed_forms
from bounds.theory.reading import FalseReading
from bounds.theory.rows import ABSTRACT, ULP, exact, from_lower_penalties, to_higher_penalties
from bounds.theory.stable_forms import Forms
from bounds.theory.symbols import (
    G,
    V,
    eta,
    gate,
    gate_slope,
    layer_rows,
    opened,
    rate_of,
    residual,
    row,
    row_rate,
    rows_,
    split,
    split_of,
)
from bounds.theory.theorem import Hypothesis, Level, ProofStep, Relation, Rows, Theorem

SOURCE = (
    f"{ABSTRACT}, claim C3; derived here. Learned gates choose heads in Voita et al. 2019 (arXiv:1905.09418) and "
    "edges in Bhaskar et al. 2024 (arXiv:2406.16778); thresholds and exact zeros with a residual are new here"
)

_each = (row, 1, rows_)
GATE_LEVEL: Expr = Mul(layer_rows, G, V)
_steps: Expr = gate / (eta * gate_slope)
GATE_STEPS: Expr = ceiling(_steps)
_left: Expr = Mul(residual, layer_rows, opened)  # by steps that have not quite settled
SELF_CHECK: Expr = (Sum(split_of[row] * rate_of[row], _each) + _left) / Sum(split_of[row], _each)

FORMS: Forms = {
    "gate_level": ((layer_rows, G, V), GATE_LEVEL),
    "gate_steps": ((gate, gate_slope, eta), _steps),
}

_b, _w = Symbol("b", real=True), Symbol("w_i", nonnegative=True)
_leaked = exp(_b) * _w / (1 + exp(_b) * _w)


def _total(rows: Rows) -> np.ndarray:
    return (rows["splits"] * rows["rates"]).sum(-1)


def _unsettled(rows: Rows) -> np.ndarray:
    return rows["residual"] * rows["layer_rows"] * rows["gates_sum"]


_FROM_THE_MASK = Hypothesis("the step starts at the mask, all gates 0", lambda rows: rows["gates_at_start"] == 0)
_ONE_LAYER = Hypothesis("no gate acts in two layers", lambda rows: rows["layers_shared"] <= 1)
_SHUT_DEEPER = Hypothesis("gates of deeper layers are 0", lambda rows: rows["deeper_open"] == 0)

THEOREMS: tuple[Theorem, ...] = (
    Theorem(
        key="gate_stationarity",
        claims=("C10",),
        title="Stationarity on the box of gates",
        statement="With R = (s - clip(s - eta dJ/ds, 0, 1))/eta: at a gate that is 0 dJ/ds >= -R, at 1 dJ/ds <= R, "
        "between them |dJ/ds| <= R.",
        quantity="gate_violation",
        relation=Relation.AT_MOST,
        formula=residual,
        hypotheses=(
            Hypothesis(
                "a gate between the ends is farther from both than one step",
                lambda rows: (
                    (rows["gate"] == 0)
                    | (rows["gate"] == 1)
                    | (np.minimum(rows["gate"], 1 - rows["gate"]) > rows["step"] * rows["residual"] * (1 + 1e-12))
                ),
            ),
            Hypothesis("one step is shorter than the box", lambda rows: rows["step"] * rows["residual"] < 1 - 1e-12),
        ),
        bound=lambda rows: rows["residual"],
        rounding=lambda rows: 64 * ULP * (1 + 1 / (rows["step"] * np.maximum(rows["residual"], 1e-300))),
        proof=(
            ProofStep(
                "Where no end cuts the step R = dJ/ds; an end at s = 0 cuts it only if dJ/ds >= 0, at 1 only if <= 0",
                lemma="definition",
            ),
        ),
        source=f"{ABSTRACT}, claim C10; derived here",
        level=Level.GATE,
        trivial="nothing bounds the slope in a gate but stationarity",
        attained=True,
    ),
    Theorem(
        key="gates_stay",
        claims=("C3", "C10"),
        title="Above the critical penalty the mask stays",
        statement="With lambda above -(dL/ds_c)/(dOmega/ds_c) at the mask for every gate, one projected step leaves "
        "every gate 0, and the mask is a strict local minimum in the gates.",
        quantity="open_gates",
        relation=Relation.EQUAL,
        formula=S.Zero,
        hypotheses=(
            _FROM_THE_MASK,
            Hypothesis(
                "lambda is at least the critical penalty",
                lambda rows: rows["penalty"] >= rows["critical"] * (1 + 1e-12),
            ),
        ),
        bound=lambda rows: np.zeros_like(rows["penalty"]),
        rounding=exact,
        proof=(
            ProofStep(
                "Every dJ/ds_c = dL/ds_c + lambda dOmega/ds_c is positive at the mask, and the box lies on the side "
                "of larger gates",
                lemma="definition",
            ),
            ProofStep("J(s) - J(0) >= (least dJ/ds_c) sum s_c - o(sum s_c)", lemma="mean value"),
        ),
        source=SOURCE,
        level=Level.GATE,
        trivial="which gates open is not known without it",
        widened=from_lower_penalties,
        attained=True,
    ),
    Theorem(
        key="gates_open",
        claims=("C3", "C10"),
        title="Below the critical penalty a gate opens",
        statement="With lambda below -(dL/ds_c)/(dOmega/ds_c) at the mask for some gate, one projected step from the "
        "mask opens it, and the mask is no local minimum.",
        quantity="open_gates",
        relation=Relation.AT_LEAST,
        formula=S.One,
        hypotheses=(
            _FROM_THE_MASK,
            Hypothesis(
                "lambda is below the critical penalty", lambda rows: rows["penalty"] < rows["critical"] * (1 - 1e-12)
            ),
        ),
        bound=lambda rows: np.ones_like(rows["penalty"]),
        rounding=exact,
        proof=(
            ProofStep("dJ/ds_c < 0 for the gate of the largest ratio: its step goes into the box", lemma="definition"),
        ),
        source=SOURCE,
        level=Level.GATE,
        trivial=S.Zero,
        widened=to_higher_penalties,
        attained=True,
    ),
    Theorem(
        key="gate_self_check",
        claims=("C3", "C10"),
        title="A free check at a stationary point",
        statement="Where J is stationary up to a residual R, lambda sum_i h_i <= sum_i h_i N_l <-g_i, o_out,i - "
        "o_in,i> + R N_l sum_c s_c over rows and gates of the last layer with an open gate, h_i = eps_i (1 - eps_i). "
        "So lambda is at most the mean of N_l <-g_i, o_out,i - o_in,i> weighted by h_i, where R = 0.",
        quantity="penalty",
        relation=Relation.AT_MOST,
        formula=SELF_CHECK,
        step=split * row_rate,
        hypotheses=(
            _ONE_LAYER,
            _SHUT_DEEPER,
            Hypothesis(
                "some row has attention on both sides",
                lambda rows: rows["splits"].sum(-1) > 0,
                spare="without one the mean is over nothing",
            ),
        ),
        bound=lambda rows: (_total(rows) + _unsettled(rows)) / rows["splits"].sum(-1),
        rounding=lambda rows: np.asarray(4096 * ULP),
        proof=(
            ProofStep("A gate that is not 0 has dJ/ds_c <= R, so sum_c s_c dJ/ds_c <= R sum_c s_c", lemma="definition"),
            ProofStep(
                "with deeper gates at 0 the left side is sum_i h_i (<g_i, o_out,i - o_in,i> + lambda/N_l): in b = ln "
                "of a common factor of a row's gates, deps/db = eps (1 - eps)",
                residual=simplify(_leaked.diff(_b) - _leaked * (1 - _leaked)),
            ),
        ),
        source=SOURCE,
        level=Level.GATE,
        trivial="any penalty may leave an open gate without it",
        needs=("gate_price", "gate_stationarity"),
        tolerance=lambda rows: (
            4096
            * ULP
            * np.divide(
                (rows["splits"] * np.abs(rows["rates"])).sum(-1),
                rows["splits"].sum(-1),
                out=np.zeros_like(rows["penalty"]),
                where=rows["splits"].sum(-1) > 0,
            )
        ),
        attained=True,
    ),
    Theorem(
        key="gate_level_a",
        claims=("C3",),
        title="Level A for gates: above it every stationary point is the mask",
        statement="If lambda > N_l ||g_i|| V_i for all rows and all gates, no gate in two layers, then at every "
        "stationary point of J every gate with a pair is 0: leakage 0, entropy at most ln m.",
        quantity="open_gates",
        relation=Relation.EQUAL,
        formula=S.Zero,
        hypotheses=(
            _ONE_LAYER,
            Hypothesis("J is stationary on the box, exactly", lambda rows: rows["residual"] == 0),
            Hypothesis(
                "lambda exceeds N_l G V, G and V bounds for all rows and all gates",
                lambda rows: (
                    rows["penalty"]
                    > closed_forms.gate_level(rows["layer_rows"], rows["gradient_bound"], rows["value_diameter"])
                    * (1 + 1e-12)
                ),
            ),
        ),
        bound=lambda rows: np.zeros_like(rows["penalty"]),
        rounding=exact,
        proof=(
            ProofStep(
                "In the last layer with an open gate lambda is at most a weighted mean of N_l <-g_i, o_out,i - o_in,i>",
                lemma="theorem",
            ),
            ProofStep("each at most N_l ||g_i|| V_i", lemma="cauchy-schwarz"),
            ProofStep("so there is no such layer", lemma="definition"),
        ),
        source=SOURCE,
        level=Level.GATE,
        trivial="which gates are open is not known without it",
        needs=("gate_self_check",),
        widened=from_lower_penalties,
        attained=True,
    ),
    Theorem(
        key="gate_steps_to_zero",
        claims=("C3", "C10"),
        title="Gates are exactly 0 after finitely many steps",
        statement="Projected gradient steps of size eta with dJ/ds_c >= gamma on the way take a gate from s to 0 in "
        "at most ceil(s/(eta gamma)) steps; it stays there while dJ/ds_c >= 0. Floating point may take one more.",
        quantity="steps_to_zero",
        relation=Relation.AT_MOST,
        formula=GATE_STEPS,
        hypotheses=(
            Hypothesis("the slope is at least gamma on the way", lambda rows: rows["least_slope"] >= rows["gap"]),
            Hypothesis("plain projected steps, without momentum", lambda rows: ~np.asarray(rows["accelerated"], bool)),
        ),
        bound=lambda rows: np.ceil(closed_forms.gate_steps(rows["gate"], rows["gap"], rows["step"])),
        rounding=exact,
        proof=(ProofStep("Each step takes eta gamma off, or ends at 0", lemma="induction"),),
        source=SOURCE,
        level=Level.GATE,
        trivial="how many steps it takes is not known without it",
        tolerance=lambda rows: np.asarray(1.0),
    ),
)

FALSE_READINGS = (
    FalseReading(
        "C3",
        "gates shared over layers",
        "Above level A no gate is open at a stationary point, whatever rows share it.",
        "One gate in two layers, loss 0: opening it moves the second layer's logits so that Omega falls, and at s = "
        "1 dOmega/ds < 0: a stationary point with an open gate at every penalty.",
        "With no gate in two layers it is true: theorem `gate_level_a`.",
    ),
    FalseReading(
        "C3",
        "a threshold for each gate",
        "A gate is shut at every stationary point once lambda exceeds N_l <-g_i, v_j - o_in,i> for its own pairs.",
        "A gate opens to dilute what another does to its row. Two rows; the first gate is rewarded in the first row "
        "and does harm in the second, where the second gate says what the block says, so that its own threshold is 0: "
        "at lambda = 1 both are open at a stationary point.",
        "The largest over all rows and gates of a layer serves, from the last layer on: theorem `gate_level_a`.",
    ),
)
