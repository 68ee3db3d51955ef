"""The known architectures, collected from the files of this folder: model type -> all that differs."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any

from empirical.checkpoints.architecture import Architecture
from empirical.errors import BadInput


def _collected() -> Mapping[str, Architecture]:
    files = sorted(found.name for found in pkgutil.iter_modules(__path__))
    each = [one for name in files for one in import_module(f"empirical.checkpoints.architectures.{name}").ARCHITECTURES]
    return MappingProxyType({one.model_type: one for one in each})


ARCHITECTURES: Mapping[str, Architecture] = _collected()
REFUSED: Mapping[str, str] = MappingProxyType(
    {
        "gpt_oss": "every row of which has a sink, a key without a token",
        "gemma3": "which may have images among the text, seen both ways; gemma3_text is the text alone",
        "vit": "which reads no text",
        "olmo2": "which has one norm of all heads' queries, and none before",
        "olmo3": "which has one norm of all heads' queries, and none before",
    }
)
"""What is known not to be covered, and why."""


def known(model_type: Any, model: str = "model") -> Architecture:
    """Raises BadInput for a type that is not known, naming it as `model`, and why where that is known."""
    found = ARCHITECTURES.get(str(model_type))
    if found is None:
        why = f", {REFUSED[model_type]}" if model_type in REFUSED else ""
        raise BadInput(f"{model} must be of a known architecture ({', '.join(ARCHITECTURES)}), got {model_type!r}{why}")
    return found
