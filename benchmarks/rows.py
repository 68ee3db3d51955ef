"""Ten million observed attention rows against every theorem: seconds and peak memory of one `localist check`.

    python benchmarks/rows.py [--rows 10000000] [--limit-seconds 60] [--limit-gib 4] [--out benchmarks/rows.json]

Every row is a softmax row seen by the observer of real attention; contexts, blocks, anchors, temperatures and dials
vary. The first layer is localist with its cross blocks at zero in half of the settings, and the fields of the groups
are such as a stationary point has. The file is written and checked piece by piece, each in a process of its own, and
the time includes reading the file and starting Python. Exit status 1 where a limit is exceeded, a row violates a
theorem, or a theorem decides no row.
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
from statistics import median
from typing import Any

import numpy as np
from common import save

SETTINGS, LAYERS, BLOCKS, KEYS = 20, 2, 4, 32
ANCHORS = (1, 2, 4, None)  # one a head; None: the whole block
LEAST_REACH = 2  # visible keys of the first query; a row that sees no key of its block is not valid
CRITICAL, ANCHOR_LOGIT = 1e-2, 3.0
ROW, PAIR = ("setting", "layer", "head", "query"), ("setting", "layer", "head", "block_query", "block_key")


def setting_fields() -> dict[str, np.ndarray]:
    """Penalties around the critical one; the last few beyond level A, which is 1 here."""
    penalty = np.geomspace(0.05, 300, SETTINGS) * CRITICAL
    loss = 0.5 - 1e-3 * (penalty < CRITICAL)
    fixed = {
        "residual": 1e-9, "steps": 10_000, "step": 40.0, "critical": CRITICAL, "loss_localised": 0.5,
        "anchor_logit": ANCHOR_LOGIT, "gradient_bound": 4.0, "value_diameter": 2.0,
    }  # fmt: skip
    return {
        "penalty": penalty,
        "loss_train": loss,
        "temperature": np.resize([0.7, 1.0, 1.5], SETTINGS),
        "dial": np.linspace(0, 0.99, SETTINGS),
        "converged": np.ones(SETTINGS, np.int8),
        "accelerated": np.zeros(SETTINGS, np.int8),
        **{name: np.full(SETTINGS, value) for name, value in fixed.items()},
    }


def pair_fields(penalty: np.ndarray, random: np.random.Generator) -> dict[str, np.ndarray]:
    """Zero groups with a gradient below the penalty above the critical one; active ones with the penalty below it."""
    shape = (SETTINGS, LAYERS, len(ANCHORS), BLOCKS, BLOCKS)
    level = np.broadcast_to(penalty[:, None, None, None, None], shape)
    share = random.uniform(0.1, 0.9, shape)
    zero = (level >= CRITICAL) & ~np.eye(BLOCKS, dtype=bool)
    start = random.uniform(0.1, 0.5, shape)
    peak = np.where(zero, share * CRITICAL, level)
    taken = np.where(zero, np.ceil(0.9 * start / (40.0 * (level - share * CRITICAL))), -1)
    return {
        "group_norm": np.where(zero, 0.0, random.uniform(0.1, 0.5, shape)),
        "gradient_norm": np.where(zero, share * CRITICAL, level),
        "group_norm_start": start,
        "gradient_peak": peak,
        "steps_to_zero": taken,
    }


def logits_of(layer: int, zero: bool, own: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Logits of all sizes; in the localist layer the block is at its anchor logit or above, and `zero` is the rest."""
    logits = random.standard_normal(own.shape) * random.choice([0.3, 1.0, 4.0], (own.shape[0], 1))
    if layer == 0:
        return np.where(own, ANCHOR_LOGIT + np.abs(logits), 0.0 if zero else logits)
    return logits + 4.0 * own * random.uniform(size=(own.shape[0], 1))


def _plain(values: np.ndarray) -> np.ndarray:
    """netCDF has no bool."""
    return values.astype(np.int8) if values.dtype == bool else values


def build(path: Path, queries: int) -> None:
    """The observations, written head by head; compressed as a run compresses its own."""
    import h5netcdf
    import h5py
    import torch

    from empirical.observe.rows import row_statistics

    torch.set_num_threads(1)  # its threads cost more than they do on tensors of this size
    random = np.random.default_rng(0)
    settings = setting_fields()
    pairs = pair_fields(settings["penalty"], random)
    own = (np.arange(queries) % BLOCKS)[:, None] == np.arange(KEYS) % BLOCKS
    visible = np.arange(KEYS) < random.integers(LEAST_REACH, KEYS + 1, queries)[:, None]
    with h5netcdf.File(path, "w") as file:
        file.dimensions = {
            "setting": SETTINGS, "layer": LAYERS, "head": len(ANCHORS), "query": queries,
            "block_query": BLOCKS, "block_key": BLOCKS,
        }  # fmt: skip

        def write(name: str, dims: tuple[str, ...], values: np.ndarray) -> None:
            file.create_variable(name, dims, data=_plain(values))

        for name, values in settings.items():
            write(name, ("setting",), values)
        for name, values in pairs.items():
            write(name, PAIR, values)
        file.create_variable("start", ("setting",), dtype=h5py.string_dtype())[...] = ["localised"] * SETTINGS
        write("seed", ("setting",), np.ones(SETTINGS, np.int64))
        write("localist", ("layer",), np.arange(LAYERS) == 0)
        write("query_block", ("query",), np.arange(queries) % BLOCKS)
        for name, value, side in (
            ("query_norm", 1.0, "query"), ("query_share", 1 / BLOCKS, "query"),
            ("key_norm", 1.0, "key"), ("key_diameter", 2.0, "key"),
        ):  # fmt: skip
            write(name, ("setting", f"block_{side}"), np.full((SETTINGS, BLOCKS), value))
        for setting in range(SETTINGS):
            temperature, dial = float(settings["temperature"][setting]), float(settings["dial"][setting])
            for layer in range(LAYERS):
                for head, anchors in enumerate(ANCHORS):
                    zero = settings["penalty"][setting] >= CRITICAL
                    logits = torch.as_tensor(logits_of(layer, zero, own, random))
                    fields = row_statistics(
                        logits, torch.as_tensor(own), torch.as_tensor(visible), anchors, temperature, dial=dial
                    )
                    for name, value in fields.items():
                        values = _plain(value.numpy())
                        if name not in file.variables:
                            file.create_variable(
                                name, ROW, values.dtype, chunks=(1, 1, 1, min(queries, 2**16)),
                                compression="gzip", compression_opts=1,
                            )  # fmt: skip
                        file.variables[name][setting, layer, head, :] = values


