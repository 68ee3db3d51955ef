"""What is observed of weights and gates trained at once, on the very sequences that they were trained on, in float64.

moment       on the way: critical penalty at the mask of the weights of the moment, gates that open beside it, gradient
at_the_end   slopes, residuals, shares and prices of gates, the rows of every sequence, losses

The critical penalty is of the pair map; the slopes that theorems hold it against are those of the gates' own gradient.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bounds.thresholds.setting import LEVEL_BOUNDS
from empirical.gates.groups import AXES, Groups
from empirical.gates.merge import INSIDE
from empirical.gates.pair_map import cell_map
from empirical.gates.paths import leg
from empirical.gates.problem import Problem
from empirical.gates.solve import projected_step
from empirical.laboratory.config import Config
from empirical.laboratory.gates import GatedWeights, gate_problem, loss_and_omega
from empirical.laboratory.minibatch import heldout, observed_rows
from empirical.laboratory.model import Layout, Parameters, cross_entropy
from empirical.laboratory.tasks import Topics
from empirical.shapes import Arrays, Float, Int, plain

MOMENTS = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the steps
RATIOS = (0.98, 1.02)  # penalty over critical penalty: a gate opens, none does
ROUNDING = 1e-12  # of a loss, in the error of shares


def loss_shut(problem: Problem) -> float:
    """The loss with all gates 0, to the last bit as that of others is computed."""
    return problem.objective(torch.zeros(problem.groups.count, dtype=torch.float64), 0.0)[0].loss


def opened(problem: Problem, penalty: float, step: float) -> int:
    """How many gates one projected step from the mask opens; where it opens none, nor does any later step."""
    shut = torch.zeros(problem.groups.count, dtype=torch.float64)
    _, slope = problem.objective(shut, penalty)
    return int(projected_step(shut, slope, step).count_nonzero())


def moment(
    parameters: Parameters,
    gates: Float[Tensor, "G"],
    penalty: float,
    sequences: Int[Tensor, "B T1"],
    layout: Layout,
    config: Config,
    groups: Groups,
) -> dict[str, Any]:
    """Of one setting, at the weights and gates of a moment."""
    problem = gate_problem(parameters, sequences, layout, config, groups=groups)
    critical = cell_map(problem).lambda_crit(problem)
    with torch.enable_grad():
        leaves = {name: value.detach().requires_grad_() for name, value in parameters.items()}
        loss, omega = loss_and_omega(leaves, gates[None], sequences, layout, config, groups)
        gradients = torch.autograd.grad((loss + penalty * omega).sum(), list(leaves.values()))
    return {
        "moment_critical": critical,
        "moment_loss": float(loss.detach()),
        "moment_omega": float(omega.detach()),
        "moment_loss_shut": loss_shut(problem),
        "moment_gradient": float(torch.stack([one.norm() for one in gradients]).norm()),
        "moment_open": float((gates > 0).double().mean()),
        "probe_open": [opened(problem, ratio * critical, config.step) for ratio in RATIOS],
    }


@torch.no_grad()
def at_the_end(
    config: Config,
    task: Topics,
    sequences: Int[Tensor, "B T1"],
    groups: Groups,
    parameters: Parameters,
    gates: Float[Tensor, "S G"],
    penalties: Float[Tensor, "S"],
) -> Arrays:
    """Fields of every setting; rows are of the sequences that were trained on."""
    layout, tokens = Layout(task.query_block.cpu(), config, torch.float64), sequences.cpu()
    double, found = {name: value.cpu().double() for name, value in parameters.items()}, gates.cpu()
    count, settings = len(gates), []
    for at, penalty in enumerate(penalties.tolist()):
        own = {name: value[at : at + 1] for name, value in double.items()}
        problem = gate_problem(own, tokens, layout, config, groups=groups)
        settings.append({**_of_gates(problem, found[at], penalty, config.step), **_last_open(problem, found[at])})
    weigh = GatedWeights(groups, found.repeat_interleave(len(tokens), 0), layout, config.setting.temperature)
    rows = observed_rows(double, tokens[:, :-1], layout, config, weigh, lambda layer: weigh.bias(layer, count))
    here = Layout(task.query_block, config, parameters["forms"].dtype)
    given, levels = (parameters, gates), config.level_bounds
    return {
        **{name: np.stack([np.asarray(one[name]) for one in settings]) for name in settings[0]},
        **rows,
        **_labels(groups),
        "loss_heldout": heldout(task, lambda some: loss_and_omega(*given, some, here, config, groups, False)[0]),
        "loss_masked": heldout(task, lambda some: cross_entropy(parameters, some, here, config, masked=True)),
        "converged": np.array([one["residual"] <= config.sweep.tolerance for one in settings]),
        "steps": np.full(count, config.sweep.max_steps),
        "step": np.full(count, config.step),
        **{name: np.full(count, levels.get(name, math.nan)) for name in LEVEL_BOUNDS[:2]},
        **{f"parameter/{name}": plain(value) for name, value in parameters.items()},
    }


def _of_gates(problem: Problem, gates: Float[Tensor, "G"], penalty: float, step: float) -> dict[str, Any]:
    """Stationarity, prices at the mask, and shares of what the gates changed."""
    value, slope = problem.objective(gates, penalty)
    at_mask, before = cell_map(problem), loss_shut(problem)
    _, of_loss, of_omega = problem.slopes(torch.zeros_like(gates), omega=True)
    assert of_omega is not None
    residual = (gates - projected_step(gates, slope, step)).abs() / step
    tokens, shares, error = float(problem.counts[0].sum()), torch.zeros_like(gates), 0.0
    if gates.any():
        log_odds = math.log(max(float(at_mask.odds.max()), 1e-300))
        path = leg(problem, torch.zeros_like(gates), gates, (before - value.loss) * tokens, log_odds)
        shares, error = path.value.sum(0) / tokens, float(path.error.sum()) / tokens
    weight = at_mask.weight.sum(0) * problem.per_row[..., None, None]
    return {
        "gate": gates,
        "gate_slope": slope,
        "gate_residual": residual,
        "residual": float(residual.max()),
        "gate_critical": at_mask.critical(problem),
        "gate_loss_slope": of_loss.sum(0) / tokens,
        "gate_leakage_slope": of_omega.sum(0),
        "gate_share": shares,
        "gate_share_error": error + ROUNDING * (abs(before) + abs(value.loss)),
        "pair_weight": weight[..., :-1],
        "pair_penalty": at_mask.pair_penalty(problem)[..., :-1],
        "loss_train": value.loss,
        "omega": value.omega,
        "loss_shut": before,
    }


def _last_open(problem: Problem, gates: Float[Tensor, "G"]) -> dict[str, Any]:
    """N <-g_i, o_out,i - o_in,i> of the rows of the last layer with an open gate: loss a unit of leakage takes off."""
    groups = problem.groups
    open_layers = [layer for layer in range(groups.layers) if gates[groups.in_layer[layer]].any()]
    at = open_layers[-1] if open_layers else -1
    with torch.enable_grad():
        reading = problem.read(0, gates.expand(problem.sizes[0], -1), keep=True, leakage=False)
        layer = reading.layers[at]
        (slope,) = torch.autograd.grad(reading.loss.sum() / problem.counts[0].sum(), layer.output)
    weights, slope = (x.detach().transpose(1, 2) for x in (layer.output, slope))
    class_of, _ = groups.classes(layer.layer)
    inside = layer.pairs.parts(0, weights.shape[2], class_of) == INSIDE
    parts = [weights.where(mask, 0.0) for mask in (inside, ~inside)]
    own, outside = ((part * slope).sum(-1) / part.sum(-1).where(part.any(-1), 1.0) for part in parts)
    rate = torch.where(parts[1].any(-1), own - outside, 0.0) / problem.per_row[layer.layer][:, None]
    return {"open_layer": at, "open_rate": rate.transpose(0, 1).flatten(1)}


def _labels(groups: Groups) -> Arrays:
    """Which cells each gate is of: the gate of every cell, and each gate's own place along the axes, -1 for all."""
    numbers = groups.number[..., :-1]
    places = np.indices(groups.shape).reshape(len(groups.shape), -1)
    by = {f"gate_{axis}": np.full(groups.count, -1) for axis in AXES}
    return {**by, **{f"gate_{axis}": place for axis, place in zip(groups.dims, places)}, "cell_gate": plain(numbers)}
