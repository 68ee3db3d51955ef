"""Boxes that tile a grid too large to hold: what is read, or judged, at a time."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping

Box = dict[str, slice]


def boxes(sizes: Mapping[str, int], limit: int, chunks: Mapping[str, int] | None = None) -> Iterator[Box]:
    """Boxes of at most `limit` cells that tile a grid of named dims, in C order.

    The last dims are taken whole as long as they fit. No box is cut within one of the file's `chunks`, which would be
    read again for its other part; so a box is at least one chunk, even where that is larger than the limit.
    """
    chunk = {name: max(1, min(size, (chunks or {}).get(name, 1))) for name, size in sizes.items()}
    extents = dict(chunk)
    for name in reversed(tuple(sizes)):
        others = math.prod(extents.values()) // extents[name]
        extents[name] = max(chunk[name], min(sizes[name], limit // others // chunk[name] * chunk[name]))
    starts = (range(0, size, extents[name]) for name, size in sizes.items())
    for corner in itertools.product(*starts):
        yield {name: slice(at, min(at + extents[name], sizes[name])) for name, at in zip(sizes, corner)}
