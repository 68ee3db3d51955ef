"""Cells, the units of work of a sweep, and how many settings are trained side by side.

stage 1   one localised solution a seed (blocks, gates): its critical penalty, and where `localised` cells start
stage 2   (seed, start, at most 8 penalties) a cell, trained side by side; all the penalties of a branch are one
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from empirical.laboratory.config import BRANCHES, Config

CELL_SETTINGS = 8
GPU_SETTINGS = 256  # settings side by side in one process on a GPU


@dataclass(frozen=True)
class Cell:
    """A unit of work; `penalties` as configured, that is in multiples of the critical one where the sweep says so."""

    seed: int
    start: str
    penalties: tuple[float, ...] = ()

    @property
    def spec(self) -> str:
        return json.dumps([self.seed, self.start, list(self.penalties)])


LOCALISE = "localise"  # the start of a stage-1 cell


def plan(config: Config) -> tuple[Cell, ...]:
    """Every cell, stage 1 first."""
    sweep = config.sweep
    first = [Cell(seed, LOCALISE) for seed in sweep.seeds] if config.has_localised else []
    chunks = [sweep.penalties[i : i + CELL_SETTINGS] for i in range(0, len(sweep.penalties), CELL_SETTINGS)]
    parts = {start: [sweep.penalties] if start in BRANCHES else chunks for start in sweep.starts}
    return (*first, *(Cell(seed, start, c) for start in sweep.starts for seed in sweep.seeds for c in parts[start]))


def absolute_penalties(config: Config, cell: Cell, localised: Mapping[str, Any] | None) -> tuple[float, ...]:
    """The penalties of a stage-2 cell; relative ones are multiples of its seed's critical one."""
    factor = float(localised["critical"]) if localised is not None and config.sweep.relative_to_critical else 1.0
    return tuple(factor * p for p in cell.penalties)
