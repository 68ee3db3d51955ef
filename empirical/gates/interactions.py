"""What gates do together: exact Shapley values of a few, pairs, and the curvature of a loss that is least as trained.

    interaction of a and b   L(without both) - L(without a) - L(without b) + L(with all)
    Shapley value of a       mean over orders in which gates are shut of what a's shutting adds to the loss
    Gram matrix              Hessian in the gates at s = 1; of KL(as trained || gated) it is the sum over tokens of
                             J^T (diag p - p p^T) J, J of the logits: positive semi-definite, a convex model of the cost
                             (theorem gate_gram)

Nothing here is submodular by itself: one number a gate does not say what several cost. For documents in one context,
gates go by `block_key`.
"""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import torch

from empirical.errors import BadInput
from empirical.gates.problem import Problem
from empirical.shapes import Float

MOST = 12  # gates whose every subset is shut: 4,096 passes


def _loss_without(problem: Problem, shut: tuple[int, ...]) -> float:
    gates = torch.ones(problem.groups.count, dtype=torch.float64)
    gates[list(shut)] = 0
    return float(problem.sums(gates, leakage=False)[0].sum() / problem.counts[0].sum())


def pair_interactions(problem: Problem) -> Float[np.ndarray, "G G"]:
    """Nats a token, 0 on the diagonal: positive where two gates stand in for one another."""
    count = problem.groups.count
    alone, whole = [_loss_without(problem, (gate,)) for gate in range(count)], _loss_without(problem, ())
    found = np.zeros((count, count))
    for one, other in combinations(range(count), 2):
        both = _loss_without(problem, (one, other)) - alone[one] - alone[other] + whole
        found[one, other] = found[other, one] = both
    return found


def shapley(problem: Problem) -> Float[np.ndarray, "G"]:
    """Exact, of L(mask) - L(as trained), to which they add up. Raises BadInput for more than MOST gates."""
    count = problem.groups.count
    if count > MOST:
        raise BadInput(f"groups must number at most {MOST} gates for exact Shapley values, got {count}")
    loss = {
        shut: _loss_without(problem, shut) for size in range(count + 1) for shut in combinations(range(count), size)
    }
    found = np.zeros(count)
    for shut, before in loss.items():
        weight = math.factorial(len(shut)) * math.factorial(count - len(shut) - 1) if len(shut) < count else 0
        for gate in set(range(count)) - set(shut):
            found[gate] += weight * (loss[tuple(sorted((*shut, gate)))] - before)
    return found / math.factorial(count)


def gram_matrix(problem: Problem) -> Float[np.ndarray, "G G"]:
    """The Hessian of L in the gates at s = 1, nats a token: G + 1 backward passes a batch."""
    count = problem.groups.count
    found = torch.zeros(count, count, dtype=torch.float64)
    one = torch.ones(count, dtype=torch.float64)
    with torch.enable_grad():
        for number, size in enumerate(problem.sizes):
            own = one.clone().requires_grad_()
            reading = problem.read(number, own.expand(size, -1), leakage=False)
            (slope,) = torch.autograd.grad(reading.loss.double().sum(), own, create_graph=True)
            rows = [torch.autograd.grad(part, own, retain_graph=True)[0] for part in slope]
            found += torch.stack(rows).detach()
    return ((found + found.T) / (2 * problem.counts[0].sum())).numpy()
