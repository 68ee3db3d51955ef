"""The dial at inference (claims C1, C2, C6), what a fidelity needs, and how zero cross blocks concentrate (claim C3).

weights outside the block times 1 - dial = e^-kappa:   eps/(1-eps) is multiplied by e^-kappa, exactly, in every row
worst leakage over rows of range D: odds ((n-m)/m) e^D, so kappa >= D + ln((n-m) F / (m (1-F)))
cross blocks zero, anchors of logit >= a: margin >= a, hence F >= r / (r + (n-m) e^(-a/tau))
"""

# sympy does not type its operators.
# pyright: reportOperatorIssue=false

from __future__ import annotations

import numpy as np
from sympy import exp, log
from sympy.codegen.cfunctions import expm1, log1p

import bounds.concentration as concentration
from bounds.closed_forms import dial as closed_forms
from bounds.theorems.concentration import FIDELITY, LEAKAGE
from bounds.theorems.rows import (
    ABSTRACT,
    ULP,
    VALID,
    margin_arguments,
    scaled_range,
    softmax_rounding,
    two_levels,
)
from bounds.theorems.symbols import D, F, F_goal, anchor_logit, dial, eps, eps_goal, kappa, m, n, r, tau, x
from bounds.theorems.theorem import Hypothesis, ProofStep, Relation, Rows, Theorem

# --- expressions, as one would write them down -----------------------------------------------------------------------
DIALLED = eps * exp(-kappa) / (1 - eps + eps * exp(-kappa))
NEEDED = log(eps / (1 - eps)) - log((1 - F_goal) / F_goal)
WORST = D + log((n - m) * F_goal / (m * (1 - F_goal)))
ANCHOR_FLOOR = FIDELITY.subs(x, anchor_logit / tau)

# --- the same, in forms that stay accurate: F = 1 - eps and eps_goal = 1 - F_goal are arguments of their own -----
FORMS = {
    "dial_leakage": ((eps, F, dial), eps * (1 - dial) / (F + eps * (1 - dial))),
    "kappa_leakage": ((eps, F, kappa), eps * exp(-kappa) / (F + eps * exp(-kappa))),
    "kappa_needed": ((eps, F, F_goal, eps_goal), log(eps) - log(F) + log(F_goal) - log(eps_goal)),
    "kappa_of_dial": ((dial,), -log1p(-dial)),
    "dial_of_kappa": ((kappa,), -expm1(-kappa)),
    "kappa_bias": ((kappa, tau), -tau * kappa),
    "dial_bias": ((dial, tau), tau * log1p(-dial)),
    "scaled_margin": ((F_goal, eps_goal, n, m, r), log((n - m) * F_goal / (r * eps_goal))),
    "anchors_needed": ((x, F_goal, eps_goal, n, m), (n - m) * (F_goal / eps_goal) * exp(-x)),
    "outsiders_allowed": ((x, F_goal, eps_goal, r), r * (eps_goal / F_goal) * exp(x)),
}


def _form(name: str):
    return FORMS[name][1].subs({F: 1 - eps, eps_goal: 1 - F_goal})


# --- what the data must satisfy --------------------------------------------------------------------------------------
INSIDE = Hypothesis("the block holds some of the attention, leakage < 1", lambda rows: rows["fidelity"] > 0)
LOCALIST = Hypothesis(
    "every token that enters this layer holds features in its own block only",
    lambda rows: np.asarray(rows.get("localist", False), dtype=bool),
)
ANCHORED = Hypothesis(
    "the block has anchors whose logit for its own queries is at least the anchor logit",
    lambda rows: np.isfinite(rows.get("anchor_logit", np.nan)),
)
NO_CROSS = Hypothesis(
    "every cross block of the query's block is exactly zero in this layer and head",
    lambda rows: np.asarray(rows.get("active_cross_blocks", np.nan)) == 0,
)


def _odds_bound(rows: Rows) -> np.ndarray:
    """The form itself, since a row has its fidelity to relative accuracy and 1 - leakage would lose it near 1."""
    ok = INSIDE.holds(rows)
    return closed_forms.dial_leakage(
        np.where(ok, rows["leakage"], 0.0), np.where(ok, rows["fidelity"], 1.0), rows["dial"]
    )


def _odds_rounding(rows: Rows) -> np.ndarray:
    """That of the softmax, plus kappa ulp: the bias is added to the logits; a float64 dial below 1 has kappa < 37."""
    kappa_of_dial = np.minimum(-np.log1p(-np.minimum(rows["dial"], 1 - ULP)), 37.0)
    return softmax_rounding(rows) + 4 * ULP * (kappa_of_dial + np.maximum(scaled_range(rows), 0))


