"""Which gates to shut for good: ways to choose them, and what their exact zeros remove at what cost.

    removed(s) = leakage as trained of the gates that are exactly 0, a share of that of all
    cost(s)    = L(s) - L(1), nats a token
    reach      = the largest removed(s) of a way's candidates whose cost is within a budget

A way gives candidates: what is shut after 0, 1, 2, ... gates of an order, or gates that a penalty left. They are found
on some documents and judged on others, drawn again together for all ways, so that differences are paired. None is sure
to be best: what gates cost together is neither submodular nor supermodular, and how far from either is measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from empirical.errors import BadInput
from empirical.gates.problem import Problem
from empirical.gates.solve import minimised
from empirical.shapes import Float, Int

TEMPERATURE, LOW, HIGH = 2 / 3, -0.1, 1.1  # of hard-concrete gates


@dataclass(frozen=True)
class Outside:
    """Documents as the model was trained: their losses, and the leakage of every gate."""

    scored: Float[Tensor, "D"]  # tokens
    loss: Float[Tensor, "D"]  # summed over them
    mass: Float[Tensor, "D G"]  # sums to Omega over documents and gates

    @property
    def of_gate(self) -> Float[Tensor, "G"]:
        """Leakage of every gate, a share of all."""
        return self.mass.sum(0) / self.mass.sum()


def outside(problem: Problem) -> Outside:
    """Raises BadInput where a gate is less than a head of one layer: leakage is of heads."""
    cells = problem.groups.number.flatten(2)
    if problem.groups.shared_over_layers or bool((cells != cells[..., :1]).any()):
        raise BadInput(f"groups must go by layer, or by layer and head, got {', '.join(problem.groups.dims) or 'none'}")
    loss, leakage = problem.sums(torch.ones(problem.groups.count, dtype=torch.float64))
    heads = (leakage * problem.per_row).flatten(1)
    mass = torch.zeros(len(heads), problem.groups.count, dtype=torch.float64)
    return Outside(problem.counts[0].cpu(), loss, mass.index_add(1, cells[..., 0].flatten(), heads))


# Ways to choose -------------------------------------------------------------------------------------------------------


def shut_in_order(order: Sequence[int], mass: Float[Tensor, "G"], most: int | None = None) -> Float[Tensor, "N G"]:
    """All open, then one more gate of the order shut at a time; at most `most` of them, evenly in what they remove."""
    count = len(order)
    gates = torch.ones(count + 1, count, dtype=torch.float64)
    for at, gate in enumerate(order):
        gates[at + 1 :, gate] = 0
    if most is None or most > count:
        return gates
    taken = torch.cat([torch.zeros(1), mass[list(order)].cumsum(0)]) / mass.sum()
    wanted = np.linspace(0, 1, most)
    return gates[sorted({int((taken - float(share)).abs().argmin()) for share in wanted})]


def cheapest_first(cost: Float[np.ndarray, "G"], mass: Float[Tensor, "G"]) -> list[int]:
    """Gates by what each costs a unit of what it removes."""
    rate = np.divide(cost, mass.numpy(), out=np.zeros_like(cost), where=mass.numpy() > 0)
    return np.argsort(rate, kind="stable").tolist()


def by_depth(layer_of: Int[np.ndarray, "G"], mass: Float[Tensor, "G"], late: bool) -> list[int]:
    """Layer after layer, the least leakage of a layer first."""
    depth = -layer_of if late else layer_of
    return np.lexsort((mass.numpy(), depth)).tolist()


def powers_of_depth(
    layer_of: Int[np.ndarray, "G"], layers: int, powers: Sequence[float], amounts: Sequence[float]
) -> Float[Tensor, "N G"]:
    """s = max(0, 1 - amount (l/L)^power) in layer l = 1 to L: from an amount of 1 on, late layers are exactly 0."""
    depth = torch.as_tensor((layer_of + 1) / layers, dtype=torch.float64)
    return torch.stack([(1 - amount * depth**power).clamp(min=0) for power in powers for amount in amounts])


def ablated_anew(problem: Problem, mass: Float[Tensor, "G"], few: int) -> list[int]:
    """An order: the `few` whose shutting now costs least a unit of what they remove, then all prices anew."""
    order: list[int] = []

    def loss(shut: list[int]) -> float:
        gates = torch.ones(problem.groups.count, dtype=torch.float64)
        gates[shut] = 0
        return float(problem.sums(gates, leakage=False)[0].sum())

    while len(order) < problem.groups.count:
        now = loss(order)
        left = sorted(set(range(problem.groups.count)) - set(order))
        rate = {gate: (loss([*order, gate]) - now) / max(float(mass[gate]), 1e-12) for gate in left}
        order += sorted(left, key=rate.__getitem__)[:few]
    return order


def refitted(problem: Problem, gates: Float[Tensor, "N G"], weight: float, tolerance: float, most: int = 12) -> Tensor:
    """What is shut stays shut, what is open goes where the loss is least: no penalty shrinks what it leaves.

    `weight` is what opening a shut gate is charged: more than any of them is worth.
    """
    found = []
    for one in torch.unique((gates == 0), dim=0).double():
        start = gates[((gates == 0) == one.bool()).all(1)][0]
        found.append(minimised(problem, 1.0, start, weights=weight * one, tolerance=tolerance, most=most).gates)
    return torch.stack(found)


def hard_concrete(
    problem: Problem, weights: Float[Tensor, "G"], penalties: Sequence[float], *, steps: int, rate: float, seed: int
) -> Float[Tensor, "N G"]:
    """Gates of L + penalty sum of w_c P(s_c > 0), by Adam on noisy gates (L0; Louizos et al. 2018, arXiv:1712.01312).

    s = clip(LOW + (HIGH - LOW) sigmoid((ln u - ln(1 - u) + a)/TEMPERATURE), 0, 1), u uniform, every document's own;
    those given back are without noise. A batch a step; each penalty, ascending, goes on from the one before.
    """
    random = torch.Generator().manual_seed(seed)
    level = torch.full((problem.groups.count,), 3.0, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([level], rate)
    found = []
    for step in range(steps * len(penalties)):
        penalty, number = sorted(penalties)[step // steps], step % len(problem.sizes)
        noise = torch.rand(problem.sizes[number], len(level), generator=random, dtype=torch.float64).logit(1e-6)
        gates = _stretched(((noise + level) / TEMPERATURE).sigmoid())
        with torch.enable_grad():
            reading = problem.read(number, gates, leakage=False)
            open_ones = (level - TEMPERATURE * math.log(-LOW / HIGH)).sigmoid()
            mean = reading.loss.double().sum() / reading.scored.sum()
            (mean.to(level.device) + penalty * (weights * open_ones).sum()).backward()
        optimizer.step()
        optimizer.zero_grad()
        if step % steps == steps - 1:
            found.append(_stretched(level.detach().sigmoid()))
    return torch.stack(found)


def _stretched(share: Tensor) -> Tensor:
    return (LOW + (HIGH - LOW) * share).clamp(0, 1)


# Judging --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Judged:
    """Candidates of one way on some documents."""

    gates: Float[Tensor, "N G"]
    loss: Float[Tensor, "N D"]  # summed over scored tokens
    trained: Outside

    @property
    def removed(self) -> Float[Tensor, "N"]:
        return (self.gates == 0).double() @ self.trained.of_gate

    @property
    def cost(self) -> Float[Tensor, "N"]:
        return (self.loss - self.trained.loss).sum(1) / self.trained.scored.sum()

    def drawn(self, weights: Float[Tensor, "R D"]) -> tuple[Float[Tensor, "R N"], Float[Tensor, "R N"]]:
        """`removed` and `cost` of documents drawn again."""
        mass = weights @ self.trained.mass
        removed = mass @ (self.gates == 0).double().T / mass.sum(1, keepdim=True)
        return removed, weights @ (self.loss - self.trained.loss).T / (weights @ self.trained.scored)[:, None]

    def pick(self, budget: float) -> int:
        """The candidate within the budget that removes most; where none is, the one that costs least."""
        within = self.cost <= budget
        return int(torch.where(within, self.removed, -1.0).argmax() if within.any() else self.cost.argmin())

    def reach(self, budget: float) -> float:
        """What the candidates within the budget remove at most; 0 where none is: all open costs nothing."""
        return float(_reached(self.removed, self.cost, budget))

    def reaches(self, budget: float, weights: Float[Tensor, "R D"]) -> Float[Tensor, "R"]:
        return _reached(*self.drawn(weights), budget)


def _reached(removed: Tensor, cost: Tensor, budget: float) -> Tensor:
    return removed.where(cost <= budget, 0.0).amax(-1)


def judged(problem: Problem, gates: Float[Tensor, "N G"], trained: Outside) -> Judged:
    """The losses of all candidates."""
    return Judged(gates, torch.stack([problem.sums(one, leakage=False)[0] for one in gates]), trained)


def submodularity_ratios(problem: Problem, size: int, samples: int, seed: int = 0) -> Float[np.ndarray, "_"]:
    """sum over c of S of f(A + c) - f(A), over f(A + S) - f(A), for random disjoint A and S of `size` gates.

    f(A) = L(mask) - L(only A open). Their least bounds the submodularity ratio of f from above: what is measured on
    samples promises a greedy choice nothing. Samples whose S gains less than 1e-4 nats a token are left out.
    """
    random, count = np.random.default_rng(seed), problem.groups.count

    def loss(opened: Sequence[int]) -> float:
        gates = torch.zeros(count, dtype=torch.float64)
        gates[list(opened)] = 1
        return float(problem.sums(gates, leakage=False)[0].sum() / problem.counts[0].sum())

    def ratios() -> Iterator[float]:
        for _ in range(samples):
            some = random.permutation(count).tolist()
            more, base = some[:size], some[size : size + random.integers(0, count - size + 1)]
            before, after = loss(base), loss(base + more)
            if before - after >= 1e-4:
                yield sum(before - loss([*base, one]) for one in more) / (before - after)

    return np.array(list(ratios()))


def permuted(blocks: Int[Tensor, "T"], generator: torch.Generator, kept: Sequence[int] = ()) -> Int[Tensor, "T"]:
    """The labels in another order, blocks of the same sizes; those below 0 or `kept` stay where they are."""
    moves = (blocks >= 0) & ~torch.isin(blocks, torch.tensor(list(kept), dtype=blocks.dtype))
    found = blocks.clone()
    mine = blocks[moves]
    found[moves] = mine[torch.randperm(len(mine), generator=generator)]
    return found
