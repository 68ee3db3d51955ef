"""The known architectures, collected from the files of this folder: model type -> all that differs."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType

from empirical.checkpoints.architecture import Architecture


def _collected() -> Mapping[str, Architecture]:
    files = sorted(found.name for found in pkgutil.iter_modules(__path__))
    each = [one for name in files for one in import_module(f"empirical.checkpoints.architectures.{name}").ARCHITECTURES]
    return MappingProxyType({one.model_type: one for one in each})


ARCHITECTURES: Mapping[str, Architecture] = _collected()
