"""Studies of the framework's mechanisms, a folder each: a prediction beside an observation.

__init__.py   one line: what it is about
measure.py    `measure(config, store) -> Findings`, `table(numbers)`
figures.py    `draw(numbers)`, figure by figure
preset.toml, quick.toml, and files of its mechanism
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from importlib import resources
from types import MappingProxyType


def _collected() -> Mapping[str, str]:
    folders = [folder for folder in resources.files(__name__).iterdir() if (folder / "measure.py").is_file()]
    texts = {folder.name: (folder / "__init__.py").read_text(encoding="utf-8") for folder in folders}
    return MappingProxyType({name: ast.get_docstring(ast.parse(texts[name])) or "" for name in sorted(texts)})


STUDIES: Mapping[str, str] = _collected()
"""name -> what it is about, from the folders"""
