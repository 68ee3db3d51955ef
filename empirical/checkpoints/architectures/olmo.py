"""OLMo: as Llama, with a LayerNorm that stores nothing."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from empirical.checkpoints.architecture import Architecture, Attention, Norm, Task
from empirical.checkpoints.architectures.llama import decoder
from empirical.checkpoints.weight_files import WeightFiles
from empirical.errors import BadInput


def attentions(files: WeightFiles) -> Iterator[Attention]:
    config = files.config
    if config.get("clip_qkv") is not None:
        raise BadInput(f"clip_qkv must be null, got {config['clip_qkv']!r}")
    norm = partial(Norm, gain=False, shift=False)
    yield from decoder(files, norm=norm, biased=bool(config.get("attention_bias")))


ARCHITECTURES = (Architecture("olmo", Task.NEXT_TOKEN, attentions, blocks="layers"),)
