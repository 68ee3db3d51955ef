"""A layer of a long context observed without its matrix: seconds and peak memory, against `output_attentions`.

    python benchmarks/streaming.py [--limit-gib 2] [--out benchmarks/streaming.json]

A random GPT-2-configured layer (2 heads of 32, float32) reads n tokens in a process of its own, twice: with its
attention matrices returned and every row field taken from them, and streamed. The matrices stop at 4,096 tokens; the
stream goes on to 32,768, whose peak is judged: what the process takes beyond what it held before the forward pass.
Exit status 1 where the limit is exceeded or the two ways differ.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from math import log
from typing import Any

from common import peak, quick_and_out, save

MATRICES, STREAMED = (512, 1024, 2048, 4096), (512, 1024, 2048, 4096, 32768)
HEADS, WIDTH, BLOCK = 2, 64, 128  # heads, features, tokens a block
GIB = 2**30


def measure(way: str, tokens: int) -> dict[str, Any]:
    """Seconds and bytes of one way at one length, and two sums of what it saw."""
    import torch
    from transformers import GPT2Config, GPT2Model
    from transformers.utils import logging

    from empirical.checkpoints.contexts import observing
    from empirical.observe.rows import row_statistics

    logging.set_verbosity_error()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    implementation = "eager" if way == "matrices" else "sdpa"
    shape = {"n_layer": 1, "n_head": HEADS, "n_embd": WIDTH, "n_positions": tokens, "vocab_size": 256}
    model = GPT2Model(GPT2Config(**shape, attn_implementation=implementation)).eval()
    ids = torch.randint(0, 256, (1, tokens))
    labels = (torch.arange(tokens) // BLOCK % 4)[None]
    with torch.no_grad():
        model(input_ids=ids[:, :8])
        before, start = peak(), time.perf_counter()
        if way == "matrices":
            weights = model(input_ids=ids, output_attentions=True).attentions[0]
            inside = (labels[:, :, None] == labels[:, None])[:, None]
            rows = row_statistics(weights.double().log(), inside, weights > 0, 1, 1.0)
        else:
            with observing(model, labels) as found:
                model(input_ids=ids)
            rows = found["h.0.attn"]
    seconds = time.perf_counter() - start
    valid = rows["valid"]
    sums = [float(rows[name][valid].sum()) for name in ("entropy_nats", "fidelity")]
    return {"seconds": seconds, "bytes": peak() - before, "sums": sums}


def alone(way: str, tokens: int) -> dict[str, Any]:
    """The same in a process of its own, whose peak is its own."""
    done = subprocess.run([sys.executable, __file__, "--one", way, str(tokens)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{way} at {tokens} tokens ended with status {done.returncode}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def exponent(sizes: list[int], values: list[float]) -> float:
    """The slope between the last two lengths."""
    return log(values[-1] / values[-2]) / log(sizes[-1] / sizes[-2])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="a long context observed without its matrix")
    parser.add_argument("--limit-gib", type=float, default=2.0)
    parser.add_argument("--one", nargs=2, metavar=("WAY", "TOKENS"), help="measure this alone, and print JSON")
    chosen = quick_and_out(parser, __file__, arguments)
    if chosen.one:
        print(json.dumps(measure(chosen.one[0], int(chosen.one[1]))))
        return 0
    sizes = {"matrices": [256, 512], "streamed": [256, 512]} if chosen.quick else {}
    sizes = sizes or {"matrices": list(MATRICES), "streamed": list(STREAMED)}
    found = {way: {tokens: alone(way, tokens) for tokens in lengths} for way, lengths in sizes.items()}
    for way, lengths in found.items():
        for tokens, one in lengths.items():
            print(f"{way:10}{tokens:7,} tokens{one['seconds']:9.2f} s{one['bytes'] / GIB:8.3f} GiB", flush=True)
    shared = [n for n in sizes["matrices"] if n in found["streamed"]]
    apart = max(
        abs(a / b - 1)
        for n in shared
        for a, b in zip(found["matrices"][n]["sums"], found["streamed"][n]["sums"], strict=True)
    )
    longest = max(sizes["streamed"])
    gib = found["streamed"][longest]["bytes"] / GIB
    kept = gib <= chosen.limit_gib and apart < 1e-5  # float32 attention, float64 statistics
    last = shared[-1]
    result = {
        "found": found,
        "longest": longest,
        "peak_gib": gib,
        "limit_gib": chosen.limit_gib,
        "memory_ratio": found["matrices"][last]["bytes"] / max(1, found["streamed"][last]["bytes"]),
        "time_ratio": found["matrices"][last]["seconds"] / found["streamed"][last]["seconds"],
        "compared_at": last,
        "memory_exponent": exponent(shared, [max(1, found["matrices"][n]["bytes"]) for n in shared]),
        "difference": apart,
        "kept": kept,
        "quick": chosen.quick,
    }
    save(result, chosen.out)
    print(f"{longest:,} tokens in {gib:.3f} GiB, limit {chosen.limit_gib:g}: {'kept' if kept else 'MISSED'}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
