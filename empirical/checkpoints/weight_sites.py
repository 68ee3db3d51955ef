"""Where queries and keys stand in the weights of known architectures, and what normalises their inputs.

A pre-norm layer reads the output of its own norm; after a post-norm layer the next reads that layer's last norm, and
the first reads the norm of the embeddings. Cross attention reads its keys from the encoder's last norm. Each attention
is as transformers computes it, in evaluation; whatever else a configuration asks for is refused by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from empirical.checkpoints.weight_files import WeightFiles
from empirical.errors import BadInput

ROTARY = ("llama", "mistral", "qwen2")
CENTRED = ("gpt2", "bert", "roberta", "bart")  # LayerNorm; the others have RMSNorm
COVERED = (*CENTRED, *ROTARY, "t5")
KEEP_LENGTHS = ("default", "linear", "dynamic", "llama3")  # rotary kinds whose cosines and sines are not scaled


@dataclass(frozen=True)
class Source:
    """Where queries or keys of one attention stand: norm of the layer's input, projection, first row of the latter."""

    norm: str
    weight: str
    bias: str | None = None
    first: int = 0


@dataclass(frozen=True)
class Attention:
    """One attention of the model; kinds and layers are those of `empirical.checkpoints`."""

    kind: str  # "self", "encoder" or "cross"
    layer: int
    query: Source
    key: Source
    heads: int
    groups: int  # of key heads
    width: int  # features of a head
    scaling: float
    positions: str | None = None  # a table (buckets, heads) that is added to the logits


def attentions(files: WeightFiles) -> tuple[Attention, ...]:
    """Every attention that the configuration asks for. Raises BadInput for what is not covered, by name."""
    config = files.config
    kind = config.get("model_type")
    if kind not in COVERED:
        raise BadInput(f"model must be of a covered architecture ({', '.join(COVERED)}), got {kind!r}")
    for name in ("auto_map", "quantization_config", "add_cross_attention", "pruned_heads"):
        if config.get(name):
            raise BadInput(f"config.json must not ask for {name}, which is not covered, got {config[name]!r}")
    if kind in ROTARY:
        return _llama(files)
    return {"gpt2": _gpt2, "bert": _bert, "roberta": _bert, "bart": _bart, "t5": _t5}[kind](files)


def _number(config: dict[str, Any], *names: str) -> int:
    found = next((config[name] for name in names if config.get(name) is not None), None)
    if not isinstance(found, int) or isinstance(found, bool) or not 1 <= found <= 10**6:
        raise BadInput(f"config.json must give {names[0]}, a whole number in [1, 10^6], got {found!r}")
    return found


def _heads(width: int, heads: int) -> int:
    if width % heads:
        raise BadInput(f"width must be a multiple of the number of heads, got {width} and {heads}")
    return width // heads


def _prefix(files: WeightFiles, ending: str) -> str:
    """What comes before the names of the base model: nothing, "transformer." and the like."""
    found = [name.removesuffix(ending) for name in files.shard_of if name.endswith(ending)]
    plain = [p for p in found if p == "" or (p.endswith(".") and p.count(".") == 1)]
    if len(plain) != 1:
        raise BadInput(f"weights must hold one {ending}, got {len(plain)}")
    return plain[0]


def _gpt2(files: WeightFiles) -> tuple[Attention, ...]:
    config, start = files.config, _prefix(files, "h.0.attn.c_attn.weight")
    width, heads = _number(config, "n_embd", "hidden_size"), _number(config, "n_head", "num_attention_heads")
    features = _heads(width, heads)
    scaling = features**-0.5 if config.get("scale_attn_weights", True) else 1.0

    def one(layer: int) -> Attention:
        base = f"{start}h.{layer}."
        q, k = (Source(f"{base}ln_1", f"{base}attn.c_attn.weight", f"{base}attn.c_attn.bias", f) for f in (0, width))
        by = layer + 1 if config.get("scale_attn_by_inverse_layer_idx") else 1
        return Attention("self", layer, q, k, heads, heads, features, scaling / by)

    return tuple(one(layer) for layer in range(_number(config, "n_layer", "num_hidden_layers")))


def rope_of(config: dict[str, Any]) -> dict[str, Any]:
    """What a configuration says of its rotary positions, under its newer name or its older one."""
    found = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if not isinstance(found, dict):
        raise BadInput(f"rope_parameters must be an object, got {found!r}")
    return found


