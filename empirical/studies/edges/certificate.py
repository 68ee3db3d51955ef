"""An upper bound on lambda_glob of `blocks` by quadratic majorants, one query at a time (claim C3).

    eta |e0|^2 - |e|^2 <= Psi_i + w^T M_i w  for all in-block logits and |w| <= n |x_i|,  n = sum_c ||C_c||, gives
    L_loc - L <= (1-eta) L_loc + mean_i Psi_i + Lambda n^2,   Lambda = top eigenvalue of (1/N) sum_i M_i (x) x_i x_i^T

theorem `quadratic_dual`. Any eta and M_i will do: they are chosen by gradient steps for each interval of n, and then
`remainder` certifies Psi_i. Intervals cover all n up to where L_loc/n, what L >= 0 gives, is small enough.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from empirical.laboratory.config import Config
from empirical.laboratory.tasks import Retrieval
from empirical.shapes import Arrays, Float, plain
from empirical.studies.edges.majorants import START, Majorant, Queries, block_queries, curvatures
from empirical.studies.edges.remainder import POINTS, certified_psi, scaled_psi

EDGES = (0.0, *(i / 4 for i in range(1, 20)))  # of n; the task's L_loc/n is small enough beyond
ROOM = 1e-9  # relative, added at the end
FINEST = 0.005  # of the goal: no finer refinement
HOPE = 1.03  # times the level at points: what a cover is refined for
SOME = 24  # queries on which a majorant is chosen
Interval = tuple[float, float]  # of n


@dataclass(frozen=True)
class MajorisedBlock:
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


def majorised(data: Retrieval, block: int, loss: float) -> MajorisedBlock:
    queries = block_queries(data, block)
    return MajorisedBlock(queries, curvatures(queries, len(data.query)), loss, len(data.query))


def choose(of: MajorisedBlock, start: Majorant, interval: Interval, steps: int) -> Majorant:
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
            if leaf.grad is not None:  # none where eigenvalues coincide, as those of a deficient rank may: no step then
                leaf.grad.nan_to_num_(0.0, 0.0, 0.0)
            adam.step()
    return found


def certify(of: MajorisedBlock, majorant: Majorant, interval: Interval, goal: float) -> float:
    """An upper bound on (L_loc - L)/n for n in the interval, refined until it is at most `goal`, or no further."""
    trivial = of.loss / interval[0] if interval[0] else np.inf  # L >= 0
    if trivial <= goal:
        return trivial
    with torch.no_grad():
        points = scaled_psi(of.queries, majorant, interval, POINTS)
        spare = max(goal - float(of.level(majorant, points)), FINEST * goal) / of.share
        level = float(of.level(majorant, certified_psi(of.queries, majorant, interval, points + spare)))
    return min(level * (1 + ROOM), trivial)


def choose_all(
    of: MajorisedBlock, edges: Sequence[float], steps: int
) -> tuple[dict[tuple[float, float], Majorant], float]:
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
    data: Retrieval, losses: Sequence[float], config: Config, steps: int, edges: Sequence[float] = EDGES
) -> Arrays:
    """The certificate: for each interval of n its ends, the majorant and the level of each block; beyond, L_loc/n.

    `losses` are upper bounds on each L_loc,b. Majorants are chosen for the block of largest loss and serve all blocks.
    The largest of all `levels` and of `beyond` is no smaller than lambda_glob.
    """
    parts = [majorised(data, block, loss) for block, loss in enumerate(losses)]
    chosen, level = choose_all(max(parts, key=lambda of: of.loss), edges, steps)
    tasks = [(of, majorant, interval, HOPE * level) for interval, majorant in chosen.items() for of in parts]
    if config.sweep.workers == 1:
        levels = [certify(*task) for task in tasks]
    else:
        context = multiprocessing.get_context("spawn")
        workers = (config.sweep.workers, context)
        with ProcessPoolExecutor(*workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            levels = list(pool.map(certify, *zip(*tasks)))
    return {
        "low": np.array([low for low, _ in chosen]),
        "high": np.array([high for _, high in chosen]),
        "logs": np.stack([plain(majorant.logs) for majorant in chosen.values()]),
        "levels": np.array(levels).reshape(len(chosen), len(parts)),
        "losses": np.array(losses),
        "beyond": np.array(max(losses) / edges[-1]),
    }
