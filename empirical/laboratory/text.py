"""Real text in topic groups: words, a vocabulary, four fixed groups of topics balanced by size, the last part held out.

A sequence takes segments of a few words from the groups in turn, so the block of a position is fixed, and the token
after a segment belongs to another block: only attention across blocks can see what that group was saying.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from empirical.errors import BadInput
from empirical.files import LARGEST_CORPUS, read_text
from empirical.laboratory.config import Config
from empirical.shapes import Int

HELD_OUT = 0.15  # of every topic, from its end

Texts = Mapping[str, str]
"""Topic name -> text; read once, and handed on to all that look at it."""


def read_topics(text_dir: str | None) -> dict[str, str]:
    """Topic name -> text: Python's own documentation, or one file of a folder each."""
    if text_dir is None:
        try:
            from pydoc_data.topics import topics
        except ImportError:
            raise BadInput(
                "task.text_dir must name a folder where this Python has no pydoc_data.topics, got None"
            ) from None
        return dict(topics)
    folder = Path(text_dir)
    try:
        files = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
    except OSError as error:
        raise BadInput(f"task.text_dir must be a readable folder, got {text_dir!r} ({error.strerror})") from None
    texts = {}
    for path in files:
        texts[path.name] = read_text(path, "task.text_dir", "folder of UTF-8 text files", LARGEST_CORPUS)
    return texts


def text_digest(config: Config, topics: Texts | None = None) -> dict[str, str]:
    """What identifies the text of a `topics` run: its hash, where it came from, and what its blocks are of."""
    topics = read_topics(config.task.text_dir) if topics is None else topics
    digest = hashlib.sha256()
    for name in sorted(topics):
        for part in (name, topics[name]):
            digest.update(len(part.encode()).to_bytes(8, "little") + part.encode())
    source = config.task.text_dir or f"pydoc_data.topics of Python {platform.python_version()}"
    names = names_of(grouped(words_of(topics), config.model.blocks))
    return {"text_sha256": digest.hexdigest(), "text_source": source, "blocks": json.dumps(names)}


@dataclass(frozen=True)
class Corpus:
    """Token streams of every group, for training and held out; the vocabulary's last token stands for all others."""

    training: tuple[Int[Tensor, "_"], ...]
    heldout: tuple[Int[Tensor, "_"], ...]
    vocabulary: tuple[str, ...]
    groups: tuple[tuple[str, ...], ...]


def words_of(topics: Texts) -> dict[str, list[str]]:
    """Topic name -> its words, where there are some."""
    words = {name: re.findall(r"\w+", text.lower()) for name, text in topics.items()}
    return {name: found for name, found in words.items() if found}


def grouped(words: Mapping[str, Sequence[str]], blocks: int) -> tuple[tuple[str, ...], ...]:
    """The topics of every block, balanced by words: the largest first, to the smallest group."""
    groups: list[list[str]] = [[] for _ in range(blocks)]
    sizes = [0] * blocks
    for name in sorted(words, key=lambda topic: (-len(words[topic]), topic)):
        smallest = sizes.index(min(sizes))
        groups[smallest].append(name)
        sizes[smallest] += len(words[name])
    return tuple(tuple(sorted(group)) for group in groups)


def names_of(groups: Sequence[Sequence[str]]) -> list[str]:
    """A block is named after its topic, or after the first of several and their number."""
    return [group[0] + (f" and {len(group) - 1} more" if len(group) > 1 else "") for group in groups if group]


def read_corpus(config: Config, topics: Texts | None = None) -> Corpus:
    words = words_of(read_topics(config.task.text_dir) if topics is None else topics)
    blocks = config.model.blocks
    if len(words) < blocks:
        where = repr(config.task.text_dir)
        raise BadInput(
            f"task.text_dir must hold at least model.blocks = {blocks} files with words, got {len(words)} in {where}"
        )
    groups = grouped(words, blocks)
    cut = {name: round(len(found) * (1 - HELD_OUT)) for name, found in words.items()}
    counts = Counter(w for name, found in words.items() for w in found[: cut[name]])
    common = sorted(counts, key=lambda w: (-counts[w], w))[: config.task.vocabulary - 1]
    index = {w: i for i, w in enumerate(common)}
    other = len(common)

    def stream(group: Sequence[str], held_out: bool) -> Tensor:
        chosen = [w for n in group for w in (words[n][cut[n] :] if held_out else words[n][: cut[n]])]
        return torch.tensor([index.get(w, other) for w in chosen], dtype=torch.int64)

    training, heldout = (tuple(stream(g, held) for g in groups) for held in (False, True))
    need = words_needed(config)
    for name, streams in (("training", training), ("held-out", heldout)):
        shortest = min(map(len, streams))
        if shortest < need:
            where = repr(config.task.text_dir)
            raise BadInput(
                f"task.text_dir must give every group at least {need} {name} words, got {shortest} in {where}"
            )
    return Corpus(training, heldout, (*common, "<other>"), groups)


def block_pattern(config: Config, length: int) -> Int[Tensor, "T"]:
    """The block of every position: segments of the groups in turn."""
    return torch.arange(length) // config.task.segment % config.model.blocks


def words_needed(config: Config) -> int:
    """Consecutive words that a sequence takes from one group at most."""
    pattern = block_pattern(config, config.task.queries + 1)
    return int(pattern.bincount(minlength=config.model.blocks).max())


def interleave(streams: tuple[Tensor, ...], starts: Int[Tensor, "B K"], config: Config) -> Int[Tensor, "B T1"]:
    """Sequences of queries + 1 tokens; group g of sequence b is read onwards from starts[b, g]."""
    pattern = block_pattern(config, config.task.queries + 1)
    sequences = torch.empty(len(starts), len(pattern), dtype=torch.int64)
    for group, stream in enumerate(streams):
        places = (pattern == group).nonzero().squeeze(1)
        sequences[:, places] = stream[starts[:, group, None] + torch.arange(len(places))]
    return sequences


def training_batch(corpus: Corpus, config: Config, generator: torch.Generator) -> Int[Tensor, "B T1"]:
    need = words_needed(config)
    draws = [torch.randint(0, len(s) - need + 1, (config.sweep.batch,), generator=generator) for s in corpus.training]
    return interleave(corpus.training, torch.stack(draws, 1), config)


def heldout_sequences(corpus: Corpus, config: Config) -> Int[Tensor, "B T1"]:
    """Every held-out word that fits, once: sequence b reads each group's b-th stretch."""
    need = words_needed(config)
    count = min(len(s) for s in corpus.heldout) // need
    starts = (torch.arange(count) * need)[:, None].expand(-1, len(corpus.heldout))
    return interleave(corpus.heldout, starts, config)
