"""Gates along penalties, from both ends: what opens as the penalty falls from the mask, what shuts as it rises.

from the mask, penalties falling;   from the model as trained, penalties rising;   each from the solution before
ceiling: Omega <= (L(mask) - L_lower)/penalty wherever J(found) <= J(mask)
witness: the largest (L(mask) - L)/Omega found, a lower bound of the penalty at which the mask is a global minimiser
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from empirical.errors import BadInput
from empirical.gates.coordinate import Coordinate, fitted
from empirical.gates.pair_map import CellMap, cell_map
from empirical.gates.problem import Problem
from empirical.gates.solve import EVALUATIONS, Solution, last_open_rate, minimised, penalties_around

if TYPE_CHECKING:
    import xarray as xr

STARTS = ("mask", "trained")


def penalty_path(
    problem: Problem,
    penalties: Sequence[float] | None = None,
    *,
    starts: tuple[str, ...] = STARTS,
    tolerance: float = 1e-4,
    most: int = EVALUATIONS,
    lower: float = 0.0,
    at_mask: CellMap | None = None,
) -> xr.Dataset:
    """Solutions by start and penalty; `tolerance` is of residuals over the critical penalty, `lower` a bound of L.

    Penalties are by default multiples of the critical one. Raises BadInput for other starts, or none given where the
    critical penalty is 0.
    """
    if isinstance(starts, str) or not starts or not set(starts) <= set(STARTS):
        raise BadInput(f"starts must be some of {', '.join(STARTS)} in a tuple, got {starts!r}")
    found = cell_map(problem) if at_mask is None else at_mask
    critical = found.lambda_crit(problem)
    if penalties is None and critical == 0:
        raise BadInput("penalties must be given where no gate wants to open at the mask, got none")
    ascending = sorted(penalties) if penalties is not None else penalties_around(critical)
    along, room = fitted(problem, found.omega_of(problem)), tolerance * (critical or 1.0)
    solved = {name: _from(problem, name, ascending, along, room, most) for name in starts}
    mask = problem.objective(torch.zeros(problem.groups.count, dtype=torch.float64), 0.0)[0].loss  # as J is computed
    return _dataset(problem, solved, ascending, mask, critical, lower)


def _from(
    problem: Problem, start: str, ascending: list[float], along: Coordinate, room: float, most: int
) -> list[Solution]:
    """Ascending, each from the one before it on the way."""
    at = torch.full((problem.groups.count,), 0.0 if start == "mask" else 1.0, dtype=torch.float64)
    solutions: list[Solution] = []
    for penalty in ascending if start == "trained" else ascending[::-1]:
        bent = solutions[-1].curvature if solutions else None
        found = minimised(problem, penalty, at, coordinate=along, curvature=bent, tolerance=room, most=most)
        solutions.append(found)
        at = found.gates
    return solutions if start == "trained" else solutions[::-1]


def _dataset(
    problem: Problem,
    solved: dict[str, list[Solution]],
    ascending: list[float],
    mask: float,
    critical: float,
    lower: float,
) -> xr.Dataset:
    import xarray as xr

    lead = ("start", "penalty")

    def table(values: list[list[float]], meaning: str) -> tuple[tuple[str, ...], np.ndarray, dict[str, str]]:
        return lead, np.array(values), {"long_name": meaning}

    every = list(solved.values())
    gates = problem.groups.table(np.array([[one.gates.numpy() for one in ones] for ones in every]))
    data = {
        "gates": ((*lead, *problem.groups.dims), gates, {"long_name": "gates found"}),
        "loss": table([[one.value.loss for one in ones] for ones in every], "L, nats a token"),
        "omega": table([[one.value.omega for one in ones] for ones in every], "Omega, sum over heads of mean leakage"),
        "residual": table(
            [[float(one.residual.max()) for one in ones] for ones in every], "largest residual of a gate"
        ),
        "gradients": table([[float(one.evaluations) for one in ones] for ones in every], "gradients that it took"),
        "shut": table([[float(one.shut.double().mean()) for one in ones] for ones in every], "share of gates at 0"),
        "last_open_rate": table(
            [[last_open_rate(problem, one.gates) for one in ones] for ones in every],
            "at least the penalty at a stationary point",
        ),
    }
    dataset = xr.Dataset(data, coords={"start": list(solved), "penalty": ascending})
    dataset["objective"] = dataset["loss"] + dataset["penalty"] * dataset["omega"]
    dataset["beats_mask"] = dataset["objective"] <= mask
    dataset["omega_ceiling"] = (mask - lower) / dataset["penalty"]
    open_ones = dataset["omega"].values > 0
    rates = (mask - dataset["loss"].values[open_ones]) / dataset["omega"].values[open_ones]
    dataset.attrs = {
        "loss_mask": mask,
        "lambda_crit": critical,
        "global_witness": max(0.0, float(rates.max())) if rates.size else math.nan,
        "loss_lower": lower,
    }
    return dataset
