"""What prices of locality cost, beside a forward and backward pass of the same model and attention implementation.

    python benchmarks/gates.py [--only PART ...] [--out benchmarks/gates.json]

map      12 layers, d 768, 1,024 tokens, random weights: critical penalties of every gate and pair, by turns with a pass
price    two such layers: the whole price along the diagonal, a pass a node
memory   8,192 tokens of one layer in a process of its own: what the map takes beyond the model, and how that grows
llama    Llama-3.2-1B's exact configuration with random bfloat16 weights: the map once, and its peak
solver   a GPT-2 trained for it: the largest residual over the critical penalty, and gradients a penalty

In CPU time, one thread. A part that is left out keeps what the JSON holds of it. Exit status 1 where a limit is missed.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Callable
from math import log
from time import process_time
from typing import Any

from common import in_turn, quick_and_out, save, spread

LIMIT_MAP, LIMIT_PRICE, LIMIT_RESIDUAL, LIMIT_GRADIENTS, LIMIT_GROWTH = 1.3, 1.5, 1e-4, 60, 1.3
GIB = 2**30
LLAMA: dict[str, Any] = {
    "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32, "head_dim": 64,
    "num_key_value_heads": 8, "vocab_size": 128256, "max_position_embeddings": 131072, "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True, "rope_parameters": {
        "rope_type": "llama3", "rope_theta": 500000.0, "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    },
}  # fmt: skip


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def timed(work: Callable[[], Any]) -> float:
    start = process_time()
    work()
    return process_time() - start


def gpt2(layers: int, width: int, heads: int, tokens: int, words: int) -> tuple[Any, Any, Any]:
    """A random model, a document, and the blocks of its tokens, by turns of 16."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel
    from transformers.utils import logging

    logging.set_verbosity_error()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    shape: dict[str, Any] = {
        "n_layer": layers,
        "n_head": heads,
        "n_embd": width,
        "n_positions": tokens,
        "vocab_size": words,
    }
    model = GPT2LMHeadModel(GPT2Config(**shape, bos_token_id=0, eos_token_id=0)).eval()
    return model, torch.randint(0, words, (1, tokens)), (torch.arange(tokens) // 16 % 4)[None]


def pass_of(model: Any, ids: Any) -> Callable[[], Any]:
    """Forward and backward, of the weights."""

    def work() -> None:
        model.zero_grad()
        model(input_ids=ids, labels=ids, use_cache=False).loss.backward()

    return work


def the_map(quick: bool) -> dict[str, Any]:
    from empirical.checkpoints.gate_prices import gate_problem
    from empirical.gates.pair_map import cell_map

    model, ids, blocks = gpt2(*((1, 32, 2, 64, 64) if quick else (12, 768, 12, 1024, 50257)))
    problem = gate_problem(model, {"input_ids": ids}, blocks)
    work = {"pass": pass_of(model, ids), "map": lambda: cell_map(problem)}
    seconds = in_turn({name: lambda one=one: timed(one) for name, one in work.items()}, 3)
    ratio = spread([b / a for a, b in zip(seconds["pass"], seconds["map"], strict=True)])
    return {"ratio": ratio, "seconds": seconds, "limit": LIMIT_MAP, "kept": ratio["median"] <= LIMIT_MAP}


def the_price(quick: bool) -> dict[str, Any]:
    from empirical.checkpoints.gate_prices import price

    model, ids, blocks = gpt2(*((1, 32, 2, 64, 64) if quick else (2, 768, 12, 1024, 2048)))
    whole, found = pass_of(model, ids), []

    def priced() -> None:
        found.append(price(model, {"input_ids": ids}, blocks, path=("diagonal",), ablations=False))

    whole()
    alone = [timed(whole) for _ in range(3)]
    seconds = timed(priced)
    nodes, said = int(found[0].attrs["share_nodes"]), found[0].attrs
    ratio = seconds / sorted(alone)[1] / nodes
    met = abs(said["share_defect"]) <= 1e-3 * max(abs(said["change"]), 0.01)
    return {
        "ratio": ratio, "nodes": nodes, "seconds": seconds, "pass_seconds": alone, "defect": said["share_defect"],
        "change": said["change"], "limit": LIMIT_PRICE, "kept": bool(ratio <= LIMIT_PRICE and met),
    }  # fmt: skip


def the_memory(quick: bool) -> dict[str, Any]:
    sizes = (256, 512) if quick else (2048, 4096, 8192)
    taken = [_alone("map", size)["bytes"] for size in sizes]
    growth = log(max(1, taken[-1]) / max(1, taken[-2])) / log(sizes[-1] / sizes[-2])
    found = {"tokens": sizes, "bytes": taken, "exponent": growth, "limit": LIMIT_GROWTH}
    return {**found, "kept": growth <= LIMIT_GROWTH}


def the_llama(quick: bool) -> dict[str, Any]:
    return {**_alone("llama", 16 if quick else 128), "kept": True}


def one(way: str, tokens: int) -> dict[str, Any]:
    """Bytes of a map in this process, beyond the model."""
    import torch

    from empirical.checkpoints.gate_prices import gate_problem
    from empirical.gates.pair_map import cell_map

    if way == "map":
        model, ids, blocks = gpt2(1, 64, 2, tokens, 256)
    else:
        from transformers import LlamaConfig, LlamaForCausalLM

        torch.set_num_threads(1)
        torch.manual_seed(0)
        torch.set_default_dtype(torch.bfloat16)
        model = LlamaForCausalLM(LlamaConfig(**LLAMA)).eval().requires_grad_(False)
        torch.set_default_dtype(torch.float32)
        ids, blocks = torch.randint(0, 1000, (1, tokens)), (torch.arange(tokens) // 16 % 4)[None]
    problem = gate_problem(model, {"input_ids": ids[:, :32]}, blocks[:, :32])
    cell_map(problem)  # what is made once
    before = peak()
    problem, start = gate_problem(model, {"input_ids": ids}, blocks), process_time()
    found = cell_map(problem)
    return {
        "bytes": peak() - before, "peak": peak(), "seconds": process_time() - start, "tokens": tokens,
        "parameters": sum(p.numel() for p in model.parameters()),
        "lambda_crit": found.lambda_crit(problem),
    }  # fmt: skip


def _alone(way: str, tokens: int) -> dict[str, Any]:
    done = subprocess.run([sys.executable, __file__, "--one", way, str(tokens)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{way} at {tokens} tokens ended with status {done.returncode}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def the_solver(quick: bool) -> dict[str, Any]:
    """Two streams that count in turns, as the tests train it."""
    import torch

    from empirical.checkpoints.gate_prices import gate_problem
    from empirical.gates.along_penalties import penalty_path

    model, _, _ = gpt2(2, 16, 2, 48, 24)
    model.double()
    ids, _ = _streams(torch.Generator().manual_seed(1), 32)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    for _ in range(5 if quick else 200):
        optimizer.zero_grad()
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
    chosen = _streams(torch.Generator().manual_seed(2), 8)
    problem = gate_problem(model, {"input_ids": chosen[0]}, chosen[1])
    path = penalty_path(problem)
    residual = float(path["residual"].max()) / path.attrs["lambda_crit"]
    gradients = int(path["gradients"].max())
    return {
        "residual": residual, "gradients": gradients, "penalties": int(path["penalty"].size * path["start"].size),
        "limit_residual": LIMIT_RESIDUAL, "limit_gradients": LIMIT_GRADIENTS,
        "kept": residual <= LIMIT_RESIDUAL and gradients <= LIMIT_GRADIENTS,
    }  # fmt: skip


def _streams(random: Any, documents: int) -> tuple[Any, Any]:
    import torch

    blocks = torch.arange(48) // 4 % 2
    place = torch.stack([(blocks == kind).cumsum(0) - 1 for kind in range(2)])[blocks, torch.arange(48)]
    start, step = (torch.randint(low, high, (documents, 2), generator=random) for low, high in ((0, 12), (1, 4)))
    return (start[:, blocks] + step[:, blocks] * place) % 12 + 12 * blocks, blocks.expand(documents, -1)


PARTS = {"map": the_map, "price": the_price, "memory": the_memory, "llama": the_llama, "solver": the_solver}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="prices of locality beside a forward and backward pass")
    parser.add_argument("--only", nargs="+", choices=PARTS, metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--one", nargs=2, metavar=("WAY", "TOKENS"), help="measure this alone, and print JSON")
    chosen = quick_and_out(parser, __file__, arguments)
    if chosen.one:
        print(json.dumps(one(chosen.one[0], int(chosen.one[1]))))
        return 0
    found = json.loads(chosen.out.read_text(encoding="utf-8")) if chosen.only and chosen.out.exists() else {}
    for name in chosen.only or PARTS:
        found[name] = PARTS[name](chosen.quick)
        print(name, json.dumps({key: value for key, value in found[name].items() if key != "seconds"}), flush=True)
        kept = all(found[part]["kept"] for part in PARTS if part in found)
        save({part: found[part] for part in PARTS if part in found} | {"kept": kept, "quick": chosen.quick}, chosen.out)
    if "llama" in found:
        print(f"Llama-3.2-1B: {found['llama']['peak'] / GIB:.2f} GiB at {found['llama']['tokens']} tokens")
    return 0 if all(found[part]["kept"] for part in PARTS if part in found) else 1


if __name__ == "__main__":
    sys.exit(main())
