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

from bounds.rigour.balls import BITS, Ball, outward, working_precision

P = ParamSpec("P")
Ends: TypeAlias = tuple[float, float]
"""float64 numbers around an exact value."""
UNIT: Ends = (0.0, 1.0)
"""Where probabilities and dials lie."""
Entry: TypeAlias = Mapping[str, Any]
"""The arguments of one entry by parameter: floats, lists of them, None, and words such as `of`."""


def whole_above(value: float) -> float:
    """The least whole number no less than it, as a float64; infinities as they are."""
    return float(math.ceil(value)) if math.isfinite(value) else value


@dataclass(frozen=True)
class ClosedForm(Generic[P]):
    """The exact value of one entry, evaluated on balls."""

    value: Callable[P, Ball]
    infinite_as_given: bool = False  # an infinite estimate is exact by definition: any temperature does
    within: Ends = (-math.inf, math.inf)  # where every exact value lies, though a ball may reach beyond
    rows: tuple[str, ...] = ()  # arguments of which an entry takes the whole last axis, as a list

    def __call__(self, *arguments: P.args, **keywords: P.kwargs) -> Ball:
        return self.value(*arguments, **keywords)

    def ends(self, estimate: float, entry: Entry) -> Ends:
        infinite = any(isinstance(v, float) and math.isinf(v) for v in entry.values())
        if math.isinf(estimate) and (self.infinite_as_given or infinite):  # of an infinite margin, kappa or range
            return estimate, estimate
        value: Callable[..., Ball] = self.value
        for bits in (BITS, 4 * BITS, 16 * BITS):  # the last hold 1e308 and 5e-324 side by side
            with working_precision(bits):
                if (found := value(**entry)).is_finite():
                    break
        low, high = outward(found)
        return max(low, self.within[0]), min(high, self.within[1])


@dataclass(frozen=True)
class Bracket(Generic[P]):
    """Ends that rigorous evaluation finds around the estimate."""

    around: Callable[Concatenate[float, P], Ends]
    rows: tuple[str, ...] = ()

    def ends(self, estimate: float, entry: Entry) -> Ends:
        around: Callable[..., Ends] = self.around
        return around(estimate, **entry)


@dataclass(frozen=True)
class Rounded(Generic[P]):
    """float64 with an a-priori bound on its rounding, of sums and products of what is not below 0: `ulps`, doubled."""

    ulps: Callable[P, int]

    def arrays(self, values: NDArray[np.float64], arguments: Entry) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(lower, upper) of whole arrays."""
        ulps: Callable[..., int] = self.ulps
        if not (count := ulps(**arguments)):
            return values, values
        room = 2 * count * (np.finfo(np.float64).eps * np.abs(values) + np.finfo(np.float64).smallest_subnormal)
        with np.errstate(invalid="ignore", over="ignore"):
            return np.where(np.isfinite(values), values - room, -np.inf), values + room
