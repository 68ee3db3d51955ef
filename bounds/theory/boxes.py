"""The boxes over which theorems have their inequalities enclosed: x up to 50, rho = (n-m)/m from 1e-3 to 1e6.

What is tight to leading order is stated in y = rho e^-x, where it does not cancel; what is touched inside the box or
at its edge carries a margin of 1e-9, which its words say.
"""

# sympy has no types: what comes of its functions is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false, reportUnknownParameterType=false

from __future__ import annotations

from sympy import Expr, Rational, Symbol

rho: Symbol = Symbol("rho", positive=True)
z: Symbol = Symbol("z", positive=True)

X, RHO = (0.0, 50.0), (1e-3, 1e6)
Y = (1e-3 * 1.9e-22, 1e6)  # rho e^-x over that box
LITTLE: Expr = Rational(1, 10**9)
