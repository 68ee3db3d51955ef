"""What each calculator's exact value is, on Arb balls: closed forms, brackets by forward evaluation, sums of arrays.

FORWARD: a closed form, evaluated on balls;  INVERSE: ends found around the estimate
WHOLE_ARRAYS: float64 with a bound on its rounding, where an axis is reduced
"""

from __future__ import annotations

import functools
import importlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from bounds.concentration.inverse import MOST_KEYS
from bounds.floors.calculators import best_upper_keys
from bounds.rigour.balls import ball, balls, compiled


def outward(value: Any) -> tuple[float, float]:
    """float64 numbers on either side of a ball; a ball that says nothing gives (-inf, inf)."""
    if value.is_nan():
        return -math.inf, math.inf
    low, high = value.lower(), value.upper()
    down, up = float(low), float(high)
    if math.isfinite(down) and ball(down) > low:
        down = math.nextafter(down, -math.inf)
    if math.isfinite(up) and ball(up) < high:
        up = math.nextafter(up, math.inf)
    return down, up


@functools.cache
def _compiled(topic: str, form: str) -> tuple[tuple[Any, ...], Any]:
    arguments, expression = importlib.import_module(f"bounds.{topic}.theorems").FORMS[form]
    return arguments, compiled(expression)


def _form(topic: str, form: str, *values: Any) -> Any:
    """A closed form on balls, its arguments in their printed order."""
    arguments, evaluate = _compiled(topic, form)
    return evaluate({s: v if hasattr(v, "is_nan") else ball(v) for s, v in zip(arguments, values)})


def _x(a: dict[str, Any], name: str = "margin") -> Any:
    held = min(max(a[name], -1.7e308), 1.7e308)
    return ball(held) / ball(a["temperature"])


def _keys(a: dict[str, Any]) -> tuple[float, float, float]:
    return a["n_keys"], a["n_block"], a["n_block"] if a.get("n_anchors") is None else a["n_anchors"]


def _unit(value: float) -> tuple[Any, Any]:
    """(value, 1 - value) as balls."""
    return ball(value), 1 - ball(value)


def _concentration(form: str) -> Callable[[dict[str, Any]], Any]:
    def evaluate(a: dict[str, Any]) -> Any:
        if a.get("logit_range") is None:
            return _form("concentration", form, _x(a), *_keys(a))
        return _form("concentration", f"{form}_range", _x(a), *_keys(a), _x(a, "logit_range"))

    return evaluate


def _needed(a: dict[str, Any]) -> Any:
    """ln a, a = (n-m) F / (r (1-F)): the least margin over temperature."""
    return _form("concentration", "scaled_margin", *_unit(a["fidelity"]), *_keys(a))


def _kappa(a: dict[str, Any]) -> Any:
    """Least kappa for one row."""
    if a["leakage"] == 0:
        return ball(0)
    return _form("dial", "kappa_needed", *_unit(a["leakage"]), *_unit(a["fidelity"])).max(ball(0))


def _worst_kappa(a: dict[str, Any]) -> Any:
    n, m, _ = _keys(a)
    return (_x(a, "logit_range") + _form("concentration", "scaled_margin", *_unit(a["fidelity"]), n, m, m)).max(ball(0))


def _frontier(a: dict[str, Any]) -> Any:
    eps, rest = _unit(a["leakage"])
    n, m, r = _keys(a)
    if eps > _form("concentration", "leakage_ceiling", _x(a), n, m, r):
        return balls().arb.neg_inf()
    q = _form("entropy", "binding_mass", eps, rest, _x(a), n, m, r)
    return _form("entropy", "frontier", eps, rest, q, n, m, r)


def _floor(a: dict[str, Any]) -> Any:
    """The least over the whole numbers next to the best one: entropy falls before it and rises after."""
    n, span = a["n_keys"], _x(a, "logit_range")
    best = float(best_upper_keys(float(span), n))
    around = sorted({min(max(best + step, 1.0), max(n - 1, 1.0)) for step in (-2, -1, 0, 1, 2)})
    return functools.reduce(lambda p, q: p.min(q), (_form("floors", "two_level_entropy", span, n, k) for k in around))


