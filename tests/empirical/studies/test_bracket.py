"""The bracket: searched values below, proved levels above; no gradient of the sublevel set exceeds its level."""

from __future__ import annotations

import json

import pytest
import torch
from small import SMALL, TOPICS, configured

from empirical.errors import BadInput
from empirical.laboratory.tasks import make_task
from empirical.laboratory.training import localise
from empirical.penalise.proximal_gradient import cross_blocks, group_norms
from empirical.studies.edges import bracket as study

CONFIG = configured(SMALL)


@pytest.fixture(scope="module")
def data():
    return make_task(CONFIG, 1, torch.device("cpu")).training


@pytest.fixture(scope="module")
def found():
    return study.bracket(CONFIG, 1, quick=True)


def test_order(found):
    value = {level["level"]: level["value"] for level in found["levels"]}
    proved = [level["value"] for level in found["levels"] if level["kind"] == "proved"]
    assert 0 < value["lambda_crit"] <= value["lambda_stat*, witness"]
    assert 0 < value["lambda_glob, witness"] < value["sublevel, Cauchy-Schwarz"]
    assert max(value["lambda_stat*, witness"], value["lambda_glob, witness"]) < min(proved)
    assert value["level C, Cauchy-Schwarz"] <= value["level A, with query shares"]
    assert value["level C, mean of products"] <= value["level A, with query shares"]


def test_block_losses_add_up(data):
    forms = torch.randn(2, 1, 1, *2 * (data.blocks, data.query.shape[-1] // data.blocks), dtype=data.query.dtype)
    assert torch.allclose(study.block_losses(data, forms).sum(-1), data.loss(forms))


def operator_level(data):
    return study.operator_level(study.level_ingredients(data), data.temperature)


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
    forms = torch.cat([forms, *(study._aligned(data, s) * f for s in study.STARTS for f in (0.3, 1.0, 3.0))])
    norms = gradients(data, forms)
    assert norms.max() <= operator
    known = study.level_ingredients(data)
    levels = torch.tensor(
        [study.sublevel_level(known, losses, data.temperature) for losses in study.block_losses(data, forms)]
    )
    assert (norms.flatten(1).amax(1) <= levels).all()
    assert (norms.flatten(1).amax(1) > levels / 20).any()  # and it says something


def test_a_level_ten_thousand_times_smaller_would_be_exceeded(data):
    forms = study._aligned(data, 5.0)
    assert gradients(data, forms).max() > operator_level(data) / 1e4


def test_an_ascended_witness_is_a_witness(data):
    losses = study.block_losses(data, torch.as_tensor(localise(CONFIG, 1)["parameter/forms"]))[0]
    start = study._aligned(data, 5.0)
    ratio, forms = study.ascend_ratio(data, start, losses, 30)
    assert ratio >= float(study._ratios(data, start, losses).max()) - 1e-12
    assert float(study._ratios(data, forms, losses).max()) == pytest.approx(ratio)


def test_it_writes_what_it_draws_and_refuses_other_tasks(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("empirical.laboratory.config.load", lambda path: CONFIG)
    assert study.main(["any.toml", "--out", str(tmp_path), "--quick"]) == 0
    saved = json.loads((tmp_path / "bracket.json").read_text())
    assert saved["problem_digest"] == CONFIG.problem_digest()
    assert (tmp_path / "bracket.png").stat().st_size > 10_000
    assert "lambda_crit" in capsys.readouterr().out
    with pytest.raises(BadInput, match=r"task\.name must be 'blocks' for a bracket, got 'topics'"):
        study.bracket(configured(TOPICS), 1)
