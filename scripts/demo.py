"""`make demo`: both tasks in minutes; the conclusion first, then where the figures are, then the time it took.

    python scripts/demo.py [--full] [--out runs] [--set-up SECONDS]

Small examples: three seeds of `blocks` at penalties about the critical one, between the global one and level A, and
above level A; `topics` with anchors, without, and with gates trained beside the weights. `--full` runs the examples
that the README's figures and the ledger's evidence are from. What each run prints stands beside its folder. Exit
status: the worst of the runs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from empirical.check.report import conclusion

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
RUNS = ("blocks", "topics", "topics_without_anchors")
SMALL = ("gates",)  # as they are
LOCALIST = (sys.executable, "-m", "empirical.cli")


def run(example: str, out: Path) -> int:
    """One example into a folder of its name; what it prints into a file beside it."""
    print(f"{example} ...", file=sys.stderr, flush=True)
    with (out / f"{example}.txt").open("w", encoding="utf-8") as said:
        config = str(EXAMPLES / f"{example}.toml")
        command = [*LOCALIST, "run", config, "--out", str(out / example), "--resume", "--verbose"]
        return subprocess.run(command, stdout=said).returncode


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="both tasks in minutes: conclusion, figures, time")
    parser.add_argument("--full", action="store_true", help="the examples at full size")
    parser.add_argument("--out", type=Path, default=Path("runs"), help="default: runs")
    parser.add_argument("--set-up", default="", metavar="SECONDS", help="what the installation took")
    asked = parser.parse_args(arguments)
    began, names = time.monotonic(), [*(name if asked.full else f"demo_{name}" for name in RUNS), *SMALL]
    asked.out.mkdir(parents=True, exist_ok=True)
    status = max(run(name, asked.out) for name in names)
    files = [asked.out / name / "verdicts.json" for name in names]
    print(conclusion(one for file in files if file.exists() for one in json.loads(file.read_text())["outcomes"]))
    print(f"Figures, observed against bound first: {', '.join(str(asked.out / name / 'figures') for name in names)}")
    print(f"Tables of verdicts: {', '.join(str(asked.out / f'{name}.txt') for name in names)}")
    spent = f"{time.monotonic() - began:.0f} s"
    print(f"Time: set-up {asked.set_up} s, once; run {spent}" if asked.set_up else f"Time: run {spent}")
    return status


if __name__ == "__main__":
    sys.exit(main())
