"""Checkpoints of Hugging Face models: their attention observed without an n x n matrix, and dialled exactly.

    with dial(model, 0.8, blocks=labels): model(**inputs)        # - kappa on logits outside the query's block
    with observing(model, labels) as rows: model(**inputs)       # rows["model.layers.0.self_attn"]["entropy_nats"]

Dial 0 is the model bit for bit. What does more to a row than softmax(logits + bias), as sinks do, is named: such rows
are observed as unknown, and are not dialled. `attach` says how a call is met, `call` what its logits are.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from bounds.dial.calculators import kappa_of_dial
from empirical.checkpoints.architecture import KINDS
from empirical.checkpoints.attach import places_of, routed
from empirical.checkpoints.call import Call
from empirical.checkpoints.recomputation import on_stack
from empirical.dial.changes import Amounts, dials_or_kappas
from empirical.dial.guard import fidelity_promised, keeps
from empirical.errors import BadInput, Miss, Missed
from empirical.observe.relevance import Blocks, Relation, labels_of
from empirical.observe.streaming import stream_rows, widened
from empirical.shapes import Bool, Int

if TYPE_CHECKING:
    import xarray as xr


@dataclass
class Labels:
    """The block of every token, as the queries and as the keys of a call; below 0 it is in none.

    New tokens of a generation are of block `grown`, one a sequence, as the prompt's last token should be, from which
    the first is drawn; for cross attention `keys` are of the encoder. A query may see its own block, those that
    `sees` pairs it with as (query block, key block), and the tokens of `kept` blocks, -1 being those of none:
    `observe.relevance`. Raises BadInput for labels that are no whole numbers.
    """

    tokens: Any  # Blocks, a tensor (B, T) once they are here; so are the next two, (B, N) and (B,)
    keys: Any = None  # cross attention
    grown: Any = None
    named: int | None = None  # the relevant block of every query, whatever its own
    sees: Collection[tuple[int, int]] = ()
    kept: Collection[int] = ()

    def __post_init__(self) -> None:
        self.tokens = labels_of("blocks", self.tokens)
        self.keys = None if self.keys is None else labels_of("keys", self.keys)
        self.grown = None if self.grown is None else labels_of("grown", self.grown, 1)

    @property
    def highest(self) -> int:
        """Of all blocks that tokens are of; below 0 where none is in any."""
        given = [labels for labels in (self.tokens, self.keys, self.grown) if labels is not None]
        return max([int(labels.max()) for labels in given] + [-1 if self.named is None else self.named])

    @cached_property
    def relation(self) -> Relation:
        return Relation(frozenset(self.sees), frozenset(self.kept))

    def of(self, call: Call) -> tuple[Int[Tensor, "B T"], Int[Tensor, "B N"]]:
        """The relevant block of each query, the block of each key, by where they stand in the sequence.

        Raises BadInput where tokens and labels differ, or sequences and labels outside a generation's beams.
        """
        queries, keys = call.positions
        if call.kind == "cross" or (call.kind == "encoder" and self.keys is not None):
            if self.keys is None:
                raise BadInput(f"blocks must have labels of the encoder's tokens for {call.name}, got none")
            of_keys = _of_batch(self.keys, call)
            if of_keys.shape[1] != len(keys):
                raise BadInput(f"blocks must label {len(keys)} encoder tokens, got {of_keys.shape[1]}")
            of_queries = self.at(queries, call) if call.kind == "cross" else of_keys
        else:
            of_queries, of_keys = self.at(queries, call), self.at(keys, call)
        if self.named is not None:
            of_queries = torch.full_like(of_queries, self.named)
        return of_queries, of_keys

    def at(self, positions: range, call: Call) -> Int[Tensor, "B N"]:
        """The blocks of the tokens at some positions of the sequence; what is not written yet is of none."""
        known, length = _of_batch(self.tokens, call), call.positions[0].stop
        if self.grown is None:
            if known.shape[1] != length:
                raise BadInput(f"blocks must label every token, got {known.shape[1]} labels for {length} tokens")
            new = known.new_full((len(known), 1), -1)
        else:
            new = _of_batch(self.grown[:, None], call)
        place = torch.arange(positions.start, positions.stop, device=known.device)
        written = torch.cat([known, new], 1)[:, place.clamp(max=known.shape[1])]
        return written.masked_fill(place >= length, -1)


def _of_batch(labels: Int[Tensor, "B N"], call: Call) -> Int[Tensor, "_ N"]:
    """One row a sequence of the call: in a generation its beams share their sequence's."""
    batch, given = len(call.query), len(labels)
    labels = labels.to(call.query.device)
    if batch == given:
        return labels
    if batch % given or not on_stack("transformers/generation/utils.py", "generate"):
        raise BadInput(f"blocks must label every sequence, got labels of {given} for {batch}")
    return labels.repeat_interleave(batch // given, 0)


def labels_given(blocks: Blocks | Labels) -> Labels:
    return blocks if isinstance(blocks, Labels) else Labels(blocks)


def layers_of(model: Any, kinds: tuple[str, ...]) -> int:
    """How many layers attend in these ways. Raises BadInput for a kind that there is not, or weights without values."""
    there = [layer for _, kind, layer in places_of(model).values() if kind in kinds]
    if isinstance(kinds, str) or not set(kinds) <= set(KINDS) or not there:
        raise BadInput(
            f"kinds must be some of {', '.join(KINDS)}, at least one of which a {model.config.model_type} has, got "
            f"{kinds!r}"
        )
    held = getattr(model, "hf_device_map", None) is not None  # parts are brought from elsewhere when they are called
    if not held and any(parameter.is_meta for parameter in model.parameters()):
        raise BadInput("model must have values, got parameters of device meta")
    return max(there) + 1


def in_block(
    queries: Int[Tensor, "B T"], keys: Int[Tensor, "B N"], relation: Relation | None = None
) -> Bool[Tensor, "B 1 T N"]:
    """Whether a key is relevant to the query; everything is to a query of no block: it is not dialled."""
    return ((relation or Relation()).relevant(queries, keys) | (queries < 0)[..., None])[:, None]


def dial(
    model: Any,
    dials: Amounts | None = None,
    *,
    kappas: Amounts | None = None,
    blocks: Blocks | Labels,
    kinds: tuple[str, ...] = ("self",),
) -> Any:
    """The dial on a checkpoint, as a context: `dials` in [0, 1] or `kappas` >= 0, a number or (layers, heads) of each.

    Logits outside the query's block are lower by kappa = -ln(1 - dial) before the softmax. Raises BadInput for a value
    out of range, another shape, labels that do not fit the tokens, or an attention that is not a plain softmax.
    """
    name, values = dials_or_kappas(dials, kappas)
    if values.ndim > 2:
        raise BadInput(f"{name} must be one number or (layers, heads) of them, got shape {values.shape}")
    cells = torch.as_tensor(np.asarray(kappa_of_dial(values) if name == "dials" else values, dtype=float))
    labels, layers = labels_given(blocks), layers_of(model, kinds)
    if values.ndim == 2 and len(values) not in (1, layers):
        raise BadInput(f"{name} must be one number or ({layers}, heads) of them, got shape {values.shape}")

    def bias(call: Call) -> Tensor | None:
        if call.kind not in kinds:
            return None
        try:
            kappa = cells.expand(max(call.layer + 1, len(cells) if cells.ndim == 2 else 1), call.query.shape[1])
        except RuntimeError:
            shape = tuple(cells.shape)
            raise BadInput(f"{name} must be (layers, {call.query.shape[1]}) numbers, got shape {shape}") from None
        mine = kappa[call.layer]
        if not bool(mine.any()):
            return None
        off = ~in_block(*labels.of(call), labels.relation)
        return torch.where(off, -mine.to(call.query.device, widened(call.query.dtype))[None, :, None, None], 0.0)

    return routed(model, bias)


@dataclass
class ObservedRows:
    """Rows by attention: name -> fields (B, H, T), on the CPU; `unknown` says why some of a name are not valid.

    The T queries are those of the last pass and of the passes that it goes on from, as the steps of a generation do:
    from position `first` on. Beams are those of each step.
    """

    calls: dict[str, tuple[str, int]] = field(default_factory=dict)  # kind and layer
    unknown: dict[str, tuple[str, ...]] = field(default_factory=dict)
    first: dict[str, int] = field(default_factory=dict)
    misses: list[Miss] = field(default_factory=list)  # of the first layer that has some, where they are recorded
    _passes: dict[str, list[dict[str, Tensor]]] = field(default_factory=dict)

    def __getitem__(self, name: str) -> dict[str, Tensor]:
        """Every field of an attention, its passes put together when they are asked for."""
        passes = self._passes[name]
        if len(passes) > 1:
            passes[:] = [{f: torch.cat([one[f] for one in passes], -1) for f in passes[0]}]
        return passes[0]

    @property
    def rows(self) -> dict[str, dict[str, Tensor]]:
        return {name: self[name] for name in self._passes}

    def dataset(self, kind: str = "self") -> xr.Dataset:
        """The rows of that kind of attention for `check_dataset` and `plot`, the B texts one after the other."""
        from empirical.observe.files import observations

        names = sorted((n for n, call in self.calls.items() if call[0] == kind), key=lambda name: self.calls[name][1])
        if not names:
            there = sorted({k for k, _ in self.calls.values()})
            raise BadInput(f"kind must be one of those observed ({', '.join(there) or 'none'}), got {kind!r}")
        fields = {f: torch.stack([self[name][f].transpose(0, 1).flatten(1) for name in names]) for f in self[names[0]]}
        return observations(**fields, layer=np.array([self.calls[name][1] for name in names]))

    def add(self, call: Call, fields: dict[str, Tensor]) -> None:
        """The rows of one call, after those that stand before them."""
        before = self._passes.get(call.name, [])
        end = self.first.get(call.name, 0) + sum(_shape(one)[-1] for one in before)
        if before and (end < call.first_query or _shape(before[0])[:2] != _shape(fields)[:2]):
            before, end = [], call.first_query
        if end > call.first_query and before:  # those are computed again
            kept = call.first_query - self.first[call.name]
            before = [{f: value[..., :kept] for f, value in self[call.name].items()}] if kept > 0 else []
        self.first[call.name] = self.first[call.name] if before else call.first_query
        self._passes[call.name] = [*before, fields]
        self.calls[call.name] = (call.kind, call.layer)


def _shape(fields: dict[str, Tensor]) -> torch.Size:
    return next(iter(fields.values())).shape


@contextmanager
def observing(
    model: Any,
    blocks: Blocks | Labels,
    *,
    layers: tuple[int, ...] | None = None,
    kinds: tuple[str, ...] = ("self",),
    n_anchors: int | None = 1,
    dial: float | None = 0.5,
    promised: float | None = None,
    record: bool = False,
) -> Iterator[ObservedRows]:
    """Row fields of every chosen attention of the forward passes inside: of the last, or of a generation's every step.

    Memory grows with the number of tokens, not with its square. Rows that are more than a softmax, or overflow, are
    unknown, and not valid. Rows of half precision are taken in float32 from the same queries and keys. Without a
    `dial` nothing is recomputed, and `leakage_dialled` is NaN. With `promised` every layer is `guarded` as well, its
    rows streamed once for both; with `record` misses are kept.
    """
    labels, found, there = labels_given(blocks), ObservedRows(), layers_of(model, kinds)
    if layers is not None and not set(layers) <= set(range(there)):
        raise BadInput(f"layers must be some of 0 to {there - 1}, got {layers!r}")
    if n_anchors is not None and not n_anchors >= 1:
        raise BadInput(f"n_anchors must be a whole number >= 1, got {n_anchors!r}")
    if dial is not None and not 0 <= dial <= 1:
        raise BadInput(f"dial must be in [0, 1], got {dial!r}")
    promise = None if promised is None else fidelity_promised(promised)

    def watch(call: Call, bias: Tensor | None) -> None:
        chosen = layers is None or call.layer in layers
        if call.kind not in kinds or not (chosen or promise is not None):
            return
        rows, own = _streamed(call, bias, labels, n_anchors, dial)
        if promise is not None and (misses := _misses(call, rows, own, promise)):
            if not record:
                raise Missed(promise, misses)
            found.misses = found.misses or misses
        if not chosen:
            return
        if reasons := (*call.unknown, *_overflow(call, rows)):
            found.unknown[call.name] = reasons
        if call.unknown:
            rows["unknown"] = torch.ones_like(rows["unknown"])
        rows["valid"] &= ~rows["unknown"]
        found.add(call, rows)

    with routed(model, watch=watch):
        yield found


@contextmanager
def guarded(
    model: Any,
    promised: float,
    blocks: Blocks | Labels,
    *,
    kinds: tuple[str, ...] = ("self",),
    record: bool = False,
) -> Iterator[list[Miss]]:
    """Every row of a block must keep the fidelity promised: raises Missed at the first layer that has one below it.

    With `record` the misses are collected instead. A row that is more than a softmax promises nothing, and misses.
    Inside a `dial` it judges the rows as dialled. Raises BadInput for a promise outside (0, 1].
    """
    fidelity_promised(promised)
    labels, _ = labels_given(blocks), layers_of(model, kinds)
    misses: list[Miss] = []

    def watch(call: Call, bias: Tensor | None) -> None:
        if call.kind not in kinds:
            return
        found = _misses(call, *_streamed(call, bias, labels, 1, 0.5), promised)
        misses.extend(found)
        if found and not record:
            raise Missed(promised, found)

    with routed(model, watch=watch):
        yield misses


def _misses(call: Call, rows: dict[str, Tensor], own: Int[Tensor, "B T"], promised: float) -> list[Miss]:
    kept = keeps(rows["leakage"], promised) & ~rows["unknown"] & (not call.unknown)
    sees = rows["n_keys"] > 0  # padding, whatever its label: it has no attention to keep
    missed = (~kept & sees & (own >= 0)[:, None].cpu()).nonzero().tolist()
    first = call.first_query
    return [Miss(0, call.layer, h, b, first + t, float(rows["fidelity"][b, h, t])) for b, h, t in missed]


def _overflow(call: Call, rows: dict[str, Tensor]) -> tuple[str, ...]:
    return (f"overflow of {str(call.query.dtype).removeprefix('torch.')}",) if rows["unknown"].any() else ()


def _streamed(
    call: Call, bias: Tensor | None, labels: Labels, n_anchors: int | None, dial: float | None
) -> tuple[dict[str, Tensor], Int[Tensor, "B T"]]:
    """Row fields of a call, every bias included, and the relevant block of each query."""
    queries, keys = labels.of(call)
    full = [b.expand(-1, -1, *call.shape) for b in (call.position_bias, call.values, bias) if b is not None]
    rows = stream_rows(
        call.query,
        call.key,
        queries,
        keys,
        scaling=call.scaling,
        softcap=call.softcap,
        visible=call.visible,
        biases=full,
        n_anchors=n_anchors,
        dial=dial,
        relation=labels.relation,
        largest=call.largest if bias is None else math.inf,  # dialled, the kernel is given float32
    )
    return rows, queries
