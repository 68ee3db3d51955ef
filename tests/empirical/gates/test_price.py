"""Prices of attention that is known by hand: closed forms, duplicated heads, a model that ignores other blocks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sympy
import torch
from planted import COPIED, A, documents, head, indifferent, induction, layer, planted, stream, twins
from scipy.integrate import quad

from empirical.errors import BadInput
from empirical.gates.groups import AXES, grouped
from empirical.gates.pair_map import cell_map
from empirical.gates.price import NONE_OPENS, mask_prices, priced

ODDS = [math.log(odds) for odds in (0.1, 10.0, 1e4, 1e8)]
OTHER = 6.0


def closed_form(own):
    """The loss of `induction` by its two gates that do something."""
    s, t = sympy.symbols("s t")
    noted = s * sympy.exp(own) / (1 + s * sympy.exp(own))
    found = t * sympy.exp(OTHER * noted)
    loss = 1 - found / (1 + sympy.exp(OTHER / (2 + s)) + found)
    return sympy.lambdify((s, t), loss), [sympy.lambdify((s, t), sympy.diff(loss, gate)) for gate in (s, t)]


def integral(slope, own):
    """- of slope(t, t) over [0, 1], in ln t."""
    whole = [
        quad(lambda u: -slope(math.exp(u), math.exp(u)) * math.exp(u), a, a + 4, epsabs=1e-13)[0]
        for a in range(-60, 0, 4)
    ]
    return sum(whole)


@pytest.mark.parametrize("own", ODDS)
def test_prices_of_the_induction_model_are_its_closed_forms(own):
    found, (loss, slopes) = priced(induction(own, OTHER)), closed_form(own)
    change = loss(0, 0) - loss(1, 1)
    assert found.attrs["loss_mask"] == pytest.approx(loss(0, 0), rel=1e-14)
    assert found.attrs["change"] == pytest.approx(change, rel=1e-12)
    wanted = np.zeros((2, 2))
    wanted[0, 0], wanted[1, 1] = (integral(slope, own) for slope in slopes)
    room = 1e-3 * max(abs(change), 0.01)
    assert abs(found.attrs["share_sum"] - change) <= room
    assert abs(found.attrs["stair_share_sum"] - change) <= room
    np.testing.assert_allclose(found["share"], wanted, atol=room)
    assert (np.abs(found["share"] - wanted) <= found["share_error"] + 1e-12).all()
    at_mask = -slopes[1](0, 0)
    np.testing.assert_allclose(found["price_at_mask"], [[0, 0], [0, at_mask]], atol=1e-14)
    np.testing.assert_allclose(found["price_as_trained"], [[-slopes[0](1, 1), 0], [0, -slopes[1](1, 1)]], atol=1e-12)
    ablations = [[loss(0, 1) - loss(1, 1), 0], [0, loss(1, 0) - loss(1, 1)]]
    np.testing.assert_allclose(found["ablation"], ablations, atol=1e-12)
    leakage = (1 + at_mask) / 3  # of B, whose one key outside has odds 1, and of ASK, in the mean over three rows
    np.testing.assert_allclose(found["critical_penalty"], [[0, 0], [0, at_mask / leakage]], rtol=1e-12, atol=1e-14)
    assert found.attrs["lambda_crit"] == pytest.approx(at_mask / leakage, rel=1e-12)
    for gate in ((0, 1), (1, 0)):
        assert not any(float(found[name][gate]) for name in ("share", "price_at_mask", "price_as_trained", "ablation"))


@pytest.mark.parametrize("own", ODDS[1::2])
def test_the_staircase_says_what_each_layer_is_worth(own):
    """The first head is of no use before the second opens, and the second then has it all."""
    found, (loss, _) = priced(induction(own, OTHER), path=("staircase",), ablations=False), closed_form(own)
    np.testing.assert_allclose(found["stair_loss"], [0, loss(1, 0) - loss(1, 1)], atol=1e-12)
    room = 1e-3 * max(0.01, loss(1, 0) - loss(1, 1))
    np.testing.assert_allclose(found["stair_price"], found["stair_loss"], atol=room)
    assert float(found["stair_leakage"].sum()) == pytest.approx(found.attrs["omega_as_trained"], rel=1e-12)
    np.testing.assert_allclose(found["stair_rate"] * found["stair_leakage"], found["stair_loss"], atol=1e-12)
    assert "share" not in found


def test_heads_that_do_the_same_share_the_price_and_shutting_one_costs_nothing():
    found = priced(twins(4.0))
    np.testing.assert_allclose(found["ablation"], 0, atol=1e-8)
    np.testing.assert_allclose(found["share"].sum(), found.attrs["change"], rtol=1e-3)
    np.testing.assert_allclose(found["share"][0, 0], found["share"][0, 1], rtol=1e-12)
    assert found.attrs["change"] > 0.999


def test_a_model_that_ignores_other_blocks_has_no_price():
    found = priced(indifferent())
    names = ("share", "stair_share", "price_at_mask", "price_as_trained", "ablation", "critical_penalty")
    assert max(float(np.abs(found[name]).max()) for name in names) < 1e-12
    assert float(found["leakage"].min()) > 0.1


def test_no_penalty_is_claimed_where_no_gate_wants_to_open():
    problem = twins(1.0)
    worse = type(problem)(problem.groups, problem.sizes, lambda *given, **more: _negated(problem.read(*given, **more)))
    found = priced(worse)
    assert found.attrs["lambda_crit"] == 0
    assert found.attrs["statement"] == NONE_OPENS


def _negated(reading):
    return type(reading)(-reading.loss, reading.scored, reading.leakage, reading.rows, reading.layers)


@pytest.mark.parametrize(
    "by", [("layer", "head"), ("layer",), ("head", "block_query"), AXES, ("layer", "block_key"), ()]
)
def test_the_pair_map_adds_up_to_the_gates_own_gradients(by):
    problem = documents(groups=by)
    found = cell_map(problem)
    zero = torch.zeros(problem.groups.count, dtype=torch.float64)
    _, of_loss, of_omega = problem.slopes(zero, omega=True)
    per_token = of_loss.sum(0) / problem.counts[0].sum()
    torch.testing.assert_close(found.price_of(problem), -per_token, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(found.omega_of(problem), of_omega.sum(0), rtol=1e-10, atol=1e-10)
    data = mask_prices(problem)
    assert data["critical_penalty"].dims == tuple(name for name in AXES if name in by)
    some = of_omega.sum(0) > 0
    critical = (-per_token / of_omega.sum(0)).clamp(min=0)[some]
    torch.testing.assert_close(torch.as_tensor(data["critical_penalty"].values.flatten())[some], critical)
    assert np.isnan(data["critical_penalty"].values.flatten()[~some.numpy()]).all()
    weighted = (data["pair_penalty"] * data["pair_weight"]).sum()
    assert float(weighted) == pytest.approx(-float(per_token.sum()), rel=1e-10, abs=1e-12)


def test_every_pair_s_own_penalty_is_that_of_a_gate_for_it_alone():
    """lambda_ij whatever its weight: each token a block of its own, so that a cell is a pair."""
    problem = documents(count=1, tokens=6)
    pairs = {}

    def each(_, layer, start, rate, rho):
        for place in (rho > 0).nonzero().tolist():
            pairs[(layer, place[1], start + place[2], place[3])] = float(rate[tuple(place)]), float(rho[tuple(place)])

    found = mask_prices(problem, each)
    assert pairs
    rows = problem.counts[1][0].numpy()
    total = np.zeros((3, 3))
    for place, (rate, rho) in pairs.items():
        total[place[:2]] += rho * rate
    np.testing.assert_allclose(found["price_at_mask"], total, rtol=1e-10, atol=1e-12)
    largest = max(rate * rows[place[:2]] for place, (rate, _) in pairs.items())
    assert float(found["pair_largest"].max()) == pytest.approx(largest, rel=1e-12)


def test_shares_add_up_and_intervals_hold_the_estimates():
    found = priced(documents(groups=("layer", "head", "block_key")), path=("diagonal",))
    room = 1e-3 * max(abs(found.attrs["change"]), 0.01)
    assert abs(float(found["share"].sum()) - found.attrs["change"]) <= room
    assert (found["share_low"] <= found["share_high"]).all()
    assert found.attrs["lambda_crit_low"] <= found.attrs["lambda_crit_high"]
    assert found["share"].dims == ("layer", "head", "block_key")


def test_what_prices_cannot_be_had_of_is_refused():
    with pytest.raises(BadInput, match="path must not be the staircase"):
        priced(documents(groups=("head",)))
    with pytest.raises(BadInput, match="path must be some of"):
        priced(documents(), path=("straight",))
    problem = documents()
    nan = type(problem)(problem.groups, problem.sizes, lambda *g, **m: _scaled(problem.read(*g, **m), math.nan))
    with pytest.raises(BadInput, match="loss must be finite"):
        priced(nan)
    blind = type(problem)(problem.groups, problem.sizes, lambda *g, **m: _detached(problem.read(*g, **m)))
    with pytest.raises(BadInput, match="loss must depend on attention"):
        priced(blind)


def _scaled(reading, by):
    return type(reading)(reading.loss * by, reading.scored, reading.leakage, reading.rows, reading.layers)


def _detached(reading):
    return type(reading)(reading.loss.detach(), reading.scored, reading.leakage, reading.rows, reading.layers)


def test_blocks_that_leave_nothing_outside_are_refused():
    one = grouped(1, 1, 1)
    problem = planted(
        stream(A, A),
        torch.zeros(1, 2).long(),
        [layer(head({A: 1.0}, {A: 1.0}, A, COPIED))],
        lambda x: x.sum((1, 2)),
        one,
    )
    with pytest.raises(BadInput, match="blocks must leave a query something outside"):
        priced(problem)
