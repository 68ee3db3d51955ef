"""Entropy: what a margin x = margin/temperature, or a leakage, leaves of it at most (claim C4).

    H <= ln((m-r) + A e^(x g)),   u = (n-m) e^-x,  A = r + u,  g = u/A      x >= 0, exact; ln n for x <= 0
    H <= h(eps) + (1-eps) ln m + eps ln(n-m)                                at a leakage eps

The first r of the m block keys are the anchors: each beats every key outside the block by the margin.
"""

# sympy does not type its operators.
# pyright: reportOperatorIssue=false

from __future__ import annotations

from typing import Any

import numpy as np
from sympy import Max, Min, Piecewise, S, Symbol, diff, exp, expand_log, log, together
from sympy.codegen.cfunctions import expm1, log1p

import bounds.entropy.calculators as calculators
from bounds.concentration.theorems import LEAKAGE, u, u0, x0
from bounds.entropy import closed_forms
from bounds.numbers.arguments import scaled
from bounds.theory.rows import ABSTRACT, VALID, entropy_maximiser, margin_arguments, softmax_rounding, two_levels
from bounds.theory.stable_forms import plain, same
from bounds.theory.symbols import F, c, eps, m, n, r, x, x_plus
from bounds.theory.theorem import Hypothesis, ProofStep, Relation, Rows, Theorem

# --- expressions, as one would write them down -----------------------------------------------------------------------
A = r + u
g = u / A
ENTROPY = log((m - r) + A * exp(x * g))
ENVELOPE = log(m - r + r * exp((n - m) * (1 + x) * exp(-x) / r))
q = r * exp(x) * eps / (n - m)  # the anchors' mass where the margin binds
f = 1 - eps - q  # and that of the free keys of the block
SPLIT = eps * log((n - m) / eps) + (1 - eps) * log(m / (1 - eps))
BINDING = eps * log((n - m) / eps) + q * log(r / q) + f * log((m - r) / f)
REPAIRED = log(m) + (n - m) / m * exp(-c * (1 + x)) / (1 - c)
FRONTIER = Piecewise((SPLIT, q / r <= (1 - eps) / m), (BINDING, True))

# --- the same, in forms that stay accurate and finite: F = 1 - eps is an argument of its own -------------------------
g0 = u0 / (r + u0)
no_more = Min(x0, 10**4)  # e^-x is 0 long before, and (n-m)(1+x) must not overflow
t0 = u0 * (1 + no_more) / r
HALF = S.Half
log_eps = Piecewise((log(eps), eps <= HALF), (log1p(-F), True))


def _spread(mass: Any, log_mass: Any, keys: Any) -> Any:
    """Entropy of a mass spread evenly over keys, 0 for no mass."""
    return Piecewise((mass * (log(keys) - log_mass), mass > 0), (S.Zero, True))


q0 = Symbol("q", nonnegative=True)  # the anchors' mass where the margin binds, from its own form
f0 = Max(F - q0, 0)
log_f = Piecewise((log1p(-(eps + q0)), eps + q0 <= HALF), (log(f0), True))
split = _spread(eps, log_eps, n - m) + _spread(F, Piecewise((log1p(-eps), eps <= HALF), (log(F), True)), m)
binding = _spread(eps, log_eps, n - m) + _spread(q0, log(q0), r) + _spread(f0, log_f, m - r)

FORMS = {
    "entropy_ceiling": ((x, n, m, r), log(m) + log1p((r * expm1(x0 * g0) + u0 * exp(x0 * g0)) / m)),
    "entropy_envelope": ((x, n, m, r), t0 + log(r + (m - r) * exp(-t0))),
    "repaired_envelope": ((x, n, m, c), log(m) + (n - m) / m * exp(-c * (1 + x0)) / (1 - c)),
    "entropy_split": ((eps, F, n, m), split),
    "binding_mass": (
        (eps, F, x, n, m, r),
        r / (n - m) * Piecewise((eps * exp(x), x <= 700), (exp(x + log_eps), True)),  # e^x overflows at 709
    ),
    "frontier": ((eps, F, q0, n, m, r), Piecewise((split, q0 * m <= F * r), (binding, True))),
}


