"""T5: an encoder and a decoder, RMSNorm before each layer, no scaling, a table of relative positions on the logits."""

from __future__ import annotations

from collections.abc import Iterator

from empirical.checkpoints.architecture import Architecture, Attention, Norm, Source, Task, number, prefix
from empirical.checkpoints.weight_files import WeightFiles


def attentions(files: WeightFiles) -> Iterator[Attention]:
    config, start = files.config, prefix(files, "encoder.block.0.layer.0.SelfAttention.q.weight")
    heads, each = number(config, "num_heads"), number(config, "d_kv")

    def one(kind: str, layer: int, stack: str, part: int, module: str, key_norm: str | None) -> Attention:
        base = f"{start}{stack}.block.{layer}.layer.{part}."
        own, other = f"{base}layer_norm", f"{base}layer_norm" if key_norm is None else start + key_norm
        q, k = (
            Source(Norm(norm, centred=False, shift=False), f"{base}{module}.{which}.weight")
            for norm, which in ((own, "q"), (other, "k"))
        )
        table = f"{start}{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        return Attention(kind, layer, q, k, heads, heads, each, 1.0, None if kind == "cross" else table)

    for stack, kind, names in (
        ("encoder", "encoder", ("num_layers",)),
        ("decoder", "self", ("num_decoder_layers", "num_layers")),
    ):
        for layer in range(number(config, *names)):
            yield one(kind, layer, stack, 0, "SelfAttention", None)
            if kind == "self":
                yield one("cross", layer, stack, 1, "EncDecAttention", "encoder.final_layer_norm")


ARCHITECTURES = (Architecture("t5", Task.SEQUENCE_TO_SEQUENCE, attentions, cross="EncDecAttention"),)
