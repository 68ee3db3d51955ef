"""What the row theorems share: hypotheses that data can fail, rounding, calculator arguments, witness rows.

A witness row has temperature 1; its first m keys are the block and the first r of those its anchors.
"""

from __future__ import annotations

from typing import TypedDict

import numpy as np

from bounds.theory.theorem import Hypothesis, Rows

ABSTRACT = "arXiv:2510.09338v2, abstract"
ULP = float(np.finfo(np.float64).eps)
FAR = 60.0  # e^-60 of the other weights is 1e-26 of them: nothing, next to rounding


def _scaled(rows: Rows, name: str) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(rows[name] / rows["temperature"])


def scaled_margin(rows: Rows) -> np.ndarray:
    return _scaled(rows, "margin")


def scaled_range(rows: Rows) -> np.ndarray:
    return _scaled(rows, "logit_range")


def softmax_rounding(rows: Rows) -> np.ndarray:
    """Relative error of (observed, bound) together, in float64.

    A weight e^(s - max) carries (D + 2) ulp from the rounding of s/tau and of the exponential, a sum of n positive
    terms log2(n) ulp by pairwise summation, and so do numerator and denominator; entropy is a sum of positive terms of
    the same kind. The bound carries x ulp from the rounding of x (x <= D) and 4 ulp of its own.
    """
    return ULP * (16 + 4 * np.maximum(scaled_range(rows), 0) + 4 * np.log2(rows["n_keys"]))


def masked(rows: Rows) -> np.ndarray:
    """Where every key outside has weight 0, as at dial 1: the margin is infinite, the range that of the block alone."""
    return np.asarray(rows.get("margin", 0.0)) == np.inf


def mass_rounding(rows: Rows) -> np.ndarray:
    """That of the softmax; none where nothing outside has a weight: a sum over itself is 1, and the bound is 1."""
    return np.where(masked(rows), 0.0, softmax_rounding(rows))


def exact(rows: Rows) -> np.ndarray:
    """Counts and exact zeros carry no rounding."""
    return np.asarray(0.0)


def from_lower_penalties(rows: Rows, share: float) -> Rows:
    """What a theorem reads that claims the same from penalties on that are lower by a share."""
    return {**rows, "penalty": rows["penalty"] * (1 + share)}


def to_higher_penalties(rows: Rows, share: float) -> Rows:
    return {**rows, "penalty": rows["penalty"] * (1 - share)}


VALID = Hypothesis(
    "the row is an attention row with 1 <= r <= m < n visible keys",
    lambda rows: (
        np.asarray(rows.get("valid", True), dtype=bool)
        & (rows["n_anchors"] >= 1)
        & (rows["n_anchors"] <= rows["n_block"])
        & (rows["n_block"] < rows["n_keys"])
    ),
)
FINITE_RANGE = Hypothesis(
    "the logit range is finite",
    lambda rows: np.isfinite(rows["logit_range"]) & ~masked(rows),
    spare="with an infinite range the bound is its limit, which is trivial or that of the margin alone",
)


class KeyArguments(TypedDict):
    """The counts as the calculators name them."""

    n_keys: np.ndarray
    n_block: np.ndarray
    n_anchors: np.ndarray


class MarginArguments(KeyArguments):
    """What the calculators of a margin take."""

    margin: np.ndarray
    temperature: np.ndarray


def key_arguments(rows: Rows) -> KeyArguments:
    """n_keys, n_block and n_anchors as the calculators take them; rows that do not apply are cleared beforehand."""
    ok = VALID.holds(rows)
    return {
        "n_keys": np.where(ok, rows["n_keys"], 2),
        "n_block": np.where(ok, rows["n_block"], 1),
        "n_anchors": np.where(ok, rows["n_anchors"], 1),
    }


def margin_arguments(rows: Rows) -> MarginArguments:
    """The calculators' keyword arguments, from a row."""
    known = VALID.holds(rows) & ~np.isnan(rows["margin"])
    return {
        "margin": np.where(known, rows["margin"], 0.0),
        **key_arguments(rows),
        "temperature": rows["temperature"],
    }


def range_argument(rows: Rows) -> np.ndarray:
    return np.where(np.isfinite(rows["logit_range"]), np.maximum(rows["logit_range"], 0.0), 0.0)


def _levels(n_keys: int, n_block: int, n_anchors: int, anchors: float, free: float) -> np.ndarray:
    """Anchors and free block keys at the given logits, everything outside at 0."""
    position = np.arange(n_keys)
    return np.where(position < n_anchors, anchors, np.where(position < n_block, free, 0.0))


def two_levels(n_keys: int, n_block: int, n_anchors: int, x: float) -> np.ndarray:
    """The whole block at x, everything outside at 0."""
    return _levels(n_keys, n_block, n_anchors, x, x)


def far_free_keys(n_keys: int, n_block: int, n_anchors: int, x: float) -> np.ndarray:
    """Anchors at x, outsiders at 0, free block keys so low that they weigh nothing: leakage at its supremum."""
    return _levels(n_keys, n_block, n_anchors, x, min(x, 0.0) - FAR)


def low_free_keys(n_keys: int, n_block: int, n_anchors: int, x: float) -> np.ndarray:
    """Anchors at x, outsiders at 0, free block keys as low as the range D = |x| + 3 lets them be."""
    return _levels(n_keys, n_block, n_anchors, x, max(x, 0.0) - (abs(x) + 3.0))


def entropy_maximiser(n_keys: int, n_block: int, n_anchors: int, x: float) -> np.ndarray:
    """Anchors at x, outsiders at 0, free block keys at x (1 - g); for x <= 0 the uniform row."""
    x = max(x, 0.0)
    weight = (n_keys - n_block) * np.exp(-x)
    return _levels(n_keys, n_block, n_anchors, x, x * n_anchors / (n_anchors + weight))


def block_on_top(n_keys: int, n_block: int, n_anchors: int, x: float) -> np.ndarray:
    """The block at D = |x|, everything outside at 0: the best that this range allows."""
    return two_levels(n_keys, n_block, n_anchors, abs(x))
