"""Study `context`: the least fidelity that a margin leaves as keys are added (claim C5). No model is trained.

For blocks of `setting.n_block` keys and margins in multiples of the temperature: the floor over the number of keys.
"""

from __future__ import annotations

import numpy as np

from bounds import fidelity_floor
from empirical.errors import BadInput
from empirical.laboratory.config import Config
from empirical.laboratory.store import Store
from empirical.studies.findings import Findings, Judged, Numbers
from empirical.verify.adversary.weights import softmax

MARGINS = (2.0, 5.0, 10.0)


def measure(config: Config, store: Store) -> Findings:
    """The floor of each margin over the number of keys."""
    most, block = config.setting.n_keys, config.setting.n_block
    if most is None or block is None or most <= 2 * block:
        raise BadInput(f"setting.n_keys must be more than twice setting.n_block, got {most} and {block}")
    keys = np.unique(np.geomspace(2 * block, most, 60).astype(int))
    floors = {f"{x:g}": fidelity_floor(x, keys, block).tolist() for x in MARGINS}
    judged = Judged("rows", ("row",), _rows(keys, block), ("fidelity_floor",))
    return Findings({"n_block": block, "n_keys": keys.tolist(), "floors": floors}, (judged,))


def _rows(keys: np.ndarray, block: int) -> dict[str, np.ndarray]:
    """Of each margin and length a row: its block at the margin, the other keys at 0, every second one lower."""
    margin, n = (each.ravel() for each in np.meshgrid(MARGINS, keys.astype(float)))
    fidelity = [
        softmax(np.where(np.arange(int(k)) < block, x, -(np.arange(int(k)) % 2.0)))[:block].sum()
        for x, k in zip(margin, n, strict=True)
    ]
    ones = np.ones_like(n)
    counts = {"n_keys": n, "n_block": block * ones, "n_anchors": block * ones}
    counts["logit_range"] = margin + 1
    return {"fidelity": np.array(fidelity), "margin": margin, "temperature": ones, "valid": ones > 0, **counts}


def table(numbers: Numbers) -> str:
    """The first and last floor of every margin."""
    first, last = numbers["n_keys"][0], numbers["n_keys"][-1]
    lines = [f"margin  floor at {first} keys  at {last}"]
    return "\n".join([*lines, *(f"{x:>6}{f[0]:18.4f}{f[-1]:12.4g}" for x, f in numbers["floors"].items())])
