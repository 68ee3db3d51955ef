"""Compliance under reloads without sampling noise (claim C12): every sequence of drawn rule files, through the checker.

    author: at reload t one of M files, each as likely;  violating: what is required of the attention is missed
    P(violating after t) = share of all M^t sequences;  predicted  prod (1 - p_t), p_t = share of files that remove it

A refused file leaves the live rules as they are. What breaks the product is shown too: an author who draws once and
hands in the same file again (the removal given persistence is then 0), and a file that is accepted and drops the rule
(the violation comes back). Theorems: reload_compliance, reload_limit.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import numpy as np

from empirical.errors import BadInput
from empirical.shapes import Arrays

Load = Callable[[str], Hashable | None]  # a file's text -> what is live once it is loaded; None: refused
Violates = Callable[[Hashable], bool]


@dataclass(frozen=True)
class Author:
    """Who hands in files: at reload t one of `pools[t]`, drawn afresh or `once` and for all."""

    name: str
    pools: tuple[tuple[str, ...], ...]
    once: bool = False

    def sequences(self) -> Iterator[tuple[str, ...]]:
        """All sequences of files, each as likely."""
        yield from (zip(*self.pools) if self.once else itertools.product(*self.pools))


@dataclass(frozen=True)
class Course:
    """What an author's reloads come to, exactly; entry t - 1 is after reload t."""

    violating: tuple[Fraction, ...]
    removal: tuple[Fraction, ...]  # given that the violation persists
    marginal: tuple[Fraction, ...]  # share of the pool that removes it: what an author may promise
    reintroduced: tuple[Fraction, ...]  # probability that reload t brings it back
    sequences: int

    @property
    def product(self) -> tuple[Fraction, ...]:
        return tuple(itertools.accumulate((1 - p for p in self.marginal), lambda a, b: a * b))


def course(author: Author, start: Hashable, load: Load, violates: Violates) -> Course:
    """Every sequence of the author's files, one reload after the other, from the live rules `start`.

    `load` and `violates` are asked once for each text and each set of live rules. Raises ValueError where nothing is
    violated at the start.
    """
    load, violates = cache(load), cache(violates)
    if not violates(start):
        raise BadInput(f"start must violate what is required, got {start!r}")
    length = len(author.pools)
    states = []
    for files in author.sequences():
        live, states_of = start, [True]
        for text in files:
            found = load(text)
            live = live if found is None else found
            states_of.append(violates(live))
        states.append(states_of)
    each = np.array(states)
    before, after = each[:, :-1], each[:, 1:]

    def share(of: np.ndarray, among: np.ndarray | None = None) -> tuple[Fraction, ...]:
        counts = [len(of)] * length if among is None else among.sum(0).tolist()
        return tuple(Fraction(int(n), c) if c else Fraction(0) for n, c in zip(of.sum(0).tolist(), counts))

    removes = [[(found := load(text)) is not None and not violates(found) for text in pool] for pool in author.pools]
    return Course(
        violating=share(after),
        removal=share(before & ~after, before),
        marginal=tuple(Fraction(sum(each_), len(each_)) for each_ in removes),
        reintroduced=share(~before & after),
        sequences=len(each),
    )


def promised(share: Fraction) -> float:
    """A probability rounded down to a hundredth: what is promised may be less than what is so."""
    return math.floor(100 * share) / 100


def reload_rows(courses: Sequence[Course]) -> Arrays:
    """Fields of `reload_compliance` and `reload_limit`: (author, reload), and a last axis for the reloads so far."""
    length = len(courses[0].violating)

    def so_far(values: Iterable[float]) -> np.ndarray:
        """Row t holds the first t of them, then zeros: a reload that has not come removes nothing."""
        return np.tril(np.tile(np.array(list(values)), (length, 1)))

    given = np.stack([so_far(map(promised, c.marginal)) for c in courses])
    return {
        "violating": np.array([[float(p) for p in c.violating] for c in courses]),
        "promised": given,
        "removal_given_persisting": np.stack([so_far(map(float, c.removal)) for c in courses]),
        "reintroduced": np.array([np.maximum.accumulate([float(p) for p in c.reintroduced]) for c in courses]),
        "survival_product": np.prod(1 - given, axis=-1),
    }
