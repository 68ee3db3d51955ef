"""Figures of gates trained with the weights: what they say is what is there, and what is not there is said."""

from __future__ import annotations

import numpy as np
import pytest
from figure_checks import cut_off, words_of
from gated_run import gated_run

from empirical.figures import GATED, style
from empirical.figures.observed import Absent, Observed
from empirical.figures.trained_gates import (
    along_training,
    beside_plain_penalty,
    leakage_and_ceiling,
    witness,
    zero_gates,
)


@pytest.fixture(scope="module")
def dataset():
    return gated_run()


def drawn(figure, dataset):
    with style.drawing():
        return figure(Observed(dataset))


@pytest.mark.parametrize("name", GATED)
def test_every_figure_is_drawn_whole(name, dataset):
    made = drawn(GATED[name], dataset)
    assert not cut_off(made)
    assert "leakage" in words_of(made) or "gate" in words_of(made)


def test_the_share_of_zero_gates_is_counted_from_the_gates(dataset):
    said = words_of(drawn(zero_gates, dataset))
    moved = dataset["start"].values != "ungated"
    shut = (dataset["gate"].values == 0).all(-1)
    assert f"exactly 0 in {(shut & moved).sum()} of {moved.sum()} settings, 2 of 2 above level A" in said


def test_the_witness_is_the_steepest_descent_from_leakage_zero(dataset):
    loss, omega = dataset["loss_train"].values, dataset["omega"].values
    least = min(dataset["loss_localised"].values.min(), dataset["loss_shut"].values.min())
    rates = [(least - a) / b for a, b in zip(loss, omega) if b > 0]
    assert witness(Observed(dataset)) == pytest.approx(max(rates), rel=1e-12)


def test_leakage_beyond_its_ceiling_is_shouted(dataset):
    assert "No leakage lies above its ceiling" in words_of(drawn(leakage_and_ceiling, dataset))
    wrong = dataset.assign(omega=dataset["omega"] + 1e-6, loss_train=dataset["loss_train"] * 0 - 10)
    assert "ceiling" in words_of(drawn(leakage_and_ceiling, wrong))
    worse = dataset.assign(loss_train=dataset["loss_train"] + 10)
    assert f"VACUOUS in {dataset.sizes['setting']}" in words_of(drawn(leakage_and_ceiling, worse))


def test_a_plain_penalty_is_said_to_reach_no_zero(dataset):
    said = words_of(drawn(beside_plain_penalty, dataset))
    least = dataset["omega"].values[dataset["start"].values == "ungated"].min()
    assert f"a plain penalty in none: its least is {least:.1g}" in said
    with pytest.raises(Absent, match="not both gates and a plain penalty"):
        drawn(beside_plain_penalty, dataset.isel(setting=np.flatnonzero(dataset["start"].values != "ungated")))


def test_moments_on_either_side_of_their_critical_penalty_are_counted(dataset):
    said = words_of(drawn(along_training, dataset))
    wants = int((dataset["moment_critical"].values > 0).sum())
    assert f"opens a gate in {wants} of {wants} moments, at 1.02 in 0 of {wants}" in said
