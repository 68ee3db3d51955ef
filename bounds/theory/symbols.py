"""Every symbol of the theory, once: name, meaning, unit, assumptions; `GLOSSARY` has them for pages.

Hypotheses are tested on data, never on these assumptions: they only let sympy settle signs.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from sympy import IndexedBase, Symbol


class Entry(NamedTuple):
    """One symbol: how it is printed, what it stands for, its unit, and what sympy may assume."""

    symbol: Any
    meaning: str
    unit: str
    assumptions: tuple[str, ...]


GLOSSARY: list[Entry] = []


def _symbol(name: str, meaning: str, unit: str = "1", **assumptions: bool) -> Symbol:
    symbol = Symbol(name, **assumptions)
    GLOSSARY.append(Entry(symbol, meaning, unit, tuple(assumptions)))
    return symbol


def _indexed(name: str, meaning: str, unit: str = "1", **assumptions: bool) -> IndexedBase:
    """One number a layer, reload or other index."""
    base = IndexedBase(name, **assumptions)  # pyright: ignore[reportArgumentType]
    GLOSSARY.append(Entry(base, meaning, unit, tuple(assumptions)))
    return base


NORM_SQUARED, LOSS_PER_NORM = "norm^2/loss", "loss/norm"

# --- rows of attention -----------------------------------------------------------------------------------------------
x = _symbol("x", "margin over temperature; any sign", real=True)
x_plus = _symbol("x", "the same where a theorem assumes x >= 0", nonnegative=True)
D = _symbol("D", "logit range over temperature; x <= D", nonnegative=True)
n = _symbol("n", "visible keys", "keys", positive=True)
m = _symbol("m", "keys of the relevant block, m < n", "keys", positive=True)
r = _symbol("r", "anchors, r <= m", "keys", positive=True)
k = _symbol("k", "keys on the upper level of a two-level row", "keys", positive=True)
eps = _symbol("epsilon", "leakage, attention mass outside the block", nonnegative=True)
F = _symbol("F", "pointer fidelity, 1 - epsilon", nonnegative=True)

outside = _symbol("n_out", "keys outside the block, n - m", "keys", positive=True)
rest = _symbol("m_rest", "keys of the block that are no anchors, m - r", "keys", nonnegative=True)
y = _symbol("y", "(n - m) e^-x / m", positive=True)
c = _symbol("c", "exponent given away by the repaired envelope, 0 <= c < 1", nonnegative=True)

kappa = _symbol("kappa", "-ln(1 - dial)", nonnegative=True)
tau = _symbol("tau", "temperature", positive=True)

# --- penalties -------------------------------------------------------------------------------------------------------
penalty = _symbol("lambda", "penalty on a group norm (not squared)", LOSS_PER_NORM, positive=True)
gradient = _symbol("g", "bound on the norm of a group's gradient", LOSS_PER_NORM, nonnegative=True)
G = _symbol("G", "bound on a query's loss gradient at the head's output", "loss", nonnegative=True)
V = _symbol("V", "diameter of the values", nonnegative=True)
X_query = _symbol("X_b", "largest norm of a query's block features", nonnegative=True)
X_key = _symbol("X_c", "largest norm of a key's block features", nonnegative=True)
D_key = _symbol("D_c", "diameter of a block's key features over all visible keys", nonnegative=True)
share = _symbol("p_b", "share of the queries that lie in the block", nonnegative=True)
eta = _symbol("eta", "proximal step size", NORM_SQUARED, positive=True)
norm = _symbol("w", "norm of a group at the start", "norm", nonnegative=True)

# --- dial and goals --------------------------------------------------------------------------------------------------
dial = _symbol("dial", "weights outside the block are multiplied by 1 - dial", nonnegative=True)
F_goal = _symbol("F_goal", "fidelity wanted", positive=True)
eps_goal = _symbol("epsilon_goal", "leakage allowed, 1 - F_goal", positive=True)
anchor_logit = _symbol("a", "least logit of an anchor for the queries of its own block", "logits", real=True)
steps = _symbol("k", "proximal steps, or steps of an optimiser, taken", "steps", positive=True, integer=True)
residual = _symbol(
    "R", "stationarity residual, ||W - prox(W - eta grad)|| / eta over all groups", LOSS_PER_NORM, nonnegative=True
)

# --- anchors ---------------------------------------------------------------------------------------------------------
K = _symbol("K", "blocks, anchor directions, or patterns", positive=True)
dimension = _symbol("d", "dimension of the space of the anchors", positive=True)
theta = _symbol("theta", "angle between a query and the anchors of its block, at most", "radians", nonnegative=True)
phi = _symbol("phi", "angle between anchors of different blocks, at least", "radians", nonnegative=True)
beta = _symbol("beta", "logit of two equal unit vectors", "logits", positive=True)
s = _symbol("s", "coherence: largest cosine of two anchors", real=True)
q = _symbol("q", "attention mass of the anchors", nonnegative=True)
G_anchor = _symbol("G_a", "anchor logit minus the mean logit elsewhere, over temperature", real=True)
prior = _symbol("H_B", "entropy of the block that is asked for", "nats", nonnegative=True)

# --- rules, recruitment, optimisers ----------------------------------------------------------------------------------
p_t = _symbol("p_t", "probability that reload t removes a violation that persists", nonnegative=True)
n_rule = _symbol("r_R", "keys of a rule", "keys", positive=True)
bias = _symbol("b", "added to the logits of a rule's keys", "logits", real=True)
gap = _symbol("gap", "bias of the stronger rule minus that of the weaker", "logits", real=True)
r_A = _symbol("r_A", "keys of the stronger rule", "keys", positive=True)
r_B = _symbol("r_B", "keys of the weaker rule", "keys", positive=True)
NLL = _symbol("NLL_0", "total negative log-likelihood at the start", "nats", nonnegative=True)
observations = _symbol("N", "data points", positive=True)
extra = _symbol("p", "parameters that a recruitment adds, at least", nonnegative=True)
cost = _symbol("c_r", "cost of one recruitment", "nats", positive=True)
M = _symbol("M", "curvature, or largest norm of a pattern", nonnegative=True)
Delta = _symbol("Delta", "gain or objective at most, or separation of a pattern", nonnegative=True)
b1 = _symbol("beta_1", "Adam's decay rate of the first moment", nonnegative=True)
b2 = _symbol("beta_2", "Adam's decay rate of the second moment", nonnegative=True)
spread = _symbol("sigma", "norm of the centred logits over temperature", nonnegative=True)
scale = _symbol("s_n", "scalable softmax: logits times s_n ln n", nonnegative=True)

# --- depth, retrieval, kinds -----------------------------------------------------------------------------------------
lip = _symbol("Lip", "Lipschitz constant of a layer", nonnegative=True)
mean_gap = _symbol("M_gap", "distance of the mean values inside and outside the block", nonnegative=True)
budget = _symbol("B", "drift allowed", positive=True)
layer_cost = _symbol("A_l", "drift a unit of leakage dialled away in layer l", positive=True)
layer_leakage = _symbol("u_l", "leakage that layer l has", nonnegative=True)
multiplier = _symbol("mu", "Lagrange multiplier", nonnegative=True)
distance = _symbol("d_x", "distance of a state from a pattern", nonnegative=True)
margin = _symbol("delta", "margin in logits", "logits", real=True)
weight_ratio = _symbol("R_w", "least anchor weight over largest outside weight", positive=True)
kernel_ratio = _symbol("R_k", "largest over smallest value of a kernel", positive=True)

# --- levels C and E, factorised heads --------------------------------------------------------------------------------
product_mean = _symbol("P_c", "mean of G_i V_i D_ic ||x_i^(b)||", "loss", nonnegative=True)
query_operator = _symbol(
    "X_op", "spectral norm of the queries' block features, over the root of their number", nonnegative=True
)
covariance_bound = _symbol("C_2", "root mean square over queries of G_i V_i D_ic", "loss", nonnegative=True)
cap = _symbol("kappa_w", "norm of the owned factors, at most", "norm", nonnegative=True)
group_size = _symbol("d_g", "numbers in a group", positive=True)
momentum = _symbol("mu_m", "momentum of the heavy ball", nonnegative=True)
H_in = _symbol("H_in", "entropy inside the block", "nats", nonnegative=True)
H_out = _symbol("H_out", "entropy outside the block", "nats", nonnegative=True)
k_top = _symbol("k_t", "keys on the top level of a three-level row", "keys", nonnegative=True)
k_mid = _symbol("k_y", "keys on a middle level", "keys", nonnegative=True)
level = _symbol("y_l", "logit over temperature of the middle level, above the lowest", nonnegative=True)
mass_goal = _symbol("c_M", "attention of one rule wanted, as a multiple of another's", positive=True)
localised = _symbol("L_loc", "least loss with every cross block zero, or an upper bound on it", "loss", real=True)
kept = _symbol("eta_q", "share of a query's localised loss that its majorant accounts for", nonnegative=True)
offset = _symbol("Psi", "mean over all queries of what completes their majorants", "loss", real=True)
quadratic = _symbol("Lambda", "quadratic part of the mean majorant, at most", "loss/norm^2", nonnegative=True)
cross_norm = _symbol("n_C", "sum of the norms of a query block's cross blocks", "norm", positive=True)

# --- what sums, products and leasts run over -------------------------------------------------------------------------
jitter = _symbol("jitter", "angle between a key and its anchor, at most", "radians", nonnegative=True)
layers = _symbol("L", "layers", positive=True, integer=True)
reloads = _symbol("T", "reloads", positive=True, integer=True)
at = _symbol("l", "index of a layer", positive=True, integer=True)
beyond = _symbol("j", "index of another layer", positive=True, integer=True)
when = _symbol("t", "index of a reload", positive=True, integer=True)
upper = _symbol("i", "index: anchors, or outsiders, on a level", nonnegative=True, integer=True)
free_upper = _symbol("j", "index: free block keys on the top level", nonnegative=True, integer=True)
e_l = _indexed("e", "error of dialled layer l on the dialled trajectory", nonnegative=True)
Lip_l = _indexed("Lip", "Lipschitz constant of original layer l", nonnegative=True)
A_l = _indexed("A", "drift a unit of leakage dialled away in layer l, V_l times the product of 1 + Lip after it")
u_l = _indexed("u", "leakage that layer l has", nonnegative=True)
p_of = _indexed("p", "probability that reload t removes a violation that persists", nonnegative=True)
