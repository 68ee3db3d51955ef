"""Rows of the theorems on gates: none violated by a run, each by a fault of its own, reasons for what is undecided."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from gated_run import gated_run
from synthetic_observations import observations

from bounds.theorems import OBSERVED, Verdict, by_key
from empirical.check.gates import NOT_PROVED, REFERENCES, ROWS, level_a
from empirical.check.report import verdict_table
from empirical.check.verdicts import check_dataset


@pytest.fixture(scope="module")
def dataset():
    return gated_run()


@pytest.fixture(scope="module")
def outcomes(dataset):
    return {outcome.theorem.key: outcome for outcome in check_dataset(dataset, cloud=True, witnesses=False)}


def test_every_theorem_on_gates_is_decided_by_the_run_and_none_is_violated(outcomes):
    assert {*ROWS} | {theorem.key for theorem in OBSERVED} == set(outcomes)
    assert not [key for key, outcome in outcomes.items() if outcome.verdict is Verdict.VIOLATED]
    assert [key for key in ROWS if not outcomes[key].counts[Verdict.HOLDS]] == []
    plain = json.loads(json.dumps([outcomes[key].as_dict() for key in ROWS], allow_nan=False))
    assert all(sum(one["counts"].values()) for one in plain)


def test_both_sides_of_the_critical_penalty_are_a_row_each(outcomes, dataset):
    wants = int((dataset["moment_critical"].values > 0).sum())
    assert outcomes["gates_open"].counts[Verdict.HOLDS] == wants
    assert outcomes["gates_stay"].counts[Verdict.HOLDS] >= wants
    assert outcomes["gates_open"].worst["ratio"] == 0.98


def test_level_a_of_the_run_is_that_of_its_caps(dataset):
    np.testing.assert_allclose(level_a(dataset), 2 * 1.0 * 2 * 2.0, rtol=1e-14)


FAULTS = {
    "pair_law": ("pair_penalty", lambda x: x * 1.01),
    "gate_shares": ("gate_share", lambda x: x * 1.1),
    "gate_stationarity": ("gate_slope", lambda x: -x),
    "gates_stay": ("probe_open", lambda x: x + 1),
    "gates_open": ("probe_open", lambda x: x * 0),
    "gate_self_check": ("open_rate", lambda x: x * 0.01),
    "gate_level_a": ("gate", lambda x: x + 0.1),
    "hard_mask_cost": ("loss_shut", lambda x: x + 1e3),
    "mean_entropy_split": ("entropy_nats", lambda x: x + 2),
    "mean_entropy_mixed": ("entropy_nats", lambda x: x + 2),
}


@pytest.mark.parametrize("key", FAULTS)
def test_a_planted_fault_turns_its_theorem_red(dataset, key):
    field, fault = FAULTS[key]
    spoiled = dataset.assign({field: dataset[field].copy(data=fault(dataset[field].values))})
    (outcome,) = check_dataset(spoiled, [by_key(key)], witnesses=False)
    assert outcome.counts[Verdict.VIOLATED], key


def test_leakage_above_its_ceiling_is_found_and_named(dataset):
    theorem = by_key("penalised_leakage")
    told = ROWS["penalised_leakage"](dataset).rows
    more = {**told, "penalised_leakage": told["penalised_leakage"] + 1e3}
    codes = theorem.verdicts(more)
    applies = (told["objective_found"] <= told["objective_reference"]) & (told["penalty"] > 0)
    assert applies.any()
    assert (codes[applies] == Verdict.VIOLATED.code).all()
    (outcome,) = check_dataset(dataset, [theorem], witnesses=False)
    assert outcome.worst["reference"] in REFERENCES


def test_a_head_has_one_row_of_means_and_the_least_over_its_queries(dataset):
    whole = {
        name: xr.broadcast(dataset[name], dataset["leakage"])[0].transpose("setting", "layer", "head", "query").values
        for name in ("leakage", "n_keys", "n_block")
    }
    split, above = (ROWS[key](dataset).rows for key in ("mean_entropy_split", "rows_above"))
    for name, values in whole.items():
        np.testing.assert_allclose(np.broadcast_to(split[name], values.shape[:3]), values.mean(-1), rtol=1e-14)
    np.testing.assert_array_equal(above["least_leakage"][..., 0], whole["leakage"].min(-1))


def test_where_training_ended_above_the_reference_the_ceiling_says_nothing(dataset):
    worse = dataset.assign(loss_train=dataset["loss_train"] + 10)
    (outcome,) = check_dataset(worse, [by_key("penalised_leakage")], witnesses=False)
    assert outcome.counts[Verdict.VACUOUS] == outcome.rows
    assert list(outcome.failed) == ["J(found) <= J(reference), on the same data"]


def test_masking_is_unknown_with_its_reason_where_level_a_is_not_proved(dataset):
    unbounded = dataset.assign(gradient_bound=dataset["gradient_bound"] * np.nan)
    (outcome,) = check_dataset(unbounded, [by_key("hard_mask_cost")], witnesses=False)
    assert outcome.verdict is Verdict.UNKNOWN
    assert outcome.unknown == NOT_PROVED
    assert NOT_PROVED in verdict_table([outcome])
    (level,) = check_dataset(unbounded, [by_key("gate_level_a")], witnesses=False)
    assert level.verdict is Verdict.VACUOUS


def test_gates_shared_over_layers_have_no_level_a(dataset):
    shared = dataset.isel(layer=[0, 0]).assign(gate_layer=dataset["gate_layer"] * 0 - 1)
    assert np.isnan(level_a(shared)).all()


def test_a_run_without_gates_lacks_them_and_says_what_gives_them():
    plain = observations("topics", seeds=1, queries=8)
    (outcome,) = check_dataset(plain, [by_key("penalised_leakage")], witnesses=False)
    assert outcome.lacks == ("gate",)
    assert 'with penalty.kind = "gates", saves them' in verdict_table([outcome], asked=True)
    assert not set(ROWS) & {o.theorem.key for o in check_dataset(plain, witnesses=False)}


def test_a_wrong_constant_is_noticed(dataset):
    theorem = by_key("mean_entropy_mixed")
    wrong = replace(theorem, bound=lambda rows: 0.01 * theorem.bound(rows))
    (outcome,) = check_dataset(dataset, [wrong], witnesses=False)
    assert outcome.verdict is Verdict.VIOLATED
