"""Whether a checkpoint holds what its config.json tells of: the loader's report, read before anything is observed.

A weight that is not there is drawn at random, and one without a place is dropped. In the body of a model both are
refused; what its head lacks is told, so that nothing is said with it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import torch

from empirical.checkpoints.weight_files import WeightFiles
from empirical.errors import BadInput

LAYERS = ("num_hidden_layers", "num_decoder_layers", "decoder_layers")  # of a configuration, whatever its family
SPARE = 2**24  # numbers that a model may hold beside a copy of its weights, such as tables of positions


def check_size(files: WeightFiles, model_class: Any, config: Any) -> None:
    """Raises BadInput where the model would be larger than its weights can be, before room is made for it.

    A head that is not there has as many numbers as the embeddings at most.
    """
    tensors = len(files.shard_of)
    for name in LAYERS:
        if getattr(config, name, 0) > tensors:
            raise BadInput(
                f"config.json must describe the weights that are there, {tensors:,} tensors, got {name}="
                f"{getattr(config, name)}"
            )
    with torch.device("meta"):
        model = model_class.from_config(config)
    held = sum(prod(files.shape(name)) for name in files.shard_of)
    asked = sum(tensor.numel() for tensor in (*model.parameters(), *model.buffers()))
    if asked > 2 * held + SPARE:
        raise BadInput(
            f"config.json must describe the weights that are there, {held:,} numbers, got a model of {asked:,}"
        )


def missing_of_head(name: str, model: Any, report: Mapping[str, Any]) -> str:
    """Names of the weights that the head lacks, in words; nothing where it is whole.

    Raises BadInput where the body lacks weights, some have another shape, or there are more layers than it tells of.
    """
    missing, unexpected = (set(report[kind]) for kind in ("missing_keys", "unexpected_keys"))
    apart = sorted(key[0] if isinstance(key, tuple) else key for key in report["mismatched_keys"])
    if apart:
        raise BadInput(f"MODEL must hold weights of the shapes in its config.json, got {name!r} with {_some(apart)}")
    body = sorted(key for key in missing if _of_body(model, key))
    if body:
        held = next((key for key in sorted(unexpected) if key.endswith(f".{body[0]}")), None)
        hint = f" (but with {held})" if held else ""
        raise BadInput(f"MODEL must hold every weight of its body, got {name!r} without {_some(body)}{hint}")
    known, start = {_of_any_layer(key) for key in model.state_dict()}, f"{model.base_model_prefix}."
    more = [key for key in sorted(unexpected) if known & {_of_any_layer(key), _of_any_layer(start + key)}]
    if more:
        raise BadInput(f"MODEL must hold no more layers than its config.json tells of, got {name!r} with {_some(more)}")
    return _some(sorted(missing)) if missing else ""


def _of_body(model: Any, key: str) -> bool:
    """Whether a weight belongs to the model below its head."""
    if model.base_model is not model:
        return key.startswith(f"{model.base_model_prefix}.")
    head = model.get_output_embeddings()
    return not any(key.startswith(f"{name}.") for name, module in model.named_modules() if module is head)


def _of_any_layer(key: str) -> str:
    return re.sub(r"\d+", "#", key)


def _some(names: Sequence[str]) -> str:
    more = len(names) - 1
    return names[0] + (f" and {more} more" if more else "")
