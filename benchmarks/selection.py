"""How much attention outside its block a model can do without, held out, and who chooses best what to shut.

    python benchmarks/selection.py [--models text iglm minilm] [--out benchmarks/selection.json]

Of each model of subjects.py (`text` is trained here, in minutes; the others are the extra `pretrained`, and stay as
they were saved where they are not asked for): the largest share of outside attention that exact zeros remove at a loss
within 0.01 nats (encoders: mean 1 - cosine) of the model as trained, by every way of choosing gates, a gate a head.
They are chosen on some documents and judged on others, drawn again in pairs. Null: block labels permuted.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from time import process_time
from typing import Any

import numpy as np
import torch
import xarray as xr
from common import quick_and_out, save
from subjects import SUBJECTS, Subject
from torch import Tensor

from empirical.gates.coordinate import fitted
from empirical.gates.pair_map import CellMap, cell_map
from empirical.gates.price import priced
from empirical.gates.problem import Problem
from empirical.gates.resampling import drawn_again, interval
from empirical.gates.selection import (
    Judged,
    Outside,
    ablated_anew,
    by_depth,
    cheapest_first,
    hard_concrete,
    judged,
    outside,
    permuted,
    powers_of_depth,
    refitted,
    shut_in_order,
    submodularity_ratios,
)
from empirical.gates.solve import minimised

BUDGET = 0.01  # nats a token, or mean 1 - cosine
DOCUMENTS = 64  # to choose on, and as many to judge on
WORTH = (
    0.03,
    0.045,
    0.07,
    0.1,
)  # a penalty times Omega(1): what all leakage as trained is charged, in units of the loss
LEVELS = (0.0, 0.1, 0.25)  # of the solver's coordinate: what is below is shut
POWERS, AMOUNTS = (1.0, 2.0, 4.0), (0.5, 1.0, 2.0, 4.0)
NULLS, REPEATS, DRAWS = 20, 10, 2000  # permutations; random orders and samples; documents drawn again
OURS = "penalty path"
MOST = 9  # prefixes of an order that are judged


def rounded(values: Any) -> Any:
    return [float(f"{float(x):.5g}") for x in values]


# Ways to choose -------------------------------------------------------------------------------------------------------


def solved(problem: Problem, trained: Outside, at_mask: CellMap) -> tuple[Tensor, dict[str, Any]]:
    """Gates along penalties on leakage, from all open; those below a level shut, and what is left refitted."""
    along, omega = fitted(problem, at_mask.omega_of(problem)), float(trained.mass.sum())
    critical = at_mask.lambda_crit(problem)
    at, bent, found = torch.ones(problem.groups.count, dtype=torch.float64), None, []
    for worth in WORTH:
        one = minimised(problem, worth / omega, at, coordinate=along, curvature=bent, tolerance=1e-4 * critical)
        at, bent = one.gates, one.curvature
        found.append(one)
    x = torch.as_tensor(np.stack([along.of(one.gates.numpy()) for one in found]))
    gates = torch.stack([one.gates for one in found])
    told = {
        "lambda_crit": critical,
        "penalty_over_critical": rounded(one.penalty / critical for one in found),
        "residual_over_critical": rounded(float(one.residual.max()) / critical for one in found),
        "gradients": [one.evaluations for one in found],
        "exact_zeros": [int(one.shut.sum()) for one in found],
        "omega_kept": rounded(one.value.omega / omega for one in found),
    }
    gates = torch.cat([gates.where(x > level, 0.0) for level in LEVELS])
    return torch.cat([gates, refitted(problem, gates, 10 * critical, 1e-3 * critical)]), told


def ordered(problem: Problem, trained: Outside, prices: xr.Dataset, most: int | None) -> dict[str, Tensor]:
    """Candidates of every way that is an order; prices are taken a unit of leakage."""
    mass, layers = trained.of_gate, problem.groups.layers
    layer_of = problem.groups.in_layer.int().argmax(0).numpy()

    def of(*orders: list[int]) -> Tensor:
        return torch.cat([shut_in_order(order, mass, most) for order in orders])

    def by(*names: str) -> Tensor:
        return of(*(cheapest_first(prices[name].values.flatten(), mass) for name in names))

    return {
        "least leakage first": of(torch.argsort(mass, stable=True).tolist()),
        "first-order price": by("price_as_trained", "price_at_mask"),
        "single ablation": by("ablation"),
        "path shares (integrated gradients)": by("share"),
        "ablation anew": of(ablated_anew(problem, mass, max(1, problem.groups.count // 4))),
        "early first": of(by_depth(layer_of, mass, late=False)),
        "late first": of(by_depth(layer_of, mass, late=True)),
        "powers of depth": powers_of_depth(layer_of, layers, POWERS, AMOUNTS),
    }


# One model ------------------------------------------------------------------------------------------------------------


def ends(values: Tensor) -> list[float]:
    """The interval of draws."""
    return interval(values.numpy()).tolist()


def candidate(found: Judged, at: int, costs: Tensor) -> dict[str, Any]:
    """What one of them removes and costs, with what it costs documents drawn again."""
    return {"removed": float(found.removed[at]), "cost": float(found.cost[at]), "cost_interval": ends(costs[:, at])}


def told_of(found: Judged, weights: Tensor) -> dict[str, Any]:
    """What candidates remove and cost, and how far they reach within the budget."""
    return {
        "removed": rounded(found.removed), "cost": rounded(found.cost),
        "reach": found.reach(BUDGET), "reach_interval": ends(found.reaches(BUDGET, weights)),
    }  # fmt: skip


def picked(choose: Judged, judge: Judged, weights: Tensor) -> dict[str, Any]:
    """The candidate that the documents to choose on would take, judged."""
    at = choose.pick(BUDGET)
    return {**candidate(judge, at, judge.drawn(weights)[1]), "gates": rounded(judge.gates[at])}


def judged_ways(
    found: Mapping[str, Tensor], choose: tuple[Problem, Outside], judge: tuple[Problem, Outside], weights: Tensor
) -> dict[str, Any]:
    """Every way, and how much further ours reaches: an interval of paired differences."""
    both = {
        name: (judged(choose[0], ones, choose[1]), judged(judge[0], ones, judge[1])) for name, ones in found.items()
    }
    ours = both[OURS][1].reaches(BUDGET, weights)
    return {
        name: {
            **told_of(there, weights),
            "picked": picked(here, there, weights),
            "ours_less_this": ends(ours - there.reaches(BUDGET, weights)),
        }
        for name, (here, there) in both.items()
    }


def at_random(problem: Problem, trained: Outside, most: int | None, orders: int) -> list[dict[str, Any]]:
    """Random orders, judged alone."""
    random = np.random.default_rng(0)
    found = []
    for _ in range(orders):
        order = random.permutation(problem.groups.count).tolist()
        one = judged(problem, shut_in_order(order, trained.of_gate, most), trained)
        found.append({"removed": rounded(one.removed), "cost": rounded(one.cost), "reach": one.reach(BUDGET)})
    return found


def layer_by_layer(problem: Problem, trained: Outside, weights: Tensor) -> list[dict[str, Any]]:
    """What it costs to shut the gates of one layer alone: which depths are cheap."""
    found = judged(problem, (~problem.groups.in_layer).double(), trained)
    costs = found.drawn(weights)[1]
    return [candidate(found, at, costs) for at in range(problem.groups.layers)]


SHARES = (0.5, 0.8, 1.0)  # of outside attention, removed least leakage first


def costs_of_labels(subject: Subject, generator: torch.Generator | None) -> list[float]:
    """Held-out costs of SHARES under the true labels, or permuted ones; least leakage first under these labels."""
    documents = subject.judge
    labels = [b if generator is None else permuted(b, generator, documents.kept) for b in documents.blocks]
    problem = subject.problem(documents, labels)
    trained = outside(problem)
    whole = shut_in_order(torch.argsort(trained.of_gate, stable=True).tolist(), trained.of_gate)
    taken = (whole == 0).double() @ trained.of_gate
    gates = torch.stack([whole[int((taken - share).abs().argmin())] for share in SHARES])
    return rounded(judged(problem, gates, trained).cost)


def null(subject: Subject, draws: int) -> dict[str, Any]:
    """True blocks beside permuted ones: the share of draws that cost no more than the true ones, plus one of each."""
    random = torch.Generator().manual_seed(0)
    true, drawn = costs_of_labels(subject, None), [costs_of_labels(subject, random) for _ in range(draws)]
    no_more = (np.array(drawn) <= np.array(true)).sum(0)
    return {"shares": SHARES, "true": true, "permuted": drawn, "p": rounded((1 + no_more) / (1 + draws))}


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    documents: int = DOCUMENTS
    most: int = MOST
    repeats: int = REPEATS
    nulls: int = NULLS


QUICK = Sizes(4, 3, 2, 2)


def measured(subject: Subject, sizes: Sizes, say: Callable[[str], None]) -> Iterator[dict[str, Any]]:
    """Everything of one model, as its JSON tells it: first by what way, then also chance and permuted blocks."""
    choose, judge = subject.problem(subject.choose), subject.problem(subject.judge)
    here, there = outside(choose), outside(judge)
    weights = drawn_again(judge.documents, draws=DRAWS)
    gates, solver = solved(choose, here, cell_map(choose))
    say(f"solved: {solver}")
    prices = priced(choose, path=("diagonal",), tolerance=3e-2)
    found = {OURS: gates, **ordered(choose, here, prices, sizes.most)}
    found["hard-concrete (L0)"] = hard_concrete(choose, here.of_gate, WORTH, steps=80, rate=0.1, seed=0)
    say("ways found")
    ways = judged_ways(found, (choose, here), (judge, there), weights)
    for name, way in ways.items():
        say(f"{name}: {way['reach']:.3f} {way['reach_interval']}, picked {way['picked']}")
    mask = judged(judge, torch.zeros(1, choose.groups.count, dtype=torch.float64), there)
    result = {
        "said": subject.said, "loss": subject.loss, "gates": choose.groups.count,
        "layers": choose.groups.layers, "heads": choose.groups.heads,
        "documents": {"choose": choose.documents, "judge": judge.documents},
        "as_trained": float(there.loss.sum() / there.scored.sum()), "omega": float(there.mass.sum()),
        "mask": {"cost": float(mask.cost[0]), "cost_interval": ends(mask.drawn(weights)[1][:, 0])},
        "solver": solver, "ways": ways, "layer_by_layer": layer_by_layer(judge, there, weights),
    }  # fmt: skip
    yield result
    result["null"] = null(subject, sizes.nulls)
    yield result
    result["random"] = at_random(judge, there, sizes.most, sizes.repeats)
    ratios = submodularity_ratios(choose, 3, sizes.repeats)
    result["submodularity"] = {"samples": len(ratios), "least": float(ratios.min()), "median": float(np.median(ratios))}
    yield result


def said_at(name: str, start: float, words: str) -> None:
    print(f"{name}, {process_time() - start:.0f} s: {words}", flush=True)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="outside attention that exact zeros remove, held out")
    parser.add_argument("--models", nargs="+", choices=SUBJECTS, default=["text"], metavar="MODEL")
    chosen = quick_and_out(parser, __file__, arguments)
    torch.set_num_threads(1)
    sizes = QUICK if chosen.quick else Sizes()
    saved = json.loads(chosen.out.read_text(encoding="utf-8")) if chosen.out.exists() else {}
    models = dict(saved.get("models", {}))
    for name in chosen.models:
        start = process_time()
        for found in measured(SUBJECTS[name](sizes.documents), sizes, partial(said_at, name, start)):
            models[name] = {**found, "seconds": round(process_time() - start)}
            save({"budget": BUDGET, "models": models, "quick": chosen.quick}, chosen.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
