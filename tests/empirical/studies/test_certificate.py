"""Certified majorants: no attack on a query exceeds its Psi, no W its level, and both are close enough to be of use."""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from small import SMALL, configured

from empirical.laboratory.config import load
from empirical.laboratory.penalty_levels import sublevel_level
from empirical.laboratory.tasks import Retrieval, level_ingredients, make_task
from empirical.penalise.proximal_gradient import solve
from empirical.studies.edges import certificate, majorants, remainder, witnesses
from empirical.studies.edges.majorants import Majorant

CONFIG = configured(
    SMALL, setting={"n_keys": 24, "n_block": 6}, model={"blocks": 4, "d_block": 4}, task={"queries": 32}
)
ALONE = replace(CONFIG, sweep=replace(CONFIG.sweep, workers=1))
INTERVALS = ((0.0, 0.25), (0.75, 1.0), (1.75, 2.0))


@pytest.fixture(scope="module")
def data() -> Retrieval:
    return make_task(CONFIG, 1, torch.device("cpu")).training


@pytest.fixture(scope="module")
def losses(data) -> list[float]:
    forms = torch.zeros(1, 1, 1, *2 * (data.blocks, data.query.shape[-1] // data.blocks), dtype=data.query.dtype)
    return witnesses.in_block_losses(data, CONFIG, forms, 300).tolist()


@pytest.fixture(scope="module")
def chosen(data, losses):
    """The problem of a block, and what gives the majorant of an interval, each chosen once."""
    of = certificate.majorised(data, 0, losses[0])
    return of, functools.cache(lambda interval: certificate.choose(of, majorants.START, interval, 20))


@pytest.fixture(scope="module")
def alone(data, losses):
    """Levels by one worker, for steps and edges, each found once."""
    return functools.cache(lambda steps, edges: certificate.dual_level(data, losses, ALONE, steps, edges))


def test_a_majorant_is_chosen_also_where_eigenvalues_coincide_and_have_no_gradient(data):
    """Without features outside all that is eliminated is 0: a step along NaN would end in an error of eigh."""
    of = certificate.majorised(data, 0, 0.05)
    alike = replace(of, queries=replace(of.queries, keys=torch.zeros_like(of.queries.keys)))
    found = certificate.choose(alike, majorants.START, INTERVALS[1], 3)
    assert found.logs.isfinite().all()


@pytest.fixture(scope="module")
def bound(chosen):
    """The certified Psi of the majorant of an interval, each found once."""
    of, choose = chosen
    return functools.cache(lambda interval: certified(of, choose(interval), interval))


def level_before(data, losses):
    return sublevel_level(level_ingredients(data), torch.tensor(losses), data.temperature)


def certified(of, majorant, interval):
    with torch.no_grad():
        points = remainder.scaled_psi(of.queries, majorant, interval, remainder.POINTS)
        return remainder.certified_psi(of.queries, majorant, interval, points + 0.01 * points.abs())


def exact_psi(queries, majorant, n, logits, omega):
    """[eta |e0|^2 - |e|^2 - w^T M w]/n of an attention row with these own logits and cross features w = n omega."""
    size = queries.features.norm(dim=1)[:, None]
    omega = omega * (size / omega.norm(dim=-1, keepdim=True).squeeze(-1).clamp_min(1e-300)).clamp(max=1)[..., None]
    scores = n * torch.einsum("qrf,qof->qro", omega, queries.keys)
    values = torch.cat([queries.own, queries.outside], 1)

    def error(outside):
        return torch.einsum("qrk,qkv->qrv", torch.cat([logits, outside], -1).softmax(-1), values).square().sum(-1)

    forms = torch.einsum("k,kqfg->qfg", majorant.forms, majorants.quadratic_forms(queries))
    quadratic = torch.einsum("qrf,qfg,qrg->qr", omega, forms, omega)
    return ((1 - majorant.slope * n) * error(0 * scores) - error(scores)) / n - quadratic


def attacked(queries, majorant, n, starts=12, steps=150):
    generator = torch.Generator().manual_seed(0)
    rows = (len(queries.own), starts)
    logits = 3 * torch.randn(*rows, queries.own.shape[1], generator=generator, dtype=torch.float64)
    omega = torch.randn(*rows, queries.keys.shape[2], generator=generator, dtype=torch.float64)
    logits.requires_grad_()
    omega.requires_grad_()
    adam = torch.optim.Adam([{"params": [logits], "lr": 0.2}, {"params": [omega], "lr": 0.05}], maximize=True)
    with torch.enable_grad():
        for _ in range(steps):
            value = exact_psi(queries, majorant, n, logits, omega)
            gradients = torch.autograd.grad(value.sum(), [logits, omega])
            logits.grad, omega.grad = gradients
            adam.step()
    return exact_psi(queries, majorant, n, logits, omega).detach().amax(1)


@pytest.mark.parametrize("interval", [INTERVALS[0], *(pytest.param(i, marks=pytest.mark.slow) for i in INTERVALS[1:])])
def test_no_attack_exceeds_a_certified_psi(chosen, bound, data, losses, interval):
    of, choose = chosen
    found, most = choose(interval), bound(interval)
    with torch.no_grad():
        points = remainder.scaled_psi(of.queries, found, interval, remainder.POINTS)
    for n in (max(interval[0] + 1e-3, 0.01), sum(interval) / 2, interval[1]):
        reached = attacked(of.queries, found, n)
        assert (reached <= most + 1e-12).all()
    assert (most >= points - 1e-12).all()
    assert float(of.level(found, most)) < level_before(data, losses) / 4


@pytest.mark.parametrize("interval", [INTERVALS[0], pytest.param(INTERVALS[1], marks=pytest.mark.slow)])
def test_the_attack_would_win_without_the_quadratic_forms(chosen, bound, interval):
    of, choose = chosen
    without = Majorant(choose(interval).logs - torch.tensor([0.0] + [9.0] * 5 + [0.0] * 2))
    assert (attacked(of.queries, without, interval[1]) > bound(interval)).any()


@pytest.mark.parametrize("edges", [(0.0, 0.5), pytest.param((0.0, 0.25, 0.5, 1.0), marks=pytest.mark.slow)])
def test_no_w_exceeds_the_level(data, losses, alone, edges):
    found = alone(2 if len(edges) == 2 else 15, edges)
    level = max(float(found["beyond"]), found["levels"].max())
    generator = torch.Generator().manual_seed(0)
    starts = torch.zeros(6, 1, 1, *2 * (data.blocks, data.query.shape[-1] // data.blocks), dtype=data.query.dtype)
    starts = starts + torch.logspace(-1, 1, 6).view(-1, *[1] * 6) * torch.randn(starts.shape, generator=generator)
    penalties = torch.logspace(-5, -3, 6, dtype=starts.dtype)
    end = solve(data.loss_and_gradient, starts, penalties, step=CONFIG.step, tolerance=1e-6, max_steps=500)
    forms = torch.cat([starts, end.forms])
    ratios = (torch.tensor(losses) - witnesses.block_losses(data, forms)) / witnesses.cross_norms(forms)
    assert 1e-4 < float(ratios.nan_to_num(0.0).max()) <= level
    if len(edges) > 2:
        assert level < level_before(data, losses)  # better than the bound before it


def test_levels_are_certified_alike_for_any_number_of_workers(data, losses, alone):
    one, two = alone(2, (0.0, 0.5)), certificate.dual_level(data, losses, CONFIG, 2, (0.0, 0.5))
    assert all(np.array_equal(one[name], two[name]) for name in one)


def test_what_cannot_be_certified_is_refused(chosen, data):
    of, choose = chosen
    found = choose(INTERVALS[1])
    steep = replace(found, logs=found.logs + torch.tensor([9.0] + [0.0] * 7))
    with pytest.raises(ValueError, match=r"majorant must have a slope of at most 1/1, got "):
        remainder.certified_psi(of.queries, steep, INTERVALS[1], torch.zeros(len(of.queries.own)))
    shared = replace(data, keys=data.keys + 1.0)
    with pytest.raises(ValueError, match="keys with features of their own block alone"):
        majorants.block_queries(shared, 0)


def test_the_price_is_a_floor_of_what_an_excess_costs(chosen):
    """Against random omega: mean(e^s - 1 - s) reached, and what its squares cost; concave up to one key, and beyond."""
    of, choose = chosen
    paying, n, generator = choose(INTERVALS[1]).paying, 1.5, torch.Generator().manual_seed(1)
    omega = torch.randn(len(of.queries.own), 400, of.queries.keys.shape[2], generator=generator, dtype=torch.float64)
    size = of.queries.features.norm(dim=1)[:, None, None]
    radius = torch.rand(400, 1, generator=generator, dtype=torch.float64)
    omega = omega / omega.norm(dim=-1, keepdim=True) * size * radius
    scores = torch.einsum("qrf,qof->qro", omega, of.queries.keys)
    excess = remainder.excess_of(n * scores).mean(-1) / n
    cost = paying[0] * scores.square().sum(-1) + paying[1] * omega.square().sum(-1)
    with torch.no_grad():
        assert (remainder.price(of.queries, paying, excess, n) <= cost * (1 + 1e-12)).all()


def test_the_committed_certificate_is_whole_and_no_point_exceeds_it():
    """Intervals without a gap up to L_loc/n, the level that the bracket shows, and none below its value at points."""
    studies = Path(__file__).resolve().parents[3] / "bounds" / "ledger" / "evidence" / "studies"
    saved = json.loads((studies / "dual.json").read_text())
    shown = json.loads((studies / "bracket.json").read_text())
    config = load(Path(__file__).resolve().parents[3] / "examples" / "blocks.toml")
    rows, losses = saved["rows"], saved["losses"]
    assert saved["problem_digest"] == shown["problem_digest"] == config.problem_digest()
    assert losses == shown["loss_localised"]
    assert rows[0]["low"] == 0
    assert all(before["high"] == after["low"] for before, after in pairwise(rows))
    assert saved["beyond"] == max(losses) / rows[-1]["high"]
    assert saved["level"] == max(saved["beyond"], *(level for row in rows for level in row["levels"]))
    times = round(shown["levels"][-1]["value"] / saved["level"])
    findings = " ".join((studies.parents[3] / "docs" / "findings.md").read_text().split())
    assert f"{times} times below the worst-case one" in findings
    assert [saved["level"]] == [x["value"] for x in shown["levels"] if x["level"] == "quadratic majorants"]
    task = make_task(config, saved["seed"], torch.device("cpu"))
    for block, loss in enumerate(losses):
        of = certificate.majorised(task.training, block, loss)
        for row in rows[2::6]:
            majorant, interval = Majorant(torch.tensor(row["logs"], dtype=torch.float64)), (row["low"], row["high"])
            with torch.no_grad():
                level = float(
                    of.level(majorant, remainder.scaled_psi(of.queries, majorant, interval, remainder.POINTS))
                )
            trivial = loss / row["low"]
            assert min(level, trivial) <= row["levels"][block] <= trivial * (1 + 1e-12)
