"""Penalty levels of `blocks` and of measured models: what is proved of lambda_glob and lambda_stat* (claims C3, C10).

    lambda_crit <= lambda_glob <= lambda_stat*:  largest cross gradient at the localised optimum; the penalty from which
    it is a global minimiser; the largest at which a stationary point with a non-zero cross block exists
    sublevel:  lambda_glob <= max_bc ||diag(V_i D_ic / 2) X_b||_op sqrt(L_loc,b) / (tau sqrt N)

The loss is a mean over queries and the rows of W for block b touch queries of block b alone, so every threshold is a
maximum over b. Where L_b <= L_loc,b the errors e_i = ||o_i - y_i|| have sum of squares at most N L_loc,b, and
<M, grad_bc> <= (1/(N tau)) sum_i ||M^T x_i|| e_i V_i D_ic/2: Cauchy-Schwarz gives the level, theorem
`global_below_gradient` the rest. Any upper bound on the infimum L_loc,b will do.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from bounds import penalty_threshold_cauchy_schwarz, penalty_threshold_worst_case
from bounds.penalty.fields import LEVEL_FIELDS
from empirical.laboratory.config import Config
from empirical.laboratory.continuation import as_rows, penalised_groups, query_blocks, row_groups
from empirical.laboratory.tasks import Blocks, Retrieval, device_of, level_c, level_ingredients, make_task
from empirical.laboratory.transition import PenalisedRows
from empirical.penalise.proximal_gradient import cross_blocks
from empirical.shapes import Arrays, Float

PenaltyLevel = tuple[str, str, float, str]
"""(level, kind, value, words)"""


def sublevel_level(known: Arrays, losses: Float[Tensor, "K"], temperature: float) -> float:
    """Largest cross gradient where a block's loss is at most the given one, by Cauchy-Schwarz over its queries.

    `known` is what `level_ingredients` returned, here and below.
    """
    query = torch.as_tensor(known["query"])
    weights = torch.as_tensor(known["value_diameters"][:, None] * known["key_diameters"] / 2)  # N, blocks of keys
    roots, blocks = losses.cpu().sqrt(), range(query.shape[1])
    levels = [
        torch.linalg.matrix_norm(weights[:, c : c + 1] * query[:, b], 2) * roots[b]
        for b in blocks
        for c in blocks
        if b != c
    ]
    return float(torch.stack(levels).max()) / (temperature * len(query) ** 0.5)


def operator_level(known: Arrays, temperature: float) -> float:
    """Level C by Cauchy-Schwarz over queries: no gradient exceeds it at any W."""
    query, levels = torch.as_tensor(known["query"]), []
    for b in range(query.shape[1]):
        operator = float(torch.linalg.matrix_norm(query[:, b], 2)) / len(query) ** 0.5
        own = known["query_norms"][:, b] > 0
        for c in range(query.shape[1]):
            product = known["gradient_bounds"] * known["value_diameters"] * known["key_diameters"][:, c] * own
            size = float(np.sqrt(np.mean(product**2)))
            levels += [penalty_threshold_cauchy_schwarz(operator, size, temperature)] if b != c else []
    return max(levels)


def gradient_levels(known: Arrays, temperature: float) -> list[PenaltyLevel]:
    """What no gradient of a cross block exceeds, at any W: levels C and A, least first."""
    fields = {name: known[name] for name in LEVEL_FIELDS}
    fields = {k: v[:, None] if k in ("query_norm", "query_share") else v for k, v in fields.items()}
    cross = cross_blocks(known["query"].shape[1]).numpy()
    fields["temperature"] = np.asarray(temperature)
    worst = penalty_threshold_worst_case(*(fields[name] for name in (*LEVEL_FIELDS, "temperature")))
    level_a = np.broadcast_to(worst, cross.shape)
    return [
        ("level C, Cauchy-Schwarz", "proved", operator_level(known, temperature), "above lambda_stat*"),
        ("level C, mean of products", "proved", float(level_c(known, temperature)[cross].max()), "above lambda_stat*"),
        ("level A, with query shares", "proved", float(level_a[cross].max()), "above lambda_stat*"),
    ]


def proved_levels(data: Retrieval, losses: Float[Tensor, "K"]) -> list[PenaltyLevel]:
    """All that is proved for the task, least first; `losses` as in `sublevel_level`."""
    known, tau = level_ingredients(data), data.temperature
    sublevel = sublevel_level(known, losses, tau)
    return [("sublevel, Cauchy-Schwarz", "proved", sublevel, "above lambda_glob"), *gradient_levels(known, tau)]


def blocks_problem(config: Config, seed: int, start: Arrays) -> tuple[PenalisedRows, list[PenaltyLevel]]:
    """The seed's task a row a block, and its proved levels; `start` is what `localise` returned.

    Distributed branches are looked for from W = 0.
    """
    task = make_task(config, seed, device_of(config))
    assert isinstance(task, Blocks)
    data = task.training
    device, objective = data.query.device, query_blocks(data)
    localised = as_rows(torch.as_tensor(start["parameter/forms"], device=device))[:, 0]
    groups = row_groups(data.blocks, config.model.d_block, device=device)
    penalised = penalised_groups(data.blocks, device=device)
    problem = PenalisedRows(objective, groups, penalised, localised, torch.zeros_like(localised))
    return problem, proved_levels(data, objective(localised)[0])
