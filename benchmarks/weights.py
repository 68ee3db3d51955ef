"""What weights alone say of a model of a billion parameters: seconds and peak memory of the certification.

    python benchmarks/weights.py [--limit-gib 8] [--out benchmarks/weights.json]

A random model shaped as Llama 3.2 1B, in bfloat16, is written to a temporary folder shard by shard and certified, every
head, in a process of its own, whose time includes starting Python. Peak memory counts the pages of the files that were
mapped. Some heads are attacked as well, for how far the two ranges are apart. Exit status 1 where the limit is
exceeded, heads are missing, or an attack lies outside what weights say.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from common import quick_and_out, save
from rows import in_its_own_process

BILLION = {
    "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32,
    "num_key_value_heads": 8, "head_dim": 64, "vocab_size": 128_256,
}  # fmt: skip
SMALL = {
    "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 256,
}  # fmt: skip
SERVED = {"fidelity": 0.95, "n_keys": 1024, "n_block": 64}
ATTACKED_LAYERS = 1


def build(folder: Path, shape: dict[str, int]) -> int:
    """One shard a layer, one of the embeddings; the number of parameters."""
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    torch.set_num_threads(1)
    width, inner, heads, groups, features = (
        shape[name]
        for name in ("hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads", "head_dim")
    )
    rope = {"rope_type": "default", "rope_theta": 500_000.0}
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", **shape, "rope_parameters": rope}))
    sizes = {
        "self_attn.q_proj": (heads * features, width), "self_attn.k_proj": (groups * features, width),
        "self_attn.v_proj": (groups * features, width), "self_attn.o_proj": (width, heads * features),
        "mlp.gate_proj": (inner, width), "mlp.up_proj": (inner, width), "mlp.down_proj": (width, inner),
    }  # fmt: skip
    where: dict[str, str] = {}
    count = 0
    for layer in range(-1, shape["num_hidden_layers"]):
        base = f"model.layers.{layer}."
        tensors = {f"{base}{name}.weight": _random(size) for name, size in sizes.items()}
        norms = ("input_layernorm", "post_attention_layernorm")
        tensors |= {f"{base}{name}.weight": 1 + 0.5 * _random((width,), 1.0) for name in norms}
        if layer < 0:  # of its input and its output, which are one
            tensors = {"model.embed_tokens.weight": _random((shape["vocab_size"], width))}
            tensors["model.norm.weight"] = torch.ones(width, dtype=torch.bfloat16)
        shard = f"model-{layer + 1:05}.safetensors"
        save_file(tensors, folder / shard)
        where |= dict.fromkeys(tensors, shard)
        count += sum(tensor.numel() for tensor in tensors.values())
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    return count


def _random(size: tuple[int, ...], scale: float = 0.02) -> Any:
    import torch

    return torch.empty(size, dtype=torch.bfloat16).normal_(0, scale)


def certified(folder: Path) -> dict[str, Any]:
    """Every head from its weights; those of the first layers attacked, for the ratio of the two ranges."""
    from empirical.checkpoints.weights import certify, outside

    heads = list(certify(folder, **SERVED))
    attacked = list(certify(folder, **SERVED, layers=range(ATTACKED_LAYERS), attacks=2))
    ranges = [head.logit_range for head in heads]
    return {
        "heads": len(heads),
        "ranges": {"least": min(ranges), "median": median(ranges), "most": max(ranges)},
        "hard_mask_only": sum(head.hard_mask_only for head in heads),
        "attacked": len(attacked),
        "attack_reaches": median((head.attacked or 0.0) / head.logit_range for head in attacked),
        "outside": len(outside(attacked)),
    }


def measure(quick: bool) -> dict[str, Any]:
    shape = SMALL if quick else BILLION
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--folder", folder]
        parameters, *_ = in_its_own_process([*command, "--build", "small" if quick else "billion"])
        size = sum(path.stat().st_size for path in Path(folder).iterdir()) / 2**30
        said, seconds, processors, peak = in_its_own_process([*command, "--certify"])
    return {
        **json.loads(said),
        "parameters": int(parameters),
        "heads_expected": shape["num_hidden_layers"] * shape["num_attention_heads"],
        "file_gib": size,
        "seconds": seconds,
        "processor_seconds": processors,
        "peak_gib": peak,
    }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="seconds and memory of certifying a checkpoint from its weights")
    parser.add_argument("--limit-gib", type=float, default=8.0, help="resident memory allowed (default 8)")
    parser.add_argument("--folder", type=Path, help="of the checkpoint, for --build and --certify")
    parser.add_argument("--build", choices=("small", "billion"), help="only write a checkpoint")
    parser.add_argument("--certify", action="store_true", help="only certify one")
    parsed = quick_and_out(parser, __file__, arguments)
    if parsed.build:
        print(build(parsed.folder, SMALL if parsed.build == "small" else BILLION))
        return 0
    if parsed.certify:
        print(json.dumps(certified(parsed.folder)))
        return 0
    found = measure(parsed.quick)
    sound = found["heads"] == found["heads_expected"] and not found["outside"] and found["attacked"] > 0
    kept = sound and found["peak_gib"] <= parsed.limit_gib
    save({**found, "limit_gib": parsed.limit_gib, "quick": parsed.quick, "kept": kept}, parsed.out)
    print(
        f"{found['parameters']:,} parameters, {found['heads']} heads: {found['seconds']:.1f} s, "
        f"{found['peak_gib']:.2f} of {parsed.limit_gib:g} GiB (files {found['file_gib']:.2f} GiB); an attack reaches "
        f"{found['attack_reaches']:.3f} of what weights say, {found['outside']} outside; hard mask only: "
        f"{found['hard_mask_only']} heads: {'kept' if kept else 'MISSED'}"
    )
    return 0 if kept else 1


if __name__ == "__main__":
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy: small matrices gain nothing from threads
    sys.exit(main())
