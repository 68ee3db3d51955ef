"""Every symbol of the theory, once: name, meaning, unit, assumptions.

Hypotheses are tested on data, never on these assumptions: they only let sympy settle signs.
"""

from __future__ import annotations

from sympy import Symbol

x = Symbol("x", real=True)  # margin over temperature; any sign
x_plus = Symbol("x", nonnegative=True)  # the same where a theorem assumes x >= 0
D = Symbol("D", nonnegative=True)  # logit range over temperature; x <= D
n = Symbol("n", positive=True)  # visible keys
m = Symbol("m", positive=True)  # keys of the relevant block, m < n
r = Symbol("r", positive=True)  # anchors, r <= m
k = Symbol("k", positive=True)  # keys on the upper level of a two-level row
eps = Symbol("epsilon", nonnegative=True)  # leakage, attention mass outside the block
F = Symbol("F", nonnegative=True)  # pointer fidelity, 1 - eps

outside = Symbol("n_out", positive=True)  # n - m
rest = Symbol("m_rest", nonnegative=True)  # m - r
y = Symbol("y", positive=True)  # (n - m) e^-x / m
c = Symbol("c", nonnegative=True)  # exponent given away by the repaired envelope, 0 <= c < 1

kappa = Symbol("kappa", nonnegative=True)  # -ln(1 - dial)
tau = Symbol("tau", positive=True)  # temperature

penalty = Symbol("lambda", positive=True)  # penalty on a group norm (not squared)
gradient = Symbol("g", nonnegative=True)  # bound on the norm of a group's gradient
G = Symbol("G", nonnegative=True)  # bound on a query's loss gradient at the head's output
V = Symbol("V", nonnegative=True)  # diameter of the values
X_query = Symbol("X_b", nonnegative=True)  # largest norm of a query's block features
X_key = Symbol("X_c", nonnegative=True)  # largest norm of a key's block features
D_key = Symbol("D_c", nonnegative=True)  # diameter of a block's key features over all visible keys
share = Symbol("p_b", nonnegative=True)  # share of the queries that lie in the block
eta = Symbol("eta", positive=True)  # proximal step size
norm = Symbol("w", nonnegative=True)  # norm of a group at the start

dial = Symbol("dial", nonnegative=True)  # weights outside the block are multiplied by 1 - dial
F_goal = Symbol("F_goal", positive=True)  # fidelity wanted
eps_goal = Symbol("epsilon_goal", positive=True)  # leakage allowed, 1 - F_goal
anchor_logit = Symbol("a", real=True)  # least logit of an anchor for the queries of its own block
steps = Symbol("k", positive=True, integer=True)  # proximal steps taken
residual = Symbol("R", nonnegative=True)  # stationarity residual, ||W - prox(W - eta grad)|| / eta over all groups
