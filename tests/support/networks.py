"""Small random Hugging Face models, one of each architecture, with attention sharp enough to matter."""

from __future__ import annotations

import functools
from typing import Any

import torch

VOCABULARY, WIDTH, HEADS, LAYERS, LONGEST = 48, 32, 4, 2, 96


def _config(name: str, implementation: str) -> Any:
    import transformers as hf

    common = {"vocab_size": VOCABULARY, "attn_implementation": implementation}
    tokens = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    shape = {"num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "hidden_size": WIDTH}
    if name == "gpt2":
        return hf.GPT2Config(n_layer=LAYERS, n_head=HEADS, n_embd=WIDTH, n_positions=LONGEST, **common, **tokens)
    if name == "llama":
        return hf.LlamaConfig(num_key_value_heads=2, intermediate_size=64, **shape, **common, **tokens)
    if name == "bert":
        return hf.BertConfig(intermediate_size=64, max_position_embeddings=LONGEST, **shape, **common, pad_token_id=0)
    if name == "bart":
        each = {f"{part}_{what}": n for part in ("encoder", "decoder") for what, n in PARTS.items()}
        more = {"d_model": WIDTH, "max_position_embeddings": LONGEST, "decoder_start_token_id": 1}
        return hf.BartConfig(**each, **more, **common, **tokens, forced_eos_token_id=None)
    more = {"d_model": WIDTH, "d_kv": 8, "d_ff": 64, "num_layers": LAYERS, "num_heads": HEADS}
    return hf.T5Config(**more, **common, pad_token_id=0, eos_token_id=2, decoder_start_token_id=0)


PARTS = {"layers": LAYERS, "attention_heads": HEADS, "ffn_dim": 64}
CLASSES = {
    "gpt2": "GPT2LMHeadModel",
    "llama": "LlamaForCausalLM",
    "bert": "BertForMaskedLM",
    "bart": "BartForConditionalGeneration",
    "t5": "T5ForConditionalGeneration",
}


@functools.cache
def network(name: str, implementation: str = "sdpa") -> Any:
    """The same weights whatever the implementation, in float64."""
    import transformers as hf
    from transformers.utils import logging

    logging.set_verbosity_error()
    torch.manual_seed(7)
    model = getattr(hf, CLASSES[name])(_config(name, implementation))
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if parameter.ndim == 2 and "embed" not in parameter_name and "wte" not in parameter_name:
                parameter.mul_(4)
    return model.double().eval()


def inputs(name: str, batch: int = 2, tokens: int = 16, seed: int = 0) -> dict[str, Any]:
    """Random tokens, and for an encoder and decoder some more of each."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(3, VOCABULARY, (batch, tokens), generator=generator)
    if name not in ("bart", "t5"):
        return {"input_ids": ids}
    return {"input_ids": ids, "decoder_input_ids": torch.randint(3, VOCABULARY, (batch, 9), generator=generator)}
