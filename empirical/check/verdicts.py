"""Verdicts: every observed row against every theorem, and the witness rows that keep the constants honest.

    rows = rows_of(dataset, theorem)      named arrays on the theorem's level, from saved observations alone
    outcome = check(theorem, rows)        counts by verdict, slack, the worst row, which hypotheses failed how often

A tight theorem is also held against rows that attain it, sent through the same observer as real attention: a bound with
a wrong constant, or an observer that miscounts keys, shows there however much slack the data leave.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bounds.theory.theorem import Level, Rows, Theorem, Verdict
from empirical.check import gates
from empirical.check.boxes import Box, boxes
from empirical.check.clouds import Cloud
from empirical.check.verdict_counts import CHUNK, VerdictCounts
from empirical.check.witness import Sample, Witness, witness
from empirical.errors import BadInput
from empirical.observe.schema import COORDINATES, DIMS, PAIR, ROW

if TYPE_CHECKING:
    import xarray as xr

BLOCK = 2**18
"""Rows read at a time: some 30 MB of fields, unless the chunks of the file are larger."""


@dataclass(frozen=True)
class Checked:
    """What the observations say about one theorem; slacks in the quantity's unit, over rows that are not VACUOUS."""

    theorem: Theorem
    counts: dict[Verdict, int]
    least_slack: float
    median_slack: float
    worst: dict[str, Any]  # coordinates of the row of least slack next to its room; empty without such a row
    failed: dict[str, int]  # hypothesis -> rows on which it does not hold
    says_more: int | None = None  # rows on which the bound says more than the trivial one; None without one
    witness: Witness | None = None  # None: the theorem has no witness, or none was asked for
    cloud: Cloud | None = None  # where the rows lie, for figures; None: not asked for
    lacks: tuple[str, ...] = ()  # fields without which it has no rows
    unknown: str = ""  # why rows are UNKNOWN that no arithmetic could decide

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
            "trivial": self.theorem.trivial_words,
            "says_more": self.says_more,
            "least_slack": None if math.isnan(self.least_slack) else self.least_slack,
            "median_slack": None if math.isnan(self.median_slack) else self.median_slack,
            "worst": self.worst,
            "hypothesis_fails_on": self.failed,
            "witness": None if self.witness is None else self.witness.as_dict(),
            "lacks": list(self.lacks),
            "unknown_because": self.unknown,
        }


def check(theorem: Theorem, rows: Rows, dims: Sequence[str] | None = None, cloud: bool = False) -> Checked:
    """The verdicts of the rows, summed up; `worst` names the place by index along `dims`, or those of its level.

    With `cloud` the outcome keeps where the rows lie, for figures.

    A field with one axis more than `dims` holds several values a row, layers say. Rows are judged `CHUNK` at a time.
    The median slack is exact up to `verdict_counts.EXACT` rows and within 0.2 % beyond; everything else is exact, and
    no number depends on the chunks. Raises KeyError where the rows lack a field.
    """
    most = max(values.ndim for values in rows.values()) if dims is None else len(dims)
    rows = {name: values.reshape((1,) * (most - values.ndim) + values.shape) for name, values in rows.items()}
    counts = VerdictCounts(theorem, _spans(theorem, rows, most), cloud)
    counts.add(rows, (0,) * most)
    return _outcome(counts, DIMS[theorem.level] if dims is None else dims)


def _spans(theorem: Theorem, rows: Rows, most: int) -> tuple[bool, ...]:
    """Along which of the rows' dims the theorem's rows extend, from two entries of each."""
    few = {name: values[(slice(2),) * most] for name, values in rows.items()}
    return tuple(size != 1 for size in theorem.verdicts(few).shape)


def _outcome(counts: VerdictCounts, dims: Sequence[str]) -> Checked:
    return Checked(
        counts.theorem,
        counts.counts,
        math.nan if counts.worst is None else counts.least,
        counts.slacks.median(),
        {} if counts.worst is None else dict(zip(dims, counts.worst[1])),
        {statement: count for statement, count in counts.failed.items() if count},
        counts.says_more,
        cloud=counts.cloud,
    )


def rows_of(dataset: xr.Dataset, theorem: Theorem) -> dict[str, np.ndarray] | None:
    """The dataset's variables on the theorem's level, as arrays that broadcast; None where it lacks what is needed."""
    rows = _rows(dataset, theorem.level, {})
    try:
        _spans(theorem, rows, len(DIMS[theorem.level]))
    except KeyError:
        return None
    return rows


def _rows(dataset: xr.Dataset, level: Level, box: Box) -> dict[str, np.ndarray]:
    """The level's rows in a box of it; nothing else is read, but for what derived fields sum over."""
    dims = DIMS[level]
    rows = {str(n): _values(v, dims, box) for n, v in dataset.variables.items() if set(v.dims) <= set(dims)}
    return rows | _derived(dataset, level, box)