def _floor_with_margin(a: dict[str, Any]) -> Any:
    """The least over all O(m n) rows of two and three levels."""
    n, m, r = (int(v) for v in _keys(a))
    x, span = _x(a), _x(a, "logit_range")
    rows = [(x, free + r - down, down) for free in range(m - r + 1) for down in range(r + 1)]
    rows += [(span - x, free + r, up) for free in range(m - r + 1) for up in range(n - m + 1)]
    values = (_form("floors", "three_level_entropy", span, level, n, top, middle) for level, top, middle in rows)
    return functools.reduce(lambda p, q: p.min(q), values)


LEVELS = ("gradient_bound", "value_diameter", "query_norm", "key_norm", "key_diameter", "query_share", "temperature")


def _level(form: str) -> Callable[[dict[str, Any]], Any]:
    def evaluate(a: dict[str, Any]) -> Any:
        name = "leakage_aware_mean" if form == "leakage_aware" and a["of"] == "mean" else form
        more = (a["leakage"],) if "leakage" in a else ()
        return _form("penalty", name, *(a[k] for k in LEVELS), *more)

    return evaluate


def _one_minus_exp(kappa: Any) -> Any:
    return -(-kappa).expm1()


PATTERNS = ("n_patterns", "beta", "separation", "radius", "distance")


def _sum(first: float, second: float) -> Any:
    return ball(first) + ball(second)


def _coherence(a: dict[str, Any]) -> Any:
    """The best of the floors that apply; the third degree where its root is in [0, 1/sqrt d)."""
    k, d = a["n_anchors"], a["dimension"]
    floors = [_form("anchors", "coherence_simplex", k)]
    floors += [ball(0)] if k > d + 1 else []
    floors += [_form("anchors", "coherence_polygon", k)] if d == 2 else []
    floors += [_form("anchors", "coherence_levenshtein", k, d)] if k >= max(d + 1, 3) else []
    if k > d + 1:
        third = _form("anchors", "coherence_third", k, d)
        floors += [third] if third >= 0 and third**2 * d < 1 else []
    return functools.reduce(lambda p, q: p.max(q), floors)


