"""StarCoder2: rotary positions as in Llama, but LayerNorm before each layer and biases."""

from __future__ import annotations

from collections.abc import Iterator

from empirical.checkpoints.architecture import Architecture, Attention, Source, Task, features, number, prefix
from empirical.checkpoints.rotary import checked_rope
from empirical.checkpoints.weight_files import WeightFiles
from empirical.errors import BadInput


def attentions(files: WeightFiles) -> Iterator[Attention]:
    config, start = files.config, prefix(files, "layers.0.self_attn.q_proj.weight")
    heads, groups = number(config, "num_attention_heads"), number(config, "num_key_value_heads")
    if heads % groups:
        raise BadInput(f"num_attention_heads must be a multiple of num_key_value_heads, got {heads} and {groups}")
    given = config.get("head_dim")
    each = number(config, "head_dim") if given else features(number(config, "hidden_size"), heads)
    checked_rope(config)

    def source(layer: int, which: str) -> Source:
        base = f"{start}layers.{layer}."
        bias = f"{base}self_attn.{which}_proj.bias" if config.get("use_bias", True) else None
        return Source(f"{base}input_layernorm", f"{base}self_attn.{which}_proj.weight", bias)

    for layer in range(number(config, "num_hidden_layers")):
        yield Attention("self", layer, source(layer, "q"), source(layer, "k"), heads, groups, each, each**-0.5)


ARCHITECTURES = (Architecture("starcoder2", Task.NEXT_TOKEN, attentions, centred=True, rotary=True, blocks="layers"),)
