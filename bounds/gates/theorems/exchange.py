"""Exchange (claims C3, C6): solutions at two penalties, and which solutions any penalty selects at all.

lambda_1 < lambda_2:   Omega_2 <= Omega_1,   lambda_1 <= (L_2 - L_1)/(Omega_1 - Omega_2) <= lambda_2
L_best <= ((Omega_best - Omega_2) L_1 + (Omega_1 - Omega_best) L_2)/(Omega_1 - Omega_2)
"""

# sympy has no types: what comes of its functions is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false, reportUnknownParameterType=false
# pyright: reportOperatorIssue=false

from __future__ import annotations

import numpy as np
from sympy import Expr, simplify

from bounds.theory.rows import ABSTRACT, ULP
from bounds.theory.symbols import (
    leak_best,
    leak_one,
    leak_two,
    loss_best,
    loss_one,
    loss_two,
    penalty,
    penalty_one,
    penalty_two,
)
from bounds.theory.theorem import Hypothesis, Level, ProofStep, Relation, Rows, Theorem

C3 = f"{ABSTRACT}, claim C3; derived here"

RATE: Expr = (loss_two - loss_one) / (leak_one - leak_two)
CHORD: Expr = ((leak_best - leak_two) * loss_one + (leak_one - leak_best) * loss_two) / (leak_one - leak_two)


def of_difference(rows: Rows) -> np.ndarray:
    """Relative error of a quotient of differences of losses: 8 ulp of the losses over their difference."""
    return np.asarray(64 * ULP)


def of_losses(*names: str):
    """Absolute room for the rounding of losses that are subtracted, over what the difference is divided by."""

    def room(rows: Rows) -> np.ndarray:
        divisor = rows["leakage_one"] - rows["leakage_two"] if "leakage_one" in names else rows["penalty"]
        size = sum(np.abs(rows[name]) for name in names if not name.startswith("leakage"))
        return 64 * ULP * size / np.abs(divisor)

    return room


def no_worse(one: str, other: str, words: str) -> Hypothesis:
    return Hypothesis(words, lambda rows: rows[one] <= rows[other])


