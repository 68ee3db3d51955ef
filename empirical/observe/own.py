"""Attention of one's own in a .npz, as `npz_format` says: its names, its labels, and the row fields of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from bounds.numbers.errors import meant
from empirical.errors import BadInput
from empirical.observe.npz_format import FORMAT, SYNONYMS, intended
from empirical.observe.schema import COORDINATES, NUMBERED, SCHEMA

ATTENTION = ("attention", "logits", *SYNONYMS)
DRAWN = "map_query_block"  # beside which `attention` is the map that a run saves for its figure
LABELS = "block (or query_block and key_block)"


def is_own(names: Iterable[str]) -> bool:
    """Whether a file of these names holds attention; else it holds row fields. Raises BadInput for other names."""
    names = tuple(names)
    own = [name for name in ATTENTION if name in names and DRAWN not in names]
    fields = (*SCHEMA, *COORDINATES)
    attention, rows = (*FORMAT, *SYNONYMS), bool(set(names) & {*SCHEMA})
    known = attention if own else fields if rows else (*attention, *fields)
    for name in names:
        if name not in (*attention, *fields):
            like = intended(name)
            hint = f"; did you mean {like!r}?" if like else meant(name, known)
            raise BadInput(f"FILE.npz must hold only known arrays, got {name!r}{hint}")
    for name in names:
        if name not in known:
            beside = own[0] if own else "row fields"
            raise BadInput(f"FILE.npz must hold no {name} beside {beside}, got it")
    if len(own) > 1:
        raise BadInput(f"FILE.npz must hold attention or logits, got both: {' and '.join(own)}")
    if not own and not rows:
        raise BadInput(f"FILE.npz must hold attention or logits with {LABELS}, got neither in {', '.join(names)}")
    return bool(own)


def observed(arrays: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], str]:
    """The row fields of a file's attention, and the names of its blocks as JSON ("": they are numbers).

    Raises BadInput for labels that are missing or are not one a token, and for what `observe_attention` refuses.
    """
    from empirical.observe.rows import observe_attention

    name = next(name for name in ATTENTION if name in arrays)
    queries, keys, blocks = _labels(arrays, arrays[name].shape)
    options: dict[str, Any] = {n: _scalar(n, arrays[n]) for n in ("n_anchors", "temperature", "dial") if n in arrays}
    if options.get("n_anchors", 1) % 1:
        raise BadInput(f"n_anchors must be a whole number >= 1, got {options['n_anchors']!r}")
    kind = "logits" if name == "logits" else "weights"
    rows = observe_attention(arrays[name], queries, keys, kind=kind, visible=arrays.get("visible"), **options)
    return {**rows, **{n: arrays[n] for n in NUMBERED if n in arrays}}, blocks


def _labels(arrays: Mapping[str, np.ndarray], shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, str]:
    """The block of each query and key as whole numbers, and what the numbers stand for."""
    lacking = [name for name in ("query_block", "key_block") if name not in arrays]
    if "block" in arrays:
        if len(lacking) < 2:
            raise BadInput("FILE.npz must hold block, or query_block and key_block, got both")
        block = arrays["block"]
        if block.ndim == 0 or len(shape) < 2 or {block.shape[-1]} != {*shape[-2:]}:
            raise BadInput(
                f"block must be one label a token, which is query and key, got shape {block.shape} with {shape}; "
                "query_block and key_block tell of each"
            )
        given = (block, block)
    elif lacking:
        missing = "block" if len(lacking) == 2 else lacking[0]
        raise BadInput(f"FILE.npz must hold attention or logits with {LABELS}, got no {missing}")
    else:
        given = (arrays["query_block"], arrays["key_block"])
    if all(labels.dtype.kind != "U" for labels in given):
        return (*given, "")
    names = sorted({str(one) for labels in given for one in labels.ravel().tolist()} - {""})
    number = {"": -1, **{name: at for at, name in enumerate(names)}}
    queries, keys = (np.vectorize(lambda one: number[str(one)], otypes=[np.int64])(labels) for labels in given)
    return queries, keys, json.dumps(names)


def _scalar(name: str, value: np.ndarray) -> float:
    if value.size != 1 or value.dtype.kind not in "fiu":
        raise BadInput(f"{name} must be one number, got shape {value.shape} of {value.dtype}")
    return value.item()