def _values(variable: xr.Variable, dims: tuple[str, ...], box: Box) -> np.ndarray:
    """The variable in the box, with all of `dims`, size 1 for those that it lacks."""
    part = variable.isel(box, missing_dims="ignore").transpose(*(d for d in dims if d in variable.dims))
    return part.values.reshape([part.sizes.get(d, 1) for d in dims])


def _derived(dataset: xr.Dataset, level: Level, box: Box) -> dict[str, np.ndarray]:
    """Counts and means over blocks that theorems speak of, where their ingredients are there."""
    if "group_norm" not in dataset:
        return {}
    if level is Level.SETTING:
        return {"active_cross_blocks": _active(dataset, box).sum(axis=(1, 2, 3))}
    if "query_block" not in dataset:
        return {}
    if level is Level.ROW:
        own = _values(dataset["query_block"].variable, ROW, box)
        return {"active_cross_blocks": np.take_along_axis(_active(dataset, box), own, axis=-1)}
    index = np.arange(dataset.sizes["block_query"])
    derived = {
        "block_query": index[box.get("block_query", slice(None))].reshape(1, 1, 1, -1, 1),
        "block_key": index[box.get("block_key", slice(None))].reshape(1, 1, 1, 1, -1),
    }
    if "leakage" in dataset:
        derived["mean_leakage"] = _mean_leakage(dataset, box)
    return derived


def _active(dataset: xr.Dataset, box: Box) -> np.ndarray:
    """Cross blocks that are not zero, of every (setting, layer, head, block_query)."""
    common = {name: part for name, part in box.items() if name in ROW}
    norms = _values(dataset["group_norm"].variable, PAIR, common)
    return ((norms != 0) & ~np.eye(norms.shape[-1], dtype=bool)).sum(-1)


def _mean_leakage(dataset: xr.Dataset, box: Box) -> np.ndarray:
    """Mean leakage of the queries of every (setting, layer, head, block_query, 1), NaN for a block without any.

    Summed over pieces of queries whose length is fixed: the last bit is the same whatever the box.
    """
    leakage, query_block = (dataset[name].variable for name in ("leakage", "query_block"))
    blocks = np.arange(dataset.sizes["block_query"])[box.get("block_query", slice(None))]
    total, count = np.zeros(()), np.zeros((), dtype=np.int64)
    for piece in boxes({"query": dataset.sizes["query"]}, CHUNK):
        within = {**{name: part for name, part in box.items() if name in ROW}, **piece}
        values, own = (np.ascontiguousarray(_values(v, ROW, within)) for v in (leakage, query_block))
        total = total + np.stack([np.where(own == b, values, 0.0).sum(-1) for b in blocks], -1)
        count = count + np.stack([(own == b).sum(-1) for b in blocks], -1)
    with np.errstate(invalid="ignore"):
        return (total / count)[..., None]


def refuse_unobserved(theorems: Iterable[Theorem]) -> None:
    """Raises BadInput for a theorem that no observations can be held against."""
    for theorem in theorems:
        if theorem.level not in DIMS and theorem.key not in gates.ROWS:
            levels, key = ", ".join(level.value for level in DIMS), theorem.key
            raise BadInput(
                f"theorem must speak of observations (one each {levels}), got {key!r}; "
                f"its own evidence: localist verify {key}"
            )


def check_dataset(
    dataset: xr.Dataset, theorems: Iterable[Theorem] | None = None, cloud: bool = False, witnesses: bool = True
) -> tuple[Checked, ...]:
    """Every theorem, or those given; without a row where the dataset lacks the fields.

    With `cloud` the outcomes keep where the rows lie, for figures; `witnesses` sends rows that attain the tight
    theorems through the observer, which needs torch.

    The dataset may be larger than memory, opened lazily: blocks of rows are read one after the other, each is checked
    against all theorems of its level, and only slacks stay (see `check`). No outcome depends on the blocks. Raises
    ValueError for a theorem of another level.
    """
    from bounds.theorems import OBSERVED, THEOREMS

    gated = [THEOREMS[key] for key in gates.ROWS] if gates.FIELD in dataset else []
    chosen = tuple((*OBSERVED, *gated) if theorems is None else theorems)
    refuse_unobserved(chosen)
    outcomes = {
        at: _of_gates(dataset, theorem, cloud) for at, theorem in enumerate(chosen) if theorem.key in gates.ROWS
    }
    for level in DIMS:
        asked = {at: theorem for at, theorem in enumerate(chosen) if theorem.level is level}
        if asked:
            outcomes |= _check_level(dataset, level, asked, cloud, witnesses)
    return tuple(outcomes[at] for at in range(len(chosen)))


