"""Over-smoothing: how alike the tokens become with depth, and how much one layer of attention contracts.

    similarity = mean cosine of two tokens' states;  effective rank = exp(H(s / sum s)), s singular values of the states
    ||o_i - o_j|| <= t_ij V,   t_ij = 1 - sum_k min(a_ik, a_jk)

The second line is a proved prediction for the outputs o_i = sum_k a_ik v_k of one head: a_i - a_j = t (p - q) with p
and q weights again, and sum_k p_k v_k, sum_k q_k v_k are means of values, at most their diameter V apart. At dial 1 two
tokens of different blocks share no key, t = 1, and nothing contracts between blocks. No theorem is claimed of
similarity or rank through depth: residuals and MLPs may undo or outdo what attention contracts. States are those of
tokens as they are read out, in the coordinates that all blocks share.
"""

from __future__ import annotations

import torch
from torch import Tensor

from empirical.shapes import Float


def similarity(states: Float[Tensor, "*lead T d"]) -> Float[Tensor, "*lead"]:
    """Mean cosine of two different tokens; a zero state is at cosine 0 to all. Needs two tokens."""
    unit = torch.nn.functional.normalize(states, dim=-1)
    tokens = states.shape[-2]
    norms = unit.square().sum((-2, -1))
    return (unit.sum(-2).square().sum(-1) - norms) / (tokens * (tokens - 1))


def effective_rank(states: Float[Tensor, "*lead T d"]) -> Float[Tensor, "*lead"]:
    """exp of the entropy of the singular values as shares of their sum: 1 to min(T, d); NaN of zero states."""
    values = torch.linalg.svdvals(states)
    shares = values / values.sum(-1, keepdim=True)
    return torch.special.entr(shares).sum(-1).exp()


def overlaps(weights: Float[Tensor, "*lead T N"]) -> Float[Tensor, "*lead T T"]:
    """t_ij, the total variation distance of two attention rows: 0 if equal, 1 if they share no key."""
    rows = [torch.minimum(row.unsqueeze(-2), weights).sum(-1) for row in weights.unbind(-2)]
    return (1 - torch.stack(rows, -2)).clamp(0, 1)


def contraction(
    weights: Float[Tensor, "*lead T N"], values: Float[Tensor, "*lead N d"]
) -> tuple[Float[Tensor, "*lead"], Float[Tensor, "*lead"]]:
    """Mean over pairs of tokens of ||o_i - o_j|| / V, observed, and of t_ij, which it cannot exceed."""
    exact = "donot_use_mm_for_euclid_dist"
    outputs, tokens = weights @ values, weights.shape[-2]
    apart = torch.cdist(outputs, outputs, compute_mode=exact).sum((-2, -1)) / (tokens * (tokens - 1))
    diameter = torch.cdist(values, values, compute_mode=exact).amax((-2, -1))
    return apart / diameter, overlaps(weights).sum((-2, -1)) / (tokens * (tokens - 1))
