"""How time grows: exponents of a sweep step in settings, keys and blocks, of the checks in rows; time against cores.

    python benchmarks/growth.py [--quick] [--out benchmarks/growth.json]

An exponent is the least squares slope of log time over log size, of median times; R^2 says how straight the line is,
and the slopes of the single rounds how sure it is. A step is that of `proximal.solve` on one thread, on the `blocks`
laboratory of examples/blocks.toml with one of its sizes changed: settings side by side, keys a query (a quarter of them
in each block), or blocks of 8 features (32 keys in all, so that the width grows with the blocks). The checks are
`check_dataset` on a file of benchmarks/rows.py, reading included. Cores: batched steps in one process and in two. What
is fixed (a call into PyTorch, the witness rows of a theorem) makes exponents small at small sizes; on a machine that
does other work two processes show little of the second core. Nothing is judged.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from common import in_turn, quick_and_out, save, spread
from rows import ANCHORS, LAYERS, SETTINGS, build
from steps import CELL, EXAMPLE, Laboratory, rate, worker

SIZES = {"settings": (4, 8, 16, 32, 64), "keys": (16, 32, 64, 128, 256), "blocks": (2, 4, 8, 16)}
QUERIES = (1000, 4000, 16_000)  # of each head: 160,000 rows and more
QUICK = {"settings": (2, 4), "keys": (8, 16), "blocks": (2, 4)}
DIMENSIONS = {
    "settings": "a sweep step in settings",
    "keys": "in keys",
    "blocks": "in blocks",
    "rows": "checks in rows",
}


def laboratory(dimension: str, size: int) -> Laboratory:
    """The laboratory with one of its sizes changed."""
    from empirical.laboratory.config import load

    config = load(EXAMPLE)
    keys, blocks = config.setting.n_keys, config.model.blocks
    if dimension == "settings":
        return Laboratory(size, config=config)
    keys, blocks = (size, blocks) if dimension == "keys" else (keys, size)
    setting = replace(config.setting, n_keys=keys, n_block=keys // blocks)
    return Laboratory(CELL, config=replace(config, setting=setting, model=replace(config.model, blocks=blocks)))


def slope(sizes: tuple[int, ...], times: list[float]) -> tuple[float, float]:
    """(exponent, R^2) of time = constant * size^exponent."""
    x, y = np.log(sizes), np.log(times)
    (exponent, constant), left = np.polyfit(x, y, 1), y - y.mean()
    return float(exponent), float(1 - np.square(y - exponent * x - constant).sum() / np.square(left).sum())


def growth(sizes: tuple[int, ...], times: dict[str, list[float]]) -> dict[str, Any]:
    """The exponent of median times, and of every round."""
    exponent, straight = slope(sizes, [median(values) for values in times.values()])
    return {
        "exponent": exponent,
        "r_squared": straight,
        "quartiles": spread([slope(sizes, list(one))[0] for one in zip(*times.values())])["quartiles"],
        "sizes": sizes,
        "seconds": {size: spread(values) for size, values in times.items()},
    }


def timed(work: Callable[[], Any]) -> Callable[[], float]:
    def once() -> float:
        begin = time.perf_counter()
        work()
        return time.perf_counter() - begin

    return once


def of_steps(dimension: str, sizes: tuple[int, ...], steps: int, rounds: int) -> dict[str, Any]:
    laboratories = {str(size): laboratory(dimension, size) for size in sizes}
    work = {size: timed(lambda lab=lab: lab.batched(steps)) for size, lab in laboratories.items()}
    return growth(sizes, in_turn(work, rounds))


def of_checks(queries: tuple[int, ...], rounds: int) -> dict[str, Any]:
    from empirical.check.verdicts import check_dataset
    from empirical.observe.files import open_observations

    rows = tuple(SETTINGS * LAYERS * len(ANCHORS) * count for count in queries)
    with tempfile.TemporaryDirectory() as folder:
        paths = {str(size): Path(folder) / f"{size}.nc" for size in rows}
        for path, count in zip(paths.values(), queries):
            build(path, count)

        def check(path: Path) -> None:
            with open_observations(path, lazy=True) as dataset:
                check_dataset(dataset)

        return growth(rows, in_turn({size: timed(lambda p=path: check(p)) for size, path in paths.items()}, rounds))


def of_cores(steps: int, rounds: int) -> dict[str, Any]:
    """How many times as many model-steps a second two one-thread processes do as one."""
    with worker(1) as first, worker(1) as second:
        several = {"1": [first], "2": [first, second]}
        work = {count: lambda c=connections: rate(c, "batched", steps) for count, connections in several.items()}
        rates = in_turn(work, rounds)
    ratio = spread([two / one for one, two in zip(rates["1"], rates["2"])])
    return {
        "ratio": ratio["median"],
        "quartiles": ratio["quartiles"],
        "model_steps_per_second": {count: spread(values) for count, values in rates.items()},
    }


def measure(quick: bool = False) -> dict[str, Any]:
    import torch

    torch.set_num_threads(1)
    sizes, queries, steps, rounds = (QUICK, (2, 4), 2, 2) if quick else (SIZES, QUERIES, 10, 5)
    exponents = {dimension: of_steps(dimension, chosen, steps, rounds) for dimension, chosen in sizes.items()}
    exponents["rows"] = of_checks(queries, 2 if quick else 3)
    return {"exponents": exponents, "cores": of_cores(10 * steps, rounds)}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="how the time of sweep steps and checks grows, and what cores give")
    chosen = quick_and_out(parser, __file__, arguments)
    result = measure(chosen.quick)
    save({**result, "quick": chosen.quick}, chosen.out)
    for dimension, words in DIMENSIONS.items():
        found = result["exponents"][dimension]
        low, high = found["quartiles"]
        print(
            f"{words:<28}{found['sizes'][0]:>9,} to {found['sizes'][-1]:<9,} exponent {found['exponent']:.2f}, "
            f"quartiles {low:.2f} to {high:.2f}, R^2 {found['r_squared']:.4f}"
        )
    low, high = result["cores"]["quartiles"]
    print(f"two processes over one: {result['cores']['ratio']:.2f}, quartiles {low:.2f} to {high:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
