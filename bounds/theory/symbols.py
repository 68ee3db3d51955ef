"""Every symbol of the theory, once: name, meaning, unit, assumptions; `GLOSSARY` has them for pages.

Hypotheses are tested on data, never on these assumptions: they only let sympy settle signs.
"""

# sympy has no types: what comes of its functions is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false, reportUnknownParameterType=false

from __future__ import annotations

from typing import Any, NamedTuple

from sympy import IndexedBase, Symbol


class Entry(NamedTuple):
    """One symbol: how it is printed, what it stands for, its unit, and what sympy may assume."""

    symbol: Any
    meaning: str
    unit: str
    assumptions: tuple[str, ...]
    field: str = ""  # of a row, where rows have it under a name of their own


GLOSSARY: list[Entry] = []


def _symbol(name: str, meaning: str, unit: str = "1", field: str = "", **assumptions: bool) -> Symbol:
    symbol = Symbol(name, **assumptions)
    GLOSSARY.append(Entry(symbol, meaning, unit, tuple(assumptions), field))
    return symbol


def _indexed(name: str, meaning: str, unit: str = "1", **assumptions: bool) -> IndexedBase:
    """One number a layer, reload or other index."""
    base = IndexedBase(name, **assumptions)  # pyright: ignore[reportArgumentType]
    GLOSSARY.append(Entry(base, meaning, unit, tuple(assumptions)))
    return base


NORM_SQUARED, LOSS_PER_NORM = "norm^2/loss", "loss/norm"

# --- rows of attention -----------------------------------------------------------------------------------------------
x: Symbol = _symbol("x", "margin over temperature; any sign", real=True)
x_plus: Symbol = _symbol("x", "the same where a theorem assumes x >= 0", nonnegative=True)
D: Symbol = _symbol("D", "logit range over temperature; x <= D", nonnegative=True)
n: Symbol = _symbol("n", "visible keys", "keys", positive=True, field="n_keys")
m: Symbol = _symbol("m", "keys of the relevant block, m < n", "keys", positive=True, field="n_block")
r: Symbol = _symbol("r", "anchors, r <= m", "keys", positive=True, field="n_anchors")
k: Symbol = _symbol("k", "keys on the upper level of a two-level row", "keys", positive=True)
eps: Symbol = _symbol("epsilon", "leakage, attention mass outside the block", nonnegative=True, field="leakage")
F: Symbol = _symbol("F", "pointer fidelity, 1 - epsilon", nonnegative=True)

outside: Symbol = _symbol("n_out", "keys outside the block, n - m", "keys", positive=True)
rest: Symbol = _symbol("m_rest", "keys of the block that are no anchors, m - r", "keys", nonnegative=True)
y: Symbol = _symbol("y", "(n - m) e^-x / m", positive=True)
c: Symbol = _symbol(
    "c", "exponent given away by the repaired envelope, 0 <= c < 1", nonnegative=True, field="envelope_exponent"
)

kappa: Symbol = _symbol("kappa", "-ln(1 - dial)", nonnegative=True)
tau: Symbol = _symbol("tau", "temperature", positive=True, field="temperature")

# --- penalties -------------------------------------------------------------------------------------------------------
penalty: Symbol = _symbol(
    "lambda", "penalty on a group norm (not squared)", LOSS_PER_NORM, positive=True, field="penalty"
)
gradient: Symbol = _symbol(
    "g", "bound on the norm of a group's gradient", LOSS_PER_NORM, nonnegative=True, field="gradient_bound"
)
G: Symbol = _symbol(
    "G", "bound on a query's loss gradient at the head's output", "loss", nonnegative=True, field="gradient_bound"
)
V: Symbol = _symbol("V", "diameter of the values", nonnegative=True, field="value_diameter")
X_query: Symbol = _symbol("X_b", "largest norm of a query's block features", nonnegative=True, field="query_norm")
X_key: Symbol = _symbol("X_c", "largest norm of a key's block features", nonnegative=True, field="key_norm")
D_key: Symbol = _symbol(
    "D_c", "diameter of a block's key features over all visible keys", nonnegative=True, field="key_diameter"
)
share: Symbol = _symbol("p_b", "share of the queries that lie in the block", nonnegative=True, field="query_share")
eta: Symbol = _symbol("eta", "proximal step size", NORM_SQUARED, positive=True, field="step")
norm: Symbol = _symbol("w", "norm of a group at the start", "norm", nonnegative=True, field="group_norm")

