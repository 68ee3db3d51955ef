"""A run's folder: run.json (what is run) and cells/HASH.safetensors (what came out), each written whole or not at all.

    hash = sha256(configuration, code, cell):  the same name always stands for the same numbers

A cell that cannot be read, or is not the cell its name says, counts as missing and is trained again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from empirical.errors import BadInput
from empirical.files import TEMPORARY, commit, versions, write_atomically
from empirical.laboratory.config import Config
from empirical.staleness import digest

NUMERICS = "empirical.laboratory.training"  # the module whose code, with all that it imports, makes a cell's numbers


@dataclass(frozen=True)
class Store:
    """The folder of one configuration and one version of the code."""

    folder: Path
    digest: str
    code: str

    @classmethod
    def open(
        cls, folder: Path, config: Config, text: dict[str, str], resume: bool, study: str = "", code: str = ""
    ) -> Store:
        """A new or empty folder; with `resume` also one of the same configuration, text, code and study."""
        folder = Path(folder)
        store = cls(folder, config.digest(), code or digest(NUMERICS))
        identity = {"config_digest": store.digest, "code": store.code, "text": text, "study": study}
        if folder.exists() and not folder.is_dir():
            raise BadInput(f"--out must be a folder, got the file {str(folder)!r}")
        held = sorted(p.name for p in folder.iterdir() if not p.name.endswith(TEMPORARY)) if folder.is_dir() else []
        if held and not resume:
            raise BadInput(f"--out must be a new or empty folder (or --resume), got {str(folder)!r} with {held[0]!r}")
        if held:
            _same_run(read_run(folder), identity, folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for left in (*folder.glob(f"*{TEMPORARY}"), *folder.glob(f"cells/*{TEMPORARY}")):
                left.unlink()
            if not held:  # run.json first: a folder with anything in it can then always be resumed
                described = {**identity, "config": config.as_dict(), "versions": versions(), "commit": commit()}
                write_atomically(folder / "run.json", (json.dumps(described, indent=2) + "\n").encode())
            (folder / "cells").mkdir(exist_ok=True)
        except OSError as error:
            raise BadInput(f"--out must be a writable folder, got {str(folder)!r} ({error.strerror})") from None
        return store

    def name(self, cell: str) -> str:
        return hashlib.sha256("\n".join((self.digest, self.code, cell)).encode()).hexdigest()

    def path(self, cell: str) -> Path:
        return self.folder / "cells" / f"{self.name(cell)}.safetensors"

    def save(self, cell: str, arrays: dict[str, np.ndarray]) -> None:
        whole = {name: np.ascontiguousarray(value).reshape(np.shape(value)) for name, value in arrays.items()}
        write_atomically(self.path(cell), save(whole, {"cell": cell, "name": self.name(cell)}))

    def load(self, cell: str) -> dict[str, np.ndarray] | None:
        """The arrays of a cell; None where it is missing, damaged or another cell's."""
        try:
            with safe_open(self.path(cell), framework="numpy") as file:
                if (file.metadata() or {}).get("name") != self.name(cell):
                    return None
                return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError):
            return None

    def keep(self, cell: str, make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """The arrays of a cell, made and saved where the folder does not hold them."""
        found = self.load(cell)
        if found is None:
            found = make()
            self.save(cell, found)
        return found

    def keep_parts(
        self, cell: str, make: Callable[[], dict[str, dict[str, np.ndarray]]]
    ) -> dict[str, dict[str, np.ndarray]]:
        """Several groups of arrays in one cell, by name; in one order, whether they were made now or read."""
        flat = self.keep(cell, lambda: {f"{part}/{n}": x for part, arrays in make().items() for n, x in arrays.items()})
        parts: dict[str, dict[str, np.ndarray]] = {}
        for name in sorted(flat):
            part, rest = name.split("/", 1)
            parts.setdefault(part, {})[rest] = flat[name]
        return parts


def read_run(folder: Path) -> dict[str, Any]:
    """What run.json says."""
    try:
        found = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict):
        raise BadInput(f"DIR must be the folder of a run with a readable run.json, got {str(folder)!r}")
    return found


def _same_run(found: dict[str, Any], wanted: dict[str, Any], folder: Path) -> None:
    for key, name in (
        ("config_digest", "another configuration"),
        ("code", "another version of the code"),
        ("text", "another text"),
        ("study", "another study"),
    ):
        if found.get(key, "") != wanted[key]:
            raise BadInput(f"--out must be a folder of this very run to resume, got {str(folder)!r}, made from {name}")
