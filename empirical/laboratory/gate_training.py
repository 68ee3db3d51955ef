"""Weights and gates trained at once on a fixed set of sequences of `topics`, every one of them in every step.

    J(theta, s) = L(theta, s) + penalty Omega(theta, s)
    theta <- Adam's step on J,   s <- clip(s - step dJ/ds) on [0, 1]^G

localised   weights from the seed's localised model (all gates 0), at the rate that ended it; gates from 0
random      weights from the seed's draw, gates from 1
ungated     the same, the gates held at 1: a plain penalty on leakage, which softmax cannot bring to 0

Gates are float64 whatever the weights are, and exactly 0 or 1 where they rest at an end; weights need not rest, and the
norm of their gradient is told. Omega is the sum over heads of their mean leakage.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from bounds.penalty.fields import Start
from empirical.errors import BadInput
from empirical.gates.groups import Groups, grouped
from empirical.gates.pair_map import cell_map
from empirical.gates.solve import projected_step
from empirical.laboratory.config import Config
from empirical.laboratory.gate_observations import (
    MOMENTS,
    RATIOS,
    at_the_end,
    loss_shut,
    moment,
)
from empirical.laboratory.gates import gate_problem, loss_and_omega
from empirical.laboratory.minibatch import DECAY_FLOOR, decay
from empirical.laboratory.model import Layout, Parameters, cap, initial_parameters
from empirical.laboratory.tasks import Topics, device_of, dtype_of, make_topics
from empirical.penalise.objective import Progress
from empirical.shapes import Arrays, Float, plain


def gates_of(config: Config) -> Groups:
    model = config.model
    return grouped(model.layers, model.heads, model.blocks, config.penalty.groups)


def localise_topics(config: Config, seed: int, report: Progress | None = None) -> Arrays:
    """The seed's weights trained with all gates 0, and the critical penalty of gates there."""
    device = device_of(config)
    run = _Run(config, make_topics(config, seed, device), torch.zeros(1, dtype=torch.float64, device=device), report)
    parameters = initial_parameters(config, seed, 1, device, dtype_of(config))
    run.train(parameters, run.gates(0.0), held=True)
    double = {name: value.cpu().double() for name, value in parameters.items()}
    problem = gate_problem(double, run.sequences.cpu(), run.layout_on_cpu, config, groups=run.groups)
    critical = cell_map(problem).lambda_crit(problem)
    if config.sweep.relative_to_critical and critical == 0:
        raise BadInput(
            f"sweep.relative_to_critical must go with a critical penalty above 0, got 0 for seed {seed}: no gate wants "
            "to open at the mask of its localised model; give penalties as they are"
        )
    return {
        **{f"parameter/{name}": plain(value) for name, value in parameters.items()},
        "steps": np.array(config.sweep.max_steps),
        "loss_localised": np.array(loss_shut(problem)),
        "critical": np.array(critical),
    }


def train_gates(
    config: Config,
    task: Topics,
    seed: int,
    start: str,
    penalties: Float[Tensor, "S"],
    localised: Arrays,
    report: Progress | None,
) -> Arrays:
    """A setting for each penalty, side by side; `localised` is what `localise_topics` returned."""
    run = _Run(config, task, penalties.double(), report)
    goes_on = Start(start).from_localised
    parameters = initial_parameters(config, seed, len(penalties), penalties.device, penalties.dtype)
    if goes_on:
        for name, value in parameters.items():
            value.copy_(torch.as_tensor(localised[f"parameter/{name}"]))
    gates, moments = run.train(
        parameters, run.gates(0.0 if goes_on else 1.0), held=start == Start.UNGATED, told=True, goes_on=goes_on
    )
    return {**moments, **at_the_end(config, task, run.sequences, run.groups, parameters, gates, run.penalties)}


class _Run:
    """What is trained on, and how."""

    def __init__(self, config: Config, task: Topics, penalties: Float[Tensor, "S"], report: Progress | None):
        self.config, self.penalties, self.report = config, penalties, report
        self.groups, self.sequences = gates_of(config), task.batch(config)
        self.layout = Layout(task.query_block, config, dtype_of(config))
        self.layout_on_cpu = Layout(task.query_block.cpu(), config, torch.float64)

    def gates(self, value: float) -> Float[Tensor, "S G"]:
        return torch.full((len(self.penalties), self.groups.count), value, dtype=torch.float64, device=self.device)

    @property
    def device(self) -> torch.device:
        return self.sequences.device

    @torch.no_grad()
    def train(
        self, parameters: Parameters, gates: Float[Tensor, "S G"], held: bool, told: bool = False, goes_on: bool = False
    ) -> tuple[Float[Tensor, "S G"], Arrays]:
        """The gates after all steps, the parameters in place; with `told` what was seen at MOMENTS on the way.

        `goes_on`: at the smallest rate of Adam throughout.
        """
        sweep, steps = self.config.sweep, self.config.sweep.max_steps
        adam = torch.optim.Adam(list(parameters.values()), lr=sweep.learning_rate, foreach=True)
        at = sorted({round(share * steps) for share in MOMENTS}) if told else []
        seen = []
        for count in range(steps + 1):
            if count in at:
                seen.append(self._moment(parameters, gates))
            if count == steps:
                break
            slope = self._backward(parameters, gates)
            adam.param_groups[0]["lr"] = sweep.learning_rate * (DECAY_FLOOR if goes_on else decay(count, steps))
            adam.step()
            cap(parameters, self.config)
            gates = gates if held else projected_step(gates, slope, self.config.step)
            if self.report is not None and ((count + 1) % 10 == 0 or count + 1 == steps):
                self.report(count + 1, steps, len(gates) if count + 1 < steps else 0)
        if not told:
            return gates, {}
        moments = {name: np.stack([one[name] for one in seen], 1) for name in seen[0]}
        return gates, {"moment_step": np.array(at), "probe_ratio": np.array(RATIOS), **moments}

    def _backward(self, parameters: Parameters, gates: Float[Tensor, "S G"]) -> Float[Tensor, "S G"]:
        """dJ/ds; the gradient in the weights is left with them. Settings share nothing, so no gradient mixes them."""
        with torch.enable_grad():
            own = gates.clone().requires_grad_()
            leaves = {name: value.detach().requires_grad_() for name, value in parameters.items()}
            loss, omega = loss_and_omega(leaves, own, self.sequences, self.layout, self.config, self.groups)
            objective = (loss + self.penalties * omega).sum()
            slope, *gradients = torch.autograd.grad(objective, [own, *leaves.values()])
        for value, gradient in zip(parameters.values(), gradients):
            value.grad = gradient
        return slope

    def _moment(self, parameters: Parameters, gates: Float[Tensor, "S G"]) -> Arrays:
        """Of every setting, in float64 on the CPU."""
        found = []
        for at, penalty in enumerate(self.penalties.tolist()):
            own = {name: value[at : at + 1].cpu().double() for name, value in parameters.items()}
            where = (self.sequences.cpu(), self.layout_on_cpu, self.config, self.groups)
            found.append(moment(own, gates[at].cpu(), penalty, *where))
        return {name: np.stack([one[name] for one in found]) for name in found[0]}
