"""Penalties above which no gate is open: proved, searched from below, and tried from many starts (claim C3).

    lambda_crit <= global witness <= lambda_glob <= proved level <= level A* of pairs <= level A

Twins of the reference model that enclosures reach: `capped`, one layer that ends in its head, trained under caps u on
an unembedding row and v on a value, a gate a head; `deep`, two layers of attention, a gate a layer. Of the capped twin
||N g_i|| <= 2u and V <= 2v at every weights, so that level A = 4uv also holds while the weights are trained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from bounds import gate_penalty_level_a
from empirical.gates.coordinate import fitted
from empirical.gates.pair_map import CellMap, cell_map
from empirical.gates.problem import Problem
from empirical.gates.solve import Solution, minimised, residual
from empirical.gates.together import trained_together
from empirical.laboratory.config import Config
from empirical.laboratory.gates import gate_problem
from empirical.laboratory.model import cap, initial_parameters
from empirical.laboratory.store import Store
from empirical.shapes import Arrays, Float, Int
from empirical.studies.gates.branching import proved_level
from empirical.studies.gates.enclosed_model import Enclosed
from empirical.studies.gates.subjects import halves, seeded
from empirical.studies.trained import Trained, trained

STARTS = 20
ABOVE, HALF = 1.001, 0.5
CAP = 1.0  # on values and on unembedding rows of the capped twin
TOLERANCE = {"capped": 0.1, "deep": 1.0}  # of a proved level over a rate that was met
DOCUMENTS = {"capped": 8, "deep": 2}
BOXES = 6  # a training step, and a layer
RISE, MOST_RISES = 1.15, 40  # of the penalty, while an open stationary point is followed upwards
STEPS, SIZE, RATE = 15, 0.5, 1e-2  # of training gates and weights together: projected steps, Adam's rate
GRADIENTS, ROOM = 200, 1e-6  # a start; residuals at which it ends, over the penalty
SETTLED = 0.01  # a rate of an open gate, over the penalty, from 1


def twin(config: Config, name: str) -> Config:
    """The configuration of a twin of the reference model."""
    capped = {"layers": 1, "value_norm": CAP, "unembedding_norm": CAP}
    deep = {"layers": 2, "d_block": min(4, config.model.d_block)}
    changes = {"capped": capped, "deep": deep}[name]
    return replace(config, model=replace(config.model, mlp=False, anchor_logit=None, **changes))


@dataclass(frozen=True)
class Twin:
    """A trained twin, its documents and its gates."""

    name: str
    model: Trained
    chosen: Int[Tensor, "B T1"]
    judged: Int[Tensor, "B T1"]

    @property
    def tied(self) -> bool:
        """Whether the heads of a layer share a gate."""
        return self.name == "deep"

    def problem(self, sequences: Tensor) -> Problem:
        by = ("layer",) if self.tied else ("layer", "head")
        return gate_problem(self.model.parameters, sequences, self.model.layout, self.model.config, groups=by)

    def enclosed(self, sequences: Tensor) -> Enclosed:
        return Enclosed(self.model.parameters, sequences, self.model.layout, self.model.config, self.tied)


def twin_of(config: Config, store: Store, seed: int, name: str) -> Twin:
    model = trained(seeded(twin(config, name), seed), store, name=f"{name}_{seed}")
    return Twin(name, model, *halves(model, DOCUMENTS[name]))


def proved(one: Twin, sequences: Tensor) -> Arrays:
    """What branch and bound proves on some documents, and how far it came."""
    found, most = cell_map(one.problem(sequences)), BOXES * one.model.config.sweep.max_steps
    level = proved_level(one.enclosed(sequences), found.odds, tolerance=TOLERANCE[one.name], most=most)
    return {name: np.array(getattr(level, name)) for name in ("level", "pair", "norm", "met", "boxes")}


def starts_of(problem: Problem, found: CellMap, seed: int, count: int = STARTS) -> Iterator[Float[Tensor, "G"]]:
    """Gates anywhere: by turns even in s, and even in ln s down to where rows have hardly opened."""
    random = torch.Generator().manual_seed(seed)
    reach = float(found.odds.max())
    for at in range(count):
        drawn = torch.rand(problem.groups.count, generator=random, dtype=torch.float64)
        yield drawn if at % 2 == 0 else torch.expm1(drawn * np.log1p(reach)) / reach


def searched(one: Twin, level: float, seed: int) -> Arrays:
    """From many starts, above a proved level and at half of the global witness; the witness, and what is measured."""
    problem = one.problem(one.chosen)
    found = cell_map(problem)
    mask = problem.objective(torch.zeros(problem.groups.count, dtype=torch.float64), 0.0)[0].loss
    critical = found.lambda_crit(problem)

    along = fitted(problem, found.omega_of(problem))

    def solve(penalty: float, start: Tensor) -> Solution:
        return minimised(problem, penalty, start, coordinate=along, tolerance=ROOM * penalty, most=GRADIENTS)

    def rate(solution: Solution) -> float:
        return (mask - solution.value.loss) / solution.value.omega if solution.value.omega > 0 else 0.0

    starts = list(starts_of(problem, found, seed))
    above = [solve(ABOVE * level, start) for start in starts]
    witness = critical
    seeds = [solve(max(critical, level / 10) * HALF, start) for start in starts[:4]]
    for _ in range(3):  # the best gates at the rate that was found have no smaller one
        witness = max(witness, *map(rate, seeds))
        seeds = [solve(0.999 * witness, one.gates) for one in seeds if one.gates.any()] or seeds
    half = [solve(HALF * witness, start) for start in starts]
    return {
        "critical": np.array(critical),
        "witness": np.array(witness),
        "measured": np.array(_followed(problem, solve, max(half, key=lambda one: one.value.omega))),
        "open_above": np.array([int((~one.shut).sum()) for one in above]),
        "settled_above": np.array([settled(problem, one) for one in above]),
        "open_half": np.array([int((~one.shut).sum()) for one in half]),
        "settled_half": np.array([settled(problem, one) for one in half]),
        "loss_change": mask - np.array([one.value.loss for one in half]),
        "omega": np.array([one.value.omega for one in half]),
    }


def settled(problem: Problem, solution: Solution) -> bool:
    """Whether every open gate's rate -(dL/ds)/(dOmega/ds) is the penalty, or more where it is 1; one layer's gates."""
    _, of_loss, of_omega = problem.slopes(solution.gates, omega=True)
    assert of_omega is not None
    rates = -(of_loss.sum(0) / problem.counts[0].sum()) / of_omega.sum(0) / solution.penalty
    short = torch.where(solution.gates == 1, (1 - rates).clamp(min=0), (1 - rates).abs())
    return bool((short[~solution.shut] <= SETTLED).all())


def _followed(problem: Problem, solve: Callable[[float, Tensor], Solution], solution: Solution) -> float:
    """The largest penalty, rising from where it is, at which the followed stationary point is open and settled."""
    largest = 0.0
    for _ in range(MOST_RISES):
        if solution.shut.all():
            break
        if settled(problem, solution):
            largest = solution.penalty
        solution = solve(RISE * solution.penalty, solution.gates)
    return largest


def trained_capped(one: Twin, witness: float, seed: int) -> Arrays:
    """Gates and weights trained at once under the caps, from many starts: above level A = 4uv, at half the witness."""
    config, layout = one.model.config, one.model.layout
    rows = one.chosen[:, :-1].numel()
    gradient, diameter = 2 * CAP / rows, 2 * CAP
    level = float(gate_penalty_level_a(rows, gradient, diameter))
    told: dict[str, list[float]] = {name: [] for name in ("open_above", "residual_above", "open_half")}
    for at in range(STARTS):
        for where, penalty in (("above", ABOVE * level), ("half", HALF * witness)):
            parameters = initial_parameters(config, seed + at, 1, one.chosen.device, torch.float64)
            leaves = [value.requires_grad_() for value in parameters.values()]
            problem = gate_problem(parameters, one.chosen, layout, config)
            optimizer = torch.optim.Adam(leaves, RATE)
            gates = next(starts_of(problem, cell_map(one.problem(one.chosen)), seed + at, 1))
            for _ in range(STEPS):
                gates, _ = trained_together(problem, gates, penalty, optimizer, steps=1, size=SIZE)
                cap(parameters, config)
            told[f"open_{where}"].append(int((gates > 0).sum()))
            if where == "above":
                told["residual_above"].append(float(residual(gates, problem.objective(gates, penalty)[1]).max()))
    return {
        **{name: np.array(values, dtype=float) for name, values in told.items()},
        "level": np.array(level),
        "penalty": np.array(ABOVE * level),
        "gradient_bound": np.array(gradient),
        "value_diameter": np.array(diameter),
        "layer_rows": np.array(float(rows)),
    }


def level_rows(found: Arrays) -> Arrays:
    """Every start above level A while weights are trained too."""
    shape = found["open_above"].shape
    same = ("penalty", "gradient_bound", "value_diameter", "layer_rows")
    return {
        "open_gates": found["open_above"],
        "residual": found["residual_above"],
        "layers_shared": np.ones(shape),
        **{name: np.broadcast_to(found[name], shape).copy() for name in same},
    }


def staircase_rows(found: Arrays, level: float) -> Arrays:
    """L(mask) - L(s) against the proved level times Omega(s), for all that was found open."""
    shape = found["omega"].shape
    return {
        "loss_change": found["loss_change"],
        "penalised_leakage": found["omega"],
        "steepest": np.full(shape, level),
        "rate": np.full(shape, level),
        "deep_first": np.zeros(shape),
    }
