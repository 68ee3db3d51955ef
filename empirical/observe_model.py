"""`localist observe` and `localist generate`: a checkpoint's attention on real text, and the dial on it.

    model folder or hub id, JSON lines with blocks -> observations.nc (settings: dial 0, and the dial asked for)

One document a forward pass, every row of the chosen layers streamed in float64; queries in no block are counted, and
left out. The dataset has the schema of a run, so that `localist check` and `localist plot` work on it. Weights are read
from safetensors alone, no code of a checkpoint is run, and the network is used only where a hub id is asked for.
"""

from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from empirical.checkpoints import Labels, dial, observing
from empirical.documents import Document, align, read_documents
from empirical.errors import BadInput
from empirical.observe import ROW_FIELDS
from empirical.routes import ARCHITECTURES

if TYPE_CHECKING:
    import xarray as xr

SEQUENCE_TO_SEQUENCE, MASKED = ("bart", "t5"), ("bert", "roberta")
KINDS = ("self", "encoder", "cross")


@dataclass(frozen=True)
class Asked:
    """What to observe of which model on which text."""

    model: str
    text: Path
    blocks: str = "spans"
    relevant: str | None = None  # the block relevant to every query; none: its own
    attention: str = "self"
    layers: tuple[int, ...] | None = None
    n_anchors: int | None = 1  # keys that a margin counts
    dials: tuple[float, ...] = ()  # beside dial 0
    device: str = "cpu"
    dtype: str = "float32"
    keep_text: bool = False


def load_checkpoint(name: str, device: str = "cpu", dtype: str = "float32") -> tuple[Any, Any]:
    """(model, tokenizer), ready to be observed.

    A name that is no folder is a hub id, and it is said that the network is used. Raises BadInput for a folder without
    config.json or safetensors, an unknown architecture, a device that is not there, a tokenizer without offsets.
    """
    try:
        import transformers
    except ImportError:
        raise BadInput("MODEL must be read with transformers: pip install 'localist-bounds[hf]'") from None

    folder = Path(name).is_dir()
    if folder:
        _look_at(Path(name))
    elif name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise BadInput(f"MODEL must be a folder or a hub id, got {name!r}, which is not there")
    else:
        print(f"{name!r} is no folder: asking the hub for it, over the network", file=sys.stderr)
    if device != "cpu" and not (device == "cuda" and torch.cuda.is_available()):
        raise BadInput(f"--device must be a device of this machine, got {device!r}")
    transformers.utils.logging.disable_progress_bar()
    safe: dict[str, Any] = {"local_files_only": folder, "trust_remote_code": False}
    try:
        config = transformers.AutoConfig.from_pretrained(name, **safe)
        if config.model_type not in ARCHITECTURES:
            known = ", ".join(ARCHITECTURES)
            raise BadInput(f"MODEL must be of a known architecture ({known}), got {config.model_type!r}")
        kind = transformers.AutoModelForCausalLM
        if config.model_type in SEQUENCE_TO_SEQUENCE:
            kind = transformers.AutoModelForSeq2SeqLM
        elif config.model_type in MASKED:
            kind = transformers.AutoModelForMaskedLM
        model = kind.from_pretrained(
            name, dtype=getattr(torch, dtype), attn_implementation="sdpa", use_safetensors=True, **safe
        )
        tokenizer = transformers.AutoTokenizer.from_pretrained(name, **safe)
    except (OSError, ValueError, KeyError) as error:
        if isinstance(error, BadInput):
            raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadInput(f"MODEL must be a readable checkpoint, got {name!r} ({reason})") from None
    if not tokenizer.is_fast:
        raise BadInput(f"MODEL must have a tokenizer that gives offsets (a fast one), got {type(tokenizer).__name__}")
    model.eval()
    model.to(torch.device(device))
    return model, tokenizer


