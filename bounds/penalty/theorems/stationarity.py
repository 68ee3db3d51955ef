"""Penalty thresholds in training (claims C3, C10): loss + lambda sum over b != c of ||W_bc||, the norm not squared.

    proximal residual  R = (W - prox(W - eta grad)) / eta,  zero exactly at the stationary points
    zero group: ||grad_bc|| <= lambda + ||R||;   active group: ||grad_bc|| = lambda, to within ||R||

All concern cross blocks (block_query != block_key). `residual` is the norm of R over every group, so it bounds R_bc; it
and the gradient belong to the same point. The bounds on the gradient are in `levels`.
"""

# sympy has no types: what comes of its functions is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false, reportUnknownParameterType=false

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from sympy import S, Symbol, ceiling, exp, oo
from sympy import limit as limit_of

import bounds.penalty.calculators as calculators
from bounds.penalty.fields import Start
from bounds.penalty.theorems.levels import (
    CROSS,
    EITHER,
    PRESENT,
    SOURCE,
    STEPS,
    field,
    flag,
    gradient_rounding,
    worst_case,
)
from bounds.theory.reading import FalseReading
from bounds.theory.rows import exact, from_lower_penalties, to_higher_penalties
from bounds.theory.symbols import eta, gradient, norm, penalty, residual, steps
from bounds.theory.theorem import Hypothesis, Level, ProofStep, Relation, Rows, Theorem

# --- what the data must satisfy --------------------------------------------------------------------------------------
CONVERGED = Hypothesis("the residual is within its tolerance", lambda rows: flag(rows, "converged"))
SETTLED = replace(CONVERGED, spare="the residual, which the bound has room for, stands for it")
LOCALISED = Hypothesis(
    "the run starts at the localised solution, itself or by way of larger penalties",
    lambda rows: np.isin(rows["start"], [start.value for start in Start if start.from_localised]),
)

NEAR_CRITICAL = 1e-3
"""Share of the critical penalty left undecided on either side of it: the in-block optimum is known to a residual of
1e-6 of the gradients or less, and that moves the critical penalty by far less than a thousandth."""

BETTER_BASIN = 1e-6
"""A loss lower than the localised one by more than this share is another in-block solution, not its last digits."""


def _predicted_steps(rows: Rows) -> np.ndarray:
    known = np.isfinite(field(rows, "gradient_peak")) & np.isfinite(field(rows, "group_norm_start"))
    return calculators.predicted_steps(
        np.where(known, field(rows, "group_norm_start"), 0.0),
        rows["penalty"],
        np.where(known, field(rows, "gradient_peak"), np.inf),
        rows["step"],
    )


@dataclass(frozen=True)
class StepsTheorem(Theorem):
    """A group that had not vanished when the run ended (-1) needed at least one step more than the run took."""

    def observed(self, rows: Rows) -> np.ndarray:
        seen = np.asarray(rows[self.quantity], dtype=np.float64)
        return np.where(seen < 0, np.asarray(rows["steps"]) + 1.0, seen)


# --- proofs ----------------------------------------------------------------------------------------------------------
_sign = Symbol("s", real=True)  # z/||z||, here along one direction
_z = norm - eta * gradient
_FIXED_POINT = (
    ProofStep(
        "prox(z) = z (1 - eta lambda/||z||)^+, and W = prox(W - eta grad) says 0 in grad + lambda d||W||",
        lemma="proximal step",
    ),
    ProofStep(
        "At W = 0: R = 0 if ||grad|| <= lambda, else its norm is ||grad|| - lambda; so ||grad|| <= lambda + ||R||",
        lemma="proximal step",
    ),
    ProofStep(
        "At W with ||W|| > eta ||R|| the next point is not 0 and R = grad + lambda z/||z||: the norms of grad and of "
        "lambda z/||z|| differ by at most ||R||",
        residual=(norm - (_z - eta * penalty * _sign)) / eta - (gradient + penalty * _sign),
    ),
)
_scale = Symbol("c", positive=True)
_scaled_leakage = 1 / (1 + exp(_scale))  # one key inside, one outside, margin c
_after_one = norm + eta * gradient - eta * penalty

