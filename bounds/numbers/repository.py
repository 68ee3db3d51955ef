"""Where the repository is, for what is generated into it; an installed package has none, and says so."""

from __future__ import annotations

from pathlib import Path

from bounds.numbers.errors import BadInput

ROOT = Path(__file__).resolve().parents[2]
"""The folder that holds the packages: of a checkout its root, of an installed package site-packages."""


def is_checkout() -> bool:
    """Whether the packages lie in this project's own source tree."""
    return (ROOT / "pyproject.toml").is_file() and (ROOT / "proofs" / "pinned.json").is_file()


def repository(needed_by: str) -> Path:
    """The root of the checkout that the packages lie in. Raises BadInput for an installed package."""
    if not is_checkout():
        raise BadInput(f"{needed_by} must run from a checkout of the repository, got an installed package in {ROOT}")
    return ROOT
