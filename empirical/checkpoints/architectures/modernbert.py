"""ModernBERT: masked tokens, rotary positions by type of layer, windows to both sides, one matrix fused."""

from __future__ import annotations

from collections.abc import Iterator

from empirical.checkpoints.architecture import Architecture, Attention, Norm, Source, Task, features, number, prefix
from empirical.checkpoints.rotary import rope_of, rotation
from empirical.checkpoints.weight_files import WeightFiles
from empirical.errors import BadInput


def attentions(files: WeightFiles) -> Iterator[Attention]:
    config, start = files.config, prefix(files, "layers.0.attn.Wqkv.weight")
    width, heads = number(config, "hidden_size"), number(config, "num_attention_heads")
    each, types = features(width, heads), config.get("layer_types")
    layers = number(config, "num_hidden_layers")
    if not isinstance(types, list) or len(types) < layers:
        raise BadInput(f"config.json must give layer_types, one a layer, got {types!r}")
    for layer in range(layers):
        base = f"{start}layers.{layer}."
        before = f"{base}attn_norm" if layer else f"{start}embeddings.norm"
        norm = Norm(before, shift=bool(config.get("norm_bias")))
        bias = f"{base}attn.Wqkv.bias" if config.get("attention_bias") else None
        q, k = (Source(norm, f"{base}attn.Wqkv.weight", bias, first) for first in (0, width))
        turned = rotation(rope_of(config, types[layer]), each)
        yield Attention("self", layer, q, k, heads, heads, each, each**-0.5, rotation=turned)


ARCHITECTURES = (Architecture("modernbert", Task.MASKED_TOKEN, attentions, fused=True, blocks="layers"),)
