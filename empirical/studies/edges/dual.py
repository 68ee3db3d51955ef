"""An upper bound on lambda_glob of `blocks` by quadratic majorants, one query at a time (claim C3).

    eta |e0|^2 - |e|^2 <= Psi_i + w^T M_i w  for all in-block logits and |w| <= n |x_i|,  n = sum_c ||C_c||, gives
    L_loc - L <= (1-eta) L_loc + mean_i Psi_i + Lambda n^2,   Lambda = top eigenvalue of (1/N) sum_i M_i (x) x_i x_i^T

theorem `quadratic_dual`. Any eta and M_i will do: they are chosen by gradient steps for each interval of n, and then
`majorants` certifies Psi_i. Intervals cover all n up to where L_loc/n, what L >= 0 gives, is small enough.
`python -m empirical.studies.edges.dual CONFIG.toml --out DIR` adds the level to the bracket that is saved there.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from empirical.errors import BadInput
from empirical.laboratory.tasks import Blocks, Retrieval, device_of, make_task
from empirical.shapes import Float
from empirical.studies.edges.majorants import (
    POINTS,
    START,
    Majorant,
    Queries,
    block_queries,
    certified_psi,
    curvatures,
    scaled_psi,
)

EDGES = (0.0, *(i / 4 for i in range(1, 20)))  # of n; the task's L_loc/n is small enough beyond
ROOM = 1e-9  # relative, added at the end
FINEST = 0.005  # of the goal: no finer refinement
HOPE = 1.03  # times the level at points: what a cover is refined for
SOME = 24  # queries on which a majorant is chosen


@dataclass(frozen=True)
class Problem:
    """One block: its queries, the curvature of each form, its localised loss, the number of all queries."""

    queries: Queries
    curvatures: Float[Tensor, "5 FD FD"]
    loss: float
    count: int

    def level(self, majorant: Majorant, psi: Float[Tensor, "Q"]) -> Tensor:
        """[(1-eta) L_loc + mean Psi + Lambda n^2]/n."""
        top = torch.linalg.eigvalsh(torch.einsum("k,kij->ij", majorant.forms, self.curvatures))[-1]
        return majorant.slope * self.loss + psi.mean() * self.share + top

    @property
    def share(self) -> float:
        return len(self.queries.own) / self.count


def problem(data: Retrieval, block: int, loss: float) -> Problem:
    queries = block_queries(data, block)
    return Problem(queries, curvatures(queries, len(data.query)), loss, len(data.query))


def choose(of: Problem, start: Majorant, interval: tuple[float, float], steps: int) -> Majorant:
    """A majorant of small level, by gradient steps on some of the queries, at points alone. Any is valid."""
    some = of.queries[torch.linspace(0, len(of.queries.own) - 1, min(SOME, len(of.queries.own))).long()]
    leaf = start.logs.clone().requires_grad_()
    adam = torch.optim.Adam([leaf], lr=0.3, betas=(0.8, 0.95))
    best, found = np.inf, start
    with torch.enable_grad():
        for step in range(steps):
            adam.param_groups[0]["lr"] = 0.3 * 0.1 ** (step / steps)
            level = of.level(Majorant(leaf), scaled_psi(some, Majorant(leaf), interval, POINTS))
            if float(level.detach()) < best and float(Majorant(leaf.detach()).slope) * interval[1] < 1:
                best, found = float(level.detach()), Majorant(leaf.detach().clone())
            adam.zero_grad()
            level.backward()
            adam.step()
    return found


def certify(of: Problem, majorant: Majorant, interval: tuple[float, float], goal: float) -> float:
    """An upper bound on (L_loc - L)/n for n in the interval, refined until it is at most `goal`, or no further."""
    trivial = of.loss / interval[0] if interval[0] else np.inf  # L >= 0
    if trivial <= goal:
        return trivial
    with torch.no_grad():
        points = scaled_psi(of.queries, majorant, interval, POINTS)
        spare = max(goal - float(of.level(majorant, points)), FINEST * goal) / of.share
        level = float(of.level(majorant, certified_psi(of.queries, majorant, interval, points + spare)))
    return min(level * (1 + ROOM), trivial)


def choose_all(of: Problem, edges: Sequence[float], steps: int) -> tuple[dict[tuple[float, float], Majorant], float]:
    """A majorant for each interval, each from its neighbour's, and the largest level at points: what to hope for."""
    first, *others = intervals = list(pairwise(edges))
    chosen, levels, start = {}, [], START
    for interval in [*others, first]:
        start = chosen[others[0]] if interval == first and others else start
        chosen[interval] = start = choose(of, start, interval, 2 * steps if not chosen else steps)
        with torch.no_grad():
            level = float(of.level(start, scaled_psi(of.queries, start, interval, POINTS)))
        levels.append(min(level, of.loss / interval[0] if interval[0] else np.inf))
    return {interval: chosen[interval] for interval in intervals}, max(levels)


