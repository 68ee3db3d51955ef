"""Ablation: what is taken away, that nothing else changes, and the theorem on every row."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from figure_checks import own_figures
from small import TOPICS, configured

from bounds.theorems import Verdict, by_key
from empirical.check.verdicts import check
from empirical.dial.changes import dial, steer
from empirical.laboratory.ablation import WAYS, ablated, averaged, output_rows, removed, silenced
from empirical.laboratory.dialled_pass import embedded, logits_and_values
from empirical.laboratory.model import Layout, forward, initial_parameters, token_losses
from empirical.laboratory.tasks import make_task
from empirical.shapes import plain
from empirical.studies.ablation import measure as study
from empirical.studies.frame import draw_study, read_study, run_study

AXES = ("head", "sequence", "query")


@pytest.fixture(scope="module")
def laboratory():
    config = configured(TOPICS)
    parameters = initial_parameters(config, 1, 1, torch.device("cpu"), torch.float64)
    parameters["forms"] *= 2
    task = make_task(config, 1, torch.device("cpu"))
    return parameters, task.heldout[:6], Layout(task.query_block, config, torch.float64), config


def inner(laboratory):
    parameters, sequences, layout, config = laboratory
    x = embedded(parameters, sequences[:, :-1])
    return logits_and_values(parameters, x, 0, layout, config)


def test_three_ways_to_take_keys_away():
    weights = torch.tensor([[0.5, 0.3, 0.2, 0.0], [0.0, 0.6, 0.4, 0.0]], dtype=torch.float64)
    taken = torch.tensor([[False, True, True, True]]).expand(2, 4)
    torch.testing.assert_close(removed(weights, taken), torch.tensor([[1.0, 0, 0, 0], [0, 0, 0, 0]]).double())
    torch.testing.assert_close(silenced(weights, taken), torch.tensor([[0.5, 0, 0, 0], [0, 0, 0, 0]]).double())
    even = torch.tensor([[0.5, 0.25, 0.25, 0.0], [0.0, 0.5, 0.5, 0.0]]).double()  # the last key is not seen
    torch.testing.assert_close(averaged(weights, taken), even)


def test_only_the_head_that_is_named_is_ablated(laboratory):
    _, _, layout, config = laboratory
    logits = inner(laboratory)[0].unsqueeze(0)
    plainly = logits.softmax(-1)
    for way in WAYS.values():
        weigh = ablated(1, 0, ~layout.in_block, way, config.setting.temperature)
        assert torch.equal(weigh(0, logits), plainly)
        assert torch.equal(weigh(1, logits)[:, 1], plainly[:, 1])
        assert not torch.equal(weigh(1, logits)[:, 0], plainly[:, 0])


def test_removing_the_outside_of_a_head_is_its_dial_at_1(laboratory):
    parameters, sequences, layout, config = laboratory
    tau, tokens = config.setting.temperature, sequences[:, :-1]
    one = ablated(1, 0, ~layout.in_block, removed, tau)
    other = steer(tau, dial(config, layout.in_block, dials=[[0.0, 0.0], [1.0, 0.0]]))
    found, expected = (forward(parameters, tokens, layout, config, weigh=weigh) for weigh in (one, other))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    losses = [token_losses(parameters, sequences, layout, config, weigh=weigh).mean() for weigh in (None, one)]
    assert losses[0] != losses[1]


@pytest.mark.parametrize("kappa", [0.0, 0.7, 3.0, math.inf])
@pytest.mark.parametrize("side", ["outside", "inside", "anchors"])
def test_on_every_row_the_output_moves_as_predicted(laboratory, kappa, side):
    layout, tau = laboratory[2], laboratory[3].setting.temperature
    taken = {"outside": ~layout.in_block, "inside": layout.in_block, "anchors": layout.anchor & layout.in_block}[side]
    rows = {key: plain(value) for key, value in output_rows(*inner(laboratory), taken, tau, kappa).items()}
    for key in ("output_error", "dial_segment"):
        outcome = check(by_key(key), rows, AXES)
        assert outcome.rows == 2 * 6 * 16
        assert outcome.counts[Verdict.HOLDS] > 0.9 * outcome.rows
        assert outcome.counts[Verdict.VIOLATED] == 0
    np.testing.assert_allclose(rows["output_error"], rows["leakage"] * rows["mean_gap"], rtol=1e-9, atol=1e-12)


def test_rows_are_those_of_a_plain_loop(laboratory):
    logits, values = inner(laboratory)
    layout = laboratory[2]
    rows = output_rows(logits, values, ~layout.in_block, 1.0)
    head, sequence, query = 1, 2, 13
    weights, inside = logits[head, sequence, query].softmax(-1), layout.in_block[query]
    mean = (weights * inside) @ values[head, sequence] / weights[inside].sum()
    expected = (weights @ values[head, sequence] - mean).norm()
    place = (head, sequence, query)
    torch.testing.assert_close(rows["output_error"][place], expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(rows["output_moved"][place], expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(rows["leakage"][place], weights[~inside].sum(), rtol=1e-12, atol=0)


def test_a_wrong_mass_is_noticed(laboratory):
    layout = laboratory[2]
    rows = {key: plain(value) for key, value in output_rows(*inner(laboratory), ~layout.in_block, 1.0).items()}
    rows["leakage"] = rows["leakage"] * 0.999
    assert check(by_key("dial_segment"), rows, AXES).verdict is Verdict.VIOLATED


def test_where_nothing_else_is_seen_the_theorem_says_nothing():
    logits = torch.tensor([[[[0.0, -math.inf]]]], dtype=torch.float64)
    values = torch.ones(1, 1, 2, 3, dtype=torch.float64)
    rows = output_rows(logits, values, torch.tensor([[True, False]]), 1.0)
    assert all(value.isfinite().all() for value in rows.values())
    arrays = {key: plain(value) for key, value in rows.items()}
    assert check(by_key("output_error"), arrays, AXES).counts[Verdict.VACUOUS] == 1


def test_rank_correlation_is_of_ranks():
    x = np.array([1.0, 2.0, 3.0, 4.0])
    assert study.rank_correlation(x, np.exp(x)) == pytest.approx(1)
    assert study.rank_correlation(x, -(x**3)) == pytest.approx(-1)
    assert study.rank_correlation(x, np.array([1.0, 3.0, 2.0, 4.0])) == pytest.approx(0.8)


def test_the_whole_study(tmp_path):
    config = configured(TOPICS, sweep={"penalties": [0.0]})
    outcomes = run_study("ablation", config, tmp_path)
    assert [(o.theorem.key, o.verdict) for o in outcomes] == [
        ("output_error", Verdict.HOLDS),
        ("dial_segment", Verdict.HOLDS),
    ]
    numbers = read_study(tmp_path)["numbers"]
    assert len(numbers["heads"]) == 3 * 2 * 2
    for row in numbers["heads"]:
        assert row["output_change"] == pytest.approx(row["predicted"], rel=1e-9)
        assert row["output_change"] <= row["predicted_at_most"]
    inside, outside = (sum(r["mass"] for r in numbers["heads"] if r["side"] == s) for s in ("inside", "outside"))
    assert inside + outside == pytest.approx(4)
    assert own_figures(draw_study(tmp_path, tmp_path / "drawn")) == ["ablation.png", "ablation.svg"]