FORWARD: dict[str, Callable[[dict[str, Any]], Any]] = {
    "leakage_ceiling": _concentration("leakage_ceiling"),
    "log_leakage_ceiling": _concentration("log_leakage_ceiling"),
    "fidelity_floor": _concentration("fidelity_floor"),
    "entropy_ceiling": lambda a: _form("entropy", "entropy_ceiling", _x(a), *_keys(a)),
    "entropy_envelope": lambda a: _form("entropy", "entropy_envelope", _x(a), *_keys(a)),
    "entropy_split": lambda a: _form("entropy", "entropy_split", *_unit(a["leakage"]), *_keys(a)[:2]),
    "frontier": _frontier,
    "fidelity_ceiling": lambda a: _form("floors", "fidelity_ceiling", _x(a, "logit_range"), *_keys(a)[:2]),
    "entropy_floor": _floor,
    "entropy_floor_with_margin": _floor_with_margin,
    "specht_floor": lambda a: _form("floors", "specht_floor", _x(a, "logit_range"), a["n_keys"]),
    "margin_for_fidelity": lambda a: _needed(a) * a["temperature"],
    "temperature_for_fidelity": lambda a: a["margin"] / _needed(a),
    "kappa_for_fidelity": _kappa,
    "dial_for_fidelity": lambda a: _one_minus_exp(_kappa(a)),
    "worst_case_kappa": _worst_kappa,
    "worst_case_dial": lambda a: _one_minus_exp(_worst_kappa(a)),
    "dial_leakage": lambda a: _form("dial", "dial_leakage", *_unit(a["leakage"]), a["dial"]),
    "kappa_leakage": lambda a: _form("dial", "kappa_leakage", *_unit(a["leakage"]), a["kappa"]),
    "dial_bias": lambda a: _form("dial", "dial_bias", a["dial"], a["temperature"]),
    "kappa_bias": lambda a: _form("dial", "kappa_bias", a["kappa"], a["temperature"]),
    "kappa_of_dial": lambda a: _form("dial", "kappa_of_dial", a["dial"]),
    "dial_of_kappa": lambda a: _form("dial", "dial_of_kappa", a["kappa"]),
    "penalty_threshold_worst_case": _level("worst_case"),
    "penalty_threshold_leakage_aware": _level("leakage_aware"),
    "anchor_margin": lambda a: _form("anchors", "anchor_margin", _sum(a["theta"], a["jitter"]), a["phi"], a["beta"]),
    "coherence_floor": _coherence,
    "pointer_information": lambda a: _form(
        "anchors", "pointer_information", a["prior_entropy"], a["leakage"], a["n_blocks"]
    ),
    "replication_slope": lambda a: _form(
        "anchors", "replication_slope", *_unit(a["anchor_mass"]), a["gap"], a["n_anchors"]
    ),
    "rule_bias": lambda a: _worst_kappa({**a, "n_block": a["n_rule"]}) * a["temperature"],
    "priority_gap": lambda a: _form(
        "rules", "gap_needed", a["ratio"], _x(a, "logit_range"), a["temperature"], a["n_first"], a["n_second"]
    ),
    "sigma_reparam_floor": lambda a: _form("published", "sigma_reparam_floor", _x(a, "logit_norm"), a["n_keys"]),
    "most_attention": lambda a: _form("published", "most_attention", _x(a, "logit_range"), a["n_keys"]),
    "least_attention": lambda a: _form("published", "least_attention", _x(a, "logit_range"), a["n_keys"]),
    "scalable_softmax_floor": lambda a: _form(
        "published", "scalable_softmax_floor", a["margin"], *_keys(a), a["scale"]
    ),
    "hopfield_error": lambda a: _form("published", "hopfield_error", *(a[k] for k in PATTERNS)),
    "retrieval_error": lambda a: _form("published", "retrieval_error", *(a[k] for k in PATTERNS)),
    "penalty_threshold_cauchy_schwarz": lambda a: _form(
        "penalty", "cauchy_schwarz", a["query_operator"], a["covariance_bound"], a["temperature"]
    ),
    "global_penalty_ceiling": lambda a: _form("penalty", "curvature_gain", a["slope"], a["curvature"], a["gain"]),
    "global_penalty_dual": lambda a: _form(
        "penalty",
        "quadratic_dual",
        *(a[k] for k in ("loss_localised", "eta", "offset", "quadratic", "cross_norm")),
    ),
    "penalty_threshold_factorised": lambda a: _form(
        "penalty", "factorised", a["gradient_bound"], a["owned_norm"], a["objective"]
    ),
    "adam_threshold": lambda a: _form("penalty", "adam_threshold", a["beta_1"], a["beta_2"], a["group_size"]),
    "recruitment_price": lambda a: _form(
        "recruitment", "recruitment_price", a["extra_parameters"], a["n_observations"], a["cost"]
    ),
}
"""Calculators whose exact value is a closed form, on balls."""


def ends(name: str, a: dict[str, Any], estimate: float) -> tuple[float, float]:
    """float64 numbers around the exact value of one entry."""
    if math.isinf(estimate) and name != "frontier":
        return estimate, estimate  # a masked dial, any temperature, any margin: exact by definition
    if name in FORWARD:
        return outward(FORWARD[name](a))
    return INVERSE[name](a, estimate)


