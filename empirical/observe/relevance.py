"""Relevance as a relation: which keys the queries of a block may see, and tokens that stay visible for all.

    relevant(q, k):  block(k) = block(q),  or (block(q), block(k)) in sees,  or block(k) in kept;  block(q) >= 0

Closed along the layers: what a query reads has read nothing that the query may not (relevant o relevant in relevant).
Otherwise there is a path of two hops, such as a token of no block that is kept for all and reads all: then a mask in
every layer isolates nothing. Tokens of a block below 0 are in none: they read everything, and are kept where -1 is.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from empirical.errors import BadInput
from empirical.shapes import Bool, Int

NONE = "none"
"""What tokens of no block are called where blocks have names."""


@dataclass(frozen=True)
class Path:
    """A query that reads a token which has read what the query may not see: positions, and blocks of the three."""

    query: int
    through: int
    source: int
    blocks: tuple[int, int, int]

    def words(self, names: Collection[str] = ()) -> str:
        said = {**dict(enumerate(names)), -1: "no block"}
        whose = [said.get(block, f"block {block}") for block in self.blocks]
        one, two, three = (f"token {at} ({who})" for at, who in zip((self.query, self.through, self.source), whose))
        return f"{one} reads {two}, which reads {three}"


Blocks = Tensor | np.ndarray | Sequence[Any]
"""The block of every token, (B, T) or (T,) of one sequence: whole numbers in a tensor, an array or lists."""


def labels_of(name: str, given: Any, axes: int = 2) -> Int[Tensor, "..."]:
    """Labels as a tensor of so many axes, one fewer given being those of one sequence. Raises BadInput for others."""
    try:
        found = given if isinstance(given, Tensor) else torch.as_tensor(np.asarray(given))
    except (TypeError, ValueError):
        found = None
    if found is None:
        got = type(given).__name__
    elif not found.numel() or found.ndim not in (axes - 1, axes):
        got = f"shape {tuple(found.shape)}"
    elif found.is_floating_point() or found.is_complex() or found.dtype == torch.bool:
        got = str(found.dtype)
    elif found.is_meta:
        got = "a tensor without values (device meta)"
    else:
        found = found.long()
        return found if found.ndim == axes else found[None]
    shape = "one each for every token of every sequence" if axes == 2 else "one each for every sequence"
    raise BadInput(f"{name} must be whole numbers, {shape}, got {got}")


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

    def named(self, names: Sequence[str]) -> dict[str, dict[str, list[str]] | list[str]]:
        """It in words, as a rule file says it."""
        sees: dict[str, list[str]] = {}
        for query, key in sorted(self.sees):
            sees.setdefault(names[query], []).append(names[key])
        return {"sees": sees, "keep": [NONE if block < 0 else names[block] for block in sorted(self.kept)]}

    def path(self, blocks: Int[Tensor, "T"], causal: bool, query: int | None = None) -> Path | None:
        """A path of two hops from where a query may not read, in one sequence whose tokens of no block read all.

        Of the queries of one block where `query` names it. By classes: whether a query of the last class stands at or
        after a token of the second, and that at or after one of the first, is told from their places. None: closed, so
        that a mask in every layer isolates.
        """
        places = {block: (blocks == block).nonzero().flatten().tolist() for block in blocks.unique().tolist()}
        queries = [block for block in places if query is None or block == query]
        return next(self._paths(queries, places, causal), None)

    def _paths(self, queries: list[int], places: dict[int, list[int]], causal: bool) -> Iterator[Path]:
        for query, through, source in itertools.product(queries, places, places):
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


def relation_of(sees: Mapping[str, Sequence[str]], keep: Sequence[str], names: Sequence[str]) -> Relation:
    """The relation of blocks that have names. Raises `Unnamed` for one that is no block of the text."""

    def block(key: str, name: str) -> int:
        if key == "keep" and name == NONE and name not in names:
            return -1
        if name not in names:
            also = f", {NONE}" if key == "keep" else ""
            raise Unnamed(key, f"must be a block of the text ({', '.join(names)}{also}), got {name!r}")
        return list(names).index(name)

    pairs = frozenset((block("sees", query), block("sees", key)) for query, keys in sees.items() for key in keys)
    return Relation(pairs, frozenset(block("keep", name) for name in keep))


class Unnamed(BadInput):
    """A name that is no block's, and whether it is one that is to see, or to be kept."""

    def __init__(self, key: str, words: str):
        super().__init__(f"{key} {words}")
        self.key, self.words = key, words
