"""Anchors (claim C7): which margin their geometry gives, how far apart they can lie.

margin >= beta (cos t - cos(phi - t)) = 2 beta sin(phi/2) sin(phi/2 - t),   t = theta + jitter <= phi
K unit vectors in d dimensions have a coherence (largest cosine of two) of at least -1/(K-1),  0 if K > d+1,
(K-2d)/(d(K-2)),  and K <= d(1-s)(2+(d+1)s)/(1-d s^2) for a coherence s < 1/sqrt(d)
"""

# sympy has no types: what comes of its functions is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false, reportUnknownParameterType=false
# pyright: reportOperatorIssue=false

from __future__ import annotations

import numpy as np
from sympy import Expr, S, Symbol, cos, diff, expand, expand_trig, factor, pi, sin, sqrt
from sympy.simplify.fu import TR8

from bounds.anchors import closed_forms
from bounds.anchors.theorems.rounding import absolute, flat
from bounds.theory.rows import ABSTRACT, ULP
from bounds.theory.stable_forms import Forms
from bounds.theory.symbols import K, beta, jitter, phi, s, theta
from bounds.theory.symbols import dimension as d
from bounds.theory.theorem import Hypothesis, Level, ProofStep, Relation, Theorem

ANCHORS = f"{ABSTRACT}, claim C7; derived here"

# --- expressions -----------------------------------------------------------------------------------------------------
MARGIN: Expr = beta * (cos(theta) - cos(phi - theta))
SIMPLEX = -1 / (K - 1)
POLYGON: Expr = cos(2 * pi / K)
LEVENSHTEIN_2 = (K - 2 * d) / (d * (K - 2))
LEVENSHTEIN_3 = d * (1 - s) * (2 + (d + 1) * s) / (1 - d * s**2)
_a3, _b3, _c3 = d * (K - d - 1), d * (d - 1), 2 * d - K  # of the quadratic K (1 - d s^2) = d (1-s)(2+(d+1)s)
THIRD: Expr = (-_b3 + sqrt(_b3**2 - 4 * _a3 * _c3)) / (2 * _a3)

FORMS: Forms = {
    "anchor_margin": ((theta, phi, beta), 2 * beta * sin(phi / 2) * sin(phi / 2 - theta)),
    "coherence_simplex": ((K,), SIMPLEX),
    "coherence_polygon": ((K,), POLYGON),
    "coherence_levenshtein": ((K, d), LEVENSHTEIN_2),
    "anchors_levenshtein": ((s, d), LEVENSHTEIN_3),
    "coherence_third": ((K, d), THIRD),
}


# --- proofs ----------------------------------------------------------------------------------------------------------
_alpha = -(1 + s) / (1 + d * s)
_t = Symbol("t", real=True)
_f2 = (_t + 1) * (_t - s)
_f3 = (_t - s) * (_t - _alpha) ** 2
_zero3 = -(s + 2 * _alpha) / d - s * _alpha**2  # mean of f over the sphere: t^2 has mean 1/d, odd powers 0

_UNIT = Hypothesis("query and keys have norm 1", lambda rows: np.abs(rows["norm"] - 1) <= 8 * ULP)
_VECTORS = Hypothesis("the vectors have norm 1", lambda rows: np.abs(rows["norm"] - 1) <= 8 * ULP)

