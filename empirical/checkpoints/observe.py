"""`localist observe`: a checkpoint's attention on real text, and under the dial.

    model folder or hub id, JSON lines with blocks -> observations.nc (settings: dial 0, and the dial asked for)

Documents one by one or several at once, every row of the chosen layers streamed in float64; queries in no block are
counted, and left out. The dataset has the schema of a run, so that `localist check` and `localist plot` work on it.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from bounds.dial.calculators import kappa_of_dial
from empirical.checkpoints.architectures import ARCHITECTURES
from empirical.checkpoints.attach import places_of
from empirical.checkpoints.batches import batches, losses, why_no_loss
from empirical.checkpoints.contexts import Labels, ObservedRows, dial, observing
from empirical.checkpoints.gate_files import read_gates
from empirical.checkpoints.isolation import path_of
from empirical.checkpoints.loading import Checkpoint, Request, Tokens, load_checkpoint, tokenised
from empirical.checkpoints.promises import (
    applied,
    certified,
    refuse_early,
    requested_gates,
    requested_relation,
    requested_rules,
)
from empirical.checkpoints.weights import Head
from empirical.errors import BadInput, Miss
from empirical.files import one_line
from empirical.observe.relevance import Relation
from empirical.observe.schema import ROW, ROW_FIELDS
from empirical.observe.streaming import widened

if TYPE_CHECKING:
    import xarray as xr


MEDIANS = ("fidelity", "kept_mass", "entropy_nats", "margin", "logit_range")
"""What `summary` says of rows."""


def observe_model(request: Request) -> tuple[xr.Dataset, list[Head], list[Miss]]:
    """The rows of the text at dial 0 and at the dials asked for; the loss of each where the model has one.

    And what the weights say of each head, beside the widest row observed at dial 0, where that is asked for; and the
    rows at the largest dial that miss what the guard asks for, of the first document and layer that has some.
    """
    _refuse_gates(request)
    refuse_early(request)
    return observe_checkpoint(request, load_checkpoint(request.model, request.device, request.dtype))


@torch.no_grad()
def observe_checkpoint(request: Request, checkpoint: Checkpoint) -> tuple[xr.Dataset, list[Head], list[Miss]]:
    """The same of a checkpoint that is loaded."""
    _refuse_gates(request)
    model, tokenizer, lacks = checkpoint
    if request.attention not in ARCHITECTURES[model.config.model_type].kinds:
        raise BadInput(f"--attention must be 'self' for a {model.config.model_type}, got {request.attention!r}")
    layers = _chosen(request, model)
    texts, names = tokenised(request, model, tokenizer)
    named = None if request.relevant is None else names.index(request.relevant)
    relation = requested_relation(request, names)
    heads = certified(request, model, texts, names, relation) if request.certify or request.rules else []
    rules = requested_rules(request, model, tokenizer, texts, names, heads)
    gates = requested_gates(request, model)
    settings, misses = list(request.settings), []
    rows: list[list[dict[str, np.ndarray]]] = [[] for _ in settings]
    no_loss = why_no_loss(model, texts, lacks)
    loss_of = np.full((len(settings), len(texts)), math.nan)
    unknown: dict[str, tuple[str, ...]] = {}
    padding = next((token for token in (tokenizer.pad_token_id, model.config.pad_token_id) if token is not None), 0)
    for batch in batches(texts, request.batch, padding):
        keys = batch.labels if model.config.is_encoder_decoder else None
        labels = Labels(batch.labels, keys, named=named, sees=relation.sees, kept=relation.kept)
        for at, value in enumerate(settings):
            with (
                dial(model, value, blocks=labels, kinds=(request.attention,)),
                applied(model, rules, batch.first, labels),
                gates(labels),
                observing(
                    model,
                    labels,
                    layers=layers,
                    kinds=(request.attention,),
                    n_anchors=request.n_anchors,
                    dial=None,
                    promised=request.guard if value == max(settings) else None,
                    record=True,
                ) as found,
            ):
                own = losses(model, batch, bool(no_loss))
            unknown |= found.unknown
            misses = misses or [replace(miss, sequence=batch.first) for miss in found.misses]
            for place, (loss, length) in enumerate(zip(own, batch.lengths, strict=True)):
                loss_of[at, batch.first + place] = loss
                rows[at].append(_stacked(found, place, length))
    heads = [h for h in heads if request.certify and h.layer in layers]
    if heads and rules is None:  # a rule's strength is in the rows, and not in the weights
        widest = np.fmax.reduce([np.fmax.reduce(part["logit_range"], -1) for part in rows[0]])  # layer, head
        heads = [replace(head, observed=float(widest[layers.index(head.layer), head.head])) for head in heads]
    dataset = _dataset(request, texts, names, rows, settings, loss_of, unknown)
    if len(settings) > 1 and rules is None:
        _add_law(dataset, settings, layers, widened(model.dtype))
    dataset.attrs["no_loss"] = no_loss
    if request.gates is not None:
        dataset.attrs["gates"] = one_line(f"{request.gates}: {read_gates(request.gates).words()}")
    dataset.attrs["relation"] = json.dumps(relation.named(names))
    if 1.0 in settings and request.attention == "self" and named is None:
        dataset.attrs["isolated"] = one_line(_isolated(model, texts, names, relation))
    return dataset.assign_coords(layer=list(layers)), heads, misses


def _refuse_gates(request: Request) -> None:
    """Raises BadInput for gates where all queries are told one relevant block: they were chosen for their own."""
    if request.gates is not None and request.relevant is not None:
        raise BadInput(f"--gates must be given without --relevant, got {request.relevant!r}")


def _isolated(model: Any, texts: list[Tokens], names: list[str], relation: Relation) -> str:
    """What a mask in every layer isolates, of these texts."""
    if model.config.is_encoder_decoder:
        return "isolation: not looked at for an encoder and a decoder together"
    for text in texts:
        if (path := path_of(model, text.labels[0].cpu(), relation)) is not None:
            return f"dial 1 isolates no block: in {text.document.where} {path.words(names)}"
    return "dial 1 in every layer: no attention carries anything to a block from what it may not see"


def _chosen(request: Request, model: Any) -> tuple[int, ...]:
    """The numbers of the layers asked for, ascending; all of them without a request. Raises BadInput for another."""
    there = sorted(layer for _, kind, layer in places_of(model).values() if kind == request.attention)
    for layer in request.layers or ():
        if layer not in there:
            raise BadInput(f"--layers must be among {there[0]} to {there[-1]}, got {layer}")
    return tuple(sorted(set(request.layers))) if request.layers else tuple(there)


def _add_law(dataset: xr.Dataset, settings: list[float], layers: tuple[int, ...], kernel: torch.dtype) -> None:
    """What the odds law speaks of: each setting's rows in the pass at the next larger dial, and how far that turns it.

    Of the first layer alone, whose input no dial moves: elsewhere, and at the largest dial, NaN. In the dtype that the
    kernel is given the bias in.
    """
    import xarray as xr

    from empirical.observe.files import described

    law = np.full(dataset["leakage"].shape, math.nan)
    kappas = torch.tensor(kappa_of_dial(np.array(settings))).to(kernel).double().numpy()
    turned = np.full(len(settings), math.nan)
    for at, value in enumerate(settings):
        larger = [other for other, dial in enumerate(settings) if dial > value]
        if larger:
            after = min(larger, key=settings.__getitem__)
            turned[at] = kappas[after] - kappas[at]
            if layers[0] == 0:
                law[at, 0] = dataset["leakage"].values[after, 0]
    more = {"leakage_dialled": (ROW, law), "kappa": (("setting",), turned), "dial": (("setting",), -np.expm1(-turned))}
    dataset.update(described(xr.Dataset(more)))


def _means(losses: np.ndarray) -> np.ndarray:
    """Of the documents that have a loss, a setting a row."""
    known = ~np.isnan(losses)
    counts = known.sum(-1)
    return np.where(counts, np.where(known, losses, 0.0).sum(-1) / np.maximum(counts, 1), math.nan)


def _stacked(found: ObservedRows, at: int, length: int) -> dict[str, np.ndarray]:
    """Fields (layer, head, query) of one document of those read at once."""
    names = sorted(found.rows, key=lambda name: found.calls[name][1])
    fields = [found[name] for name in names]
    return {f: np.stack([one[f][at, :, :length].numpy() for one in fields]) for f in ROW_FIELDS} if fields else {}


def _dataset(
    request: Request,
    texts: list[Tokens],
    names: list[str],
    rows: list[list[dict[str, np.ndarray]]],
    settings: list[float],
    losses: np.ndarray,
    unknown: dict[str, tuple[str, ...]],
) -> xr.Dataset:
    import xarray as xr

    from empirical.observe.files import described
    from empirical.provenance import commit, versions

    block = torch.cat([text.labels[0] for text in texts]).cpu().numpy()
    kept = block >= 0 if request.relevant is None else np.ones(len(block), dtype=bool)
    own = block if request.relevant is None else np.full(len(block), names.index(request.relevant))
    fields = {
        name: (ROW, np.stack([np.concatenate([part[name] for part in parts], -1)[..., kept] for parts in rows]))
        for name in ROW_FIELDS
        if name != "leakage_dialled"
    }
    count = len(settings)
    data = {
        **fields,
        "query_block": (("query",), own[kept]),
        "temperature": (("setting",), np.ones(count)),
        "loss_heldout": (("setting",), _means(losses)),
    }
    coords = {
        "document": ("query", np.repeat(np.arange(len(texts)), [t.ids.shape[1] for t in texts])[kept]),
        "penalty": ("setting", np.full(count, np.nan)),
        "seed": ("setting", np.zeros(count, dtype=np.int64)),
        "start": ("setting", np.array([f"dial {d:g}" for d in settings])),
    }
    dataset = described(xr.Dataset(data, coords=coords))
    dataset.attrs = {
        "title": "Observed attention of a checkpoint on real text",
        "model": request.model,
        "attention": request.attention,
        "dials": json.dumps(settings),
        "blocks": json.dumps(names),
        "relevant": request.relevant or "the query's own",
        "queries_in_no_block": int((~kept).sum()),
        "unknown": json.dumps({name: list(what) for name, what in unknown.items()}),
        "versions": json.dumps(versions(), sort_keys=True),
        "commit": commit(),
    }
    if request.keep_text:
        dataset.attrs["text"] = json.dumps([text.document.text for text in texts])
    return dataset


def summary(dataset: xr.Dataset) -> str:
    """What was observed, in words and a table: a line a setting and layer, medians over heads and queries."""
    attributes, kept = dataset.attrs, json.loads(dataset.attrs["relation"])["keep"]
    lines = [
        f"{one_line(attributes['model'])}: {dataset.sizes['query']:,} queries in "
        f"{len(json.loads(attributes['blocks']))} blocks, relevant block: {one_line(attributes['relevant'])}; "
        f"{attributes['queries_in_no_block']:,} queries in no block left out",
        "",
        f"{'dial':>6}{'layer':>7}{'loss':>9}{'fidelity':>10}{'entropy':>9}{'effective':>11}{'margin':>9}{'range':>9}"
        + (f"{'without kept':>14}" if kept else ""),
    ]
    valid = dataset["valid"].values.astype(bool)
    for at, value in enumerate(json.loads(attributes["dials"])):
        for place, layer in enumerate(dataset["layer"].values):
            seen = {name: dataset[name].values[at, place][valid[at, place]] for name in MEDIANS}
            seen["without kept"] = seen["fidelity"] - seen["kept_mass"]
            rows = {name: np.median(values) if values.size else math.nan for name, values in seen.items()}
            lines.append(
                f"{value:6g}{layer:7}{float(dataset['loss_heldout'][at]):9.4f}{rows['fidelity']:10.4f}"
                f"{rows['entropy_nats']:9.3f}{math.exp(rows['entropy_nats']):11.2f}{rows['margin']:9.2f}"
                f"{rows['logit_range']:9.2f}" + (f"{rows['without kept']:14.4f}" if kept else "")
            )
    if "gates" in attributes:
        lines.insert(1, f"all of it under the gates of {one_line(attributes['gates'])}")
    if attributes["no_loss"]:
        lines.append(f"no loss: {one_line(attributes['no_loss'])}")
    if "isolated" in attributes:
        lines.append(attributes["isolated"])
    if "leakage_dialled" in dataset:
        lines.append("odds_law: rows of layer 0, in the pass at the next dial; UNKNOWN deeper, where the inputs move")
    lines += [f"UNKNOWN: rows of {one_line(n)} ({', '.join(w)})" for n, w in json.loads(attributes["unknown"]).items()]
    return "\n".join(lines)
