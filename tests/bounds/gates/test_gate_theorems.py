"""The theorems on gates, on attention written out here: softmax of logits plus ln s, slopes by complex steps."""

from __future__ import annotations

import numpy as np
import pytest

from bounds.gates import theorems
from bounds.gates.calculators import critical_gate_penalty, gate_basin, gate_penalty_level_a, gate_rate_ceiling
from bounds.theory.theorem import Verdict

THEOREMS = {theorem.key: theorem for theorem in theorems.THEOREMS}
STEP = 1e-30  # of a complex step


def verdict(key, rows):
    rows = {name: np.asarray(value) for name, value in rows.items()}
    return list(Verdict)[int(THEOREMS[key].verdicts(rows))]


class Layer:
    """Rows of one head: logits and values of all keys, the first m the block, gates over groups of keys outside."""

    def __init__(self, seed=0, rows=4, keys=7, m=3, groups=2, width=3):
        rng = np.random.default_rng(seed)
        self.logits = rng.normal(0, 1.5, (rows, keys))
        self.values = rng.normal(size=(rows, keys, width))
        self.group = rng.integers(0, groups, (rows, keys))
        self.group[:, m : m + groups] = np.arange(groups)  # every group has a pair in every row
        self.outside = np.arange(keys) >= m
        self.along, self.groups, self.rows = rng.normal(size=(rows, width)), groups, rows

    def attention(self, s):
        gates = np.where(self.outside, s[self.group], 1.0)
        weights = np.exp(self.logits) * gates
        return weights / weights.sum(-1, keepdims=True)

    def outputs(self, s):
        return (self.attention(s)[..., None] * self.values).sum(1)

    def leakage(self, s):
        return (self.attention(s) * self.outside).sum(-1)

    def loss(self, s):
        return np.tanh((self.along * self.outputs(s)).sum(-1)).sum()

    def gradient(self, s):
        return self.along / np.cosh((self.along * self.outputs(s)).sum(-1, keepdims=True)) ** 2

    def objective(self, s, penalty):
        return self.loss(s) + penalty * self.leakage(s).mean()

    def slopes(self, function, s):
        """Of a function of the gates, in each of them."""
        return np.array([function(s + 1j * STEP * np.eye(self.groups)[c]).imag / STEP for c in range(self.groups)])

    def means(self, s, c):
        """Of group c in every row: its share Z_c/Z and its mean value."""
        of_group = self.outside & (self.group == c)
        weights = np.exp(self.logits) * of_group
        total = (np.exp(self.logits) * np.where(self.outside, s[self.group], 1.0)).sum(-1)
        return weights.sum(-1) / total, (weights[..., None] * self.values).sum(1) / weights.sum(-1, keepdims=True)


AT = (np.zeros(2), np.ones(2), np.array([0.3, 0.0]))


@pytest.mark.theorem("gate_price")
@pytest.mark.parametrize("at", AT)
def test_a_price_is_the_slope_of_the_loss_and_a_wrong_sign_is_noticed(at):
    layer = Layer()
    for c in range(2):
        shares, means = layer.means(at, c)
        rows = {
            "loss_slope": layer.slopes(layer.loss, at)[c],
            "group_shares": shares,
            "pulls": (layer.gradient(at) * (means - layer.outputs(at))).sum(-1),
            "after_softmax": 0.0,
        }
        assert verdict("gate_price", rows) == Verdict.HOLDS
        assert verdict("gate_price", {**rows, "loss_slope": -rows["loss_slope"]}) == Verdict.VIOLATED
        away = (layer.gradient(at) * (means - layer.values.mean(1))).sum(-1)  # not from what the row says
        assert verdict("gate_price", {**rows, "pulls": away}) == Verdict.VIOLATED
        assert verdict("gate_price", {**rows, "after_softmax": 1.0}) == Verdict.VACUOUS


def pairs(layer):
    """Odds of all pairs outside to the block, and what each alone needs, at the mask."""
    odds = np.exp(layer.logits) / (np.exp(layer.logits) * ~layer.outside).sum(-1, keepdims=True)
    shut = np.zeros(layer.groups)
    away = layer.values - layer.outputs(shut)[:, None]
    needed = -layer.rows * (layer.gradient(shut)[:, None] * away).sum(-1)
    return odds[:, layer.outside], needed[:, layer.outside]


