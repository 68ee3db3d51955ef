"""Every study from its quick preset, killed once on the way and resumed: seconds each and together.

    python benchmarks/studies.py [--only NAME ...] [--limit-seconds 480] [--out benchmarks/studies.json]

A study is killed (SIGKILL) after a few seconds, with a cell saved or not, and then resumed to its end; the time is that
of both. Exit status 1 where the limit is exceeded, a study fails, or a row violates a theorem.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import quick_and_out, save

from empirical.studies import STUDIES

KILLED_AFTER = 8.0  # seconds: after the imports, in the middle of the training or the measuring


def run(name: str, folder: Path, killed_after: float) -> dict[str, Any]:
    """One study in processes of one thread: killed, resumed, and what its verdicts say."""
    command = [sys.executable, "-m", "empirical.cli", "run", "--study", name, "--quick", "--out", str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    start = time.perf_counter()
    try:
        subprocess.run(command, env=environment, capture_output=True, timeout=killed_after)
        killed = False
    except subprocess.TimeoutExpired:  # the process was killed
        killed = True
    kept = len(list(folder.glob("cells/*.safetensors")))
    ended = subprocess.run([*command, "--resume"], env=environment, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if ended.returncode not in (0, 1):
        print(ended.stderr, file=sys.stderr)
        return {"seconds": seconds, "status": ended.returncode}
    outcomes = json.loads((folder / "verdicts.json").read_text(encoding="utf-8"))["outcomes"]
    return {
        "seconds": seconds,
        "status": ended.returncode,
        "killed": killed,
        "cells_when_killed": kept,
        "theorems": sorted({outcome["theorem"] for outcome in outcomes}),
        "rows": {v: sum(o["counts"][v] for o in outcomes) for v in ("HOLDS", "VIOLATED", "VACUOUS", "UNKNOWN")},
        "figures": len(list((folder / "figures").glob("*.png"))),
    }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="every study from its quick preset, killed and resumed")
    parser.add_argument("--only", nargs="+", choices=STUDIES, default=list(STUDIES), metavar="NAME")
    parser.add_argument("--limit-seconds", type=float, default=480.0)
    chosen = quick_and_out(parser, __file__, arguments)
    names = chosen.only[:1] if chosen.quick else chosen.only
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            found[name] = run(name, Path(folder) / name, KILLED_AFTER)
            print(f"{name:14}{found[name]['seconds']:8.1f} s  {found[name].get('rows', 'failed')}", flush=True)
    seconds = sum(one["seconds"] for one in found.values())
    kept = seconds <= chosen.limit_seconds and all(
        one["status"] == 0 and one["rows"]["VIOLATED"] == 0 for one in found.values()
    )
    print(f"{'together':14}{seconds:8.1f} s, limit {chosen.limit_seconds:g}: {'kept' if kept else 'MISSED'}")
    result = {"studies": found, "seconds": seconds, "limit_seconds": chosen.limit_seconds, "kept": kept}
    save({**result, "quick": chosen.quick}, chosen.out)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