# --- dial and goals --------------------------------------------------------------------------------------------------
dial: Symbol = _symbol("dial", "weights outside the block are multiplied by 1 - dial", nonnegative=True, field="dial")
F_goal: Symbol = _symbol("F_goal", "fidelity wanted", positive=True)
eps_goal: Symbol = _symbol("epsilon_goal", "leakage allowed, 1 - F_goal", positive=True)
anchor_logit: Symbol = _symbol(
    "a", "least logit of an anchor for the queries of its own block", "logits", real=True, field="anchor_logit"
)
steps: Symbol = _symbol(
    "k", "proximal steps, or steps of an optimiser, taken", "steps", positive=True, integer=True, field="steps"
)
residual: Symbol = _symbol(
    "R",
    "stationarity residual, ||W - prox(W - eta grad)|| / eta over all groups",
    LOSS_PER_NORM,
    nonnegative=True,
    field="residual",
)

# --- anchors ---------------------------------------------------------------------------------------------------------
K: Symbol = _symbol("K", "blocks, anchor directions, or patterns", positive=True, field="vectors")
dimension: Symbol = _symbol("d", "dimension of the space of the anchors", positive=True, field="dimension")
theta: Symbol = _symbol(
    "theta", "angle between a query and the anchors of its block, at most", "radians", nonnegative=True, field="theta"
)
phi: Symbol = _symbol(
    "phi", "angle between anchors of different blocks, at least", "radians", nonnegative=True, field="phi"
)
beta: Symbol = _symbol("beta", "logit of two equal unit vectors", "logits", positive=True, field="beta")
s: Symbol = _symbol("s", "coherence: largest cosine of two anchors", real=True, field="coherence")
q: Symbol = _symbol("q", "attention mass of the anchors", nonnegative=True, field="anchor_mass")
G_anchor: Symbol = _symbol(
    "G_a", "anchor logit minus the mean logit elsewhere, over temperature", real=True, field="gap"
)
prior: Symbol = _symbol(
    "H_B", "entropy of the block that is asked for", "nats", nonnegative=True, field="prior_entropy"
)

# --- rules, recruitment, optimisers ----------------------------------------------------------------------------------
p_t: Symbol = _symbol("p_t", "probability that reload t removes a violation that persists", nonnegative=True)
n_rule: Symbol = _symbol("r_R", "keys of a rule", "keys", positive=True, field="n_rule")
bias: Symbol = _symbol("b", "added to the logits of a rule's keys", "logits", real=True, field="bias")
gap: Symbol = _symbol("gap", "bias of the stronger rule minus that of the weaker", "logits", real=True, field="gap")
r_A: Symbol = _symbol("r_A", "keys of the stronger rule", "keys", positive=True, field="r_A")
r_B: Symbol = _symbol("r_B", "keys of the weaker rule", "keys", positive=True, field="r_B")
NLL: Symbol = _symbol(
    "NLL_0", "total negative log-likelihood at the start", "nats", nonnegative=True, field="first_nll"
)
observations: Symbol = _symbol("N", "data points", positive=True, field="observations")
extra: Symbol = _symbol("p", "parameters that a recruitment adds, at least", nonnegative=True, field="extra")
cost: Symbol = _symbol("c_r", "cost of one recruitment", "nats", positive=True, field="cost")
M: Symbol = _symbol("M", "curvature, or largest norm of a pattern", nonnegative=True, field="curvature_bound")
Delta: Symbol = _symbol(
    "Delta", "gain or objective at most, or separation of a pattern", nonnegative=True, field="gain_bound"
)
b1: Symbol = _symbol("beta_1", "Adam's decay rate of the first moment", nonnegative=True, field="b1")
b2: Symbol = _symbol("beta_2", "Adam's decay rate of the second moment", nonnegative=True, field="b2")
spread: Symbol = _symbol("sigma", "norm of the centred logits over temperature", nonnegative=True, field="logit_norm")
scale: Symbol = _symbol("s_n", "scalable softmax: logits times s_n ln n", nonnegative=True, field="scale")

