"""Documents drawn again: how far what is said of a few of them would move with others.

    draw: as many documents as there are, each as often as a multinomial of equal chances says;  interval: 95 % of draws

One document cannot be drawn otherwise: its interval is unknown, NaN, and not of width 0.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from empirical.shapes import Float

DRAWS, INTERVAL, LEAST = 1000, (0.025, 0.975), 2  # documents that an interval needs


def drawn_again(documents: int, seed: int = 0, draws: int = DRAWS) -> Float[torch.Tensor, "R D"]:
    """How often each document is drawn in each of the draws, one set for all to be compared; none of a single one."""
    if documents < LEAST:
        return torch.zeros(0, documents, dtype=torch.float64)
    found = np.random.default_rng(seed).multinomial(documents, np.full(documents, 1 / documents), draws)
    return torch.as_tensor(found, dtype=torch.float64)


def interval(draws: Float[np.ndarray, "R *G"]) -> Float[np.ndarray, "2 *G"]:
    """Its two ends, over the draws; NaN without any."""
    filled = draws if len(draws) else np.full((1, *draws.shape[1:]), math.nan)
    return np.quantile(filled, INTERVAL, axis=0)


def said(low: float, high: float, form: str) -> str:
    """The interval in words, each end in `form`."""
    if not math.isfinite(low + high):
        return f"95 % UNKNOWN: at least {LEAST} documents are needed"
    return f"95 % {low:{form}} to {high:{form}}"