def _of_gates(dataset: xr.Dataset, theorem: Theorem, cloud: bool) -> Checked:
    if gates.FIELD not in dataset:
        return _without_rows(theorem, (gates.FIELD,))
    told = gates.ROWS[theorem.key](dataset)
    outcome = check(theorem, told.rows, told.dims, cloud)
    worst = {dim: told.labels[dim][at] if dim in told.labels else at for dim, at in outcome.worst.items()}
    reason = told.unknown if outcome.counts[Verdict.UNKNOWN] else ""
    return replace(outcome, worst=_labelled(dataset, worst), unknown=reason)


def _without_rows(theorem: Theorem, lacks: tuple[str, ...]) -> Checked:
    return Checked(theorem, dict.fromkeys(Verdict, 0), math.nan, math.nan, {}, {}, lacks=lacks)


def _check_level(
    dataset: xr.Dataset, level: Level, asked: dict[int, Theorem], cloud: bool, witnesses: bool
) -> dict[int, Checked]:
    sizes = {name: dataset.sizes.get(name, 1) for name in DIMS[level]}
    few = _rows(dataset, level, {name: slice(2) for name in sizes})
    counted: dict[int, VerdictCounts] = {}
    for at, theorem in asked.items():
        with suppress(KeyError):  # the dataset lacks a field
            counted[at] = VerdictCounts(theorem, _spans(theorem, few, len(sizes)), cloud)
    sample = Sample(tuple(sizes.values())) if level is Level.ROW else None

    for box in boxes(sizes, *_reading(dataset, level)) if counted else ():
        rows, start = _rows(dataset, level, box), tuple(part.start for part in box.values())
        if sample is not None:
            sample.add(rows, start)
        for counts in counted.values():
            counts.add(rows, start)
    outcomes: dict[int, Checked] = {}
    for at, theorem in asked.items():
        if at in counted:
            outcome = _outcome(counted.pop(at), DIMS[level])
            outcome = replace(outcome, worst=_labelled(dataset, outcome.worst))
            seen = sample.sizes() if sample is not None else ()
        else:
            outcome, seen = _without_rows(theorem, _lacking(theorem, few)), ()
        asked_for = witnesses and theorem.tight
        outcomes[at] = replace(outcome, witness=witness(theorem, seen)) if asked_for else outcome
    return outcomes


class _Asked(dict[str, np.ndarray]):
    """Rows that have every field, and remember which ones are not there."""

    def __missing__(self, name: str) -> np.ndarray:
        self[name] = np.ones((1,) * (len(PAIR) + 1))
        return self[name]


DERIVED = {
    **dict.fromkeys(("active_cross_blocks", "block_query", "block_key"), "group_norm"),
    "mean_leakage": "leakage",
}
"""What `_derived` makes: name -> the field without which there is none."""


def _lacking(theorem: Theorem, rows: Rows) -> tuple[str, ...]:
    """The fields that the theorem asks for and the observations lack."""
    asked = _Asked(rows)
    with suppress(ValueError, IndexError), np.errstate(all="ignore"):  # values that nobody observed
        theorem.verdicts(asked)
    return tuple(dict.fromkeys(DERIVED.get(name, name) for name in asked if name not in rows))


def _reading(dataset: xr.Dataset, level: Level) -> tuple[int, dict[str, int]]:
    """How many cells of the level to read at a time, and along which chunks of the file."""
    dims = DIMS[level]
    weight = 1.0  # values that are read for one cell
    if level is not Level.ROW and "group_norm" in dataset:
        head = math.prod(dataset.sizes.get(name, 1) for name in ("block_query", "block_key"))
        if level is Level.SETTING:
            weight = dataset["group_norm"].size / max(1, dataset.sizes.get("setting", 1))
        else:
            weight = max(1.0, min(CHUNK, dataset.sizes.get("query", 1)) / max(1, head))
    chunks: dict[str, int] = {}
    for variable in dataset.variables.values():
        if set(variable.dims) <= set(dims):
            for name, length in variable.encoding.get("preferred_chunks", {}).items():
                chunks[name] = max(length, chunks.get(name, 1))
    return max(1, int(BLOCK / weight)), chunks


def _labelled(dataset: xr.Dataset, place: dict[str, Any]) -> dict[str, Any]:
    """A place by the numbers of its layer and head, and what is known of its setting."""
    known = {n: dim for n, (dim,) in COORDINATES.items() if n in dataset.variables and dim in place}
    return {**place, **{name: dataset[name].values[place[dim]].item() for name, dim in known.items()}}
