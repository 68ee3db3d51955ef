"""The one error for input that cannot be used, here and in `bounds`, and the one for a promise that was not kept."""

from __future__ import annotations

from dataclasses import dataclass

from bounds.numbers.errors import BadInput as BadInput


@dataclass(frozen=True)
class Miss:
    """A row below its promise."""

    setting: int
    layer: int
    head: int
    sequence: int
    query: int
    fidelity: float


class Missed(RuntimeError):
    """A row missed the fidelity that it was promised; `misses` holds every such row of that layer."""

    def __init__(self, promised: float, misses: list[Miss]):
        first = misses[0]
        super().__init__(
            f"fidelity must be at least {promised:g}, got {first.fidelity:.6g} in layer {first.layer}, head "
            f"{first.head}, query {first.query} of sequence {first.sequence}, setting {first.setting}"
            + (f" and {len(misses) - 1:,} more rows of that layer" if len(misses) > 1 else "")
        )
        self.misses = misses
