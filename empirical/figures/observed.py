"""What the figures read from the saved observations: rows with their bounds, pairs of blocks, settings.

Row arrays have shape (setting, layer, head, query) and are NaN where a row is not valid.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr

from empirical.errors import BadInput
from empirical.laboratory.config import STARTS
from empirical.observe.schema import PAIR, ROW

EXAMPLE = 0.9  # a fidelity to draw regions for, where none was asked for


class Absent(Exception):
    """A figure whose data the dataset does not hold; the message is the reason that is printed."""


@dataclass(frozen=True)
class Observed:
    """A dataset of observations, read for drawing."""

    dataset: xr.Dataset

    def __post_init__(self) -> None:
        wanted = [n for n in ("fidelity", "valid", "penalty", "seed", "start") if n not in self.dataset.variables]
        if wanted or set(self.dataset["fidelity"].dims) != set(ROW):
            lacks = f"lacks {', '.join(wanted)}" if wanted else f"has fidelity over {self.dataset['fidelity'].dims}"
            raise BadInput(
                f"dataset must hold observations of a run (rows over {', '.join(ROW)}), got one that {lacks}"
            )

    def has(self, *names: str) -> bool:
        return all(n in self.dataset.variables and self.values(n).size > 0 for n in names)

    def need(self, *names: str) -> None:
        """Raises Absent naming the variables that are missing or hold nothing but NaN, or where no row is valid."""
        missing = [n for n in names if not self.has(n) or _blank(self.values(n))]
        if missing:
            raise Absent(f"the dataset has no {', '.join(missing)}")
        if "fidelity" in names and not self.valid.any():
            raise Absent("no row is valid")

    def values(self, name: str) -> np.ndarray:
        return self.dataset[name].values

    def along(self, name: str, dims: tuple[str, ...]) -> np.ndarray:
        """The variable's values over `dims` in that order; a dimension that it lacks has size 1."""
        array = self.dataset[name]
        return array.expand_dims([d for d in dims if d not in array.dims]).transpose(*dims).values

    def row(self, name: str) -> np.ndarray:
        """A row field in float64, full shape, NaN where the row is not valid."""
        return np.where(self.valid, np.broadcast_to(self.along(name, ROW), self.valid.shape), np.nan)

    def bound(self, calculator: Callable[..., Any], **fields: str) -> np.ndarray:
        """`calculator` on every valid row, its arguments read from the named fields."""
        out = np.full(self.valid.shape, np.nan)
        arguments = {argument: self.row(field) for argument, field in fields.items()}
        known = self.valid & np.logical_and.reduce([np.isfinite(a) for a in arguments.values()])
        out[known] = calculator(**{argument: array[known] for argument, array in arguments.items()})
        return out

    @cached_property
    def valid(self) -> np.ndarray:
        """A row the theorems speak of: it sums to one and sees both its block and an outsider."""
        return self.along("valid", ROW).astype(bool)

    @cached_property
    def penalty(self) -> np.ndarray:
        return self.values("penalty").astype(float)

    @cached_property
    def seed(self) -> np.ndarray:
        return self.values("seed")

    @cached_property
    def start(self) -> np.ndarray:
        return self.values("start").astype(str)

    @cached_property
    def converged(self) -> np.ndarray:
        if not self.has("converged"):
            return np.ones(self.penalty.shape, dtype=bool)
        return self.values("converged").astype(bool)

    @property
    def solid(self) -> np.ndarray:
        """Settings drawn filled: the converged ones, or all where stochastic training converges nowhere."""
        return self.converged if self.converged.any() else np.ones(self.penalty.shape, dtype=bool)

    @property
    def convergence(self) -> str:
        """In words, how many settings converged."""
        done = int(self.converged.sum())
        return "none converged (minibatches)" if done == 0 else f"{done} converged"

    @property
    def starts(self) -> list[str]:
        """The starts present, in the order in which they are drawn."""
        present = set(self.start.tolist())
        return [s for s in STARTS if s in present]

    @cached_property
    def config(self) -> dict[str, Any]:
        return json.loads(self.dataset.attrs.get("config", "{}"))

    @property
    def digest(self) -> str:
        return str(self.dataset.attrs.get("config_digest", ""))

    @property
    def task(self) -> str:
        return self.config.get("task", {}).get("name", "")

    @property
    def loss_unit(self) -> str:
        return "nats per token" if self.task == "topics" else "squared error"

    @property
    def penalty_label(self) -> str:
        unit = "nats" if self.task == "topics" else "squared error"
        if self.has("gate"):
            return f"penalty $\\lambda$ ({unit} per unit of leakage $\\Omega$)"
        return f"penalty $\\lambda$ ({unit} per unit of $\\|W_{{bc}}\\|$)"

    @property
    def asked(self) -> float | None:
        """The fidelity that the configuration asks for, None where it asks for none."""
        return self.config.get("setting", {}).get("fidelity") or None

    @property
    def target(self) -> float:
        """The fidelity that regions are drawn for: the one asked for, else `EXAMPLE`."""
        return EXAMPLE if self.asked is None else self.asked

    @property
    def target_words(self) -> str:
        return f"fidelity {self.target:g}" + (" (an example: none was asked for)" if self.asked is None else "")

    def branches(self) -> Iterator[tuple[str, Any, np.ndarray]]:
        """(start, seed, settings in order of penalty) for every start and seed."""
        for start in self.starts:
            for seed in np.unique(self.seed[self.start == start]):
                chosen = np.flatnonzero((self.start == start) & (self.seed == seed))
                yield start, seed, chosen[np.argsort(self.penalty[chosen], kind="stable")]

    def heads(self) -> list[tuple[str, tuple[int | slice, int | slice]]]:
        """(words, index) of each head, or of each layer with its heads pooled where heads are more than four."""
        _, layers, heads, _ = self.valid.shape
        if layers * heads <= 4:
            return [(self.head_words(layer, head), (layer, head)) for layer in range(layers) for head in range(heads)]
        return [
            (f"layer {self.number('layer', layer)}, {heads} heads pooled", (layer, slice(None)))
            for layer in range(layers)
        ]

    def number(self, what: str, place: int | np.integer) -> int:
        """The number in its model, from 0, of the layer or head at a place."""
        return int(self.values(what)[place])

    def block_words(self, block: int | np.integer) -> str:
        """The name that the run gives a block, else its number."""
        return dict(enumerate(json.loads(self.dataset.attrs.get("blocks", "[]")))).get(int(block), f"block {block}")

    def head_words(self, layer: int, head: int) -> str:
        """`layer 0, head 1`, without the part that all heads share."""
        _, layers, heads, _ = self.valid.shape
        return ", ".join(
            f"{what} {self.number(what, place)}"
            for what, place, several in (("layer", layer, layers), ("head", head, heads))
            if several > 1
        )

    @cached_property
    def typical(self) -> tuple[tuple[int, int, int], np.ndarray]:
        """The (n, m, r) of most valid rows, the longest among equals, and the mask of its rows."""
        if not self.valid.any():
            raise Absent("no row is valid")
        sizes = np.stack([self.row(n)[self.valid] for n in ("n_keys", "n_block", "n_anchors")], axis=1).astype(int)
        triples, counts = np.unique(sizes, axis=0, return_counts=True)
        n, m, r = triples[counts == counts.max()][-1].tolist()
        same = (self.row("n_keys") == n) & (self.row("n_block") == m) & (self.row("n_anchors") == r)
        return (n, m, r), same

    @cached_property
    def cross(self) -> np.ndarray:
        """Mask (block_query, block_key) of the penalised pairs."""
        self.need("group_norm")
        size = self.dataset.sizes
        return ~np.eye(size["block_query"], size["block_key"], dtype=bool)

    def pairs(self, name: str) -> np.ndarray:
        """A pair field of the cross blocks, (setting, layer, head, pair)."""
        shape = [self.dataset.sizes[d] for d in PAIR]
        return np.broadcast_to(self.along(name, PAIR), shape)[..., self.cross]


def _blank(values: np.ndarray) -> bool:
    return values.dtype.kind == "f" and bool(np.isnan(values).all())


def middle(rows: np.ndarray, percent: float = 50.0) -> np.ndarray:
    """The percentile of each setting over all its other axes, NaN for a setting without a valid row.

    A bound that holds row by row holds between equal percentiles, so medians compare with medians.
    """
    flat = rows.reshape(rows.shape[0], -1)
    out = np.full(rows.shape[0], np.nan)
    some = np.isfinite(flat).any(axis=1)
    out[some] = np.nanpercentile(flat[some], percent, axis=1)
    return out


def average(values: np.ndarray) -> float:
    """The mean of the finite entries, NaN where there is none."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else float("nan")


def thinned(mask: np.ndarray, most: int = 20_000) -> np.ndarray:
    """Indices of at most `most` of the rows chosen, evenly spread and always the same ones."""
    index = np.flatnonzero(mask)
    return index[:: max(1, -(-index.size // most))]
