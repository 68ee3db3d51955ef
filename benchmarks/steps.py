"""Model-steps a second at width 32: batched settings against a plain loop; a step is one gradient and proximal step.

    python benchmarks/steps.py [--limit 1.6] [--gpu-limit 50] [--quick] [--out benchmarks/steps.json]

The problem is the `blocks` laboratory of examples/blocks.toml: 4 blocks of 8 features, 32 keys, 512 queries, float64.
Ours is what a cell of a sweep does: `proximal.solve` on 8 settings with the analytic gradient, momentum and all that it
records, in two one-thread processes at once. The loop takes one setting at a time, gradients by autograd, without
momentum or a stopping test, in one process with the better of PyTorch's default threads and one thread. Starting the
processes is not counted. The share of peak is the flops of our matrix products, by formula, over those of a large
square float64 product in the same processes in the same rounds.

On a GPU: 256 settings in one batch, by `solve` and as a CUDA graph of plain proximal steps where it captures, against
the same loop on that GPU; saved beside, with the device in the file name. Without one the JSON says why not.
Exit status 1 where the median ratio is below its limit.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import re
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from common import in_turn, quick_and_out, save, spread

CELL, WORKERS, BATCH = 8, 2, 256
SPIN = 0.3  # seconds: idle OpenMP threads wait for work on a core for up to 0.2
EXAMPLE = Path(__file__).parent.parent / "examples" / "blocks.toml"


class Laboratory:
    """The three kinds of work on one device, each for as long as asked; returns how often what it counts was done."""

    def __init__(self, settings: int, device: str = "cpu", config: Any = None):
        import torch

        from empirical.laboratory.config import load
        from empirical.laboratory.tasks import make_task

        self.config, self.device = config or load(EXAMPLE), torch.device(device)
        self.data = make_task(self.config, 1, self.device).training
        shape = (self.config.model.blocks, self.config.model.d_block)
        draw = torch.randn(1, 1, 1, *shape, *shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        self.start = (draw * (2 / shape[1])).expand(settings, *draw.shape[1:]).to(self.device).contiguous()
        self.penalties = torch.logspace(-4, -1, settings, dtype=torch.float64, device=self.device)

    def flops(self) -> int:
        """Of the six matrix products of one model-step: W on both sides, logits, outputs, their pull, covariance."""
        (queries, keys, values), width = self.data.values.shape, self.data.query.shape[1]
        return 2 * queries * (2 * width**2 + 2 * keys * width + 2 * keys * values)

    def batched(self, steps: int) -> int:
        """Model-steps of one `solve` that no setting leaves early."""
        from empirical.penalise.proximal_gradient import solve

        size = self.config.step
        end = solve(self.data.loss_and_gradient, self.start, self.penalties, step=size, tolerance=0.0, max_steps=steps)
        if not (end.steps == steps).all():
            raise SystemExit(f"every setting must take {steps} steps, got {end.steps.tolist()}")
        return len(self.start) * (steps + 1)  # the last point has its gradient and proximal step too

    def loop(self, steps: int) -> int:
        """Model-steps of a plain loop on one setting."""
        import torch

        from empirical.penalise.proximal_gradient import shrink

        forms, penalty, size = self.start[:1], self.penalties[:1], self.config.step
        for _ in range(steps):
            leaf = forms.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(self.data.loss(leaf).sum(), leaf)
            forms, _ = shrink(leaf.detach() - size * gradient, size * penalty)
        self.wait()
        return steps

    def product(self, size: int) -> int:
        """Flops of a square matrix product."""
        import torch

        if getattr(self, "square", torch.empty(0)).shape[0] != size:
            self.square = torch.ones(size, size, dtype=torch.float64, device=self.device)
        torch.mm(self.square, self.square)
        self.wait()
        return 2 * size**3

    def wait(self) -> None:
        """A GPU returns before it is done."""
        import torch

        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def serve(connection: Any, threads: int | None) -> None:
    """A worker process: does what it is sent until it is sent nothing."""
    import torch

    if threads is not None:
        torch.set_num_threads(threads)
    laboratory = Laboratory(CELL)
    while (asked := connection.recv()) is not None:
        kind, size = asked
        connection.send(getattr(laboratory, kind)(size))


@contextmanager
def worker(threads: int | None):
    """A connection to a process with that many threads (None: PyTorch's default), as sweeps start them."""
    from empirical.laboratory.sweep import ONE_THREAD

    ours, theirs = multiprocessing.Pipe()
    before = dict(os.environ)
    os.environ.update(ONE_THREAD if threads == 1 else {})
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs, threads), daemon=True)
    process.start()
    os.environ.clear()
    os.environ.update(before)
    theirs.close()  # else a worker that died is waited for
    try:
        yield ours
        ours.send(None)
        process.join()
    finally:
        process.terminate()
        process.join()


