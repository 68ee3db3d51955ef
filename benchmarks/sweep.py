"""A converged sweep of `blocks` against a loop of separate proximal gradient runs, on the same cores in the same run.

    python benchmarks/sweep.py [--penalties 64] [--seeds 3] [--repetitions 5] [--sample 16] [--out sweep.json]

Ours is `empirical.laboratory.sweep` as `localist run` calls it, in two workers: both branches, residual 1e-6,
localising and saving included. The loop is what a user writes: autograd, one run a (seed, start, penalty) after the
other in one process, from the localised solution and from W = 0, plain or with momentum and restarts, stopped at the
same residual or at the cap. It has the better number of threads, and the step size that took fewest steps of five on a
pilot (a quarter of the cap). A repetition runs every n-th penalty of the loop, another n-th each time, and scales its
seconds up; of plain steps, in the first repetition only, one seed. `ratio_in_workers` halves the loop's seconds, as if
it lost nothing in two processes. Exit status 1 where the sweep is less than `--limit` times faster than the better
loop, by the median, or where a setting did not converge or a verdict is not the same.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from common import save

STEPS = (80.0, 160.0, 320.0, 640.0, 1280.0)
LOWEST, HIGHEST = 0.25, 20.0  # times the critical penalty
STARTS = ("localised", "zero")  # where our branches begin, `downwards` and `upwards`
WORKERS = 2


def configuration(penalties: int, seeds: int, starts: tuple[str, ...]) -> Any:
    from empirical.laboratory.config import load

    config = load(Path(__file__).parent.parent / "examples" / "blocks.toml")
    shares = tuple(float(p) for p in np.geomspace(LOWEST, HIGHEST, penalties))
    return replace(
        config,
        sweep=replace(config.sweep, penalties=shares, seeds=tuple(range(1, seeds + 1)), starts=starts, workers=WORKERS),
    )


def run(task: tuple[Any, int, str, float, float, bool, int]) -> tuple[int, bool]:
    """(steps, converged) of one separate run, gradients by autograd."""
    import torch

    from empirical.laboratory.tasks import device_of, make_task
    from empirical.laboratory.training import localise
    from empirical.penalise.proximal_gradient import shrink

    config, seed, start, share, step, accelerated, cap = task
    if seed not in _KNOWN:
        solution = localise(config, seed)
        _KNOWN[seed] = (make_task(config, seed, device_of(config)).training, solution)
    data, solution = _KNOWN[seed]
    forms = torch.as_tensor(solution["parameter/forms"])
    forms = forms if start == "localised" else torch.zeros_like(forms)
    penalty = torch.tensor([share * float(solution["critical"])], dtype=forms.dtype)
    ahead, clock = forms, 1.0
    for count in range(cap + 1):
        leaf = ahead.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(data.loss(leaf).sum(), leaf)
        new, _ = shrink(ahead - step * gradient, step * penalty)
        gap = float((new - ahead).norm()) / step
        if gap <= config.sweep.tolerance or not np.isfinite(gap):
            return (count, True) if np.isfinite(gap) else (cap, False)
        restart = not accelerated or float(((ahead - new) * (new - forms)).sum()) > 0
        tick = 1.0 if restart else (1 + (1 + 4 * clock**2) ** 0.5) / 2
        ahead, forms, clock = (new if restart else new + (clock - 1) / tick * (new - forms)), new, tick
    return cap, False


_KNOWN: dict[int, Any] = {}


def loop(tasks: list[Any]) -> tuple[list[tuple[int, bool]], float]:
    """What each run came to, and the seconds, one after the other; the localised solutions are known beforehand."""
    for task in {task[1]: task for task in tasks}.values():
        run((*task[:6], 0))
    begin = time.perf_counter()
    return [run(task) for task in tasks], time.perf_counter() - begin


def threads(task: Any) -> int:
    """1, or as many as there are cores where a run is faster so."""
    import torch

    seconds = {}
    for count in (1, os.cpu_count() or 1):
        torch.set_num_threads(count)
        seconds[count] = loop([task])[1]
    return min(seconds, key=lambda count: seconds[count])


def ours(config: Any) -> tuple[float, Any]:
    """Seconds of the sweep, and its observations."""
    from empirical.laboratory.assemble import assemble
    from empirical.laboratory.sweep import sweep

    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        sweep(config, Path(folder) / "run", progress=False)
        return time.perf_counter() - begin, assemble(Path(folder) / "run")


def verdicts(dataset: Any) -> dict[str, str]:
    from empirical.check.verdicts import check_dataset

    return {outcome.theorem.key: outcome.verdict.name for outcome in check_dataset(dataset)}


def measure(penalties: int, seeds: int, repetitions: int, sample: int) -> dict[str, Any]:
    config = configuration(penalties, seeds, ("upwards", "downwards"))
    cap, shares = config.sweep.max_steps, config.sweep.penalties

    def tasks(chosen: tuple[float, ...], of: tuple[int, ...], step: float, fast: bool, most: int = cap) -> list[Any]:
        return [(config, seed, start, p, step, fast, most) for p in chosen for seed in of for start in STARTS]

    import torch

    kinds = {"accelerated": True, "plain": False}
    best_threads = threads(tasks(shares[:1], (1,), STEPS[1], True, 300)[1])
    torch.set_num_threads(best_threads)
    few, pilot = shares[len(shares) // 5 :: -(-len(shares) // 4)], {}
    for name, fast in kinds.items():
        found = {step: loop(tasks(few, (1,), step, fast, cap // 4))[0] for step in STEPS}
        pilot[name] = {step: sum(count for count, _ in runs) for step, runs in found.items()}
    best = {name: min(steps, key=lambda step: steps[step]) for name, steps in pilot.items()}
    print("pilot, steps by step size:", pilot, flush=True)
    repeated: list[dict[str, Any]] = []
    for number in range(repetitions):
        chosen = shares[number % sample :: sample]
        scale = len(shares) / len(chosen)
        seconds, dataset = ours(config)
        result: dict[str, Any] = {"ours": seconds, "converged": float(dataset["converged"].mean())}
        for name, fast in kinds.items():
            if name == "plain" and number:
                continue
            few_seeds = config.sweep.seeds if fast else config.sweep.seeds[:1]
            torch.set_num_threads(best_threads)
            found, took = loop(tasks(chosen, few_seeds, best[name], fast))
            took *= len(config.sweep.seeds) / len(few_seeds)
            ended = [count for count, converged in found if converged]
            result[name] = {
                "seconds": took * scale,
                "sampled_runs": len(found),
                "converged": len(ended) / len(found),
                "median_steps": median(count for count, _ in found),
                "ratio": took * scale / seconds,
                "ratio_in_workers": took * scale / seconds / WORKERS,
            }
        print(number, result, flush=True)
        repeated.append(result)
    sampled = configuration(penalties, seeds, STARTS)
    sampled = replace(sampled, sweep=replace(sampled.sweep, penalties=shares[::sample]))
    separate, followed = verdicts(ours(sampled)[1]), verdicts(dataset)
    loops = {name: median(r[name]["ratio"] for r in repeated if name in r) for name in kinds}
    return {
        "penalties": penalties,
        "seeds": seeds,
        "settings": len(dataset["penalty"]),
        "cap": cap,
        "steps_of_the_pilot": {name: {str(k): v for k, v in steps.items()} for name, steps in pilot.items()},
        "best_step": best,
        "threads_of_the_loop": best_threads,
        "repetitions": repeated,
        "ratio": min(loops.values()),
        "ratios": loops,
        "verdicts": followed,
        "verdicts_differ": sorted(key for key in followed if followed[key] != separate[key]),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="a converged sweep against separate proximal gradient runs")
    parser.add_argument("--penalties", type=int, default=64)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--sample", type=int, default=16, help="the loop runs every n-th penalty (default 16)")
    parser.add_argument("--limit", type=float, default=10.0, help="the least ratio allowed (default 10)")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"), help="where the JSON goes")
    arguments = parser.parse_args()
    result = measure(arguments.penalties, arguments.seeds, arguments.repetitions, arguments.sample)
    whole = min(r["converged"] for r in result["repetitions"]) == 1.0
    good = result["ratio"] >= arguments.limit and whole and not result["verdicts_differ"]
    save({**result, "limit": arguments.limit, "kept": good}, arguments.out)
    print(f"{result['settings']} settings; median of {arguments.repetitions}; the loop's seconds are scaled up")
    for name, ratio in result["ratios"].items():
        print(f"times faster than {name} proximal gradient: {ratio:.1f}")
    print(f"every setting converged: {whole}; verdicts that differ: {result['verdicts_differ'] or 'none'}")
    print(f"ratio {result['ratio']:.1f}, limit {arguments.limit:g}: {'kept' if good else 'MISSED'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
