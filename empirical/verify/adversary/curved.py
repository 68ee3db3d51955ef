"""Quadratic losses of gates and of a layer's outputs, curved at most as much as is stated, or more."""

from __future__ import annotations

import numpy as np

from empirical.verify.adversary.gates import Rows, flag

GATES, ROWS, D = 3, 3, 2


def _symmetric(rng: np.random.Generator, count: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Random symmetric matrices, some of them -M times the identity, and their negative curvature."""
    matrices = rng.standard_normal((count, size, size))
    matrices = matrices + matrices.transpose(0, 2, 1)
    even = rng.random((count, 1, 1)) < 0.3
    matrices = np.where(even, -rng.uniform(0.1, 2, (count, 1, 1)) * np.eye(size), matrices)
    return matrices, np.maximum(-np.linalg.eigvalsh(matrices)[:, 0], 0)


def bowls(rng: np.random.Generator, count: int) -> Rows:
    """J(s) - J(0) of a quadratic in the gates, some with one gate open alone."""
    matrices, curvature = _symmetric(rng, count, GATES)
    gap = rng.uniform(0.1, 1, count)
    slopes = gap[:, None] + rng.choice([0.0, 1.0], (count, 1)) * rng.random((count, GATES))
    s = rng.random((count, GATES)) * np.where(rng.random((count, 1)) < 0.5, np.arange(GATES) == 0, True)
    return {
        "objective_rise": (slopes * s).sum(-1) + np.einsum("ni,nij,nj->n", s, matrices, s) / 2,
        "gates_norm": np.sqrt((s**2).sum(-1)),
        "gap": gap * np.where(flag(rng, count) > 0, 1.5, 1.0),
        "least_slope": slopes.min(-1),
        "curvature": curvature,
        "curvature_bound": curvature * np.where(flag(rng, count) > 0, 0.5, 1.0) * (1 + 1e-12),
    }


def bent(rng: np.random.Generator, count: int) -> Rows:
    """A layer of rows with one group each, its loss quadratic in all outputs; some with another layer open too."""
    matrices, curvature = _symmetric(rng, count, ROWS * D)
    apart = rng.standard_normal((count, ROWS, D))
    alike = rng.random((count, 1, 1)) < 0.5
    apart = np.where(alike, apart[:, :1], apart)
    eps = np.where(alike[..., 0], rng.random((count, 1)), rng.random((count, ROWS)))
    slopes = np.where(alike, -np.abs(rng.standard_normal((count, 1, 1))) * apart, rng.standard_normal((count, ROWS, D)))
    moved = (eps[..., None] * apart).reshape(count, -1)
    linear = (slopes.reshape(count, -1) * moved).sum(-1)
    bend = np.einsum("ni,nij,nj->n", moved, matrices, moved) / 2
    steepest = (-ROWS * (slopes * apart).sum(-1)).max(-1)
    another = flag(rng, count)
    distance = np.sqrt((apart**2).sum(-1)).max(-1)

    def at_least(value: np.ndarray, lie: np.ndarray) -> np.ndarray:
        return np.where(flag(rng, count, 0.05) > 0, lie, value)

    return {
        "loss_change": -linear - bend + 3 * another,
        "penalised_leakage": eps.mean(-1),
        "layers_open": 1 + another,
        "layer_rows": np.full(count, float(ROWS)),
        "steepest": steepest,
        "pair_penalty": at_least(steepest, steepest - 1),
        "curvature": curvature,
        "curvature_bound": at_least(curvature * (1 + 1e-12), 0.3 * curvature),
        "apart": distance,
        "value_diameter": at_least(distance, 0.5 * distance),
        "worst_leakage": eps.max(-1),
        "largest_leakage": at_least(eps.max(-1), 0.5 * eps.max(-1)),
        "size": np.abs(linear) + np.abs(bend),
    }