@pytest.mark.theorem("pair_law")
def test_the_pair_map_aggregates_to_every_gates_critical_penalty():
    layer, shut = Layer(5), np.zeros(2)
    ratios = -layer.slopes(layer.loss, shut) / layer.slopes(lambda s: layer.leakage(s).mean(), shut)
    odds, needed = pairs(layer)
    for c in range(2):
        mine = layer.group[:, layer.outside] == c
        rows = {"critical_ratio": ratios[c], "pair_odds": odds[mine], "pair_penalties": needed[mine], "gate": 0.0}
        assert verdict("pair_law", rows) == Verdict.HOLDS
        assert (odds[mine] * needed[mine]).sum() / odds[mine].sum() == pytest.approx(ratios[c], rel=1e-10)
        assert verdict("pair_law", {**rows, "pair_odds": odds[mine] * np.arange(1, mine.sum() + 1)}) == Verdict.VIOLATED
        assert verdict("pair_law", {**rows, "gate": 0.5}) == Verdict.VACUOUS


@pytest.mark.theorem("gates_stay", "gates_open")
@pytest.mark.parametrize("seed", range(5))
def test_both_sides_of_the_critical_penalty(seed):
    """At 1.001 of it J rises with every gate, and no projected step opens one; at 0.999 it falls with one."""
    layer, shut = Layer(seed), np.zeros(2)
    loss, leakage = layer.slopes(layer.loss, shut), layer.slopes(lambda s: layer.leakage(s).mean(), shut)
    critical = critical_gate_penalty(loss, leakage)
    if critical == 0:
        loss, critical = -loss, critical_gate_penalty(-loss, leakage)
        layer.along = -layer.along
    for share, opens in ((1.001, 0), (0.999, 1)):
        penalty = share * critical
        rises = [layer.objective(1e-6 * np.eye(2)[c], penalty) > layer.objective(shut, penalty) for c in range(2)]
        assert all(rises) == (opens == 0)
        moved = np.clip(-0.1 * (loss + penalty * leakage), 0, 1)
        rows = {"open_gates": (moved > 0).sum(), "gates_at_start": 0.0, "penalty": penalty, "critical": critical}
        key, other = ("gates_open", "gates_stay") if opens else ("gates_stay", "gates_open")
        assert verdict(key, rows) == Verdict.HOLDS
        assert verdict(other, rows) == Verdict.VACUOUS
        assert verdict(key, {**rows, "open_gates": 1 - opens}) == Verdict.VIOLATED
        assert verdict(key, {**rows, "gates_at_start": 1.0}) == Verdict.VACUOUS


@pytest.mark.theorem("gate_shares")
def test_shares_of_a_curved_path_add_up_to_the_change():
    layer, (points, weights) = Layer(2), np.polynomial.legendre.leggauss(60)
    shares = np.zeros(2)
    for t, w in zip((points + 1) / 2, weights / 2):
        shares -= w * layer.slopes(layer.loss, np.array([t, t * t])) * np.array([1, 2 * t])
    change = layer.loss(np.zeros(2)) - layer.loss(np.ones(2))
    rows = {"loss_change": change, "gate_shares": shares, "quadrature": 1e-9, "jumps": 0.0}
    assert verdict("gate_shares", rows) == Verdict.HOLDS
    assert verdict("gate_shares", {**rows, "gate_shares": -shares}) == Verdict.VIOLATED
    assert verdict("gate_shares", {**rows, "jumps": 0.5}) == Verdict.VACUOUS
    single = layer.loss(np.array([0.0, 1.0])) - layer.loss(np.ones(2))
    assert abs(single - shares[0]) > 1e-2  # a share is no ablation


def settled(layer, penalty, start, step):
    """Gates after projected steps, and their residual: what of the slope points into the box."""
    s = start
    for _ in range(2000):
        slopes = layer.slopes(lambda u: layer.objective(u, penalty), s)
        moved = np.clip(s - step * slopes, 0, 1)
        if np.array_equal(moved, s):
            break
        s = moved
    slopes = layer.slopes(lambda u: layer.objective(u, penalty), s)
    return s, np.select([s == 0, s == 1], [np.maximum(-slopes, 0), np.maximum(slopes, 0)], np.abs(slopes)).max()


