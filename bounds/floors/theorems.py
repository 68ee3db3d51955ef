"""Floors: what a logit range D = range/temperature cannot reach (claims C4, C5, read the other way).

fidelity <= m / (m + (n-m) e^-D)
entropy  >= min over k of ln(k + v) + D v/(k + v),   v = (n-k) e^-D     (k keys at D, the others at 0)
entropy  >= ln n - (c - 1 - ln c),   c = D / (1 - e^-D)                 (Specht: k real)
"""

# sympy has no types: what comes of its functions is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false, reportUnknownParameterType=false
# pyright: reportOperatorIssue=false

from __future__ import annotations

from typing import Any, TypedDict

import numpy as np
from sympy import Eq, Expr, Min, Piecewise, S, Symbol, diff, exp, log, together
from sympy.codegen.cfunctions import expm1, log1p

import bounds.floors.calculators as calculators
from bounds.theory.boxes import LITTLE, z
from bounds.theory.least import Least
from bounds.theory.rows import (
    ABSTRACT,
    FINITE_RANGE,
    VALID,
    block_on_top,
    key_arguments,
    range_argument,
    softmax_rounding,
)
from bounds.theory.stable_forms import Forms
from bounds.theory.statement import Statement
from bounds.theory.symbols import D, free_upper, k, k_mid, k_top, level, m, n, r, upper, x
from bounds.theory.theorem import Hypothesis, ProofStep, Relation, Rows, Theorem

# --- expressions, as one would write them down -----------------------------------------------------------------------
v: Expr = (n - k) * exp(-D)
c: Expr = D / (1 - exp(-D))
FIDELITY_CEILING: Expr = m / (m + (n - m) * exp(-D))
TWO_LEVEL: Expr = log(k + v) + D * v / (k + v)
_top, _mid, _low_ = k_top, k_mid, n - k_top - k_mid  # keys at D, at y, at 0
_weight = _top + _mid * exp(level - D) + _low_ * exp(-D)
THREE_LEVEL: Expr = log(_weight) + (_mid * (D - level) * exp(level - D) + _low_ * D * exp(-D)) / _weight


def _three_level(top: Any, middle: Any, height: Any) -> Any:
    """The entropy with so many keys on top and in the middle, the middle so high."""
    return THREE_LEVEL.subs({k_top: top, k_mid: middle, level: height}, simultaneous=True)


_free = (free_upper, 0, m - r)  # of the free keys, so many at D and the others at 0
_anchors_at_x = Least(_three_level(upper + free_upper, r - upper, x), (upper, 0, r), _free)
_outsiders_near = Least(_three_level(r + free_upper, upper, D - x), (upper, 0, n - m), _free)
MARGIN_FLOOR: Expr = Min(_anchors_at_x, _outsiders_near)
UPPER_KEYS: Expr = n * (c - 1) / (exp(D) - 1)
SPECHT: Expr = log(n) - (c - 1 - log(c))

# --- the same, in forms that stay accurate and finite ----------------------------------------------------------------
c0: Expr = Piecewise((S.One, Eq(D, 0)), (D / -expm1(-D), True))
capped: Expr = Min(D, 700)  # beyond, one key at the top is best, and e^D overflows

two_level: Expr = log(k) + log1p(v / k) + D * v / (k + v)
_below = _mid * exp(level - D) + _low_ * exp(-D)  # the weight below the top, over that of one key there
three_level: Expr = Piecewise(
    (
        log(k_top)
        + log1p(_below / k_top)
        + (_mid * (D - level) * exp(level - D) + _low_ * D * exp(-D)) / (k_top + _below),
        k_top > 0,
    ),
    (two_level.subs({k: k_mid, D: level}, simultaneous=True), True),  # none on top: the next level is the highest
)

FORMS: Forms = {
    "fidelity_ceiling": ((D, n, m), FIDELITY_CEILING),
    "two_level_entropy": ((D, n, k), two_level),
    "three_level_entropy": ((D, level, n, k_top, k_mid), three_level),
    "upper_keys": ((D, n), Piecewise((n / 2, Eq(D, 0)), (n * (capped / -expm1(-capped) - 1) / expm1(capped), True))),
    "specht_floor": ((D, n), log(n) - (c0 - 1 - log(c0))),
}


