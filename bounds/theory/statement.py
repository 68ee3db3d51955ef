"""An inequality over a box, as a theorem rests on it; `bounds.rigour` decides it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import bounds.numbers.arguments as check


@dataclass(frozen=True)
class Statement:
    """smaller <= larger for all symbols in the box; `scale` names the symbols that are bisected geometrically.

    One that is `false` is there to be refuted: it says that a constant cannot be lowered.
    """

    words: str
    smaller: Any
    larger: Any
    box: Mapping[Any, tuple[float, float]]
    scale: tuple[Any, ...] = ()
    false: bool = False

    def __post_init__(self) -> None:
        for symbol, (low, high) in self.box.items():
            if not low <= high:
                raise check.reject(f"box of {symbol}", "a pair lower <= upper", f"({low}, {high})")
