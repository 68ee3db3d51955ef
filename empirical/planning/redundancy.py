"""What more equal anchors in a block do: the redundancy curve and its figure (claims C7, C11).

    fidelity q = r / (r + (n-m) e^-x),   H = h(q) + q ln r + (1-q) ln(n-m),   dH/dr = (q/r)(1 - (1-q) x)

The row is the one that attains the fidelity floor: r equal anchors, n - m keys outside, each the margin x (over
temperature) below, nothing on the free keys of the block. Entropy (nats) falls in r until (1-q) x = 1 and rises after.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bounds import entropy_split, fidelity_floor, leakage_ceiling, replication_slope
from bounds.numbers.search import least

EVERY = 1024  # r up to which the curve has every count; beyond, 512 of them evenly on a logarithmic scale
COURSES = {
    "U": "falls up to r = {}, its least, and rises from there",
    "falls": "falls throughout, up to r = {}",
    "rises": "rises throughout, from r = {}",
    "single": "has the one value at r = {}",
}


def landmarks(n_block: int) -> set[int]:
    """1, 2, 3, 4, 6, 8, 12, ... and m: the r of a short table."""
    return {1, n_block} | {
        k * 2**power for power in range(n_block.bit_length()) for k in (2, 3) if k * 2**power < n_block
    }


def redundancy(margin: float, n_keys: int, n_block: int, also: tuple[int, ...] = ()) -> dict[str, Any]:
    """Fidelity, entropy and its slope for r = 1 .. m anchors, and the r of least entropy; `also`: more values of r.

    The row attains the fidelity floor: `entropy_split` with the block's mass on r keys and the rest on n - m.
    """
    outside = n_keys - n_block

    def entropy(r: NDArray[Any] | np.integer) -> NDArray[np.float64]:
        return np.asarray(entropy_split(leakage_ceiling(margin, n_keys, n_block, r), r + outside, r))

    def rising(r: NDArray[np.int64] | np.integer) -> NDArray[np.bool_]:
        return np.asarray((r >= n_block) | (entropy(np.minimum(r + 1, n_block)) >= entropy(r)))

    bottom = int(least(rising, 1, 1, n_block)[0])
    course = "single" if n_block == 1 else {1: "rises", n_block: "falls"}.get(bottom, "U")
    evenly = np.arange(1, n_block + 1) if n_block <= EVERY else np.round(np.geomspace(1, n_block, 512)).astype(np.int64)
    r = np.unique(np.r_[evenly, bottom, list(landmarks(n_block)), np.asarray(also, np.int64)])
    fidelity = fidelity_floor(margin, n_keys, n_block, r)
    return {
        "n_anchors": r.tolist(),
        "fidelity_floor": fidelity.tolist(),
        "entropy_nats": entropy(r).tolist(),
        "slope_nats": replication_slope(fidelity, margin, r).tolist(),
        "bottom": bottom,
        "bottom_entropy_nats": float(entropy(np.asarray(bottom))),
        "course": course,
    }


def draw_redundancy(path: Path) -> list[Path]:
    """redundancy.png and .svg beside the saved anchors.json."""
    from empirical.figures import style
    from empirical.figures.redundancy import redundancy_curve

    result = json.loads(path.read_text(encoding="utf-8"))
    course = COURSES[result["redundancy"]["course"]].format(result["redundancy"]["bottom"])
    with style.drawing():
        return style.save(redundancy_curve(result, course), path.parent, "redundancy")
