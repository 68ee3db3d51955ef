"""Divergences of a gated model from itself: rows of attention whose outputs set the logits of each token, bent.

Second derivatives are by Cauchy's integral of the divergence over a circle of complex gates, and of nothing else.
"""

from __future__ import annotations

import numpy as np

from empirical.verify.adversary.gates import KEYS, ROWS, STEP, D, Layer, Rows, flag

CLASSES = 4
NODES = 24  # of the circle, half of them conjugates of the others: singularities four times as far add 4^-24


def gram(rng: np.random.Generator, count: int) -> Rows:
    """Curvature of KL along gates that move together; in some elsewhere than at 1, from labels, or with a kink at 1."""
    layer, along = Layer(rng, count), rng.uniform(-1, 1, (count, KEYS))
    linear, bent = rng.normal(0, 0.5, (2, count, ROWS, CLASSES, D))
    levels = rng.standard_normal((count, ROWS, CLASSES))
    elsewhere, labels, kinks = (flag(rng, count) > 0 for _ in range(3))
    gate = np.where(elsewhere, 0.6, 1.0)

    def logits(t: complex | np.ndarray, start: np.ndarray = gate) -> np.ndarray:
        outputs = layer.outputs(start[:, None] + np.reshape(t, (-1, 1)) * along)[:, :, None]
        return levels + (linear * outputs + bent * outputs**2).sum(-1)

    def softmax(z: np.ndarray) -> np.ndarray:
        weights = np.exp(z - z.max(-1, keepdims=True))
        return weights / weights.sum(-1, keepdims=True)

    here = logits(0.0)
    own = softmax(here)
    drawn = softmax(rng.standard_normal(here.shape))
    reference = np.where(labels[:, None, None], drawn, softmax(logits(0.0, np.ones(count))))

    def divergence(t: np.ndarray) -> np.ndarray:
        """KL(reference || softmax z(t)), summed over tokens, less what it is at 0."""
        change = logits(t) - here
        return (np.log((own * np.exp(change)).sum(-1)) - (reference * change).sum(-1)).sum(-1)

    slopes = np.imag(logits(1j * STEP)) / STEP
    radius = 0.3 / (1 + np.abs(slopes).max((1, 2)))  # so that logits change by less than 1
    turns = np.exp(1j * np.pi * (2 * np.arange(NODES // 2) + 1) / NODES)
    curvature = np.mean([(divergence(radius * turn) / turn**2).real for turn in turns], 0) * 2 / radius**2
    return {
        "divergence_curvature": np.where(kinks, 2.5, 1.0) * curvature,  # twice as steep beyond 1: the mean of 1 and 4
        "probabilities": own,
        "logit_slopes": slopes,
        "gate": gate,
        "of_labels": labels.astype(float),
        "kinks": kinks.astype(float),
    }
