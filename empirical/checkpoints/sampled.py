"""The dial of a checkpoint that documents support, and its audit on others, with stated confidence.

    found = sampled_dial(model, documents, 0.9, share=0.95, confidence=0.95, layers=(3,))     # or Unreachable
    audit = audited(model, others, found.kappa, 0.9, confidence=0.95, layers=(3,))            # on the dialled model

A document's need is the largest kappa among its rows in the chosen layers and all their heads, by the odds law from
ln leakage (`bounds.samples`), rounded up in the model's own precision. For *one* layer that is exact: its inputs do not
depend on its own dial. For several the deeper rows move when shallower ones are dialled, and what was read of the model
as trained may fall short. Then give a `grid` of dials: a document's need is the least of them from which on it meets
the target on the dialled model, again a number a document, to which the same bound applies. The audit looks at the
dialled model too; its confidence rests on nothing but documents drawn alike. One dial for all chosen layers and heads;
autoregressive generation is not covered.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bounds.numbers.search import Unreachable
from bounds.samples import Audit, Sampled, audit, row_kappa, sampled_kappa
from empirical.checkpoints.attach import places_of
from empirical.checkpoints.contexts import Labels, ObservedRows, dial, observing
from empirical.dial.guard import keeps
from empirical.errors import BadInput
from empirical.observe.streaming import widened


@dataclass(frozen=True)
class LabelledInputs:
    """Inputs of one forward pass, and the blocks of their tokens; the unit of the statistics."""

    inputs: dict[str, Tensor]
    blocks: Labels | Tensor


def worst_kappa(rows: ObservedRows, target: float) -> float:
    """The largest kappa that a row needs to meet the target, over every attention observed; 0 where all meet it.

    Rows that do not see both their block and something outside have nothing to dial. Raises BadInput for rows that are
    more than a softmax, and where no row counts.
    """
    if rows.unknown:
        name, why = next(iter(rows.unknown.items()))
        raise BadInput(f"model must do nothing to a row but softmax, got {', '.join(why)} in {name}")
    needed = []
    for fields in rows.rows.values():
        counts = fields["valid"].bool()
        log_leakage, fidelity = (fields[name][counts].double().numpy() for name in ("log_leakage", "fidelity"))
        needed.append(row_kappa(np.minimum(log_leakage, 0.0), fidelity, target))
    kappas = np.concatenate(needed) if needed else np.zeros(0)
    if not kappas.size:
        raise BadInput("documents must have a row that sees its block and something outside, got none in one")
    return float(kappas.max())


def _watched(
    model: Any, documents: Iterable[LabelledInputs], layers: Sequence[int] | None, kinds: tuple[str, ...]
) -> Iterator[ObservedRows]:
    chosen = None if layers is None else tuple(layers)
    for document in documents:
        with torch.no_grad(), observing(model, document.blocks, layers=chosen, kinds=kinds) as rows:
            model(**document.inputs)
        yield rows


def needed_kappas(
    model: Any,
    documents: Iterable[LabelledInputs],
    target: float,
    *,
    layers: Sequence[int] | None = None,
    kinds: tuple[str, ...] = ("self",),
) -> np.ndarray:
    """The need of each document, (N,), with the model as it is inside whatever context this is called in."""
    _check(model, target, layers, kinds)
    return np.array([worst_kappa(rows, target) for rows in _watched(model, documents, layers, kinds)])


def needed_of_grid(
    model: Any,
    documents: Iterable[LabelledInputs],
    target: float,
    grid: Sequence[float],
    *,
    layers: Sequence[int] | None = None,
    kinds: tuple[str, ...] = ("self",),
) -> np.ndarray:
    """The least kappa of the grid from which on each document meets the target, dialled: (N,), inf where none does.

    From the largest down, until one misses: deeper rows may get worse as the dial is turned. One pass a dial looked at.
    """
    values = np.asarray(grid, dtype=float)
    if values.ndim != 1 or not values.size or not ((values >= 0) & np.isfinite(values)).all():
        raise BadInput(f"grid must be finite kappas >= 0, got {grid!r}")
    number = _check(model, target, layers, kinds)
    descending = sorted({_rounded_up(value, model) for value in values.tolist()}, reverse=True)

    def need(document: LabelledInputs) -> float:
        met = np.inf
        for kappa in descending:
            if _missed(model, document, _cells(kappa, number, layers), target, layers, kinds):
                break
            met = kappa
        return met

    return np.array([need(document) for document in documents])


def sampled_dial(
    model: Any,
    documents: Iterable[LabelledInputs],
    target: float,
    *,
    share: float,
    confidence: float,
    layers: Sequence[int] | None = None,
    kinds: tuple[str, ...] = ("self",),
    grid: Sequence[float] | None = None,
) -> Sampled | Unreachable:
    """The dial at which, with this confidence, that share of documents meets the target in every row; or why not.

    Without a `grid`, which several layers need, of exactly one layer. Unreachable below the least count of documents.
    Raises BadInput as `worst_kappa` does, for several layers without a grid, or a target, share or confidence outside
    (0, 1).
    """
    for name, value in (("share", share), ("confidence", confidence)):
        if not 0 < value < 1:
            raise BadInput(f"{name} must be in (0, 1), got {value!r}")
    number = _check(model, target, layers, kinds)
    if grid is not None:
        needed = needed_of_grid(model, documents, target, grid, layers=layers, kinds=kinds)
    elif (number if layers is None else len(set(layers))) == 1 and len(kinds) == 1:
        needed = needed_kappas(model, documents, target, layers=layers, kinds=kinds)
    else:
        raise BadInput(f"grid must be given where several layers are dialled, got none for layers {layers!r}")
    found = sampled_kappa(needed, share, confidence)
    if isinstance(found, Unreachable):
        return found
    return replace(found, kappa=_rounded_up(found.kappa, model))


def audited(
    model: Any,
    documents: Iterable[LabelledInputs],
    kappa: float,
    target: float,
    *,
    confidence: float,
    layers: Sequence[int] | None = None,
    kinds: tuple[str, ...] = ("self",),
) -> Audit:
    """What documents that had no part in choosing the dial say of it: those with a row below the target, dialled.

    A document misses if any row of the dialled layers, along the dialled model's own states, leaks more than the target
    allows. Raises BadInput as `worst_kappa` does, or for no documents.
    """
    number = _check(model, target, layers, kinds)
    cells = _cells(kappa, number, layers)
    missed = [_missed(model, document, cells, target, layers, kinds) for document in documents]
    if not missed:
        raise BadInput("documents must number at least one for an audit, got none")
    return audit(np.array(missed), confidence)


def _cells(kappa: float, number: int, layers: Sequence[int] | None) -> np.ndarray:
    """One kappa a layer, zero in those that were not chosen."""
    cells = np.zeros((number, 1))
    cells[slice(None) if layers is None else list(layers)] = kappa
    return cells


def _missed(
    model: Any,
    document: LabelledInputs,
    cells: np.ndarray,
    target: float,
    layers: Sequence[int] | None,
    kinds: tuple[str, ...],
) -> bool:
    """Whether a row of the dialled layers leaks more than the target allows, along the dialled model's own states."""
    with dial(model, kappas=cells, blocks=document.blocks, kinds=kinds):
        (rows,) = _watched(model, [document], layers, kinds)
    worst_kappa(rows, target)  # refuses rows that cannot be judged
    return any(bool((~keeps(f["leakage"], target) & f["valid"].bool()).any()) for f in rows.rows.values())


def _check(model: Any, target: float, layers: Sequence[int] | None, kinds: tuple[str, ...]) -> int:
    """The number of layers of these kinds. Raises BadInput for a target or a layer that there is not."""
    if not 0 < target < 1:
        raise BadInput(f"target must be a fidelity in (0, 1), got {target!r}")
    there = {layer for _, kind, layer in places_of(model).values() if kind in kinds}
    if not there or (layers is not None and (not layers or not set(layers) <= there)):
        raise BadInput(f"layers must be some of {sorted(there)} of kind {', '.join(kinds)}, got {layers!r}")
    return max(there) + 1


def _rounded_up(kappa: float, model: Any) -> float:
    """The next number of the precision in which the dial is added to logits."""
    dtype = widened(next(model.parameters()).dtype)
    near = torch.tensor(kappa, dtype=torch.float64).to(dtype)
    if near.double().item() < kappa:
        near = torch.nextafter(near, torch.tensor(torch.inf, dtype=dtype))
    return float(near.double())