def in_its_own_process(command: list[str], accepted: tuple[int, ...] = (0,)) -> tuple[str, float, float, float]:
    """What the command prints, its seconds by the wall clock and on processors, its peak resident memory in GiB."""
    begin = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in accepted:
        raise SystemExit(f"{' '.join(command)} ended with status {process.returncode}")
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
    return said, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit / 2**30


def exponentials(count: int) -> float:
    """Seconds of one numpy exp over as many doubles, the median of nine: the least that a formula a row could cost."""
    values = np.linspace(-30, 0, count)
    out = np.empty_like(values)
    np.exp(values, out=out)  # its pages are there before the clock starts
    times = []
    for _ in range(9):
        begin = time.perf_counter()
        np.exp(values, out=out)
        times.append(time.perf_counter() - begin)
    return median(times)


def measure(rows: int) -> dict[str, Any]:
    queries = -(-rows // (SETTINGS * LAYERS * len(ANCHORS)))
    rows = queries * SETTINGS * LAYERS * len(ANCHORS)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "observations.nc"
        in_its_own_process([sys.executable, __file__, "--build", str(path), "--rows", str(rows)])
        size = path.stat().st_size / 2**30
        said, seconds, processors, peak = in_its_own_process(
            [sys.executable, "-m", "empirical.cli", "check", str(path), "--json"],
            accepted=(0, 1),  # 1: a row violates a theorem, which the report shows
        )
    outcomes = json.loads(said)["outcomes"]
    judged = sum(sum(o["counts"].values()) for o in outcomes)
    baseline = exponentials(rows)
    return {
        "rows": rows,
        "theorems": len(outcomes),
        "seconds": seconds,
        "processor_seconds": processors,
        "peak_gib": peak,
        "file_gib": size,
        "rows_per_second": rows / seconds,
        "verdicts_per_second": judged / seconds,
        "exp_seconds": baseline,
        "ratio_to_exp": seconds / baseline,
        "exps_per_verdict": seconds / baseline * rows / judged,
        "counts": {o["theorem"]: o["counts"] for o in outcomes},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="seconds and memory of `localist check` on many rows")
    parser.add_argument("--rows", type=int, default=10_000_000, help="attention rows, at least (default 10,000,000)")
    parser.add_argument("--limit-seconds", type=float, default=60.0, help="wall clock allowed (default 60)")
    parser.add_argument("--limit-gib", type=float, default=4.0, help="resident memory allowed (default 4)")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"), help="where the JSON goes")
    parser.add_argument("--build", type=Path, metavar="FILE.nc", help="only write the observations")
    arguments = parser.parse_args()
    if arguments.rows < 1:
        parser.error(f"--rows must be 1 or more, got {arguments.rows}")
    if arguments.build is not None:
        build(arguments.build, -(-arguments.rows // (SETTINGS * LAYERS * len(ANCHORS))))
        return 0
    result = measure(arguments.rows)
    kept = result["seconds"] <= arguments.limit_seconds and result["peak_gib"] <= arguments.limit_gib
    sound = all(counts["HOLDS"] and not counts["VIOLATED"] for counts in result["counts"].values())
    limits = {"limit_seconds": arguments.limit_seconds, "limit_gib": arguments.limit_gib}
    save({**result, **limits, "kept": kept and sound}, arguments.out)
    print(f"{'theorem':<26}{'HOLDS':>12}{'VIOLATED':>10}{'VACUOUS':>12}{'UNKNOWN':>10}")
    for theorem, counts in result["counts"].items():
        print(
            f"{theorem:<26}{counts['HOLDS']:>12,}{counts['VIOLATED']:>10,}{counts['VACUOUS']:>12,}{counts['UNKNOWN']:>10,}"
        )
    print(
        f"{result['rows']:,} rows x {result['theorems']} theorems: {result['seconds']:.1f} s of "
        f"{arguments.limit_seconds:g} s ({result['processor_seconds']:.1f} s on processors), "
        f"{result['peak_gib']:.2f} of {arguments.limit_gib:g} GiB, "
        f"{result['rows_per_second']:,.0f} rows/s, {result['exps_per_verdict']:.1f} exp a verdict: "
        f"{'kept' if kept else 'EXCEEDED'}{'' if sound else '; a theorem is violated or decides no row'}"
    )
    return 0 if kept and sound else 1


if __name__ == "__main__":
    sys.exit(main())
