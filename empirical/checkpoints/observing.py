"""`localist observe` and `localist generate`: a checkpoint's attention on real text, and the dial on it.

    model folder or hub id, JSON lines with blocks -> observations.nc (settings: dial 0, and the dial asked for)

One document a forward pass, every row of the chosen layers streamed in float64; queries in no block are counted, and
left out. The dataset has the schema of a run, so that `localist check` and `localist plot` work on it.
"""

from __future__ import annotations

import json
import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from bounds.dial.calculators import kappa_of_dial
from empirical.checkpoints.contexts import Labels, dial, guarded, observing
from empirical.checkpoints.reading import (
    KINDS,
    MASKED,
    SEQUENCE_TO_SEQUENCE,
    Asked,
    Tokens,
    load_checkpoint,
    longest,
    tokenised,
)
from empirical.checkpoints.rules import CheckpointRules, Text, load_checkpoint_rules, ruled
from empirical.errors import BadInput
from empirical.observe.rows import ROW_FIELDS

if TYPE_CHECKING:
    import xarray as xr

    from empirical.checkpoints.weights import Head


@torch.no_grad()
def observe_model(asked: Asked) -> tuple[xr.Dataset, list[Head]]:
    """The rows of the text at dial 0 and at the dials asked for; the loss of each where the model has one.

    And what the weights say of each head, beside the widest row observed at dial 0, where that is asked for.
    """
    for value in asked.dials:
        if not 0 <= value <= 1:
            raise BadInput(f"--dial must be in [0, 1], got {value!r}")
    if asked.attention not in KINDS:
        raise BadInput(f"--attention must be one of {', '.join(KINDS)}, got {asked.attention!r}")
    model, tokenizer = load_checkpoint(asked.model, asked.device, asked.dtype)
    if asked.attention != "self" and model.config.model_type not in SEQUENCE_TO_SEQUENCE:
        raise BadInput(f"--attention must be 'self' for a {model.config.model_type}, got {asked.attention!r}")
    texts, names = tokenised(asked, model, tokenizer)
    named = None if asked.relevant is None else names.index(asked.relevant)
    heads = certified(asked, texts) if asked.certify or asked.rules else []
    rules = _rules(asked, model, tokenizer, texts, names, heads)
    settings = [0.0, *(value for value in asked.dials if value > 0)]
    turned = _recomputed(settings)
    rows: list[list[dict[str, np.ndarray]]] = [[] for _ in settings]
    losses = np.zeros(len(settings))
    unknown: dict[str, tuple[str, ...]] = {}
    for number, text in enumerate(texts):
        labels = Labels(text.labels, text.labels if model.config.is_encoder_decoder else None, named=named)
        for at, value in enumerate(settings):
            with (
                dial(model, value, blocks=labels, kinds=(asked.attention,)),
                _ruled(model, rules, number, labels),
                _guarded(model, asked, labels, value == max(settings)),
                observing(
                    model,
                    labels,
                    layers=asked.layers,
                    kinds=(asked.attention,),
                    n_anchors=asked.n_anchors,
                    dial=turned[at],
                ) as found,
            ):
                losses[at] += _loss(model, text.ids) / len(texts)
            unknown |= found.unknown
            rows[at].append(_stacked(found.rows, [found.calls[name][1] for name in found.rows]))
    if not rows[0][0]:
        raise BadInput(f"--layers must name layers of the model, got {list(asked.layers or ())}")
    heads = [h for h in heads if asked.certify and (asked.layers is None or h.layer in asked.layers)]
    if heads and rules is None:  # a rule's strength is in the rows, and not in the weights
        widest = np.fmax.reduce([np.fmax.reduce(part["logit_range"], -1) for part in rows[0]])  # layer, head
        place = {layer: at for at, layer in enumerate(sorted(asked.layers or range(len(widest))))}
        heads = [replace(head, observed=float(widest[place[head.layer], head.head])) for head in heads]
    return _dataset(asked, texts, names, rows, settings, losses, unknown), heads


def _words(tokenizer: Any, text: Tokens) -> Text:
    """Its tokens as words, without the blank that a token may begin with."""
    words = [tokenizer.decode([token]).strip() for token in text.ids[0].tolist()]
    return Text(tuple(words), text.labels[0].cpu().numpy())


Rules = tuple[CheckpointRules, list[Text]]


