"""Any torch module: groups that do not fit, losses that are none, first steps far too long, each said by name."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from empirical.errors import BadInput
from empirical.penalise.modules import block_groups, critical_penalty, module_groups, penalty_path, stationarity

HALVES = {"0": slice(0, 2), "1": slice(2, 4)}
GROUPS = block_groups("0.weight", HALVES, HALVES)


def error(model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Squared error and a little weight decay, without which some weights would go to infinity."""
    return (model(batch[0]) - batch[1]).square().mean() + 0.01 * sum(p.square().sum() for p in model.parameters())


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    module_groups(model, GROUPS).localise()
    return model


@pytest.fixture
def batches():
    draw = torch.Generator().manual_seed(1)
    return [tuple(torch.randn(20, n, generator=draw, dtype=torch.float64) for n in (4, 2))]


def solve_each(model, loss, batches, groups=GROUPS):
    """Everything that starts from the module as it is."""
    return (
        lambda: critical_penalty(model, loss, batches, groups),
        lambda: stationarity(model, loss, batches, groups, 0.1),
        lambda: penalty_path(model, loss, batches, groups, [0.1]),
    )


def test_localise_zeroes_the_groups_and_nothing_else(model):
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    with torch.no_grad():
        model[0].weight += 1.0
    module_groups(model, GROUPS, every=True).localise()
    for block in HALVES.values():
        assert torch.equal(model[0].weight[block, block], before["0.weight"][block, block] + 1.0)
    assert model[0].weight.count_nonzero() == 8
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters() if name != "0.weight")


def test_groups_that_do_not_fit_are_named_everywhere(model, batches):
    every = slice(None)
    for groups, said in (
        ({"a": [("0.weight", 0), ("0.weight", (every, 0))]}, "must not overlap, got '0.weight' in 'a' and in 'a'"),
        ({"a": [("0.weight", 0)], "b": [("0.weight", (0, 3))]}, "must not overlap, got '0.weight' in 'a' and in 'b'"),
        ({"a": [("1.weight", 0)]}, "got '1.weight', which is not there"),
        ({"a": [("0.weight", (0, 4))]}, r"must index '0.weight' of shape \(4, 4\), got \(0, 4\)"),
        ({"a": [("0.weight", slice(4, 8))]}, "must hold a coordinate each, got 'a' with none"),
        ({"a": []}, "must hold a coordinate each, got 'a' with none"),
    ):
        for solve in solve_each(model, error, batches, groups):
            with pytest.raises(BadInput, match=said):
                solve()


def test_frozen_and_mixed_parameters_are_named(model, batches):
    model[0].weight.requires_grad_(False)
    with pytest.raises(BadInput, match=r"got '0\.weight', which is frozen"):
        critical_penalty(model, error, batches, GROUPS)
    model[0].weight.requires_grad_(True)
    model[2].float()
    with pytest.raises(BadInput, match="one dtype on one device"):
        penalty_path(model, error, batches, GROUPS, [0.1])


def test_frozen_parameters_do_not_move(model, batches):
    model[2].requires_grad_(False)
    path = penalty_path(model, error, batches, GROUPS, [0.01])
    assert path.held.parameters == ("0.weight", "0.bias")


def test_a_localised_model_is_wanted(model, batches):
    with torch.no_grad():
        model[0].weight += 1.0
    with pytest.raises(BadInput, match="got every group non-zero"):
        critical_penalty(model, error, batches, GROUPS)


@pytest.mark.parametrize("weights", [[1.0], [1.0, 2.0, 3.0], [[1.0, 2.0]], [1.0, -1.0], math.nan])
def test_penalties_of_the_wrong_length_or_sign_are_named(model, batches, weights):
    said = "penalties must be (one number or one for each of 2 groups|numbers >= 0)"
    with pytest.raises(BadInput, match=said):
        penalty_path(model, error, batches, GROUPS, [1.0], factors=weights)
    with pytest.raises(BadInput, match=said):
        stationarity(model, error, batches, GROUPS, weights)


@pytest.mark.parametrize("penalties", [[], [math.nan], [-1.0], ["1"]])
def test_penalties_that_are_none_are_named(model, batches, penalties):
    with pytest.raises(BadInput, match="penalties must be numbers >= 0, at least one"):
        penalty_path(model, error, batches, GROUPS, penalties)


@pytest.mark.parametrize("step", [0.0, -1.0, math.inf, math.nan])
def test_steps_that_are_none_are_named(model, batches, step):
    with pytest.raises(BadInput, match="step must be finite and > 0"):
        penalty_path(model, error, batches, GROUPS, [0.1], step=step)


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        (lambda m, b: error(m, b) * math.nan, "at the start, got a loss that is not"),
        (lambda m, b: error(m, b) + m[0].weight[:2, 2:].norm().sqrt(), "at the start, got a gradient that is not"),
        (lambda m, b: (m(b[0]) - b[1]).square().mean(0), r"must return one number, got shape \(2,\)"),
        (lambda m, b: float(error(m, b).detach()), r"must return one number, got \d"),
    ],
    ids=["nan-loss", "nan-gradient", "vector", "float"],
)
def test_losses_that_are_none_are_named(model, batches, loss, said):
    for solve in solve_each(model, loss, batches):
        with pytest.raises(BadInput, match=said):
            solve()


def test_no_batches_are_named(model):
    for solve in solve_each(model, error, []):
        with pytest.raises(BadInput, match="at least one batch"):
            solve()


def noisy(model, batch):
    return error(model, batch) * (1 + 1e-9 * torch.rand((), dtype=torch.float64))


def dropped(model, batch):
    return error(model, (nn.functional.dropout(batch[0], 0.5), batch[1]))


@pytest.mark.parametrize("loss", [noisy, dropped])
def test_a_loss_that_changes_by_itself_is_named(model, batches, loss):
    for solve in solve_each(model, loss, batches):
        with pytest.raises(BadInput, match="must give the same value twice"):
            solve()


def test_dropout_is_seen_where_every_weight_is_zero(batches):
    """There the loss is the same whatever is dropped, and the gradient is not."""
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 2, bias=False)).double()
    groups = {"all": [("1.weight", ...)]}
    module_groups(model, groups).localise()
    for solve in solve_each(model, error, batches, groups):
        with pytest.raises(BadInput, match="must give the same value twice"):
            solve()
    assert critical_penalty(model.eval(), error, batches, groups).penalty > 0


def test_an_overlong_first_step_is_halved_said_and_does_no_harm(model, batches):
    """A trillion times too long: twenty proximal steps at least, each a quarter of the last."""
    penalties = [0.02, 0.005]
    plain = penalty_path(model, error, batches, GROUPS, penalties, tolerance=1e-9)
    overlong = penalty_path(model, error, batches, GROUPS, penalties, tolerance=1e-9, step=1e12)
    assert plain.converged.all()
    assert overlong.converged.all()
    assert int(overlong.halved[0]) >= int(plain.halved[0]) + 20
    assert torch.allclose(overlong.loss, plain.loss, atol=1e-8)


def test_losses_that_overflow_on_the_way_are_stepped_back_from(model, batches):
    """exp of the error is not finite after a step far too long; the path does not end there."""
    path = penalty_path(model, lambda m, b: error(m, b).exp(), batches, GROUPS, [0.02], tolerance=1e-9, step=1e12)
    assert path.converged.all()
    assert path.halved[0] > 0
    assert path.loss.isfinite().all()
