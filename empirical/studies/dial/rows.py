"""Every attention row before and after the dial, along the trajectory of the dialled model.

    before: statistics of the logits that a layer meets;  after: leakage of the weights that the model really used, and
    statistics of the logits as turned

A row is (setting = a dial, layer, head, query of any sequence). In the first layer the logits before are those of the
model as trained; deeper ones are what the dialled model makes of its own states.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from empirical.dial.changes import dial, steer
from empirical.laboratory.config import Config
from empirical.laboratory.model import Layout, Parameters, forward
from empirical.observe.rows import entropy, row_statistics
from empirical.observe.schema import ROW
from empirical.shapes import Arrays, Float, Int, plain

CHUNK = 8  # sequences at a time, every dial side by side: some ten million weights
DIMS = ROW


@torch.no_grad()
def dial_rows(
    parameters: Parameters, tokens: Int[Tensor, "B T"], layout: Layout, config: Config, dials: Sequence[float]
) -> tuple[Arrays, Arrays]:
    """(before, after), fields of shape (dial, layer, head, query) for the first setting of the model."""
    several = {name: value[:1].expand(len(dials), *value.shape[1:]) for name, value in parameters.items()}
    parts = [_chunk(several, part, layout, config, dials) for part in tokens.split(CHUNK)]
    before, after = ({name: np.concatenate([p[i][name] for p in parts], -1) for name in parts[0][i]} for i in (0, 1))
    constants = {
        "temperature": np.full((len(dials), 1, 1, 1), config.setting.temperature),
        "dial": np.array(dials)[:, None, None, None],
    }
    return {**before, **constants}, {**after, **constants}


def _chunk(
    parameters: Parameters, tokens: Int[Tensor, "B T"], layout: Layout, config: Config, dials: Sequence[float]
) -> tuple[Arrays, Arrays]:
    tau, r, inside = config.setting.temperature, config.setting.n_anchors, layout.in_block
    turn = dial(config, inside, np.array(dials)[:, None, None])
    weigh = steer(tau, turn)
    layers: list[tuple[dict[str, Tensor], dict[str, Tensor]]] = []

    def watched(layer: int, logits: Float[Tensor, "S H B T N"]) -> Float[Tensor, "S H B T N"]:
        weights = weigh(layer, logits)
        rows = row_statistics(logits, inside, layout.visible, r, tau, layout.anchor)
        scaled = logits / tau
        used = weights.masked_fill(inside, 0.0).sum(-1)  # of the weights themselves, whatever turned the logits
        within, without = (entropy(scaled.masked_fill(~side, -torch.inf)) for side in (inside, ~inside))
        seen = {**rows, "leakage_dialled": used, "entropy_inside": within, "entropy_outside": without}
        turned = row_statistics(turn(layer, logits), inside, layout.visible, r, tau, layout.anchor, cut=True)
        layers.append((seen, {**turned, "entropy_inside": within, "entropy_outside": without}))
        return weights

    forward(parameters, tokens, layout, config, weigh=watched)

    def stacked(at: int) -> Arrays:
        return {name: plain(torch.stack([rows[at][name].flatten(2) for rows in layers], 1)) for name in layers[0][at]}

    return stacked(0), stacked(1)
