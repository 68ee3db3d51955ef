"""Gates as files: a safetensors of their table, and a JSON that says what each is, of which model, chosen on what text.

gates.safetensors   `gates`, float64, of shape `shape`
gates.json          axes that they go by, names of the blocks, penalty, losses, digests of the model and of the text
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from empirical.checkpoints.gates import groups_of
from empirical.errors import BadInput
from empirical.files import foreign, make_folder, read_object, write_atomically
from empirical.gates.groups import AXES, Groups
from empirical.shapes import Float

TABLE, SAID = "gates.safetensors", "gates.json"


def model_digest(model: Any) -> str:
    """Of every parameter's name, type and values."""
    found = hashlib.sha256()
    for name, value in sorted(model.named_parameters()):
        found.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        found.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def save_gates(folder: Path, gates: Float[Tensor, "G"], groups: Groups, model: Any, said: dict[str, Any]) -> None:
    """Both files. Raises BadInput for a folder that cannot be written to."""
    from safetensors.torch import save

    make_folder(folder)
    table = gates.detach().double().cpu().reshape(groups.shape).contiguous()
    write_atomically(folder / TABLE, save({"gates": table}))
    whole = {"axes": groups.dims, "shape": groups.shape, "blocks": groups.blocks, "model": model_digest(model), **said}
    write_atomically(folder / SAID, (json.dumps(whole, indent=1) + "\n").encode())


def load_gates(folder: Path, model: Any, kind: str = "self") -> tuple[Float[Tensor, "G"], Groups]:
    """The gates and how they are numbered, as `gating` takes them.

    Raises BadInput for files that are not there or not these, or gates of another model.
    """
    from safetensors.torch import load_file

    folder = Path(folder)
    must = f"gates must be a folder with {TABLE} and {SAID}"
    said = read_object(folder / SAID, f"{must}: {SAID}")
    with foreign(must, folder):
        table = load_file(folder / TABLE)["gates"]
    axes, blocks = said.get("axes"), said.get("blocks")
    if not isinstance(axes, list) or not all(axis in AXES for axis in axes) or not isinstance(blocks, int):
        raise BadInput(f"{folder / SAID} must say `axes` of {', '.join(AXES)} and a count of `blocks`, got {axes!r}")
    if said.get("model") != model_digest(model):
        raise BadInput(f"gates must be of this model, got those of another in {str(folder)!r}")
    groups = groups_of(model, blocks, tuple(axes), kind)
    return groups.vector(table), groups
