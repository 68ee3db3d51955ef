"""Anchors packed on the sphere: K unit vectors in d dimensions whose largest cosine is small (claim C7).

    simplex for K <= d + 1, orthoplex for K <= 2d, polygon for d = 2; else minimise over unit x_1, ..., x_K
    (1/p) ln sum_{i != j} e^(p x_i . x_j),  p = 1, 4, 16, ... 16384,  then  max_{i != j} x_i . x_j  by linear programmes

A packing found by search is an upper bound on the best coherence; `coherence_floor` is a proved lower one, and only
where both agree is it known to be best. Angles in radians. scipy is imported when a search starts.
"""

# scipy has no types: what comes of its functions is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false, reportUnknownParameterType=false

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

import bounds.numbers.arguments as check
from bounds.anchors.calculators import coherence_floor
from bounds.numbers.arguments import Reals

ULP = float(np.finfo(np.float64).eps)
MOST_BLOCKS, MOST_DIM = 1024, 16384  # a search holds a few K x K arrays, and takes minutes at the most
SHARPNESS = tuple(4.0**power for power in range(8))
FIRST = SHARPNESS[:4]  # restarts begin here in turn: 7 points in 3-space are missed from 4, found from 16
STEPS = 300  # of L-BFGS at each sharpness
POLISHED = 400  # degrees of freedom K (d-1) up to which linear programmes are quick
MET = 1e-9  # a coherence this close to the proved floor meets it


@dataclass(frozen=True, eq=False)
class Packing:
    """Unit vectors and what is certain of them: both roundings are on the safe side."""

    vectors: Reals  # (K, d), norm 1 to a few ulp
    coherence: float  # no less than any cosine of two; `separation`
    phi: float  # no more than any angle between two
    limit: float  # `coherence_floor`: no packing has less
    method: str  # simplex, orthoplex, polygon or search
    restarts: int  # random starts of the search; 0 for a construction

    @property
    def optimal(self) -> bool:
        """Whether the coherence meets the proved floor."""
        return self.coherence <= self.limit + MET


def room(dimension: int) -> float:
    """What rounding may do to a cosine: a sum of d products of vectors whose norms are 1 to a few ulp."""
    return 4 * (dimension + 8) * ULP


def separation(vectors: Reals) -> tuple[float, float]:
    """(coherence, phi): the largest cosine rounded up and the least angle rounded down.

    `vectors` (K, d) of norm 1 to a few ulp. The arc cosine loses half its digits near -1, where only two anchors lie:
    their angle is 2 atan2(||x-y||, ||x+y||).
    """
    slack = room(vectors.shape[1])
    coherence = min(1.0, _largest(vectors) + slack)
    if len(vectors) == 2:
        angle = 2 * np.arctan2(np.linalg.norm(vectors[0] - vectors[1]), np.linalg.norm(vectors[0] + vectors[1])) - slack
    else:
        angle = np.arccos(coherence)
    return coherence, max(0.0, float(angle) - 8 * ULP)


def searched(blocks: int, dim: int) -> bool:
    """Whether no construction is known to be best: more than 2 d anchors in 3 dimensions or more."""
    return dim > 2 and blocks > 2 * dim


