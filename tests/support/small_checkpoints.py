"""Small random Hugging Face models: one row a family, tested in every way, and variants for what weights say."""

from __future__ import annotations

import functools
import inspect
import json
from typing import Any

import torch

from empirical.checkpoints.architecture import Task
from empirical.checkpoints.architectures import ARCHITECTURES

VOCABULARY, WIDTH, HEADS, LAYERS, LONGEST = 48, 32, 4, 2, 96
SHAPE = {"hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "intermediate_size": 64}
LENGTH = {"max_position_embeddings": LONGEST}
SHAPE |= LENGTH
CLASSES = {"cls_token_id": 1, "sep_token_id": 2}
LLAMA = {**SHAPE, "num_key_value_heads": 2}
WINDOWS = {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 5}
GEMMA = {**LLAMA, **WINDOWS, "head_dim": 8, "query_pre_attn_scalar": 6}
PART = {"rope_type": "default", "rope_theta": 100.0, "partial_rotary_factor": 0.5}
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}  # fmt: skip
BART = {"d_model": WIDTH, "max_position_embeddings": LONGEST, "forced_eos_token_id": None, "decoder_start_token_id": 1}
BART |= {f"{part}_{what}": n for part in ("encoder", "decoder") for what, n in (("layers", LAYERS), ("ffn_dim", 64))}
T5 = {"num_layers": LAYERS, "d_ff": 64, "decoder_start_token_id": 0}
FAMILIES: dict[str, dict[str, Any]] = {
    "gpt2": {"n_layer": LAYERS, "n_head": HEADS, "n_embd": WIDTH, "n_positions": LONGEST},
    "llama": {**LLAMA, "rope_parameters": LLAMA3},
    "bert": SHAPE,
    "bart": {**BART, "encoder_attention_heads": HEADS, "decoder_attention_heads": HEADS},
    "t5": {**T5, "d_model": WIDTH, "num_heads": HEADS, "d_kv": 8},
    "qwen3": {**LLAMA, "head_dim": 12},
    "gemma2": {**GEMMA, "attn_logit_softcapping": 2.0},
    "gemma3_text": GEMMA,
    "gpt_neox": {**SHAPE, "rope_parameters": PART},
    "opt": {**SHAPE, "ffn_dim": 64, "word_embed_proj_dim": WIDTH},
    "distilbert": {"dim": WIDTH, "n_heads": HEADS, "n_layers": LAYERS, "hidden_dim": 64, **LENGTH},
    "phi": {**LLAMA, "rope_parameters": PART},
    "olmo": LLAMA,
    "modernbert": {**SHAPE, "local_attention": 8, "layer_types": ["full_attention", "sliding_attention"], **CLASSES},
}
VARIANTS: dict[str, dict[str, Any]] = {
    "gpt2 scaled by layer": {**FAMILIES["gpt2"], "scale_attn_by_inverse_layer_idx": True},
    "llama with biases": {**LLAMA, "attention_bias": True, "head_dim": 12},
    "mistral": {**LLAMA, "sliding_window": 5},
    "mixtral": {**LLAMA, "num_local_experts": 2, "num_experts_per_tok": 1, "experts_implementation": "eager"},
    "qwen2": LLAMA,
    "phi of normed heads": {**SHAPE, "rope_parameters": PART, "qk_layernorm": True},
    "phi3": {**LLAMA, "rope_parameters": {**PART, "partial_rotary_factor": 1.0}},
    "gpt_neox without biases": {**SHAPE, "rope_parameters": PART, "attention_bias": False},
    "modernbert with biases": {**SHAPE, "norm_bias": True, "attention_bias": True, **CLASSES},
    "qwen2 of two kinds": {**LLAMA, "use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1},
    "roberta": {**SHAPE, "max_position_embeddings": LONGEST + 2},
    "xlm-roberta": {**SHAPE, "max_position_embeddings": LONGEST + 2},
    "bart of unequal stacks": {**BART, "d_model": 24, "encoder_attention_heads": 3, "decoder_attention_heads": 2},
    "t5 of odd heads": {**T5, "d_model": 24, "num_heads": 3, "d_kv": 6},
}
ROWS = {**FAMILIES, **VARIANTS}


def architecture_of(name: str):
    return ARCHITECTURES[name.split()[0]]


def of_task(*tasks: Task) -> tuple[str, ...]:
    return tuple(name for name in FAMILIES if architecture_of(name).task in tasks)


def configuration(name: str, **more: Any) -> Any:
    from transformers import AutoConfig

    tokens = {"vocab_size": VOCABULARY, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    return AutoConfig.for_model(architecture_of(name).model_type, **tokens, **ROWS[name], **more)


def implementations(*names: str) -> list[tuple[str, str]]:
    """(name, implementation) of all that transformers has for these."""
    return [(name, one) for name in names for one in sorted(architecture_of(name).implementations)]


@functools.cache
def network(name: str, implementation: str | None = None) -> Any:
    """With its head, in float64, sharp enough to matter; the same weights whatever the implementation."""
    import transformers as hf
    from transformers.utils import logging

    logging.set_verbosity_error()
    torch.manual_seed(7)
    architecture = architecture_of(name)
    loader = getattr(hf, architecture.task.value)
    model = loader.from_config(configuration(name), attn_implementation=implementation or architecture.implementation)
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if parameter.ndim == 2 and "embed" not in parameter_name and "wte" not in parameter_name:
                parameter.mul_(4)
    return model.double().eval()


def model_of(name: str, seed: int = 0, dtype: torch.dtype = torch.float64):
    """Without its head; norms have gains around 1 and of both signs, shifts and biases are of order 1."""
    from transformers import AutoModel

    torch.manual_seed(seed)
    model = AutoModel.from_config(configuration(name)).eval()
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            size = torch.randn(parameter.shape, generator=random)
            if parameter.ndim == 1 and "norm" in parameter_name.lower() + ("norm" if ".ln_" in parameter_name else ""):
                parameter.copy_((1 if parameter_name.endswith("weight") else 0) + 0.8 * size)
            elif parameter.ndim == 1:
                parameter.copy_(size)
            else:
                parameter.copy_(0.3 * size if "relative" not in parameter_name else 4 * size)
    return model.to(dtype)


def cached_as(model: Any) -> str:
    """What the model calls a cache that it is given."""
    return "past_key_values" if "past_key_values" in inspect.signature(model.forward).parameters else "cache"


def saved(model, folder):
    model.save_pretrained(folder)
    return folder


def inputs(name: str, batch: int = 2, tokens: int = 16, seed: int = 0) -> dict[str, Any]:
    """Random tokens, and for an encoder and decoder some more of each."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(3, VOCABULARY, (batch, tokens), generator=generator)
    if architecture_of(name).task is not Task.SEQUENCE_TO_SEQUENCE:
        return {"input_ids": ids}
    return {"input_ids": ids, "decoder_input_ids": torch.randint(3, VOCABULARY, (batch, 9), generator=generator)}


def whole_checkpoint(name, folder):
    """A family's network and a tokenizer, as the command line reads them."""
    saved(network(name), folder)
    tokenizer(48).save_pretrained(folder)
    return folder


def write_documents(path, *cuts):
    """TEXT once for each cut: of block cat up to there, of dog from there on."""
    spans = ([{"start": 0, "end": cut, "block": "cat"}, {"start": cut, "end": 46, "block": "dog"}] for cut in cuts)
    path.write_text("\n".join(json.dumps({"text": TEXT, "spans": one}) for one in spans))
    return path


TEXT = "the cat sat on the mat. the dog ran to the cat. "


def tokenizer(size):
    """Letters and two marks, a token each."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = dict.fromkeys(["<pad>", "<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet())])
    chosen = [t for t in letters if len(t) > 1 or t in "Ġ.abcdefghijklmnopqrstuvwxyz"][:size]
    pairs = Tokenizer(models.BPE({t: at for at, t in enumerate(chosen)}, [], unk_token="<pad>"))
    pairs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    pairs.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=pairs, pad_token="<pad>", bos_token="<s>", eos_token="</s>")
