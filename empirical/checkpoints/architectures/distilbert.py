"""DistilBERT: BERT with half the layers, under names of its own."""

from __future__ import annotations

from collections.abc import Iterator

from empirical.checkpoints.architecture import Architecture, Attention, Norm, Source, Task, features, number, prefix
from empirical.checkpoints.weight_files import WeightFiles


def attentions(files: WeightFiles) -> Iterator[Attention]:
    config, start = files.config, prefix(files, "transformer.layer.0.attention.q_lin.weight")
    heads = number(config, "n_heads")
    each = features(number(config, "dim"), heads)
    for layer in range(number(config, "n_layers")):
        before = f"transformer.layer.{layer - 1}.output_layer_norm" if layer else "embeddings.LayerNorm"
        base = f"{start}transformer.layer.{layer}.attention."
        q, k = (Source(Norm(start + before), f"{base}{n}.weight", f"{base}{n}.bias") for n in ("q_lin", "k_lin"))
        yield Attention("self", layer, q, k, heads, heads, each, each**-0.5)


ARCHITECTURES = (Architecture("distilbert", Task.MASKED_TOKEN, attentions, blocks="transformer.layer"),)
