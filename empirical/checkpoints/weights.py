"""What the weights of a checkpoint alone say of its attention: per head the range of its logits, and the dial for it.

    for head in certify(folder, fidelity=0.95, n_keys=1024, n_block=64): print(head.name, head.logit_range, head.kappa)

D = `bounds.logit_range` of the head's normalisation and projections: no text makes a row's logits span more. Then
kappa = D + ln((n-m) F / (m (1-F))) dials every row of n keys, m of them in the block, to fidelity F, whatever the text;
where even e^-kappa is zero in float32 the number is of no use but as a hard mask, and is called so. Attacked ranges are
of layer inputs, which no text need produce. Heads are read one at a time. Covered: see `architectures`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bounds.dial.calculators import worst_case_kappa
from bounds.logit_range import HARD_MASK, Side, capped_range, plain_range, rotary_range, side
from empirical.checkpoints.architecture import Architecture, Attention, Norm, Source
from empirical.checkpoints.architectures import known
from empirical.checkpoints.attack import attack, observed_ranges
from empirical.checkpoints.contexts import ObservedRows
from empirical.checkpoints.rotary import phases_of
from empirical.checkpoints.weight_files import Reals, WeightFiles
from empirical.errors import BadInput


@dataclass(frozen=True)
class Head:
    """What weights say of one head; ranges in nats."""

    kind: str
    layer: int
    head: int
    logit_range: float  # certified: no row spans more
    kappa: float  # dials every row to the target
    attacked: float | None = None  # what layer inputs found by an attack span
    observed: float | None = None  # the widest observed row

    @property
    def name(self) -> str:
        return f"{self.kind} {self.layer}.{self.head}"

    @property
    def hard_mask_only(self) -> bool:
        """Whether the dial that is guaranteed cannot be told from a mask: e^-kappa is zero in float32."""
        return bool(self.kappa > HARD_MASK)


@dataclass(frozen=True)
class Sides:
    """Queries and keys of one head as images of balls."""

    attention: Attention
    head: int
    query: Side
    key: Side
    position_range: float  # what a table of positions adds to the range

    def logit_range(self) -> float:
        site = self.attention
        if site.rotation is None:
            span = plain_range(self.query, self.key, site.scaling)
        else:
            span = rotary_range(self.query, self.key, site.scaling, site.rotation.features)
        span = span if site.cap is None else capped_range(span, site.cap)
        return float(np.nextafter(span + self.position_range, np.inf))

    def attacked(self, n_keys: int, starts: int = 4, seed: int = 0) -> float:
        """The widest range that an attack finds, of rows of up to `n_keys` keys."""
        site = self.attention
        turns = None if site.rotation is None else phases_of(site.rotation, n_keys)
        return attack(self.query, self.key, site.scaling, turns, cap=site.cap, starts=starts, seed=seed)


def architecture_of(files: WeightFiles) -> Architecture:
    """Raises BadInput for what is not covered, by name."""
    found = known(files.config.get("model_type"))
    for name in ("auto_map", "quantization_config", "add_cross_attention", "pruned_heads", *found.refused):
        if files.config.get(name):
            raise BadInput(f"config.json must not ask for {name}, which is not covered, got {files.config[name]!r}")
    return found


class _Reader:
    """Sides of heads, a head's rows at a time; norms and key heads that several share are read once a layer."""

    def __init__(self, files: WeightFiles, architecture: Architecture):
        self.files, self.architecture = files, architecture

    def side(self, attention: Attention, source: Source, head: int) -> Side:
        if source.by_head is not None:  # whatever the projection gave is of length sqrt(width) before the gain
            return self._after(source.by_head, source.factor * np.eye(attention.width), None, source.weight)
        start = source.first + head * (source.step or attention.width)
        axis = int(self.architecture.columns)
        weight = self.files.rows(source.weight, start, start + attention.width, axis)
        bias = source.factor * self.files.rows(source.bias, start, start + attention.width) if source.bias else None
        return self._after(source.norm, source.factor * (weight.T if axis else weight), bias, source.weight)

    def _after(self, norm: Norm, weight: Reals, bias: Reals | None, name: str) -> Side:
        gain = self.files.rows(f"{norm.name}.weight") + norm.added if norm.gain else np.ones(weight.shape[1])
        shift = self.files.rows(f"{norm.name}.bias") if norm.shift else None
        try:
            return side(weight, gain, bias, shift, norm.centred)
        except ValueError as error:
            raise BadInput(f"{name} must fit config.json and {norm.name}: {error}") from None

    def check_shape(self, attention: Attention) -> None:
        """Raises BadInput for a projection of another number of rows than heads and features ask for."""
        whole = attention.heads + 2 * attention.groups  # heads in a fused matrix
        for source, heads in ((attention.query, attention.heads), (attention.key, attention.groups)):
            wanted = attention.width * (whole if self.architecture.fused else heads)
            shape = self.files.shape(source.weight)
            if len(shape) != 2 or shape[int(self.architecture.columns)] != wanted:
                raise BadInput(f"{source.weight} must have {wanted} rows, got shape {shape}")

    def sides(self, attention: Attention) -> Iterator[Sides]:
        self.check_shape(attention)
        spread = np.zeros(attention.heads)
        if attention.positions is not None:
            table = self.files.rows(attention.positions)
            if table.ndim != 2 or table.shape[1] != attention.heads:
                raise BadInput(f"{attention.positions} must be (buckets, {attention.heads}), got shape {table.shape}")
            spread = np.ptp(table, axis=0)
        each = attention.heads // attention.groups
        for group in range(attention.groups):
            key = self.side(attention, attention.key, group)
            for head in range(group * each, (group + 1) * each):
                query = self.side(attention, attention.query, head)
                yield Sides(attention, head, query, key, float(spread[head]))


