"""Whole-process time of `localist thresholds` against bare `python -c 'import numpy'`, measured in turn in one run.

    python benchmarks/startup.py [--runs 30] [--limit 3.5] [--out benchmarks/startup.json]

The two commands alternate, so that a slow moment of the machine meets both. Exit status 1 where the ratio of medians
exceeds the limit. What a first run after installation costs (no compiled bytecode) is not covered: one warm-up is free.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from common import save, spread

QUESTION = ["--n-keys", "64", "--n-block", "16", "--n-anchors", "1", "--margin", "6", "--fidelity", "0.95"]
COMMANDS = {
    "python -c 'import numpy'": [sys.executable, "-c", "import numpy"],
    "localist thresholds": [str(Path(sys.executable).parent / "localist"), "thresholds", *QUESTION],
}


def seconds(command: list[str]) -> float:
    """Wall-clock time of one process from start to exit; a failing command is an error, not a measurement."""
    begin = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    took = time.perf_counter() - begin
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with status {done.returncode}: {done.stderr.strip()}")
    return took


def measure(runs: int) -> dict[str, list[float]]:
    """Seconds of every run of each command, interleaved, after one warm-up each."""
    for command in COMMANDS.values():
        seconds(command)
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(runs):
        for name, command in COMMANDS.items():
            times[name].append(seconds(command))
    return times


def report(times: dict[str, list[float]]) -> dict:
    base, ours = times.values()
    return {
        "ratio": median(ours) / median(base),
        "quartiles": spread([a / b for a, b in zip(ours, base)])["quartiles"],
        "seconds": {name: spread(values) for name, values in times.items()},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="start-up time of `localist thresholds` over that of `import numpy`")
    parser.add_argument("--runs", type=int, default=30, help="runs of each command, 2 or more (default 30)")
    parser.add_argument("--limit", type=float, default=3.5, help="the largest ratio allowed (default 3.5)")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"), help="where the JSON goes")
    arguments = parser.parse_args()
    if arguments.runs < 2:
        parser.error(f"--runs must be 2 or more, got {arguments.runs}")
    result = report(measure(arguments.runs))
    good = result["ratio"] <= arguments.limit
    save({**result, "limit": arguments.limit, "kept": good}, arguments.out)
    print(f"{'command':<28}{'median':>10}{'quartiles':>20}")
    for name, row in result["seconds"].items():
        low, high = row["quartiles"]
        print(f"{name:<28}{1e3 * row['median']:>7.1f} ms{1e3 * low:>9.1f} to {1e3 * high:.1f} ms")
    print(f"ratio of medians {result['ratio']:.2f}, limit {arguments.limit:g}: {'kept' if good else 'EXCEEDED'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