def _llama(files: WeightFiles) -> tuple[Attention, ...]:
    config, start = files.config, _prefix(files, "layers.0.self_attn.q_proj.weight")
    heads = _number(config, "num_attention_heads")
    groups = _number(config, "num_key_value_heads", "num_attention_heads")
    if heads % groups:
        raise BadInput(f"num_attention_heads must be a multiple of num_key_value_heads, got {heads} and {groups}")
    given = config.get("head_dim")
    features = _number(config, "head_dim") if given else _heads(_number(config, "hidden_size"), heads)
    rope = rope_of(config)
    turned = rope.get("rope_type", rope.get("type", "default"))
    if turned not in KEEP_LENGTHS:
        raise BadInput(f"rope_type must be one of {', '.join(KEEP_LENGTHS)}, got {turned!r}")
    part = rope.get("partial_rotary_factor", config.get("partial_rotary_factor"))
    if part not in (None, 1, 1.0):
        raise BadInput(f"partial_rotary_factor must be 1, got {part!r}")
    biased = config["model_type"] == "qwen2" or (config["model_type"] == "llama" and bool(config.get("attention_bias")))

    def source(layer: int, which: str) -> Source:
        base = f"{start}layers.{layer}."
        bias = f"{base}self_attn.{which}_proj.bias" if biased else None
        return Source(f"{base}input_layernorm", f"{base}self_attn.{which}_proj.weight", bias)

    return tuple(
        Attention("self", layer, source(layer, "q"), source(layer, "k"), heads, groups, features, features**-0.5)
        for layer in range(_number(config, "num_hidden_layers"))
    )


def _bert(files: WeightFiles) -> tuple[Attention, ...]:
    config, start = files.config, _prefix(files, "encoder.layer.0.attention.self.query.weight")
    if config.get("position_embedding_type", "absolute") != "absolute":
        raise BadInput(f"position_embedding_type must be 'absolute', got {config['position_embedding_type']!r}")
    heads = _number(config, "num_attention_heads")
    features = _heads(_number(config, "hidden_size"), heads)

    def one(layer: int) -> Attention:
        before = f"encoder.layer.{layer - 1}.output.LayerNorm" if layer else "embeddings.LayerNorm"
        base = f"{start}encoder.layer.{layer}.attention.self."
        q, k = (Source(start + before, f"{base}{n}.weight", f"{base}{n}.bias") for n in ("query", "key"))
        return Attention("self", layer, q, k, heads, heads, features, features**-0.5)

    return tuple(one(layer) for layer in range(_number(config, "num_hidden_layers")))


def _bart(files: WeightFiles) -> tuple[Attention, ...]:
    config, start = files.config, _prefix(files, "encoder.layers.0.self_attn.q_proj.weight")
    width, last = _number(config, "d_model"), _number(config, "encoder_layers") - 1

    def one(kind: str, layer: int, stack: str, module: str, query_norm: str, key_norm: str) -> Attention:
        base = f"{start}{stack}.layers.{layer}.{module}."
        q, k = (
            Source(start + norm, f"{base}{n}_proj.weight", f"{base}{n}_proj.bias")
            for norm, n in ((query_norm, "q"), (key_norm, "k"))
        )
        heads = _number(config, f"{stack}_attention_heads")
        return Attention(kind, layer, q, k, heads, heads, _heads(width, heads), _heads(width, heads) ** -0.5)

    def found() -> Iterator[Attention]:
        for stack, kind in (("encoder", "encoder"), ("decoder", "self")):
            for layer in range(_number(config, f"{stack}_layers")):
                before = f"{stack}.layers.{layer - 1}.final_layer_norm" if layer else f"{stack}.layernorm_embedding"
                yield one(kind, layer, stack, "self_attn", before, before)
                if kind == "self":
                    own = f"decoder.layers.{layer}.self_attn_layer_norm"
                    yield one("cross", layer, stack, "encoder_attn", own, f"encoder.layers.{last}.final_layer_norm")

    return tuple(found())


def _t5(files: WeightFiles) -> tuple[Attention, ...]:
    config, start = files.config, _prefix(files, "encoder.block.0.layer.0.SelfAttention.q.weight")
    heads, features = _number(config, "num_heads"), _number(config, "d_kv")

    def one(kind: str, layer: int, stack: str, part: int, module: str, key_norm: str | None) -> Attention:
        base = f"{start}{stack}.block.{layer}.layer.{part}."
        q = Source(f"{base}layer_norm", f"{base}{module}.q.weight")
        k = Source(f"{base}layer_norm" if key_norm is None else start + key_norm, f"{base}{module}.k.weight")
        table = f"{start}{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        return Attention(kind, layer, q, k, heads, heads, features, 1.0, None if kind == "cross" else table)

    def found() -> Iterator[Attention]:
        for stack, kind, names in (
            ("encoder", "encoder", ("num_layers",)),
            ("decoder", "self", ("num_decoder_layers", "num_layers")),
        ):
            for layer in range(_number(config, *names)):
                yield one(kind, layer, stack, 0, "SelfAttention", None)
                if kind == "self":
                    yield one("cross", layer, stack, 1, "EncDecAttention", "encoder.final_layer_norm")

    return tuple(found())
