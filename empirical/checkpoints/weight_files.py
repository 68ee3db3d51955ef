"""A checkpoint's folder, read tensor by tensor: config.json as data, *.safetensors by memory map, nothing executed.

Only the rows asked for are read, so memory is that of one head, whatever the model. Pickles are never opened, shards
are plain names within the folder (or a hub cache's own blobs), and anything else that is not understood is refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from empirical.errors import BadInput
from empirical.files import foreign, read_object

Reals = NDArray[np.float64]
FLOATS = ("F64", "F32", "F16", "BF16")


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise BadInput(f"folder must hold {path.name}, got {path.parent}")
    return read_object(path, path.name)


class WeightFiles:
    """The tensors of a folder by name; `rows` reads some of one."""

    def __init__(self, folder: Path | str):
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise BadInput(f"folder must be a local folder with config.json and *.safetensors, got {self.folder}")
        self.config = _json(self.folder / "config.json")
        self._open: dict[str, Any] = {}
        self.shard_of = self._index()

    def _index(self) -> dict[str, str]:
        index, single = self.folder / "model.safetensors.index.json", self.folder / "model.safetensors"
        if index.exists():
            found = _json(index).get("weight_map")
            if not isinstance(found, dict) or not found or not all(isinstance(v, str) for v in found.values()):
                raise BadInput(
                    f"{index.name} must hold a weight_map of tensor names to files, got {type(found).__name__}"
                )
            return found
        if single.exists():
            return dict.fromkeys(self._file(single.name).keys(), single.name)
        others = sorted(p.name for p in self.folder.iterdir() if p.suffix in (".bin", ".pt", ".pth", ".ckpt", ".pkl"))
        said = f"only {', '.join(others[:3])}: a pickle is never opened" if others else "none"
        raise BadInput(f"folder must hold model.safetensors or model.safetensors.index.json, got {said}")

    def _file(self, name: str) -> Any:
        """The opened shard. Raises BadInput for a name that is not a plain one, or a file that is not safetensors."""
        if name in self._open:
            return self._open[name]
        from safetensors import safe_open

        path, home = self.folder / name, self.folder.resolve()
        blobs = home.parent.parent / "blobs" if home.parent.name == "snapshots" else home  # of a hub cache
        if Path(name).name != name or "\\" in name or not name.endswith(".safetensors"):
            raise BadInput(f"shards must be plain names of *.safetensors in the folder, got {name!r}")
        if path.exists() and not any(path.resolve().is_relative_to(allowed) for allowed in (home, blobs)):
            raise BadInput(f"shards must lie in the folder, got {name!r}, a link out of it")
        with foreign(f"{name} must be a safetensors file", path):
            self._open[name] = safe_open(path, framework="pt")
        return self._open[name]

    def __contains__(self, name: str) -> bool:
        return name in self.shard_of

    def shape(self, name: str) -> tuple[int, ...]:
        """Raises BadInput for a tensor that is not there or not of floating point."""
        return tuple(self._slice(name).get_shape())

    def _slice(self, name: str) -> Any:
        if name not in self.shard_of:
            raise BadInput(f"weights must hold {name}, got {len(self.shard_of)} other tensors")
        file = self._file(self.shard_of[name])
        with foreign(f"{self.shard_of[name]} must hold {name}", self.folder):
            part = file.get_slice(name)
        if part.get_dtype() not in FLOATS:
            raise BadInput(f"{name} must be one of {', '.join(FLOATS)}, got {part.get_dtype()}")
        return part

    def rows(self, name: str, start: int | None = None, stop: int | None = None, axis: int = 0) -> Reals:
        """Entries start to stop along an axis, as float64. Raises BadInput where one is not a finite number."""
        part = self._slice(name)
        with foreign(f"{name} must hold rows {start} to {stop}", self.folder):
            found = (part[:, start:stop] if axis else part[start:stop]).double().numpy()
        if not np.isfinite(found).all():
            raise BadInput(f"{name} must be finite, got {found[~np.isfinite(found)][0]}")
        return found
