"""BERT, RoBERTa and XLM-RoBERTa: LayerNorm after each layer, masked tokens to be guessed."""

from __future__ import annotations

from collections.abc import Iterator

from empirical.checkpoints.architecture import Architecture, Attention, Norm, Source, Task, features, number, prefix
from empirical.checkpoints.weight_files import WeightFiles
from empirical.errors import BadInput


def attentions(files: WeightFiles) -> Iterator[Attention]:
    config, start = files.config, prefix(files, "encoder.layer.0.attention.self.query.weight")
    if config.get("position_embedding_type", "absolute") != "absolute":
        raise BadInput(f"position_embedding_type must be 'absolute', got {config['position_embedding_type']!r}")
    heads = number(config, "num_attention_heads")
    each = features(number(config, "hidden_size"), heads)
    for layer in range(number(config, "num_hidden_layers")):
        before = f"encoder.layer.{layer - 1}.output.LayerNorm" if layer else "embeddings.LayerNorm"
        base = f"{start}encoder.layer.{layer}.attention.self."
        q, k = (Source(Norm(start + before), f"{base}{n}.weight", f"{base}{n}.bias") for n in ("query", "key"))
        yield Attention("self", layer, q, k, heads, heads, each, each**-0.5)


ARCHITECTURES = tuple(
    Architecture(
        name,
        Task.MASKED_TOKEN,
        attentions,
        blocks="encoder.layer",
        refused=("is_decoder",),
        after_padding=name != "bert",
    )
    for name in ("bert", "roberta", "xlm-roberta")
)