def dual_level(
    data: Retrieval, losses: Sequence[float], edges: Sequence[float] = EDGES, steps: int = 25, workers: int = 1
) -> dict[str, Any]:
    """lambda_glob at most: the largest certified level of all blocks and intervals of n; beyond the last, L_loc/n.

    `losses` are upper bounds on each L_loc,b. Majorants are chosen for the block of largest loss and serve all blocks.
    Returns the level and its certificate: for each interval the majorant and the level of each block.
    """
    problems = [problem(data, block, loss) for block, loss in enumerate(losses)]
    chosen, level = choose_all(max(problems, key=lambda of: of.loss), edges, steps)
    tasks = [(of, majorant, interval, HOPE * level) for interval, majorant in chosen.items() for of in problems]
    if workers == 1:
        levels = [certify(*task) for task in tasks]
    else:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, context, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            levels = list(pool.map(certify, *zip(*tasks)))
    rows = [
        {"low": low, "high": high, "logs": majorant.logs.tolist(), "levels": levels[i : i + len(problems)]}
        for i, ((low, high), majorant) in zip(range(0, len(levels), len(problems)), chosen.items())
    ]
    beyond = max(losses) / edges[-1]
    return {"level": max(beyond, *levels), "beyond": beyond, "losses": list(losses), "rows": rows}


def certificate(saved: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """The saved bracket with the level of the dual among its proved ones, below the sublevel bound's."""
    name = "quadratic majorants"
    level = {"level": name, "kind": "proved", "value": found["level"], "words": "above lambda_glob"}
    kept = [old for old in saved["levels"] if old["level"] != name]
    first = next(i for i, old in enumerate(kept) if old["kind"] == "proved")
    return {**saved, "levels": [*kept[:first], level, *kept[first:]]}


def main(arguments: list[str] | None = None) -> int:
    from empirical.files import commit, versions, write_atomically
    from empirical.laboratory.config import load
    from empirical.studies.edges import bracket

    parser = argparse.ArgumentParser(
        prog="python -m empirical.studies.edges.dual", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("config", metavar="CONFIG.toml", type=Path)
    parser.add_argument("--out", required=True, metavar="DIR", type=Path, help="holds bracket.json of this very task")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="one-thread processes; changes no result")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    try:
        config = load(options.config)
        path = options.out / "bracket.json"
        try:
            saved = json.loads(path.read_text(encoding="utf-8"))
            digest, seed, losses = saved["problem_digest"], saved["seed"], saved["loss_localised"]
        except (OSError, ValueError, KeyError, TypeError):
            raise BadInput(
                f"--out must hold bracket.json by python -m empirical.studies.edges.bracket, got {options.out}"
            ) from None
        if digest != config.problem_digest():
            raise BadInput(f"--out must hold the bracket of this configuration, got one of {digest[:12]}")
        task = make_task(config, seed, device_of(config))
        assert isinstance(task, Blocks)  # a bracket has no other
        found = dual_level(task.training, losses, workers=options.workers)
    except BadInput as error:
        print(error, file=sys.stderr)
        return 2
    provenance = {"problem_digest": digest, "seed": seed, "commit": commit(), "versions": versions()}
    write_atomically(options.out / "dual.json", (json.dumps({**found, **provenance}, indent=1) + "\n").encode())
    saved = certificate(saved, found)
    write_atomically(path, (json.dumps(saved, indent=1) + "\n").encode())
    bracket.save_figure(path)
    print(bracket.table(saved))
    return 0


if __name__ == "__main__":
    sys.exit(main())
