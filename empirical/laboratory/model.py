"""The reference transformer, as pure functions on a dict of tensors whose leading axis is the settings S.

    s_ij = x_i^T W x_j,  a_i = softmax(s_i / tau)  (W absorbs 1/sqrt(d)),  o_i = sum over heads, keys of a_ij V x_j

Features are split into K blocks, W into blocks W_bc per layer and head. In the localist stream a token of block b holds
features in block b alone: whatever it reads, it writes into its own block, so that W_bc = 0 for every c != b makes its
logits outside the block exactly 0. In the shared stream attention writes into every block and this fails from layer 2
on. Anchors: r keys a block with learned features and values, whose logit for queries of their own block is
`anchor_logit` and for others passes through W_bc. Positions are features of the own block, never terms of a logit.
Not covered: dropout, weight sharing between layers, key-value caches, positional terms in the logits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from empirical.laboratory.config import Config
from empirical.observe.rows import Weigh, softmax
from empirical.shapes import Bool, Float, Int

Parameters = dict[str, Tensor]
EPSILON = 1e-8  # under the square root of a block's mean square: a zero block stays zero, and none exceeds norm sqrt(d)


def attend(
    query: Float[Tensor, "*batch queries D"],
    keys: Float[Tensor, "*#batch keys D"],
    values: Float[Tensor, "*#batch keys V"],
    temperature: float,
    free: Bool[Tensor, "..."] | None = None,
    fixed: Float[Tensor, "..."] | float = -math.inf,
    weigh: Callable[[Tensor], Tensor] | None = None,
) -> tuple[
    Float[Tensor, "*batch queries keys"], Float[Tensor, "*batch queries keys"], Float[Tensor, "*batch queries V"]
]:
    """Logits, weights and outputs; where not `free` a logit is `fixed`: -inf if not seen, or an anchor's own."""
    logits = query @ keys.mT
    if free is not None:
        logits = torch.where(free, logits, fixed)
    weights = softmax(logits, temperature) if weigh is None else weigh(logits)
    return logits, weights, weights @ values


def normalise(x: Float[Tensor, "*lead d"]) -> Float[Tensor, "*lead d"]:
    """Each block divided by its root mean square."""
    return x * (x.square().mean(-1, keepdim=True) + EPSILON).rsqrt()


def initial_parameters(
    config: Config, seed: int, settings: int, device: torch.device, dtype: torch.dtype
) -> Parameters:
    """The same draw for every setting of a seed, made in float64 on the CPU."""
    d = config.model.d_block
    scales = {
        "embedding": 1.0,
        "position": 1.0,
        "forms": 0.5 / d,
        "output": 0.5 / math.sqrt(d),
        "unembedding": 0.5 / math.sqrt(d),
        "mlp_in": 1 / math.sqrt(d),
        "mlp_out": 0.5 / math.sqrt(4 * d),
        "anchor_key": 1.0,
        "anchor_value": 0.1,
    }
    generator = torch.Generator().manual_seed(seed)
    drawn = {
        name: torch.randn(shape, generator=generator, dtype=torch.float64) * scales[name]
        for name, shape in config.shapes.items()
    }
    return cap({k: v.to(device, dtype).expand(settings, *v.shape).clone() for k, v in drawn.items()}, config)


@torch.no_grad()
def cap(parameters: Parameters, config: Config) -> Parameters:
    """Projects, in place, onto the caps that are set: a value's norm is then at most `value_norm`, a normalised block
    having norm sqrt(d) at most, and an unembedding row's at most `unembedding_norm`."""

    def shorten(x: Tensor, dims: tuple[int, ...], longest: float) -> None:
        x.mul_((longest / x.square().sum(dims, keepdim=True).sqrt().clamp_min(1e-30)).clamp_max(1.0))

    model = config.model
    if model.value_norm is not None:
        per_key_block = parameters["output"].unflatten(-2, (model.blocks, model.d_block))
        shorten(per_key_block, (-2, -1), model.value_norm / math.sqrt(model.d_block))
        if "anchor_value" in parameters:
            shorten(parameters["anchor_value"], (-1,), model.value_norm)
    if model.unembedding_norm is not None:
        shorten(parameters["unembedding"], (-2,), model.unembedding_norm)
    return parameters