THEOREMS: tuple[Theorem, ...] = (
    Theorem(
        key="kkt_zero",
        claims=("C10",),
        title="Stationarity at a zero group",
        statement="At a converged point a zero cross block has ||grad_bc|| <= lambda + residual.",
        quantity="gradient_norm",
        relation=Relation.AT_MOST,
        formula=penalty + residual,
        trivial="nothing bounds the gradient of a zero group but stationarity",
        hypotheses=(
            EITHER,
            SETTLED,
            Hypothesis(
                "the group is zero",
                lambda rows: rows["group_norm"] == 0,
                spare="it holds for every group; of an active one `kkt_active` says more",
            ),
        ),
        bound=lambda rows: rows["penalty"] + rows["residual"],
        rounding=gradient_rounding,
        proof=_FIXED_POINT[:2],
        source=SOURCE,
        level=Level.PAIR,
    ),
    Theorem(
        key="kkt_active",
        claims=("C10",),
        title="Stationarity at an active group",
        statement="At a converged point an active cross block has ||grad_bc|| = lambda, to within the residual.",
        quantity="gradient_norm",
        relation=Relation.EQUAL,
        formula=penalty,
        trivial="nothing gives the gradient of an active group but stationarity",
        hypotheses=(
            CROSS,
            SETTLED,
            Hypothesis(
                "the group is longer than step times residual, so the next step does not make it zero",
                lambda rows: rows["group_norm"] > rows["step"] * rows["residual"] * (1 + 1e-12),
            ),
        ),
        bound=lambda rows: rows["penalty"],
        rounding=gradient_rounding,
        proof=(_FIXED_POINT[0], _FIXED_POINT[2]),
        source=SOURCE,
        level=Level.PAIR,
        tolerance=lambda rows: rows["residual"],  # the norm of R_bc = grad + lambda z/||z||, at most
    ),
    Theorem(
        key="worst_case_threshold",
        needs=("worst_case_gradient", "kkt_active"),
        claims=("C3", "C10"),
        title="Above level A every stationary point is localised",
        statement="If lambda exceeds level A, a converged point has every cross block zero.",
        quantity="group_norm",
        relation=Relation.EQUAL,
        formula=S.Zero,
        trivial="nothing makes a group zero but its penalty",
        hypotheses=(
            CROSS,
            SETTLED,
            PRESENT,
            Hypothesis(
                "lambda exceeds level A by more than the residual",
                lambda rows: rows["penalty"] > (worst_case(rows) + rows["residual"]) * (1 + 1e-12),
            ),
        ),
        bound=lambda rows: np.zeros_like(rows["penalty"], dtype=np.float64),
        rounding=exact,
        proof=(
            *_FIXED_POINT,
            ProofStep(
                "An active group needs ||grad|| >= lambda - residual, more than level A: none is longer "
                "than step times residual",
                lemma="proximal step",
            ),
        ),
        source=SOURCE,
        level=Level.PAIR,
        tolerance=lambda rows: (
            rows["step"] * rows["residual"] * (1 + 1e-12)
        ),  # ||W|| <= eta ||R|| once the next point is 0
        widened=from_lower_penalties,
    ),
    StepsTheorem(
        key="steps_to_zero",
        claims=("C3", "C10"),
        title="Finite identification by plain proximal steps",
        statement="If ||grad_bc|| <= g < lambda along the way, W_bc is zero for good after "
        "ceil(||W_bc(0)|| / (eta (lambda - g))) plain proximal steps.",
        quantity="steps_to_zero",
        relation=Relation.AT_MOST,
        formula=ceiling(STEPS),
        trivial="no number of steps is known to do without it",
        hypotheses=(
            CROSS,
            Hypothesis("plain proximal steps, without momentum", lambda rows: ~flag(rows, "accelerated")),
            Hypothesis(
                "the gradient stayed below lambda",
                lambda rows: rows["gradient_peak"] < rows["penalty"],
                spare="no number of steps is predicted then",
            ),
            Hypothesis(
                "the group starts away from zero",
                lambda rows: rows["group_norm_start"] > 0,
                spare="a group that starts at zero stays there",
            ),
            Hypothesis(
                "the run lasted as long as predicted",
                lambda rows: rows["steps"] >= _predicted_steps(rows),
                spare="a shorter run decides nothing",
            ),
        ),
        bound=_predicted_steps,
        rounding=exact,
        proof=(
            ProofStep(
                "One step leaves ||W|| <= (||W|| + eta g - eta lambda)^+: it falls by eta (lambda - g)",
                residual=norm - _after_one - eta * (penalty - gradient),
            ),
            ProofStep(
                "k such steps reach 0 once k is at least the ratio",
                residual=(norm - steps * eta * (penalty - gradient)).subs(steps, STEPS),
            ),
            ProofStep("and 0 stays: ||eta grad|| <= eta g < eta lambda", lemma="proximal step"),
        ),
        source=SOURCE,
        level=Level.PAIR,
    ),
    Theorem(
        key="critical_stays",
        needs=("kkt_zero",),
        claims=("C3", "C10"),
        title="Level D, above: the localised solution is a local minimum",
        statement="From the localised solution, with lambda above the largest cross gradient there, every cross block "
        "stays zero.",
        quantity="active_cross_blocks",
        relation=Relation.EQUAL,
        formula=S.Zero,
        trivial="nothing keeps cross blocks at zero but the penalty",
        hypotheses=(
            LOCALISED,
            replace(CONVERGED, spare="no step moves a run that starts there"),
            Hypothesis(
                "lambda is a thousandth above the critical penalty, or more",
                lambda rows: rows["penalty"] >= (1 + NEAR_CRITICAL) * rows["critical"],
            ),
        ),
        bound=lambda rows: np.zeros_like(rows["critical"], dtype=np.float64),
        rounding=exact,
        proof=(
            *_FIXED_POINT[:2],
            ProofStep(
                "(I*, 0) is a fixed point of the proximal step; near it every cross gradient stays below lambda",
                lemma="continuity",
            ),
            ProofStep("L(I, C) + lambda ||C|| >= L(I, 0) >= L(I*, 0) there: a local minimum", lemma="mean value"),
        ),
        source=SOURCE,
        level=Level.SETTING,
        widened=from_lower_penalties,
    ),
    Theorem(
        key="critical_leaves",
        needs=("kkt_zero",),
        claims=("C3", "C10"),
        title="Level D, below: the localised solution is left",
        statement="From the localised solution, with lambda below the largest cross gradient there, a cross block "
        "becomes active.",
        quantity="active_cross_blocks",
        relation=Relation.AT_LEAST,
        formula=S.One,
        trivial=S.Zero,
        hypotheses=(
            LOCALISED,
            CONVERGED,
            Hypothesis(
                "lambda is a thousandth below the critical penalty, or less",
                lambda rows: rows["penalty"] <= (1 - NEAR_CRITICAL) * rows["critical"],
            ),
            Hypothesis(
                "no better in-block solution was found on the way",
                lambda rows: (
                    (rows["active_cross_blocks"] > 0)
                    | ~(field(rows, "loss_train") < (1 - BETTER_BASIN) * field(rows, "loss_localised"))
                ),
            ),
        ),
        bound=lambda rows: np.ones_like(rows["critical"], dtype=np.float64),
        rounding=exact,
        proof=(
            *_FIXED_POINT[:2],
            ProofStep(
                "A zero block with ||grad|| > lambda moves at once to eta (||grad|| - lambda)", lemma="proximal step"
            ),
            ProofStep(
                "Steps that lower the penalised loss, and steps to a lower penalty, end below L(I*, 0); an end with "
                "all cross blocks zero would then be a better in-block solution"
            ),
        ),
        source=SOURCE,
        level=Level.SETTING,
        widened=to_higher_penalties,
    ),
)

