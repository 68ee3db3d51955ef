"""Files as they break: bits flipped, parts lost, doubled or moved, numbers grown, bytes that belong nowhere."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

INSERTED = (b"\x00", b"\xff\xfe", b"[" * 3000, b"9" * 5000, b"-", b'"', b"}", b"\n", "\u2028".encode(), b"1e999", b"{")


def mutations(content: bytes, count: int, seed: int = 0) -> Iterator[bytes]:
    """`count` mutated copies, none of them the original, always the same."""
    random = np.random.default_rng(seed)
    made = 0
    while made < count:
        found = _mutated(content, random, int(random.integers(7)))
        if found != content:
            made += 1
            yield found


def _mutated(content: bytes, random: np.random.Generator, way: int) -> bytes:
    size = len(content)
    start, stop = sorted(random.integers(0, size + 1, 2).tolist())
    few = min(stop, start + int(random.integers(1, 9)))
    if way == 0:
        broken = bytearray(content)
        for at in random.integers(0, size, random.integers(1, 4)):
            broken[at] ^= 1 << int(random.integers(8))
        return bytes(broken)
    if way == 1:
        return content[:start]
    if way == 2:
        return content[:start] + content[few:]
    if way == 3:
        return content[:start] + content[start:few] * int(random.integers(2, 50)) + content[few:]
    if way == 4:
        return content[:start] + INSERTED[int(random.integers(len(INSERTED)))] + content[start:]
    if way == 5:
        return content[stop:] + content[:start]
    numbers = list(re.finditer(rb"\d+", content))
    if not numbers:
        return content[:-1]
    hit = numbers[int(random.integers(len(numbers)))]
    grown = (b"99999999999", b"0x" + b"f" * 5000, b"1000000000000", b"-1", b"0", b"nan", b"1" * 5000)
    return content[: hit.start()] + grown[int(random.integers(len(grown)))] + content[hit.end() :]
