"""Phi: as Llama with LayerNorm, and rotary positions of a part of each head's features; Phi-3 with one fused matrix."""

from __future__ import annotations

from collections.abc import Iterator

from empirical.checkpoints.architecture import Architecture, Attention, Norm, Source, Task, number, prefix
from empirical.checkpoints.architectures.llama import RMS_NORM, decoder, grouped
from empirical.checkpoints.rotary import rope_of, rotation
from empirical.checkpoints.weight_files import WeightFiles


def _apart(files: WeightFiles) -> Iterator[Attention]:
    by_head = Norm if files.config.get("qk_layernorm") else None
    turned = rotation({"partial_rotary_factor": 0.5} | rope_of(files.config), grouped(files.config)[2], partial=True)
    names = ("q_layernorm", "k_layernorm")
    yield from decoder(files, norm=Norm, by_head=by_head, names=names, biased=True, turned=lambda _: turned)


def _fused(files: WeightFiles) -> Iterator[Attention]:
    config, start = files.config, prefix(files, "layers.0.self_attn.qkv_proj.weight")
    heads, groups, each = grouped(config)
    turned = rotation(rope_of(config), each, partial=True)
    for layer in range(number(config, "num_hidden_layers")):
        base = f"{start}layers.{layer}."
        q, k = (
            Source(RMS_NORM(f"{base}input_layernorm"), f"{base}self_attn.qkv_proj.weight", first=first)
            for first in (0, heads * each)
        )
        yield Attention("self", layer, q, k, heads, groups, each, each**-0.5, rotation=turned)


ARCHITECTURES = (
    Architecture("phi", Task.NEXT_TOKEN, _apart, blocks="layers"),
    Architecture("phi3", Task.NEXT_TOKEN, _fused, fused=True, blocks="layers"),
)
