"""Thresholds of penalties on gates: by hand, each with its sentence, on the safe side, named where they are near."""

from __future__ import annotations

import pytest

from bounds.numbers.search import Unreachable
from bounds.thresholds.design import PenaltySetting, Setting, design
from bounds.thresholds.gates import GATE_INPUTS

GATES = PenaltySetting(
    gradient_bound=8.0, value_diameter=4.0, layer_rows=3, loss_reference=6.0, loss_least=1.0, target_leakage=0.1,
    penalty=2.0, loss_slope=-0.3, leakage_slope=0.2,
)  # fmt: skip


def test_every_threshold_of_gates_by_hand_and_its_sentence():
    found = design(Setting(), GATES)
    values = {line.key: line.value for line in found.lines}
    by_hand = {
        "gate_penalty_critical": 0.3 / 0.2,
        "gate_penalty_for_leakage": (6.0 - 1.0) / 0.1,
        "penalised_leakage_ceiling": (6.0 - 1.0) / 2.0,
        "gate_penalty_level_a": 3 * 8.0 * 4.0,
    }
    assert values == pytest.approx(by_hand, rel=1e-12)
    assert all(values[key] >= value * (1 - 1e-16) for key, value in by_hand.items())
    table = found.table()
    for line, saved in zip(found.lines, found.as_dict()["thresholds"]):
        assert f"{line.label}: {line.means}" in table
        assert saved["means"] == line.means


def test_rigorous_thresholds_of_gates_are_on_the_safe_side():
    pytest.importorskip("flint")
    plain, safe = ({line.key: line.value for line in design(Setting(), GATES, rigorous=r).lines} for r in (False, True))
    assert safe.keys() == plain.keys()
    assert all(safe[key] >= plain[key] * (1 - 1e-16) for key in plain)


def test_without_a_penalty_no_leakage_is_promised():
    (line,) = (line for line in design(Setting(), PenaltySetting(loss_reference=6.0, penalty=0.0)).lines)
    assert isinstance(line.value, Unreachable)


def test_gates_are_named_as_missing_only_where_they_are_spoken_of():
    assert "gates" not in design(Setting(), PenaltySetting(1.0, 1.0)).table()
    near = design(Setting(), PenaltySetting(1.0, 1.0, loss_reference=6.0)).table()
    assert "with target_leakage: penalty on gates for the target leakage" in near
    assert "with layer_rows: penalty on gates, level A" in near
    assert "key_norm" not in near
    assert {"layer_rows", "loss_least", "penalty"} <= GATE_INPUTS
