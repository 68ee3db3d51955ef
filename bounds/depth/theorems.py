"""What dialling costs at the output, through depth, and how to share it out (claims C6, C13); what it isolates.

||o - o_S|| = eps ||mean inside - mean outside|| <= eps V
drift <= sum_l e_l prod_{k>l} (1 + Lip_k);   cost of a unit of leakage in layer l: A_l = V_l prod_{k>l} (1 + Lip_k)
most locality under a drift budget B: min over mu >= 0 of mu B + sum_k u_k (1 - mu A_k)^+
"""

# sympy has no types: what comes of its functions is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false, reportUnknownParameterType=false
# pyright: reportOperatorIssue=false

from __future__ import annotations

import numpy as np
from sympy import Expr, Max, Min, Product, S, Sum, Symbol, factor

from bounds.depth import closed_forms
from bounds.depth.calculators import amplification, drift, knapsack_optimum
from bounds.dial.theorems import DIALLED
from bounds.theory.least import Least
from bounds.theory.reading import FalseReading
from bounds.theory.rows import ABSTRACT, ULP, exact
from bounds.theory.stable_forms import Forms
from bounds.theory.symbols import (
    A_l,
    Lip_l,
    V,
    at,
    beyond,
    budget,
    dial,
    e_l,
    eps,
    kappa,
    layer_cost,
    layer_leakage,
    layers,
    lip,
    mean_gap,
    multiplier,
    u_l,
)
from bounds.theory.theorem import Hypothesis, Level, ProofStep, Relation, Rows, Theorem

SOURCE = f"{ABSTRACT}, claim C6; derived here"
SCHEDULE = "arXiv:2511.18375, abstract, claim C13; derived here"

OUTPUT_ERROR = eps * V
DIAL_SEGMENT = (eps - eps * (1 - dial) / (1 - dial * eps)) * mean_gap
GROWTH = 1 + lip
LAGRANGIAN: Expr = multiplier * budget + layer_leakage * Max(1 - multiplier * layer_cost, 0)  # one layer of the sum
DRIFT: Expr = Sum(e_l[at] * Product(1 + Lip_l[beyond], (beyond, at + 1, layers)), (at, 1, layers))  # pyright: ignore[reportAssignmentType]
_each = (beyond, 1, layers)
_at_a_kink = budget / A_l[at] + Sum(u_l[beyond] * Max(1 - A_l[beyond] / A_l[at], 0), _each)  # mu = 1/A_l
KNAPSACK: Expr = Min(Sum(u_l[beyond], _each), Least(_at_a_kink, (at, 1, layers)))  # mu = 0 first

FORMS: Forms = {
    "output_error": ((eps, V), OUTPUT_ERROR),
    "dial_segment": ((eps, dial, mean_gap), eps * dial * (1 - eps) / (1 - dial * eps) * mean_gap),
    "growth": ((lip,), GROWTH),
    "layer_gain": ((multiplier, layer_cost, layer_leakage), layer_leakage * Max(1 - multiplier * layer_cost, 0)),
}


def _depth_rounding(rows: Rows) -> np.ndarray:
    return np.asarray(ULP * 4096)  # some hundred operations of vectors of some ten entries, over a few layers


_f, _g = Symbol("f", nonnegative=True), Symbol("h", nonnegative=True)
_z = Symbol("z", nonnegative=True)

DIALLED_OUT = Hypothesis("the dial is 1 in every layer", lambda rows: rows["least_dial"] == 1)
CLOSED = Hypothesis(
    "relevance is closed along the layers: what the block's queries read has read nothing that they may not",
    lambda rows: rows["foreign_queries"] == 0,
)

