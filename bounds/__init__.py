"""Thresholds and bounds for attention locality: NumPy calculators, and on demand the theorems behind them.

`import bounds` loads numpy alone; `bounds.THEOREMS` and `bounds.theorems` load sympy when first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bounds.concentration import (
    entropy_ceiling,
    entropy_envelope,
    entropy_split,
    fidelity_floor,
    frontier,
    leakage_ceiling,
    log_leakage_ceiling,
)
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
from bounds.floors import entropy_floor, fidelity_ceiling, specht_floor
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

if TYPE_CHECKING:
    from bounds.theorems import THEOREMS as THEOREMS

__all__ = [
    "Design",
    "PenaltySetting",
    "Setting",
    "Solutions",
    "Unreachable",
    "anchors_for_fidelity",
    "context_for_fidelity",
    "critical_penalty",
    "design",
    "dial_bias",
    "dial_for_fidelity",
    "dial_leakage",
    "dial_of_kappa",
    "entropy_ceiling",
    "entropy_envelope",
    "entropy_floor",
    "entropy_split",
    "fidelity_ceiling",
    "fidelity_floor",
    "frontier",
    "global_penalty_witness",
    "kappa_bias",
    "kappa_for_fidelity",
    "kappa_leakage",
    "kappa_of_dial",
    "leakage_ceiling",
    "log_leakage_ceiling",
    "margin_for_entropy",
    "margin_for_fidelity",
    "penalty_threshold_leakage_aware",
    "penalty_threshold_mean_of_products",
    "penalty_threshold_worst_case",
    "specht_floor",
    "steps_to_zero",
    "temperature_for_fidelity",
    "worst_case_dial",
    "worst_case_kappa",
]


def __getattr__(name: str) -> Any:
    if name == "THEOREMS":
        from bounds.theorems import THEOREMS

        return THEOREMS
    raise AttributeError(f"module 'bounds' has no attribute {name!r}")