# --- depth, retrieval, kinds -----------------------------------------------------------------------------------------
lip: Symbol = _symbol("Lip", "Lipschitz constant of a layer", nonnegative=True)
mean_gap: Symbol = _symbol(
    "M_gap", "distance of the mean values inside and outside the block", nonnegative=True, field="mean_gap"
)
budget: Symbol = _symbol("B", "drift allowed", positive=True)
layer_cost: Symbol = _symbol("A_l", "drift a unit of leakage dialled away in layer l", positive=True)
layer_leakage: Symbol = _symbol("u_l", "leakage that layer l has", nonnegative=True)
multiplier: Symbol = _symbol("mu", "Lagrange multiplier", nonnegative=True, field="multiplier")
distance: Symbol = _symbol("d_x", "distance of a state from a pattern", nonnegative=True, field="distance")
margin: Symbol = _symbol("delta", "margin in logits", "logits", real=True, field="margin")
weight_ratio: Symbol = _symbol(
    "R_w", "least anchor weight over largest outside weight", positive=True, field="weight_ratio"
)
kernel_ratio: Symbol = _symbol("R_k", "largest over smallest value of a kernel", positive=True, field="kernel_ratio")

# --- levels C and E, factorised heads --------------------------------------------------------------------------------
product_mean: Symbol = _symbol(
    "P_c", "mean of G_i V_i D_ic ||x_i^(b)||", "loss", nonnegative=True, field="product_mean"
)
query_operator: Symbol = _symbol(
    "X_op",
    "spectral norm of the queries' block features, over the root of their number",
    nonnegative=True,
    field="query_operator",
)
covariance_bound: Symbol = _symbol(
    "C_2", "root mean square over queries of G_i V_i D_ic", "loss", nonnegative=True, field="covariance_bound"
)
cap: Symbol = _symbol("kappa_w", "norm of the owned factors, at most", "norm", nonnegative=True, field="cap")
group_size: Symbol = _symbol("d_g", "numbers in a group", positive=True, field="group_size")
momentum: Symbol = _symbol("mu_m", "momentum of the heavy ball", nonnegative=True, field="momentum")
H_in: Symbol = _symbol("H_in", "entropy inside the block", "nats", nonnegative=True, field="entropy_inside")
H_out: Symbol = _symbol("H_out", "entropy outside the block", "nats", nonnegative=True, field="entropy_outside")
k_top: Symbol = _symbol("k_t", "keys on the top level of a three-level row", "keys", nonnegative=True)
k_mid: Symbol = _symbol("k_y", "keys on a middle level", "keys", nonnegative=True)
level: Symbol = _symbol("y_l", "logit over temperature of the middle level, above the lowest", nonnegative=True)
mass_goal: Symbol = _symbol("c_M", "attention of one rule wanted, as a multiple of another's", positive=True)
localised: Symbol = _symbol(
    "L_loc",
    "least loss with every cross block zero, or an upper bound on it",
    "loss",
    real=True,
    field="loss_localised",
)
kept: Symbol = _symbol(
    "eta_q", "share of a query's localised loss that its majorant accounts for", nonnegative=True, field="eta"
)
offset: Symbol = _symbol(
    "Psi", "mean over all queries of what completes their majorants", "loss", real=True, field="offset"
)
quadratic: Symbol = _symbol(
    "Lambda", "quadratic part of the mean majorant, at most", "loss/norm^2", nonnegative=True, field="quadratic"
)
cross_norm: Symbol = _symbol(
    "n_C", "sum of the norms of a query block's cross blocks", "norm", positive=True, field="cross_norm"
)

