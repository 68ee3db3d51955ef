"""Penalised leakage (claims C3, C4, C6): what a penalty buys, exchange, what masking costs, entropy of mixed rows.

J(found) <= J(mask):   Omega <= (L_ref - L_found)/lambda;   lambda >= (L_ref - L_least)/Omega_goal suffices
L(mask) <= L + lambda_glob Omega
mean H <= mean ln(m_i + (n_i - m_i) e^-mu) + mu mean eps   for every mu >= 0
"""

# sympy has no types: what comes of its functions is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false, reportUnknownParameterType=false
# pyright: reportOperatorIssue=false

from __future__ import annotations

import numpy as np
from sympy import Expr, S, Sum, Symbol, diff, exp, log, simplify

from bounds.entropy import closed_forms as entropy_forms
from bounds.entropy.theorems.leakage import SPLIT
from bounds.gates import closed_forms
from bounds.gates.theorems import exchange
from bounds.gates.theorems.exchange import no_worse, of_difference, of_losses
from bounds.theory.rows import ABSTRACT, ULP
from bounds.theory.stable_forms import Forms
from bounds.theory.symbols import (
    block_of,
    eps,
    global_penalty,
    keys_of,
    leakage_ref,
    least_loss,
    loss_found,
    loss_ref,
    m,
    multiplier,
    n,
    penalty,
    row,
    rows_,
    target,
    threshold,
)
from bounds.theory.theorem import Hypothesis, Level, ProofStep, Relation, Theorem

C3, C4 = (f"{ABSTRACT}, claim {claim}; derived here" for claim in ("C3", "C4"))

_each = (row, 1, rows_)
CEILING: Expr = (loss_ref - loss_found) / penalty
MASKED: Expr = loss_found + global_penalty * leakage_ref
ABOVE: Expr = eps / threshold
_spread = log(block_of[row] + (keys_of[row] - block_of[row]) * exp(-multiplier))
MIXED: Expr = Sum(_spread, _each) / rows_ + multiplier * eps
ONE_ROW: Expr = log(m + (n - m) * exp(-multiplier)) + multiplier * eps

FORMS: Forms = {
    "penalised_leakage": ((loss_ref, loss_found, penalty), CEILING),
    "penalty_for_leakage": ((loss_ref, least_loss, target), (loss_ref - least_loss) / target),
    "masked_loss": ((loss_found, global_penalty, leakage_ref), MASKED),
    "rows_above": ((eps, threshold), ABOVE),
    "mixed_entropy": ((eps, n, m, multiplier), ONE_ROW),
}

_v, _s = Symbol("v", positive=True), Symbol("s", positive=True)  # eps = 1/(1 + v), n = m + s


_ENOUGH = Hypothesis("eps is at least the mean leakage", lambda rows: rows["leakage"] >= rows["observed_leakage"])
_SUMS_TO_ONE = Hypothesis("every row sums to one", lambda rows: rows["row_sum"] == 1)