def _rules(
    asked: Asked, model: Any, tokenizer: Any, texts: list[Tokens], names: list[str], heads: list[Head]
) -> Rules | None:
    """The rules asked for and the texts that they were verified for, with what the weights say of each layer's logits.

    A dial that is turned before them widens the range by its kappa: with a mask nothing can be promised outside it.
    """
    if asked.rules is None:
        return None
    if asked.attention != "self":
        raise BadInput(f"--rules must go with --attention self, got {asked.attention!r}")
    kappa = float(kappa_of_dial(max(asked.dials, default=0.0)))
    if not math.isfinite(kappa):
        raise BadInput("--rules must go with a dial below 1, which leaves them something to raise, got 1")
    layers = 1 + max(head.layer for head in heads)
    ranges = np.array([max(h.logit_range for h in heads if h.layer == layer) for layer in range(layers)])
    causal = model.config.model_type not in MASKED
    words = [_words(tokenizer, text) for text in texts]
    return load_checkpoint_rules(asked.rules, names, words, ranges + kappa, causal), words


def _ruled(model: Any, rules: Rules | None, number: int, labels: Labels) -> AbstractContextManager[Any]:
    if rules is None:
        return nullcontext()
    book, texts = rules
    return ruled(model, book, texts[number], labels)


def _guarded(model: Any, asked: Asked, labels: Labels, watched: bool) -> AbstractContextManager[Any]:
    if asked.guard is None or not watched:
        return nullcontext()
    return guarded(model, asked.guard, labels, kinds=(asked.attention,))


def certified(asked: Asked, texts: list[Tokens]) -> list[Head]:
    """What the weights say of every head of the attention asked for, and the dial that they guarantee.

    The target is the guard's or 0.9, the rows those with the largest (n - m)/m that the texts have. Raises BadInput for
    a model that is no folder.
    """
    from empirical.checkpoints.weights import certify

    if not Path(asked.model).is_dir():
        raise BadInput(f"MODEL must be a folder for its weights to be read, got the hub id {asked.model!r}")
    worst = (2, 1)
    for text in texts:
        blocks = text.labels[0].cpu().numpy()
        sizes = np.unique(blocks[blocks >= 0], return_counts=True)[1]
        worst = max(worst, (len(blocks), int(sizes.min())), key=lambda nm: (nm[0] - nm[1]) / nm[1])
    found = certify(asked.model, fidelity=asked.guard or 0.9, n_keys=worst[0], n_block=worst[1])
    return [head for head in found if head.kind == asked.attention]


def _recomputed(settings: list[float]) -> list[float]:
    """The dial at which each setting's rows are recomputed from their logits: the first one asked for, or one half."""
    return [settings[1] if at == 0 and len(settings) > 1 else 0.5 for at in range(len(settings))]


def _loss(model: Any, ids: Tensor) -> float:
    """Nats a token, of the next token where the model predicts it; NaN for one that does not."""
    kind = model.config.model_type
    if kind in SEQUENCE_TO_SEQUENCE:
        return float(model(input_ids=ids, labels=ids).loss)
    if kind in MASKED:
        model(input_ids=ids)
        return math.nan
    if ids.shape[1] < 2:
        model(input_ids=ids)
        return math.nan
    return float(model(input_ids=ids, labels=ids).loss)


def _stacked(rows: dict[str, dict[str, Tensor]], layers: list[int]) -> dict[str, np.ndarray]:
    """Fields (layer, head, query) of one document."""
    order = np.argsort(layers)
    fields = list(rows.values())
    return {f: np.stack([fields[i][f][0].numpy() for i in order]) for f in ROW_FIELDS} if fields else {}


