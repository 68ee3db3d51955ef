"""Non-interference: bit for bit at dial 1, found out where a write crosses, and within the depth sum below."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest
import torch
from figure_checks import own_figures
from small import TOPICS, configured

from bounds.theorems import Verdict, by_key
from empirical.check.verdicts import check
from empirical.dial.changes import adaptive_dial, dial, steer
from empirical.dial.guard import Guard
from empirical.laboratory.model import Layout, initial_parameters
from empirical.laboratory.tasks import make_task
from empirical.studies.frame import draw_study, read_study, run_study, verdicts
from empirical.studies.interference import measure as study
from empirical.studies.interference import mechanism as interference
from empirical.studies.interference.mechanism import (
    attack,
    changed_bits,
    gradient,
    leaking,
    masking,
    pair_of,
    perturbed,
    replaced,
    tokens_of,
)

ALMOST = 0.999999
ROUNDING = 1e-12  # some thousand float64 operations, none cancelling: relative to a bound


def laboratory_of(**changes):
    """An untrained float64 model with logits of a few units, tokens, layout: enough for a theorem of any model."""
    config = configured(TOPICS, model=changes)
    parameters = initial_parameters(config, 1, 1, torch.device("cpu"), torch.float64)
    parameters["forms"] *= 2
    task = make_task(config, 1, torch.device("cpu"))
    return parameters, task.heldout[:12, :-1], Layout(task.query_block, config, torch.float64), config


@pytest.fixture(scope="module")
def laboratory():
    return laboratory_of()


def put_to_the_test(laboratory, change, stream=False, sequences=24):
    parameters, tokens, layout, config = laboratory
    weigh, generator = steer(config.setting.temperature, change), torch.Generator().manual_seed(3)
    return perturbed(parameters, tokens, layout, config, weigh, sequences, generator, stream)


@pytest.mark.parametrize("change", [{}, {"anchor_logit": None, "mlp": False}, {"stream": "shared"}, {"causal": False}])
def test_at_dial_1_outside_tokens_change_no_bit_of_a_block(change):
    parameters, tokens, layout, config = laboratory_of(**change)
    found = put_to_the_test((parameters, tokens, layout, config), masking(config, layout))
    assert found["changed_bits"].shape == (2, 24)
    assert (found["perturbed_tokens"] == 8).all()
    assert (found["bits"] == 8 * 4 * 64).all()  # tokens of the block, features, bits
    assert (found["changed_bits"] == 0).all()
    assert (found["output_change"] == 0).all()


def test_the_same_test_finds_what_the_last_millionth_of_the_dial_lets_through(laboratory):
    config, layout = laboratory[3], laboratory[2]
    found = put_to_the_test(laboratory, dial(config, layout.in_block, dials=ALMOST))
    assert (found["changed_bits"].max(1) > 0).all()
    assert 0 < found["output_change"].max() < 1e-3


def test_the_same_test_finds_a_write_that_crosses_blocks(laboratory):
    found = put_to_the_test(laboratory, leaking(laboratory[3], laboratory[2]))
    assert (found["changed_bits"] > 0).all()


def test_in_the_shared_stream_other_tokens_hold_features_of_a_block_and_in_the_localist_one_none(laboratory):
    for stream, none in (("localist", True), ("shared", False)):
        parameters, tokens, layout, config = laboratory_of(stream=stream)
        found = put_to_the_test((parameters, tokens, layout, config), masking(config, layout), stream=True)
        assert (found["bits"] == 16 * 4 * 64).all()
        assert bool((found["changed_bits"] == 0).all()) is none


def test_fidelity_is_not_isolation(laboratory):
    """Every row keeps 0.99 of its attention inside, under guard, and bits change."""
    config, layout = laboratory[3], laboratory[2]
    tau = config.setting.temperature
    with Guard(0.99, layout.in_block, tau) as guard:
        faithful = adaptive_dial(0.99, layout.in_block, tau)
        found = put_to_the_test(laboratory, lambda layer, logits: guard(layer, faithful(layer, logits)))
    assert guard.rows > 1000
    assert (found["changed_bits"] > 0).mean() > 0.9


def test_outside_embeddings_have_no_gradient_at_dial_1_and_one_just_below(laboratory):
    parameters, tokens, layout, config = laboratory
    for value in (1.0, ALMOST):
        weigh = steer(config.setting.temperature, dial(config, layout.in_block, dials=value))
        for block in range(2):
            found = gradient(parameters, tokens, layout, config, weigh, block)
            own = tokens_of(layout, block)
            assert (found[:, own].abs().amax(-1) > 0).all()
            assert bool((found[:, ~own] == 0).all()) is (value == 1)


@pytest.mark.parametrize("kappa", [0.0, 0.7, 5.0, 12.0, math.inf])
def test_a_change_keeps_to_the_depth_sums_of_both_sequences(laboratory, kappa):
    parameters, tokens, layout, config = laboratory
    for block in range(2):
        generator = torch.Generator().manual_seed(block)
        other = replaced(tokens, ~tokens_of(layout, block), config.task.vocabulary, generator)
        pair = pair_of(parameters, tokens, (parameters, other), layout, config, kappa, block)
        assert (pair.change() <= pair.bound() * (1 + ROUNDING)).all()
        assert bool((pair.change() > 0).any()) is (kappa < math.inf)
        outcome = check(by_key("depth_sum"), pair.rows(), ("of_pair", "sequence"))
        assert outcome.counts[Verdict.HOLDS] == (24 if kappa < math.inf else outcome.counts[Verdict.HOLDS])
        assert outcome.verdict is not Verdict.VIOLATED


def test_a_block_is_a_system_of_its_own_at_dial_1(laboratory):
    parameters, tokens, layout, config = laboratory
    other = replaced(tokens, ~tokens_of(layout, 0), config.task.vocabulary, torch.Generator().manual_seed(1))
    one, two = (
        pair_of(parameters, x, (parameters, x), layout, config, 1.0, 0).isolated.states for x in (tokens, other)
    )
    assert one.shape[2] == 8
    assert torch.equal(one, two)


def test_an_ascent_finds_more_than_chance_and_stays_within_the_bound(laboratory):
    parameters, tokens, layout, config = laboratory
    few, kappa = tokens[:4], 2.0
    own = tokens_of(layout, 1)
    changes = []
    for steps in (0, 10, 40):
        generator = torch.Generator().manual_seed(5)
        sought = attack(parameters, few, layout, config, kappa, 1, steps, generator)
        pair = pair_of(parameters, few, sought, layout, config, kappa, 1)
        assert (pair.change() <= pair.bound() * (1 + ROUNDING)).all()
        changes.append(pair.change())
        held = sought[0]["embedding"][0][sought[1]][:, own]
        assert torch.equal(held, parameters["embedding"][0][few][:, own])
    assert (changes[2] > 1.2 * changes[0]).all()
    assert (changes[2] >= changes[1] * (1 - ROUNDING)).all()  # the largest met is kept
    assert (changes[1] >= changes[0] * (1 - ROUNDING)).all()


def test_an_ascent_at_dial_1_finds_nothing(laboratory):
    parameters, tokens, layout, config = laboratory
    sought = attack(parameters, tokens[:2], layout, config, math.inf, 0, 5, torch.Generator().manual_seed(5))
    assert (pair_of(parameters, tokens[:2], sought, layout, config, math.inf, 0).change() == 0).all()


def test_the_sum_of_one_sequence_alone_is_no_bound(laboratory):
    """The test of the bound can fail: some pair changes by more than the lesser of the two sums."""
    parameters, tokens, layout, config = laboratory
    sought = attack(parameters, tokens[:4], layout, config, 2.0, 1, 40, torch.Generator().manual_seed(5))
    pair = pair_of(parameters, tokens[:4], sought, layout, config, 2.0, 1)
    least = np.minimum(
        *(interference.depth_sum(t, interference.secants(pair.isolated, t)) for t in (pair.one, pair.other))
    )
    assert (pair.change() > least).any()


def test_changed_bits_are_those_of_the_numbers():
    def naive(a, b):
        words = (int.from_bytes(struct.pack("<d", x), "little") for x in (a, b))
        return bin(next(words) ^ next(words)).count("1")

    one, other = np.array([[0.0, 1.5], [2.0, -1.0]]), np.array([[-0.0, 1.5], [2.0000000001, 1.0]])
    expected = [sum(naive(a, b) for a, b in zip(x, y)) for x, y in zip(one, other)]
    assert changed_bits(one, other).tolist() == expected
    assert expected[0] == 1


def test_every_chosen_token_is_another_and_no_other_is():
    tokens = torch.zeros(50, 6, dtype=torch.int64) + torch.arange(6)
    chosen = torch.arange(6) % 2 == 0
    other = replaced(tokens, chosen, 6, torch.Generator().manual_seed(0))
    assert (other != tokens)[:, chosen].all()
    assert torch.equal(other[:, ~chosen], tokens[:, ~chosen])
    assert sorted(other[:, 0].unique().tolist()) == [1, 2, 3, 4, 5]


def test_the_whole_study(tmp_path, monkeypatch):
    monkeypatch.setattr(study, "TOKENS", 2000)
    for name in ("COMPARED", "PAIRS", "ATTACKED"):
        monkeypatch.setattr(study, name, 8)
    config = configured(TOPICS, setting={"n_anchors": 1, "fidelity": 0.99}, sweep={"penalties": [0.0]})
    outcomes = run_study("interference", config, tmp_path)
    assert [outcome.theorem.key for outcome in outcomes] == ["non_interference", "non_interference", "depth_sum"]
    assert all(outcome.verdict is Verdict.HOLDS for outcome in outcomes)
    numbers = read_study(tmp_path)["numbers"]
    first = numbers["compared"][0]
    assert first["perturbed_tokens"] >= 2000
    assert {row["changed_bits"] for row in numbers["compared"] if row["predicted"] == 0} == {0}
    assert all(row["changed_bits"] > 0 for row in numbers["compared"] if row["predicted"] is None)
    assert sum(row["predicted"] is None for row in numbers["compared"]) == 6
    assert [row["beyond_bound"] for row in numbers["below"]] == [0] * len(study.DIALS)
    assert numbers["gradient"][0]["outside"] == 0 < numbers["gradient"][1]["outside"]
    assert "isolat" not in study.table(numbers)
    assert own_figures(draw_study(tmp_path, tmp_path / "drawn")) == ["interference.png", "interference.svg"]

    def not_again(*_, **__):
        raise AssertionError

    monkeypatch.setattr(study, "perturbed", not_again)
    run_study("interference", config, tmp_path, resume=True)
    assert read_study(tmp_path)["numbers"] == numbers
    assert [o.counts for o in verdicts(tmp_path)] == [o.counts for o in outcomes]
