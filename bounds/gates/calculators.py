"""Penalties on gates of attention: critical penalty, level A, what leakage a penalty allows, what masking costs.

    lambda_c = max(0, -(dL/ds_c)/(dOmega/ds_c)) at the mask;   level A = N_l G V;   Omega <= (L_ref - L_found)/lambda
    mean H <= min over mu >= 0 of mean ln(m_i + (n_i - m_i) e^-mu) + mu eps

A gate s in [0, 1] multiplies the weights of a group of pairs outside their query's block; L is the loss, Omega the sum
over gated layers and heads of their mean leakage, and J = L + lambda Omega is what is minimised. Thresholds and
ceilings in closed form are rounded up (`bounds.numbers.search`).
Source: arXiv:2510.09338v2, abstract, claims C3, C4 and C6; derived here.
"""

from __future__ import annotations

import numpy as np

import bounds.numbers.arguments as check
from bounds.concentration.calculators import evaluate
from bounds.entropy import closed_forms as entropy_forms
from bounds.gates import closed_forms
from bounds.numbers.arguments import RealLike, Reals, Value, VectorLike
from bounds.numbers.search import Solutions, Unreachable, answer, on_intervals, outward, rounded
from bounds.rigour.enclosed import enclosable

__all__ = [
    "critical_gate_penalty",
    "gate_basin",
    "gate_penalty_for_leakage",
    "gate_penalty_level_a",
    "gate_rate_ceiling",
    "gate_steps_to_zero",
    "masked_loss_ceiling",
    "mean_entropy_ceiling",
    "penalised_leakage_ceiling",
    "rows_above_ceiling",
]

ULPS = 2  # outwards: of two roundings at most
HALVINGS = 80  # of an interval of mu: any mu is valid, and the value is flat at the best one


@enclosable
def critical_gate_penalty(loss_slopes: VectorLike, leakage_slopes: VectorLike) -> Value:
    """The largest max(0, -(dL/ds_c)/(dOmega/ds_c)) over the gates, all slopes at the mask: the last axis holds gates.

    Above it the mask is a strict local minimum of J in the gates, below it one projected step opens a gate. Of a mean
    over samples: the slopes are means first. Raises BadInput for a leakage slope that is not positive.
    """
    loss = np.atleast_1d(check.finite("loss_slopes", loss_slopes))
    leakage = np.atleast_1d(check.positive("leakage_slopes", leakage_slopes))
    loss, leakage = check.together(loss, leakage)
    if loss.shape[-1] == 0:
        raise check.reject("loss_slopes", "at least one slope", "none")
    return check.result(outward(np.divide, True, ULPS, np.maximum(-loss, 0), leakage).max(-1))


@enclosable
def gate_penalty_level_a(layer_rows: RealLike, gradient_bound: RealLike, value_diameter: RealLike) -> Value:
    """Level A for gates, N_l G V: above it every stationary point of J has all gates 0, no gate being in two layers.

    `layer_rows` N_l: rows over which the layer's leakage is a mean; G bounds ||dL/do_i|| for all rows and all gates
    (all weights too, where they are trained), V the diameter of the values that a row sees. The largest over the layers
    is the threshold. Raises BadInput for a negative bound.
    """
    rows, g = check.count("layer_rows", layer_rows), check.non_negative("gradient_bound", gradient_bound)
    v = check.non_negative("value_diameter", value_diameter)
    return check.result(outward(closed_forms.gate_level, True, ULPS, *check.together(rows, g, v)))


@enclosable
def gate_basin(slope: RealLike, curvature: RealLike) -> Value:
    """Distance ||s|| (Euclidean) within which the mask is better than any other gates: 2 gamma/M, inf for M = 0.

    gamma > 0 bounds every dJ/ds_c at the mask from below, M the negative curvature of J on the way. Rounded down.
    Raises BadInput for a slope that is not positive.
    """
    gamma, top = check.together(check.positive("slope", slope), check.non_negative("curvature", curvature))
    flat = top == 0
    radius = rounded(on_intervals(closed_forms.basin), False, gamma, np.where(flat, 1.0, top))
    return check.result(np.where(flat, np.inf, radius))


@enclosable
def gate_rate_ceiling(
    pair_penalty: RealLike,
    layer_rows: RealLike,
    curvature: RealLike,
    value_diameter: RealLike,
    leakage: RealLike = 1.0,
) -> Value:
    """Penalty from which no gates of one layer alone are better than the mask: max lambda_ij + N_l M V^2 eps/2.

    `pair_penalty`: the largest critical penalty of a pair at the mask; M bounds the negative curvature of the loss in
    the layer's outputs, V the diameter of the values, eps = `leakage` that of any row. Raises BadInput for a negative
    bound.
    """
    rows, m = check.count("layer_rows", layer_rows), check.non_negative("curvature", curvature)
    v, eps = check.non_negative("value_diameter", value_diameter), check.unit_closed("leakage", leakage)
    arguments = check.together(check.finite("pair_penalty", pair_penalty), rows, m, v, eps)
    return check.result(rounded(on_intervals(closed_forms.rate), True, *arguments))


@enclosable
def gate_penalty_for_leakage(loss_reference: RealLike, loss_least: RealLike, target: RealLike) -> Value:
    """Penalty from which every global minimiser of J has leakage Omega <= target: (L_ref - L_least)/Omega_goal.

    L_ref: loss of a solution with leakage 0 on the same data, such as the mask; L_least: a lower bound on the loss, 0
    for a cross-entropy. Raises BadInput for L_least > L_ref, or a target that is not positive.
    """
    arguments = _fall(loss_reference, "loss_least", loss_least, "target", target)
    return check.result(rounded(on_intervals(closed_forms.penalty_for_leakage), True, *arguments))