@pytest.mark.theorem("gate_level_a", "gate_self_check")
@pytest.mark.parametrize("seed", range(3))
def test_above_level_a_twenty_starts_end_at_the_mask_and_far_below_some_do_not(seed):
    layer = Layer(seed)
    shut = np.zeros(2)
    if layer.slopes(layer.loss, shut).min() >= 0:
        layer.along = -layer.along  # some gate wants to open
    bound = np.linalg.norm(layer.along, axis=-1).max()
    spans = np.linalg.norm(layer.values[:, :, None] - layer.values[:, None], axis=-1).max()
    level = gate_penalty_level_a(layer.rows, bound, spans)
    rng, decided = np.random.default_rng(seed), []
    for at, start in enumerate(np.vstack([np.ones(2), rng.random((19, 2))])):
        assert not settled(layer, 1.001 * level, start, 0.2 / level)[0].any()
        if at >= 5:
            continue
        s, residual = settled(layer, 0.01 * level, start, 5 / level)
        if not s.any():
            continue
        leakage = layer.leakage(s)
        away = (layer.outputs(s) - layer.outputs(shut)) / leakage[:, None]
        rows = {
            "penalty": 0.01 * level,
            "splits": leakage * (1 - leakage),
            "rates": -layer.rows * (layer.gradient(s) * away).sum(-1),
            "residual": residual,
            "gates_sum": s.sum(),
            "layer_rows": layer.rows,
            "layers_shared": 1,
            "deeper_open": 0,
        }
        decided.append(verdict("gate_self_check", rows))  # between the ends it is attained, and UNKNOWN
        assert verdict("gate_self_check", {**rows, "penalty": 1.5 * level}) == Verdict.VIOLATED
    assert decided
    assert Verdict.VIOLATED not in decided


@pytest.mark.refutes("C3: gates shared over layers")
@pytest.mark.parametrize("penalty", [1e-3, 1.0, 1e6])
def test_a_gate_shared_by_two_layers_stays_open_at_every_penalty_without_any_loss(penalty):
    """What the first layer leaks lowers the second's odds: at s = 1 the leakage falls as the gate opens."""

    def leakage(s):
        first = s / (1 + s)
        second = s * np.exp(8 - 16 * first)
        return first + second / (1 + second)

    slope = penalty * leakage(1 + 1j * STEP).imag / STEP
    assert slope == pytest.approx(-penalty / 2)  # into the box's end: stationary, and open
    s = 0.9
    for _ in range(500):
        s = float(np.clip(s - 0.1 / penalty * penalty * leakage(s + 1j * STEP).imag / STEP, 0, 1))
    assert s == 1.0
    assert gate_penalty_level_a(1, 0.0, 1.0) == 0 < penalty
    rows = {"open_gates": 1.0, "penalty": penalty, "residual": 0.0, "layer_rows": 1.0, "gradient_bound": 0.0}
    rows |= {"value_diameter": 1.0, "layers_shared": 2.0}
    assert verdict("gate_level_a", rows) == Verdict.VACUOUS
    assert verdict("gate_level_a", {**rows, "layers_shared": 1.0}) == Verdict.VIOLATED


@pytest.mark.refutes("C3: a threshold for each gate")
def test_a_gate_opens_to_dilute_another_though_its_own_threshold_is_zero():
    """Rows 1 and 2; gate a in both, gate b in row 2 alone, where it says what the block says; lambda = 1."""

    def objective(a, b):
        first, second = a / (1 + a), a / (1 + a + b)
        return -2 * first + second + (first + (a + b) / (1 + a + b)) / 2

    slopes = objective(1 + 1j * STEP, 1).imag / STEP, objective(1, 1 + 1j * STEP).imag / STEP
    assert max(slopes) < 0  # stationary at both gates open
    b_says, block_says = 0.0, 0.0
    assert 2 * -1.0 * (b_says - block_says) == 0  # N <-g, v_b - o_in>: gate b's own threshold


