"""Study `floors`: ours from the logit range, the published one from the norm, and rows that attain them (claim C4).

For rows of `setting.n_keys` keys: the least entropy that the range D allows, Specht's floor, and sigma-Reparam's floor
at the norm of each row beside it. No model is trained.
"""

from __future__ import annotations

import numpy as np

from bounds import entropy_floor, sigma_reparam_floor, specht_floor
from empirical.errors import BadInput
from empirical.laboratory.config import Config
from empirical.laboratory.store import Store
from empirical.studies.findings import Findings, Judged, Numbers
from empirical.verify.adversary.weights import entropy, softmax

USES = ()  # it trains nothing
ROWS = 600
FLOORS = ("entropy_floor", "specht_floor", "sigma_reparam_floor")


def measure(config: Config, store: Store) -> Findings:
    """The curves over D, and rows with their entropy, range and norm."""
    keys, seed = config.setting.n_keys, config.sweep.seeds[0]
    if keys is None or keys < 4:
        raise BadInput(f"setting.n_keys must be at least 4 for the study of floors, got {keys}")
    logits = store.keep("rows", lambda: {"logits": rows_of(np.random.default_rng(seed), ROWS, keys)})["logits"]
    found, norm = np.asarray(entropy(softmax(logits))), np.linalg.norm(logits - logits.mean(1, keepdims=True), axis=1)
    span = np.ptp(logits, axis=1)
    rows = {
        "range": span,
        "norm": norm,
        "entropy_nats": found,
        "range_floor": entropy_floor(span, keys),
        "norm_floor": sigma_reparam_floor(norm, keys),
    }
    judged = {
        "entropy_nats": found,
        "logit_range": span,
        "logit_norm": norm,
        "observed_norm": norm,
        "n_keys": np.full(ROWS, keys),
        "n_block": np.ones(ROWS),  # no floor asks for them
        "n_anchors": np.ones(ROWS),
        "temperature": np.ones(ROWS),
        "valid": np.ones(ROWS, dtype=bool),
    }
    groups = {"curves": _curves(keys), "rows": rows}
    plain = {kind: {k: np.asarray(v).tolist() for k, v in group.items()} for kind, group in groups.items()}
    return Findings({"n_keys": keys, "seed": seed, **plain}, (Judged("rows", ("row",), judged, FLOORS),))


def rows_of(rng: np.random.Generator, count: int, keys: int) -> np.ndarray:
    """Rows of one range each: k keys at the top, the others at the bottom, or anywhere between."""
    span = rng.uniform(0.5, 14, (count, 1))
    top = np.arange(keys) < rng.integers(1, keys // 2, (count, 1))
    between = rng.random((count, keys)) ** rng.choice([0.5, 1.0, 4.0], (count, 1))
    between = (between - between.min(1, keepdims=True)) / np.ptp(between, axis=1, keepdims=True)
    return span * np.where(rng.random((count, 1)) < 0.4, top, between)


def _curves(keys: int) -> dict[str, np.ndarray]:
    """Each floor over the range D, and what one spike of that range has."""
    span = np.linspace(0.05, 14, 280)
    one_hot = span * np.sqrt((keys - 1) / keys)  # the norm of a centred one-hot of that range
    return {
        "range": span,
        "range_floor": entropy_floor(span, keys),
        "specht_floor": specht_floor(span, keys),
        "norm_floor_one_hot": sigma_reparam_floor(one_hot, keys),
        "norm_floor_half": sigma_reparam_floor(span * np.sqrt(keys) / 2, keys),
        "entropy_one_hot": np.asarray(entropy(softmax(span[:, None] * (np.arange(keys) == 0)))),
    }


def table(numbers: Numbers) -> str:
    """How often either floor is the higher one, and how far below the rows they lie."""
    rows = {name: np.asarray(values) for name, values in numbers["rows"].items()}
    lines = [
        f"{len(rows['range'])} rows of {numbers['n_keys']} keys",
        "floor           higher in  nats below the row: least, median",
    ]
    ours, published = "range_floor", "norm_floor"
    for words, one, other in (("from the range", ours, published), ("from the norm", published, ours)):
        share, below = np.mean(rows[one] > rows[other]), rows["entropy_nats"] - rows[one]
        lines.append(f"{words:16}{100 * share:7.0f} %{below.min():26.3g}, {np.median(below):.3g}")
    return "\n".join(lines)
