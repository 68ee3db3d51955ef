"""Relevance as a relation: which keys the queries of a block may see, and tokens that stay visible for all.

    relevant(q, k):  block(k) = block(q),  or (block(q), block(k)) in sees,  or block(k) in kept;  block(q) >= 0

Closed along the layers: what a query reads has read nothing that the query may not (relevant o relevant in relevant).
Otherwise there is a path of two hops, such as a token of no block that is kept for all and reads all: then a mask in
every layer isolates nothing. Tokens of a block below 0 are in none: they read everything, and are kept where that is.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from empirical.errors import BadInput
from empirical.shapes import Bool, Int


@dataclass(frozen=True)
class Path:
    """A query that reads a token which has read what the query may not see: positions, and blocks of the three."""

    query: int
    through: int
    source: int
    blocks: tuple[int, int, int]

    def words(self, names: Collection[str] = ()) -> str:
        said = dict(enumerate(names))
        whose = [said.get(block, f"block {block}" if block >= 0 else "no block") for block in self.blocks]
        one, two, three = (f"token {at} ({who})" for at, who in zip((self.query, self.through, self.source), whose))
        return f"{one} reads {two}, which reads {three}"


@dataclass(frozen=True)
class Relation:
    """What a block's queries may see beside their own block. Raises BadInput for what is no pair of blocks."""

    sees: Collection[tuple[int, int]] = field(default_factory=frozenset)  # (query block, key block)
    kept: Collection[int] = field(default_factory=frozenset)  # blocks visible to all; -1: tokens of no block

    def __post_init__(self) -> None:
        for name, given, size in (("sees", self.sees, 2), ("kept", self.kept, 1)):
            for one in given:
                parts, least = (one, 0) if isinstance(one, tuple) else ((one,), -1)
                if len(parts) != size or not all(type(part) is int and part >= least for part in parts):
                    allowed = "pairs (query block, key block)" if size == 2 else "blocks, or -1 for tokens of none"
                    raise BadInput(f"{name} must be {allowed}, got {one!r}")

    def relevant(self, queries: Int[Tensor, "*batch T"], keys: Int[Tensor, "*batch N"]) -> Bool[Tensor, "*batch T N"]:
        """Whether a key is relevant to a query, by their blocks; nothing is to a query of no block."""
        own, other = queries[..., :, None], keys[..., None, :]
        found = own == other
        if self.sees:
            table = self._table.to(found.device)
            last = len(table) - 1  # of blocks that no pair names
            first, second = (torch.where((x < 0) | (x > last), last, x) for x in (own, other))
            found = found | table[first, second]
        if self.kept:
            found = found | self.is_kept(keys)[..., None, :]
        return found & (own >= 0)

    def is_kept(self, keys: Int[Tensor, "*batch N"]) -> Bool[Tensor, "*batch N"]:
        """Which tokens are visible to all."""
        return torch.isin(keys, torch.tensor(sorted(self.kept), device=keys.device, dtype=keys.dtype))

    @cached_property
    def _table(self) -> Bool[Tensor, "K K"]:
        table = torch.zeros((2 + max(map(max, self.sees)),) * 2, dtype=torch.bool)
        table[tuple(torch.tensor(sorted(self.sees)).T)] = True
        return table

    def path(self, blocks: Int[Tensor, "T"], causal: bool) -> Path | None:
        """A path of two hops from where a query may not read, in one sequence whose tokens of no block read all.

        By classes: whether a query of the last class stands at or after a token of the second, and that at or after one
        of the first, is told from their places. None: closed, so that a mask in every layer isolates.
        """
        places = {block: (blocks == block).nonzero().flatten().tolist() for block in blocks.unique().tolist()}
        return next(self._paths(places, causal), None)

    def _paths(self, places: dict[int, list[int]], causal: bool) -> Iterator[Path]:
        for query, through, source in itertools.product(places, repeat=3):
            if query < 0 or self._reads(query, source):
                continue
            if not (self._reads(query, through) and (through < 0 or self._reads(through, source))):
                continue
            first, last = places[source][0], places[query][-1]
            between = [at for at in places[through] if not causal or first <= at <= last]
            if between:
                yield Path(last, between[0], first, (query, through, source))

    def _reads(self, query: int, key: int) -> bool:
        return query == key or (query, key) in self.sees or key in self.kept