@pytest.mark.theorem("gate_staircase")
def test_a_staircase_pays_for_leakage_at_no_more_than_its_steepest_rate():
    rows = {"loss_change": 0.3, "penalised_leakage": 0.5, "steepest": 0.7, "rate": 0.7, "deep_first": 0.0}
    assert verdict("gate_staircase", rows) == Verdict.HOLDS
    assert verdict("gate_staircase", {**rows, "loss_change": 0.36}) == Verdict.VIOLATED
    assert verdict("gate_staircase", {**rows, "deep_first": 1.0}) == Verdict.VACUOUS
    assert verdict("gate_staircase", {**rows, "rate": 0.6}) == Verdict.VACUOUS


@pytest.mark.theorem("gate_stationarity")
def test_a_gate_at_an_end_may_be_pushed_against_it_and_one_between_may_not():
    inside = {"gate": 0.5, "gate_violation": 1e-6, "step": 0.1, "residual": 2e-6}
    assert verdict("gate_stationarity", inside) == Verdict.HOLDS
    assert verdict("gate_stationarity", {**inside, "gate_violation": 3e-6}) == Verdict.VIOLATED
    assert verdict("gate_stationarity", {**inside, "gate": 1e-7}) == Verdict.VACUOUS  # the next step may shut it
    assert verdict("gate_stationarity", {**inside, "step": 1e6}) == Verdict.VACUOUS


SOLUTIONS = {
    "penalty": 2.0, "loss_reference": 1.0, "loss_found": 0.5, "penalised_leakage": 0.2, "leakage_reference": 0.0,
    "objective_found": 0.9, "objective_reference": 1.0, "global_penalty": 2.6, "steepest": 2.5,
    "loss_one": 0.5, "loss_two": 0.9, "leakage_one": 0.5, "leakage_two": 0.2, "penalty_one": 1.0, "penalty_two": 2.0,
    "objective_one": 1.0, "objective_one_of_two": 1.1, "objective_two": 1.3, "objective_two_of_one": 1.5,
    "loss_best": 0.65, "leakage_best": 0.35, "objective_best": 1.105, "objective_best_of_one": 1.15,
    "objective_best_of_two": 1.16,
}  # fmt: skip


@pytest.mark.theorem("penalised_leakage", "exchange_leakage", "exchange_rate", "supported_points", "hard_mask_cost")
@pytest.mark.parametrize(
    ("key", "violated", "vacuous"),
    [
        ("penalised_leakage", {"penalised_leakage": 0.26}, {"objective_found": 1.1}),
        ("penalised_leakage", {"penalised_leakage": 0.26}, {"leakage_reference": 0.1}),
        ("exchange_leakage", {"leakage_two": 0.6}, {"objective_one": 1.2}),
        ("exchange_leakage", {"leakage_two": 0.6}, {"objective_two": 1.6}),
        ("exchange_leakage", {"leakage_two": 0.6}, {"penalty_two": 0.9}),
        ("exchange_rate", {"penalty_two": 1.3}, {"objective_two": 1.6}),
        ("exchange_rate", {"penalty_two": 1.3}, {"leakage_two": 0.5}),
        ("supported_points", {"loss_best": 0.71}, {"objective_best": 1.155}),
        ("supported_points", {"loss_best": 0.71}, {"objective_best": 1.17}),
        ("supported_points", {"loss_best": 0.71}, {"leakage_best": 0.6}),
        ("supported_points", {"loss_best": 0.71}, {"leakage_best": 0.1}),
        ("hard_mask_cost", {"loss_reference": 1.1}, {"global_penalty": 2.4}),
    ],
)
def test_what_a_penalty_buys_holds_and_needs_its_hypotheses(key, violated, vacuous):
    assert verdict(key, SOLUTIONS) == Verdict.HOLDS
    assert verdict(key, SOLUTIONS | violated) == Verdict.VIOLATED
    assert verdict(key, SOLUTIONS | vacuous) == Verdict.VACUOUS


def mixed(**changes):
    """Two rows of 8 and 4 keys, half in the block, each spread evenly: leakage 1/2, entropy ln n."""
    rows = {
        "row_keys": [8.0, 4.0],
        "row_blocks": [4.0, 2.0],
        "n_keys": 6.0,
        "n_block": 3.0,
        "leakage": 0.5,
        "multiplier": 0.0,
    }
    rows |= {"observed_leakage": 0.5, "least_leakage": 0.5, "row_sum": 1.0, "mean_entropy": 1.7, "threshold": 0.8}
    return rows | {"share_above": 0.5} | changes


