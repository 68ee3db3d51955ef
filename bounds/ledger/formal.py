"""What Coq has checked: which theorems of the ledger have a formal statement, under which names, on which axioms.

pinned.json   name -> printed statement, and every definition that a statement may use: nobody weakens one unseen
formal.json   what the gate found when it last passed: axioms, and a digest of every source
A formal theorem belongs to the ledger key that is the longest prefix of its name; `refuted_...` to a false reading.
Both stand in proofs/, and travel with the package; reading them needs no Coq, `make proofs` writes them.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from bounds.numbers.repository import ROOT, is_checkout
from bounds.theorems import THEOREMS


def status_file(name: str) -> Path:
    """Of a checkout the file of proofs/; of an installed package the copy that was built into it."""
    return (ROOT / "proofs" if is_checkout() else Path(__file__).resolve().parent / "formal_status") / name


PINNED, RESULT = status_file("pinned.json"), status_file("formal.json")
FOLDER = PINNED.parent

AXIOMS = frozenset(
    {
        "ClassicalDedekindReals.sig_not_dec",
        "ClassicalDedekindReals.sig_forall_dec",
        "FunctionalExtensionality.functional_extensionality_dep",
        "Classical_Prop.classic",
    }
)
"""What the standard library's real numbers rest on; a proof may use no other axiom."""

KEYS = tuple(sorted(THEOREMS, key=len, reverse=True))


@dataclass(frozen=True)
class Formal:
    """The formal statements of one key: the module that holds them, and their names, the main one first."""

    module: str
    names: tuple[str, ...]

    @property
    def instances(self) -> tuple[str, ...]:
        return tuple(name for name in self.names if name.endswith("_instance"))


def slug(words: str) -> str:
    """A false reading's name as part of a Coq identifier."""
    return re.sub(r"[^a-z0-9]+", "_", words.lower().replace("'", "")).strip("_")


def key_of(name: str) -> str | None:
    """The ledger key that a formal theorem belongs to; None for a refuted reading."""
    return next((key for key in KEYS if name == key or name.startswith(f"{key}_")), None)


def digest_of(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]


def sources(folder: Path = FOLDER) -> dict[str, str]:
    """A digest of everything that the gate's result depends on."""
    return {file.name: digest_of(file) for file in [*sorted(folder.glob("*.v")), folder / "pinned.json"]}


@lru_cache
def pinned() -> dict[str, dict[str, str]]:
    """`theorems`: Module.name -> statement; `definitions`: Module.name -> body."""
    return json.loads(PINNED.read_text(encoding="utf-8"))


@lru_cache
def checked() -> tuple[str, ...]:
    """Module.name of every theorem that the gate found proved and as pinned when it last passed."""
    return tuple(json.loads(RESULT.read_text(encoding="utf-8"))["theorems"]) if RESULT.exists() else ()


@lru_cache
def by_key() -> dict[str, Formal]:
    """What is formal, by key; only what the gate's last result holds."""
    found: dict[str, list[str]] = {}
    for name in checked():
        if (key := key_of(name.split(".")[1])) is not None:
            found.setdefault(key, []).append(name)
    formal: dict[str, Formal] = {}
    for key, names in found.items():
        main = next((name for name in names if name.split(".")[1] == key), names[0])
        short = [name.split(".")[1] for name in names if name != main]
        formal[key] = Formal(main.split(".")[0], (main.split(".")[1], *short))
    return formal


def refutation(name: str) -> str | None:
    """The formal refutation of the false reading of that name, as Module.name."""
    wanted = f"refuted_{slug(name)}"
    return next((full for full in checked() if full.split(".")[1] == wanted), None)


def of(key: str) -> Formal | None:
    return by_key().get(key)
