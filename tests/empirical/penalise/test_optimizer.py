"""ProximalGroups: what it takes to hold a zero group of GPT-2 under AdamW, from both sides, and bad input by name."""

from __future__ import annotations

import copy
import math

import gpt2
import pytest
import torch
from torch import nn

from bounds import adam_threshold
from bounds.penalty.closed_forms import adam_step
from empirical.errors import BadInput
from empirical.penalise.modules import module_groups
from empirical.penalise.optimizer import ProximalGroups

BETAS = (0.9, 0.999)


class Run:
    """GPT-2 and AdamW after some steps with every group held; any number of runs on the same batches from there."""

    def __init__(self, warm: int, steps: int):
        torch.manual_seed(0)
        self.model = gpt2.gpt2(width=32, heads=2).double()
        self.held = module_groups(self.model, gpt2.head_groups(self.model.config))
        self.held.localise()
        self.size = int(self.held.groups.member.bincount()[0])
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=3e-3, betas=BETAS, weight_decay=0.1)
        text = torch.tensor(list("\n".join(gpt2.read_topics(None).values()).encode()))
        batches = gpt2.batches(text, warm + steps, seed=0)
        self.batches = batches[warm:]
        self.train(ProximalGroups(self.optimizer, self.held, math.inf), batches[:warm])
        self.state = copy.deepcopy((self.model.state_dict(), self.optimizer.state_dict()))

    def train(self, proximal, batches, growth=1.0):
        """The pulls after every step; whether each group is zero after every step; the parameters at the end."""
        pulls, zero = [], []
        for number, batch in enumerate(batches):
            proximal.zero_grad()
            (growth**number * gpt2.loss(self.model, batch)).backward()
            proximal.step()
            pulls.append(list(proximal.pulls().values()))
            zero.append([norm == 0 for norm in proximal.norms().values()])
        end = torch.cat([p.detach().flatten() for p in self.model.parameters()])
        return torch.tensor(pulls, dtype=torch.float64), torch.tensor(zero), end

    def __call__(self, penalties):
        self.model.load_state_dict(self.state[0])
        self.optimizer.load_state_dict(copy.deepcopy(self.state[1]))
        return self.train(ProximalGroups(self.optimizer, self.held, penalties), self.batches)


