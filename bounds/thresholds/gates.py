"""Thresholds of penalties on gates: J = L + lambda Omega, Omega the sum over heads of their mean leakage (claim C3)."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import signature

from bounds.gates.calculators import (
    critical_gate_penalty,
    gate_penalty_for_leakage,
    gate_penalty_level_a,
    penalised_leakage_ceiling,
)
from bounds.numbers.search import Unreachable
from bounds.thresholds.ends import Ends
from bounds.thresholds.lines import Line


def _critical_gate(at: Ends, loss_slope: float, leakage_slope: float) -> Iterator[Line]:
    """critical penalty of a gate"""
    critical = at.upper(critical_gate_penalty, [loss_slope], [leakage_slope])
    means = "above it the gate stays shut at the mask, below it one projected step opens it"
    yield Line("gate_penalty_critical", "gates: critical penalty", critical, "loss", "gates_stay", means=means)


def _gates_for_leakage(
    at: Ends, loss_reference: float, target_leakage: float, loss_least: float = 0.0
) -> Iterator[Line]:
    """penalty on gates for the target leakage"""
    least = at.upper(gate_penalty_for_leakage, loss_reference, loss_least, target_leakage)
    label = f"gates: penalty for leakage {target_leakage:.6g}"
    means = "from it on every global minimiser of loss + penalty * leakage leaks no more, summed over heads"
    yield Line("gate_penalty_for_leakage", label, least, "loss", "penalised_leakage", means=means)


def _gates_leave(at: Ends, loss_reference: float, penalty: float, loss_least: float = 0.0) -> Iterator[Line]:
    """leakage that a penalty on gates leaves"""
    if penalty == 0:
        ceiling = Unreachable("without a penalty nothing bounds the leakage")
    else:
        ceiling = at.upper(penalised_leakage_ceiling, loss_reference, loss_least, penalty)
    label = f"gates: leakage at most, at penalty {penalty:.6g}"
    means = "of every solution whose loss + penalty * leakage is at most loss_reference, summed over heads"
    yield Line("penalised_leakage_ceiling", label, ceiling, "of 1 a head", "penalised_leakage", means=means)


def _gates_level_a(at: Ends, gradient_bound: float, value_diameter: float, layer_rows: int) -> Iterator[Line]:
    """penalty on gates, level A"""
    level = at.upper(gate_penalty_level_a, layer_rows, gradient_bound, value_diameter)
    means = "above it every stationary point has all gates 0: leakage 0, entropy at most ln m; no gate in two layers"
    yield Line("gate_penalty_level_a", "gates: penalty, level A", level, "loss", "gate_level_a", means=means)


GATE_PARTS = (_critical_gate, _gates_for_leakage, _gates_leave, _gates_level_a)
"""In reading order."""

GATE_INPUTS = frozenset(name for part in GATE_PARTS for name in signature(part).parameters) - {"at"}
"""What some of them needs or uses."""