def pack(blocks: int, dim: int, seed: int = 0, restarts: int | None = None) -> Packing:
    """K = `blocks` unit vectors in `dim` dimensions, as far apart as is found.

    Equal seeds give equal vectors on one machine. `restarts` random starts, by default 6 to 24, fewer the more blocks.
    Raises BadInput for blocks outside [2, 1024], dimensions outside [2, 16384], a negative seed, no restart.
    """
    for name, value, most in (("blocks", blocks, MOST_BLOCKS), ("dim", dim, MOST_DIM)):
        if value < 2:
            raise check.reject(name, "at least 2", value)
        if value > most:
            raise check.reject(name, f"at most {most}", value)
    if restarts is None:
        restarts = int(np.clip(2**18 // blocks**2, 6, 24))
    for name, value, least in (("seed", seed, 0), ("restarts", restarts, 1)):
        if value < least:
            raise check.reject(name, f"at least {least}", value)
    if searched(blocks, dim):
        method, vectors = "search", search(blocks, dim, seed, restarts)
    elif blocks <= dim + 1:
        method, vectors = "simplex", _simplex(blocks, dim)
    elif blocks <= 2 * dim:
        method, vectors = "orthoplex", np.concatenate([np.eye(dim), -np.eye(dim)])[:blocks]
    else:
        turn = 2 * np.pi * np.arange(blocks) / blocks
        method, vectors = "polygon", np.stack([np.cos(turn), np.sin(turn)], 1)
    limit = coherence_floor(blocks, dim)
    return Packing(vectors, *separation(vectors), limit, method, restarts if method == "search" else 0)


def _unit(vectors: Reals) -> Reals:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _simplex(blocks: int, dim: int) -> Reals:
    """Row l has l entries -sqrt(...) in common with those after it, so that all cosines are -1/(K-1)."""
    vectors = np.zeros((blocks, dim))
    for row in range(blocks - 1):
        left = blocks - row  # rows from here on: a simplex of their own in the dimensions from here on
        remaining = 1 - (vectors[row] ** 2).sum()
        vectors[row, row] = np.sqrt(remaining)
        vectors[row + 1 :, row] = -np.sqrt(remaining) / (left - 1)
    return _unit(vectors)


def search(blocks: int, dim: int, seed: int, restarts: int) -> Reals:
    """The best of several random starts, (K, d); every other start is antipodal, as many a good packing is."""
    best, least = np.empty((blocks, dim)), np.inf
    for restart in range(restarts):
        start = np.random.default_rng([seed, restart]).normal(size=(blocks, dim))
        if restart % 2:
            start[blocks // 2 : 2 * (blocks // 2)] = -start[: blocks // 2]
        first = FIRST[restart // 2 % len(FIRST)]
        found = _anneal(_unit(start), [p for p in SHARPNESS if p >= first])
        if (largest := _largest(found)) < least:
            best, least = found, largest
    return _polish(best) if blocks * (dim - 1) <= POLISHED else best


def _largest(vectors: Reals) -> float:
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -np.inf)
    return float(cosines.max())


def _softened(flat: Reals, blocks: int, dim: int, sharpness: float) -> tuple[float, Reals]:
    """(1/p) ln sum_{i != j} e^(p cosine) of the normalised rows, and its gradient in the rows."""
    rows = flat.reshape(blocks, dim)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    x = rows / norms
    cosines = x @ x.T
    np.fill_diagonal(cosines, -np.inf)
    top = cosines.max()
    weights = np.exp(sharpness * (cosines - top))
    total = weights.sum()
    gradient = 2 * (weights / total) @ x
    gradient -= (gradient * x).sum(1, keepdims=True) * x
    return float(top + np.log(total) / sharpness), (gradient / norms).ravel()


def _anneal(vectors: Reals, sharpness: list[float]) -> Reals:
    from scipy.optimize import minimize

    options = {"maxiter": STEPS, "maxcor": 20, "ftol": 1e-15, "gtol": 1e-9}
    for p in sharpness:
        found = minimize(_softened, vectors.ravel(), (*vectors.shape, p), jac=True, method="L-BFGS-B", options=options)
        vectors = _unit(found.x.reshape(vectors.shape))
    return vectors


def _polish(vectors: Reals) -> Reals:
    """Newton-like: least t with every linearised cosine at most t, in a box of tangent moves that shrinks.

    Where the contacts determine the packing this converges quadratically. Moves are in units of the box, so that the
    solver's absolute tolerance shrinks with it.
    """
    least, box = _largest(vectors), 1e-3
    for _ in range(60):
        moved, largest = _linear_step(vectors, least, box)
        gained, length = least - largest, float(np.abs(moved - vectors).max())
        if gained > 0:
            vectors, least = moved, largest
        box = min(box, 4 * length) if gained > 0 else box / 8
        if box < 1e-14 or 0 < gained < ULP:
            break
    return vectors


def _linear_step(vectors: Reals, least: float, box: float) -> tuple[Reals, float]:
    """The moved vectors and their largest cosine."""
    from scipy.optimize import linprog
    from scipy.sparse import csr_array

    blocks, dim = vectors.shape
    free = dim - 1
    spans = np.concatenate([vectors[:, :, None], np.broadcast_to(np.eye(dim), (blocks, dim, dim))], 2)
    tangent = np.linalg.qr(spans)[0][:, :, 1:]  # (K, d, d-1), orthogonal to each vector
    first, second = np.triu_indices(blocks, 1)
    cosines = (vectors[first] * vectors[second]).sum(1)
    near = cosines > least - 4 * box * np.sqrt(dim)  # no other pair can become the closest within the box
    first, second, cosines = first[near], second[near], cosines[near]
    pairs = np.arange(len(cosines))
    slopes = [np.einsum("pde,pd->pe", tangent[a], vectors[b]) for a, b in ((first, second), (second, first))]
    entries = np.concatenate([*(slope.ravel() for slope in slopes), -np.ones(len(pairs))])
    columns = [(a[:, None] * free + np.arange(free)).ravel() for a in (first, second)]
    places = (
        np.concatenate([np.repeat(pairs, free)] * 2 + [pairs]),
        np.r_[(*columns, np.full(len(pairs), blocks * free))],
    )
    found: Any = linprog(
        np.r_[np.zeros(blocks * free), 1.0],
        A_ub=csr_array((entries, places), shape=(len(pairs), blocks * free + 1)),
        b_ub=(least - cosines) / box,
        bounds=[(-1, 1)] * (blocks * free) + [(None, None)],
        method="highs",
    )
    if found.x is None:
        return vectors, least
    moves = box * found.x[:-1].reshape(blocks, free)
    moved = _unit(vectors + np.einsum("kde,ke->kd", tangent, moves))
    return moved, _largest(moved)
