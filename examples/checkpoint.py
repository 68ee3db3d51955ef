"""A small GPT-2 trained on real text in two minutes, then observed and dialled as any checkpoint is.

    python examples/checkpoint.py --out runs/checkpoint [--steps 1000]

Python's own documentation in four topic groups, interleaved passage by passage: each passage is a span of its group.
The folder then holds model/ (config, safetensors, tokenizer), heldout.jsonl (documents with spans) and observed/, by

    localist observe OUT/model --text OUT/heldout.jsonl --dial 0.5 0.9 0.99 0.999 1 --out OUT/observed
    localist generate OUT/model --prompt OUT/heldout.jsonl --dial 0.9
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch

GROUPS, PASSAGE, VOCABULARY, CONTEXT = 4, 160, 1024, 256  # passages in characters, context in tokens
DIALS = ("0.5", "0.8", "0.9", "0.95", "0.99", "0.999", "1")


def groups() -> list[str]:
    """The topics of Python's documentation in groups of about the same length, the largest topic first."""
    from empirical.laboratory.text import read_topics

    topics = sorted(read_topics(None).values(), key=lambda text: (-len(text), text))
    found = [""] * GROUPS
    for text in topics:
        smallest = min(range(GROUPS), key=lambda g: len(found[g]))
        found[smallest] += " ".join(text.split()) + " "
    return found


def documents(texts: list[str], passages: int) -> list[dict[str, Any]]:
    """Passages of the groups in turn, so many a document; a document a group runs out of is left away."""
    found, step = [], PASSAGE * passages // GROUPS
    for at in range(0, min(map(len, texts)) - step, step):
        text, spans = "", []
        for number in range(passages):
            group, turn = number % GROUPS, number // GROUPS
            part = texts[group][at + turn * PASSAGE :][:PASSAGE]
            spans.append({"start": len(text), "end": len(text) + len(part), "block": f"group {group + 1}"})
            text += part + "\n"
        found.append({"text": text, "spans": spans})
    return found


def tokenizer_of(texts: list[str]) -> Any:
    """Byte-level pairs, as GPT-2 has them, learned from the texts."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    pairs = Tokenizer(models.BPE())
    pairs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    pairs.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    pairs.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=VOCABULARY, initial_alphabet=alphabet, show_progress=False)
    )
    return PreTrainedTokenizerFast(tokenizer_object=pairs)


def train(texts: list[str], tokenizer: Any, steps: int, batch: int = 8) -> Any:
    """A GPT-2 of three layers by AdamW; the learning rate falls linearly."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(1)
    shape = {"n_layer": 3, "n_head": 4, "n_embd": 96, "n_positions": CONTEXT}
    quiet = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0, "bos_token_id": 0, "eos_token_id": 0}
    model = GPT2LMHeadModel(GPT2Config(vocab_size=VOCABULARY, **shape, **quiet))
    stream = torch.cat(
        [torch.tensor(tokenizer(one["text"])["input_ids"]) for one in documents(texts, passages=4 * GROUPS)]
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    generator = torch.Generator().manual_seed(1)
    for step in range(steps):
        starts = torch.randint(0, len(stream) - CONTEXT, (batch,), generator=generator)
        ids = torch.stack([stream[at : at + CONTEXT] for at in starts])
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * (1 - step / steps) * min(1.0, (step + 1) / 20)
        loss = model(input_ids=ids, labels=ids).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 50 == 0 or step == steps - 1:
            print(f"step {step}: {loss.item():.3f} nats a token", flush=True)
    return model.eval()


def main(arguments: list[str] | None = None) -> int:
    from empirical.cli import main as localist

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="a new or empty folder")
    parser.add_argument("--steps", type=int, default=1000, metavar="N")
    parser.add_argument("--documents", type=int, default=8, metavar="N", help="held-out documents to observe")
    options = parser.parse_args(arguments)
    texts = groups()
    cut = [int(len(text) * 0.9) for text in texts]
    learned, heldout = [t[:c] for t, c in zip(texts, cut)], [t[c:] for t, c in zip(texts, cut)]
    tokenizer = tokenizer_of(learned)
    model = train(learned, tokenizer, options.steps)
    folder = options.out / "model"
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    chosen = [one for one in documents(heldout, GROUPS) if len(tokenizer(one["text"])["input_ids"]) <= CONTEXT]
    lines = [json.dumps(one) for one in chosen[: options.documents]]
    (options.out / "heldout.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    text, observed = str(options.out / "heldout.jsonl"), str(options.out / "observed")
    return localist(["observe", str(folder), "--text", text, "--out", observed, "--dial", *DIALS])


if __name__ == "__main__":
    raise SystemExit(main())