class Layout:
    """Which keys a query sees, and which logits are given: the same for every sequence, setting, layer and head."""

    def __init__(self, query_block: Int[Tensor, "T"], config: Config, dtype: torch.dtype):
        device, blocks, r = query_block.device, config.model.blocks, config.anchors
        tokens = len(query_block)
        anchors = torch.arange(blocks, device=device).repeat_interleave(r)
        self.query_block, self.key_block = query_block, torch.cat([query_block, anchors])
        self.own = functional.one_hot(query_block, blocks).to(dtype).unsqueeze(-1)
        self.anchor_own = functional.one_hot(anchors, blocks).to(dtype).unsqueeze(-1)
        self.anchor = torch.arange(tokens + blocks * r, device=device) >= tokens
        self.in_block = query_block[:, None] == self.key_block
        shown = torch.ones(tokens, tokens, dtype=torch.bool, device=device)
        shown = shown.tril() if config.model.causal else shown
        self.visible = torch.cat([shown, shown.new_ones(tokens, blocks * r)], 1)
        self.free = self.visible & ~(self.anchor & self.in_block)
        given = config.model.anchor_logit if config.model.anchor_logit is not None else -math.inf
        self.fixed = torch.where(self.visible, given, -math.inf).to(dtype)

    def masked(self) -> tuple[Tensor, Tensor]:
        """(free, fixed) with every key outside the query's block hidden: the dial at 1."""
        return self.free & self.in_block, self.fixed.masked_fill(~self.in_block, -math.inf)


def forward(
    parameters: Parameters,
    tokens: Int[Tensor, "B T"],
    layout: Layout,
    config: Config,
    *,
    masked: bool = False,
    observe: Callable[[int, Float[Tensor, "S H B T N"]], None] | None = None,
    weigh: Weigh | None = None,
    ends: Callable[[Float[Tensor, "S B T *features"]], object] | None = None,
) -> Float[Tensor, "S B T d"]:
    """The features that are read out. `observe(layer, logits)` sees the logits of every layer; `weigh` makes weights of
    them (`steer`), and what comes after reads what those attend to. `ends(x)` sees the stream that the last layer
    leaves, before the read-out: (S, B, T, d), in the shared stream (S, B, T, K, d)."""
    model, localist = config.model, config.model.stream == "localist"
    free, fixed = layout.masked() if masked else (layout.free, layout.fixed)
    settings, (batch, length) = len(parameters["forms"]), tokens.shape
    width = model.blocks * model.d_block
    embedding = parameters["embedding"]
    offset = torch.arange(settings, device=tokens.device).view(-1, 1, 1) * embedding.shape[1]
    x = functional.embedding(tokens + offset, embedding.flatten(0, 1)) + parameters["position"][:, None]
    x = normalise(x)
    if not localist:
        x = x.unsqueeze(-2) * layout.own
    for layer in range(model.layers):
        features = normalise(x)
        if localist:
            features = features.unsqueeze(-2) * layout.own
        features = features.reshape(settings, 1, batch, length, width)
        forms = parameters["forms"][:, layer].reshape(settings, model.heads, width, width)
        flat = features.view(settings, 1, batch * length, width)
        query = (flat @ forms).unflatten(2, (batch, length))
        values = (flat @ parameters["output"][:, layer]).unflatten(2, (batch, length))
        keys = features
        if config.anchors:
            anchors = (normalise(parameters["anchor_key"][:, layer]).unsqueeze(-2) * layout.anchor_own).flatten(-2)
            keys = torch.cat([keys, anchors[:, None, None].expand(-1, 1, batch, -1, -1)], -2)
            given = parameters["anchor_value"][:, layer].unsqueeze(2).expand(-1, -1, batch, -1, -1)
            values = torch.cat([values, given], -2)
        chosen = None if weigh is None else partial(weigh, layer)
        logits, _, output = attend(query, keys, values, config.setting.temperature, free, fixed, chosen)
        if observe is not None:
            observe(layer, logits)
        written = output.sum(1)
        x = x + (written if localist else written.unflatten(-1, (model.blocks, model.d_block)))
        if model.mlp:
            inner = normalise(x).reshape(settings, -1, model.d_block) @ parameters["mlp_in"][:, layer]
            x = x + (functional.gelu(inner) @ parameters["mlp_out"][:, layer]).view(x.shape)
    if ends is not None:
        ends(x)
    read = x if localist else (x * layout.own).sum(-2)
    return read if config.ends_in_head else normalise(read)


def token_losses(
    parameters: Parameters,
    sequences: Int[Tensor, "B T1"],
    layout: Layout,
    config: Config,
    *,
    masked: bool = False,
    weigh: Weigh | None = None,
) -> Float[Tensor, "S B T"]:
    """Loss in nats of every token of a sequence but the first."""
    read = forward(parameters, sequences[:, :-1], layout, config, masked=masked, weigh=weigh)
    scores = read.flatten(1, 2) @ parameters["unembedding"]
    target = sequences[:, 1:].reshape(1, -1).expand(len(scores), -1)
    losses = functional.cross_entropy(scores.flatten(0, 1), target.flatten(), reduction="none")
    return losses.view(len(scores), *sequences[:, 1:].shape)


def cross_entropy(
    parameters: Parameters, sequences: Int[Tensor, "B T1"], layout: Layout, config: Config, *, masked: bool = False
) -> Float[Tensor, "S"]:
    """Mean loss of each setting in nats a token."""
    return token_losses(parameters, sequences, layout, config, masked=masked).flatten(1).mean(1)
