"""Every benchmark, one after the other in a process of its own, and one table of the ratios that they saved.

    python benchmarks/table.py [--only NAME ...] [--read]

`--only` runs these alone, `--read` runs none; the table is always of all, from the JSON that is there, and is saved as
benchmarks/table.json. Exit status 1 where a limit is missed, a benchmark fails or saves nothing, or its JSON is not
there; what a benchmark skipped is said.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from common import save

FOLDER = Path(__file__).parent
Saved = dict[str, Any]


def digits(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


@dataclass(frozen=True)
class Line:
    """A number of a benchmark beside its limit: the least allowed, or the largest."""

    name: str
    ratio: float
    limit: float | None = None  # none: it is told, not judged
    at_most: bool = False
    quartiles: list[float] | None = None

    @property
    def kept(self) -> bool | None:
        if self.limit is None:
            return None
        return self.ratio <= self.limit if self.at_most else self.ratio >= self.limit

    def text(self) -> str:
        limit = "" if self.limit is None else f"{'<=' if self.at_most else '>='} {self.limit:g}"
        spread = "" if self.quartiles is None else " to ".join(map(digits, self.quartiles))
        said = {None: "", True: "kept", False: "MISSED"}[self.kept]
        return f"{self.name:<56}{digits(self.ratio):>9}  {spread:<18}{limit:<10}{said}".rstrip()


def startup(saved: Saved) -> list[Line]:
    return [Line("localist thresholds / import numpy", saved["ratio"], saved["limit"], True, saved["quartiles"])]


def rows(saved: Saved) -> list[Line]:
    words = f"localist check, {saved['rows']:,} rows"
    return [
        Line(f"{words}: seconds", saved["seconds"], saved["limit_seconds"], True),
        Line(f"{words}: GiB", saved["peak_gib"], saved["limit_gib"], True),
        Line("a verdict / exp of one number", saved["exps_per_verdict"]),
    ]


def sweep(saved: Saved) -> list[Line]:
    return [Line(f"sweep x {name} gradient runs", ratio, saved["limit"]) for name, ratio in saved["ratios"].items()]


def steps(saved: Saved) -> list[Line]:
    where = saved.get("device", "CPU")
    return [
        Line(f"batched model-steps x plain loop, {where}", saved["ratio"], saved["limit"], False, saved["quartiles"]),
        Line(f"share of peak, {where}", saved["share_of_peak"], quartiles=saved["share_quartiles"]),
    ]


def closed_forms(saved: Saved) -> list[Line]:
    judged = {name: case for name, case in saved["cases"].items() if case["judged"]}
    lines = [
        Line(f"{name} x mpmath, 15 digits", ratio["median"], saved["limit"], False, ratio["quartiles"])
        for name, ratio in ((name, case["ratios"]["15"]) for name, case in judged.items())
    ]
    return [*lines, Line("largest relative difference", saved["difference"], saved["limit_difference"], True)]


def growth(saved: Saved) -> list[Line]:
    cores = saved["cores"]
    return [
        *(Line(f"exponent in {k}", v["exponent"], quartiles=v["quartiles"]) for k, v in saved["exponents"].items()),
        Line("two processes x one", cores["ratio"], quartiles=cores["quartiles"]),
    ]


def studies(saved: Saved) -> list[Line]:
    violated = sum(one["rows"]["VIOLATED"] for one in saved["studies"].values())
    return [
        Line("all quick studies, killed and resumed: seconds", saved["seconds"], saved["limit_seconds"], True),
        Line("rows of theirs that violate a theorem", violated, 0, True),
    ]


def streaming(saved: Saved) -> list[Line]:
    at = f"at {saved['compared_at']:,} tokens"
    return [
        Line(f"a layer of {saved['longest']:,} tokens streamed: GiB", saved["peak_gib"], saved["limit_gib"], True),
        Line(f"memory of output_attentions x streamed, {at}", saved["memory_ratio"]),
        Line(f"time of output_attentions x streamed, {at}", saved["time_ratio"]),
    ]


def observe(saved: Saved) -> list[Line]:
    words = "observing and judging / eager forward"
    return [
        *(
            Line(f"{words}, {size} tokens", ratio["median"], saved["limits"][size], True, ratio["quartiles"])
            for size, ratio in saved["ratios"].items()
        ),
        Line("memory of it, at the longer", saved["memory_ratio"], saved["limit_memory"], True),
        Line("imports apart from it: seconds", saved["imports"]),
        Line("figures apart from it: seconds", saved["figures"]),
    ]


def weights(saved: Saved) -> list[Line]:
    words = f"weights of {saved['parameters']:,} parameters"
    return [
        Line(f"{words}: GiB", saved["peak_gib"], saved["limit_gib"], True),
        Line(f"{words}: seconds", saved["seconds"]),
        Line("range attacked / certified, rotary", saved["attack_reaches"], 1.0, True),
        Line("attacks outside what weights say", saved["outside"], 0, True),
    ]


def pages(saved: Saved) -> list[Line]:
    paint, slider = saved["paint"], saved["slider"]
    return [
        Line("explorer, first paint: seconds", paint["median"], saved["limits"]["paint"], True, paint["quartiles"]),
        Line("explorer, a slider: seconds", slider["median"], saved["limits"]["slider"], True, slider["quartiles"]),
        Line("explorer, its file: MB", saved["bytes"] / 1e6, saved["limit_bytes"] / 1e6, True),
    ]


def selection(saved: Saved) -> list[Line]:
    lines: list[Line] = []
    for name, model in saved["models"].items():
        reach, solver = model["ways"]["penalty path"], model["solver"]
        lines += [
            Line(
                f"{name}: outside attention removed at {saved['budget']}",
                reach["reach"],
                None,
                False,
                reach["reach_interval"],
            ),
            Line(f"{name}: residual / critical penalty", max(solver["residual_over_critical"]), 1e-4, True),
            Line(f"{name}: gradients a penalty", max(solver["gradients"]), 60, True),
        ]
    return lines


def gates(saved: Saved) -> list[Line]:
    ratio, solver = saved["map"]["ratio"], saved["solver"]
    words = "map of prices / forward and backward pass"
    return [
        Line(words, ratio["median"], saved["map"]["limit"], True, ratio["quartiles"]),
        Line("whole price / (pass x nodes)", saved["price"]["ratio"], saved["price"]["limit"], True),
        Line("map of long texts: exponent of memory", saved["memory"]["exponent"], saved["memory"]["limit"], True),
        Line("map at Llama-3.2-1B's configuration: GiB", saved["llama"]["peak"] / 2**30),
        Line("gates solved: residual / critical penalty", solver["residual"], solver["limit_residual"], True),
        Line("gates solved: gradients a penalty", solver["gradients"], solver["limit_gradients"], True),
    ]


def mutants(saved: Saved) -> list[Line]:
    return [
        Line("mutants judged / drawn", saved["judged"] / saved["drawn"], 1.0),
        Line("mutants killed / judged, equivalent ones left out", saved["ratio"], saved["limit"]),
    ]


READERS: dict[str, Callable[[Saved], list[Line]]] = {
    reader.__name__: reader
    for reader in (
        *(startup, rows, sweep, steps, closed_forms, growth, studies, streaming, observe, weights),
        *(pages, selection, gates, mutants),
    )
}


def run(name: str) -> str | None:
    """Runs a benchmark; what went wrong, beyond a limit that its JSON tells of."""
    path, script = FOLDER / f"{name}.json", FOLDER / f"{name}.py"
    before = path.stat().st_mtime_ns if path.exists() else None
    print(f"\n== {name}", flush=True)
    status = subprocess.run([sys.executable, str(script)]).returncode
    if not path.exists() or path.stat().st_mtime_ns == before:
        return f"{name}: ended with status {status} and saved nothing"
    return None if status == 0 else f"{name}: ended with status {status}"


def read(name: str) -> tuple[list[Line], list[str], list[str]]:
    """(lines, what is wrong, what was skipped) of a benchmark's JSON, and of those for single devices beside it."""
    lines: list[Line] = []
    wrong: list[str] = []
    skipped: list[str] = []
    path = FOLDER / f"{name}.json"
    if not path.exists():
        return lines, [f"{name}: not measured, there is no {path.name}"], skipped
    for file in (path, *sorted(FOLDER.glob(f"{name}-*.json"))):
        saved = json.loads(file.read_text(encoding="utf-8"))
        try:
            lines += READERS[name](saved)
        except KeyError as error:
            wrong.append(f"{name}: {file.name} has no {error}; measure it again")
        if saved.get("kept") is False:
            wrong.append(f"{name}: {file.name} says that a limit is missed")
        if saved.get("quick"):
            wrong.append(f"{name}: {file.name} is of a quick run, whose numbers mean nothing")
        if saved.get("gpu_skipped"):
            skipped.append(f"{name}: not on a GPU, {saved['gpu_skipped']}")
    return lines, wrong, skipped


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="all benchmarks, and one table of their ratios")
    parser.add_argument("--only", nargs="+", choices=READERS, metavar="NAME", help=f"of {', '.join(READERS)}")
    parser.add_argument("--read", action="store_true", help="run nothing: the table of what was saved before")
    chosen = parser.parse_args(arguments)
    asked = () if chosen.read else (chosen.only or READERS)
    failures = [failure for name in asked if (failure := run(name))]
    found = {name: read(name) for name in READERS}
    wrong = failures + [problem for _, problems, _ in found.values() for problem in problems]
    skipped = [words for _, _, words_of in found.values() for words in words_of]
    print(f"\n{'':<56}{'ratio':>9}  {'quartiles':<18}limit")
    for lines, _, _ in found.values():
        for line in lines:
            print(line.text())
    for words in (*wrong, *skipped):
        print(words)
    kept = not wrong and all(line.kept is not False for lines, _, _ in found.values() for line in lines)
    saved = {name: [{**asdict(line), "kept": line.kept} for line in lines] for name, (lines, _, _) in found.items()}
    save({"lines": saved, "wrong": wrong, "skipped": skipped, "kept": kept}, FOLDER / "table.json")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
