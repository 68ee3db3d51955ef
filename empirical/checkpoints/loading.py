"""A checkpoint and a text as `localist observe` is asked for them: what to read, and what is refused.

Weights are read from safetensors alone, no code of a checkpoint is run, and the network is used only where a hub id is
asked for, which is said.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from empirical.checkpoints.architecture import KINDS
from empirical.checkpoints.architectures import ARCHITECTURES, known
from empirical.checkpoints.completeness import check_size, missing_of_head
from empirical.checkpoints.documents import Document, align, read_documents
from empirical.checkpoints.gate_files import read_gates
from empirical.checkpoints.weight_files import WeightFiles
from empirical.errors import BadInput
from empirical.files import foreign


@dataclass(frozen=True)
class Request:
    """What to observe of which model on which text."""

    model: str
    text: Path
    blocks: str = "spans"
    relevant: str | None = None  # the block relevant to every query; none: its own
    relation: tuple[str, ...] = ()  # BLOCK=BLOCK,...: what its queries may see beside their own block
    keep: tuple[str, ...] = ()  # blocks visible to all; "none": tokens of no block
    attention: str = "self"
    layers: tuple[int, ...] | None = None
    n_anchors: int | None = 1  # keys that a margin counts
    dials: tuple[float, ...] = ()  # beside dial 0
    device: str = "cpu"
    dtype: str = "float32"
    keep_text: bool = False
    batch: int = 1  # documents at once
    rules: Path | None = None  # a rule file, blocks by name
    gates: Path | None = None  # of `localist localise`, of this model and these blocks
    guard: float | None = None  # fidelity that every row must keep at the largest dial
    certify: bool = False  # what the weights alone say of the range of logits

    def __post_init__(self) -> None:
        dials, guard, anchors, alone = self.dials, self.guard, self.n_anchors, self.batch == 1
        ungated = "given without {}, which is about what the weights alone say of logits"
        for flag, good, allowed, value in (
            ("dial", all(0 <= dial <= 1 for dial in dials), "in [0, 1]", dials),
            ("dial", len(set(dials)) == len(dials), "given once each", dials),
            ("attention", self.attention in KINDS, f"one of {', '.join(KINDS)}", repr(self.attention)),
            ("n-anchors", anchors is None or anchors >= 1, "at least 1", anchors),
            ("guard", guard is None or 0 < guard <= 1, "in (0, 1]", guard),
            ("batch", self.batch >= 1, "at least 1", self.batch),
            ("batch", alone or not self.rules, "1 with --rules, which is about one document at a time", self.batch),
            ("gates", not (self.gates and self.rules), ungated.format("--rules"), self.gates),
            ("gates", not (self.gates and self.certify), ungated.format("--certify"), self.gates),
            ("gates", not self.gates or self.attention == "self", "given with --attention self", self.attention),
            ("batch", alone or guard is None, "1 with --guard, which is about one document at a time", self.batch),
        ):
            if not good:
                said = ", ".join(map(str, value)) if isinstance(value, tuple) else value
                raise BadInput(f"--{flag} must be {allowed}, got {said}")

    @property
    def settings(self) -> tuple[float, ...]:
        """Dial 0, and the dials asked for."""
        return (0.0, *(dial for dial in self.dials if dial > 0))


class Checkpoint(NamedTuple):
    """What a folder or a hub id holds, ready to be observed."""

    model: Any
    tokenizer: Any
    lacks: str  # weights of the model's head, in words, which are random therefore; "": it is whole


def library() -> Any:
    """transformers, or the refusal that says how to install it."""
    try:
        import transformers
    except ImportError:
        raise BadInput("MODEL must be read with transformers: pip install 'localist-bounds[hf]'") from None
    return transformers


def load_checkpoint(name: str, device: str = "cpu", dtype: str = "float32") -> Checkpoint:
    """The model, its tokenizer, and what its head lacks.

    A name that is no folder is a hub id, and it is said that the network is used. Raises BadInput for a folder without
    config.json or safetensors, an unknown architecture, weights that are not what the configuration tells of, a device
    that is not there, a tokenizer without offsets.
    """
    transformers = library()
    folder = Path(name).is_dir()
    if folder:
        _look_at(Path(name))
    elif name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise BadInput(f"MODEL must be a folder or a hub id, got {name!r}, which is not there")
    else:
        print(f"{name!r} is no folder: asking the hub for it, over the network", file=sys.stderr)
    if device != "cpu" and not (device == "cuda" and torch.cuda.is_available()):
        raise BadInput(f"--device must be a device of this machine, got {device!r}")
    safe: dict[str, Any] = {"local_files_only": folder, "trust_remote_code": False}
    with _readable(name):
        config = transformers.AutoConfig.from_pretrained(name, **safe)
    architecture = known(config.model_type, "MODEL")
    model_class = getattr(transformers, architecture.task.value)
    with _readable(name):
        if folder:
            check_size(WeightFiles(name), model_class, config)
        model, report = model_class.from_pretrained(
            name,
            dtype=getattr(torch, dtype),
            attn_implementation=architecture.implementation,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are in the report
            **safe,
        )
        tokenizer = transformers.AutoTokenizer.from_pretrained(name, **safe)
    lacks = missing_of_head(name, model, report)
    if not tokenizer.is_fast:
        raise BadInput(f"MODEL must have a tokenizer that gives offsets (a fast one), got {type(tokenizer).__name__}")
    return Checkpoint(model.to(device).eval(), tokenizer, lacks)


@contextmanager
def _readable(name: str) -> Iterator[None]:
    """Inside, transformers reads without a word, and what it cannot read is refused."""
    from transformers.utils import logging

    shown, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        with foreign("MODEL must be a readable checkpoint", name):
            yield
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()


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
    most = getattr(model.config, "max_position_embeddings", None) or getattr(model.config, "n_positions", None)
    if most is None or not ARCHITECTURES[model.config.model_type].after_padding:
        return most
    return most - model.config.pad_token_id - 1


@dataclass(frozen=True)
class Tokens:
    """A document as the model reads it."""

    ids: Tensor  # 1 T
    labels: Tensor  # 1 T
    document: Document


def block_names(request: Request, documents: Sequence[Document]) -> list[str]:
    """The blocks of the text, in order; with gates theirs, where the text has no other.

    Raises BadInput where the relevant one is none of them.
    """
    names = list(dict.fromkeys(block for document in documents for block in document.blocks))
    if request.gates is not None:
        known_there = read_gates(request.gates).layout.names
        names = [*known_there, *(name for name in names if name not in known_there)]
    if request.relevant is not None and request.relevant not in names:
        raise BadInput(f"--relevant must be a block of the text ({', '.join(names)}), got {request.relevant!r}")
    return names


def tokenised(request: Request, model: Any, tokenizer: Any) -> tuple[list[Tokens], list[str]]:
    """Every document with its labels, and the names of the blocks. Raises BadInput for one longer than the context."""

    def embed(sentences: list[str]) -> np.ndarray:
        table = model.get_input_embeddings()
        ids = [tokenizer(s, add_special_tokens=False)["input_ids"] or [0] for s in sentences]
        with torch.no_grad():
            rows = [table(torch.tensor(one, device=model.device)).double().mean(0).cpu().numpy() for one in ids]
        return np.stack(rows)

    documents = read_documents(request.text, request.blocks, embed)
    names = block_names(request, documents)
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