@pytest.mark.parametrize("warm", [0, 40])
def test_adamw_holds_a_zero_group_exactly_from_its_largest_update_on(warm):
    """While a group is zero the run is the same whatever its penalty, so that both sides are exact to rounding."""
    run = Run(warm, 25)
    pulls, zero, end = run(math.inf)
    assert zero.all()
    needed = pulls[-1]  # without `warm` the first step, a sign in each coordinate
    assert (needed > 1).all()
    assert (needed <= adam_threshold(run.size, *BETAS)).all()
    _, zero, again = run((1.001 * needed).tolist())  # every group at its own
    assert zero.all()
    assert torch.equal(end, again)
    order = needed.argsort()
    for group in (order[0], order[len(order) // 2], order[-1]):
        penalties = torch.full_like(needed, math.inf)
        penalties[group] = 0.999 * needed[group]
        _, zero, _ = run(penalties.tolist())
        leaves = (pulls[:, group] > penalties[group]).nonzero()[0, 0]  # `pulls` is a running maximum
        assert zero[:leaves].all()
        assert not zero[leaves, group]


def test_the_bound_for_adam_is_nearly_needed_and_enough():
    """Gradients that keep their direction and grow by b2/b1 attain U_t (theorem `adam_update`): one batch, scaled."""
    run, steps = Run(0, 1), 60
    start, growth = run.held.flat(), BETAS[1] / BETAS[0]
    for share, stays in ((1.0, True), (0.98, False)):
        run.held.load(start)
        bound = share * adam_step(*BETAS, steps) * math.sqrt(run.size)
        optimizer = torch.optim.AdamW(run.model.parameters(), lr=1e-9, betas=BETAS)  # nothing else moves
        proximal = ProximalGroups(optimizer, run.held, float(bound))
        _, zero, _ = run.train(proximal, run.batches * steps, growth)
        assert zero.all() == stays
        assert max(proximal.pulls().values()) <= adam_threshold(run.size, *BETAS)


@pytest.fixture
def linear():
    torch.manual_seed(0)
    model = nn.Linear(4, 2, dtype=torch.float64)
    groups = {"left": [("weight", (slice(None), slice(0, 2)))], "corner": [("weight", (0, 3))]}
    return model, module_groups(model, groups)


def backward(model: nn.Module, scale: float = 1.0) -> None:
    model.zero_grad()
    (scale * model(torch.ones(3, 4, dtype=torch.float64)).square().mean()).backward()


def test_what_is_in_no_group_is_only_the_optimisers(linear):
    model, held = linear
    backward(model)
    expected = model.weight.detach() - 0.1 * model.weight.grad
    ProximalGroups(torch.optim.SGD(model.parameters(), lr=0.1), held, math.inf).step()
    assert model.weight.count_nonzero() == 3
    assert torch.allclose(model.weight[:, 2], expected[:, 2], rtol=1e-14)
    assert torch.allclose(model.weight[1, 3], expected[1, 3], rtol=1e-14)


def test_a_state_goes_on_with_the_same_pulls(linear):
    model, held = linear
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    proximal = ProximalGroups(optimizer, held, math.inf)
    backward(model)
    proximal.step()
    assert proximal.pulls() == {"left": 0.0, "corner": 0.0}  # neither was zero before
    model.weight.grad *= BETAS[1] / BETAS[0]
    proximal.step()
    assert proximal.pulls()["left"] == pytest.approx(2 * adam_step(*BETAS, 2), rel=1e-6)  # four coordinates
    other = ProximalGroups(optimizer, held, 1.0)
    other.load_state_dict(proximal.state_dict())
    assert other.pulls() == proximal.pulls()
    assert other.state_dict() == proximal.state_dict()
    strange = module_groups(model, {"right": [("weight", (slice(None), slice(2, 4)))]})
    with pytest.raises(BadInput, match="must be of the groups"):
        ProximalGroups(optimizer, strange, 1.0).load_state_dict(proximal.state_dict())


@pytest.mark.parametrize(
    ("penalties", "said"),
    [
        ([1.0], r"one for each of 2 groups, got shape \(1,\)"),
        ([1.0, 2.0, 3.0], r"one for each of 2 groups, got shape \(3,\)"),
        ([[1.0, 2.0]], r"one for each of 2 groups, got shape \(1, 2\)"),
        ([1.0, -2.0], "numbers >= 0, got -2.0"),
        (math.nan, "numbers >= 0, got nan"),
    ],
)
def test_penalties_that_do_not_fit_are_named(linear, penalties, said):
    model, held = linear
    with pytest.raises(BadInput, match=said):
        ProximalGroups(torch.optim.SGD(model.parameters(), lr=0.1), held, penalties)


def test_several_learning_rates_in_one_group_are_named(linear):
    model, _ = linear
    held = module_groups(model, {"row": [("weight", 0), ("bias", 0)]})
    settings = [{"params": [model.weight]}, {"params": [model.bias], "lr": 0.2}]
    with pytest.raises(BadInput, match=r"one learning rate, got .* in 'row'"):
        ProximalGroups(torch.optim.SGD(settings, lr=0.1), held, 1.0)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_gradient_that_is_not_finite_moves_nothing(linear, value):
    model, held = linear
    proximal = ProximalGroups(torch.optim.AdamW(model.parameters(), lr=0.1), held, 1.0)
    backward(model)
    model.weight.grad[1, 1] = value
    before, state = held.flat(), copy.deepcopy(proximal.state_dict())
    with pytest.raises(BadInput, match="gradients must be finite, got one of 'weight'"):
        proximal.step()
    assert torch.equal(held.flat(), before)
    assert proximal.state_dict() == state


def test_a_learning_rate_that_diverges_ends_by_name(linear):
    model, held = linear
    proximal = ProximalGroups(torch.optim.SGD(model.parameters(), lr=1e3), held, 1e-3)

    def steps():
        for _ in range(200):
            backward(model)
            proximal.step()

    with pytest.raises(BadInput, match="gradients must be finite"):
        steps()
