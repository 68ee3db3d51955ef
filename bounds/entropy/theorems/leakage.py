"""Entropy at a leakage eps, alone and with a margin x = margin/temperature (claims C4, C5).

    H <= h(eps) + (1-eps) ln m + eps ln(n-m),   and less where the margin binds: q = r e^x eps/(n-m) on the anchors

The first r of the m block keys are the anchors: each beats every key outside the block by the margin.
"""

# sympy has no types: what comes of its functions is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false, reportUnknownParameterType=false
# pyright: reportOperatorIssue=false

from __future__ import annotations

from typing import Any

import numpy as np
from sympy import Expr, Max, Piecewise, S, Symbol, diff, exp, expand_log, log
from sympy.codegen.cfunctions import log1p

from bounds.concentration.theorems import LEAKAGE
from bounds.entropy import closed_forms
from bounds.numbers.arguments import scaled
from bounds.theory.rows import ABSTRACT, VALID, entropy_maximiser, margin_arguments, softmax_rounding, two_levels
from bounds.theory.stable_forms import Forms, plain
from bounds.theory.symbols import F, eps, m, n, r, x
from bounds.theory.theorem import ProofStep, Relation, Rows, Theorem

# --- expressions, as one would write them down -----------------------------------------------------------------------
q: Expr = r * exp(x) * eps / (n - m)  # the anchors' mass where the margin binds
f: Expr = 1 - eps - q  # and that of the free keys of the block
SPLIT: Expr = eps * log((n - m) / eps) + (1 - eps) * log(m / (1 - eps))
BINDING: Expr = eps * log((n - m) / eps) + q * log(r / q) + f * log((m - r) / f)
FRONTIER: Expr = Piecewise((SPLIT, q / r <= (1 - eps) / m), (BINDING, True))

# --- the same, in forms that stay accurate and finite: F = 1 - eps is an argument of its own -------------------------
HALF: Expr = S.Half
log_eps: Expr = Piecewise((log(eps), eps <= HALF), (log1p(-F), True))


def _spread(mass: Any, log_mass: Any, keys: Any) -> Any:
    """Entropy of a mass spread evenly over keys, 0 for no mass."""
    return Piecewise((mass * (log(keys) - log_mass), mass > 0), (S.Zero, True))


q0: Expr = Symbol("q", nonnegative=True)  # the anchors' mass where the margin binds, from its own form
f0: Expr = Max(F - q0, 0)
log_f: Expr = Piecewise((log1p(-(eps + q0)), eps + q0 <= HALF), (log(f0), True))
split: Expr = _spread(eps, log_eps, n - m) + _spread(F, Piecewise((log1p(-eps), eps <= HALF), (log(F), True)), m)
binding: Expr = _spread(eps, log_eps, n - m) + _spread(q0, log(q0), r) + _spread(f0, log_f, m - r)

FORMS: Forms = {
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
_v, _s = Symbol("v", positive=True), Symbol("s", nonnegative=True)


def _first(form: Any) -> Any:
    """The usual piece of every choice (positive masses, eps + q <= 1/2), every logarithm a sum."""
    return plain(form.subs(f0, F - q0).replace(Piecewise, lambda *pieces: pieces[0][0])).subs(q0, q)


def _sums(expression: Any) -> Any:
    return expand_log(expression, force=True)  # masses and counts are positive under the hypotheses


THEOREMS: tuple[Theorem, ...] = (
    Theorem(
        key="entropy_split",
        claims=("C4",),
        title="Entropy from the leakage alone",
        statement="Entropy is at most h(eps) + (1-eps) ln m + eps ln(n-m), h the binary entropy.",
        quantity="entropy_nats",
        relation=Relation.AT_MOST,
        formula=SPLIT,
        trivial=log(n),
        hypotheses=(VALID,),
        bound=_split_bound,
        rounding=softmax_rounding,
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
    Theorem(
        key="frontier",
        needs=("entropy_split",),
        claims=("C4", "C5"),
        title="Joint frontier of leakage and entropy",
        statement="Given leakage eps and margin x, with q = r e^x eps/(n-m): if q/r <= (1-eps)/m, the split; else "
        "H <= -eps ln(eps/(n-m)) - q ln(q/r) - f ln(f/(m-r)), f = 1 - eps - q.",
        quantity="entropy_nats",
        relation=Relation.AT_MOST,
        formula=FRONTIER,
        trivial=log(n),
        hypotheses=(VALID,),
        bound=_frontier_bound,
        rounding=softmax_rounding,
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
