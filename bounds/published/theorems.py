"""Published bounds, on the same inputs as ours: sigma-Reparam, dispersion, scalable softmax, Hopfield retrieval.

H >= ln(1 + (T-1) b) + s sqrt(T(T-1)) b/(1 + (T-1) b),  b = e^(-s sqrt(T/(T-1)))      (Zhai et al. 2023, Thm 3.1)
1/(1 + (n-1) e^D) <= a_j <= 1/(1 + (n-1) e^-D)                                        (exact; order: Velickovic 2024)
||retrieved - x_i|| <= 2 M (N-1) e^(-beta (Delta - 2 M d))                            (Ramsauer et al. 2021, Thm 5)
and ours from the margin: 2 M u/(1+u), u = (N-1) e^(-beta (Delta - 2 M d))
"""

# sympy has no types: what comes of its functions is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false, reportUnknownParameterType=false
# pyright: reportOperatorIssue=false

from __future__ import annotations

import numpy as np
from sympy import Expr, S, Symbol, diff, exp, factor, log, sqrt
from sympy.codegen.cfunctions import log1p

from bounds.concentration.theorems import FIDELITY, LEAKAGE
from bounds.published import closed_forms
from bounds.theory.boxes import Y
from bounds.theory.rows import ABSTRACT, ULP
from bounds.theory.stable_forms import Forms
from bounds.theory.statement import Statement
from bounds.theory.symbols import D, Delta, K, M, beta, distance, m, margin, n, r, scale, spread, x, y
from bounds.theory.theorem import Hypothesis, Level, ProofStep, Relation, Rows, Theorem

DERIVED = f"{ABSTRACT}, claims C4 and C5; derived here"

_b = exp(-spread * sqrt(n / (n - 1)))
SIGMA: Expr = log(1 + (n - 1) * _b) + spread * sqrt(n * (n - 1)) * _b / (1 + (n - 1) * _b)
MOST: Expr = 1 / (1 + (n - 1) * exp(-D))
LEAST: Expr = 1 / (1 + (n - 1) * exp(D))
u: Expr = (K - 1) * exp(-beta * (Delta - 2 * M * distance))
HOPFIELD: Expr = 2 * M * u
RETRIEVAL: Expr = 2 * M * u / (1 + u)
SCALABLE = r / (r + (n - m) * n ** (-scale * margin))

FORMS: Forms = {
    "sigma_reparam_floor": (
        (spread, n),
        log1p((n - 1) * _b) + spread * sqrt(n * (n - 1)) * _b / (1 + (n - 1) * _b),
    ),
    "most_attention": ((D, n), MOST),
    "least_attention": ((D, n), LEAST),
    "hopfield_error": ((K, beta, Delta, M, distance), HOPFIELD),
    "retrieval_error": ((K, beta, Delta, M, distance), RETRIEVAL),
    "scalable_softmax_floor": ((margin, n, m, r, scale), SCALABLE),
}


def _rounding(rows: Rows) -> np.ndarray:
    """Like a softmax row: some ulp times the largest exponent."""
    reach = sum(np.abs(np.asarray(rows.get(name, 0.0))) for name in ("logit_range", "logit_norm", "exponent"))
    return np.asarray(ULP * (256 + 16 * reach))


_RANGE = Hypothesis("the logits over tau span at most D", lambda rows: rows["observed_range"] <= rows["logit_range"])
_NORM = Hypothesis(
    "the centred logits over tau have norm s at most",
    lambda rows: rows["observed_norm"] <= rows["logit_norm"] * (1 + 4 * ULP),
)
_SEPARATED = Hypothesis(
    "the pattern is separated: <x_i, x_i> - <x_i, x_j> >= Delta for every other j",
    lambda rows: rows["observed_separation"] >= rows["separation"],
)
_BALL = Hypothesis("no pattern is longer than M", lambda rows: rows["observed_radius"] <= rows["radius"])
_NEAR = Hypothesis(
    "the state is within d of the pattern", lambda rows: rows["observed_distance"] <= rows["distance"] + 8 * ULP
)
_z, _w = Symbol("z", positive=True), Symbol("W", positive=True)