def rate(connections: list[Any], kind: str, size: int) -> float:
    """What all of them count a second, from the first request to the last answer."""
    begin = time.perf_counter()
    for connection in connections:
        connection.send((kind, size))
    done = sum(connection.recv() for connection in connections)
    return done / (time.perf_counter() - begin)


def measure(quick: bool = False) -> dict[str, Any]:
    """Rates and their ratios on the CPU."""
    rounds, steps, one_by_one, size = (2, 3, 6, 64) if quick else (15, 100, 300, 1536)
    with worker(1) as first, worker(1) as second, worker(None) as threaded:

        def default_threads() -> float:
            found = rate([threaded], "loop", one_by_one)
            time.sleep(0 if quick else SPIN)
            return found

        work = {
            "ours": lambda: rate([first, second], "batched", steps),
            "loop, one thread": lambda: rate([first], "loop", one_by_one),
            "loop, default threads": default_threads,
            "product": lambda: rate([first, second], "product", size),
        }
        rates = in_turn(work, rounds)
    loops = {name: values for name, values in rates.items() if name.startswith("loop")}
    better = max(loops, key=lambda name: median(loops[name]))
    return compared(rates, "ours", better, {"workers": WORKERS, "settings": CELL, "product_size": size})


def compared(rates: dict[str, list[float]], ours: str, loop: str, about: dict[str, Any]) -> dict[str, Any]:
    """Ratios round by round: what is compared was measured within seconds of each other."""
    ratio = spread([a / b for a, b in zip(rates[ours], rates[loop])])
    flops = Laboratory(1).flops()
    share = spread([flops * a / b for a, b in zip(rates[ours], rates["product"])])
    return {
        **about,
        "better_loop": loop,
        "ratio": ratio["median"],
        "quartiles": ratio["quartiles"],
        "share_of_peak": share["median"],
        "share_quartiles": share["quartiles"],
        "gflops": flops * median(rates[ours]) / 1e9,
        "flops_a_model_step": flops,
        "rates": {name: spread(values) for name, values in rates.items()},
    }


def measure_batch(device: str, quick: bool = False) -> dict[str, Any]:
    """The same of one large batch in this process, for a GPU; on any other device without the graph."""
    rounds, steps, one_by_one, size, settings = (2, 3, 6, 64, 4) if quick else (15, 100, 300, 4096, BATCH)
    laboratory = Laboratory(settings, device)

    def timed(run: Callable[[int], int], amount: int) -> Callable[[], float]:
        def once() -> float:
            laboratory.wait()
            begin = time.perf_counter()
            done = run(amount)
            laboratory.wait()
            return done / (time.perf_counter() - begin)

        return once

    work = {
        "eager": timed(laboratory.batched, steps),
        "loop": timed(laboratory.loop, one_by_one),
        "product": timed(laboratory.product, size),
    }
    graph, why = capture(laboratory) if laboratory.device.type == "cuda" else (None, "not a CUDA device")
    if graph is not None:
        work["captured"] = timed(graph, steps)
    rates = in_turn(work, rounds)
    pays = max((name for name in ("eager", "captured") if name in rates), key=lambda name: median(rates[name]))
    return compared(rates, pays, "loop", {"pays": pays, "not_captured": why, "settings": settings})


