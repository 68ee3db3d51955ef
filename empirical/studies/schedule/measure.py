"""Which layers are cheapest to dial, predicted and then measured on a trained model (claim C13).

    drift <= sum_l e_l prod_{k>l} (1 + Lip_k),  e_l <= z_l V_l:   A_l = V_l prod_{k>l} (1 + Lip_k) a unit of leakage z_l
    last layers first is optimal for this bound if A_{l+1} <= A_l, i.e. V_{l+1} <= V_l prod (1 + Lip_k), for all l

That last product has the MLP of l and the attention of l + 1. With the pair's own Lip_k the bound is a theorem, with
the largest of other sequences a prediction. See `dialled` for the norms and the dialled pass.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from bounds.depth.calculators import amplification, fill, schedule
from bounds.dial.closed_forms import dial_of_kappa
from empirical.dial.drift import Choose, Reals, Trace, aiming, depth_sum, drift, given, least, secants
from empirical.errors import BadInput
from empirical.laboratory.config import Config
from empirical.laboratory.dialled_pass import run
from empirical.laboratory.model import Layout, Parameters, normalise
from empirical.shapes import Float, Int, plain

LAYERS, SEQUENCES = 6, 32  # attention layers; held-out sequences to calibrate on, and as many others to measure on
SHARES = (0.1, 0.25, 0.5, 0.75)  # of the leakage there is, dialled away in total
PROBES = (0.25, 1.0, 4.0, math.inf)  # kappa = -ln(1 - dial) of every layer alike, at which secants are taken
POWERS, CLIPPED = (1, 3, 5), (5, 20)  # beta of s (l/L)^beta with s <= 1, and of min(1, s (l/L)^beta)
LAST, FIRST, UNIFORM, KNAPSACK = "last layers first", "first layers first", "uniform", "knapsack optimum"
ALONE, QUADRATURE = "cheapest alone first", "quadrature of alone"
DRAWN = (LAST, FIRST, UNIFORM, "(l/L)^3", "clipped, beta 5", QUADRATURE, KNAPSACK)  # their markers are in `draw`


@dataclass(frozen=True)
class Calibration:
    """What is known of the layers; `alone` is a measured cost, the others enter the bound."""

    leakage: Float[np.ndarray, "L"]  # u_l along the original trajectory
    diameters: Float[np.ndarray, "L"]  # V_l, largest
    lipschitz: Float[np.ndarray, "K"]  # Lip_k, largest
    costs: Float[np.ndarray, "L"]  # A_l
    costs_whole: Float[np.ndarray, "L"]  # A_l with the secant of x + f_k(x) in place of 1 + Lip_k
    alone: Float[np.ndarray, "L"]  # final drift a unit of leakage, only that layer dialled, to 1


def calibrate(parameters: Parameters, tokens: Int[Tensor, "B T"], layout: Layout, config: Config) -> Calibration:
    """Secants and diameters are the largest over sequences and probes: all layers dialled alike, or one alone."""
    layers = config.model.layers
    kappas = [np.full(layers, kappa) for kappa in (0.0, *PROBES)] + list(np.where(np.eye(layers), math.inf, 0.0))
    original, *probes = (run(parameters, tokens, layout, config, given(each)) for each in kappas)
    single = probes[-layers:]
    leakage = np.array([float(trace.removed[layer].mean()) for layer, trace in enumerate(single)])
    diameters = plain(torch.stack([trace.diameters for trace in (original, *probes)]).amax((0, 2)))
    lipschitz, growth = (np.max([secants(original, p, whole) for p in probes], axis=(0, 1)) for whole in (False, True))
    costs, costs_whole = (diameters * amplification(lip)[:: len(lip) // layers] for lip in (lipschitz, growth - 1))
    alone = np.array([drift(original, trace).mean() for trace in single]) / leakage
    return Calibration(leakage, diameters, lipschitz, costs, costs_whole, alone)


def allocations(costs: Reals, available: Reals, budget: float, alone: Reals | None = None) -> dict[str, Reals]:
    """Ways to remove as much leakage as the best schedule does at a predicted drift of `budget`: name to (L,).

    s (l/L)^beta keeps s <= 1 and removes less where that is not enough. `alone`, the cost of each layer dialled alone,
    gives two more: cheapest first, and z_l = min(u_l, s/alone_l^2), the best if the layers' errors are orthogonal.
    Raises ValueError for a budget or a cost that is not positive.
    """
    best = schedule(costs, available, budget)
    total, flat, order = best.sum(), np.ones(len(best)), np.arange(len(best))
    depth = (order + 1) / len(best)

    def scaled(shape: Reals, most: float) -> Reals:
        scale = least(lambda s: float(np.minimum(available, s * shape).sum()), total, most)
        return np.minimum(available, scale * shape)

    ways = {
        LAST: fill(order[::-1].copy(), flat, available, total),
        FIRST: fill(order, flat, available, total),
        UNIFORM: scaled(available, 1.0),
        **{f"(l/L)^{beta}": scaled(available * depth**beta, 1.0) for beta in POWERS},
        **{f"clipped, beta {beta}": scaled(available * depth**beta, depth[0] ** -float(beta)) for beta in CLIPPED},
        KNAPSACK: best,
    }
    if alone is not None:
        ways[ALONE] = fill(np.argsort(alone), flat, available, total)
        ways[QUADRATURE] = scaled(alone**-2.0, float((available * alone**2).max()))
    return ways


@torch.no_grad()
def mean_loss(parameters: Parameters, trace: Trace, sequences: Int[Tensor, "B T1"]) -> float:
    """Nats a token, read out of the last state."""
    scores = normalise(trace.states[-1]) @ parameters["unembedding"][0]
    return float(functional.cross_entropy(scores.flatten(0, 1), sequences[:, 1:].flatten()))


def measure(
    parameters: Parameters,
    known: Int[Tensor, "B T1"],
    fresh: Int[Tensor, "B T1"],
    layout: Layout,
    config: Config,
    shares: Iterable[float] = SHARES,
) -> dict[str, Any]:
    """Costs and dials from the `known` sequences; drift and bounds of each of the `fresh` under every allocation."""

    def traced(sequences: Tensor, choose: Choose) -> Trace:
        return run(parameters, sequences[:, :-1], layout, config, choose)

    layers = calibrate(parameters, known[:, :-1], layout, config)
    original, rows = traced(fresh, given(np.zeros(config.model.layers))), []
    for share in shares:
        total = share * layers.leakage.sum()
        budget = layers.costs @ fill(np.argsort(layers.costs), np.ones_like(layers.costs), layers.leakage, total)
        for name, allocation in allocations(layers.costs, layers.leakage, float(budget), layers.alone).items():
            dialled = traced(fresh, given(traced(known, aiming(allocation)).kappas))
            own, whole = secants(original, dialled), secants(original, dialled, whole=True)
            rows.append(
                {
                    "share": share,
                    "allocation": name,
                    "reaches": bool(allocation.sum() >= total * (1 - 1e-9)),
                    "planned": allocation.tolist(),
                    "removed": dialled.removed.mean(1).tolist(),
                    "kappas": dialled.kappas,
                    "dials": [float(dial_of_kappa(kappa)) for kappa in dialled.kappas],
                    "cost_predicted": float(layers.costs @ allocation),
                    "drift": drift(original, dialled).tolist(),
                    "bound_own": depth_sum(dialled, own).tolist(),
                    "bound_whole": depth_sum(dialled, whole - 1).tolist(),
                    "bound_calibrated": depth_sum(dialled, layers.lipschitz).tolist(),
                    "loss_rise": mean_loss(parameters, dialled, fresh) - mean_loss(parameters, original, fresh),
                }
            )
    late = [bool(later <= earlier) for earlier, later in pairwise(layers.costs)]
    return {"layers": {k: v.tolist() for k, v in vars(layers).items()}, "late_layers": late, "rows": rows}


def derived(config: Config, quick: bool = False) -> Config:
    """The configuration of the study: six layers, no penalty, one seed; `quick` takes at most 60 steps."""
    wanted = (("task.name", config.task.name, "topics"), ("model.stream", config.model.stream, "localist"))
    for name, value, only in wanted:
        if value != only:
            raise BadInput(f"{name} must be {only!r} for the study of schedules, got {value!r}")
    steps = min(config.sweep.max_steps, 60) if quick else config.sweep.max_steps
    sweep = replace(config.sweep, penalties=(0.0,), seeds=config.sweep.seeds[:1], max_steps=steps)
    return replace(config, model=replace(config.model, layers=LAYERS), sweep=sweep)


def study(config: Config) -> dict[str, Any]:
    """Trains the model of the configuration and measures it in float64; plain values, JSON-ready."""
    from empirical.files import commit, versions
    from empirical.laboratory.tasks import make_task
    from empirical.laboratory.training import parameters_of, train

    seed = config.sweep.seeds[0]
    arrays = train(config, seed, "random", config.sweep.penalties)
    parameters = parameters_of(arrays)
    task: Any = make_task(config, seed, torch.device("cpu"))
    half = min(SEQUENCES, len(task.heldout) // 2)
    return {
        "config_digest": config.digest(),
        "config": config.as_dict(),
        "seed": seed,
        "versions": versions(),
        "commit": commit(),
        "loss_heldout": float(arrays["loss_heldout"][0]),
        **measure(
            parameters,
            task.heldout[:half],
            task.heldout[half : 2 * half],
            Layout(task.query_block, config, torch.float64),
            config,
        ),
    }


def table(result: dict[str, Any]) -> str:
    """Layers, then allocations: means over the sequences measured."""
    lines = ["layer  leakage       V  alone        A  A of x+f"]
    columns = zip(*(result["layers"][k] for k in ("leakage", "diameters", "alone", "costs", "costs_whole")))
    lines += ["{:5}  {:7.3f}  {:6.1f}  {:5.1f}  {:7.0f}  {:8.0f}".format(i, *c) for i, c in enumerate(columns, 1)]
    lines += [f"A falls with depth, layer by layer: {result['late_layers']}", ""]
    lines += [f"{'':31}leakage        drift   bound by Lip of             A z    loss"]
    lines += ["share  allocation          planned  dialled          x+f    own f  calibrated planned    rise"]
    for row in result["rows"]:
        means = [np.mean(row[k]) for k in ("drift", "bound_whole", "bound_own", "bound_calibrated", "cost_predicted")]
        shown = "{:9.3f}{:9.3f}{:7.2f}{:7.2f}{:9.2f}{:12.2f}{:8.0f}{:+8.4f}"
        shown = shown.format(sum(row["planned"]), sum(row["removed"]), *means, row["loss_rise"])
        lines.append(f"{row['share']:5}  {row['allocation']:20}{shown}{'' if row['reaches'] else '  falls short'}")
    return "\n".join(lines)


def draw(path: Path) -> list[Path]:
    """PNG and SVG beside the saved study: costs of the layers, slack of the bounds, drift and loss of allocations."""
    from empirical.figures import style

    result = json.loads(path.read_text(encoding="utf-8"))
    layers, rows, late = result["layers"], result["rows"], result["late_layers"]
    looks = {"-v": style.RED, "-o": style.GREEN, "-^": style.PURPLE, "-D": style.SKY, "-*": style.BLACK}
    looks = {"-s": style.BLUE, **looks, "--": style.ORANGE}
    middle = {row["allocation"]: np.mean(row["drift"]) for row in rows if row["share"] == 0.5}
    claim = (
        f"A falls with depth in {sum(late)} of {len(late)} steps; half of the leakage dialled away moves the output by "
        f"{middle[LAST]:.1f} in the last layers, {middle[UNIFORM]:.1f} in all alike, {middle[FIRST]:.1f} in the first"
    )
    note = f"seed {result['seed']}; bounds: every allocation and held-out sequence; lines: means over sequences"
    with style.drawing():
        figure = style.sheet(7.2, 6.4, claim, note)
        (cost, slack), (left, right) = figure.subplots(2, 2)
        for axes in (cost, slack):
            axes.set_prop_cycle(color=(style.BLUE, style.ORANGE, style.GREEN, style.BLACK))
        for key, look, label in (
            ("costs", "-o", "A, by 1 + Lip of f"),
            ("costs_whole", "--s", "A, by Lip of x + f"),
            ("diameters", ":D", "V"),
            ("alone", "-*", "measured alone"),
        ):
            cost.plot(range(1, len(late) + 2), layers[key], look, label=label)
        cost.set(yscale="log", xlabel="layer", ylabel="drift a unit of leakage")
        drifts = np.concatenate([row["drift"] for row in rows])
        for key, look, label in (
            ("bound_calibrated", "^", "calibrated Lip"),
            ("bound_own", "o", "own Lip: a theorem"),
            ("bound_whole", "s", "own Lip of x + f: a theorem"),
        ):
            found = np.concatenate([row[key] for row in rows])
            slack.plot(drifts, found, look, ms=2, mew=0, rasterized=True, label=label)
        ends = [drifts.min(), drifts.max()]
        slack.plot(ends, ends, color=style.BLACK, lw=0.8)
        slack.set(xscale="log", yscale="log", xlabel="measured drift", ylabel="bound (on the line: attained)")
        for name, (look, colour) in zip(DRAWN, looks.items()):
            mine = [row for row in rows if row["allocation"] == name]
            removed = [sum(row["removed"]) for row in mine]
            left.plot(removed, [np.mean(row["drift"]) for row in mine], look, color=colour, label=name)
            right.plot(removed, [row["loss_rise"] for row in mine], look, color=colour)
        left.set(xlabel="leakage dialled away, all layers", ylabel="measured drift")
        right.set(xlabel="leakage dialled away, all layers", ylabel="rise of held-out loss (nats a token)")
        for axes in (cost, slack):
            axes.legend(markerscale=1.5)
        style.legend_below(figure, left.get_legend_handles_labels()[0])
        return style.save(figure, path.parent, path.stem)


def main(arguments: list[str] | None = None) -> int:
    from empirical.files import write_atomically
    from empirical.laboratory.config import load

    parser = argparse.ArgumentParser(
        prog="python -m empirical.studies.schedule.measure", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("config", metavar="CONFIG.toml", type=Path)
    parser.add_argument("--out", required=True, metavar="DIR", type=Path)
    parser.add_argument("--quick", action="store_true", help="at most 60 training steps")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    try:
        config = derived(load(options.config), options.quick)
        try:
            options.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadInput(f"--out must be a writable folder, got {str(options.out)!r} ({error.strerror})") from None
        result, path = study(config), options.out / "schedule.json"
        write_atomically(path, (json.dumps(result, allow_nan=False) + "\n").encode())
    except BadInput as error:
        print(error, file=sys.stderr)
        return 2
    print("\n".join([table(result), *(str(file) for file in (path, *draw(path)))]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