THEOREMS: tuple[Theorem, ...] = (
    Theorem(
        key="exchange_leakage",
        claims=("C3",),
        title="A larger penalty leaves no more leakage",
        statement="Two solutions, each no worse than the other at its own penalty, lambda_1 < lambda_2: Omega_2 <= "
        "Omega_1, and L_1 <= L_2.",
        quantity="leakage_two",
        relation=Relation.AT_MOST,
        formula=leak_one,
        hypotheses=(
            no_worse("objective_one", "objective_one_of_two", "J_1(1) <= J_1(2)"),
            no_worse("objective_two", "objective_two_of_one", "J_2(2) <= J_2(1)"),
            Hypothesis("lambda_1 < lambda_2", lambda rows: rows["penalty_one"] < rows["penalty_two"]),
        ),
        bound=lambda rows: rows["leakage_one"],
        rounding=of_difference,
        proof=(
            ProofStep(
                "The sum of the two inequalities is (lambda_2 - lambda_1)(Omega_2 - Omega_1) <= 0",
                residual=simplify(
                    (loss_one + penalty_one * leak_one - loss_two - penalty_one * leak_two)
                    + (loss_two + penalty_two * leak_two - loss_one - penalty_two * leak_one)
                    - (penalty_two - penalty_one) * (leak_two - leak_one)
                ),
            ),
        ),
        source=C3,
        level=Level.GATED,
        trivial="leakage over several heads has no bound of its own",
        tolerance=lambda rows: (
            64
            * ULP
            * (np.abs(rows["loss_one"]) + np.abs(rows["loss_two"]))
            / (rows["penalty_two"] - rows["penalty_one"])
        ),
        attained=True,
    ),
    Theorem(
        key="exchange_rate",
        claims=("C3", "C6"),
        title="What leakage is exchanged for loss at",
        statement="Two solutions, each no worse than the other at its own penalty, Omega_1 > Omega_2: lambda_1 <= "
        "(L_2 - L_1)/(Omega_1 - Omega_2) <= lambda_2.",
        quantity="penalty_two",
        relation=Relation.AT_LEAST,
        formula=RATE,
        hypotheses=(
            no_worse("objective_two", "objective_two_of_one", "J_2(2) <= J_2(1)"),
            Hypothesis("Omega_1 > Omega_2", lambda rows: rows["leakage_one"] > rows["leakage_two"]),
        ),
        bound=lambda rows: (rows["loss_two"] - rows["loss_one"]) / (rows["leakage_one"] - rows["leakage_two"]),
        rounding=of_difference,
        proof=(
            ProofStep(
                "L_2 + lambda_2 Omega_2 <= L_1 + lambda_2 Omega_1, divided by Omega_1 - Omega_2",
                residual=simplify(
                    (loss_one + penalty_two * leak_one - loss_two - penalty_two * leak_two) / (leak_one - leak_two)
                    - (penalty_two - RATE)
                ),
            ),
            ProofStep(
                "L_1 + lambda_1 Omega_1 <= L_2 + lambda_1 Omega_2 gives the other side",
                residual=simplify(
                    (loss_two + penalty_one * leak_two - loss_one - penalty_one * leak_one) / (leak_one - leak_two)
                    - (RATE - penalty_one)
                ),
            ),
        ),
        source=C3,
        level=Level.GATED,
        trivial="any exchange of leakage for loss is possible without it",
        needs=("exchange_leakage",),
        tolerance=of_losses("loss_one", "loss_two", "leakage_one"),
        attained=True,
    ),
    Theorem(
        key="supported_points",
        claims=("C3", "C6"),
        title="Minimisers are the supported points of leakage and loss",
        statement="A solution that is no worse than two others at one penalty lies on their chord or below it: L_best "
        "<= ((Omega_best - Omega_2) L_1 + (Omega_1 - Omega_best) L_2)/(Omega_1 - Omega_2) for Omega_2 <= Omega_best <= "
        "Omega_1. Conversely, one that lies so against all others, and that nothing with less leakage undercuts, is "
        "best at some penalty: global minimisers are on the lower convex hull, and no penalty selects what lies above "
        "it.",
        quantity="loss_best",
        relation=Relation.AT_MOST,
        formula=CHORD,
        hypotheses=(
            no_worse("objective_best", "objective_best_of_one", "J(best) <= J(1) at its penalty"),
            no_worse("objective_best", "objective_best_of_two", "J(best) <= J(2) at its penalty"),
            no_worse("leakage_best", "leakage_one", "Omega_best <= Omega_1"),
            no_worse("leakage_two", "leakage_best", "Omega_2 <= Omega_best"),
            Hypothesis(
                "Omega_1 > Omega_2",
                lambda rows: rows["leakage_one"] > rows["leakage_two"],
                spare="where both leak as much there is no chord",
            ),
        ),
        bound=lambda rows: (
            (
                (rows["leakage_best"] - rows["leakage_two"]) * rows["loss_one"]
                + (rows["leakage_one"] - rows["leakage_best"]) * rows["loss_two"]
            )
            / (rows["leakage_one"] - rows["leakage_two"])
        ),
        rounding=of_difference,
        proof=(
            ProofStep(
                "Both inequalities, weighted by Omega_best - Omega_2 and Omega_1 - Omega_best, add up to it: the "
                "penalties cancel",
                residual=simplify(
                    (leak_best - leak_two) * (loss_one + penalty * leak_one - loss_best - penalty * leak_best)
                    + (leak_one - leak_best) * (loss_two + penalty * leak_two - loss_best - penalty * leak_best)
                    - (leak_one - leak_two) * (CHORD - loss_best)
                ),
            ),
            ProofStep(
                "conversely: slopes (L_best - L_1)/(Omega_1 - Omega_best) to all that leak more are at most those to "
                "all that leak less, which are not negative, and a penalty between them serves",
                lemma="definition",
            ),
        ),
        source=f"{C3}. Supported points of two objectives: Geoffrion 1968",
        level=Level.GATED,
        trivial="the loss of a solution between two others has no bound of its own",
        needs=("exchange_rate",),
        tolerance=of_losses("loss_one", "loss_two", "leakage_one"),
        attained=True,
    ),
)