def _anchor_bound(rows: Rows) -> np.ndarray:
    logit = np.asarray(rows.get("anchor_logit", np.nan), dtype=float)
    floor = concentration.fidelity_floor(
        **{**margin_arguments(rows), "margin": np.where(np.isfinite(logit), logit, 0.0)}
    )
    return np.where(np.isfinite(logit), floor, np.nan)


_second = kappa.func("kappa_2", nonnegative=True)
_worst_leakage = LEAKAGE.subs({x: -D, r: m})

THEOREMS: tuple[Theorem, ...] = (
    Theorem(
        key="odds_law",
        claims=("C1", "C2", "C6"),
        title="Odds law of the dial",
        statement="Dialling multiplies the odds leakage/fidelity of every row by exactly 1 - dial = e^-kappa, given "
        "that layer's input.",
        quantity="leakage_dialled",
        relation=Relation.EQUAL,
        expression=DIALLED,
        hypotheses=(VALID, INSIDE),
        bound=_odds_bound,
        rounding=_odds_rounding,
        proof=(
            ProofStep("Weights outside times e^-kappa, weights inside as they were: masses (1-eps) and eps e^-kappa"),
            ProofStep(
                "The odds after are the odds before times e^-kappa",
                residual=DIALLED / (1 - DIALLED) - exp(-kappa) * eps / (1 - eps),
            ),
            ProofStep(
                "Dials compose: kappa adds",
                residual=DIALLED.subs(eps, DIALLED.subs(kappa, _second)) - DIALLED.subs(kappa, kappa + _second),
            ),
            ProofStep(
                "kappa = -ln(1 - dial) gives the printed form",
                residual=_form("dial_leakage") - DIALLED.subs(exp(-kappa), 1 - dial),
            ),
            ProofStep("and so does kappa itself", residual=_form("kappa_leakage") - DIALLED),
            ProofStep("The least kappa meets the target exactly", residual=DIALLED.subs(kappa, NEEDED) - (1 - F_goal)),
            ProofStep("and is the printed form", residual=exp(_form("kappa_needed")) - exp(NEEDED)),
            ProofStep(
                "Worst case over rows of range D: leakage at x = -D with the whole block low, met by kappa = D + ln a",
                residual=DIALLED.subs({eps: _worst_leakage, kappa: WORST}) - (1 - F_goal),
            ),
            ProofStep(
                "dialling by kappa moves the margin of that row up by kappa",
                residual=DIALLED.subs(eps, _worst_leakage) - LEAKAGE.subs({x: kappa - D, r: m}),
            ),
        ),
        source=f"{ABSTRACT}, claims C1, C2 and C6; derived here",
        witness=two_levels,
    ),
    Theorem(
        key="anchor_floor",
        claims=("C3", "C5"),
        title="Fidelity floor from zero cross blocks and anchors",
        statement="With localist tokens, all cross blocks of the query's block zero and r anchors of logit at least a "
        "for their own queries, fidelity is at least r / (r + (n-m)e^(-a/tau)). Without anchors nothing follows.",
        quantity="fidelity",
        relation=Relation.AT_LEAST,
        expression=ANCHOR_FLOOR,
        hypotheses=(VALID, LOCALIST, ANCHORED, NO_CROSS),
        bound=_anchor_bound,
        rounding=softmax_rounding,
        proof=(
            ProofStep(
                "A query of block b and a key of block c hold features in one block each, so the logit is x_i W_bc x_j "
                "and vanishes with W_bc: every key outside, other blocks' anchors included, has logit 0"
            ),
            ProofStep("r anchors have logit at least a: the margin is at least a, whatever the other block keys do"),
            ProofStep(
                "The fidelity floor at x = a/tau; it rises with x, so a larger margin only helps",
                relation=(FIDELITY.diff(x) * (r + (n - m) * exp(-x)) ** 2 / (r * (n - m))).simplify() > 0,
            ),
            ProofStep(
                "At the margin ln a the floor is the target",
                residual=FIDELITY.subs(x, log((n - m) * F_goal / (r * (1 - F_goal)))) - F_goal,
            ),
            ProofStep(
                "which is the printed margin",
                residual=exp(_form("scaled_margin")) - (n - m) * F_goal / (r * (1 - F_goal)),
            ),
            ProofStep("read for the anchors", residual=FIDELITY.subs(r, _form("anchors_needed")) - F_goal),
            ProofStep("and for the keys outside", residual=FIDELITY.subs(n, m + _form("outsiders_allowed")) - F_goal),
        ),
        source=f"{ABSTRACT}, claims C3 and C5; derived here",
    ),
)
