"""What rules are checked against: the words and blocks of a model, and how far its logits can reach on any input.

    |x^T W_bc y| <= d ||W_bc||_2,  ||x||, ||y|| <= sqrt(d): the norm of a normalised block;  own anchors are given

The largest minus the smallest logit of a row is then at most D, whatever the tokens: what a rule's promise rests on.
Not covered: weights that change after the check, and changes of logits other than a dial of at most `kappa` before.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from empirical.errors import BadInput
from empirical.laboratory.config import Config
from empirical.laboratory.model import Parameters
from empirical.shapes import Float, plain


@dataclass(frozen=True, eq=False)
class Site:
    """What rules are checked against: the words and blocks of a model, and how far its logits reach."""

    config: Config
    vocabulary: tuple[str, ...]
    ranges: Float[np.ndarray, "L K"]  # by layer and query block, over settings and heads; a dial's part included

    @classmethod
    def of(cls, parameters: Parameters, config: Config, vocabulary: Sequence[str], kappa: float = 0.0) -> Site:
        """`kappa` is the most that a dial placed before the rules may turn (it widens the logits by tau kappa)."""
        if not (math.isfinite(kappa) and kappa >= 0):
            raise BadInput(f"kappa must be finite and >= 0, got {kappa!r}")
        ranges = certified_range(parameters, config).max((0, 2)) + config.setting.temperature * kappa
        return cls(config, tuple(vocabulary), ranges)


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
