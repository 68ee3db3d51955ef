"""The inequalities of the theory that Arb decides over whole boxes: x up to 50, rho = (n-m)/m from 1e-3 to 1e6.

Inequalities that are tight to leading order are stated in y = rho e^-x, where they do not cancel; those that are
touched inside the box or at its edge carry a margin of 1e-9, which the words say.
"""

# sympy does not type its operators.
# pyright: reportOperatorIssue=false

from __future__ import annotations

from sympy import Rational, Symbol, exp, log, sqrt

from bounds.rigour.balls import Statement
from bounds.theory.symbols import eps, eta

x = Symbol("x", nonnegative=True)
y, rho, z, t = (Symbol(name, positive=True) for name in ("y", "rho", "z", "t"))

X, RHO = (0.0, 50.0), (1e-3, 1e6)
Y = (1e-3 * 1.9e-22, 1e6)  # rho e^-x over that box
NEARLY = 1 + Rational(1, 10**9)
_chord, _little = (sqrt(2) - 1) * eps + Rational(3, 2) - sqrt(2), Rational(1, 10**9)
_excess = log(1 + y) + x * y / (1 + y)  # H - ln m at its maximum, r = m

STATEMENTS: tuple[Statement, ...] = (
    Statement("leakage_ceiling", "it falls in x: minus its slope is y/(1+y)^2 > 0", 0, y / (1 + y) ** 2, {y: Y}, (y,)),
    Statement("leakage_ceiling", "and is at most rho e^-x, the pure exponential", y / (1 + y), y, {y: Y}, (y,)),
    Statement("fidelity_floor", "the floor is at least 1 - y", 1 - y, 1 / (1 + y), {y: Y}, (y,)),
    Statement(
        "entropy_ceiling",
        "it falls in x: minus its slope is x y/(1+y)^2 >= 0, to 1e-9",
        0,
        x * y / (1 + y) ** 2 + _little,
        {x: X, y: Y},
        (y,),
    ),
    Statement(
        "entropy_ceiling",
        "it falls in r: 1 - (1-t) e^t >= 0 at t = x g, to 1e-9",
        0,
        1 - (1 - x) * exp(x) + _little,
        {x: X},
    ),
    Statement(
        "entropy_ceiling",
        "it rises in m: 1 - (1+s) e^-s >= 0 at s = x (1-g), to 1e-9",
        0,
        1 - (1 + x) * exp(-x) + _little,
        {x: X},
    ),
    Statement(
        "entropy_ceiling",
        "it rises in n: 1/(1+y) + x/(1+y)^2 > 0",
        0,
        1 / (1 + y) + x / (1 + y) ** 2,
        {x: X, y: Y},
        (y,),
    ),
    Statement("entropy_envelope", "ln(1+y) + x y/(1+y) <= y (1+x)", _excess, y * (1 + x), {x: X, y: Y}, (y,)),
    Statement(
        "repaired_envelope",
        "z e^(1-z) <= 1 at z = (1-c)(1+x), to 1e-9",
        z * exp(1 - z),
        NEARLY,
        {z: (1e-3, 60.0)},
        (z,),
    ),
    Statement(
        "specht_floor",
        "ln w + 1/w - 1 >= 0 at w = z/c, to 1e-9: Specht is never above the exact floor",
        0,
        log(z) + 1 / z - 1 + Rational(1, 10**9),
        {z: (1e-3, 1e3)},
        (z,),
    ),
    Statement(
        "leakage_aware_gradient",
        "the chord is at least e (1-e) up to 1/3, to 1e-9",
        eps * (1 - eps),
        _chord + _little,
        {eps: (0.25, 0.34)},
    ),
    Statement(
        "leakage_aware_gradient",
        "and at least (1+e)^2/8 from there to 1, to 1e-9",
        (1 + eps) ** 2 / 8,
        _chord + _little,
        {eps: (0.33, 1.0)},
    ),
    Statement(
        "worst_case_gradient", "p (1-p) <= 1/4, to 1e-9", eta * (1 - eta), Rational(1, 4) * NEARLY, {eta: (0.0, 1.0)}
    ),
    Statement("reload_limit", "1 - p <= e^-p, to 1e-9", 1 - x, exp(-x) + _little, {x: (0.0, 1.0)}),
    Statement("retrieval_error", "u/(1+u) <= u: never above the published bound", y / (1 + y), y, {y: Y}, (y,)),
)

REFUTED: tuple[Statement, ...] = (
    Statement(
        "repaired_envelope",
        "the constant cannot be lowered by 0.1 %",
        z * exp(1 - z),
        Rational(999, 1000),
        {z: (1e-3, 60.0)},
        (z,),
    ),
    Statement(
        "entropy_envelope",
        "the envelope cannot be lowered by 1 %",
        _excess,
        Rational(99, 100) * y * (1 + x),
        {x: X, y: Y},
        (y,),
    ),
    Statement(
        "leakage_ceiling",
        "the exponential cannot be lowered by 1 %",
        rho * exp(-x) / (1 + rho * exp(-x)),
        Rational(99, 100) * rho * exp(-x),
        {x: X, rho: RHO},
        (rho,),
    ),
    Statement("entropy_ceiling", "no constant 10 stands for 1 + x", _excess, 10 * y, {x: X, y: Y}, (y,)),
)
"""Statements that are false: branch and bound must find a point where they fail."""
