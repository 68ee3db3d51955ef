"""What a design is made of: thresholds, where each target lies, what is missing."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from bounds.numbers.search import Unreachable

BITS = 1 / math.log(2)
Number = float | int | Unreachable


@dataclass(frozen=True)
class Line:
    """One threshold: a number, or an `Unreachable` that says why there is none.

    `one_anchor` is what it is with one anchor in the block, where nobody said how many there are: `value` is then that
    of a block whose keys are all anchors, the best that there can be. `means`: what is so beyond it, in a sentence.
    `phrase`: the value in words, with "{up}" or "{down}" for its digits on the safe side, as `Design.conclusion` says
    it: of what the margin guarantees (`guarantees` a target), or of what would meet a target (`meets`).
    """

    key: str
    label: str
    value: Number
    unit: str
    theorem: str
    one_anchor: Number | None = None
    means: str = ""
    phrase: str = ""
    guarantees: str = ""
    meets: str = ""

    @property
    def reason(self) -> str | None:
        return self.value.reason if isinstance(self.value, Unreachable) else None

    @property
    def bits(self) -> float | None:
        return self.value * BITS if self.unit == "nats" and not isinstance(self.value, Unreachable) else None

    def as_dict(self) -> dict[str, Any]:
        plain = {"key": self.key, "label": self.label, "value": _json_number(self.value), "unit": self.unit}
        bits = {} if self.bits is None else {"bits": self.bits}
        one = {} if self.one_anchor is None else {"one_anchor": _json_number(self.one_anchor)}
        means = {"means": self.means} if self.means else {}
        return {**plain, **bits, **one, "theorem": self.theorem, "reason": self.reason, **means}


@dataclass(frozen=True)
class Region:
    """Where a target lies at this x = margin/temperature and D = logit_range/temperature (None: not known)."""

    target: str
    wanted: float
    region: str
    theorem: str
    x: float
    scaled_range: float | None
    one_anchor: str | None = None  # the region with one anchor, where nobody said how many there are

    def as_dict(self) -> dict[str, Any]:
        said = {k: _json_number(v) for k, v in asdict(self).items()}
        return said if self.one_anchor is not None else {k: v for k, v in said.items() if k != "one_anchor"}


@dataclass(frozen=True)
class Missing:
    """A threshold that is not given, and the inputs that it still needs."""

    gives: str
    needs: tuple[str, ...]


def _json_number(value: Any) -> Any:
    if isinstance(value, Unreachable):
        return None
    return str(value) if isinstance(value, float) and math.isinf(value) else value
