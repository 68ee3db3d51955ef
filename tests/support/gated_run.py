"""A run whose gates were trained with the weights, made once a process: `small.GATES`, and its assembled dataset."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import xarray as xr
from small import GATES, configured

from empirical.laboratory.assemble import assemble
from empirical.laboratory.cells import plan
from empirical.laboratory.store import Store
from empirical.laboratory.sweep import train_cells
from empirical.laboratory.text import text_digest
from empirical.shapes import Arrays

CONFIG = configured(GATES)


@functools.cache
def _run() -> tuple[xr.Dataset, dict[str, Arrays]]:
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(Path(folder) / "run", CONFIG, text_digest(CONFIG), resume=False)
        for cell in plan(CONFIG):
            train_cells(CONFIG, store, [cell])
        cells = {cell.start: store.load(cell.spec) or {} for cell in plan(CONFIG)}
        return assemble(store.folder).load(), cells


def gated_run() -> xr.Dataset:
    return _run()[0].copy(deep=True)


def gated_cells() -> dict[str, Arrays]:
    """By start; that of the localised solution among them."""
    return _run()[1]
