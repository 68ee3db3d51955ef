"""What rules on a reference model are checked against: how far its logits can reach on any input, and what is seen.

    |x^T W_bc y| <= d ||W_bc||_2,  ||x||, ||y|| <= sqrt(d): the norm of a normalised block;  own anchors are given

Not covered: weights that change after the check, and changes of logits other than a dial of at most `kappa` before.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from empirical.errors import BadInput
from empirical.laboratory.config import Config
from empirical.laboratory.model import Layout, Parameters
from empirical.laboratory.text import block_pattern
from empirical.rules.site import Site
from empirical.shapes import Float, plain


def site_of(parameters: Parameters, config: Config, vocabulary: Sequence[str], kappa: float = 0.0) -> Site:
    """`kappa` is the most that a dial placed before the rules may turn (it widens the logits by tau kappa)."""
    if not (math.isfinite(kappa) and kappa >= 0):
        raise BadInput(f"kappa must be finite and >= 0, got {kappa!r}")
    ranges = certified_range(parameters, config).max((0, 2)) + config.setting.temperature * kappa
    return site_within(ranges, config, vocabulary)


def site_within(ranges: Float[np.ndarray, "L K"], config: Config, vocabulary: Sequence[str]) -> Site:
    """The site of a configuration whose rows span at most `ranges`, by layer and query block."""
    queries = config.task.queries
    layout = Layout(block_pattern(config, queries), config, torch.float64)
    own = plain(layout.query_block)
    seen = plain(layout.visible[:, :queries]).astype(float) @ np.eye(config.model.blocks)[own]
    return Site(tuple(vocabulary), config.setting.temperature, ranges, own, seen, config.anchors)


def certified_range(parameters: Parameters, config: Config) -> Float[np.ndarray, "S L H K"]:
    """Largest minus smallest logit that a query of each block can see, whatever the input, from the weights alone.

    2 d max_c ||W_bc||_2, or further where the own anchors' given logit lies outside. In the shared stream a query and a
    key hold features of every block from layer 2 on: K d ||W||_2, or the sum over blocks where that is less. Rounded up
    by what the arithmetic of the logits can err.
    """
    model = config.model
    blocks, d = model.blocks, model.d_block
    forms = parameters["forms"].double()
    norms = torch.linalg.matrix_norm(forms.movedim(-2, -3), ord=2)  # S L H b c
    reach = d * norms.amax(-1)
    if model.stream == "shared":
        whole = blocks * d * torch.linalg.matrix_norm(forms.flatten(-2).flatten(-3, -2), ord=2)
        every = torch.minimum(whole, d * norms.sum((-1, -2)))[..., None].expand_as(reach)
        reach = torch.cat([reach[:, :1], every[:, 1:]], 1)
    low, high = -reach, reach
    if model.anchor_logit is not None:
        low, high = low.clamp(max=model.anchor_logit), high.clamp(min=model.anchor_logit)
    return plain((high - low) * (1 + 8 * blocks * d * torch.finfo(parameters["forms"].dtype).eps))
