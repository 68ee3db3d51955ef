"""Llama and what is built like it: rotary positions, RMSNorm, key heads shared by groups of heads.

Mistral, Mixtral and Qwen 2 differ in windows, experts and biases; Qwen 3 has a norm of each head's queries and keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from empirical.checkpoints.architecture import Architecture, Attention, Norm, Source, Task, features, number, prefix
from empirical.checkpoints.rotary import Rotation, rope_of, rotation
from empirical.checkpoints.weight_files import WeightFiles
from empirical.errors import BadInput

RMS_NORM = partial(Norm, centred=False, shift=False)


def grouped(config: dict[str, Any]) -> tuple[int, int, int]:
    """Heads, key heads, and features of a head. Raises BadInput where groups are not even."""
    heads = number(config, "num_attention_heads")
    groups = number(config, "num_key_value_heads", "num_attention_heads")
    if heads % groups:
        raise BadInput(f"num_attention_heads must be a multiple of num_key_value_heads, got {heads} and {groups}")
    given = config.get("head_dim")
    return heads, groups, number(config, "head_dim") if given else features(number(config, "hidden_size"), heads)


def decoder(
    files: WeightFiles,
    *,
    norm: Callable[[str], Norm] = RMS_NORM,
    by_head: Callable[[str], Norm] | None = None,
    names: tuple[str, str] = ("q_norm", "k_norm"),
    biased: bool = False,
    scaling: float | None = None,
    cap: float | None = None,
    turned: Callable[[int], Rotation] | None = None,
) -> Iterator[Attention]:
    """The attention of layers under Llama's names; `turned` is the rotation of each layer, by default one for all.

    `norm` is that of layer inputs, `by_head` that of a head's queries and keys, under these names.
    """
    config, start = files.config, prefix(files, "layers.0.self_attn.q_proj.weight")
    heads, groups, each = grouped(config)
    whole = rotation(rope_of(config), each) if turned is None else None

    def source(layer: int, which: str, name: str) -> Source:
        base = f"{start}layers.{layer}."
        bias = f"{base}self_attn.{which}_proj.bias" if biased else None
        own = None if by_head is None else by_head(f"{base}self_attn.{name}")
        return Source(norm(f"{base}input_layernorm"), f"{base}self_attn.{which}_proj.weight", bias, by_head=own)

    for layer in range(number(config, "num_hidden_layers")):
        query, key = (source(layer, which, name) for which, name in zip("qk", names))
        turns = whole if turned is None else turned(layer)
        by = each**-0.5 if scaling is None else scaling
        yield Attention("self", layer, query, key, heads, groups, each, by, rotation=turns, cap=cap)


def attentions(files: WeightFiles) -> Iterator[Attention]:
    config = files.config
    kind = config["model_type"]
    biased = kind == "qwen2" or (kind in ("llama", "qwen3") and bool(config.get("attention_bias")))
    yield from decoder(files, biased=biased, by_head=RMS_NORM if kind == "qwen3" else None)


ARCHITECTURES = tuple(
    Architecture(name, Task.NEXT_TOKEN, attentions, blocks="layers")
    for name in ("llama", "mistral", "mixtral", "qwen2", "qwen3")
)
