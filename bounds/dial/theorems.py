"""The dial at inference (claims C1, C2, C6), what a fidelity needs, and how zero cross blocks concentrate (claim C3).

weights outside the block times 1 - dial = e^-kappa:   eps/(1-eps) is multiplied by e^-kappa, exactly, in every row
worst leakage over rows of range D: odds ((n-m)/m) e^D, so kappa >= D + ln((n-m) F / (m (1-F)))
cross blocks zero, anchors of logit >= a: margin >= a, hence F >= r / (r + (n-m) e^(-a/tau))
"""

# sympy has no types: what comes of its functions is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false, reportUnknownParameterType=false
# pyright: reportOperatorIssue=false

from __future__ import annotations

import numpy as np
from sympy import Expr, Symbol, diff, exp, log
from sympy.codegen.cfunctions import expm1, log1p
from sympy.codegen.numpy_nodes import logaddexp

import bounds.concentration.calculators as concentration
from bounds.concentration import closed_forms as concentration_forms
from bounds.concentration.theorems import FIDELITY, LEAKAGE
from bounds.concentration.theorems import FORMS as CONCENTRATION_FORMS
from bounds.dial import closed_forms
from bounds.theory.reading import FalseReading
from bounds.theory.rows import (
    ABSTRACT,
    FINITE_RANGE,
    ULP,
    VALID,
    margin_arguments,
    range_argument,
    scaled_range,
    softmax_rounding,
    two_levels,
)
from bounds.theory.stable_forms import Forms
from bounds.theory.symbols import D, F, F_goal, H_in, H_out, anchor_logit, dial, eps, eps_goal, kappa, m, n, r, tau, x
from bounds.theory.theorem import Hypothesis, Level, ProofStep, Relation, Rows, Theorem

# --- expressions, as one would write them down -----------------------------------------------------------------------
DIALLED: Expr = eps * exp(-kappa) / (1 - eps + eps * exp(-kappa))
NEEDED: Expr = log(eps / (1 - eps)) - log((1 - F_goal) / F_goal)
PEAK_LEAKAGE: Expr = exp(H_out) / (exp(H_in) + exp(H_out))
PEAK_ENTROPY: Expr = log(exp(H_in) + exp(H_out))
WORST: Expr = D + log((n - m) * F_goal / (m * (1 - F_goal)))
ANCHOR_FLOOR: Expr = FIDELITY.subs(x, anchor_logit / tau)

# --- the same, in forms that stay accurate: F = 1 - eps and eps_goal = 1 - F_goal are arguments of their own -----
FORMS: Forms = {
    "dial_leakage": ((eps, F, dial), eps * (1 - dial) / (F + eps * (1 - dial))),
    "kappa_leakage": ((eps, F, kappa), eps * exp(-kappa) / (F + eps * exp(-kappa))),
    "kappa_needed": ((eps, F, F_goal, eps_goal), log(eps) - log(F) + log(F_goal) - log(eps_goal)),
    "kappa_of_dial": ((dial,), -log1p(-dial)),
    "dial_of_kappa": ((kappa,), -expm1(-kappa)),
    "kappa_bias": ((kappa, tau), -tau * kappa),
    "peak_leakage": ((H_in, H_out), 1 / (1 + exp(H_in - H_out))),
    "peak_entropy": ((H_in, H_out), logaddexp(H_in, H_out)),
    "dial_bias": ((dial, tau), tau * log1p(-dial)),
}


def _form(name: str):
    return FORMS[name][1].subs({F: 1 - eps, eps_goal: 1 - F_goal})


def _needed(name: str):
    return CONCENTRATION_FORMS[name][1].subs(eps_goal, 1 - F_goal)


# --- what the data must satisfy --------------------------------------------------------------------------------------
INSIDE = Hypothesis(
    "the block holds some of the attention, leakage < 1",
    lambda rows: rows["fidelity"] > 0,
    spare="with nothing inside, the leakage is 1 at every dial below 1, and at 1 the row is not defined",
)
LOCALIST = Hypothesis(
    "every token that enters this layer holds features in its own block only",
    lambda rows: np.asarray(rows.get("localist", False), dtype=bool),
)
ANCHORED = Hypothesis(
    "the block has anchors whose logit for its own queries is at least the anchor logit",
    lambda rows: (
        np.isfinite(rows.get("anchor_logit", np.nan))
        & ~(rows.get("least_anchor", np.inf) < np.asarray(rows.get("anchor_logit", np.nan)))
    ),
)
NO_CROSS = Hypothesis(
    "every cross block of the query's block is exactly zero in this layer and head",
    lambda rows: np.asarray(rows.get("active_cross_blocks", np.nan)) == 0,
)


