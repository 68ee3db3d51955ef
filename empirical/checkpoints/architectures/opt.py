"""OPT: LayerNorm before each layer, queries scaled before the registry is asked."""

from __future__ import annotations

from collections.abc import Iterator

from empirical.checkpoints.architecture import Architecture, Attention, Norm, Source, Task, features, number, prefix
from empirical.checkpoints.weight_files import WeightFiles
from empirical.errors import BadInput


def attentions(files: WeightFiles) -> Iterator[Attention]:
    config, start = files.config, prefix(files, "decoder.layers.0.self_attn.q_proj.weight")
    if not config.get("do_layer_norm_before", True):
        raise BadInput("do_layer_norm_before must be true, got false: the first layer reads no norm")
    heads = number(config, "num_attention_heads")
    each = features(number(config, "hidden_size"), heads)
    stored = bool(config.get("layer_norm_elementwise_affine", True))
    biased = bool(config.get("enable_bias", True))
    for layer in range(number(config, "num_hidden_layers")):
        base = f"{start}decoder.layers.{layer}."
        norm = Norm(f"{base}self_attn_layer_norm", gain=stored, shift=stored)
        q, k = (
            Source(
                norm,
                f"{base}self_attn.{which}_proj.weight",
                f"{base}self_attn.{which}_proj.bias" if biased else None,
                factor=factor,
            )
            for which, factor in (("q", each**-0.5), ("k", 1.0))
        )
        yield Attention("self", layer, q, k, heads, heads, each, 1.0)


ARCHITECTURES = (Architecture("opt", Task.NEXT_TOKEN, attentions, blocks="decoder.layers"),)