FALSE_READINGS = (
    FalseReading(
        "C3",
        "an optimum always exists",
        "The localised problem has an optimum, at which the critical penalty can be read off.",
        "If some W separates the keys to attend to by a positive margin, W times c lowers the loss for ever: the "
        "leakage is positive at every finite c and tends to 0.",
        "Cap ||W_bb||, or report the critical penalty with the in-block residual. That training then moves towards the "
        "max-margin direction is Tarzanagh et al. 2023 (arXiv:2306.13596).",
        (
            ProofStep("The ceiling at margin c x falls in c", relation=(_scaled_leakage.diff(_scale).simplify() < 0)),
            ProofStep("and has no least value: it tends to 0", residual=limit_of(_scaled_leakage, _scale, oo)),
        ),
    ),
    FalseReading(
        "C10",
        "with Nesterov's momentum",
        "Proximal steps identify a zero group in ceil(||W|| / (eta (lambda - g))) steps, accelerated or not.",
        "With momentum 0.98 and a gradient of norm 0.5 lambda along the velocity, a group of norm 1 with eta lambda "
        "= 0.01 swings for ever; 200 steps are predicted.",
        "Plain steps, theorem `steps_to_zero`; heavy ball with g/(1-mu), theorem `heavy_ball_steps`; Nesterov's if the "
        "extrapolated group is reset whenever it is longer than the group.",
    ),
)
