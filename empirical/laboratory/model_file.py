"""A trained reference model in one safetensors file, with the configuration that made it in its metadata.

    save_model(path, parameters, config)         parameters, config = load_model(path)

Every tensor has the settings first. Nothing is executed on reading: tensors and JSON, no pickles.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save

from empirical.errors import BadInput
from empirical.files import foreign, parse_json, write_atomically
from empirical.laboratory.config import Config, parse
from empirical.laboratory.model import Parameters
from empirical.laboratory.store import content
from empirical.provenance import commit, versions


def save_model(path: Path, parameters: Parameters, config: Config) -> None:
    """The whole file or none. Raises BadInput where the folder cannot be written."""
    plain = json.dumps(config.as_dict())
    whole = {name: value.detach().cpu().contiguous() for name, value in parameters.items()}
    digest = content(plain, {name: value.numpy() for name, value in whole.items()})
    described = {"config": plain, "digest": digest, "versions": json.dumps(versions()), "commit": commit()}
    write_atomically(path, save(whole, described))


def load_model(path: Path) -> tuple[Parameters, Config]:
    """Raises BadInput for a file that is no checkpoint, or whose tensors its configuration or its digest is not of."""
    must = "MODEL must be a checkpoint of this toolkit"
    with foreign(must, path):
        with safe_open(path, framework="pt") as file:
            described = file.metadata() or {}
            parameters: Parameters = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        plain = parse_json(described["config"])
        whole = content(described["config"], {name: value.numpy() for name, value in parameters.items()})
    config, expected = _config(must, path, plain)
    found = {name: tuple(value.shape[1:]) for name, value in parameters.items()}
    if found != expected or len({(value.shape[:1], value.dtype) for value in parameters.values()}) != 1:
        wrong = sorted(name for name in found | expected if found.get(name) != expected.get(name))
        raise BadInput(f"MODEL must hold the tensors of its configuration, got {wrong or 'other settings'} in {path}")
    if described.get("digest", whole) != whole:  # an earlier release wrote none
        raise BadInput(f"{must}, got {str(path)!r}, whose content is not what its digest is of")
    return parameters, config


def _config(must: str, path: Path, plain: Any) -> tuple[Config, dict[str, tuple[int, ...]]]:
    """The configuration and the shapes of its tensors without the settings; no room is made for them."""
    try:
        config = parse(plain)
    except BadInput as error:
        raise BadInput(f"{must}, got {str(path)!r} ({error})") from None
    shapes = config.shapes
    return config, {"forms": shapes["forms"]} if config.task.name == "blocks" else shapes
