"""What made a file: the versions of packages, the commit of a checkout."""

from __future__ import annotations

import platform
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path

from bounds import __version__
from bounds.numbers.repository import ROOT, is_checkout

MODIFIED = "-modified"


@cache
def commit(*written: str) -> str:
    """The commit of this project's own tree, marked where the tree differs beyond files `written`; else empty.

    Another repository that an installed package happens to lie in has no say.
    """
    if not is_checkout():
        return ""
    beyond = [f":(top,exclude){pattern}" for pattern in written]
    try:
        if Path(_git("rev-parse", "--show-toplevel")).resolve() != ROOT:
            return ""
        return _git("rev-parse", "HEAD") + (MODIFIED if _git("status", "--porcelain", "--", ":/", *beyond) else "")
    except (OSError, subprocess.CalledProcessError):
        return ""


def _git(*arguments: str) -> str:
    git = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()


def versions() -> dict[str, str]:
    packages = {name: version(name) for name in ("numpy", "torch", "safetensors")}
    return {"localist-bounds": __version__, "python": platform.python_version(), **packages}
