"""Real text with semantic blocks: documents from JSON lines, their spans, and the block of every token.

    {"text": "...", "spans": [{"start": 0, "end": 12, "block": "contract"}, ...]}        blocks as given
    {"messages": [{"role": "system", "content": "..."}, ...]}                            one block a role
    {"text": "..."} with `sections`: a block a heading;  with `clusters:K`: sentences by their embeddings

Spans are in characters of the text, end excluded, and may not overlap. A token is of the block that most of its
characters are in (of two alike the earlier); special tokens and text in no span are of none, label -1.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from empirical.errors import BadInput
from empirical.files import LARGEST_CORPUS, parse_json, read_text

WAYS = ("spans", "roles", "sections", "clusters:K")
HEADING = re.compile(r"^(?:#+\s*(?P<marked>\S.*)|(?P<plain>\S[^\n]*)\n(?:=+|-+)\s*)$", re.MULTILINE)
SENTENCE = re.compile(r"\S[^.!?\n]*[.!?]*")


@dataclass(frozen=True)
class Span:
    """Characters [start, end) of a text, of a block."""

    start: int
    end: int
    block: str


@dataclass(frozen=True)
class Document:
    """A text and its spans, in order."""

    text: str
    spans: tuple[Span, ...]
    where: str  # FILE:LINE

    @property
    def blocks(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(span.block for span in self.spans))


def read_documents(
    path: Path, way: str = "spans", embed: Callable[[list[str]], np.ndarray] | None = None
) -> list[Document]:
    """The documents of a JSON-lines file; `embed` gives a vector a sentence, for `clusters:K`.

    Raises BadInput naming FILE:LINE for what is no JSON, spans outside the text or overlapping, a text without a block.
    """
    way, _, count = way.partition(":")
    if way not in ("spans", "roles", "sections", "clusters") or (way == "clusters") != count.isdigit():
        raise BadInput(f"--blocks must be one of {', '.join(WAYS)}, got {way + (':' + count if count else '')!r}")
    lines = read_text(Path(path), "--text", "UTF-8 file of JSON lines", LARGEST_CORPUS).split("\n")
    documents = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            given = parse_json(line)
        except ValueError as error:
            raise BadInput(f"{where} must be a JSON object, got {error}") from None
        documents.append(_document(given, way, where))
    if not documents:
        raise BadInput(f"--text must hold at least one document, got none in {str(path)!r}")
    if way == "clusters":
        if embed is None:
            raise BadInput(f"embed must give a vector a sentence for clusters:{count}, got None")
        documents = _clustered(documents, int(count), embed)
    for document in documents:
        if not document.spans:
            raise BadInput(f"{document.where} must have a text with at least one block, got none")
    return documents


def _document(given: Any, way: str, where: str) -> Document:
    if not isinstance(given, dict):
        raise BadInput(f"{where} must be a JSON object, got {type(given).__name__}")
    if way == "roles":
        return _of_roles(given, where)
    text = given.get("text")
    if not isinstance(text, str) or not text.strip():
        raise BadInput(f"{where} must have a 'text' that is not empty, got {text!r}")
    if way == "sections":
        return Document(text, tuple(_sections(text)), where)
    if way == "clusters":
        return Document(text, (), where)
    spans = given.get("spans", [])
    if not isinstance(spans, list):
        raise BadInput(f"{where} must have 'spans' in a list, got {spans!r}")
    return Document(text, _checked([_span(one, where) for one in spans], len(text), where), where)


def _span(given: Any, where: str) -> Span:
    fields: dict[str, Any] = given if isinstance(given, dict) else {}
    start, end, block = fields.get("start"), fields.get("end"), fields.get("block")
    if not (_whole(start) and _whole(end) and isinstance(block, str | int)):
        raise BadInput(f"{where} must have spans of whole start and end and a block, got {given!r}")
    return Span(start, end, str(block))


def _whole(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _checked(spans: Sequence[Span], length: int, where: str) -> tuple[Span, ...]:
    ordered = sorted(spans, key=lambda span: (span.start, span.end))
    for span in ordered:
        if not 0 <= span.start < span.end <= length:
            said = f"[{span.start}, {span.end}) in a text of {length} characters"
            raise BadInput(f"{where} must have spans that are not empty and within the text, got {said}")
    for one, two in itertools.pairwise(ordered):
        if two.start < one.end:
            said = f"[{one.start}, {one.end}) of {one.block!r} and [{two.start}, {two.end}) of {two.block!r}"
            raise BadInput(f"{where} must have spans that do not overlap, got {said}")
    return tuple(ordered)


def _of_roles(given: dict[str, Any], where: str) -> Document:
    """The contents, a blank line between two."""
    messages = given.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadInput(f"{where} must have 'messages' in a list, got {messages!r}")
    text, spans = "", []
    for message in messages:
        role, content = (message.get(k) if isinstance(message, dict) else None for k in ("role", "content"))
        if not isinstance(role, str) or not isinstance(content, str) or not content:
            raise BadInput(f"{where} must have messages of a role and a content, got {message!r}")
        text += "\n\n" if text else ""
        spans.append(Span(len(text), len(text) + len(content), role))
        text += content
    return Document(text, tuple(spans), where)


def _sections(text: str) -> Iterator[Span]:
    """From each heading to the next; what is before the first is of no block."""
    found = list(HEADING.finditer(text))
    ends = [match.start() for match in found[1:]] + [len(text)]
    for match, end in zip(found, ends):
        yield Span(match.start(), end, (match["marked"] or match["plain"]).strip())


def _clustered(documents: list[Document], count: int, embed: Callable[[list[str]], np.ndarray]) -> list[Document]:
    """Sentences of all documents in `count` clusters of their vectors, by k-means from a fixed seed."""
    from scipy.cluster.vq import kmeans2

    places = [(d, match) for d, document in enumerate(documents) for match in SENTENCE.finditer(document.text)]
    if count < 2 or len(places) < count:
        raise BadInput(f"--blocks clusters:K must have 2 <= K <= sentences = {len(places)}, got {count}")
    vectors = np.asarray(embed([match[0] for _, match in places]), dtype=np.float64)
    _, label = kmeans2(vectors, count, minit="++", rng=np.random.default_rng(0), missing="warn")
    spans: list[list[Span]] = [[] for _ in documents]
    for (d, match), block in zip(places, label):
        spans[d].append(Span(match.start(), match.end(), f"cluster {block}"))
    return [Document(one.text, tuple(mine), one.where) for one, mine in zip(documents, spans)]


def align(document: Document, offsets: Sequence[Sequence[int]], names: Sequence[str]) -> np.ndarray:
    """The label of every token from its characters [start, end): an index into `names`, or -1."""
    index = {name: at for at, name in enumerate(names)}
    starts = np.array([span.start for span in document.spans])
    labels = np.full(len(offsets), -1, dtype=np.int64)
    for token, (start, end) in enumerate(offsets):
        first = max(0, int(np.searchsorted(starts, start, side="right")) - 1)
        best = 0
        for span in document.spans[first:]:
            if span.start >= end:
                break
            shared = min(end, span.end) - max(start, span.start)
            if shared > best:
                best, labels[token] = shared, index[span.block]
    return labels