def _entropy_margin(a: dict[str, Any], estimate: float) -> tuple[float, float]:
    """Neighbours of the estimate at which the ceiling is certainly above, and certainly at most, the target."""

    def ceiling(margin: float) -> Any:
        return FORWARD["entropy_ceiling"]({**a, "margin": margin})

    upper, stride = estimate, math.ulp(estimate)
    while not ceiling(upper) <= a["entropy"]:
        upper, stride = upper + stride, 2 * stride
    lower, stride = estimate, math.ulp(estimate)
    while lower > 0 and not ceiling(lower) > a["entropy"]:
        lower, stride = max(lower - stride, 0.0), 2 * stride
    return lower, upper


def _whole(value: Any, down: bool) -> tuple[float, float]:
    """Floor or ceiling of a ball: both ends where the ball holds a whole number."""
    ends = outward(value)
    rounding = math.floor if down else math.ceil
    return tuple(float(rounding(end)) for end in ends)  # pyright: ignore[reportReturnType]


def _anchors(a: dict[str, Any], estimate: float) -> tuple[float, float]:
    n, m, _ = _keys(a)
    low, high = _whole(_form("concentration", "anchors_needed", _x(a), *_unit(a["fidelity"]), n, m), down=False)
    return max(low, 1.0), max(high, 1.0)


def _context(a: dict[str, Any], estimate: float) -> tuple[float, float]:
    m = a["n_block"]
    r = m if a["n_anchors"] is None else a["n_anchors"]
    allowed = _form("concentration", "outsiders_allowed", _x(a), *_unit(a["fidelity"]), r)
    if allowed > MOST_KEYS:
        return float(MOST_KEYS), float(MOST_KEYS)
    low, high = _whole(allowed, down=True)
    return min(m + low, MOST_KEYS), min(m + high, MOST_KEYS)


def _exact(a: dict[str, Any], estimate: float) -> tuple[float, float]:
    return estimate, estimate


def _recruitments(a: dict[str, Any], estimate: float) -> tuple[float, float]:
    low, high = outward(a["nll"] / FORWARD["recruitment_price"](a))
    return max(math.ceil(low) - 1.0, 0.0), max(math.ceil(high) - 1.0, 0.0)


INVERSE: dict[str, Callable[[dict[str, Any], float], tuple[float, float]]] = {
    "margin_for_entropy": _entropy_margin,
    "anchors_for_fidelity": _anchors,
    "context_for_fidelity": _context,
    "steps_to_zero": _exact,  # decided in fractions
    "most_recruitments": _recruitments,
}


def _mean_of_products(a: dict[str, Any], values: Any) -> tuple[Any, Any]:
    """A mean of n products: each carries 6 ulp, their sum log2 n more; ulp of the mean, doubled."""
    names = ("gradient_bounds", "value_diameters", "key_diameters", "query_norms")
    count = np.broadcast_shapes(*(np.shape(a[name]) for name in names))[-1]
    room = 2 * np.finfo(np.float64).eps * (8 + count) * np.abs(values)
    return values - room, values + room


def _witness(a: dict[str, Any], values: Any) -> tuple[Any, Any]:
    """One difference, one sum of n norms, one quotient."""
    room = 2 * np.finfo(np.float64).eps * (4 + np.shape(np.atleast_1d(a["group_norms"]))[-1]) * np.abs(values)
    return values - room, values + room


def _layers(a: dict[str, Any], values: Any) -> tuple[Any, Any]:
    """Sums and products over L layers of positive terms: at most 4 L ulp of the value."""
    length = max(np.shape(np.atleast_1d(v))[-1] for v in a.values())
    room = 2 * np.finfo(np.float64).eps * (8 + 4 * length) * np.abs(values)
    return values - room, values + room


WHOLE_ARRAYS: dict[str, Callable[[dict[str, Any], Any], tuple[Any, Any]]] = {
    "penalty_threshold_mean_of_products": _mean_of_products,
    "critical_penalty": lambda a, values: (values, values),  # a maximum is exact
    "global_penalty_witness": _witness,
    "drift_bound": _layers,
    "layer_costs": _layers,
    "violation_after_reloads": _layers,
}
"""Calculators that reduce an axis: float64 with an a-priori bound on its rounding."""