THEOREMS: tuple[Theorem, ...] = (
    Theorem(
        key="output_error",
        claims=("C6",),
        title="Output error of ignoring what lies outside",
        statement="The output and that of the block alone, renormalised, differ by eps times the distance of the mean "
        "values inside and outside: at most eps V, V the diameter of the values.",
        quantity="output_error",
        relation=Relation.AT_MOST,
        formula=OUTPUT_ERROR,
        trivial=V,
        hypotheses=(
            Hypothesis("leakage is below 1", lambda rows: rows["leakage"] < 1),
            Hypothesis(
                "no two values are further apart than V",
                lambda rows: rows["observed_diameter"] <= rows["value_diameter"],
            ),
        ),
        bound=lambda rows: closed_forms.output_error(rows["leakage"], rows["value_diameter"]),
        rounding=lambda rows: np.asarray(ULP * 256),
        proof=(
            ProofStep(
                "o = (1 - eps) o_S + eps o_out, so o - o_S = eps (o_out - o_S)",
                residual=((1 - eps) * _f + eps * _g - _f - eps * (_g - _f)).expand(),
            ),
            ProofStep("o_S and o_out are means of values, at most V apart", lemma="triangle"),
        ),
        source=SOURCE,
        level=Level.OUTPUT,
        tolerance=lambda rows: 256 * ULP * rows["value_size"],
        attained=True,
    ),
    Theorem(
        key="dial_segment",
        claims=("C1", "C6"),
        title="The dial moves the output along one segment",
        statement="||o(dial) - o(0)|| = (eps_0 - eps(dial)) ||mean inside - mean outside||.",
        quantity="output_moved",
        relation=Relation.EQUAL,
        formula=DIAL_SEGMENT,
        trivial="how far an output moves is not known without it",
        hypotheses=(Hypothesis("leakage is below 1", lambda rows: rows["leakage"] < 1),),
        bound=lambda rows: closed_forms.dial_segment(rows["leakage"], rows["dial"], rows["mean_gap"]),
        rounding=lambda rows: np.asarray(ULP * 1024),
        proof=(
            ProofStep("The dial leaves the distributions inside and outside as they are", lemma="definition"),
            ProofStep(
                "The masses move by the odds law",
                residual=factor(DIALLED.subs(kappa, 0) - eps),
            ),
            ProofStep(
                "and the printed form is the difference", residual=factor(FORMS["dial_segment"][1] - DIAL_SEGMENT)
            ),
        ),
        source=SOURCE,
        level=Level.OUTPUT,
        tolerance=lambda rows: 1024 * ULP * rows["value_size"],
        needs=("odds_law",),
        attained=True,
    ),
    Theorem(
        key="depth_sum",
        claims=("C2", "C6"),
        title="Drift through residual layers",
        statement="With x <- x + f_l(x), errors e_l of the dialled layers along the *dialled* trajectory and Lip_l a "
        "Lipschitz constant of the original f_l on the pairs that occur, the drift is at most "
        "sum_l e_l prod_{k>l} (1 + Lip_k).",
        quantity="drift",
        relation=Relation.AT_MOST,
        formula=DRIFT,
        trivial="nothing bounds a drift but Lipschitz constants",
        step=GROWTH,
        hypotheses=(
            Hypothesis(
                "Lip_l bounds how the original layer tells the two trajectories apart",
                lambda rows: np.all(rows["secant"] <= rows["lipschitz"] * (1 + 1e-12), axis=-1),
            ),
            Hypothesis(
                "e_l bounds the error of layer l on the dialled trajectory",
                lambda rows: np.all(rows["observed_errors"] <= rows["errors"] * (1 + 1e-12), axis=-1),
            ),
        ),
        bound=lambda rows: drift(rows["errors"], rows["lipschitz"]),
        rounding=_depth_rounding,
        proof=(
            ProofStep(
                "x' + f'(x') - x - f(x) = (x' - x) + (f(x') - f(x)) + (f'(x') - f(x')): d <- (1 + Lip) d + e",
                lemma="triangle",
            ),
            ProofStep("Unrolled, it is the sum", lemma="induction"),
        ),
        source=SOURCE,
        level=Level.LAYERS,
        tolerance=lambda rows: 4096 * ULP * rows["state_size"],
        needs=("output_error",),
        attained=True,
    ),
    Theorem(
        key="schedule_optimum",
        claims=("C13",),
        title="Most locality under a drift budget",
        statement="Dialling layers by z_l <= u_l of leakage with sum A_l z_l <= B removes at most "
        "min over mu of mu B + sum u_k (1 - mu A_k)^+: attained by ascending A_l, at most one layer in part.",
        quantity="locality",
        relation=Relation.AT_MOST,
        formula=KNAPSACK,
        trivial="all of the leakage, which the bound names itself",
        step=LAGRANGIAN,
        hypotheses=(
            Hypothesis(
                "the drift is within the budget",
                lambda rows: (rows["costs"] * rows["allocation"]).sum(-1) <= rows["budget"] * (1 + 1e-12),
            ),
            Hypothesis(
                "no layer gives more than it has",
                lambda rows: np.all((rows["allocation"] >= 0) & (rows["allocation"] <= rows["available"]), axis=-1),
            ),
        ),
        bound=lambda rows: knapsack_optimum(rows["costs"], rows["available"], rows["budget"]),
        rounding=_depth_rounding,
        proof=(
            ProofStep(
                "sum z <= sum z + mu (B - sum A z) = mu B + sum z (1 - mu A) <= the Lagrangian", lemma="lp duality"
            ),
            ProofStep("It is piecewise linear in mu: least at mu = 0 or some 1/A_l", lemma="piecewise linear"),
            ProofStep(
                "At mu = 1/A_l the layers with A_k < A_l are full and l takes the rest: both sides agree",
                residual=factor(
                    budget / layer_cost + _z * (1 - _f / layer_cost) - (_z + (budget - _f * _z) / layer_cost)
                ),
            ),
        ),
        source=SCHEDULE,
        level=Level.LAYERS,
        attained=True,
    ),
    Theorem(
        key="late_layers",
        claims=("C13",),
        title="When the last layers are the cheapest",
        statement="If V_{l+1} <= (1 + Lip_{l+1}) V_l for every l, the costs A_l fall with depth, and filling the last "
        "layers first is optimal. With an MLP between, 1 + Lip is the product over the sublayers.",
        quantity="locality_last_first",
        relation=Relation.EQUAL,
        formula=KNAPSACK,
        trivial=S.Zero,
        step=LAGRANGIAN,
        hypotheses=(
            Hypothesis(
                "V_{l+1} <= (1 + Lip_{l+1}) V_l in every layer",
                lambda rows: np.all(
                    rows["diameters"][..., 1:] <= (1 + rows["lipschitz"][..., 1:]) * rows["diameters"][..., :-1],
                    axis=-1,
                ),
            ),
        ),
        bound=lambda rows: knapsack_optimum(
            rows["diameters"] * amplification(rows["lipschitz"]), rows["available"], rows["budget"]
        ),
        rounding=_depth_rounding,
        proof=(
            ProofStep("A_{l+1}/A_l = V_{l+1}/((1 + Lip_{l+1}) V_l) <= 1", lemma="definition"),
            ProofStep("Ascending cost is then descending depth", lemma="definition"),
        ),
        source=SCHEDULE,
        level=Level.LAYERS,
        needs=("schedule_optimum",),
        attained=True,
    ),
    Theorem(
        key="non_interference",
        claims=("C2", "C6"),
        title="Non-interference",
        statement="With the dial at 1 in every layer and relevance closed along them, as it is where a block sees "
        "itself alone, tokens that a block may not see cannot change one bit of that block's outputs.",
        quantity="output_change",
        relation=Relation.EQUAL,
        formula=S.Zero,
        trivial="outputs are not known to agree without it",
        hypotheses=(DIALLED_OUT, CLOSED),
        bound=lambda rows: np.zeros(np.shape(rows["output_change"])),
        rounding=exact,
        proof=(
            ProofStep(
                "A masked key has weight exactly 0: a token reads what is relevant to it alone", lemma="definition"
            ),
            ProofStep(
                "and what that has read is relevant to it too: layer by layer its state is a function of these inputs",
                lemma="induction",
            ),
        ),
        source=SOURCE,
        level=Level.LAYERS,
        attained=True,
        widened=lambda rows, share: {**rows, "least_dial": np.minimum(rows["least_dial"] * (1 + share), 1.0)},
    ),
)

FALSE_READINGS = (
    FalseReading(
        "C13",
        "powers of depth",
        "Schedules (l/L)^beta tend to the least cost as they get steeper.",
        "L = 8 layers of equal value diameter, Lip = 1/4, a budget for the last five: within it (l/L)^beta reaches "
        "0.88, 0.51 and 0.38 of the optimum at beta = 1, 3 and 5, and tends to 0.20, the last layer alone.",
        "The optimum is a knapsack, theorem `schedule_optimum`; the clipped family min(1, s (l/l0)^beta) tends to "
        "it where the last layers are the cheapest, theorem `late_layers`: 0.88, 0.98, 0.99, and 1.00 at beta = 40.",
    ),
)
