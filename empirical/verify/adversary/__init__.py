"""Attacks on the theorems: random search and gradient ascent on logits, keys, weights, stacks and optimisers.

A family draws rows of one kind for the theorems it names: most satisfy every hypothesis, some are driven uphill, and
some break a hypothesis on purpose, so that the ledger can see what each is needed for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from bounds.theorems import THEOREMS, Level, Theorem
from empirical.verify.adversary import (
    curved,
    descent,
    divergences,
    duals,
    gated,
    gates,
    geometry,
    heads,
    mechanisms,
    rows,
    weights,
)

Sample = Callable[[np.random.Generator, int], dict[str, np.ndarray]]


@dataclass(frozen=True)
class Family:
    """The theorems that a sample speaks of: one by its key, or those of some levels that no other family names."""

    name: str
    sample: Sample
    key: str = ""
    levels: tuple[Level, ...] = ()
    topic: str = ""  # of that topic alone
    at_stationary_points: bool | None = None  # claim C10; None: both

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.key,) if self.key else tuple(k for k, theorem in THEOREMS.items() if self._takes(theorem))

    def _takes(self, theorem: Theorem) -> bool:
        return (
            theorem.level in self.levels
            and theorem.key not in ALONE
            and self.topic in ("", theorem.topic)
            and self.at_stationary_points in (None, "C10" in theorem.claims)
        )


FAMILIES = (
    Family("attention rows", rows.sample, levels=(Level.ROW,)),
    Family("anchored rows", weights.anchor_floor, "anchor_floor"),
    Family("heads", heads.sample, levels=(Level.PAIR, Level.HEAD), at_stationary_points=False),
    Family("stationary points", descent.points, levels=(Level.PAIR,), at_stationary_points=True),
    Family("proximal steps", descent.steps_to_zero, "steps_to_zero"),
    Family("heavy ball", partial(descent.steps_to_zero, momentum=True), "heavy_ball_steps"),
    Family("transitions", descent.critical, levels=(Level.SETTING,)),
    Family("landscapes", descent.landscapes, levels=(Level.LANDSCAPE,)),
    Family("factorised heads", descent.factors, levels=(Level.FACTORS,)),
    Family("Adam's updates", descent.adam, "adam_update"),
    Family("Adam's groups", descent.adam_groups, "adam_threshold"),
    Family("anchor margins", geometry.margin, "anchor_margin"),
    Family("packings", geometry.coherence, levels=(Level.ANCHORS,)),
    Family("replication", geometry.replication, "replication_slope"),
    Family("pointers", geometry.information, "pointer_information"),
    Family("rules", weights.rule_mass, "rule_mass"),
    Family("two rules", weights.rule_priority, "rule_priority"),
    Family("reloads", mechanisms.reloads, levels=(Level.RELOADS,)),
    Family("outputs", mechanisms.outputs, levels=(Level.OUTPUT,)),
    Family("residual stacks", mechanisms.residual_stacks, "depth_sum"),
    Family("allocations", mechanisms.allocations, levels=(Level.LAYERS,)),
    Family("interference", mechanisms.interference, "non_interference"),
    Family("recruitment", mechanisms.recruitments, levels=(Level.RECRUITMENT,)),
    Family("kernels", weights.kernels, levels=(Level.WEIGHTS,)),
    Family("logits", weights.published, levels=(Level.LOGITS,), topic="published"),
    Family("scalable softmax", weights.scalable, "scalable_softmax_floor"),
    Family("retrieval", weights.retrieval, levels=(Level.PATTERNS,)),
    Family("entropy along the dial", weights.along_dial, levels=(Level.LOGITS,), topic="dial"),
    Family("quadratic majorants", duals.majorants, "quadratic_dual"),
    Family("penalised heads", descent.penalised_heads, "worst_case_threshold"),
    Family("prices of gates", gates.prices, "gate_price"),
    Family("pairs of a gate", gates.pairs, "pair_law"),
    Family("paths of gates", gates.shares, "gate_shares"),
    Family("staircases", gates.staircases, "gate_staircase"),
    Family("projected gates", gates.stationary, "gate_stationarity"),
    Family("first steps of gates, upwards", gates.first_steps, "gates_stay"),
    Family("first steps of gates, downwards", gates.first_steps, "gates_open"),
    Family("gates that settled", gates.points, "gate_self_check"),
    Family("gates above level A", gates.points, "gate_level_a"),
    Family("gates to zero", gates.steps_to_zero, "gate_steps_to_zero"),
    Family("bowls of gates", curved.bowls, "gate_basin"),
    Family("bent losses of one layer", curved.bent, "gate_curvature"),
    Family("gated solutions", gated.solutions, levels=(Level.GATED,)),
    Family("supported points", gated.supported, "supported_points"),
    Family("divergences of gates", divergences.gram, "gate_gram"),
)
"""The place of a family seeds its inputs: a new one comes last."""

ALONE = frozenset(family.key for family in FAMILIES if family.key)


def family_of(key: str) -> Family:
    """The family that attacks the theorem. Raises LookupError where no family draws rows of its level and topic."""
    for family in FAMILIES:
        if key in family.keys:
            return family
    theorem = THEOREMS[key]
    raise LookupError(f"FAMILIES must draw rows for {key!r}: no family is of {theorem.level} in {theorem.topic!r}")
