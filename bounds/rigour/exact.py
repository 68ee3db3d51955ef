"""How an exact value is known: by a closed form, by ends around the estimate, or by a bound on its rounding.

The `exact` module of a topic holds one of these for every calculator, under the calculator's name and with its
parameters: entries are floats, None where nothing is said.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Concatenate, Generic, ParamSpec, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bounds.rigour.balls import Ball, outward

P = ParamSpec("P")
Ends: TypeAlias = tuple[float, float]
"""float64 numbers around an exact value."""
UNIT: Ends = (0.0, 1.0)
"""Where probabilities and dials lie."""
Entry: TypeAlias = Mapping[str, Any]
"""The arguments of one entry by parameter: floats, None, and words such as `of`."""


def whole_above(value: float) -> float:
    """The least whole number no less than it, as a float64; infinities as they are."""
    return float(math.ceil(value)) if math.isfinite(value) else value


@dataclass(frozen=True)
class ClosedForm(Generic[P]):
    """The exact value of one entry, evaluated on balls."""

    value: Callable[P, Ball]
    infinite_as_given: bool = True  # an infinite estimate is exact by definition: a masked dial, any temperature
    within: Ends = (-math.inf, math.inf)  # where every exact value lies, though a ball may reach beyond

    def __call__(self, *arguments: P.args, **keywords: P.kwargs) -> Ball:
        return self.value(*arguments, **keywords)

    def ends(self, estimate: float, entry: Entry) -> Ends:
        if math.isinf(estimate) and self.infinite_as_given:
            return estimate, estimate
        value: Callable[..., Ball] = self.value
        low, high = outward(value(**entry))
        return max(low, self.within[0]), min(high, self.within[1])


@dataclass(frozen=True)
class Bracket(Generic[P]):
    """Ends that rigorous evaluation finds around the estimate; an infinite one is exact by definition."""

    around: Callable[Concatenate[float, P], Ends]

    def ends(self, estimate: float, entry: Entry) -> Ends:
        if math.isinf(estimate):
            return estimate, estimate
        around: Callable[..., Ends] = self.around
        return around(estimate, **entry)


@dataclass(frozen=True)
class Rounded(Generic[P]):
    """float64 with an a-priori bound on its rounding, where an axis is reduced: `ulps` of the value, doubled."""

    ulps: Callable[P, int]

    def arrays(self, values: NDArray[np.float64], arguments: Entry) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(lower, upper) of whole arrays."""
        ulps: Callable[..., int] = self.ulps
        if not (count := ulps(**arguments)):
            return values, values
        room = 2 * np.finfo(np.float64).eps * count * np.abs(values)
        return values - room, values + room
