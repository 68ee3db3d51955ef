"""A run's folder: run.json (what is run) and cells/HASH.safetensors (what came out), each written whole or not at all.

    hash = sha256(configuration, code, cell):  the same name always stands for the same numbers
    digest = sha256(hash, every array: name, type, shape, bytes),  in the cell's header

A cell that cannot be read, is not the cell its name says, or holds numbers that its digest is not of, counts as missing
and is trained again. Cells of a release that wrote no digests are read, and never resumed from.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from empirical.errors import BadInput
from empirical.files import TEMPORARY, read_object, seal_is_broken, usable_folder, with_seal, write_atomically
from empirical.laboratory.config import Config, digest_of
from empirical.provenance import commit, versions
from empirical.staleness import digest

NUMERICS = "empirical.laboratory.training"  # the module whose code, with all that it imports, makes a cell's numbers


@dataclass(frozen=True)
class Store:
    """The folder of one configuration and one version of the code."""

    folder: Path
    digest: str
    code: str
    trusting: bool = False  # cells without a digest are believed

    @classmethod
    def of(cls, folder: Path, run: dict[str, Any]) -> Store:
        """The cells of a run as `read_run` found it, to be read."""
        return cls(Path(folder), run["config_digest"], run["code"], trusting="seal" not in run)

    @classmethod
    def open(
        cls, folder: Path, config: Config, text: dict[str, str], resume: bool, study: str = "", code: str = ""
    ) -> Store:
        """A new or empty folder; with `resume` also one of the same configuration, text, code and study."""
        folder = Path(folder)
        store = cls(folder, config.digest(), code or digest(NUMERICS))
        identity = {"config_digest": store.digest, "code": store.code, "text": text, "study": study}
        usable_folder(folder)
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
                said = json.dumps(with_seal(described), indent=2) + "\n"
                write_atomically(folder / "run.json", said.encode())
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
        name = self.name(cell)
        write_atomically(self.path(cell), save(whole, {"cell": cell, "name": name, "digest": content(name, whole)}))

    def load(self, cell: str) -> dict[str, np.ndarray] | None:
        """The arrays of a cell; None where it is missing, damaged or another cell's."""
        name = self.name(cell)
        try:
            with safe_open(self.path(cell), framework="numpy") as file:
                said = file.metadata() or {}
                arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        except Exception:  # whatever is wrong with it, it is made again
            return None
        whole = said.get("digest") == content(name, arrays) or (self.trusting and "digest" not in said)
        return arrays if whole and said.get("name") == name else None

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


def content(name: str, arrays: dict[str, np.ndarray]) -> str:
    """The digest of arrays under a name."""
    found = hashlib.sha256(name.encode())
    for key in sorted(arrays):
        value = arrays[key]
        found.update(json.dumps([key, value.dtype.str, value.shape]).encode() + value.tobytes())
    return found.hexdigest()


RUN: dict[str, type] = {
    **dict.fromkeys(("config", "text", "versions"), dict),
    **dict.fromkeys(("config_digest", "code", "commit"), str),
}


def read_run(folder: Path) -> dict[str, Any]:
    """What run.json says. Raises BadInput where it lacks something, or is not as it was written."""
    path = Path(folder) / "run.json"
    found = read_object(path, "DIR must be the folder of a run: run.json")
    for key, kind in RUN.items():
        if not isinstance(found.get(key), kind):
            raise BadInput(f"run.json must say its {key}, got none in {str(path)!r}")
    if seal_is_broken(found) or found["config_digest"] != _digest_of(found["config"]):
        raise BadInput(f"run.json must be as it was written, by its digests, got {str(path)!r}")
    return found


def _digest_of(config: dict[str, Any]) -> str:
    return digest_of(config) if isinstance(config.get("sweep"), dict) else ""


def _same_run(found: dict[str, Any], wanted: dict[str, Any], folder: Path) -> None:
    for key, name in (
        ("config_digest", "another configuration"),
        ("code", "another version of the code"),
        ("text", "another text"),
        ("study", "another study"),
    ):
        if found.get(key, "") != wanted[key]:
            raise BadInput(f"--out must be a folder of this very run to resume, got {str(folder)!r}, made from {name}")
