"""Penalty thresholds beyond A, B and D: level C, the global threshold E, factorised heads.

||grad_bc|| <= mean_i G_i V_i D_ic ||x_i|| / (4 tau) <= ...;  ||grad_bc|| <= X_op sqrt(mean (G_i V_i D_ic)^2) / (4 tau)
lambda_glob = sup (L_loc - L(W)) / sum ||W_bc||:   lambda_crit <= lambda_glob <= sup of the gradient where L <= L_loc
lambda_glob <= [g + sqrt(g^2 + 2 M Delta)]/2
factorised heads: lambda <= [gamma kappa + sqrt(gamma^2 kappa^2 + 2 gamma F_0)]/2
"""

# sympy has no types: what comes of its functions is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false, reportUnknownParameterType=false
# pyright: reportOperatorIssue=false

from __future__ import annotations

import numpy as np
from sympy import Expr, sqrt

from bounds.penalty import closed_forms
from bounds.theory.stable_forms import Forms
from bounds.theory.symbols import (
    Delta,
    M,
    cap,
    covariance_bound,
    gradient,
    product_mean,
    query_operator,
    tau,
)
from bounds.theory.theorem import Hypothesis, Level, ProofStep, Relation, Rows, Theorem

SOURCE = "arXiv:2510.09338v2, abstract, claim C3, and arXiv:2510.17358, abstract, claim C10; derived here"

PRODUCTS = product_mean / (4 * tau)
CAUCHY_SCHWARZ = query_operator * covariance_bound / (4 * tau)
CURVATURE_GAIN: Expr = (gradient + sqrt(gradient**2 + 2 * M * Delta)) / 2
FACTORISED: Expr = (gradient * cap + sqrt(gradient**2 * cap**2 + 2 * gradient * Delta)) / 2  # Delta: the objective F_0

FORMS: Forms = {
    "mean_of_products": ((product_mean, tau), PRODUCTS),
    "cauchy_schwarz": ((query_operator, covariance_bound, tau), CAUCHY_SCHWARZ),
    "curvature_gain": ((gradient, M, Delta), CURVATURE_GAIN),
    "factorised": ((gradient, cap, Delta), FACTORISED),
}


def gradient_mean_rounding(rows: Rows) -> np.ndarray:
    """1e-10: sums of some ten to a thousand float64 terms of one size, with a thousand ulp to spare for each."""
    return np.asarray(1e-10)


_best = (-gradient + sqrt(gradient**2 + 2 * M * Delta)) / M
_CROSS_SPARE = Hypothesis(
    "query and key are of different blocks",
    lambda rows: rows["block_query"] != rows["block_key"],
    spare="the bound holds for own blocks too; the penalty is on cross blocks",
)
_KNOWN = Hypothesis("G_i, V_i, D_ic and ||x_i|| bound each query's own", lambda rows: rows["understated"] == 0)