def _dataset(
    asked: Asked,
    texts: list[Tokens],
    names: list[str],
    rows: list[list[dict[str, np.ndarray]]],
    settings: list[float],
    losses: np.ndarray,
    unknown: dict[str, tuple[str, ...]],
) -> xr.Dataset:
    import xarray as xr

    from empirical.files import commit, versions
    from empirical.observe.files import ROW, described

    block = torch.cat([text.labels[0] for text in texts]).cpu().numpy()
    kept = block >= 0 if asked.relevant is None else np.ones(len(block), dtype=bool)
    own = block if asked.relevant is None else np.full(len(block), names.index(asked.relevant))
    fields = {
        name: (ROW, np.stack([np.concatenate([part[name] for part in parts], -1)[..., kept] for parts in rows]))
        for name in ROW_FIELDS
    }
    count = len(settings)
    data = {
        **fields,
        "query_block": (("query",), own[kept]),
        "temperature": (("setting",), np.ones(count)),
        "dial": (("setting",), np.array(_recomputed(settings))),
        "loss_heldout": (("setting",), losses),
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
        "model": asked.model,
        "attention": asked.attention,
        "dials": json.dumps(settings),
        "blocks": json.dumps(names),
        "relevant": asked.relevant or "the query's own",
        "queries_in_no_block": int((~kept).sum()),
        "unknown": json.dumps({name: list(what) for name, what in unknown.items()}),
        "versions": json.dumps(versions(), sort_keys=True),
        "commit": commit(),
    }
    if asked.keep_text:
        dataset.attrs["text"] = json.dumps([text.document.text for text in texts])
    return dataset


@torch.no_grad()
def generate(asked: Asked, new_tokens: int, seed: int = 0, sample: bool = False) -> list[str]:
    """Each document continued by `new_tokens` tokens at the dial; new tokens are of the relevant block, or the last."""
    if new_tokens < 1:
        raise BadInput(f"--tokens must be at least 1, got {new_tokens}")
    model, tokenizer = load_checkpoint(asked.model, asked.device, asked.dtype)
    if model.config.model_type in MASKED:
        raise BadInput(f"MODEL must generate text, got a {model.config.model_type}")
    texts, names = tokenised(asked, model, tokenizer)
    heads = certified(asked, texts) if asked.rules else []
    rules = _rules(asked, model, tokenizer, texts, names, heads)
    continued = []
    for number, text in enumerate(texts):
        length, most = text.ids.shape[1] + new_tokens, longest(model)
        if most is not None and length > most:
            raise BadInput(f"{text.document.where} and --tokens must fit into {most} tokens, got {length}")
        inside = text.labels[0][text.labels[0] >= 0]
        grown = inside[-1:] if asked.relevant is None else torch.full_like(inside[-1:], names.index(asked.relevant))
        both = model.config.is_encoder_decoder
        start = grown[None] if both else text.labels
        labels = Labels(start, text.labels if both else None, grown)
        torch.manual_seed(seed)
        with (
            dial(model, asked.dials[0] if asked.dials else 0.0, blocks=labels, kinds=KINDS),
            _ruled(model, rules, number, labels),
            _guarded(model, asked, labels, True),
        ):
            ids = model.generate(
                text.ids, attention_mask=torch.ones_like(text.ids), max_new_tokens=new_tokens, do_sample=sample
            )
        new = ids[0] if both else ids[0, text.ids.shape[1] :]
        continued.append(tokenizer.decode(new, skip_special_tokens=True))
    return continued


def summary(dataset: xr.Dataset) -> str:
    """What was observed, in words and a table: a line a setting and layer, medians over heads and queries."""
    attributes = dataset.attrs
    lines = [
        f"{attributes['model']}: {dataset.sizes['query']:,} queries in {len(json.loads(attributes['blocks']))} blocks, "
        f"relevant block: {attributes['relevant']}; {attributes['queries_in_no_block']:,} queries in no block left out",
        "",
        f"{'dial':>6}{'layer':>7}{'loss':>9}{'fidelity':>10}{'entropy':>9}{'effective':>11}{'margin':>9}{'range':>9}",
    ]
    valid = dataset["valid"].values.astype(bool)
    for at, value in enumerate(json.loads(attributes["dials"])):
        for layer in range(dataset.sizes["layer"]):
            rows = {
                name: np.median(dataset[name].values[at, layer][valid[at, layer]])
                if valid[at, layer].any()
                else math.nan
                for name in ("fidelity", "entropy_nats", "margin", "logit_range")
            }
            lines.append(
                f"{value:6g}{layer:7}{float(dataset['loss_heldout'][at]):9.4f}{rows['fidelity']:10.4f}"
                f"{rows['entropy_nats']:9.3f}{math.exp(rows['entropy_nats']):11.2f}{rows['margin']:9.2f}"
                f"{rows['logit_range']:9.2f}"
            )
    lines += [
        f"UNKNOWN, not a plain softmax: {n} ({', '.join(w)})" for n, w in json.loads(attributes["unknown"]).items()
    ]
    return "\n".join(lines)
