"""What gates do together, against every order and subset, differences, and a weighted penalty's own threshold."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from planted import Heads, documents, planted, twins

from bounds.theorems import by_key
from bounds.theory.theorem import Verdict
from empirical.errors import BadInput
from empirical.gates.interactions import gram_matrix, pair_interactions, shapley
from empirical.gates.solve import minimised


def loss(problem, gates):
    return float(problem.sums(torch.as_tensor(gates).double(), leakage=False)[0].sum() / problem.counts[0].sum())


def test_shapley_values_are_means_over_every_order():
    problem = documents(groups=("layer",))
    wanted = np.zeros(3)
    for order in permutations(range(3)):
        gates = np.ones(3)
        for gate in order:
            before = loss(problem, gates)
            gates[gate] = 0
            wanted[gate] += (loss(problem, gates) - before) / 6
    found = shapley(problem)
    np.testing.assert_allclose(found, wanted, atol=1e-12)
    assert found.sum() == pytest.approx(loss(problem, np.zeros(3)) - loss(problem, np.ones(3)), rel=1e-12)


def test_twins_stand_in_for_one_another():
    problem = twins(4.0)
    np.testing.assert_allclose(shapley(problem), 0.5, atol=1e-8)
    found = pair_interactions(problem)
    assert found[0, 1] == found[1, 0] == pytest.approx(1, abs=1e-8)
    assert not found.diagonal().any()


def test_shapley_values_of_many_gates_are_refused():
    with pytest.raises(BadInput, match="at most 12 gates"):
        shapley(documents(groups=("layer", "head", "block_key")))


def test_the_curvature_as_trained_is_that_of_differences():
    problem = documents(count=2, groups=("layer",))
    found, h = gram_matrix(problem), 1e-5
    for gate in range(3):
        ends = []
        for sign in (1, -1):
            at = torch.ones(3, dtype=torch.float64)
            at[gate] += sign * h
            ends.append(problem.slopes(at)[1].sum(0) / problem.counts[0].sum())
        np.testing.assert_allclose(found[gate], (ends[0] - ends[1]) / (2 * h), rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(found, found.T)


@pytest.mark.theorem("gate_gram")
def test_the_gram_matrix_of_a_divergence_is_that_of_the_theorem():
    """Slopes of the logits by reverse mode, a class of a token at a time; the matrix by differentiating twice."""
    random = torch.Generator().manual_seed(3)

    def draw(*shape):
        return 0.5 * torch.randn(*shape, generator=random, dtype=torch.float64)

    blocks, read_out, logits = torch.tensor([[0, 0, 1, 1, 2, 0], [0, 1, 0, 1, 1, 2]]), draw(4, 5), []

    def divergence(states):
        logits.append((states @ read_out).log_softmax(-1))
        trained = logits[0].detach()  # of the first pass, all gates 1
        return (trained.exp() * (trained - logits[-1])).sum((-2, -1))

    layers = [Heads(*(draw(2, 4, 3) for _ in range(3)), draw(2, 3, 4)) for _ in range(2)]
    problem = planted(draw(2, 6, 4), blocks, layers, divergence)
    one = torch.ones(4, dtype=torch.float64)
    assert loss(problem, one) == 0

    def at(gates):
        problem.read(0, gates.expand(2, -1))
        return logits[-1]

    slopes, found = torch.autograd.functional.jacobian(at, one), gram_matrix(problem)
    assert np.linalg.eigvalsh(found).min() > -1e-12 * np.abs(found).max()
    for along in (*torch.eye(4).double(), draw(4), draw(4)):
        rows = {
            "divergence_curvature": np.asarray(float(along @ torch.from_numpy(found) @ along) * 2),  # of two documents
            "probabilities": logits[0].detach().exp().flatten(0, 1).numpy(),
            "logit_slopes": (slopes @ along).flatten(0, 1).numpy(),
            "gate": np.asarray(1.0),
            "of_labels": np.asarray(0.0),
            "kinks": np.asarray(0.0),
        }
        assert by_key("gate_gram").verdicts(rows) == Verdict.HOLDS.code
        rows["divergence_curvature"] *= 1.001
        assert by_key("gate_gram").verdicts(rows) == Verdict.VIOLATED.code


def test_a_penalty_on_weighted_gates_has_the_threshold_of_its_own_slope():
    """J = L + penalty sum w_c s_c: at the mask gate c opens iff -dL/ds_c > penalty w_c."""
    problem = documents()
    shut = torch.zeros(9, dtype=torch.float64)
    weights = torch.linspace(1, 2, 9).double()
    _, slope = problem.objective(shut, 0.0)
    critical = float((-slope / weights).max())
    for ratio, stays in ((1.001, True), (0.999, False)):
        found = minimised(problem, ratio * critical, shut, weights=weights, tolerance=1e-9)
        assert bool(found.shut.all()) == stays
        assert found.value.omega == pytest.approx(float(weights @ found.gates))