class _RangeArguments(TypedDict):
    logit_range: np.ndarray
    n_keys: np.ndarray
    temperature: np.ndarray


def _arguments(rows: Rows) -> _RangeArguments:
    return {
        "logit_range": range_argument(rows),
        "n_keys": key_arguments(rows)["n_keys"],
        "temperature": rows["temperature"],
    }


def _margin_floor(rows: Rows) -> np.ndarray:
    keys = key_arguments(rows)
    span = range_argument(rows)
    margin = np.clip(np.where(np.isfinite(rows["margin"]), rows["margin"], 0.0), 0.0, span)
    return calculators.entropy_floor_with_margin(margin, span, **keys, temperature=rows["temperature"])


def _fidelity_bound(rows: Rows) -> np.ndarray:
    return calculators.fidelity_ceiling(**_arguments(rows), n_block=key_arguments(rows)["n_block"])


def spikes(n_keys: int, n_block: int, n_anchors: int, x: float) -> np.ndarray:
    """The best number of keys at D = |x|, the others at 0: the least entropy that this range allows."""
    upper = calculators.best_upper_keys(abs(x), n_keys)
    return np.where(np.arange(n_keys) < upper, abs(x), 0.0)


# --- proofs ----------------------------------------------------------------------------------------------------------
_z = Symbol("z", positive=True)  # (total weight)/n, the outsiders at weight 1
_e = exp(D)
_share = (_z - 1) / (_e - 1)  # k/n
_relative = log(_z) - D * _share * _e / _z  # H - ln n of the two-level row

_EXTREME = (
    ProofStep(
        "Rows of range at most D are the projective image of the box of weights in [1, e^D]: a polytope whose extreme "
        "points have every weight at 1 or e^D; H is concave, so its minimum is at one of these",
        lemma="concave minimum",
    ),
    ProofStep(
        "With k weights e^D the entropy is ln Z - D k e^D/Z, Z = k e^D + n - k",
        residual=(log(k * _e + n - k) - D * k * _e / (k * _e + n - k) - TWO_LEVEL).subs(n, k + _z),
    ),
    ProofStep("In z = Z/n it is ln n + ln z - c (1 - 1/z)", residual=_relative - log(_z) + c * (1 - 1 / _z)),
    ProofStep(
        "which falls up to z = c and rises after: the derivative is (z - c)/z^2",
        residual=diff(log(_z) - c * (1 - 1 / _z), _z) - (_z - c) / _z**2,
    ),
    ProofStep("z = c is k = n (c - 1)/(e^D - 1)", residual=(n * _share).subs(_z, c) - UPPER_KEYS),
)

