"""What is known and wanted, from which every threshold follows: numbers, validated once.

A `Setting` describes the attention rows that are served: n keys, m of them in the relevant block, r anchors, a
temperature, and whatever is known or wanted of margin, logit range, fidelity, entropy and dial. A `PenaltySetting`
describes the training problem of one cross block, or of gates. Only what is given is used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from numbers import Real
from typing import Any

import numpy as np

import bounds.numbers.arguments as check
from bounds.numbers.arguments import Reals
from bounds.penalty.fields import LEVEL_FIELDS

LEVEL_BOUNDS = tuple(name for name in LEVEL_FIELDS if name != "query_share")
"""What has no default: a level needs each of them."""


def _said(meaning: str, unit: str, default: float | None = None) -> Any:
    """A field with its meaning and unit, which help, `localist init` and the docs print."""
    return field(default=default, metadata={"meaning": meaning, "unit": unit})


def _scalars(owner: Any) -> None:
    """Every field that was given is one plain number (a bool or a list from a TOML file is not)."""
    for item in fields(owner):
        value = getattr(owner, item.name)
        if "unit" in item.metadata and value is not None and (isinstance(value, bool) or not isinstance(value, Real)):
            raise check.reject(item.name, "one number", repr(value))


def _given(owner: Any, name: str, allowed: Callable[[str, Any], Reals], whole: bool = False) -> None:
    value = getattr(owner, name)
    if value is not None:
        number = float(allowed(name, value))
        object.__setattr__(owner, name, int(number) if whole else number)


@dataclass(frozen=True)
class Setting:
    """What is known and wanted of the attention rows; None where nothing is said."""

    n_keys: int | None = _said("n: visible keys, the relevant block and its anchors included", "keys")
    n_block: int | None = _said("m: keys of the relevant block, 1 <= m < n", "keys")
    n_anchors: int | None = _said("r: anchors among them, 1 <= r <= m; not given: the whole block", "keys")
    temperature: float = _said("tau > 0: attention = softmax(logits / tau)", "1", 1.0)
    margin: float | None = _said("every anchor's logit is at least this far above every logit outside", "logits")
    fidelity: float | None = _said("wanted: attention mass on the block at least this, in (0, 1)", "of 1")
    entropy: float | None = _said("wanted: attention entropy at most this", "nats")
    logit_range: float | None = _said("largest minus smallest visible logit; at least |margin|", "logits")
    dial: float | None = _said("weights outside the block are multiplied by 1 - dial, in [0, 1]", "of 1")

    def __post_init__(self) -> None:
        _scalars(self)
        for name in ("n_keys", "n_block", "n_anchors"):
            _given(self, name, check.count, whole=True)
        if self.temperature is None:  # pyright: ignore[reportUnnecessaryComparison]  (not every caller has types)
            raise check.reject("temperature", "finite and > 0", None)
        _given(self, "temperature", check.positive)
        _given(self, "margin", check.finite)
        _given(self, "fidelity", check.unit_open)
        _given(self, "entropy", check.non_negative)
        _given(self, "logit_range", check.non_negative)
        _given(self, "dial", check.unit_closed)
        if self.n_keys is not None and self.n_block is not None:
            check.keys(self.n_keys, self.n_block, self.n_anchors)
        elif self.n_block is not None and self.n_anchors is not None and self.n_anchors > self.n_block:
            raise check.reject("n_anchors", "in [1, n_block]", self.n_anchors, f" with n_block={self.n_block}")
        if self.margin is not None and self.logit_range is not None:  # 8 ulp less count as |margin|
            covering = check.covering(np.asarray(self.logit_range), np.asarray(self.margin))
            object.__setattr__(self, "logit_range", float(covering))


@dataclass(frozen=True)
class PenaltySetting:
    """What is known of the training problem, for one cross block or for gates; None where nothing is said."""

    gradient_bound: float | None = _said("G: norm of a query's loss gradient at the head's output, at most", "loss")
    value_diameter: float | None = _said("V: diameter of the values", "1")
    query_norm: float | None = _said("X_b: norm of a query's block features, at most", "1")
    key_norm: float | None = _said("X_c: norm of a key's block features, at most", "1")
    key_diameter: float | None = _said("D_c: diameter of the key features over all visible keys", "1")
    query_share: float = _said("p_b: share of the queries that lie in the block, in [0, 1]", "of 1", 1.0)
    penalty: float | None = _said("lambda of steps (not given: twice level A), and of gates", "loss/norm")
    group_norm: float | None = _said("Frobenius norm of the group at the start", "norm")
    step: float | None = _said("proximal step size eta", "norm^2/loss")
    layer_rows: int | None = _said(
        "gates, N_l: rows of a layer's mean leakage; 1 where gradient_bound is of the sum over as many rows", "rows"
    )
    loss_reference: float | None = _said("gates, L_ref: loss of a solution with leakage 0, such as the mask", "loss")
    loss_least: float | None = _said(
        "gates, L_least: a lower bound on the loss; not given: 0, a cross-entropy's", "loss"
    )
    target_leakage: float | None = _said("gates: wanted, leakage Omega at most this, summed over heads", "of 1 a head")
    loss_slope: float | None = _said("gates: dL/ds of the gate at the mask", "loss")
    leakage_slope: float | None = _said("gates: dOmega/ds of the gate at the mask, > 0", "1")

    def __post_init__(self) -> None:
        _scalars(self)
        for name in LEVEL_BOUNDS:
            _given(self, name, check.non_negative)
        if self.query_share is None:  # pyright: ignore[reportUnnecessaryComparison]
            raise check.reject("query_share", "in [0, 1]", None)
        _given(self, "query_share", check.unit_closed)
        _given(self, "penalty", check.non_negative)
        _given(self, "group_norm", check.non_negative)
        _given(self, "step", check.positive)
        _given(self, "layer_rows", check.count, whole=True)
        for name in ("loss_reference", "loss_least", "loss_slope"):
            _given(self, name, check.finite)
        for name in ("target_leakage", "leakage_slope"):
            _given(self, name, check.positive)
        reference, least = self.loss_reference, self.loss_least or 0.0
        if reference is not None and least > reference:
            raise check.reject("loss_reference", "at least loss_least", f"{reference:g}", f" with {least:g}")

    @property
    def norms(self) -> tuple[float, float, float, float, float] | None:
        """(G, V, X_b, X_c, D_c), which levels A and B need together; None while one is missing."""
        g, v, query, key, diameter = (getattr(self, name) for name in LEVEL_BOUNDS)
        return None if None in (g, v, query, key, diameter) else (g, v, query, key, diameter)
