"""Llama and what is built like it (Mistral, Qwen2): rotary positions, RMSNorm, key heads shared by groups of heads."""

from __future__ import annotations

from collections.abc import Iterator

from empirical.checkpoints.architecture import Architecture, Attention, Source, Task, features, number, prefix
from empirical.checkpoints.rotary import checked_rope
from empirical.checkpoints.weight_files import WeightFiles
from empirical.errors import BadInput


def attentions(files: WeightFiles) -> Iterator[Attention]:
    config, start = files.config, prefix(files, "layers.0.self_attn.q_proj.weight")
    heads = number(config, "num_attention_heads")
    groups = number(config, "num_key_value_heads", "num_attention_heads")
    if heads % groups:
        raise BadInput(f"num_attention_heads must be a multiple of num_key_value_heads, got {heads} and {groups}")
    given = config.get("head_dim")
    each = number(config, "head_dim") if given else features(number(config, "hidden_size"), heads)
    checked_rope(config)
    biased = config["model_type"] == "qwen2" or (config["model_type"] == "llama" and bool(config.get("attention_bias")))

    def source(layer: int, which: str) -> Source:
        base = f"{start}layers.{layer}."
        bias = f"{base}self_attn.{which}_proj.bias" if biased else None
        return Source(f"{base}input_layernorm", f"{base}self_attn.{which}_proj.weight", bias)

    for layer in range(number(config, "num_hidden_layers")):
        yield Attention("self", layer, source(layer, "q"), source(layer, "k"), heads, groups, each, each**-0.5)


ARCHITECTURES = tuple(
    Architecture(name, Task.NEXT_TOKEN, attentions, centred=False, rotary=True, blocks="layers")
    for name in ("llama", "mistral", "qwen2")
)
