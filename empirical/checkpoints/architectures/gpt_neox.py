"""GPT-NeoX (Pythia): queries, keys and values of a head side by side, rotary positions of a part of its features."""

from __future__ import annotations

from collections.abc import Iterator

from empirical.checkpoints.architecture import Architecture, Attention, Norm, Source, Task, features, number, prefix
from empirical.checkpoints.rotary import rope_of, rotation
from empirical.checkpoints.weight_files import WeightFiles


def attentions(files: WeightFiles) -> Iterator[Attention]:
    config, start = files.config, prefix(files, "layers.0.attention.query_key_value.weight")
    heads = number(config, "num_attention_heads")
    each = features(number(config, "hidden_size"), heads)
    older = {"partial_rotary_factor": config.get("rotary_pct", 0.25), "rope_theta": config.get("rotary_emb_base", 1e4)}
    turned = rotation(older | rope_of(config), each, partial=True)
    biased = bool(config.get("attention_bias", True))
    for layer in range(number(config, "num_hidden_layers")):
        base = f"{start}layers.{layer}."
        matrix = f"{base}attention.query_key_value."
        bias = f"{matrix}bias" if biased else None
        q, k = (Source(Norm(f"{base}input_layernorm"), f"{matrix}weight", bias, first, 3 * each) for first in (0, each))
        yield Attention("self", layer, q, k, heads, heads, each, each**-0.5, rotation=turned)


ARCHITECTURES = (Architecture("gpt_neox", Task.NEXT_TOKEN, attentions, fused=True, blocks="layers"),)
