"""A trained reference model in one safetensors file, with the configuration that made it in its metadata.

    save_model(path, parameters, config)         parameters, config = load_model(path)

Every tensor has the settings first. Nothing is executed on reading: tensors and JSON, no pickles.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from empirical.errors import BadInput
from empirical.files import commit, versions, write_atomically
from empirical.laboratory.config import Config, parse
from empirical.laboratory.model import Parameters, initial_parameters


def save_model(path: Path, parameters: Parameters, config: Config) -> None:
    """The whole file or none. Raises BadInput where the folder cannot be written."""
    described = {"config": json.dumps(config.as_dict()), "versions": json.dumps(versions()), "commit": commit()}
    write_atomically(path, save({name: value.contiguous() for name, value in parameters.items()}, described))


def load_model(path: Path) -> tuple[Parameters, Config]:
    """Raises BadInput for a file that is no checkpoint, or whose tensors are not those of its configuration."""
    try:
        with safe_open(path, framework="pt") as file:
            described = file.metadata() or {}
            parameters = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        config = parse(json.loads(described["config"]))
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise BadInput(f"MODEL must be a checkpoint of this toolkit, got {str(path)!r} ({error})") from None
    expected = _shapes(config)
    found = {name: tuple(value.shape[1:]) for name, value in parameters.items()}
    if found != expected or len({len(value) for value in parameters.values()}) != 1:
        wrong = sorted(name for name in found | expected if found.get(name) != expected.get(name))
        raise BadInput(f"MODEL must hold the tensors of its configuration, got {wrong or 'other settings'} in {path}")
    return parameters, config


def _shapes(config: Config) -> dict[str, tuple[int, ...]]:
    if config.task.name == "blocks":
        pair = (config.model.blocks, config.model.d_block)
        return {"forms": (1, 1, *pair, *pair)}
    drawn = initial_parameters(config, 0, 1, torch.device("cpu"), torch.float32)
    return {name: tuple(value.shape[1:]) for name, value in drawn.items()}
