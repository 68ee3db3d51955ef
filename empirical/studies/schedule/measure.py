"""Study `schedule`: which layers are cheapest to dial, predicted and then measured on a trained model (claim C13).

    drift <= sum_l e_l prod_{k>l} (1 + Lip_k),  e_l <= z_l V_l:   A_l = V_l prod_{k>l} (1 + Lip_k) a unit of leakage z_l
    last layers first is optimal for this bound if A_{l+1} <= A_l, i.e. V_{l+1} <= V_l prod (1 + Lip_k), for all l

That last product has the MLP of l and the attention of l + 1. With the pair's own Lip_k the bound is a theorem, with
the largest of other sequences a prediction. See `dial.drift` for the norms, `dialled_pass` for the dialled pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from bounds.depth.calculators import fill, schedule
from bounds.dial.closed_forms import dial_of_kappa
from empirical.dial.drift import Choose, Reals, Trace, aiming, depth_rows, depth_sum, drift, given, least, secants
from empirical.errors import BadInput
from empirical.laboratory.calibration import Calibration, calibrate
from empirical.laboratory.config import Config
from empirical.laboratory.dialled_pass import run
from empirical.laboratory.model import Layout, Parameters, normalise
from empirical.laboratory.store import Store
from empirical.shapes import Arrays, Int
from empirical.studies.findings import Findings, Judged, Numbers
from empirical.studies.trained import trained

SEQUENCES = 32  # held-out: to calibrate on, and as many others to measure on
SHARES = (0.1, 0.25, 0.5, 0.75)  # of the leakage there is, dialled away in total
POWERS, CLIPPED = (1, 3, 5), (5, 20)  # beta of s (l/L)^beta with s <= 1, and of min(1, s (l/L)^beta)
LAST, FIRST, UNIFORM, KNAPSACK = "last layers first", "first layers first", "uniform", "knapsack optimum"
ALONE, QUADRATURE = "cheapest alone first", "quadrature of alone"
LISTS = ("planned", "removed", "kappas", "dials", "drift", "bound_own", "bound_whole", "bound_calibrated")


@dataclass(frozen=True)
class Laboratory:
    """A model, the sequences that its layers are calibrated on, and the fresh ones that are measured."""

    parameters: Parameters
    layout: Layout
    config: Config
    known: Int[Tensor, "B T1"]
    fresh: Int[Tensor, "B1 T1"]

    def traced(self, sequences: Int[Tensor, "B2 T1"], choose: Choose) -> Trace:
        return run(self.parameters, sequences[:, :-1], self.layout, self.config, choose)

    def calibrated(self) -> Calibration:
        return calibrate(self.parameters, self.known[:, :-1], self.layout, self.config)


def measure(config: Config, store: Store) -> Findings:
    if config.model.stream != "localist":
        raise BadInput(f"model.stream must be 'localist' for the study of schedules, got {config.model.stream!r}")
    model = trained(config, store)
    half = min(SEQUENCES, len(model.task.heldout) // 2)
    known, fresh = model.heldout(0, half), model.heldout(half, 2 * half)
    laboratory = Laboratory(model.parameters, model.layout, config, known, fresh)
    layers = Calibration(**store.keep("calibrated", lambda: vars(laboratory.calibrated())))
    found = [
        store.keep_parts(f"share {share}", lambda share=share: dialled_away(laboratory, layers, share))
        for share in SHARES
    ]
    numbers = {
        "config_digest": config.digest(),
        "config": config.as_dict(),
        "seed": config.sweep.seeds[0],
        "loss_heldout": float(model.arrays["loss_heldout"][0]),
        **told(layers, SHARES, found),
    }
    judged = {
        name: np.stack([np.stack([row[f"depth_sum {name}"] for row in rows.values()]) for rows in found])
        for name in depth_fields(found[0]["00"])
    }
    return Findings(numbers, (Judged("drifts", ("share", "allocation", "sequence"), judged, ("depth_sum",)),))


def depth_fields(row: Arrays) -> list[str]:
    return [name.removeprefix("depth_sum ") for name in row if name.startswith("depth_sum ")]


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


def ways_for(layers: Calibration, share: float) -> dict[str, Reals]:
    """Every allocation of the predicted drift at which so much of the leakage can be dialled away most cheaply."""
    total = share * layers.leakage.sum()
    budget = layers.costs @ fill(np.argsort(layers.costs), np.ones_like(layers.costs), layers.leakage, total)
    return allocations(layers.costs, layers.leakage, float(budget), layers.alone)


def dialled_away(laboratory: Laboratory, layers: Calibration, share: float) -> dict[str, Arrays]:
    """What each allocation does to the fresh sequences, in the order of `ways_for`."""
    known, fresh, parameters = laboratory.known, laboratory.fresh, laboratory.parameters
    original = laboratory.traced(fresh, given(np.zeros(len(layers.leakage))))
    loss, found = mean_loss(parameters, original, fresh), {}
    for at, allocation in enumerate(ways_for(layers, share).values()):
        dialled = laboratory.traced(fresh, given(laboratory.traced(known, aiming(allocation)).kappas))
        own, whole = secants(original, dialled), secants(original, dialled, whole=True)
        found[f"{at:02}"] = {
            "planned": allocation,
            "removed": dialled.removed.mean(1).numpy(),
            "kappas": np.array(dialled.kappas),
            "dials": np.asarray(dial_of_kappa(np.array(dialled.kappas))),
            "drift": drift(original, dialled),
            "bound_own": depth_sum(dialled, own),
            "bound_whole": depth_sum(dialled, whole - 1),
            "bound_calibrated": depth_sum(dialled, layers.lipschitz),
            "loss_rise": np.array(mean_loss(parameters, dialled, fresh) - loss),
            **{f"depth_sum {name}": values for name, values in depth_rows(original, dialled).items()},
        }
    return found


def told(layers: Calibration, shares: tuple[float, ...], found: list[dict[str, Arrays]]) -> Numbers:
    """Costs, whether they fall with depth, and a row an allocation; plain values, ready for JSON."""
    rows = []
    for share, parts in zip(shares, found, strict=True):
        for (name, allocation), part in zip(ways_for(layers, share).items(), parts.values(), strict=True):
            reaches = bool(allocation.sum() >= share * layers.leakage.sum() * (1 - 1e-9))
            row = {"share": share, "allocation": name, "reaches": reaches}
            row |= {key: part[key].tolist() for key in LISTS}
            row |= {"cost_predicted": float(layers.costs @ allocation), "loss_rise": float(part["loss_rise"])}
            rows.append(row)
    late = [bool(later <= earlier) for earlier, later in pairwise(layers.costs)]
    return {"layers": {k: v.tolist() for k, v in vars(layers).items()}, "late_layers": late, "rows": rows}


def table(numbers: Numbers) -> str:
    """Layers, then allocations: means over the sequences measured."""
    lines = ["layer  leakage       V  alone        A  A of x+f"]
    columns = zip(*(numbers["layers"][k] for k in ("leakage", "diameters", "alone", "costs", "costs_whole")))
    lines += ["{:5}  {:7.3f}  {:6.1f}  {:5.1f}  {:7.0f}  {:8.0f}".format(i, *c) for i, c in enumerate(columns)]
    lines += [f"A falls with depth, layer by layer: {numbers['late_layers']}", ""]
    lines += [f"{'':31}leakage        drift   bound by Lip of             A z    loss"]
    lines += ["share  allocation          planned  dialled          x+f    own f  calibrated planned    rise"]
    for row in numbers["rows"]:
        means = [np.mean(row[k]) for k in ("drift", "bound_whole", "bound_own", "bound_calibrated", "cost_predicted")]
        shown = "{:9.3f}{:9.3f}{:7.2f}{:7.2f}{:9.2f}{:12.2f}{:8.0f}{:+8.4f}"
        shown = shown.format(sum(row["planned"]), sum(row["removed"]), *means, row["loss_rise"])
        lines.append(f"{row['share']:5}  {row['allocation']:20}{shown}{'' if row['reaches'] else '  falls short'}")
    return "\n".join(lines)
