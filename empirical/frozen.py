"""The forms of a trained `topics` model of one layer as a full-batch problem, with all else as trained.

    L(W) = sum over b of L_b(W_b.),  L_b = (1/tokens) sum over tokens of block b of their loss, on a fixed set
    ||grad of a token's loss at a head's output|| <= max_k ||u_k - u_target||     (u = rows of the unembedding)

Where the model ends in its head, a token of block b meets row b of every form alone: rows as in `branches`. Values and
keys do not depend on W, so what the penalty levels need is measured once and holds at every W.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from empirical.config import Config
from empirical.edges import Problem
from empirical.errors import BadInput
from empirical.groups import Groups
from empirical.model import Layout, Parameters, normalise, token_losses
from empirical.shapes import Float, Int
from empirical.solver import follow
from empirical.tasks import Topics, make_task
from empirical.train import train

SEQUENCES = 64  # of the fixed set
LOCALISED = 1e-9  # residual of the in-block optimum: the critical penalty is exact at 0


@dataclass(frozen=True)
class FrozenRows:
    """L_b of some blocks (`solver.Objective`); a row is W_b. of every head: (H, d, K, d), flat."""

    parameters: Parameters  # of one setting
    sequences: Int[Tensor, "B T1"]
    layout: Layout
    config: Config
    rows: Int[Tensor, "R"]

    def __call__(self, points: Float[Tensor, "R P"], /) -> tuple[Float[Tensor, "R"], Float[Tensor, "R P"]]:
        model = self.config.model
        with torch.enable_grad():
            leaf = points.detach().requires_grad_()
            whole = points.new_zeros(model.blocks, points.shape[1]).index_copy(0, self.rows, leaf)
            parameters = {**self.parameters, "forms": as_head_forms(whole, self.config)}
            losses = token_losses(parameters, self.sequences, self.layout, self.config)[0].mean(0)  # T
            parts = (losses @ self.layout.own.squeeze(-1) / len(losses))[self.rows]
            (gradient,) = torch.autograd.grad(parts.sum(), leaf)
        return parts.detach(), gradient

    def take(self, rows: Int[Tensor, "T"]) -> FrozenRows:
        return replace(self, rows=self.rows[rows])


def as_head_forms(rows: Float[Tensor, "K P"], config: Config) -> Float[Tensor, "1 1 H K d K d"]:
    model = config.model
    return rows.view(model.blocks, model.heads, model.d_block, model.blocks, model.d_block).transpose(0, 1)[None, None]


def as_head_rows(forms: Float[Tensor, "1 1 H K d K d"]) -> Float[Tensor, "K P"]:
    return forms[0, 0].transpose(0, 1).flatten(1)


def frozen_problem(config: Config, seed: int) -> tuple[Problem, FrozenRows]:
    """A model trained with the largest penalty of the sweep, then descended to its in-block optimum.

    Raises BadInput for a model that does not end in its head, and where a cross block is left by the training.
    """
    task = make_task(config, seed, torch.device("cpu"))
    if not isinstance(task, Topics) or not config.ends_in_head:
        raise BadInput("CONFIG must be of task.name='topics', one layer, no MLP and both caps, got another model")
    model, penalty = config.model, max(config.sweep.penalties)
    arrays = train(config, seed, "random", (penalty,))
    parameters = {k[10:]: torch.as_tensor(v).double() for k, v in arrays.items() if k.startswith("parameter/")}
    trained = as_head_rows(parameters.pop("forms"))
    batches = [task.batch(config) for _ in range(-(-SEQUENCES // config.sweep.batch))]
    objective = FrozenRows(
        parameters,
        torch.cat(batches)[:SEQUENCES],
        Layout(task.query_block, config, torch.float64),
        config,
        torch.arange(model.blocks),
    )
    column = torch.arange(model.blocks).repeat_interleave(model.d_block).repeat(model.d_block)
    member = torch.cat([column + head * model.blocks for head in range(model.heads)])
    groups = Groups(tuple(f"{head}:{c}" for head in range(model.heads) for c in range(model.blocks)), member)
    cross = ~torch.eye(model.blocks, dtype=torch.bool).repeat(1, model.heads)
    penalised = torch.cat([cross, cross.new_zeros(model.blocks, 1)], 1)
    if bool((groups.norms(trained) > 0)[penalised].any()):
        raise BadInput(f"sweep.penalties must have one that makes every cross block zero, got {penalty} at most")
    path = follow(
        objective,
        trained,
        groups,
        torch.where(penalised, torch.inf, 0.0).double()[:, None],
        tolerance=LOCALISED,
        max_evaluations=10_000,
    )
    localised = path.points[:, 0]
    return Problem(objective, groups, penalised, localised, torch.zeros_like(localised)), objective


def token_ingredients(objective: FrozenRows) -> dict[str, np.ndarray]:
    """What levels A and C need of every token, measured: G_i, V_i of the worst head, D_ic and ||x_i||, (tokens, K).

    A diameter counts the zero that a key of another block has; a query is 0 in the other blocks.
    """
    parameters, layout, config = objective.parameters, objective.layout, objective.config
    tokens, target = objective.sequences[:, :-1], objective.sequences[:, 1:]
    blocks, batch = config.model.blocks, len(tokens)
    x = normalise(normalise(parameters["embedding"][0][tokens] + parameters["position"][0]))  # B T d
    keys = (x.unsqueeze(-2) * layout.own).flatten(-2)  # as `forward` makes them: zero in the other blocks
    values = torch.stack([keys @ output for output in parameters["output"][0, 0]], 1)  # B H T d
    if config.anchors:
        anchors = (normalise(parameters["anchor_key"][0, 0]).unsqueeze(-2) * layout.anchor_own).flatten(-2)
        keys = torch.cat([keys, anchors.expand(batch, -1, -1)], 1)
        values = torch.cat([values, parameters["anchor_value"][0, 0].expand(batch, -1, -1, -1)], 2)
    unembedding = parameters["unembedding"][0].T
    gradient = torch.cdist(unembedding, unembedding).amax(1)[target]  # B T
    content = keys.unflatten(-1, (blocks, -1)).transpose(1, 2)  # B K N d
    query = (x.unsqueeze(-2) * layout.own).flatten(0, 1)  # tokens K d
    measured = {
        "gradient_bounds": gradient.flatten(),
        "value_diameters": _visible_diameter(values, layout).amax(1).flatten(),
        "key_diameters": _visible_diameter(content, layout).transpose(1, 2).flatten(0, 1),
        "query_norms": query.norm(dim=-1),
        "query": query,
    }
    return {name: value.numpy() for name, value in measured.items()}


def _visible_diameter(points: Float[Tensor, "B C N d"], layout: Layout) -> Float[Tensor, "B C T"]:
    """Largest distance between two visible points, for every query."""
    distance = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    seen = layout.visible
    return torch.stack([distance[..., row, :][..., row].flatten(-2).amax(-1) for row in seen], -1)