def _hopfield(rows: Rows) -> tuple[np.ndarray, ...]:
    return tuple(np.asarray(rows[name]) for name in ("patterns", "beta", "separation", "radius", "distance"))


_RETRIEVAL = (
    ProofStep("<x_i - x_j, state> >= Delta - ||x_i - x_j|| d >= Delta - 2 M d: a margin", lemma="cauchy-schwarz"),
    ProofStep(
        "Mass on the other patterns is at most u/(1+u), the leakage ceiling with m = r = 1",
        residual=factor(LEAKAGE.subs({n: K, m: 1, r: 1}) - (_z / (1 + _z)).subs(_z, (K - 1) * exp(-x))),
    ),
    ProofStep("each of them is at most 2 M from x_i", lemma="triangle"),
)

THEOREMS: tuple[Theorem, ...] = (
    Theorem(
        key="sigma_reparam_floor",
        claims=("C4",),
        title="Entropy floor from the norm of the logits (published)",
        statement="Entropy is at least ln(1 + (T-1) b) + s sqrt(T(T-1)) b/(1 + (T-1) b), b = e^(-s sqrt(T/(T-1))), "
        "s the "
        "norm of the centred logits over tau, T >= 2 keys; attained by a positive centred one-hot.",
        quantity="entropy_nats",
        relation=Relation.AT_LEAST,
        formula=SIGMA,
        trivial=S.Zero,
        hypotheses=(_NORM,),
        bound=lambda rows: closed_forms.sigma_reparam_floor(rows["logit_norm"], rows["n_keys"]),
        rounding=_rounding,
        proof=(
            ProofStep("The least entropy over centred logits of norm s is at a positive centred one-hot", lemma="zhai"),
            ProofStep(
                "whose logit gap is s sqrt(T/(T-1)): centred, one at s sqrt((T-1)/T), the others at -s/sqrt(T(T-1))",
                residual=(sqrt((n - 1) / n) + 1 / sqrt(n * (n - 1)) - sqrt(n / (n - 1))).subs(n, 1 + _z).simplify(),
            ),
            ProofStep(
                "and whose entropy is the bound",
                residual=(
                    log(1 + (n - 1) * _w)
                    - log(_w) * sqrt((n - 1) / n) * sqrt(n * (n - 1)) * _w / (1 + (n - 1) * _w)
                    - log(1 + (n - 1) * _w)
                    + log(_w) * (n - 1) * _w / (1 + (n - 1) * _w)
                )
                .subs(n, 1 + _z)
                .simplify(),
            ),
        ),
        source="Zhai et al. 2023 (arXiv:2303.06296), Thm 3.1; its place beside C4 of the abstract derived here",
        level=Level.LOGITS,
        attained=True,
        why_not_formal="It is a published theorem, which the ledger takes from its paper too.",
    ),
    Theorem(
        key="dispersion_ceiling",
        claims=("C5",),
        title="No key gets more than the range allows",
        statement="Every attention weight is at most 1/(1 + (n-1) e^-D): bounded range disperses as n grows.",
        quantity="most_attention",
        relation=Relation.AT_MOST,
        formula=MOST,
        trivial=S.One,
        hypotheses=(_RANGE,),
        bound=lambda rows: closed_forms.most_attention(rows["logit_range"], rows["n_keys"]),
        rounding=_rounding,
        proof=(
            ProofStep("The other n - 1 weigh at least e^-D of the largest", lemma="termwise"),
            ProofStep(
                "It is the fidelity ceiling of one key",
                residual=factor(MOST - (m / (m + (n - m) * exp(-D))).subs(m, 1)),
            ),
        ),
        source=f"{DERIVED}; the order is Velickovic et al. 2024 (arXiv:2410.01104)",
        level=Level.LOGITS,
        needs=("fidelity_ceiling",),
        attained=True,
    ),
    Theorem(
        key="dispersion_floor",
        claims=("C5",),
        title="No key gets less than the range allows",
        statement="Every attention weight is at least 1/(1 + (n-1) e^D).",
        quantity="least_attention",
        relation=Relation.AT_LEAST,
        formula=LEAST,
        trivial=S.Zero,
        hypotheses=(_RANGE,),
        bound=lambda rows: closed_forms.least_attention(rows["logit_range"], rows["n_keys"]),
        rounding=_rounding,
        proof=(
            ProofStep("The other n - 1 weigh at most e^D of the smallest", lemma="termwise"),
            ProofStep("It falls with the range", relation=(factor(-diff(LEAST.subs(n, 1 + _z), D)) > 0)),
        ),
        source=f"{DERIVED}; the order is Velickovic et al. 2024 (arXiv:2410.01104)",
        level=Level.LOGITS,
        attained=True,
    ),
    Theorem(
        key="scalable_softmax_floor",
        claims=("C5",),
        title="Scalable softmax keeps a guarantee at any context",
        statement="With logits times s ln n the fidelity is at least r/(r + (n-m) n^(-s delta)): bounded away from "
        "0 for "
        "every n iff s delta >= 1.",
        quantity="fidelity",
        relation=Relation.AT_LEAST,
        formula=SCALABLE,
        trivial=m / n,
        hypotheses=(
            Hypothesis(
                "every anchor beats every outsider by delta", lambda rows: rows["observed_margin"] >= rows["margin"]
            ),
        ),
        bound=lambda rows: closed_forms.scalable_softmax_floor(
            rows["margin"], rows["n_keys"], rows["n_block"], rows["n_anchors"], rows["scale"]
        ),
        rounding=_rounding,
        proof=(
            ProofStep(
                "The fidelity floor at x = s delta ln n",
                residual=(SCALABLE - FIDELITY.subs(x, scale * margin * log(n))).rewrite(exp).simplify(),
            ),
            ProofStep("(n-m) n^(-s delta) stays bounded iff s delta >= 1", lemma="definition"),
        ),
        source="the scaling is Nakanishi 2025 (arXiv:2501.19399); the bound is claim C5 of the abstract, derived here",
        level=Level.LOGITS,
        needs=("fidelity_floor",),
        attained=True,
    ),
    Theorem(
        key="hopfield_error",
        claims=("C6",),
        title="Hopfield retrieval error (published)",
        statement="One retrieval step from a state within d of a pattern separated by Delta errs by at most "
        "2 M (N-1) e^(-beta (Delta - 2 M d)).",
        quantity="retrieval_error",
        relation=Relation.AT_MOST,
        formula=HOPFIELD,
        trivial=2 * M,
        hypotheses=(_SEPARATED, _BALL, _NEAR),
        bound=lambda rows: closed_forms.hopfield_error(*_hopfield(rows)),
        rounding=_rounding,
        proof=(
            ProofStep("The published statement, d the larger of two distances", lemma="ramsauer"),
            ProofStep("and it follows from ours: u/(1+u) <= u", relation=(factor(_z - _z / (1 + _z)) > 0)),
        ),
        source="Ramsauer et al. 2021 (arXiv:2008.02217), Thm 5; its place beside C6 of the abstract derived here",
        level=Level.PATTERNS,
        tolerance=lambda rows: 256 * ULP * rows["radius"],
        needs=("retrieval_error",),
        attained=True,
    ),
    Theorem(
        key="retrieval_error",
        claims=("C6",),
        title="Retrieval error from the margin",
        statement="It is at most 2 M u/(1+u), u = (N-1) e^(-beta (Delta - 2 M d)): strictly less than the published "
        "bound.",
        quantity="retrieval_error",
        relation=Relation.AT_MOST,
        formula=RETRIEVAL,
        trivial=2 * M,
        hypotheses=(_SEPARATED, _BALL, _NEAR),
        bound=lambda rows: closed_forms.retrieval_error(*_hopfield(rows)),
        rounding=_rounding,
        proof=_RETRIEVAL,
        source=f"{ABSTRACT}, claim C6; derived here",
        level=Level.PATTERNS,
        tolerance=lambda rows: 256 * ULP * rows["radius"],
        needs=("leakage_ceiling",),
        attained=True,
        enclosures=(Statement("u/(1+u) <= u: never above the published bound", y / (1 + y), y, {y: Y}, (y,)),),
    ),
)
