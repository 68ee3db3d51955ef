"""Thresholds and bounds for attention locality: NumPy calculators, and on demand the theorems behind them.

`import bounds` loads numpy alone; `bounds.THEOREMS` and `bounds.theorems` load sympy when first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bounds.anchors import anchor_margin, coherence_floor, pointer_information, replication_slope
from bounds.concentration import (
    entropy_ceiling,
    entropy_envelope,
    entropy_split,
    fidelity_floor,
    frontier,
    leakage_ceiling,
    log_leakage_ceiling,
)
from bounds.depth import drift_bound, layer_costs, schedule
from bounds.design import Design, PenaltySetting, Setting, design
from bounds.dial import (
    dial_bias,
    dial_for_fidelity,
    dial_leakage,
    dial_of_kappa,
    kappa_bias,
    kappa_for_fidelity,
    kappa_leakage,
    kappa_of_dial,
    worst_case_dial,
    worst_case_kappa,
)
from bounds.floors import entropy_floor, entropy_floor_with_margin, fidelity_ceiling, specht_floor
from bounds.inverse import (
    Solutions,
    Unreachable,
    anchors_for_fidelity,
    context_for_fidelity,
    margin_for_entropy,
    margin_for_fidelity,
    temperature_for_fidelity,
)
from bounds.penalty import (
    critical_penalty,
    global_penalty_witness,
    penalty_threshold_leakage_aware,
    penalty_threshold_mean_of_products,
    penalty_threshold_worst_case,
    steps_to_zero,
)
from bounds.penalty_global import (
    adam_threshold,
    global_penalty_ceiling,
    global_penalty_dual,
    penalty_threshold_cauchy_schwarz,
    penalty_threshold_factorised,
)
from bounds.published import (
    hopfield_error,
    least_attention,
    most_attention,
    retrieval_error,
    scalable_softmax_floor,
    sigma_reparam_floor,
)
from bounds.recruitment import most_recruitments, recruitment_price
from bounds.rigorous import Enclosed
from bounds.rules import priority_gap, rule_bias, violation_after_reloads

if TYPE_CHECKING:
    from bounds.theorems import THEOREMS as THEOREMS

__all__ = [
    "Design",
    "Enclosed",
    "PenaltySetting",
    "Setting",
    "Solutions",
    "Unreachable",
    "adam_threshold",
    "anchor_margin",
    "anchors_for_fidelity",
    "coherence_floor",
    "context_for_fidelity",
    "critical_penalty",
    "design",
    "dial_bias",
    "dial_for_fidelity",
    "dial_leakage",
    "dial_of_kappa",
    "drift_bound",
    "entropy_ceiling",
    "entropy_envelope",
    "entropy_floor",
    "entropy_floor_with_margin",
    "entropy_split",
    "fidelity_ceiling",
    "fidelity_floor",
    "frontier",
    "global_penalty_ceiling",
    "global_penalty_dual",
    "global_penalty_witness",
    "hopfield_error",
    "kappa_bias",
    "kappa_for_fidelity",
    "kappa_leakage",
    "kappa_of_dial",
    "layer_costs",
    "leakage_ceiling",
    "least_attention",
    "log_leakage_ceiling",
    "margin_for_entropy",
    "margin_for_fidelity",
    "most_attention",
    "most_recruitments",
    "penalty_threshold_cauchy_schwarz",
    "penalty_threshold_factorised",
    "penalty_threshold_leakage_aware",
    "penalty_threshold_mean_of_products",
    "penalty_threshold_worst_case",
    "pointer_information",
    "priority_gap",
    "recruitment_price",
    "replication_slope",
    "retrieval_error",
    "rule_bias",
    "scalable_softmax_floor",
    "schedule",
    "sigma_reparam_floor",
    "specht_floor",
    "steps_to_zero",
    "temperature_for_fidelity",
    "violation_after_reloads",
    "worst_case_dial",
    "worst_case_kappa",
]


def __getattr__(name: str) -> Any:
    if name == "THEOREMS":
        from bounds.theorems import THEOREMS

        return THEOREMS
    raise AttributeError(f"module 'bounds' has no attribute {name!r}")