# --- what sums, products and leasts run over -------------------------------------------------------------------------
jitter: Symbol = _symbol(
    "jitter", "angle between a key and its anchor, at most", "radians", nonnegative=True, field="jitter"
)
layers: Symbol = _symbol("L", "layers", positive=True, integer=True)
reloads: Symbol = _symbol("T", "reloads", positive=True, integer=True)
at: Symbol = _symbol("l", "index of a layer", positive=True, integer=True)
beyond: Symbol = _symbol("j", "index of another layer", positive=True, integer=True)
when: Symbol = _symbol("t", "index of a reload", positive=True, integer=True)
upper: Symbol = _symbol("i", "index: anchors, or outsiders, on a level", nonnegative=True, integer=True)
free_upper: Symbol = _symbol("j", "index: free block keys on the top level", nonnegative=True, integer=True)
e_l: IndexedBase = _indexed("e", "error of dialled layer l on the dialled trajectory", nonnegative=True)
Lip_l: IndexedBase = _indexed("Lip", "Lipschitz constant of original layer l", nonnegative=True)
A_l: IndexedBase = _indexed(
    "A", "drift a unit of leakage dialled away in layer l, V_l times the product of 1 + Lip after it"
)
u_l: IndexedBase = _indexed("u", "leakage that layer l has", nonnegative=True)
p_of: IndexedBase = _indexed("p", "probability that reload t removes a violation that persists", nonnegative=True)

