"""Branches of `blocks`: rows are the whole problem, points are stationary for it, hysteresis, order asked for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small import SMALL, configured

from empirical.branches import as_forms, as_rows, follow_branch, query_blocks
from empirical.proximal import shrink, solve
from empirical.tasks import device_of, make_task
from empirical.train import localise, train

THREE = configured(SMALL, setting={"n_keys": 12, "n_block": 4}, model={"blocks": 3}, task={"queries": 97})
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def localised():
    return localise(configured(SMALL), 1)


def test_rows_are_the_whole_problem():
    data = make_task(THREE, 1, device_of(THREE)).training
    assert len(data.query_block.bincount().unique()) > 1  # rows of different lengths are filled up
    forms = torch.randn(1, 1, 1, 3, 3, 3, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    loss, gradient = data.loss_and_gradient(forms)
    points = as_rows(forms)[:, 0]
    assert torch.equal(as_forms(points[:, None], 1, 3), forms)
    rows = query_blocks(data)
    parts, slopes = rows(points)
    assert float(parts.sum()) == pytest.approx(float(loss), rel=1e-13)
    assert torch.allclose(as_forms(slopes[:, None], 1, 3), gradient, rtol=1e-11, atol=1e-15)
    one, slope = rows.take(torch.tensor([2]))(points[2:])
    assert torch.allclose(one, parts[2:], rtol=1e-13)
    assert torch.allclose(slope, slopes[2:], rtol=1e-11, atol=1e-15)


def test_every_point_of_a_branch_is_stationary_for_the_whole_problem():
    data = make_task(THREE, 1, device_of(THREE)).training
    penalties = torch.logspace(-4, -1, 9, dtype=torch.float64)
    start = torch.zeros(1, 1, 3, 3, 3, 3, dtype=torch.float64)
    first, found = follow_branch(data, start, penalties, tolerance=1e-8, max_steps=2000)
    assert found.converged.all()
    assert torch.equal(first[1:], found.forms[:-1])
    _, gradient = data.loss_and_gradient(found.forms)
    after, _ = shrink(found.forms - 20.0 * gradient, 20.0 * penalties)
    residual = (after - found.forms).flatten(1).norm(dim=1) / 20.0
    assert (residual <= 1e-8).all()
    assert (found.residual <= 1e-8).all()
    again = solve(
        data.loss_and_gradient, found.forms, penalties, step=20.0, tolerance=1e-8, max_steps=0
    )  # the other solver agrees without a step
    assert again.converged.all()
    assert torch.allclose(again.loss, found.loss, rtol=1e-12)
    assert torch.allclose(again.gradient_norm, found.gradient_norm, rtol=1e-9, atol=1e-12)


def test_both_branches_and_what_lies_between_them(localised):
    """The localised branch is left exactly below the critical penalty, the distributed one goes on above it."""
    config, critical = configured(SMALL), float(localised["critical"])
    ratios = (3.0, 0.5, 1.001, 0.999, 1.02)  # in no order
    penalties = tuple(critical * r for r in ratios)
    down, up = (train(config, 1, start, penalties, localised) for start in ("downwards", "upwards"))
    cross = ~np.eye(2, dtype=bool)
    active = [(arrays["group_norm"][:, 0, 0][:, cross] > 0).any(1).tolist() for arrays in (down, up)]
    assert active[0] == [False, True, False, True, False]
    assert active[1][4]  # hysteresis: still distributed at 1.02
    assert not active[1][0]
    for arrays in (down, up):
        assert arrays["converged"].all()
        assert np.isnan(arrays["gradient_peak"]).all()
    assert (down["group_norm_start"][2] == down["group_norm"][4]).all()  # 1.001 was reached from 1.02
    assert (up["group_norm_start"][4] == up["group_norm"][2]).all()


def test_a_branch_is_the_same_bits_again(localised):
    config, penalties = configured(SMALL), (1e-3, 1e-2)
    for start in ("downwards", "upwards"):
        one, two = (train(config, 1, start, penalties, localised) for _ in range(2))
        assert all(one[name].tobytes() == two[name].tobytes() for name in one)