THEOREMS: tuple[Theorem, ...] = (
    Theorem(
        key="mean_of_products",
        claims=("C3",),
        title="Level C: mean of products",
        statement="||grad_bc|| <= mean over all queries of G_i V_i D_ic ||x_i^(b)|| / (4 tau). With suprema over "
        "all W a "
        "threshold; measured at one W a local estimate.",
        quantity="gradient_norm",
        relation=Relation.AT_MOST,
        formula=PRODUCTS,
        trivial="nothing bounds a gradient but what the task and the weights say",
        hypotheses=(_CROSS_SPARE, _KNOWN),
        bound=lambda rows: closed_forms.mean_of_products(rows["product_mean"], rows["temperature"]),
        rounding=gradient_mean_rounding,
        proof=(
            ProofStep("grad_bc = (1/tau) E_i x_i Cov(u_i, x^(c))^T", lemma="softmax derivative"),
            ProofStep(
                "||Cov(u_i, x^(c))|| <= G_i V_i D_ic / 4, query by query: level A's step", lemma="convex extreme"
            ),
            ProofStep(
                "the norm of a mean of rank-one products is at most the mean of the products of norms", lemma="triangle"
            ),
            ProofStep("and the sum is the expression", residual=PRODUCTS * 4 * tau - product_mean),
        ),
        source=SOURCE,
        level=Level.HEAD,
        needs=("worst_case_gradient",),
        attained=True,
    ),
    Theorem(
        key="cauchy_schwarz_gradient",
        claims=("C3",),
        title="Level C by Cauchy-Schwarz over queries",
        statement="||grad_bc|| <= (||X_b||_op/sqrt N) sqrt(mean_i (G_i V_i D_ic)^2) / (4 tau).",
        quantity="gradient_norm",
        relation=Relation.AT_MOST,
        formula=CAUCHY_SCHWARZ,
        trivial="nothing bounds a gradient but what the task and the weights say",
        hypotheses=(_CROSS_SPARE, _KNOWN),
        bound=lambda rows: closed_forms.cauchy_schwarz(
            rows["query_operator"], rows["covariance_bound"], rows["temperature"]
        ),
        rounding=gradient_mean_rounding,
        proof=(
            ProofStep("grad_bc = X_b^T C / (N tau), row i of C the covariance of query i", lemma="softmax derivative"),
            ProofStep("||X^T C||_F <= ||X||_op ||C||_F", lemma="cauchy-schwarz"),
            ProofStep("||C||_F^2 is at most N times the mean of (G_i V_i D_ic/4)^2", lemma="convex extreme"),
            ProofStep(
                "and the product is the expression",
                residual=CAUCHY_SCHWARZ * 4 * tau - query_operator * covariance_bound,
            ),
        ),
        source=SOURCE,
        level=Level.HEAD,
        needs=("worst_case_gradient",),
        attained=True,
    ),
    Theorem(
        key="global_below_gradient",
        claims=("C3", "C10"),
        title="Level E lies below the gradient of the sublevel set",
        statement="lambda_glob = sup (L_loc - L(W))/sum ||W_bc|| is at least lambda_crit and at most the largest "
        "||grad_bc|| where L <= L_loc. Above it the localised point is a global minimiser.",
        quantity="global_witness",
        relation=Relation.AT_MOST,
        formula=gradient,
        trivial="no penalty is known to keep cross blocks at zero everywhere without it",
        hypotheses=(
            Hypothesis(
                "L_loc is the infimum of the loss with every cross block zero",
                lambda rows: rows["localised_excess"] <= 0,
            ),
            Hypothesis(
                "the gradient bound holds wherever L <= L_loc",
                lambda rows: rows["gradient_sublevel"] <= rows["gradient_bound"],
            ),
        ),
        bound=lambda rows: np.asarray(rows["gradient_bound"], np.float64),
        rounding=gradient_mean_rounding,
        proof=(
            ProofStep(
                "For L(I, C) < L_loc let f(t) = L(I, tC): f(0) >= L_loc > f(1), so some last t_0 has f = L_loc",
                lemma="intermediate value",
            ),
            ProofStep(
                "Beyond t_0 the point lies in the sublevel set: L_loc - f(1) <= (1 - t_0) sup |f'|", lemma="mean value"
            ),
            ProofStep("|f'| <= sum ||grad_bc|| ||C_bc|| <= max ||grad_bc|| sum ||C_bc||", lemma="cauchy-schwarz"),
            ProofStep(
                "At C -> 0 from the localised minimum the ratio tends to the directional slope: lambda_crit",
                lemma="definition",
            ),
        ),
        source=SOURCE,
        level=Level.LANDSCAPE,
        attained=True,
    ),
    Theorem(
        key="curvature_gain",
        claims=("C3", "C10"),
        title="Level E from slope, curvature and gain",
        statement="lambda_glob <= [g + sqrt(g^2 + 2 M Delta)]/2: g the slope at zero cross blocks over all in-block "
        "W, M "
        "the largest negative curvature across, Delta = L_loc - inf L.",
        quantity="global_witness",
        relation=Relation.AT_MOST,
        formula=CURVATURE_GAIN,
        trivial="no penalty is known to keep cross blocks at zero everywhere without it",
        hypotheses=(
            Hypothesis("no slope at zero exceeds g", lambda rows: rows["slope"] <= rows["slope_bound"]),
            Hypothesis("no negative curvature exceeds M", lambda rows: rows["curvature"] <= rows["curvature_bound"]),
            Hypothesis(
                "no loss lies more than Delta below the localised one", lambda rows: rows["gain"] <= rows["gain_bound"]
            ),
        ),
        bound=lambda rows: closed_forms.curvature_gain(
            rows["slope_bound"], rows["curvature_bound"], rows["gain_bound"]
        ),
        rounding=gradient_mean_rounding,
        proof=(
            ProofStep("Along a ray the gain at norm t is at most g t + M t^2/2, and at most Delta", lemma="mean value"),
            ProofStep(
                "so gain/t <= min(g + M t/2, Delta/t): one rises, one falls, and they meet at t*",
                residual=(gradient * _best + M * _best**2 / 2 - Delta).expand().simplify(),
            ),
            ProofStep("where both are the bound", residual=(gradient + M * _best / 2 - CURVATURE_GAIN).expand()),
        ),
        source=SOURCE,
        level=Level.LANDSCAPE,
        needs=("global_below_gradient",),
        attained=True,
    ),
    Theorem(
        key="factorised_heads",
        claims=("C3", "C10"),
        title="Factorised heads",
        statement="A head owned by a block, every factor of other blocks penalised, owned factors of norm kappa at "
        "most, "
        "||grad of each block form|| <= gamma, L >= 0: a stationary point with objective at most F_0 and a non-zero "
        "other factor has lambda <= [gamma kappa + sqrt(gamma^2 kappa^2 + 2 gamma F_0)]/2. Sharp at kappa = 0.",
        quantity="penalty",
        relation=Relation.AT_MOST,
        formula=FACTORISED,
        trivial="no penalty is known to keep cross blocks at zero everywhere without it",
        hypotheses=(
            Hypothesis("the point is stationary in every active factor", lambda rows: rows["stationarity"] <= 1e-9),
            Hypothesis("the loss is not negative", lambda rows: rows["loss"] >= 0),
            Hypothesis("owned factors have norm kappa at most", lambda rows: rows["owned_norm"] <= rows["cap"]),
            Hypothesis(
                "no block form has a gradient above gamma", lambda rows: rows["form_gradient"] <= rows["gradient_bound"]
            ),
            Hypothesis("some factor of another block is not zero", lambda rows: rows["active_factors"] > 0),
        ),
        bound=lambda rows: closed_forms.factorised(rows["gradient_bound"], rows["cap"], rows["objective"]),
        rounding=gradient_mean_rounding,
        proof=(
            ProofStep(
                "Stationary in an active query factor: lambda <= gamma (kappa + S_K), S_K the norms of other key "
                "factors; likewise with S_Q",
                lemma="triangle",
            ),
            ProofStep(
                "lambda (S_Q + S_K) <= F_0, as L >= 0: the smaller sum is at most F_0/(2 lambda), and if it is that "
                "of an inactive side it is 0",
            ),
            ProofStep(
                "so lambda^2 - gamma kappa lambda - gamma F_0/2 <= 0, whose larger root is the bound",
                residual=(FACTORISED**2 - gradient * cap * FACTORISED - gradient * Delta / 2).expand(),
            ),
        ),
        source=SOURCE,
        level=Level.FACTORS,
        attained=True,
    ),
)
