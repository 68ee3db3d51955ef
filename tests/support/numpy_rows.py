"""A row's statistics by plain NumPy, independent of the torch observer; the block is the first m keys."""

from __future__ import annotations

import numpy as np


def numpy_row(logits: np.ndarray, n_block: int, n_anchors: int, temperature: float = 1.0) -> dict[str, np.ndarray]:
    inside, outside = np.sort(logits[:n_block])[::-1], logits[n_block:]
    weights = np.exp((logits - logits.max()) / temperature)
    total = weights.sum()
    others = np.delete(weights, logits.argmax()).sum()
    entropy = np.log1p(others) + (weights * (logits.max() - logits) / temperature).sum() / total
    fields = {
        "margin": inside[n_anchors - 1] - outside.max(),
        "logit_range": np.ptp(logits),
        "temperature": temperature,
        "leakage": weights[n_block:].sum() / total,
        "fidelity": weights[:n_block].sum() / total,
        "entropy_nats": entropy,
        "n_keys": len(logits),
        "n_block": n_block,
        "n_anchors": n_anchors,
        "valid": True,
    }
    return {name: np.asarray(value) for name, value in fields.items()}
