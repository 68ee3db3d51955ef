"""Verdicts: every observed row against every theorem, and the witness rows that keep the constants honest.

    rows = rows_of(dataset, theorem)      named arrays on the theorem's level, from saved observations alone
    outcome = check(theorem, rows)        counts by verdict, slack, the worst row, which hypotheses failed how often

A tight theorem is also held against rows that attain it, sent through the same observer as real attention: a bound with
a wrong constant, or an observer that miscounts keys, shows there however much slack the data leave.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bounds.theorems.theorem import Rows, Theorem, Verdict
from empirical.witness import Witness, sizes_of, witness

if TYPE_CHECKING:
    import xarray as xr

DIMS = {
    "row": ("setting", "layer", "head", "query"),
    "pair": ("setting", "layer", "head", "block_query", "block_key"),
    "setting": ("setting",),
}


@dataclass(frozen=True)
class Outcome:
    """What the observations say about one theorem; slacks in the quantity's unit, over rows that are not VACUOUS."""

    theorem: Theorem
    counts: dict[Verdict, int]
    least_slack: float
    median_slack: float
    worst: dict[str, Any]  # coordinates of the row of least slack next to its room; empty without such a row
    failed: dict[str, int]  # hypothesis -> rows on which it does not hold
    witness: Witness | None = None  # None: the theorem has no witness

    @property
    def rows(self) -> int:
        return sum(self.counts.values())

    @property
    def decided(self) -> int:
        return self.counts[Verdict.HOLDS] + self.counts[Verdict.VIOLATED]

    @property
    def verdict(self) -> Verdict:
        """VIOLATED by one row, or by a witness that does not attain the bound; else HOLDS by one; else undecided."""
        if self.counts[Verdict.VIOLATED] or (self.witness is not None and not self.witness.attained):
            return Verdict.VIOLATED
        return next((v for v in (Verdict.HOLDS, Verdict.UNKNOWN) if self.counts[v]), Verdict.VACUOUS)

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON; a slack that no row has is null."""
        return {
            "theorem": self.theorem.key,
            "statement": self.theorem.statement,
            "verdict": self.verdict.name,
            "counts": {verdict.name: count for verdict, count in self.counts.items()},
            "least_slack": None if math.isnan(self.least_slack) else self.least_slack,
            "median_slack": None if math.isnan(self.median_slack) else self.median_slack,
            "worst": self.worst,
            "hypothesis_fails_on": self.failed,
            "witness": None if self.witness is None else self.witness.as_dict(),
        }


def check(theorem: Theorem, rows: Rows) -> Outcome:
    """The verdicts of the rows, summed up; `worst` names the place by index along the dims of its level."""
    codes = theorem.verdicts(rows)
    with np.errstate(all="ignore"):
        slack, room, _ = np.broadcast_arrays(theorem.slack(rows), theorem.room(rows), codes)
        fails = [
            (h.statement, ~np.broadcast_to(np.asarray(h.holds(rows), dtype=bool), codes.shape))
            for h in theorem.hypotheses
        ]
        says = np.isfinite(slack) & (codes != Verdict.VACUOUS.code)
        some = bool(says.any())
        worst = np.unravel_index(np.argmin(np.where(says, slack - room, np.inf)), codes.shape) if some else ()
    return Outcome(
        theorem,
        {verdict: int((codes == verdict.code).sum()) for verdict in Verdict},
        float(slack[says].min()) if some else math.nan,
        float(np.median(slack[says])) if some else math.nan,
        dict(zip(DIMS[theorem.level], map(int, worst))),
        {statement: int(mask.sum()) for statement, mask in fails if mask.any()},
    )


def rows_of(dataset: xr.Dataset, theorem: Theorem) -> dict[str, np.ndarray] | None:
    """The dataset's variables on the theorem's level, as arrays that broadcast; None where it lacks what is needed."""
    dims = DIMS[theorem.level]
    rows: dict[str, np.ndarray] = {}
    for name, variable in dataset.variables.items():
        if set(variable.dims) <= set(dims):
            order = [d for d in dims if d in variable.dims]
            shape = [dataset.sizes[d] if d in order else 1 for d in dims]
            rows[str(name)] = variable.transpose(*order).values.reshape(shape)
    rows |= _derived(dataset, theorem.level)
    first = {name: values[tuple(slice(1) for _ in values.shape)] for name, values in rows.items()}
    try:
        theorem.verdicts(first)
    except KeyError:
        return None
    return rows


def _derived(dataset: xr.Dataset, level: str) -> dict[str, np.ndarray]:
    """Counts and means over blocks that theorems speak of, where their ingredients are there."""
    if "group_norm" not in dataset:
        return {}
    norms = dataset["group_norm"].transpose(*DIMS["pair"]).values
    blocks = norms.shape[-1]
    active = ((norms != 0) & ~np.eye(blocks, dtype=bool)).sum(-1)  # setting, layer, head, block_query
    if level == "setting":
        return {"active_cross_blocks": active.sum(axis=(1, 2, 3))}
    if "query_block" not in dataset:
        return {}
    own = dataset["query_block"].values
    if level == "row":
        return {"active_cross_blocks": active[..., own]}
    index = np.arange(blocks)
    derived = {"block_query": index.reshape(1, 1, 1, -1, 1), "block_key": index.reshape(1, 1, 1, 1, -1)}
    if "leakage" in dataset:
        leakage = dataset["leakage"].transpose(*DIMS["row"]).values
        means = [leakage[..., own == b].mean(-1) if (own == b).any() else leakage[..., 0] * np.nan for b in index]
        derived["mean_leakage"] = np.stack(means, -1)[..., None]
    return derived


def check_dataset(dataset: xr.Dataset, theorems: Iterable[Theorem] | None = None) -> tuple[Outcome, ...]:
    """Every theorem, or those given; without a row where the dataset lacks the fields."""
    from bounds.theorems import OBSERVED

    outcomes = []
    for theorem in OBSERVED if theorems is None else theorems:
        if theorem.level not in DIMS:
            raise ValueError(f"theorem must speak of observations (one each {', '.join(DIMS)}), got {theorem.key!r}")
        rows = rows_of(dataset, theorem)
        if rows is not None:
            outcome = check(theorem, rows)
            outcome = replace(outcome, worst=_labelled(dataset, outcome.worst))
        else:
            outcome = Outcome(theorem, dict.fromkeys(Verdict, 0), math.nan, math.nan, {}, {})
        if theorem.tight:
            outcome = replace(outcome, witness=witness(theorem, sizes_of(rows)))
        outcomes.append(outcome)
    return tuple(outcomes)


def _labelled(dataset: xr.Dataset, place: dict[str, Any]) -> dict[str, Any]:
    """A place, and what is known of its setting."""
    known = [n for n in ("penalty", "seed", "start") if n in dataset.variables and "setting" in place]
    return {**place, **{name: dataset[name].values[place["setting"]].item() for name in known}}
