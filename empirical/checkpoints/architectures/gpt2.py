"""GPT-2: one matrix of queries, keys and values in columns, LayerNorm before each layer."""

from __future__ import annotations

from collections.abc import Iterator

from empirical.checkpoints.architecture import Architecture, Attention, Norm, Source, Task, features, number, prefix
from empirical.checkpoints.weight_files import WeightFiles


def attentions(files: WeightFiles) -> Iterator[Attention]:
    config, start = files.config, prefix(files, "h.0.attn.c_attn.weight")
    width, heads = number(config, "n_embd", "hidden_size"), number(config, "n_head", "num_attention_heads")
    each = features(width, heads)
    scaling = each**-0.5 if config.get("scale_attn_weights", True) else 1.0
    for layer in range(number(config, "n_layer", "num_hidden_layers")):
        base = f"{start}h.{layer}."
        norm = Norm(f"{base}ln_1")
        q, k = (Source(norm, f"{base}attn.c_attn.weight", f"{base}attn.c_attn.bias", f) for f in (0, width))
        by = layer + 1 if config.get("scale_attn_by_inverse_layer_idx") else 1
        yield Attention("self", layer, q, k, heads, heads, each, scaling / by)


ARCHITECTURES = (
    Architecture(
        "gpt2",
        Task.NEXT_TOKEN,
        attentions,
        fused=True,
        columns=True,
        blocks="h",
        refused=("reorder_and_upcast_attn",),
    ),
)
