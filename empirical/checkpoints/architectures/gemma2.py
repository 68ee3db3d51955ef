"""Gemma 2 and 3: as Llama with windows in some layers, and gains that are stored less one.

Gemma 2 caps its logits. Gemma 3 has a norm of each head's queries and keys, and positions by type of layer;
transformers caps none of its logits, whatever its configuration says.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from empirical.checkpoints.architecture import Architecture, Attention, Task, number
from empirical.checkpoints.architectures.llama import RMS_NORM, decoder, grouped
from empirical.checkpoints.rotary import Rotation, rope_of, rotation
from empirical.checkpoints.weight_files import WeightFiles
from empirical.errors import BadInput

NORM = partial(RMS_NORM, added=1.0)


def _shared(config: dict[str, Any]) -> dict[str, Any]:
    return {
        "norm": NORM,
        "biased": bool(config.get("attention_bias")),
        "scaling": number(config, "query_pre_attn_scalar") ** -0.5,
    }


def _capped(files: WeightFiles) -> Iterator[Attention]:
    cap = files.config.get("attn_logit_softcapping", False)
    if cap is not None and (isinstance(cap, bool) or not isinstance(cap, int | float) or not 0 < cap < 1e30):
        raise BadInput(f"config.json must give attn_logit_softcapping, null or a number > 0, got {cap!r}")
    yield from decoder(files, **_shared(files.config), cap=None if cap is None else float(cap))


def _normed(files: WeightFiles) -> Iterator[Attention]:
    config = files.config
    types, width = config.get("layer_types"), grouped(config)[2]
    if not isinstance(types, list) or len(types) < number(config, "num_hidden_layers"):
        raise BadInput(f"config.json must give layer_types, one a layer, got {types!r}")

    def turned(layer: int) -> Rotation:
        return rotation(rope_of(config, types[layer]), width)

    yield from decoder(files, **_shared(config), by_head=NORM, turned=turned)


SHARED: dict[str, Any] = {"blocks": "layers", "refused": ("use_bidirectional_attention",)}
ARCHITECTURES = (
    Architecture("gemma2", Task.NEXT_TOKEN, _capped, implementation="eager", **SHARED),
    Architecture("gemma3_text", Task.NEXT_TOKEN, _normed, **SHARED),
)