def _odds_bound(rows: Rows) -> np.ndarray:
    """The form itself, since a row has its fidelity to relative accuracy and 1 - leakage would lose it near 1."""
    ok = INSIDE.holds(rows)
    leakage, fidelity = np.where(ok, rows["leakage"], 0.0), np.where(ok, rows["fidelity"], 1.0)
    if "kappa" in rows:
        return closed_forms.kappa_leakage(leakage, fidelity, rows["kappa"])
    return closed_forms.dial_leakage(leakage, fidelity, rows["dial"])


def _kappa(rows: Rows) -> np.ndarray:
    """What the dial took off the logits outside; a kernel that rounds it says so itself."""
    return rows["kappa"] if "kappa" in rows else closed_forms.kappa_of_dial(np.minimum(rows["dial"], 1.0))


def _odds_rounding(rows: Rows) -> np.ndarray:
    """That of the softmax, plus kappa ulp: the bias is added to the logits; a float64 dial below 1 has kappa < 37."""
    with np.errstate(divide="ignore"):
        kappa_row = np.minimum(_kappa(rows), 37.0)
    return softmax_rounding(rows) + 4 * ULP * (kappa_row + np.maximum(scaled_range(rows), 0))


def _anchor_bound(rows: Rows) -> np.ndarray:
    logit = np.asarray(rows.get("anchor_logit", np.nan), dtype=float)
    arguments = margin_arguments(rows)
    arguments["margin"] = np.where(np.isfinite(logit), logit, 0.0)
    floor = concentration.fidelity_floor(**arguments)
    return np.where(np.isfinite(logit), floor, np.nan)


def _worst_bound(rows: Rows) -> np.ndarray:
    """The leakage ceiling at the margin kappa - D, the whole block as anchors."""
    keys = margin_arguments(rows)
    with np.errstate(all="ignore"):
        x_row = _kappa(rows) - range_argument(rows) / rows["temperature"]
        return concentration_forms.leakage_ceiling(x_row, keys["n_keys"], keys["n_block"], keys["n_block"])