@pytest.mark.theorem("rows_above", "mean_entropy_split", "mean_entropy_mixed")
@pytest.mark.parametrize("key", ["rows_above", "mean_entropy_split", "mean_entropy_mixed"])
def test_means_over_rows_hold_and_need_the_leakage_to_be_enough(key):
    assert verdict(key, mixed()) == Verdict.HOLDS
    beyond = mixed(mean_entropy=1.8, share_above=0.65)
    assert verdict(key, beyond) == Verdict.VIOLATED
    assert verdict(key, mixed(leakage=0.4)) == Verdict.VACUOUS
    if key != "rows_above":
        assert verdict(key, mixed(row_sum=0.9)) == Verdict.VACUOUS


@pytest.mark.theorem("gate_steps_to_zero")
def test_steps_to_zero_on_data():
    rows = {"steps_to_zero": 10.0, "gate": 1.0, "gap": 0.5, "step": 0.2, "least_slope": 0.5, "accelerated": False}
    assert verdict("gate_steps_to_zero", {**rows, "steps_to_zero": 9.0 - 1e-9}) == Verdict.HOLDS
    assert verdict("gate_steps_to_zero", {**rows, "steps_to_zero": 12.0}) == Verdict.VIOLATED
    assert verdict("gate_steps_to_zero", {**rows, "least_slope": 0.4}) == Verdict.VACUOUS
    assert verdict("gate_steps_to_zero", {**rows, "accelerated": True}) == Verdict.VACUOUS


@pytest.mark.theorem("gate_basin")
def test_the_mask_is_better_up_to_the_printed_distance_and_not_beyond():
    """One gate, J = gamma s - M s^2/2: it meets J(0) at 2 gamma/M."""
    gamma, m = 0.3, 1.5
    radius = gate_basin(gamma, m)
    for t in (1e-6, 0.5 * radius, 0.999 * radius, 1.001 * radius):
        rise = gamma * t - m * t * t / 2
        assert (rise > 0) == (t < radius)
        rows = {"objective_rise": rise + 1e-12, "gap": gamma, "curvature_bound": m, "gates_norm": t}
        rows |= {"least_slope": gamma, "curvature": m}
        assert verdict("gate_basin", rows) == Verdict.HOLDS
        assert verdict("gate_basin", {**rows, "objective_rise": rise - 1e-9}) == Verdict.VIOLATED
        assert verdict("gate_basin", {**rows, "curvature": 1.01 * m}) == Verdict.VACUOUS
        assert verdict("gate_basin", {**rows, "least_slope": 0.99 * gamma}) == Verdict.VACUOUS


@pytest.mark.theorem("gate_curvature")
def test_at_the_rate_of_a_bent_loss_no_gates_of_the_layer_are_better_than_the_mask():
    """Two rows with o = eps, L = -sum (a o + M o^2/2): attained where both leak alike."""
    a, m, eps = 0.7, 0.4, 0.25
    rate = gate_rate_ceiling(2 * a, 2, m, 1.0, eps)
    change = 2 * (a * eps + m * eps**2 / 2)
    assert change - rate * eps == pytest.approx(0, abs=1e-15)
    rows = {"loss_change": change - 1e-9, "penalised_leakage": eps, "layers_open": 1, "layer_rows": 2, "size": 1.0}
    rows |= {"steepest": 2 * a, "pair_penalty": 2 * a, "curvature": m, "curvature_bound": m, "apart": 1.0}
    rows |= {"value_diameter": 1.0, "worst_leakage": eps, "largest_leakage": eps}
    assert verdict("gate_curvature", rows) == Verdict.HOLDS
    assert verdict("gate_curvature", {**rows, "loss_change": change * 1.001}) == Verdict.VIOLATED
    for name in ("layers_open", "steepest", "curvature", "apart", "worst_leakage"):
        assert verdict("gate_curvature", {**rows, name: 2 * rows[name]}) == Verdict.VACUOUS


def test_a_gate_of_rows_without_attention_on_both_sides_has_no_room_for_rounding():
    rows = {"splits": np.array([[0.0, 0.0], [0.5, 0.5]]), "rates": np.array([[1.0, 2.0]] * 2), "penalty": np.ones(2)}
    none, some = THEOREMS["gate_self_check"].tolerance(rows)
    assert none == 0 < some < 1e-11