@enclosable
def penalised_leakage_ceiling(loss_reference: RealLike, loss_found: RealLike, penalty: RealLike) -> Value:
    """Largest leakage Omega of a solution whose J is at most that of the reference: (L_ref - L_found)/lambda.

    L_ref: loss of a solution with leakage 0 on the same data. A lower bound on the loss in place of L_found gives what
    can be said before anything is solved. Raises BadInput for L_found > L_ref, which no such solution has.
    """
    arguments = _fall(loss_reference, "loss_found", loss_found, "penalty", penalty)
    return check.result(rounded(on_intervals(closed_forms.penalised_leakage), True, *arguments))


def _fall(reference: RealLike, name: str, loss: RealLike, divisor: str, value: RealLike) -> tuple[Reals, ...]:
    """Both losses and what their difference is divided by, checked and broadcast."""
    high, low, by = check.together(
        check.finite("loss_reference", reference), check.finite(name, loss), check.positive(divisor, value)
    )
    if not (good := low <= high).all():
        raise check.reject(name, "at most loss_reference", f"{low[~good][0]:g}", f" with {high[~good][0]:g}")
    return high, low, by


@enclosable
def masked_loss_ceiling(loss: RealLike, global_penalty: RealLike, leakage: RealLike) -> Value:
    """Largest loss after all gates of a solution are set to 0: L + lambda_glob Omega.

    lambda_glob: the least penalty at which the mask is a global minimiser, or an upper bound on it. Raises BadInput for
    a negative penalty or leakage.
    """
    current, weight = check.finite("loss", loss), check.non_negative("global_penalty", global_penalty)
    arguments = check.together(current, weight, check.non_negative("leakage", leakage))
    return check.result(rounded(on_intervals(closed_forms.masked_loss), True, *arguments))


@enclosable
def rows_above_ceiling(mean_leakage: RealLike, threshold: RealLike) -> Value:
    """Largest share of rows whose leakage is `threshold` or more: min(1, eps/t). Raises BadInput outside (0, 1]."""
    eps = check.unit_closed("mean_leakage", mean_leakage)
    t = check.real("threshold", threshold, "in (0, 1]", lambda a: (a > 0) & (a <= 1))
    return check.result(np.minimum(outward(closed_forms.rows_above, True, ULPS, eps, t), 1.0))


@enclosable
def mean_entropy_ceiling(leakage: RealLike, n_keys: VectorLike, n_block: VectorLike) -> Value:
    """Largest mean entropy (nats) of rows with mean leakage at most `leakage`: the lesser of two ceilings.

        h(eps) + (1-eps) ln m + eps ln(n-m) at the mean n and m, eps at most (n-m)/n
        min over mu >= 0 of mean ln(m_i + (n_i - m_i) e^-mu) + mu eps

    The last axis of `n_keys` and `n_block` holds the rows; a number is all rows alike. Raises BadInput for a leakage
    outside [0, 1] or counts that are none.
    """
    n, m, _ = check.keys(np.atleast_1d(np.asarray(n_keys)), np.atleast_1d(np.asarray(n_block)))
    n, m = check.together(n, m)
    eps = check.unit_closed("leakage", leakage)
    mu = _best_multiplier(eps, n, m)
    mixed = np.log(m + (n - m) * np.exp(-mu)[..., None]).mean(-1) + mu * eps
    keys, block = n.mean(-1), m.mean(-1)
    capped = np.minimum(eps, (keys - block) / keys)
    return check.result(np.minimum(evaluate(entropy_forms.entropy_split, capped, 1 - capped, keys, block), mixed))


def _best_multiplier(eps: Reals, n: Reals, m: Reals) -> Reals:
    """The mu at which mean (n_i - m_i) e^-mu/(m_i + (n_i - m_i) e^-mu) is eps, by halving; 0 where eps is larger."""
    low = np.zeros(np.broadcast_shapes(eps.shape, n.shape[:-1]))
    high = np.full_like(low, 800.0)  # e^-800 is 0: an eps that is less has no use for a larger mu
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        outside = (n - m) * np.exp(-middle)[..., None]
        above = (outside / (m + outside)).mean(-1) > eps
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return low


@enclosable
def gate_steps_to_zero(gate: RealLike, slope: RealLike, step: RealLike) -> int | Unreachable | Solutions:
    """Projected gradient steps after which a gate is 0: ceil(s/(eta gamma)), exactly so up to 2^53.

    gamma bounds dJ/ds_c from below along the way, eta is the size of a step. In floating point one more, where a step
    is well above the rounding of s. An int, or Unreachable where gamma <= 0; arrays give `Solutions`. Not of Adam or
    with momentum. Raises BadInput for a gate outside [0, 1].
    """
    start, eta = check.unit_closed("gate", gate), check.positive("step", step)
    start, gamma, eta = check.together(start, check.finite("slope", slope), eta)
    pushes = gamma > 0
    steps = rounded(on_intervals(closed_forms.gate_steps), True, start, np.where(pushes, gamma, 1.0), eta, whole=True)
    return answer(
        steps,
        (~pushes, "the slope does not push the gate towards 0"),
        (~np.isfinite(steps), "more steps than a float64 can count"),
        whole=True,
    )
