"""BART: an encoder and a decoder, LayerNorm after each layer."""

from __future__ import annotations

from collections.abc import Iterator

from empirical.checkpoints.architecture import Architecture, Attention, Norm, Source, Task, features, number, prefix
from empirical.checkpoints.weight_files import WeightFiles


def attentions(files: WeightFiles) -> Iterator[Attention]:
    config, start = files.config, prefix(files, "encoder.layers.0.self_attn.q_proj.weight")
    width, last = number(config, "d_model"), number(config, "encoder_layers") - 1

    def one(kind: str, layer: int, stack: str, module: str, query_norm: str, key_norm: str) -> Attention:
        base = f"{start}{stack}.layers.{layer}.{module}."
        q, k = (
            Source(Norm(start + norm), f"{base}{n}_proj.weight", f"{base}{n}_proj.bias")
            for norm, n in ((query_norm, "q"), (key_norm, "k"))
        )
        heads = number(config, f"{stack}_attention_heads")
        return Attention(kind, layer, q, k, heads, heads, features(width, heads), features(width, heads) ** -0.5)

    for stack, kind in (("encoder", "encoder"), ("decoder", "self")):
        for layer in range(number(config, f"{stack}_layers")):
            before = f"{stack}.layers.{layer - 1}.final_layer_norm" if layer else f"{stack}.layernorm_embedding"
            yield one(kind, layer, stack, "self_attn", before, before)
            if kind == "self":
                own = f"decoder.layers.{layer}.self_attn_layer_norm"
                yield one("cross", layer, stack, "encoder_attn", own, f"encoder.layers.{last}.final_layer_norm")


ARCHITECTURES = (Architecture("bart", Task.SEQUENCE_TO_SEQUENCE, attentions, cross="encoder_attn"),)
