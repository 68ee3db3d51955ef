"""Builds sdist and wheel of a clean, tagged checkout into dist/, and checks them; uploads nothing.

    python scripts/release.py [--untagged]

Version (bounds.__version__), changelog, citation and tag (vVERSION on HEAD) must agree; nothing may be left unreleased.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

from bounds import __version__

ROOT = Path(__file__).resolve().parents[1]


def faults(tagged: bool) -> list[str]:
    """What stands in the way of a release."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    entry = re.search(rf"^## \[{re.escape(__version__)}\] - (\d{{4}}-\d\d-\d\d)$", changelog, re.MULTILINE)
    unreleased = re.search(r"^## \[Unreleased\]\n(.*?)(?=^## \[)", changelog, re.MULTILINE | re.DOTALL)
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    found = []
    if entry is None:
        found.append(f"CHANGELOG.md must have a dated entry [{__version__}], got none")
    elif f"version: {__version__}\ndate-released: {entry[1]}\n" not in citation:
        found.append(f"CITATION.cff must say version {__version__} and date {entry[1]}, got others")
    if unreleased is None or unreleased[1].strip():
        found.append("CHANGELOG.md must have an empty [Unreleased] on top, got entries or none")
    if _git("status", "--porcelain"):
        found.append("the checkout must be clean, got changes")
    if tagged and f"v{__version__}" not in _git("tag", "--points-at", "HEAD").split():
        found.append(f"HEAD must be tagged v{__version__}, got no such tag (--untagged for a trial)")
    return found


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="build and check sdist and wheel; upload nothing")
    parser.add_argument("--untagged", action="store_true", help="a trial: HEAD need not bear the tag")
    found = faults(not parser.parse_args(arguments).untagged)
    if found:
        print("\n".join(found), file=sys.stderr)
        return 1
    for folder in ("build", "dist"):  # what an earlier build left would travel in the wheel
        shutil.rmtree(ROOT / folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "build"], cwd=ROOT, check=True)
    files = [str(file) for file in sorted((ROOT / "dist").iterdir())]
    return subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *files]).returncode


if __name__ == "__main__":
    raise SystemExit(main())
