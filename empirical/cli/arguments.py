"""What command groups share: names of flags, values that were given, the requirement flag."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from empirical.check.requirement import Known, Requirement

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def given(arguments: argparse.Namespace, kind: type[DataclassInstance]) -> dict[str, Any]:
    """The fields of `kind` that the user set, by name; lists as tuples."""
    values = {f.name: getattr(arguments, f.name) for f in fields(kind) if hasattr(arguments, f.name)}
    return {name: tuple(v) if isinstance(v, list) else v for name, v in values.items() if v is not None}


def add_checkpoint(parser: argparse.ArgumentParser, text: str = "--text") -> None:
    """The fields of a `Request` that every command on a checkpoint takes: what is read, its blocks, and how."""
    parser.add_argument("model", metavar="MODEL", help="a folder with config.json and safetensors, or a hub id")
    texts = parser.add_argument_group("text and its blocks")
    texts.add_argument(text, dest="text", required=True, metavar="FILE.jsonl", type=Path, help="documents, one a line")
    texts.add_argument("--blocks", default="spans", metavar="WAY", help="spans, roles, sections or clusters:K")
    texts.add_argument(
        "--relation", nargs="+", metavar="BLOCK=BLOCK,...", help="what a block's queries may see beside their own block"
    )
    texts.add_argument("--keep", nargs="+", metavar="BLOCK", help="visible to all; none: the tokens of no block")
    machine = parser.add_argument_group("device and precision")
    machine.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    machine.add_argument("--dtype", choices=("float32", "float64", "bfloat16"), default="float32")


def add_json(parser: argparse._ActionsContainer, words: str = "one JSON document on stdout in place of text") -> None:
    parser.add_argument("--json", action="store_true", help=words)


def beside(as_json: bool) -> AbstractContextManager[Any]:
    """Inside, what is said beside a JSON document goes to stderr."""
    return redirect_stdout(sys.stderr) if as_json else nullcontext()


def document(plain: Any) -> str:
    """The text of one JSON document; what no row has, NaN, is null, an infinity "inf" or "-inf"."""
    return json.dumps(_json(plain), indent=2, allow_nan=False)


def _json(plain: Any) -> Any:
    if isinstance(plain, dict):
        return {str(key): _json(value) for key, value in plain.items()}
    if isinstance(plain, list | tuple):
        return [_json(value) for value in plain]
    if hasattr(plain, "tolist"):  # of NumPy
        return _json(plain.tolist())
    if isinstance(plain, float) and not math.isfinite(plain):
        return None if math.isnan(plain) else str(plain)
    return plain


def drawn(files: Iterable[Path], out: Path) -> str:
    return f"{sum(file.suffix == '.png' for file in files)} figures in {out}"


def add_requirement(parser: argparse.ArgumentParser, places: str) -> None:
    words = f"end with status 1 where a row misses it; all rows, or those at a place, '...@{places}'; may be repeated"
    parser.add_argument("--require", action="append", default=[], metavar="'FIELD>=X'", help=words)


def required(arguments: argparse.Namespace, known: Known, whose: str) -> list[Requirement]:
    """The requirements asked for. Raises BadInput for what can only be missed: before any work."""
    from empirical.check.requirement import FIELDS, parse, refuse

    requirements = [parse(text) for text in arguments.require]
    for requirement in requirements:
        refuse(requirement, FIELDS, known, whose)
    return requirements
