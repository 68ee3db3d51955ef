"""Both sides of the critical penalty, by the stock model's own forward: from the mask, one gate opened a little.

    J(t e_c) > J(0) for every gate at 1.001 lambda_crit;   J(t e_c) < J(0) for the gate of lambda_crit at 0.999 of it
    t from START to the basin: |J(t) - J(0) - J'(0) t| <= M t^2/2 leaves the sign of J'(0) while t < 2 |J'(0)|/M

M is the steepest fall of the slope that was met on the way (above; the steepest rise below): measured, not proved.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from bounds import gate_basin
from empirical.gates.pair_map import cell_map
from empirical.gates.solve import minimised, projected_step
from empirical.shapes import Arrays, Float
from empirical.studies.gates.subjects import Subject

ABOVE, BELOW = 1.001, 0.999
START = 1e-6  # the least t, or a tenth of a basin that is smaller than ten of it
NODES = 10.0 ** np.arange(-9, 0.5)  # where slopes are taken, for M
SIZES = 5  # between START and the basin
STEP = 1e-3  # of one projected step
ROOM = 1e-7  # residual of the solver, over the critical penalty


def sharpness(subject: Subject) -> Arrays:
    """The critical penalties, how far from the mask each sign lasts, and what the solver makes of either side."""
    problem = subject.chosen
    found = cell_map(problem)
    critical = found.critical(problem).nan_to_num(0.0)
    top, gate = float(critical.max()), int(critical.argmax())
    shut = torch.zeros(problem.groups.count, dtype=torch.float64)
    rises = [_along(subject, c, ABOVE * top, 1.0) for c in range(problem.groups.count)]
    fall = _along(subject, gate, BELOW * top, -1.0)
    solved = [
        minimised(problem, ratio * top, shut, odds=found.omega_of(problem), tolerance=ROOM * top)
        for ratio in (ABOVE, BELOW)
    ]
    steps = [projected_step(shut, problem.objective(shut, ratio * top)[1], STEP) for ratio in (ABOVE, BELOW)]
    return {
        "critical": critical.numpy(),
        "rise": np.stack([one[0] for one in rises]),
        "rise_basin": np.array([one[1] for one in rises]),
        "fall": fall[0],
        "fall_basin": np.array(fall[1]),
        "open_solved": np.array([int((~one.shut).sum()) for one in solved]),
        "residual": np.array([float(one.residual.max()) for one in solved]) / top,
        "open_stepped": np.array([int((one > 0).sum()) for one in steps]),
    }


def _along(subject: Subject, gate: int, penalty: float, sign: float) -> tuple[Float[np.ndarray, "SIZES"], float]:
    """sign (J(t e_c) - J(0)) of the stock model at sizes up to the basin, and the basin."""
    groups = subject.chosen.groups

    def point(t: float) -> Tensor:
        return torch.zeros(groups.count, dtype=torch.float64).index_fill(0, torch.tensor([gate]), t)

    def slope(t: float) -> float:
        return sign * float(subject.chosen.objective(point(t), penalty)[1][gate])

    def objective(t: float) -> float:
        loss, omega = subject.stock(point(t).view(groups.layers, groups.heads))
        return loss + penalty * omega

    basin = basin_of(slope)
    sizes = np.geomspace(min(START, basin / 10), 0.99 * basin, SIZES)
    before = objective(0.0)
    return np.array([sign * (objective(t) - before) for t in sizes]), basin


def basin_of(slope: Callable[[float], float]) -> float:
    """The largest t up to 1 below which a slope that is positive at 0 leaves the sign of the change, by its nodes."""
    first, steepest, basin = slope(0.0), 0.0, 0.0
    if first <= 0:
        return 0.0
    for t in NODES:
        steepest = max(steepest, (first - slope(float(t))) / float(t))
        reach = float(gate_basin(first, steepest))
        basin = max(basin, min(reach, float(t)))
        if reach < t:
            break
    return basin