THEOREMS: tuple[Theorem, ...] = (
    Theorem(
        key="anchor_margin",
        claims=("C7",),
        title="Margin from the angles of anchors",
        statement="Unit anchors at an angle of at least phi across blocks, a unit query within theta of every "
        "anchor of "
        "its own block, keys within a jitter of their anchors: margin >= beta (cos t - cos(phi - t)), t = theta + "
        "jitter. Useful iff t < phi/2.",
        quantity="margin",
        relation=Relation.AT_LEAST,
        formula=MARGIN.subs(theta, theta + jitter),
        trivial=-2 * beta,
        step=MARGIN,
        hypotheses=(
            _UNIT,
            Hypothesis("theta + jitter <= phi", lambda rows: rows["theta"] + rows["jitter"] <= rows["phi"]),
        ),
        bound=lambda rows: closed_forms.anchor_margin(rows["theta"] + rows["jitter"], rows["phi"], rows["beta"]),
        rounding=flat(64),
        proof=(
            ProofStep("angle(query, own key) <= t, angle(query, key of another block) >= phi - t", lemma="triangle"),
            ProofStep("cosine falls on [0, pi]: its slope is -sin", residual=diff(cos(_t), _t) + sin(_t)),
            ProofStep(
                "The difference of the cosines is the product",
                residual=expand_trig(
                    MARGIN.subs({theta: 2 * theta, phi: 2 * phi})
                    - FORMS["anchor_margin"][1].subs({theta: 2 * theta, phi: 2 * phi})
                ).expand(),
            ),
        ),
        source=ANCHORS,
        level=Level.ANCHORS,
        tolerance=lambda rows: 1e-7 * np.asarray(rows["beta"]),  # half the digits, near angle 0
        attained=True,
    ),
    Theorem(
        key="coherence_simplex",
        claims=("C7",),
        title="Coherence of any K anchors",
        statement="K >= 2 unit vectors have two with a cosine of at least -1/(K-1); attained by a simplex, K <= d + 1.",
        quantity="coherence",
        relation=Relation.AT_LEAST,
        formula=SIMPLEX,
        trivial=S.NegativeOne,
        hypotheses=(_VECTORS,),
        bound=lambda rows: closed_forms.coherence_simplex(rows["vectors"]),
        rounding=flat(64),
        proof=(
            ProofStep("0 <= ||sum x||^2 = K + sum of K(K-1) cosines <= K + K(K-1) s", lemma="gram"),
            ProofStep("Equality at s = -1/(K-1)", residual=K + K * (K - 1) * SIMPLEX),
        ),
        source=ANCHORS,
        level=Level.ANCHORS,
        attained=True,
    ),
    Theorem(
        key="coherence_orthoplex",
        claims=("C7",),
        title="Coherence of more than d + 1 anchors",
        statement="K >= d + 2 unit vectors in d dimensions have two with a cosine of at least 0; attained up to K = "
        "2d.",
        quantity="coherence",
        relation=Relation.AT_LEAST,
        formula=S.Zero,
        trivial=S.NegativeOne,
        hypotheses=(
            Hypothesis("there are at least d + 2 vectors", lambda rows: rows["vectors"] >= rows["dimension"] + 2),
        ),
        bound=lambda rows: np.zeros(np.shape(rows["coherence"])),
        rounding=flat(64),
        proof=(ProofStep("d + 2 vectors cannot have pairwise negative inner products", lemma="obtuse vectors"),),
        source=ANCHORS,
        level=Level.ANCHORS,
        tolerance=absolute(64),
        attained=True,
    ),
    Theorem(
        key="coherence_polygon",
        claims=("C7",),
        title="Coherence of anchors in the plane",
        statement="K >= 2 unit vectors in the plane have two with a cosine of at least cos(2 pi/K); attained by the "
        "regular polygon.",
        quantity="coherence",
        relation=Relation.AT_LEAST,
        formula=POLYGON,
        trivial=S.NegativeOne,
        hypotheses=(_VECTORS, Hypothesis("they lie in a plane", lambda rows: rows["dimension"] == 2)),
        bound=lambda rows: closed_forms.coherence_polygon(rows["vectors"]),
        rounding=flat(64),
        proof=(
            ProofStep(
                "In their order around the circle neighbours are K angles of sum 2 pi: some t <= 2 pi/K",
                lemma="pigeonhole",
            ),
            ProofStep(
                "cos t - cos(2 pi/K) = 2 sin((2 pi/K + t)/2) sin((2 pi/K - t)/2), both sines of angles in [0, pi]",
                residual=expand(TR8(2 * sin((phi + theta) / 2) * sin((phi - theta) / 2))) - (cos(theta) - cos(phi)),
            ),
        ),
        source=ANCHORS,
        level=Level.ANCHORS,
        tolerance=absolute(64),
        attained=True,
        why_not_formal="It needs vectors of the plane sorted by angle, which these proofs do not have.",
    ),
    Theorem(
        key="coherence_levenshtein",
        claims=("C7",),
        title="Coherence of many anchors, second degree",
        statement="K >= 3 unit vectors in d dimensions have two with a cosine of at least (K-2d)/(d(K-2)): "
        "positive, so "
        "better than the simplex, once K > 2d.",
        quantity="coherence",
        relation=Relation.AT_LEAST,
        formula=LEVENSHTEIN_2,
        trivial=S.NegativeOne,
        hypotheses=(_VECTORS,),
        bound=lambda rows: closed_forms.coherence_levenshtein(rows["vectors"], rows["dimension"]),
        rounding=flat(64),
        proof=(
            ProofStep("f(t) = (t+1)(t-s) is at most 0 on [-1, s]: sum over pairs f <= K f(1)", lemma="termwise"),
            ProofStep("sum of cosines >= 0, sum of squares >= K^2/d: sum f >= K^2 (1/d - s)", lemma="gram"),
            ProofStep("f = t^2 + (1-s) t - s", residual=(_f2 - (_t**2 + (1 - s) * _t - s)).expand()),
            ProofStep(
                "K (1/d - s) <= 2(1-s) is s >= (K-2d)/(d(K-2))",
                residual=factor((K * (1 / d - s) - 2 * (1 - s)).subs(s, LEVENSHTEIN_2)),
            ),
            ProofStep(
                "If s >= 1/d it is above the bound anyway",
                residual=factor(1 / d - LEVENSHTEIN_2 - 2 * (d - 1) / (d * (K - 2))),
            ),
        ),
        source=f"{ANCHORS}, by Levenshtein's method",
        level=Level.ANCHORS,
        tolerance=absolute(64),
        attained=True,
    ),
    Theorem(
        key="anchors_levenshtein",
        claims=("C7",),
        title="How many anchors fit, third degree",
        statement="Unit vectors in d dimensions with a coherence s, 0 <= s < 1/sqrt(d), number at most "
        "d(1-s)(2+(d+1)s)/(1-d s^2); attained by the pentagon.",
        quantity="vectors",
        relation=Relation.AT_MOST,
        formula=LEVENSHTEIN_3,
        trivial="no number of anchors is too many without it",
        hypotheses=(
            _VECTORS,
            Hypothesis("the coherence is at least 0", lambda rows: rows["coherence"] >= 0),
            Hypothesis("and below 1/sqrt(d)", lambda rows: rows["dimension"] * rows["coherence"] ** 2 < 1 - 1e-9),
        ),
        bound=lambda rows: closed_forms.anchors_levenshtein(rows["coherence"], rows["dimension"]),
        rounding=lambda rows: 64 * ULP / np.maximum(np.abs(1 - rows["dimension"] * rows["coherence"] ** 2), ULP),
        proof=(
            ProofStep("f(t) = (t-s)(t-a)^2, a = -(1+s)/(1+ds), is at most 0 on [-1, s]", lemma="termwise"),
            ProofStep(
                "sum over pairs f >= K^2 f_0 if the Gegenbauer coefficients f_1, f_2, f_3 are >= 0", lemma="gram"
            ),
            ProofStep(
                "f_3 = 1 and f_2 is -(s + 2a), positive as d s^2 < 1",
                residual=factor(-(s + 2 * _alpha) - (2 + s - d * s**2) / (1 + d * s)),
            ),
            ProofStep(
                "f_1 = 3/(d+2) + a(2s + a) is positive: times (d+2)(1+ds)^2 it is a sum of positive terms, d >= 2",
                residual=factor(
                    (3 / (d + 2) + _alpha * (2 * s + _alpha)) * (d + 2) * (1 + d * s) ** 2
                    - ((d - 1) * (1 + 4 * s) + d**2 * s**2 + (1 - 2 / d))
                    - (1 - d * s**2) * (5 + 2 / d + 2 * (d + 2) * s)
                ),
            ),
            ProofStep(
                "Read for s it is the root of a quadratic",
                residual=factor(
                    expand(K * (1 - d * s**2) - d * (1 - s) * (2 + (d + 1) * s) + _a3 * s**2 + _b3 * s + _c3)
                ),
            ),
            ProofStep("K <= f(1)/f_0 is the bound", residual=factor(_f3.subs(_t, 1) / _zero3 - LEVENSHTEIN_3)),
        ),
        source=f"{ANCHORS}, by Levenshtein's method",
        level=Level.ANCHORS,
        attained=True,
        why_not_formal="It needs the third Gegenbauer polynomial of a Gram matrix to be positive semidefinite; the "
        "second degree, `coherence_levenshtein`, is formal.",
    ),
)