_mixed = -eps * log(eps) - (1 - eps) * log(1 - eps) + (1 - eps) * H_in + eps * H_out
_sum = Symbol("Z", positive=True)  # e^H_in + e^H_out
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
        formula=DIALLED,
        trivial=eps,
        hypotheses=(VALID, INSIDE),
        bound=_odds_bound,
        rounding=_odds_rounding,
        proof=(
            ProofStep(
                "Weights outside times e^-kappa, weights inside as they were: masses (1-eps) and eps e^-kappa",
                lemma="definition",
            ),
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
        key="worst_case_dial",
        claims=("C1", "C2"),
        title="What the dial guarantees in every row of a range",
        statement="Dialled by kappa = -ln(1 - dial), a row of range D leaks at most (n-m)/((n-m) + m e^(kappa - "
        "D)): so "
        "kappa >= D + ln((n-m) F/(m (1-F))) guarantees the fidelity F.",
        quantity="leakage_dialled",
        relation=Relation.AT_MOST,
        formula=LEAKAGE.subs({x: kappa - D, r: m}),
        trivial=1 - m / n,
        hypotheses=(VALID, FINITE_RANGE),
        bound=_worst_bound,
        rounding=_odds_rounding,
        proof=(
            ProofStep("A row of range D has a margin of -D at least, the whole block as anchors", lemma="definition"),
            ProofStep(
                "Its leakage is at most the ceiling there, and the odds law moves that by kappa",
                residual=DIALLED.subs(eps, LEAKAGE.subs({x: -D, r: m})) - LEAKAGE.subs({x: kappa - D, r: m}),
            ),
        ),
        source=f"{ABSTRACT}, claims C1 and C2; derived here",
        needs=("leakage_ceiling", "odds_law"),
        attained=True,
    ),
    Theorem(
        key="entropy_along_dial",
        claims=("C1", "C14"),
        title="The largest entropy along the dial",
        statement="H_in and H_out stay as they are along the dial, and entropy is at most ln(e^H_in + e^H_out) on "
        "the way.",
        quantity="entropy_dialled",
        relation=Relation.AT_MOST,
        formula=PEAK_ENTROPY,
        trivial="the bound is itself the largest entropy of the distributions that the dial leaves alone",
        hypotheses=(
            Hypothesis(
                "the dial leaves the distributions inside and outside alone", lambda rows: rows["reshaped"] == 0
            ),
        ),
        bound=lambda rows: closed_forms.peak_entropy(rows["entropy_inside"], rows["entropy_outside"]),
        rounding=lambda rows: np.asarray(512 * ULP),
        proof=(
            ProofStep("H = h(eps) + (1-eps) H_in + eps H_out", lemma="chain rule"),
            ProofStep(
                "its slope in eps is ln((1-eps)/eps) + H_out - H_in",
                residual=diff(_mixed, eps) - (log(1 - eps) - log(eps) + H_out - H_in),
            ),
            ProofStep(
                "0 where the odds of the leakage are e^(H_out - H_in)",
                residual=PEAK_LEAKAGE / (1 - PEAK_LEAKAGE) - exp(H_out - H_in),
            ),
            ProofStep(
                "where H is the bound",
                residual=(
                    _mixed.subs(eps, exp(H_out) / _sum)
                    .subs(1 - exp(H_out) / _sum, exp(H_in) / _sum)
                    .expand(log=True, force=True)
                    - log(_sum)
                ).subs(_sum, exp(H_in) + exp(H_out)),
            ),
        ),
        source=f"{ABSTRACT}, claim C1, and arXiv:2511.03559, abstract, claim C14; derived here",
        level=Level.LOGITS,
        attained=True,
    ),
    Theorem(
        key="entropy_turning_point",
        claims=("C1", "C14"),
        title="When more dial means less entropy",
        statement="Entropy rises along the dial until the leakage is e^H_out/(e^H_in + e^H_out) and falls after: it "
        "falls "
        "throughout iff the leakage at dial 0 is at most that.",
        quantity="leakage_at_peak",
        relation=Relation.EQUAL,
        formula=PEAK_LEAKAGE,
        trivial="where a maximum lies is not known without it",
        hypotheses=(
            Hypothesis(
                "the dial leaves the distributions inside and outside alone", lambda rows: rows["reshaped"] == 0
            ),
        ),
        bound=lambda rows: closed_forms.peak_leakage(rows["entropy_inside"], rows["entropy_outside"]),
        rounding=lambda rows: np.asarray(1e-6),  # the maximum of a smooth curve is located to the root of its rounding
        proof=(
            ProofStep(
                "its slope in eps is ln((1-eps)/eps) + H_out - H_in, which falls in eps",
                residual=diff(_mixed, eps, 2).simplify() + 1 / (eps * (1 - eps)),
            ),
            ProofStep("and is 0 there", residual=PEAK_LEAKAGE / (1 - PEAK_LEAKAGE) - exp(H_out - H_in)),
        ),
        source=f"{ABSTRACT}, claim C1, and arXiv:2511.03559, abstract, claim C14; derived here",
        level=Level.LOGITS,
        needs=("odds_law",),
        attained=True,
    ),
    Theorem(
        key="anchor_floor",
        needs=("fidelity_floor",),
        claims=("C3", "C5"),
        title="Fidelity floor from zero cross blocks and anchors",
        statement="With localist tokens, all cross blocks of the query's block zero and r anchors of logit at least a "
        "for their own queries, fidelity is at least r / (r + (n-m)e^(-a/tau)). Without anchors nothing follows.",
        quantity="fidelity",
        relation=Relation.AT_LEAST,
        formula=ANCHOR_FLOOR,
        trivial=m / n,
        hypotheses=(VALID, LOCALIST, ANCHORED, NO_CROSS),
        bound=_anchor_bound,
        rounding=softmax_rounding,
        proof=(
            ProofStep(
                "A query of block b and a key of block c hold features in one block each, so the logit is x_i W_bc x_j "
                "and vanishes with W_bc: every key outside, other blocks' anchors included, has logit 0",
                lemma="definition",
            ),
            ProofStep(
                "r anchors have logit at least a: the margin is at least a, whatever the other block keys do",
                lemma="definition",
            ),
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
                residual=exp(_needed("scaled_margin")) - (n - m) * F_goal / (r * (1 - F_goal)),
            ),
            ProofStep("read for the anchors", residual=FIDELITY.subs(r, _needed("anchors_needed")) - F_goal),
            ProofStep("and for the keys outside", residual=FIDELITY.subs(n, m + _needed("outsiders_allowed")) - F_goal),
        ),
        source=f"{ABSTRACT}, claims C3 and C5; derived here",
    ),
)

FALSE_READINGS = (
    FalseReading(
        "C3",
        "without anchors",
        "A large enough penalty alone concentrates attention on the relevant block.",
        "With every cross block zero the logits outside are 0, not minus infinity: with own logits 0 too, fidelity is "
        "m/n, and tends to 0 as n grows.",
        "Anchors of logit a for their own block's queries give a margin, and fidelity at least "
        "r/(r + (n-m)e^(-a/tau)): theorem `anchor_floor`.",
    ),
    FalseReading(
        "C14",
        "more dial, less entropy",
        "Turning the dial up lowers the entropy of every row.",
        "A row with one key inside, of mass 0.01, and one outside, of mass 0.99: entropy rises from 0.056 to ln 2 "
        "nats on the way and falls to 0 only after.",
        "It falls throughout iff the leakage at dial 0 is at most e^H_out/(e^H_in + e^H_out): theorem "
        "`entropy_turning_point`.",
    ),
)
