"""A requirement on the observations, `fidelity>=0.99@dial=1`: a field, a comparison, a number; nothing is evaluated.

It is about every valid row (or setting) that has a value, or about those `@` a dial, penalty, seed, start, layer, head;
what that is of is compared as it is printed, to six digits.
"""

from __future__ import annotations

import json
import math
import operator
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bounds.numbers.errors import nearest
from empirical.check.boxes import boxes
from empirical.check.verdicts import BLOCK
from empirical.errors import BadInput
from empirical.observe.schema import COORDINATES, ROW, SCHEMA

if TYPE_CHECKING:
    import xarray as xr

COMPARISONS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
_PLACE = r"@\s*[a-z]+\s*=\s*[^@=\s]+\s*"
_FORM = re.compile(rf"\s*([a-z_]+)\s*(>=|<=|>|<)\s*([-+]?[0-9.]+(?:e[-+]?[0-9]+)?)\s*((?:{_PLACE})*)")
FIELDS = tuple(name for name, (dims, _, _) in SCHEMA.items() if "setting" in dims and set(dims) <= set(ROW))
"""What a requirement may be on: numbers of rows, and of settings."""
PLACES = {"dial": ("setting",), **COORDINATES}
"""What it may be restricted by: name -> dims."""


@dataclass(frozen=True)
class Requirement:
    """`field comparison number`, asked of every valid row (or setting) that has a value, at the places named."""

    field: str
    comparison: str
    number: float
    places: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        at = "".join(f" at {name} {value}" for name, value in self.places)
        return f"{self.field} {self.comparison} {self.number:g}{at}"


@dataclass(frozen=True)
class Met:
    """How many rows meet a requirement; `worst` is the value furthest from it, NaN without rows."""

    requirement: Requirement
    rows: int
    missed: int
    worst: float

    def __str__(self) -> str:
        if not self.rows:
            return f"requirement {self.requirement}: UNKNOWN, no row has a value"
        said = f"missed by {self.missed:,} of" if self.missed else "met by all"
        return f"requirement {self.requirement}: {said} {self.rows:,} rows; worst {self.worst:.6g}"


def parse(text: str) -> Requirement:
    """Raises BadInput for anything but FIELD >= | <= | > | < NUMBER, and @NAME=VALUE behind it."""
    found = _FORM.fullmatch(text)
    try:
        number = float(found[3]) if found else float("nan")
    except ValueError:
        number = float("nan")
    if found is None or not np.isfinite(number):
        raise BadInput(f"--require must be FIELD followed by >=, <=, > or < and a number, got {text!r}")
    places = [part.partition("=") for part in found[4].split("@")[1:]]
    return Requirement(found[1], found[2], number, tuple((name.strip(), value.strip()) for name, _, value in places))


Known = Mapping[str, Sequence[Any] | None]
"""A place's values, all of them; None where they are not known yet."""


def refuse(requirement: Requirement, fields: Iterable[str], known: Known, whose: str) -> None:
    """Raises BadInput for a field, or a place, that cannot be met with."""
    for known_fields, of in ((FIELDS, "the rows"), (tuple(fields), whose)):
        if requirement.field not in known_fields:
            raise BadInput(
                f"--require must name a field of {of}, got {requirement.field!r}; nearest: "
                f"{nearest(requirement.field, known_fields)}"
            )
    for name, value in requirement.places:
        if name not in known:
            raise BadInput(f"--require must be at a {', '.join(known)} of {whose}, got '{name}={value}'")
        if not set(PLACES[name]) <= set(SCHEMA[requirement.field][0]):
            raise BadInput(f"--require must be at what {requirement.field} is of, got '{name}={value}'")
        values = known[name]
        if values is not None and not any(_same(one, value) for one in values):
            there = ", ".join(dict.fromkeys(map(_shown, values)))
            raise BadInput(f"--require must be at a {name} of {whose} ({there}), got '{name}={value}'")


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else f"{float(value):.6g}"


def _same(one: Any, text: str) -> bool:
    """Whether that is what the text means, as it is printed."""
    if isinstance(one, str):
        return one == text
    try:
        return _shown(one) == _shown(float(text))
    except ValueError:
        return False


def places_of(dataset: xr.Dataset) -> dict[str, list[Any]]:
    """The values of every place that the observations tell apart."""
    dials = {"dial": json.loads(dataset.attrs["dials"])} if "dials" in dataset.attrs else {}
    there = [name for name in COORDINATES if name in dataset.variables or name in dataset.dims]
    return dials | {name: dataset[name].values.tolist() for name in there}


def fields_of(dataset: xr.Dataset) -> list[str]:
    """What of these observations a requirement may be on."""
    return [name for name in FIELDS if name in dataset.variables and dataset[name].dtype.kind in "fiub"]


def meets(requirement: Requirement, dataset: xr.Dataset) -> Met:
    """The rows at the places named that meet the requirement; none where the observations lack the field."""
    if requirement.field not in dataset.variables:
        return Met(requirement, 0, 0, math.nan)
    fields = [dataset[requirement.field]]
    if "query" in fields[0].dims and "valid" in dataset:
        fields.append(dataset["valid"])
    chunks = fields[0].encoding.get("preferred_chunks")
    known = places_of(dataset)
    for name, value in requirement.places:
        (dim,) = PLACES[name]
        chosen = [at for at, one in enumerate(known[name]) if _same(one, value)]
        if dim in fields[0].dims:
            fields = [field.isel({dim: chosen}, missing_dims="ignore") for field in fields]
    sizes = {name: size for field in fields for name, size in field.sizes.items()}
    sizes = {str(name): sizes[name] for name in ROW if name in sizes}
    furthest, worst = (min, math.inf) if requirement.comparison.startswith(">") else (max, -math.inf)
    rows = missed = 0
    for box in boxes(sizes, BLOCK, chunks):
        values, *valid = (field.isel(box, missing_dims="ignore") for field in fields)
        for mask in valid:
            values = values.where(mask.astype(bool))
        numbers = np.asarray(values.values, dtype=np.float64)
        numbers = numbers[~np.isnan(numbers)]
        if numbers.size:
            rows += numbers.size
            missed += int((~COMPARISONS[requirement.comparison](numbers, requirement.number)).sum())
            worst = furthest(worst, float(furthest(numbers.min(), numbers.max())))
    return Met(requirement, rows, missed, worst if rows else math.nan)
