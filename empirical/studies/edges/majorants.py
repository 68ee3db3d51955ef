"""Queries of one block of `blocks`, and quadratic majorants of what their cross logits gain (claim C3).

    eta |e0|^2 - |e|^2 <= Psi_i + w^T M_i w  for all in-block logits and |w| <= n |x_i|,   s_j = k_j . w

e0 and e are the errors of query i without and with its cross logits s_j. M_i is a sum of five forms with coefficients
c_k >= 0: of what moves the error to first order, B = mean (v'_j - e*) k_j^T, along e* once more, of the mean a of s_j,
of all s_j, and of w. Everything is scaled by n: w = n omega, M = forms/n, 1 - eta = slope n. See `remainder` for Psi_i.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor

from empirical.errors import BadInput
from empirical.laboratory.tasks import Retrieval
from empirical.shapes import Float

ALPHAS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)  # cells of alpha: what a query gives away outside


@dataclass(frozen=True)
class Queries:
    """The Q queries of one block, O keys outside with F features of all other blocks side by side."""

    own: Float[Tensor, "Q m V"]  # v' = value - target
    outside: Float[Tensor, "Q O V"]
    keys: Float[Tensor, "Q O F"]  # over the temperature
    features: Float[Tensor, "Q d"]  # x_i
    centres: Float[Tensor, "Q A V"]  # the shortest error at each of ALPHAS
    nearest: Float[Tensor, "Q V"]  # the shortest of all

    def centre(self, alpha: float) -> Float[Tensor, "Q V"]:
        """Near the shortest error at this alpha; any vector is as valid."""
        step = min(int(alpha * (len(ALPHAS) - 1)), len(ALPHAS) - 2)
        part = (alpha - ALPHAS[step]) / (ALPHAS[step + 1] - ALPHAS[step])
        return torch.lerp(self.centres[:, step], self.centres[:, step + 1], part)

    def __getitem__(self, at: Tensor) -> Queries:
        return Queries(*(field[at] for field in vars(self).values()))


def _shortest(points: Float[np.ndarray, "m V"]) -> Float[np.ndarray, "V"]:
    """Of the hull of the points, nearly; any vector is as valid."""
    weights, _ = nnls(np.vstack([points.T, np.full(len(points), 1e3)]), np.append(np.zeros(points.shape[1]), 1e3))
    return weights @ points / weights.sum()


def block_queries(data: Retrieval, block: int) -> Queries:
    """Raises BadInput where a key has features of a block that is not its own: the bound needs that it has none."""
    mine, own = data.query_block == block, data.key_block == block
    keys = data.keys[mine].unflatten(-1, (data.blocks, -1))
    elsewhere = torch.nn.functional.one_hot(data.key_block, data.blocks)[..., None] == 0
    if bool((data.keys.unflatten(-1, (data.blocks, -1)) * elsewhere).any()):
        raise BadInput("data must hold keys with features of their own block alone, got others")
    others = [c for c in range(data.blocks) if c != block]
    error = data.values[mine] - data.target[mine][:, None]
    mean = error[:, ~own].mean(1)
    hulls = [[(1 - t) * p + t * v for t in ALPHAS] for p, v in zip(error[:, own].numpy(), mean.numpy())]
    centre = torch.as_tensor(np.array([[_shortest(points) for points in hull] for hull in hulls]))
    nearest = [_shortest(np.vstack([p, v])) for p, v in zip(error[:, own].numpy(), mean.numpy())]
    return Queries(
        error[:, own],
        error[:, ~own],
        keys[:, ~own][:, :, others].flatten(2) / data.temperature,
        data.query[mine].unflatten(-1, (data.blocks, -1))[:, block],
        centre,
        torch.as_tensor(np.array(nearest)),
    )


@dataclass(frozen=True)
class Majorant:
    """slope = (1-eta)/n and n M_i = sum of c_k times five forms; a share of the last two pays for T.

    Forms: ||B omega||^2, <e*, B omega>^2/|e*|^2, a^2, mean s_j^2 times O, |omega|^2; B = mean (v'_j - e*) k_j^T.
    """

    logs: Float[Tensor, "8"]  # of the slope and the five; logits of the two shares

    @property
    def slope(self) -> Tensor:
        return self.logs[0].exp()

    @property
    def forms(self) -> Tensor:
        return self.logs[1:6].exp()

    @property
    def paying(self) -> Tensor:
        return self.forms[3:] * self.logs[6:].sigmoid()


START = Majorant(torch.tensor([0.1, 0.1, 0.6, 0.2, 0.002, 0.001, 1.0, 1.0], dtype=torch.float64).log())


def slopes(queries: Queries) -> tuple[Float[Tensor, "Q V F"], Float[Tensor, "Q F"]]:
    """B and the gradient of a."""
    pulled = (queries.outside - queries.nearest[:, None]).mT @ queries.keys / queries.keys.shape[1]
    return pulled, queries.keys.mean(1)


def quadratic_forms(queries: Queries) -> Float[Tensor, "5 Q F F"]:
    pulled, mean = slopes(queries)
    along = (queries.nearest / queries.nearest.norm(dim=1, keepdim=True))[:, None] @ pulled
    outer = [(p.mT @ p) for p in (pulled, along, mean[:, None], queries.keys)]
    return torch.stack([*outer, torch.eye(mean.shape[1], dtype=mean.dtype).expand_as(outer[0])])


def curvatures(queries: Queries, count: int) -> Float[Tensor, "5 FD FD"]:
    """(1/N) sum_i M_i (x) x_i x_i^T of each form."""
    x = queries.features
    joined = torch.einsum("kqfg,qd,qe->kfdge", quadratic_forms(queries), x, x) / count
    side = joined.shape[1] * joined.shape[2]
    return joined.reshape(-1, side, side)
