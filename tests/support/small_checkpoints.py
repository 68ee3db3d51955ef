"""Small random checkpoints of every covered architecture, in which gains, shifts and biases are large."""

from __future__ import annotations

import torch

WIDE = {"hidden_size": 32, "intermediate_size": 16, "vocab_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4}
LLAMA = {**WIDE, "num_key_value_heads": 2, "max_position_embeddings": 64}
SIX = {"d_model": 24, "vocab_size": 40}


def configurations():
    from transformers import (
        BartConfig,
        BertConfig,
        GPT2Config,
        LlamaConfig,
        MistralConfig,
        Qwen2Config,
        RobertaConfig,
        T5Config,
    )

    ends = {"bos_token_id": 1, "eos_token_id": 2}
    llama3 = {
        "rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32,
    }  # fmt: skip
    return {
        "gpt2": GPT2Config(
            n_layer=2, n_head=4, n_embd=32, vocab_size=40, n_positions=64, scale_attn_by_inverse_layer_idx=True, **ends
        ),
        "llama": LlamaConfig(**LLAMA, rope_parameters=llama3),
        "llama with biases": LlamaConfig(**LLAMA, attention_bias=True, head_dim=12),
        "mistral": MistralConfig(**LLAMA, sliding_window=5),
        "qwen2": Qwen2Config(**LLAMA),
        "bert": BertConfig(**WIDE),
        "roberta": RobertaConfig(**WIDE, max_position_embeddings=66, pad_token_id=0),
        "bart": BartConfig(
            **SIX, encoder_layers=2, decoder_layers=2, encoder_attention_heads=3, decoder_attention_heads=2,
            encoder_ffn_dim=16, decoder_ffn_dim=16,
        ),
        "t5": T5Config(**SIX, num_layers=2, num_heads=3, d_kv=6, d_ff=16),
    }  # fmt: skip


def model_of(name: str, seed: int = 0, dtype: torch.dtype = torch.float64):
    """A model whose norms have gains around 1 and of both signs, and whose shifts and biases are of order 1."""
    from transformers import AutoModel

    torch.manual_seed(seed)
    model = AutoModel.from_config(configurations()[name]).eval()
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


def saved(model, folder):
    model.save_pretrained(folder)
    return folder


def tokens_of(model, count: int = 6, length: int = 24):
    random = torch.Generator().manual_seed(1)
    ids = torch.randint(3, 40, (count, length), generator=random)
    inputs = {"input_ids": ids}
    if model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = ids.flip(0)
    return inputs
