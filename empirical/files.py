"""Files written whole or not at all, and what made them: the versions of packages, the commit of a checkout."""

from __future__ import annotations

import errno
import os
import platform
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path

from bounds import __version__
from bounds.numbers.repository import ROOT, is_checkout
from empirical.errors import BadInput

TEMPORARY = ".part"


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


def make_folder(folder: Path) -> None:
    """The folder, where it is not there yet. Raises BadInput where it cannot be."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise BadInput(f"--out must be a folder, got the file {str(folder)!r}") from None
    except OSError as error:
        raise BadInput(f"--out must be a writable folder, got {str(folder)!r} ({error.strerror})") from None


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
