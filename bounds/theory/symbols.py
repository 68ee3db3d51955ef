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

K = Symbol("K", positive=True)  # blocks, or anchor directions
dimension = Symbol("d", positive=True)  # of the space of the anchors
theta = Symbol("theta", nonnegative=True)  # angle between a query and the anchors of its block, at most
phi = Symbol("phi", nonnegative=True)  # angle between anchors of different blocks, at least
beta = Symbol("beta", positive=True)  # logit of two equal unit vectors
s = Symbol("s", real=True)  # coherence: largest cosine of two anchors
q = Symbol("q", nonnegative=True)  # attention mass of the anchors
G_anchor = Symbol("G_a", real=True)  # anchor logit minus the mean logit elsewhere, over temperature
prior = Symbol("H_B", nonnegative=True)  # entropy of the block that is asked for, nats

p_t = Symbol("p_t", nonnegative=True)  # probability that reload t removes a violation that persists
n_rule = Symbol("r_R", positive=True)  # keys of a rule
bias = Symbol("b", real=True)  # added to their logits
gap = Symbol("gap", real=True)  # bias of the stronger rule minus that of the weaker
r_A, r_B = Symbol("r_A", positive=True), Symbol("r_B", positive=True)  # keys of two rules
NLL = Symbol("NLL_0", nonnegative=True)  # total negative log-likelihood at the start, nats
observations = Symbol("N", positive=True)  # data points
extra = Symbol("p", nonnegative=True)  # parameters that a recruitment adds, at least
cost = Symbol("c_r", positive=True)  # cost of one recruitment, nats
M = Symbol("M", nonnegative=True)  # curvature, or largest norm of a pattern
Delta = Symbol("Delta", nonnegative=True)  # gain at most, or separation of a pattern
b1, b2 = Symbol("beta_1", nonnegative=True), Symbol("beta_2", nonnegative=True)  # Adam's decay rates
spread = Symbol("sigma", nonnegative=True)  # norm of the centred logits over temperature
scale = Symbol("s_n", nonnegative=True)  # scalable softmax: logits times s_n ln n

lip = Symbol("Lip", nonnegative=True)  # Lipschitz constant of a layer
mean_gap = Symbol("M_gap", nonnegative=True)  # distance of the mean values inside and outside the block
budget = Symbol("B", positive=True)  # drift allowed
layer_cost = Symbol("A_l", positive=True)  # drift a unit of leakage dialled away in layer l
layer_leakage = Symbol("u_l", nonnegative=True)  # leakage that layer l has
multiplier = Symbol("mu", nonnegative=True)  # Lagrange multiplier
distance = Symbol("d_x", nonnegative=True)  # of a state from a pattern
margin = Symbol("delta", real=True)  # in logits
weight_ratio = Symbol("R_w", positive=True)  # least anchor weight over largest outside weight
kernel_ratio = Symbol("R_k", positive=True)  # largest over smallest value of a kernel
product_mean = Symbol("P_c", nonnegative=True)  # mean of G_i V_i D_ic ||x_i^(b)||
query_operator = Symbol("X_op", nonnegative=True)  # spectral norm of the queries' block features, over sqrt(N)
covariance_bound = Symbol("C_2", nonnegative=True)  # root mean square over queries of G_i V_i D_ic
cap = Symbol("kappa_w", nonnegative=True)  # norm of the owned factors, at most
group_size = Symbol("d_g", positive=True)  # numbers in a group
momentum = Symbol("mu_m", nonnegative=True)  # heavy ball
H_in, H_out = Symbol("H_in", nonnegative=True), Symbol("H_out", nonnegative=True)  # entropies inside and outside, nats
k_top = Symbol("k_t", nonnegative=True)  # keys on the top level of a three-level row
k_mid = Symbol("k_y", nonnegative=True)  # keys on a middle level
level = Symbol("y_l", nonnegative=True)  # its logit over temperature, above the lowest
mass_goal = Symbol("c_M", positive=True)  # attention of one rule wanted, as a multiple of another's
localised = Symbol("L_loc", real=True)  # least loss with every cross block zero, or an upper bound on it
kept = Symbol("eta_q", nonnegative=True)  # share of a query's localised loss that its majorant accounts for
offset = Symbol("Psi", real=True)  # mean over all queries of what completes their majorants
quadratic = Symbol("Lambda", nonnegative=True)  # quadratic part of the mean majorant, at most
cross_norm = Symbol("n_C", positive=True)  # sum of the norms of a query block's cross blocks
