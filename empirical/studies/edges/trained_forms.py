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

from empirical.errors import BadInput
from empirical.laboratory.config import Config
from empirical.laboratory.continuation import as_forms, as_rows, penalised_groups, row_groups
from empirical.laboratory.dialled_pass import embedded, keys_and_values
from empirical.laboratory.model import Layout, Parameters, token_losses
from empirical.laboratory.store import Store
from empirical.laboratory.tasks import Topics, gathered, make_task
from empirical.laboratory.training import parameters_of, train
from empirical.laboratory.transition import PenalisedRows
from empirical.penalise.solver import follow
from empirical.shapes import Float, Int

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
            parameters = {**self.parameters, "forms": as_forms(whole[:, None], model.heads, model.d_block)}
            losses = token_losses(parameters, self.sequences, self.layout, self.config)[0].mean(0)  # T
            parts = (losses @ self.layout.own.squeeze(-1) / len(losses))[self.rows]
            (gradient,) = torch.autograd.grad(parts.sum(), leaf)
        return parts.detach(), gradient

    def take(self, rows: Int[Tensor, "T"]) -> FrozenRows:
        return replace(self, rows=self.rows[rows])


def frozen_problem(config: Config, seed: int, store: Store) -> tuple[PenalisedRows, FrozenRows]:
    """A model trained with the largest penalty of the sweep, then descended to its in-block optimum.

    Raises BadInput for a model that does not end in its head, and where a cross block is left by the training.
    """
    task = make_task(config, seed, torch.device("cpu"))
    if not isinstance(task, Topics) or not config.ends_in_head:
        raise BadInput("CONFIG must be of task.name='topics', one layer, no MLP and both caps, got another model")
    model, penalty = config.model, max(config.sweep.penalties)
    arrays = store.keep(f"trained {seed}", lambda: train(config, seed, "random", (penalty,)))
    parameters = parameters_of(arrays)
    trained = as_rows(parameters.pop("forms"))[:, 0]
    batches = [task.batch(config) for _ in range(-(-SEQUENCES // config.sweep.batch))]
    objective = FrozenRows(
        parameters,
        torch.cat(batches)[:SEQUENCES],
        Layout(task.query_block, config, torch.float64),
        config,
        torch.arange(model.blocks),
    )
    groups = row_groups(model.blocks, model.d_block, model.heads)
    penalised = penalised_groups(model.blocks, model.heads)
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
    return PenalisedRows(objective, groups, penalised, localised, torch.zeros_like(localised)), objective


def token_ingredients(objective: FrozenRows) -> dict[str, np.ndarray]:
    """What levels A and C need, measured: G_i, V_i of the worst head, D_ic and ||x_i|| of every token (`gathered`).

    A diameter counts the zero that a key of another block has.
    """
    parameters, layout, config = objective.parameters, objective.layout, objective.config
    tokens, target = objective.sequences[:, :-1], objective.sequences[:, 1:]
    keys, values = keys_and_values(parameters, embedded(parameters, tokens), 0, layout, config)
    content = keys.unflatten(-1, (config.model.blocks, -1))  # B N K d
    unembedding = parameters["unembedding"][0].T
    return gathered(
        gradient_bounds=torch.cdist(unembedding, unembedding).amax(1)[target].flatten(),
        value_diameters=_visible_diameter(values.transpose(0, 1), layout).amax(1).flatten(),
        key_diameters=_visible_diameter(content.transpose(1, 2), layout).transpose(1, 2).flatten(0, 1),
        key_norm=content.norm(dim=-1).amax((0, 1)),
        query=content[:, : tokens.shape[1]].flatten(0, 1),
    )


def _visible_diameter(points: Float[Tensor, "B C N d"], layout: Layout) -> Float[Tensor, "B C T"]:
    """Largest distance between two visible points, for every query."""
    distance = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    seen = layout.visible
    return torch.stack([distance[..., row, :][..., row].flatten(-2).amax(-1) for row in seen], -1)
