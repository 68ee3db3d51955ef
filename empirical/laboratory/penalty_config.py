"""What is penalised: norms of cross blocks, or leakage through gates that are trained with the weights.

norms   J(W) = L(W) + lambda sum of ||W_bc||                                     proximal steps on W
gates   J(theta, s) = L(theta, s) + lambda Omega(theta, s),  s in [0, 1]         Adam on theta, projected steps on s
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from bounds.penalty.fields import Start
from bounds.thresholds.design import of_gates
from bounds.thresholds.gates import GATE_INPUTS
from bounds.thresholds.result import said
from bounds.thresholds.setting import LEVEL_BOUNDS, PenaltySetting
from empirical.errors import BadInput
from empirical.laboratory.fields import Validated, choice, several
from empirical.observe.schema import PAIR

KINDS = NORMS, GATES = ("norms", "gates")
AXES = PAIR[1:]
"""What gates may go by."""
GATE_STARTS = (Start.LOCALISED, Start.RANDOM, Start.UNGATED)


@dataclass(frozen=True)
class _Kind(Validated):
    section = "penalty"

    kind: str = choice(NORMS, *KINDS, meaning="what is penalised: norms of cross blocks, or leakage through gates")
    groups: tuple[str, ...] = several(
        ("layer", "head"),
        " or ".join(map(repr, AXES)),
        lambda v: v in AXES,
        "gates: what each goes by, one a layer and head say; along the other axes it is shared",
    )


@dataclass(frozen=True)
class PenaltyConfig(PenaltySetting, _Kind):
    """What is penalised, and what is known of the training problem, for one cross block or for gates; None where
    nothing is said."""

    def __post_init__(self) -> None:
        _Kind.__post_init__(self)
        PenaltySetting.__post_init__(self)
        groups = next(item for item in fields(self) if item.name == "groups")
        if self.kind != GATES and self.groups != groups.default:
            raise BadInput(f"penalty.groups must go with penalty.kind={GATES!r}, got {self.groups!r}")

    @property
    def setting(self) -> PenaltySetting:
        """What thresholds follow from."""
        return PenaltySetting(**{item.name: getattr(self, item.name) for item in fields(PenaltySetting)})


def without_gates(plain: Mapping[str, Any]) -> dict[str, Any]:
    """What a configuration of norms says, in the words of the time before there were gates: its digest stays."""
    if plain.get("kind", NORMS) == GATES:
        return dict(plain)
    later = {item.name for item in fields(_Kind)} | {name for name in of_gates() if plain.get(name) is None}
    return {name: value for name, value in plain.items() if name not in later}


def gate_bounds(level_bounds: Mapping[str, float], vocabulary: int, fidelity: float | None) -> dict[str, float]:
    """What thresholds of gates need, as far as a configuration says.

    Weights that predict every word alike, all gates 0, have loss ln(vocabulary) and leakage 0. Leakage Omega of at most
    1 - F leaves every head a mean fidelity of F. Level A is of one layer: a row's output changes its own loss alone.
    """
    level = {name: level_bounds[name] for name in LEVEL_BOUNDS[:2] if name in level_bounds}
    return {
        **({**level, "layer_rows": 1} if level else {}),
        "loss_reference": math.nextafter(math.log(vocabulary), math.inf),
        **({} if fidelity is None else {"target_leakage": 1 - fidelity}),
    }


def refuse_misfits(penalty: PenaltyConfig, task: str, starts: tuple[str, ...], relative: bool) -> None:
    """Raises BadInput for a task, a start, relative penalties or an input of thresholds of another kind of penalty."""
    if penalty.kind != GATES:
        must = f"must go with penalty.kind={GATES!r}"
        if Start.UNGATED in starts:
            raise BadInput(f"sweep.starts {must} to hold {Start.UNGATED.value!r}, got {penalty.kind!r}")
        if relative and task != "blocks":
            raise BadInput(f"sweep.relative_to_critical {must} or task.name='blocks', got True")
        return
    if task != "topics":
        raise BadInput(f"penalty.kind={GATES!r} must go with task.name='topics', got {task!r}")
    for start in starts:
        if start not in GATE_STARTS:
            allowed = " or ".join(repr(one.value) for one in GATE_STARTS)
            raise BadInput(f"sweep.starts must be {allowed} with penalty.kind={GATES!r}, got {start!r}")
    for name, value in said(penalty.setting).items():
        if name not in GATE_INPUTS:
            raise BadInput(f"penalty.{name} must go with penalty.kind={NORMS!r}, got {value!r}")
