"""The reference model with its layers dialled, sublayer by sublayer (claims C6, C13): what `dial.drift` speaks of.

`run` can take another model than the plain one for the original: with every layer at dial 1 a block's tokens are a
system of their own, and the sums hold of that block alone (`Trace.on`). Not covered: the shared stream, the read-out.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from bounds.dial.closed_forms import kappa_bias
from empirical.dial.drift import Choose, Trace
from empirical.laboratory.config import Config
from empirical.laboratory.model import Layout, Parameters, attend, normalise
from empirical.shapes import Float, Int, plain


def embedded(parameters: Parameters, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T d"]:
    """What the first layer reads, for the first setting."""
    return normalise(parameters["embedding"][0][tokens] + parameters["position"][0])


def keys_and_values(
    parameters: Parameters, x: Float[Tensor, "B T d"], layer: int, layout: Layout, config: Config
) -> tuple[Float[Tensor, "B N D"], Float[Tensor, "H B N d"]]:
    """Of tokens, then of anchors, in a layer of the localist stream, for the first setting."""
    batch, length, _ = x.shape
    keys = (normalise(x).unsqueeze(-2) * layout.own).flatten(-2)
    values = (keys.flatten(0, 1) @ parameters["output"][0, layer]).unflatten(1, (batch, length))
    if config.anchors:
        anchors = (normalise(parameters["anchor_key"][0, layer]).unsqueeze(-2) * layout.anchor_own).flatten(-2)
        keys = torch.cat([keys, anchors.expand(batch, -1, -1)], -2)
        values = torch.cat([values, parameters["anchor_value"][0, layer].unsqueeze(1).expand(-1, batch, -1, -1)], -2)
    return keys, values


def logits_and_values(
    parameters: Parameters, x: Float[Tensor, "B T d"], layer: int, layout: Layout, config: Config
) -> tuple[Float[Tensor, "H B T N"], Float[Tensor, "H B N d"]]:
    """What `model.forward` attends with in a layer of the localist stream, for the first setting."""
    batch, length, _ = x.shape
    keys, values = keys_and_values(parameters, x, layer, layout, config)
    width, flat = keys.shape[-1], keys[:, :length].flatten(0, 1)
    query = (flat @ parameters["forms"][0, layer].reshape(-1, width, width)).unflatten(1, (batch, length))
    return attend(query, keys, values, config.setting.temperature, layout.free, layout.fixed)[0], values


@torch.no_grad()
def run(
    parameters: Parameters,
    tokens: Int[Tensor, "B T"],
    layout: Layout,
    config: Config,
    choose: Choose,
    original: float = 0.0,
) -> Trace:
    """The model with weights outside the query's block times e^-kappa, kappa = choose(layer, leakage, fidelity).

    The dial is kept as kappa = -ln(1 - dial): near 1 float64 is too coarse a dial for rows of leakage near 1. The
    original has kappa `original` in every layer: 0 is the plain model, inf hides what lies outside.
    """
    tau, outside = config.setting.temperature, ~layout.in_block

    def weighed(logits: Tensor, kappa: float) -> tuple[Tensor, Tensor]:
        weights = (torch.where(outside, logits + float(kappa_bias(kappa, tau)), logits) / tau).softmax(-1)
        return weights, weights.where(outside, 0.0).sum(-1)

    states = [embedded(parameters, tokens)]
    undialled, strayed, moved, diameters, kappas = [], [], [], [], []
    for layer in range(config.model.layers):
        logits, values = logits_and_values(parameters, states[-1], layer, layout, config)
        weights, leakage = weighed(logits, original)
        kappas.append(choose(layer, plain(leakage), plain(weights.where(~outside, 0.0).sum(-1))))
        dialled, left = weighed(logits, kappas[-1])
        written = (dialled @ values).sum(0)
        undialled.append((weights @ values).sum(0))
        strayed.append((written - undialled[-1]).norm(dim=-1))
        moved.append((leakage - left).abs().amax(0))
        distance = torch.cdist(values, values, compute_mode="donot_use_mm_for_euclid_dist")
        diameters.append(distance.amax((-2, -1)).sum(0))
        states.append(states[-1] + written)
        if config.model.mlp:
            inner = functional.gelu(normalise(states[-1]) @ parameters["mlp_in"][0, layer])
            undialled.append(inner @ parameters["mlp_out"][0, layer])
            states.append(states[-1] + undialled[-1])
    stacked = (torch.stack(each) for each in (states, undialled, strayed, moved, diameters))
    return Trace(*stacked, kappas=kappas)