def _masses(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """(leakage, fidelity) of the row, each to relative accuracy, cleared where the row does not apply."""
    ok = VALID.holds(rows) & np.isfinite(rows["leakage"])
    return np.where(ok, rows["leakage"], 0.5), np.where(ok, rows["fidelity"], 0.5)


def _exponent(rows: Rows) -> np.ndarray:
    """The exponent of the repaired envelope; rows that name none take one half."""
    return np.asarray(rows.get("envelope_exponent", 0.5), dtype=np.float64)


def _repaired_bound(rows: Rows) -> np.ndarray:
    row = margin_arguments(rows)
    keys = (row["n_keys"], row["n_block"])
    with np.errstate(all="ignore"):
        return closed_forms.repaired_envelope(scaled(row["margin"], row["temperature"]), *keys, _exponent(rows))


def _split_bound(rows: Rows) -> np.ndarray:
    keys = margin_arguments(rows)
    with np.errstate(all="ignore"):
        return closed_forms.entropy_split(*_masses(rows), keys["n_keys"], keys["n_block"])


def _frontier_bound(rows: Rows) -> np.ndarray:
    """The form itself: a leakage above its ceiling by rounding counts as at it, and beyond is that theorem's matter."""
    row = margin_arguments(rows)
    with np.errstate(all="ignore"):
        x_row = scaled(row["margin"], row["temperature"])
        keys = (row["n_keys"], row["n_block"], row["n_anchors"])
        masses = _masses(rows)
        return closed_forms.frontier(*masses, closed_forms.binding_mass(*masses, x_row, *keys), *keys)


def _free_mass_rounding(rows: Rows) -> np.ndarray:
    """The free mass f = F - q is a difference of rounded masses, off by d, and f ln(f/(m-r)) then by d ln((m-r)/d)."""
    d = softmax_rounding(rows)
    return d * (1 + np.log(np.maximum(rows["n_block"] - rows["n_anchors"], 1)) - np.log(d))


# --- proofs ----------------------------------------------------------------------------------------------------------
_v, _t, _s = Symbol("v", positive=True), Symbol("t", nonnegative=True), Symbol("s", nonnegative=True)


def _first(form: Any) -> Any:
    """The usual piece of every choice (positive masses, eps + q <= 1/2), every logarithm a sum."""
    return plain(form.subs(f0, F - q0).replace(Piecewise, lambda *pieces: pieces[0][0])).subs(q0, q)


def _sums(expression: Any) -> Any:
    return expand_log(expression, force=True)  # masses and counts are positive under the hypotheses


_total = r * exp(x) + (n - m) + (m - r) * exp(x * (1 - g))  # of the maximiser's weights

_GIBBS = (
    ProofStep(
        "Gibbs: H(a) <= ln sum v - sum a_j ln v_j for any positive weights v, equal where a is proportional to v",
        lemma="gibbs",
    ),
    ProofStep(
        "Take v = e^x on the anchors, 1 outside, e^(x(1-g)) on the free keys: the right side is the ceiling if "
        "P_anchors + (1-g) P_free >= 1 - g, that is eps / P_anchors <= g/(1-g)",
        residual=_total * exp(-x * (1 - g)) - exp(ENTROPY),
    ),
    ProofStep("and g/(1-g) = u/r", residual=g / (1 - g) - u / r),
    ProofStep(
        "while eps <= (n-m) max outside <= (n-m) e^-x min anchor <= (u/r) P_anchors: the margin itself",
        lemma="termwise",
    ),
    ProofStep(
        "For x <= 0 it is ln n, as for any row", residual=plain(FORMS["entropy_ceiling"][1]).subs(x, -x_plus) - log(n)
    ),
)
_MONOTONE = (
    ProofStep(
        "It falls in x: d/dx (ln A + x g) = -x g (1-g)",
        residual=diff(log(A) + x * g, x) + x * g * (1 - g),
    ),
    ProofStep(
        "in r: the derivative of (m-r) + A e^(xg) is -(1 - (1-t) e^t) at t = xg, which is at most 0",
        residual=diff(exp(ENTROPY), r) + 1 - (1 - x * g) * exp(x * g),
    ),
    ProofStep("since (1-t) e^t falls from 1", relation=-diff((1 - _t) * exp(_t), _t) >= 0),
    ProofStep(
        "It rises in n: d/du (ln A + x u/A) = 1/A + x r/A^2",
        residual=diff(log(r + _v) + x * _v / (r + _v), _v) - 1 / (r + _v) - x * r / (r + _v) ** 2,
    ),
    ProofStep(
        "and in m: the derivative is 1 - (1+s) e^-s at s = x(1-g), which is at least 0",
        residual=diff(exp(ENTROPY), m) - 1 + (1 + x * (1 - g)) * exp(-x * (1 - g)),
    ),
    ProofStep("since (1+s) e^-s falls from 1", relation=-diff((1 + _s) * exp(-_s), _s) >= 0),
)


def _row(**fields) -> Theorem:
    return Theorem(hypotheses=(VALID,), rounding=softmax_rounding, **fields)


THEOREMS: tuple[Theorem, ...] = (
    _row(
        key="entropy_ceiling",
        claims=("C4",),
        title="Entropy ceiling, the exact maximum",
        statement="Entropy is at most ln((m-r) + A e^(x g)), u = (n-m)e^-x, A = r + u, g = u/A, with max(x, 0) for x.",
        quantity="entropy_nats",
        relation=Relation.AT_MOST,
        expression=ENTROPY,
        bound=lambda rows: calculators.entropy_ceiling(**margin_arguments(rows)),
        proof=(*_GIBBS, *same(FORMS, "entropy_ceiling", ENTROPY)[:1], *_MONOTONE),
        source=f"{ABSTRACT}, claim C4; derived here",
        witness=entropy_maximiser,
    ),
    _row(
        key="entropy_envelope",
        needs=("entropy_ceiling",),
        claims=("C4",),
        title="Exponential envelope of the entropy",
        statement="Entropy is at most ln(m - r + r exp((n-m)(1+x)e^-x / r)), with max(x, 0) for x; for r = m this is "
        "ln m + ((n-m)/m)(1+x)e^-x.",
        quantity="entropy_nats",
        relation=Relation.AT_MOST,
        expression=ENVELOPE,
        bound=lambda rows: calculators.entropy_envelope(**margin_arguments(rows)),
        proof=(
            ProofStep(
                "In the exact maximum A e^(xg) = r exp(ln(1+v) + x v/(1+v)) at v = u/r", residual=A / r - 1 - u / r
            ),
            ProofStep("ln(1+v) <= v, both 0 at 0", relation=together(diff(_v - log(1 + _v), _v)) > 0),
            ProofStep("x v/(1+v) <= x v", relation=together(x_plus * _v - x_plus * _v / (1 + _v)) >= 0),
            ProofStep(
                "so the exponent is at most v(1+x)", residual=(u / r) * (1 + x) - (n - m) * (1 + x) * exp(-x) / r
            ),
            *same(FORMS, "entropy_envelope", ENVELOPE, {no_more: x0})[:1],
            ProofStep(
                "For r = m it is linear", residual=ENVELOPE.subs(r, m) - log(m) - (n - m) / m * (1 + x) * exp(-x)
            ),
        ),
        source=f"{ABSTRACT}, claim C4; derived here",
        witness=two_levels,
        witness_ratio=0.999,  # as (n-m) e^-x falls, at m = 1
    ),
    Theorem(
        key="repaired_envelope",
        claims=("C4",),
        title="The repaired exponential, with its best constant",
        statement="For r = m, x >= 0 and any 0 <= c < 1 the entropy is at most ln m + ((n-m)/m) (e^-c/(1-c)) e^(-c "
        "x); no "
        "smaller constant will do.",
        quantity="entropy_nats",
        relation=Relation.AT_MOST,
        expression=REPAIRED,
        hypotheses=(
            VALID,
            Hypothesis("the whole block is anchors", lambda rows: rows["n_anchors"] == rows["n_block"]),
            Hypothesis(
                "the margin is not negative",
                lambda rows: rows["margin"] >= 0,
                spare="at x <= 0 the form is that of x = 0, ln m + (n-m)/m e^-c/(1-c), which is at least ln n",
            ),
            Hypothesis("0 <= c < 1", lambda rows: (_exponent(rows) >= 0) & (_exponent(rows) < 1)),
        ),
        bound=_repaired_bound,
        rounding=softmax_rounding,
        proof=(
            ProofStep("The envelope: H <= ln m + ((n-m)/m)(1+x) e^-x", lemma="theorem"),
            ProofStep(
                "(1+x) e^(-(1-c)x) is stationary at x = c/(1-c)",
                residual=((1 + x) * exp(-(1 - c) * x)).diff(x).subs(x, c / (1 - c)),
            ),
            ProofStep(
                "where its slope goes from positive to negative: it is e^(-(1-c)x)(c - (1-c)x)",
                residual=((1 + x) * exp(-(1 - c) * x)).diff(x) - exp(-(1 - c) * x) * (c - (1 - c) * x),
            ),
            ProofStep(
                "and where it is e^-c/(1-c)",
                residual=((1 + x) * exp(-(1 - c) * x)).subs(x, c / (1 - c)) - exp(-c) / (1 - c),
            ),
            ProofStep(
                "The printed form equals it for x >= 0",
                residual=(FORMS["repaired_envelope"][1] - REPAIRED).subs(x, x_plus),
            ),
        ),
        source=f"{ABSTRACT}, claim C4; derived here",
        needs=("entropy_envelope",),
        attained=True,
    ),
    _row(
        key="entropy_split",
        claims=("C4",),
        title="Entropy from the leakage alone",
        statement="Entropy is at most h(eps) + (1-eps) ln m + eps ln(n-m), h the binary entropy.",
        quantity="entropy_nats",
        relation=Relation.AT_MOST,
        expression=SPLIT,
        bound=_split_bound,
        proof=(
            ProofStep(
                "H = h(eps) + (1-eps) H_in + eps H_out: the chain rule for the block indicator", lemma="chain rule"
            ),
            ProofStep("H_in <= ln m and H_out <= ln(n-m), with equality for even spreads", lemma="even spread"),
            ProofStep(
                "The sum is the expression",
                residual=(
                    -eps * log(eps) - (1 - eps) * log(1 - eps) + (1 - eps) * log(m) + eps * log(n - m) - SPLIT
                ).subs({eps: 1 / (1 + _v), n: m + _s}),
            ),
            ProofStep(
                "It rises in eps up to (n-m)/n: the derivative is ln((n-m)(1-eps)/(m eps))",
                residual=diff(SPLIT, eps) - log((n - m) / eps) + log(m / (1 - eps)),
            ),
        ),
        source=f"{ABSTRACT}, claim C4; derived here",
        witness=two_levels,
    ),
    _row(
        key="frontier",
        needs=("entropy_split",),
        claims=("C4", "C5"),
        title="Joint frontier of leakage and entropy",
        statement="Given leakage eps and margin x, with q = r e^x eps/(n-m): if q/r <= (1-eps)/m, the split; else "
        "H <= -eps ln(eps/(n-m)) - q ln(q/r) - f ln(f/(m-r)), f = 1 - eps - q.",
        quantity="entropy_nats",
        relation=Relation.AT_MOST,
        expression=FRONTIER,
        bound=_frontier_bound,
        proof=(
            ProofStep(
                "H is concave and the constraint is loosest where the mass outside is even: each outsider holds "
                "eps/(n-m), each anchor at least e^x times that, all anchors at least q",
                lemma="jensen",
            ),
            ProofStep(
                "If the even spread over the block gives the anchors that much, it is the maximum: the split",
                lemma="even spread",
            ),
            ProofStep(
                "else the anchors hold exactly q: the entropy falls in P > q, since d/dP [P ln(r/P) + (1-eps-P) "
                "ln((m-r)/(1-eps-P))] is the log of free over anchor share",
                residual=diff(_v * log(r / _v) + (1 - eps - _v) * log((m - r) / (1 - eps - _v)), _v)
                - (log(r / _v) - log((m - r) / (1 - eps - _v))),
            ),
            ProofStep("The two pieces join where q/r = f/(m-r) = (1-eps)/m", lemma="definition"),
            ProofStep("The printed pieces equal them: the first", residual=_sums(_first(split) - SPLIT)),
            ProofStep("and the second", residual=_sums(_first(binding) - BINDING)),
            ProofStep("f = 0 at the leakage ceiling: no row lies beyond", residual=f.subs(eps, LEAKAGE)),
        ),
        source=f"{ABSTRACT}, claims C4 and C5; derived here",
        witness=entropy_maximiser,
        tolerance=_free_mass_rounding,
    ),
)
