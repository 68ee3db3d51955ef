"""What benchmarks share: work in turn, medians and quartiles, and the JSON with commit, machine and time."""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from empirical.provenance import commit

LOAD = os.getloadavg()[0] if hasattr(os, "getloadavg") else None  # before a benchmark adds its own


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
        "commit": commit("benchmarks/*.json"),
        "machine": {
            "processor": processor(),
            "cores": os.cpu_count(),
            "load_before": LOAD,
            "system": f"{platform.system()} {platform.release()}",
            "python": platform.python_version(),
            "numpy": version("numpy"),
        },
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    path.write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")


def peak() -> int:
    """Bytes of memory that this process has had at once. Not ru_maxrss where Linux tells better: that one outlives
    exec, so that a process started by a large one begins with the parent's."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    told = [int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")]
    unit = 1 if sys.platform == "darwin" else 1024
    return told[0] if told else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def in_turn(work: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """What each piece of work returns in every round; they alternate, so that a slow moment of the machine meets all.

    One round before the first is not kept: it fills caches and starts threads.
    """
    found: dict[str, list[float]] = {name: [] for name in work}
    for number in range(rounds + 1):
        for name, measured in work.items():
            value = measured()
            if number:
                found[name].append(value)
    return found


def spread(values: list[float]) -> dict[str, Any]:
    """Median and quartiles of two values or more, and all of them."""
    low, _, high = quantiles(values, n=4, method="inclusive")
    return {"median": median(values), "quartiles": [low, high], "runs": values}


def quick_and_out(parser: argparse.ArgumentParser, file: str, arguments: list[str] | None) -> argparse.Namespace:
    """The parsed arguments, with `--quick` and `--out`; a quick result never takes the place of a measured one."""
    parser.add_argument("--quick", action="store_true", help="sizes of a test, whose numbers mean nothing; needs --out")
    parser.add_argument("--out", type=Path, help=f"where the JSON goes (default {Path(file).stem}.json beside this)")
    parsed = parser.parse_args(arguments)
    if parsed.quick and parsed.out is None:
        parser.error("--quick needs --out")
    parsed.out = parsed.out or Path(file).with_suffix(".json")
    return parsed