def _look_at(folder: Path) -> None:
    if not (folder / "config.json").is_file():
        raise BadInput(f"MODEL must be a folder with a config.json, got {str(folder)!r} without one")
    if not any(folder.glob("*.safetensors")):
        others = sorted(
            p.name for pattern in ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt") for p in folder.glob(pattern)
        )
        held = f"only {others[0]!r}, which may run code when it is read" if others else "no weights"
        raise BadInput(f"MODEL must hold its weights as safetensors, got {str(folder)!r} with {held}")


def longest(model: Any) -> int | None:
    """Tokens that the model has positions for; none: it has no such table."""
    return getattr(model.config, "max_position_embeddings", None) or getattr(model.config, "n_positions", None)


@dataclass(frozen=True)
class Tokens:
    """A document as the model reads it."""

    ids: Tensor  # 1 T
    labels: Tensor  # 1 T
    document: Document


def tokenised(asked: Asked, model: Any, tokenizer: Any) -> tuple[list[Tokens], list[str]]:
    """Every document with its labels, and the names of the blocks. Raises BadInput for one longer than the context."""

    def embed(sentences: list[str]) -> np.ndarray:
        table = model.get_input_embeddings()
        ids = [tokenizer(s, add_special_tokens=False)["input_ids"] or [0] for s in sentences]
        with torch.no_grad():
            rows = [table(torch.tensor(one, device=model.device)).double().mean(0).cpu().numpy() for one in ids]
        return np.stack(rows)

    documents = read_documents(asked.text, asked.blocks, embed)
    names = list(dict.fromkeys(block for document in documents for block in document.blocks))
    if asked.relevant is not None and asked.relevant not in names:
        raise BadInput(f"--relevant must be a block of the text ({', '.join(names)}), got {asked.relevant!r}")
    most, found = longest(model), []
    for document in documents:
        encoded = tokenizer(document.text, return_offsets_mapping=True, return_tensors="pt", verbose=False)
        length = encoded["input_ids"].shape[1]
        if most is not None and length > most:
            raise BadInput(f"{document.where} must fit into the context of {most} tokens, got {length}")
        labels = align(document, encoded["offset_mapping"][0].tolist(), names)
        if (labels < 0).all():
            raise BadInput(f"{document.where} must have a token in some block, got none")
        ids = encoded["input_ids"].to(model.device)
        found.append(Tokens(ids, torch.as_tensor(labels, device=model.device)[None], document))
    return found, names


@torch.no_grad()
def observe_model(asked: Asked) -> xr.Dataset:
    """The rows of the text at dial 0 and at the dials asked for; the loss of each where the model has one."""
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
    settings = [0.0, *(value for value in asked.dials if value > 0)]
    turned = _recomputed(settings)
    rows: list[list[dict[str, np.ndarray]]] = [[] for _ in settings]
    losses = np.zeros(len(settings))
    unknown: dict[str, tuple[str, ...]] = {}
    for text in texts:
        labels = Labels(text.labels, text.labels if model.config.is_encoder_decoder else None, named=named)
        for at, value in enumerate(settings):
            with (
                dial(model, value, blocks=labels, kinds=(asked.attention,)),
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
    return _dataset(asked, texts, names, rows, settings, losses, unknown)


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

    from empirical.dataset import ROW, described
    from empirical.store import commit, versions

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
        "document": (("query",), np.repeat(np.arange(len(texts)), [t.ids.shape[1] for t in texts])[kept]),
    }
    coords = {
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
    continued = []
    for text in texts:
        length, most = text.ids.shape[1] + new_tokens, longest(model)
        if most is not None and length > most:
            raise BadInput(f"{text.document.where} and --tokens must fit into {most} tokens, got {length}")
        inside = text.labels[0][text.labels[0] >= 0]
        grown = inside[-1:] if asked.relevant is None else torch.full_like(inside[-1:], names.index(asked.relevant))
        both = model.config.is_encoder_decoder
        start = grown[None] if both else text.labels
        labels = Labels(start, text.labels if both else None, grown)
        torch.manual_seed(seed)
        with dial(model, asked.dials[0] if asked.dials else 0.0, blocks=labels, kinds=KINDS):
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
