"""Penalty thresholds beyond levels A to D (claims C3, C10): Cauchy-Schwarz, level E, factorised heads, Adam.

    X_op sqrt(mean_i (G_i V_i D_ic)^2) / (4 tau);   [g + sqrt(g^2 + 2 M Delta)]/2;   U sqrt(group size)
    [(1-eta) L_loc + mean Psi + Lambda n^2]/n

Source: arXiv:2510.09338v2, abstract, claim C3, and arXiv:2510.17358, abstract, claim C10; derived here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

import bounds.numbers.arguments as check
from bounds.penalty import closed_forms
from bounds.penalty import closed_forms as dual_forms
from bounds.rigour.enclosed import enclosable

__all__ = [
    "adam_threshold",
    "global_penalty_ceiling",
    "global_penalty_dual",
    "penalty_threshold_cauchy_schwarz",
    "penalty_threshold_factorised",
]


@enclosable
def penalty_threshold_cauchy_schwarz(
    query_operator: ArrayLike, covariance_bound: ArrayLike, temperature: ArrayLike = 1.0
) -> Any:
    """Level C by Cauchy-Schwarz over queries: X_op C_2 / (4 tau).

    `query_operator` is ||X_b||_op/sqrt N over all N queries, `covariance_bound` the root mean square of G_i V_i D_ic.
    With suprema over all parameters a threshold. Raises ValueError for a negative bound.
    """
    x, c = (
        check.non_negative("query_operator", query_operator),
        check.non_negative("covariance_bound", covariance_bound),
    )
    return check.result(closed_forms.cauchy_schwarz(x, c, check.positive("temperature", temperature)))


@enclosable
def global_penalty_ceiling(slope: ArrayLike, curvature: ArrayLike, gain: ArrayLike) -> Any:
    """Level E from above: [g + sqrt(g^2 + 2 M Delta)]/2; from there on the localised point is a global minimiser.

    `slope` g: cross gradient at zero cross blocks, over all in-block parameters; `curvature` M: negative curvature
    across, at most; `gain` Delta: localised loss minus the least loss. Raises ValueError for a negative one.
    """
    g, m = check.non_negative("slope", slope), check.non_negative("curvature", curvature)
    return check.result(closed_forms.curvature_gain(g, m, check.non_negative("gain", gain)))


@enclosable
def global_penalty_dual(
    loss_localised: ArrayLike, eta: ArrayLike, offset: ArrayLike, quadratic: ArrayLike, cross_norm: ArrayLike
) -> Any:
    """Level E from above at one n, by quadratic majorants: [(1-eta) L_loc + mean Psi + Lambda n^2]/n.

    `offset` mean Psi and `quadratic` Lambda: of majorants eta l_i(t, 0) - l_i(t, w) <= Psi_i + w^T M_i w of one block's
    queries; `cross_norm` n: the sum of the norms of its cross blocks. The largest over n and the blocks is at least
    lambda_glob. Raises ValueError for eta outside [0, 1], a negative Lambda or n <= 0.
    """
    loss, psi = check.finite("loss_localised", loss_localised), check.finite("offset", offset)
    share, top = check.unit_closed("eta", eta), check.non_negative("quadratic", quadratic)
    return check.result(dual_forms.quadratic_dual(loss, share, psi, top, check.positive("cross_norm", cross_norm)))


@enclosable
def penalty_threshold_factorised(gradient_bound: ArrayLike, owned_norm: ArrayLike, objective: ArrayLike) -> Any:
    """Above it a stationary point of at most this objective has all factors of other blocks zero.

    [gamma kappa + sqrt(gamma^2 kappa^2 + 2 gamma F_0)]/2: gamma bounds the gradient of each block form, kappa the owned
    factors, F_0 the objective, of a loss >= 0. Raises ValueError for a negative one.
    """
    gamma, kappa = check.non_negative("gradient_bound", gradient_bound), check.non_negative("owned_norm", owned_norm)
    return check.result(closed_forms.factorised(gamma, kappa, check.non_negative("objective", objective)))


@enclosable
def adam_threshold(group_size: ArrayLike, beta_1: ArrayLike = 0.9, beta_2: ArrayLike = 0.999) -> Any:
    """Penalty at which a zero group stays zero under Adam with a decoupled proximal step: U sqrt(group size).

    U = (1-b1)/sqrt((1-b2)(1-b1^2/b2)), 7.270 at the defaults, whatever the gradients. Raises ValueError for a rate
    outside [0, 1), or beta_1^2 >= beta_2, where U does not exist.
    """
    size = check.count("group_size", group_size)
    b1 = check.real("beta_1", beta_1, "in [0, 1)", lambda a: (a >= 0) & (a < 1))
    b2 = check.real("beta_2", beta_2, "in (0, 1)", lambda a: (a > 0) & (a < 1))
    if np.any(b1**2 >= b2):
        raise check.reject("beta_1", "below sqrt(beta_2)", f"{b1.flat[0]:g}", f" with beta_2={b2.flat[0]:g}")
    return check.result(closed_forms.adam_threshold(b1, b2, size))