def sides_of(folder: Path | str, layers: Sequence[int] | None = None) -> Iterator[Sides]:
    """Queries and keys of every head of the chosen layers. Raises BadInput for a folder that is not understood."""
    files = WeightFiles(folder)
    architecture = architecture_of(files)
    sites, reader = tuple(architecture.attentions(files)), _Reader(files, architecture)
    there = {attention.layer for attention in sites}
    if layers is not None and not set(layers) <= there:
        raise BadInput(f"layers must be among 0 to {max(there)}, got {sorted(set(layers) - there)}")
    for attention in sites:
        if layers is None or attention.layer in layers:
            yield from reader.sides(attention)


def certify(
    folder: Path | str,
    *,
    fidelity: float,
    n_keys: int,
    n_block: int,
    layers: Sequence[int] | None = None,
    attacks: int = 0,
    seed: int = 0,
) -> Iterator[Head]:
    """Every head of the checkpoint in the folder, as it is read; `attacks` starts of an attack on each.

    `n_keys` and `n_block` are those of the rows to be served with the largest (n-m)/m. Raises BadInput for a folder
    that is not understood, ValueError for a fidelity outside (0, 1) or impossible counts.
    """
    worst_case_kappa(fidelity, 0.0, n_keys, n_block)  # refused before anything is read
    for number, sides in enumerate(sides_of(folder, layers)):
        span, site = sides.logit_range(), sides.attention
        kappa = float(worst_case_kappa(fidelity, span, n_keys, n_block))
        reached = sides.attacked(n_keys, attacks, seed + number) if attacks else None
        yield Head(site.kind, site.layer, sides.head, span, kappa, reached)


def beside(heads: Sequence[Head], observed: ObservedRows) -> list[Head]:
    """The heads with the widest row that was observed of each, NaN where none was."""
    ranges = observed_ranges(observed)
    missing = np.full(max((h.head for h in heads), default=0) + 1, np.nan)
    return [replace(h, observed=float(ranges.get((h.kind, h.layer), missing)[h.head])) for h in heads]


def outside(heads: Sequence[Head]) -> list[Head]:
    """The heads of which something attacked or observed lies outside what weights alone say: none, or we are wrong."""
    return [h for h in heads if any(x is not None and x > h.logit_range for x in (h.attacked, h.observed))]


def table(heads: Sequence[Head]) -> str:
    """One line a head: the certified range, what was attacked and observed of it, and the dial in log form."""
    lines = [f"{'head':<16}{'certified':>12}{'attacked':>12}{'share':>8}{'observed':>12}{'kappa':>12}"]
    for h in heads:
        share = "" if h.attacked is None else f"{h.attacked / h.logit_range:.3f}" if h.logit_range else "1.000"
        seen = ("" if x is None or np.isnan(x) else f"{x:.5g}" for x in (h.attacked, h.observed))
        attacked, observed = seen
        words = "  hard mask only" if h.hard_mask_only else ""
        lines.append(f"{h.name:<16}{h.logit_range:>12.5g}{attacked:>12}{share:>8}{observed:>12}{h.kappa:>12.5g}{words}")
    return "\n".join(lines)