# --- gates: weights outside a block are multiplied by s in [0, 1] ----------------------------------------------------
gate: Symbol = _symbol("s", "gate: weights of its group are multiplied by it", nonnegative=True, field="gate")
w_in: Symbol = _symbol("Z_in", "softmax weight inside the block", positive=True)
w_group: Symbol = _symbol("Z_c", "softmax weight of the gate's group", positive=True)
leakage_ref: Symbol = _symbol("Omega", "penalised leakage of a solution", nonnegative=True, field="penalised_leakage")
loss_ref: Symbol = _symbol("L_ref", "loss of a solution with leakage 0", "loss", real=True, field="loss_reference")
loss_found: Symbol = _symbol("L_found", "loss of the solution found", "loss", real=True, field="loss_found")
loss_one: Symbol = _symbol("L_1", "loss of the solution at the smaller penalty", "loss", real=True, field="loss_one")
loss_two: Symbol = _symbol("L_2", "loss of the solution at the larger penalty", "loss", real=True, field="loss_two")
leak_one: Symbol = _symbol("Omega_1", "penalised leakage at the smaller penalty", nonnegative=True, field="leakage_one")
leak_two: Symbol = _symbol("Omega_2", "penalised leakage at the larger penalty", nonnegative=True, field="leakage_two")
loss_best: Symbol = _symbol(
    "L_best", "loss of a solution that is best at some penalty", "loss", real=True, field="loss_best"
)
leak_best: Symbol = _symbol("Omega_best", "its penalised leakage", nonnegative=True, field="leakage_best")
threshold: Symbol = _symbol("t", "leakage that a row exceeds", positive=True, field="threshold")
gate_slope: Symbol = _symbol("gamma", "slope of the objective in a gate, at least", "loss", positive=True, field="gap")
target: Symbol = _symbol("Omega_goal", "penalised leakage allowed", positive=True)
rows_: Symbol = _symbol("N_r", "rows of a layer, pairs of a gate, or tokens", positive=True, integer=True)
row: Symbol = _symbol("i", "index of a row, a pair, or a token", positive=True, integer=True)
"""The sums that follow run over `row`, from 1 to `rows_`."""
share_of: IndexedBase = _indexed("a", "attention mass of the gate's group in row i", nonnegative=True)
pull_of: IndexedBase = _indexed("d", "<g_i, o_c,i - o_i>: gradient along the group's mean less the output", real=True)
odds_of: IndexedBase = _indexed("w", "weight of pair i over the weight inside its row's block", nonnegative=True)
pair_of: IndexedBase = _indexed("lambda", "critical penalty of pair i alone, N_l <-g, v_j - o_in>", real=True)
phi_of: IndexedBase = _indexed("phi", "share of gate c: minus the path integral of its own slope", real=True)
split_of: IndexedBase = _indexed("h", "eps_i (1 - eps_i) of row i", nonnegative=True)
rate_of: IndexedBase = _indexed("r", "N_l <-g_i, o_out,i - o_in,i>: loss that row i's leakage takes off", real=True)
keys_of: IndexedBase = _indexed("n", "visible keys of row i", positive=True)
block_of: IndexedBase = _indexed("m", "keys of row i's block", positive=True)
classes: Symbol = _symbol("N_k", "classes that a token's logits are of", positive=True, integer=True)
at_class: Symbol = _symbol("k", "index of a class", nonnegative=True, integer=True)
other_class: Symbol = _symbol("k_o", "index of a class", nonnegative=True, integer=True)
probability_of: IndexedBase = _indexed("p", "probability of class k at token i, as trained", positive=True)
slope_of: IndexedBase = _indexed("u", "slope of the logit of class k at token i along the gates that move", real=True)
layer_rows: Symbol = _symbol(
    "N_l", "rows of a layer, over which its leakage is a mean", positive=True, field="layer_rows"
)
opened: Symbol = _symbol("S_l", "sum of the gates of a layer", nonnegative=True, field="gates_sum")
penalty_one: Symbol = _symbol("lambda_1", "the smaller penalty", "loss", positive=True, field="penalty_one")
penalty_two: Symbol = _symbol("lambda_2", "the larger penalty", "loss", positive=True, field="penalty_two")
least_loss: Symbol = _symbol("L_least", "a lower bound on the loss", "loss", real=True)
global_penalty: Symbol = _symbol(
    "lambda_glob",
    "least penalty at which the mask is a global minimiser",
    "loss",
    nonnegative=True,
    field="global_penalty",
)
# one term of those sums, which proofs are about
group_share: Symbol = _symbol("a_c", "attention mass of a gate's group in one row", nonnegative=True)
pull: Symbol = _symbol("d_c", "<g, o_c - o> of one row", "loss", real=True)
pair_odds: Symbol = _symbol("w_p", "weight of one pair over the weight inside the block", nonnegative=True)
pair_penalty: Symbol = _symbol("lambda_p", "critical penalty of one pair alone", "loss", real=True)
gate_part: Symbol = _symbol("L_c", "slope of the loss in one gate", "loss", real=True)
speed: Symbol = _symbol("v_c", "speed of one gate along a path", real=True)
class_share: Symbol = _symbol("p_k", "probability of one class at one token, as trained", nonnegative=True)
logit_slope: Symbol = _symbol("u_k", "slope of its logit along the gates that move", real=True)
mean_slope: Symbol = _symbol("u_mean", "mean of the token's logit slopes under its probabilities", real=True)
split: Symbol = _symbol("h_i", "eps (1 - eps) of one row", nonnegative=True)
row_rate: Symbol = _symbol("r_i", "N_l <-g, o_out - o_in> of one row", "loss", real=True)
steepest: Symbol = _symbol(
    "A_star", "largest N_l <-g_i, o_out,i - o_in,i> along a staircase", "loss", real=True, field="rate"
)
gates_norm: Symbol = _symbol("rho", "Euclidean norm of all gates", nonnegative=True, field="gates_norm")
largest_pair: Symbol = _symbol(
    "lambda_max", "largest critical penalty of a pair of a layer", "loss", real=True, field="pair_penalty"
)
largest_leakage: Symbol = _symbol("eps_max", "largest leakage of a row", nonnegative=True, field="largest_leakage")
