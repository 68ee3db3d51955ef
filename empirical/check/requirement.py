"""A requirement on the observations, `fidelity>=0.99`: one field, one comparison, one number; nothing is evaluated."""

from __future__ import annotations

import math
import operator
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from empirical.check.boxes import boxes
from empirical.check.verdicts import BLOCK
from empirical.errors import BadInput
from empirical.observe.schema import ROW

if TYPE_CHECKING:
    import xarray as xr

COMPARISONS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
_FORM = re.compile(r"\s*([a-z_]+)\s*(>=|<=|>|<)\s*([-+]?[0-9.]+(?:e[-+]?[0-9]+)?)\s*")
ROW_DIMS = set(ROW)


@dataclass(frozen=True)
class Requirement:
    """`field comparison number`, asked of every valid row (or setting) that has a value."""

    field: str
    comparison: str
    number: float

    def __str__(self) -> str:
        return f"{self.field} {self.comparison} {self.number:g}"


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
    """Raises BadInput for anything but FIELD >= | <= | > | < NUMBER."""
    found = _FORM.fullmatch(text)
    try:
        number = float(found[3]) if found else float("nan")
    except ValueError:
        number = float("nan")
    if found is None or not np.isfinite(number):
        raise BadInput(f"--require must be FIELD followed by >=, <=, > or < and a number, got {text!r}")
    return Requirement(found[1], found[2], number)


def meets(requirement: Requirement, dataset: xr.Dataset) -> Met:
    """Raises BadInput for a field that the observations do not have, with the ones that they have."""
    known = sorted(
        str(name)
        for name, variable in dataset.variables.items()
        if set(variable.dims) <= ROW_DIMS and "setting" in variable.dims and variable.dtype.kind in "fiu"
    )
    if requirement.field not in known:
        raise BadInput(f"--require must name one of {', '.join(known)}, got {requirement.field!r}")
    fields = [dataset[requirement.field]]
    if "query" in fields[0].dims and "valid" in dataset:
        fields.append(dataset["valid"])
    sizes = {name: dataset.sizes[name] for name in ROW if any(name in field.dims for field in fields)}
    furthest, worst = (min, math.inf) if requirement.comparison.startswith(">") else (max, -math.inf)
    rows = missed = 0
    for box in boxes(sizes, BLOCK, fields[0].encoding.get("preferred_chunks")):
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
