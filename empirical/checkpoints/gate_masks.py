"""Gates as one plain mask that the stock model takes by itself: ln s on the logits outside, -inf where s is 0.

    model(input_ids=ids, attention_mask=gate_mask(model, gates, blocks=labels, groups=("head",)))

One mask is for all layers: gates must be the same in each. It is n x n, and of the model's dtype, which rounds ln s.
Padding is told to the mask, as `attention_mask`; positions that a model would take from that are the caller's to give.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from empirical.checkpoints.architectures import known
from empirical.checkpoints.contexts import Labels, labels_given
from empirical.checkpoints.gates import By, groups_of
from empirical.errors import BadInput
from empirical.observe.relevance import Blocks
from empirical.shapes import Bool, Float


def gate_mask(
    model: Any,
    gates: Any,
    *,
    blocks: Blocks | Labels,
    groups: By = ("layer", "head"),
    attention_mask: Tensor | None = None,
) -> Float[Tensor, "B #H T T"] | Bool[Tensor, "B #H T T"]:
    """What a model of one stack is given as its 4-D `attention_mask`; boolean where sdpa is given open and shut gates.

    Raises BadInput for gates that differ between layers, an encoder and decoder, layers with a window of their own.
    """
    labels, config = labels_given(blocks), model.config
    if config.is_encoder_decoder:
        raise BadInput(f"model must be one stack for one mask, got a {config.model_type}, an encoder and a decoder")
    windows = [kind for kind in getattr(config, "layer_types", None) or () if kind != "full_attention"]
    if windows or getattr(config, "sliding_window", None):
        raise BadInput(f"model must see as far in every layer for one mask, got {(windows or ['a sliding window'])[0]}")
    made = groups_of(model, labels.highest + 1, groups)
    vector = made.vector(gates)
    cells = (vector if vector.ndim == 2 else vector[None])[:, made.number]  # B L H K K1
    if not bool((cells == cells[:, :1]).all()):
        raise BadInput("gates must be the same in every layer for one mask, got some that differ between layers")
    if labels.keys is not None or labels.grown is not None or labels.named is not None:
        raise BadInput("blocks must be those of the tokens alone for one mask, got keys, grown or named beside them")
    each, seen = _gates_of_pairs(cells[:, 0], labels, known(config.model_type).causal, attention_mask)
    if bool((each == each[:, :1]).all()):
        each = each[:, :1]
    if config._attn_implementation == "sdpa" and bool(((each == 0) | (each == 1)).all()):
        return (each == 1) & seen
    return each.log().where(seen, -torch.inf).to(model.dtype)


def _gates_of_pairs(
    cells: Float[Tensor, "_ H K K1"], labels: Labels, causal: bool, attention_mask: Tensor | None
) -> tuple[Float[Tensor, "B H T T"], Bool[Tensor, "B 1 T T"]]:
    """The gate of every pair, 1 inside and in rows that are not gated; and what is seen, by padding at least itself."""
    own = labels.tokens
    tokens, blocks = own.shape[1], cells.shape[2]
    itself = torch.eye(tokens, dtype=torch.bool, device=own.device)
    seen = torch.ones_like(itself).tril() if causal else torch.ones_like(itself)
    seen = seen.expand(len(own), 1, tokens, tokens)
    if attention_mask is not None:
        if attention_mask.shape != own.shape:
            raise BadInput(f"attention_mask must be of shape {tuple(own.shape)}, got {tuple(attention_mask.shape)}")
        seen = seen & (attention_mask == 1)[:, None, None, :].to(own.device)
        own = own.masked_fill(attention_mask.to(own.device) != 1, -1)
    seen = torch.where(seen.any(-1, keepdim=True), seen, itself)
    inside = (labels.relation.relevant(own, own) | (own < 0)[..., None])[:, None]
    gated = (inside & seen).any(-1, keepdim=True)
    at = torch.arange(len(own), device=own.device) if len(cells) == len(own) else own.new_zeros(len(own))
    heads = torch.arange(cells.shape[1], device=own.device)[None, :, None, None]
    query, key = own.clamp(min=0)[:, None, :, None], own.masked_fill(own < 0, blocks)[:, None, None, :]
    each = cells.to(own.device)[at[:, None, None, None], heads, query, key]
    return torch.where(inside | ~gated, 1.0, each), seen
