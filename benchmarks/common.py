"""What every benchmark records beside its numbers: the commit, the machine, when; and how the JSON is written."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any


def commit() -> str:
    """The commit measured, marked where the working tree differs from it; empty outside a repository."""
    here = Path(__file__).parent
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True)
        dirty = subprocess.run(
            ["git", "status", "--porcelain"], cwd=here, capture_output=True, text=True
        ).stdout.strip()
    except FileNotFoundError:
        return ""
    return (head.stdout.strip() + ("+changes" if dirty else "")) if head.returncode == 0 else ""


def processor() -> str:
    """The processor's name where Linux tells it, else what Python knows."""
    info = Path("/proc/cpuinfo")
    names = (
        [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        if info.exists()
        else []
    )
    return names[0] if names else platform.processor() or platform.machine()


def save(result: dict[str, Any], path: Path) -> None:
    """`result` as JSON, with commit, machine and time of measurement."""
    described = {
        **result,
        "commit": commit(),
        "machine": {
            "processor": processor(),
            "cores": os.cpu_count(),
            "system": f"{platform.system()} {platform.release()}",
            "python": platform.python_version(),
            "numpy": version("numpy"),
        },
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    path.write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