THEOREMS: tuple[Theorem, ...] = (
    Theorem(
        key="penalised_leakage",
        claims=("C3", "C6"),
        title="What a penalty buys",
        statement="A solution whose objective is no larger than that of one with leakage 0 has leakage Omega at most "
        "(L_ref - L_found)/lambda. So lambda >= (L_ref - L_least)/Omega_goal suffices for every global minimiser.",
        quantity="penalised_leakage",
        relation=Relation.AT_MOST,
        formula=CEILING,
        hypotheses=(
            no_worse("objective_found", "objective_reference", "J(found) <= J(reference), on the same data"),
            Hypothesis("the reference has leakage 0", lambda rows: rows["leakage_reference"] == 0),
        ),
        bound=lambda rows: closed_forms.penalised_leakage(rows["loss_reference"], rows["loss_found"], rows["penalty"]),
        rounding=of_difference,
        proof=(
            ProofStep(
                "L_found + lambda Omega <= L_ref",
                residual=simplify(loss_found + penalty * CEILING - loss_ref),
            ),
        ),
        source=C3,
        level=Level.GATED,
        trivial="leakage over several heads has no bound of its own",
        tolerance=of_losses("loss_reference", "loss_found"),
        attained=True,
    ),
    *exchange.THEOREMS,
    Theorem(
        key="hard_mask_cost",
        claims=("C2", "C6"),
        title="What masking any solution costs",
        statement="L(mask) <= L(s) + lambda_glob Omega(s), lambda_glob the largest (L(mask) - L)/Omega of any gates "
        "with Omega > 0: the mask is a global minimiser of J iff lambda >= lambda_glob, and no smaller constant "
        "serves.",
        quantity="loss_reference",
        relation=Relation.AT_MOST,
        formula=MASKED,
        hypotheses=(
            Hypothesis(
                "lambda_glob bounds (L(mask) - L)/Omega for all gates with Omega > 0",
                lambda rows: rows["global_penalty"] >= rows["steepest"],
            ),
            Hypothesis(
                "some attention is outside",
                lambda rows: rows["penalised_leakage"] > 0,
                spare="with none outside the solution is the mask itself",
            ),
        ),
        bound=lambda rows: closed_forms.masked_loss(
            rows["loss_found"], rows["global_penalty"], rows["penalised_leakage"]
        ),
        rounding=lambda rows: np.asarray(64 * ULP),
        proof=(
            ProofStep(
                "lambda_glob >= (L(mask) - L)/Omega, times Omega",
                residual=simplify(MASKED.subs(global_penalty, (loss_ref - loss_found) / leakage_ref) - loss_ref),
            ),
        ),
        source=f"{ABSTRACT}, claim C2; derived here",
        level=Level.GATED,
        trivial="what masking costs is not known without it",
        tolerance=lambda rows: 64 * ULP * (np.abs(rows["loss_reference"]) + np.abs(rows["loss_found"])),
        attained=True,
    ),
    Theorem(
        key="rows_above",
        claims=("C3",),
        title="Few rows leak much",
        statement="Of the rows of a layer and head with mean leakage eps, at most a share eps/t has leakage of t or "
        "more.",
        quantity="share_above",
        relation=Relation.AT_MOST,
        formula=ABOVE,
        hypotheses=(
            Hypothesis(
                "no leakage is negative",
                lambda rows: rows["least_leakage"] >= 0,
                spare="a leakage is a sum of attention weights",
            ),
            _ENOUGH,
        ),
        bound=lambda rows: closed_forms.rows_above(rows["leakage"], rows["threshold"]),
        rounding=lambda rows: np.asarray(64 * ULP),
        proof=(ProofStep("t 1[eps_i >= t] <= eps_i, in the mean", lemma="termwise"),),
        source=f"{C3}. Markov's inequality",
        level=Level.GATED,
        trivial=S.One,
        attained=True,
    ),
    Theorem(
        key="mean_entropy_split",
        claims=("C4",),
        title="Mean entropy from mean leakage, keys and block",
        statement="The mean entropy of rows is at most h(eps) + (1-eps) ln m + eps ln(n-m) at the means of eps, n "
        "and m; n and m may differ from row to row. An upper bound may stand for eps, up to (n-m)/n.",
        quantity="mean_entropy",
        relation=Relation.AT_MOST,
        formula=SPLIT,
        hypotheses=(
            _SUMS_TO_ONE,
            _ENOUGH,
            Hypothesis(
                "an eps that is not the mean leakage is at most (n-m)/n",
                lambda rows: (
                    (rows["leakage"] == rows["observed_leakage"])
                    | (rows["leakage"] * rows["n_keys"] <= rows["n_keys"] - rows["n_block"])
                ),
            ),
        ),
        bound=lambda rows: entropy_forms.entropy_split(
            rows["leakage"], 1 - rows["leakage"], rows["n_keys"], rows["n_block"]
        ),
        rounding=lambda rows: np.asarray(256 * ULP),
        proof=(
            ProofStep("H_i <= h(eps_i) + (1-eps_i) ln m_i + eps_i ln(n_i - m_i)", lemma="theorem"),
            ProofStep(
                "It is the sum of the perspectives -(1-eps) ln((1-eps)/m) and -eps ln(eps/(n-m)): jointly concave",
                residual=simplify(
                    (-(1 - eps) * log((1 - eps) / m) - eps * log(eps / (n - m)) - SPLIT)
                    .subs({eps: 1 / (1 + _v), n: m + _s})
                    .expand(force=True)
                ),
            ),
            ProofStep("the mean of a concave function is at most its value at the mean", lemma="jensen"),
            ProofStep(
                "and it rises in eps up to (n-m)/n: the derivative is ln((n-m)(1-eps)/(m eps))",
                residual=simplify((diff(SPLIT, eps) - log((n - m) / eps) + log(m / (1 - eps))).subs(n, m + _s)),
            ),
        ),
        source=C4,
        level=Level.GATED,
        trivial=log(n),
        needs=("entropy_split",),
        attained=True,
    ),
    Theorem(
        key="mean_entropy_mixed",
        claims=("C4",),
        title="Mean entropy of rows that differ",
        statement="For every mu >= 0 the mean entropy of rows is at most the mean of ln(m_i + (n_i - m_i) e^-mu), "
        "plus mu times an upper bound on the mean leakage. Sharper than at the means where rows differ; least over "
        "mu.",
        quantity="mean_entropy",
        relation=Relation.AT_MOST,
        formula=MIXED,
        step=ONE_ROW,
        hypotheses=(
            _SUMS_TO_ONE,
            _ENOUGH,
            Hypothesis("mu is not negative", lambda rows: rows["multiplier"] >= 0),
        ),
        bound=lambda rows: (
            np.log(
                rows["row_blocks"] + (rows["row_keys"] - rows["row_blocks"]) * np.exp(-rows["multiplier"][..., None])
            ).mean(-1)
            + rows["multiplier"] * rows["leakage"]
        ),
        rounding=lambda rows: np.asarray(256 * ULP),
        proof=(
            ProofStep(
                "H_i <= ln sum_j v_j - sum_j a_ij ln v_j with v = 1 in the block and e^-mu outside", lemma="gibbs"
            ),
            ProofStep("the mean over rows, and mu mean eps_i <= mu eps", lemma="termwise"),
        ),
        source=C4,
        level=Level.GATED,
        trivial=log(n),
        attained=True,
    ),
)