THEOREMS: tuple[Theorem, ...] = (
    Theorem(
        key="fidelity_ceiling",
        claims=("C5",),
        title="Fidelity ceiling from the logit range",
        statement="Whatever the margin, attention mass on the block is at most m / (m + (n-m)e^-D).",
        quantity="fidelity",
        relation=Relation.AT_MOST,
        formula=FIDELITY_CEILING,
        trivial=S.One,
        hypotheses=(VALID, FINITE_RANGE),
        bound=_fidelity_bound,
        rounding=softmax_rounding,
        proof=(
            ProofStep(
                "Scale the largest weight to 1: W_in <= m, and every outsider weighs e^-D at least", lemma="termwise"
            ),
            ProofStep(
                "Fidelity W_in/(W_in + W_out) rises with W_in and falls with W_out",
                relation=together(diff(k / (k + _z), k)) > 0,
            ),
            ProofStep("A larger range allows more", relation=together(diff(FIDELITY_CEILING.subs(n, m + _z), D)) > 0),
        ),
        source=f"{ABSTRACT}, claim C5; derived here",
        witness=block_on_top,
    ),
    Theorem(
        key="entropy_floor",
        claims=("C4",),
        title="Entropy floor from the logit range, exact over integers",
        statement="Entropy is at least the least of ln(k + v) + D v/(k + v), v = (n-k)e^-D, over whole k in [1, n-1]; "
        "only the floor and the ceiling of n (c - 1)/(e^D - 1), c = D/(1 - e^-D), need looking at.",
        quantity="entropy_nats",
        relation=Relation.AT_LEAST,
        formula=Least(TWO_LEVEL, (k, 1, n - 1)),
        trivial=S.Zero,
        step=TWO_LEVEL,
        hypotheses=(VALID, FINITE_RANGE),
        bound=lambda rows: calculators.entropy_floor(**_arguments(rows)),
        rounding=softmax_rounding,
        proof=(
            *_EXTREME,
            ProofStep("so among whole k the least is at one of its two neighbours", lemma="definition"),
            ProofStep(
                "The printed form equals it",
                residual=log(k)
                + log(1 + v / k)
                + D * v / (k + v)
                - TWO_LEVEL.subs(log(k + v), log(k) + log(1 + v / k)),
            ),
            ProofStep("where ln k + ln(1 + v/k) = ln(k + v)", residual=k * (1 + v / k) - (k + v)),
        ),
        source=f"{ABSTRACT}, claim C4; derived here",
        witness=spikes,
    ),
    Theorem(
        key="entropy_floor_margin",
        claims=("C4",),
        title="Entropy floor from margin and range together, exact",
        statement="With a margin x in [0, D] too, entropy is at least the least of these rows: i anchors at D, the "
        "others at "
        "x, outsiders at 0, free keys at D or 0; or all anchors at D, outsiders at D - x or 0, free keys at D or 0.",
        quantity="entropy_nats",
        relation=Relation.AT_LEAST,
        formula=MARGIN_FLOOR,
        trivial=S.Zero,
        step=THREE_LEVEL,
        hypotheses=(
            VALID,
            FINITE_RANGE,
            Hypothesis(
                "the margin is not negative",
                lambda rows: rows["margin"] >= 0,
                spare="at x = 0 it is the floor of the range alone, which every row obeys",
            ),
        ),
        bound=_margin_floor,
        rounding=softmax_rounding,
        proof=(
            ProofStep(
                "Weights with w_i <= e^D w_j and anchor >= e^x outsider form a cone; H is concave: an extreme ray "
                "is least",
                lemma="concave minimum",
            ),
            ProofStep(
                "At an extreme ray the tight constraints connect all keys: a key is at 0 or D, or it is an anchor "
                "exactly x "
                "above an outsider of the other end: anchors at x over outsiders at 0, or outsiders at D - x under "
                "anchors at D",
            ),
            ProofStep(
                "The entropy of such a row, weights over e^D",
                residual=(
                    THREE_LEVEL - (log(_weight) - (_mid * (level - D) * exp(level - D) - _low_ * D * exp(-D)) / _weight)
                ).expand(),
            ),
            ProofStep(
                "With all else fixed, moving j keys from one level to another gives ln Z - a/Z - b with Z linear in "
                "j: its slope has the sign of Z + a, so the least j is an end or next to Z = -a",
                residual=diff(log(_z) - k / _z, _z) - (_z + k) / _z**2,
            ),
        ),
        source=f"{ABSTRACT}, claim C4; derived here",
        needs=("entropy_floor",),
        attained=True,
        why_not_formal="The extreme rays of the cone of margin and range are argued in words only; the exact "
        "floor of the range alone, `entropy_floor`, is formal.",
    ),
    Theorem(
        key="specht_floor",
        needs=("entropy_floor",),
        claims=("C4",),
        title="Specht's entropy floor",
        statement="Entropy is at least ln n - (c - 1 - ln c), c = D/(1 - e^-D): never above the exact floor.",
        quantity="entropy_nats",
        relation=Relation.AT_LEAST,
        formula=SPECHT,
        trivial=S.Zero,
        hypotheses=(VALID, FINITE_RANGE),
        bound=lambda rows: calculators.specht_floor(**_arguments(rows)),
        rounding=softmax_rounding,
        proof=(
            *_EXTREME,
            ProofStep("At z = c, the least over real k", residual=(log(n) + log(c) - c * (1 - 1 / c)) - SPECHT),
        ),
        source=f"{ABSTRACT}, claim C4; derived here, by Specht's ratio",
        tolerance=lambda rows: softmax_rounding(rows) * np.log(rows["n_keys"]),  # the floor is a difference from ln n
        enclosures=(
            Statement(
                "ln w + 1/w - 1 >= 0 at w = z/c, to 1e-9: Specht is never above the exact floor",
                0,
                log(z) + 1 / z - 1 + LITTLE,
                {z: (1e-3, 1e3)},
                (z,),
            ),
        ),
    ),
)
