"""Files written whole or not at all, and what made them: versions of packages, the commit of the source tree."""

from __future__ import annotations

import errno
import os
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bounds.numbers.repository import ROOT
from empirical.errors import BadInput

TEMPORARY = ".part"


def package_version() -> str:
    try:
        return version("localist-bounds")
    except PackageNotFoundError:  # run from the source tree
        return "0+source"


@cache
def commit() -> str:
    """The commit of the source tree, marked where the tree differs from it; empty outside a repository."""
    git = ["git", "-C", str(ROOT)]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""
    return head + ("-modified" if changed.strip() else "")


def versions() -> dict[str, str]:
    packages = {name: version(name) for name in ("numpy", "torch", "safetensors")}
    return {"localist-bounds": package_version(), "python": platform.python_version(), **packages}


def write_atomically(path: Path, content: bytes) -> None:
    """The whole file or none: written beside it, flushed to disk, renamed. Raises BadInput where the disk is full."""
    temporary = path.with_name(path.name + TEMPORARY)
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
            raise BadInput(
                f"--out must be a writable folder with room for {len(content):,} bytes, got {str(path.parent)!r} "
                f"({error.strerror})"
            ) from None
        raise
