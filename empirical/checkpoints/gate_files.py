"""Gates as files: a safetensors of their table, and a JSON that says what each is, of which model, chosen on what text.

gates.safetensors   `gates`, float64, of shape `shape`
gates.json          axes that they go by, layout of the blocks, penalty, losses, digests of the table, model and text

    with gated(model, DIR, blocks=labels, names=("contract", "email")): model(**inputs)

Gates are of one model and of one layout: of how a text is cut into blocks, their names, and what each may see.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from empirical.checkpoints.contexts import Labels, labels_given
from empirical.checkpoints.gates import GatedRows, gating, groups_of
from empirical.errors import BadInput
from empirical.files import foreign, make_folder, read_object, write_atomically
from empirical.gates.groups import AXES, Groups
from empirical.gates.saved import GATES, TABLE
from empirical.observe.relevance import Blocks, Relation
from empirical.shapes import Float

AT_ONCE = 2**22  # numbers that are taken to another type together


@dataclass(frozen=True)
class Layout:
    """How a text is cut into blocks; their names, in the order of their numbers; what a block's queries may see."""

    way: str
    names: tuple[str, ...]
    sees: dict[str, list[str]]
    keep: list[str]
    text: str = ""  # digest of the text that clusters are of: those of another are others

    @classmethod
    def of(cls, way: str, names: Sequence[str], relation: Relation, text: str = "") -> Layout:
        said: Any = relation.named(names)
        return cls(way, tuple(names), said["sees"], said["keep"], text if way.startswith("clusters") else "")

    def check(self, other: Layout) -> None:
        """Raises BadInput where the gates of this layout are to be used in another; its names may be some of these."""
        unknown = [name for name in other.names if name not in self.names]
        for what, good, mine, theirs in (
            ("blocks cut by", self.way == other.way, self.way, other.way),
            ("clusters of", self.text == other.text, f"the text {self.text[:12]}", f"the text {other.text[:12]}"),
            ("blocks named", not unknown, ", ".join(self.names), ", ".join(unknown)),
            ("blocks that see", self.sees == other.sees, self.sees or "their own", other.sees or "their own"),
            ("blocks kept visible", self.keep == other.keep, self.keep or "none", other.keep or "none"),
        ):
            if not good:
                raise BadInput(f"gates must be of this block layout: they are for {what} {mine}, got {theirs}")


@dataclass(frozen=True)
class SavedGates:
    """What a folder says, before it is held against a model."""

    folder: Path
    axes: tuple[str, ...]
    blocks: int
    table: Float[Tensor, "..."]
    layout: Layout
    model: str  # digest

    def of(self, model: Any, kind: str = "self") -> tuple[Float[Tensor, "G"], Groups]:
        """The gates and how they are numbered, as `gating` takes them. Raises BadInput for gates of another model."""
        if self.model != model_digest(model):
            raise BadInput(f"gates must be of this model, got those of another in {str(self.folder)!r}")
        groups = groups_of(model, self.blocks, self.axes, kind)
        return groups.vector(self.table), groups

    def words(self) -> str:
        return f"{int((self.table == 0).sum())} of {self.table.numel()} gates exactly shut"


def model_digest(model: Any) -> str:
    """Of every parameter's name, shape and values: the same in float32 and, of the same values, in float64."""
    found = hashlib.sha256()
    for name, value in sorted(model.named_parameters()):
        flat = value.detach().flatten()
        found.update(f"{name} {tuple(value.shape)}".encode())
        for part in flat.split(AT_ONCE):
            narrow = part.float()
            exact = narrow if torch.equal(narrow.to(part.dtype), part) else part.double()
            found.update(exact.cpu().numpy().tobytes())
    return found.hexdigest()


def save_gates(
    folder: Path, gates: Float[Tensor, "G"], groups: Groups, model: Any, layout: Layout, said: dict[str, Any]
) -> None:
    """Both files. Raises BadInput for a folder that cannot be written to."""
    from safetensors.torch import save

    make_folder(folder)
    table = save({"gates": gates.detach().double().cpu().reshape(groups.shape).contiguous()})
    write_atomically(folder / TABLE, table)
    whole = {
        "axes": groups.dims, "shape": groups.shape, "blocks": groups.blocks, "layout": asdict(layout),
        "model": model_digest(model), "table": hashlib.sha256(table).hexdigest(), **said,
    }  # fmt: skip
    write_atomically(folder / GATES, (json.dumps(whole, indent=1, allow_nan=False) + "\n").encode())


def read_gates(folder: Path) -> SavedGates:
    """Before a model is there. Raises BadInput for files that are not there, not these, or not of one another."""
    from safetensors.torch import load

    folder = Path(folder)
    must = f"gates must be a folder with {TABLE} and {GATES}"
    said = read_object(folder / GATES, f"{must}: {GATES}")
    with foreign(must, folder):
        content = (folder / TABLE).read_bytes()
        table = load(content)["gates"]
    axes, blocks = said.get("axes"), said.get("blocks")
    if not isinstance(axes, list) or not all(axis in AXES for axis in axes) or not isinstance(blocks, int):
        raise BadInput(f"{folder / GATES} must say `axes` of {', '.join(AXES)} and a count of `blocks`, got {axes!r}")
    if said.get("table") != hashlib.sha256(content).hexdigest():
        raise BadInput(f"{folder / GATES} must be of the table beside it, got that of another")
    with foreign(f"{folder / GATES} must say the `layout` of its blocks", str(said.get("layout"))):
        given = said["layout"]
        names, sees = tuple(map(str, given["names"])), {str(query): list(keys) for query, keys in given["sees"].items()}
        layout = Layout(str(given["way"]), names, sees, list(given["keep"]), str(given["text"]))
    return SavedGates(folder, tuple(axes), blocks, table, layout, str(said.get("model")))


def load_gates(folder: Path, model: Any, kind: str = "self") -> tuple[Float[Tensor, "G"], Groups]:
    """The gates and how they are numbered, as `gating` takes them.

    Raises BadInput for files that are not there or not these, or gates of another model.
    """
    return read_gates(folder).of(model, kind)


@contextmanager
def gated(model: Any, folder: Path, blocks: Blocks | Labels, *, names: Sequence[str]) -> Iterator[GatedRows]:
    """Saved gates on a model, as a context; `names` are those of the blocks, in the order of their labels.

    Raises BadInput for gates of another model or another block layout.
    """
    saved, labels = read_gates(folder), labels_given(blocks)
    if labels.highest >= len(names):
        raise BadInput(f"names must be of every block, got {len(names)} for blocks up to {labels.highest}")
    if tuple(names) != saved.layout.names:
        raise BadInput(
            f"names must be those that the gates are for, in their order ({', '.join(saved.layout.names)}), got "
            f"{', '.join(names)}"
        )
    saved.layout.check(Layout.of(saved.layout.way, names, labels.relation, saved.layout.text))
    gates, groups = saved.of(model)
    with gating(model, gates, blocks=labels, groups=groups) as rows:
        yield rows
