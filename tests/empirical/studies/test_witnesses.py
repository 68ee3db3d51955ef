"""Witnesses: searched values below, proved levels above; no gradient of the sublevel set exceeds its level."""

from __future__ import annotations

import pytest
import torch
from small import SMALL, configured

from empirical.laboratory import penalty_levels
from empirical.laboratory.tasks import make_task
from empirical.laboratory.training import localise
from empirical.penalise.proximal_gradient import cross_blocks, group_norms
from empirical.studies.edges import witnesses as study

CONFIG = configured(SMALL)


@pytest.fixture(scope="module")
def data():
    return make_task(CONFIG, 1, torch.device("cpu")).training


@pytest.fixture(scope="module")
def found(data):
    return study.witnesses(data, CONFIG, localise(CONFIG, 1), 400, 100, study.STARTS[:1])


def test_what_is_searched_lies_between_the_critical_penalty_and_what_is_proved(data, found):
    critical = float(localise(CONFIG, 1)["critical"])
    value = {name: level for name, _, level, _ in penalty_levels.proved_levels(data, torch.as_tensor(found["losses"]))}
    assert 0 < critical <= found["stationary"]
    assert 0 < found["witness"] < value["sublevel, Cauchy-Schwarz"]
    assert max(found["stationary"], found["witness"]) < min(value.values())
    assert value["level C, Cauchy-Schwarz"] <= value["level A, with query shares"]
    assert value["level C, mean of products"] <= value["level A, with query shares"]


def test_block_losses_add_up(data):
    forms = torch.randn(2, 1, 1, *2 * (data.blocks, data.query.shape[-1] // data.blocks), dtype=data.query.dtype)
    assert torch.allclose(study.block_losses(data, forms).sum(-1), data.loss(forms))


def operator_level(data):
    return penalty_levels.operator_level(penalty_levels.level_ingredients(data), data.temperature)


def gradients(data, forms):
    norm = group_norms(data.loss_and_gradient(forms)[1])[:, 0, 0]
    return norm.masked_fill(~cross_blocks(data.blocks), 0.0)


def test_no_gradient_exceeds_its_level(data):
    """Small, large and aligned W: below level C all, and each below the sublevel bound of its own losses."""
    operator = operator_level(data)
    shape = (60, 1, 1, *2 * (data.blocks, data.query.shape[-1] // data.blocks))
    generator = torch.Generator().manual_seed(0)
    scale = 10 ** (2.5 * torch.rand(60, 1, 1, 1, 1, 1, 1, generator=generator, dtype=torch.float64) - 1)
    forms = scale * torch.randn(shape, generator=generator, dtype=torch.float64)
    forms = torch.cat([forms, *(study.aligned(data, s) * f for s in study.STARTS for f in (0.3, 1.0, 3.0))])
    norms = gradients(data, forms)
    assert norms.max() <= operator
    known = penalty_levels.level_ingredients(data)
    levels = torch.tensor(
        [penalty_levels.sublevel_level(known, losses, data.temperature) for losses in study.block_losses(data, forms)]
    )
    assert (norms.flatten(1).amax(1) <= levels).all()
    assert (norms.flatten(1).amax(1) > levels / 20).any()  # and it says something


def test_a_level_ten_thousand_times_smaller_would_be_exceeded(data):
    forms = study.aligned(data, 5.0)
    assert gradients(data, forms).max() > operator_level(data) / 1e4


def test_an_ascended_witness_is_a_witness(data):
    losses = study.block_losses(data, torch.as_tensor(localise(CONFIG, 1)["parameter/forms"]))[0]
    start = study.aligned(data, 5.0)
    ratio, forms = study.ascend_ratio(data, start, losses, 30)
    assert ratio >= float(study.ratios_of(data, start, losses).max()) - 1e-12
    assert float(study.ratios_of(data, forms, losses).max()) == pytest.approx(ratio)