def capture(laboratory: Laboratory) -> tuple[Callable[[int], int] | None, str | None]:
    """Plain proximal steps as one CUDA graph, replayed; or none, and why. Captured steps must agree with eager ones."""
    import torch

    from empirical.penalise.proximal_gradient import shrink

    size, forms = laboratory.config.step, laboratory.start.clone()

    def step() -> None:
        _, gradient = laboratory.data.loss_and_gradient(forms)
        forms.copy_(shrink(forms - size * gradient, size * laboratory.penalties)[0])

    try:
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):  # as torch.cuda.graph asks for: libraries set themselves up before the capture
            for _ in range(3):
                step()
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step()
    except RuntimeError as error:
        return None, f"{error}".splitlines()[0]

    def replay(steps: int) -> int:
        for _ in range(steps):
            graph.replay()
        return len(forms) * steps

    forms.copy_(laboratory.start)
    replay(3)
    captured = forms.clone()
    forms.copy_(laboratory.start)
    for _ in range(3):
        step()
    if not torch.allclose(captured, forms, rtol=1e-9, atol=1e-12):
        return None, "captured steps differ from eager ones"
    return replay, None


def no_gpu() -> str | None:
    """Why nothing can be measured on a GPU here; None where it can."""
    import torch

    if torch.cuda.is_available():
        return None
    return f"no CUDA device on this machine (torch {torch.__version__}, built for CUDA {torch.version.cuda})"


def say(result: dict[str, Any], limit: float) -> bool:
    """Prints rates and ratios; whether the limit is kept."""
    for name, row in result["rates"].items():
        unit, scale = ("GFLOP/s", 1e9) if name == "product" else ("model-steps/s", 1)
        low, high = (quartile / scale for quartile in row["quartiles"])
        print(f"{name:<24}{row['median'] / scale:>12,.0f} {unit}, quartiles {low:,.0f} to {high:,.0f}")
    kept = result["ratio"] >= limit
    low, high = result["quartiles"]
    print(
        f"{100 * result['share_of_peak']:.1f} % of the peak of a matrix product ({result['gflops']:.1f} GFLOP/s)\n"
        f"times faster than the better loop ({result['better_loop']}): {result['ratio']:.2f}, quartiles {low:.2f} to "
        f"{high:.2f}, limit {limit:g}: {'kept' if kept else 'MISSED'}"
    )
    return kept


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="model-steps a second of batched settings against a plain loop")
    parser.add_argument("--limit", type=float, default=1.6, help="the least ratio allowed on the CPU (default 1.6)")
    parser.add_argument("--gpu-limit", type=float, default=50.0, help="the least ratio allowed on a GPU (default 50)")
    chosen = quick_and_out(parser, __file__, arguments)
    import torch

    result, reason = measure(chosen.quick), no_gpu()
    about = {"torch": torch.__version__, "quick": chosen.quick}
    kept = say(result, chosen.limit)
    saved = {**result, **about, "limit": chosen.limit, "kept": kept, "gpu": None, "gpu_skipped": reason}
    if reason is None:
        device = torch.cuda.get_device_name()
        path = chosen.out.with_name(f"{chosen.out.stem}-{re.sub('[^A-Za-z0-9]+', '-', device)}.json")
        on_gpu = measure_batch("cuda", chosen.quick)
        print(f"\n{device}: {on_gpu['pays']} pays; not captured: {on_gpu['not_captured']}")
        kept_there = say(on_gpu, chosen.gpu_limit)
        save({**on_gpu, **about, "device": device, "limit": chosen.gpu_limit, "kept": kept_there}, path)
        saved["gpu"], kept = path.name, kept and kept_there
    else:
        print(f"GPU: skipped, {reason}")
    save(saved, chosen.out)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
