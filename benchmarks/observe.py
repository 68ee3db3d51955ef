"""What it costs to observe a checkpoint and to judge its rows, beside an eager forward pass that returns its attention.

    python benchmarks/observe.py [--out benchmarks/observe.json]

A random GPT-2 of a few layers of 12 heads of 64 (float32, one thread) reads one document, by turns: eagerly with
`output_attentions`, which keeps every matrix and says nothing of them, and as `localist observe` reads it, rows held
against every theorem. In CPU time, whatever else the machine does: at 1,024 tokens in one process, at 4,096 each in one
of its own, whose peak of memory is its own. Imports and figures are told apart. Exit status 1 where a limit is missed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

from common import in_turn, peak, quick_and_out, save, spread

HEADS, WIDTH, BLOCK, LETTERS = 12, 768, 128, "abcdefghijklmnopqrstuvwxyz"
WAYS = ("eager", "observed")
SIZES = {"1,024": (1024, 4, 3), "4,096": (4096, 2, 2)}  # tokens, layers, rounds
QUICK = {"1,024": (96, 1, 2), "4,096": (128, 1, 2)}
LIMITS = {"1,024": 1.5, "4,096": 2.5}
MOST_MEMORY = 0.25  # of the eager pass's, at the longer


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = process_time()
    found = work()
    return process_time() - start, found


def checkpoint_of(tokens: int, layers: int) -> Any:
    """A random one and the letters that it reads, in memory; the same for both ways."""
    import torch
    from tokenizers import Tokenizer, models
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast
    from transformers.utils import logging

    from empirical.checkpoints.loading import Checkpoint

    logging.set_verbosity_error()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    letters = {letter: at for at, letter in enumerate(LETTERS)}
    shape = {"n_layer": layers, "n_head": HEADS, "n_embd": WIDTH, "n_positions": tokens, "vocab_size": len(letters)}
    model = GPT2LMHeadModel(GPT2Config(**shape, bos_token_id=0, eos_token_id=0)).eval()
    reads = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE(letters, [])))
    return Checkpoint(model, reads, "")


def document(folder: Path, tokens: int) -> Path:
    """Letters in blocks by turns, a token each."""
    text = "".join(LETTERS[at * at % 26] for at in range(tokens))
    spans = [
        {"start": s, "end": s + BLOCK, "block": "abcd"[s // BLOCK % 4]} for s in range(0, tokens - BLOCK + 1, BLOCK)
    ]
    path = folder / "text.jsonl"
    path.write_text(json.dumps({"text": text, "spans": spans or [{"start": 0, "end": tokens // 2, "block": "a"}]}))
    return path


def ways(tokens: int, layers: int, folder: Path) -> dict[str, Callable[[], Any]]:
    """What is compared: the pass, and the dataset with its verdicts."""
    import torch

    from empirical.check.verdicts import check_dataset
    from empirical.checkpoints.loading import Request
    from empirical.checkpoints.observe import observe_checkpoint

    checkpoint, path = checkpoint_of(tokens, layers), document(folder, tokens)
    ids = checkpoint.tokenizer(json.loads(path.read_text())["text"], return_tensors="pt")["input_ids"]

    @torch.no_grad()
    def eager() -> Any:
        checkpoint.model.set_attn_implementation("eager")
        return checkpoint.model(input_ids=ids, output_attentions=True).attentions

    def observed() -> Any:
        checkpoint.model.set_attn_implementation("sdpa")
        dataset, *_ = observe_checkpoint(Request("a random GPT-2", path), checkpoint)
        return dataset, check_dataset(dataset)

    return {"eager": eager, "observed": observed}


def measure(way: str, tokens: int, layers: int) -> dict[str, Any]:
    """Seconds of CPU and bytes of one way in this process, and those of imports and figures."""
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory() as other:
        folder = Path(name)
        imports, work = timed(lambda: ways(tokens, layers, folder))
        ways(96, 1, Path(other))[way]()  # what is made once
        before = peak()
        seconds, found = timed(work[way])
        result = {"seconds": seconds, "bytes": peak() - before, "imports": imports}
        if way == "observed":
            from empirical.cli.runs import draw

            result["figures"] = timed(lambda: draw(found[0], folder / "figures"))[0]
        return result


def alone(way: str, tokens: int, layers: int) -> dict[str, Any]:
    """The same in a process of its own."""
    arguments = [sys.executable, __file__, "--one", way, str(tokens), str(layers)]
    done = subprocess.run(arguments, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{way} at {tokens} tokens ended with status {done.returncode}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def in_process(tokens: int, layers: int, rounds: int) -> dict[str, list[float]]:
    """Seconds of each round, by way."""
    with tempfile.TemporaryDirectory() as name:
        work = ways(tokens, layers, Path(name))
        return in_turn({way: lambda work=work[way]: timed(work)[0] for way in WAYS}, rounds)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="observing and judging, beside an eager forward pass")
    parser.add_argument("--one", nargs=3, metavar=("WAY", "TOKENS", "LAYERS"), help="measure this alone, print JSON")
    chosen = quick_and_out(parser, __file__, arguments)
    if chosen.one:
        print(json.dumps(measure(chosen.one[0], int(chosen.one[1]), int(chosen.one[2]))))
        return 0
    sizes = QUICK if chosen.quick else SIZES
    short = in_process(*sizes["1,024"])
    tokens, layers, rounds = sizes["4,096"]
    found = [{way: alone(way, tokens, layers) for way in WAYS} for _ in range(rounds)]
    long = {way: [one[way]["seconds"] for one in found] for way in WAYS}
    ratios = {
        name: spread([after / before for before, after in zip(seconds["eager"], seconds["observed"], strict=True)])
        for name, seconds in (("1,024", short), ("4,096", long))
    }
    last = found[-1]
    memory = last["observed"]["bytes"] / max(1, last["eager"]["bytes"])
    kept = 0 < memory <= MOST_MEMORY and all(ratios[name]["median"] <= limit for name, limit in LIMITS.items())
    result = {
        "ratios": ratios,
        "limits": LIMITS,
        "memory_ratio": memory,
        "limit_memory": MOST_MEMORY,
        "seconds": {"1,024": short, "4,096": long},
        "imports": last["observed"]["imports"],
        "figures": last["observed"]["figures"],
        "layers": {name: size[1] for name, size in sizes.items()},
        "kept": kept,
        "quick": chosen.quick,
    }
    save(result, chosen.out)
    for name, ratio in ratios.items():
        print(f"{name} tokens: {ratio['median']:.2f} times an eager forward pass, limit {LIMITS[name]:g}")
    print(f"memory {memory:.3f} of it; imports {result['imports']:.1f} s, figures {result['figures']:.1f} s")
    print("kept" if kept else "MISSED")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
