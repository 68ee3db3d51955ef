"""Attacks on the theorems: random search and gradient ascent on logits, keys, weights, stacks and optimisers.

A family draws rows of one kind for the theorems it names: most satisfy every hypothesis, some are driven uphill, and
some break a hypothesis on purpose, so that the ledger can see what each is needed for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from empirical.verify.adversary import descent, duals, geometry, heads, mechanisms, rows, weights

Sample = Callable[[np.random.Generator, int], dict[str, np.ndarray]]


@dataclass(frozen=True)
class Family:
    """The theorems that a sample speaks of."""

    name: str
    keys: tuple[str, ...]
    sample: Sample


FAMILIES = (
    Family("attention rows", rows.KEYS, rows.sample),
    Family("anchored rows", ("anchor_floor",), weights.anchor_floor),
    Family("heads", heads.KEYS, heads.sample),
    Family("stationary points", descent.STATIONARITY, descent.points),
    Family("proximal steps", ("steps_to_zero",), descent.steps_to_zero),
    Family("heavy ball", ("heavy_ball_steps",), partial(descent.steps_to_zero, momentum=True)),
    Family("transitions", descent.CRITICAL, descent.critical),
    Family("landscapes", descent.LANDSCAPE, descent.landscapes),
    Family("factorised heads", ("factorised_heads",), descent.factors),
    Family("Adam's updates", ("adam_update",), descent.adam),
    Family("Adam's groups", ("adam_threshold",), descent.adam_groups),
    Family("anchor margins", ("anchor_margin",), geometry.margin),
    Family("packings", geometry.COHERENCE, geometry.coherence),
    Family("replication", ("replication_slope",), geometry.replication),
    Family("pointers", ("pointer_information",), geometry.information),
    Family("rules", ("rule_mass",), weights.rule_mass),
    Family("two rules", ("rule_priority",), weights.rule_priority),
    Family("reloads", ("reload_compliance", "reload_limit"), mechanisms.reloads),
    Family("outputs", ("output_error", "dial_segment"), mechanisms.outputs),
    Family("residual stacks", ("depth_sum",), mechanisms.residual_stacks),
    Family("allocations", ("schedule_optimum", "late_layers"), mechanisms.allocations),
    Family("interference", ("non_interference",), mechanisms.interference),
    Family("recruitment", ("recruitment_count", "recruitment_end"), mechanisms.recruitments),
    Family("kernels", weights.KERNELS, weights.kernels),
    Family("logits", weights.PUBLISHED, weights.published),
    Family("scalable softmax", ("scalable_softmax_floor",), weights.scalable),
    Family("retrieval", weights.RETRIEVAL, weights.retrieval),
    Family("entropy along the dial", weights.ALONG_DIAL, weights.along_dial),
    Family("quadratic majorants", ("quadratic_dual",), duals.majorants),
)


def family_of(key: str) -> Family:
    """The family that attacks the theorem."""
    return next(family for family in FAMILIES if key in family.keys)
