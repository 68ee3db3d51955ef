"""What `localist price` and `localist localise` saved, drawn: prices by head and pair of blocks, gates along penalties.

A figure whose data the dataset does not hold is skipped, and the reason printed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from empirical.figures import drawn, saved
from empirical.figures.gate_paths import loss_and_leakage, predicted_leakage, trained_weights, zero_gates
from empirical.figures.gate_prices import price_blocks, price_map, staircase
from empirical.files import make_folder

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

Draw = Callable[["xr.Dataset"], "Figure"]
PRICES: Mapping[str, Draw] = {"price_map": price_map, "price_blocks": price_blocks, "staircase": staircase}
PATH: Mapping[str, Draw] = {
    "loss_and_leakage": loss_and_leakage,
    "zero_gates": zero_gates,
    "predicted_leakage": predicted_leakage,
    "trained_weights": trained_weights,
}


def plot_prices(dataset: xr.Dataset, out: Path) -> list[Path]:
    """The figures of `localist price`; returns the files written."""
    return _all(PRICES, dataset, out)


def plot_path(dataset: xr.Dataset, out: Path) -> list[Path]:
    """The figures of `localist localise`; returns the files written."""
    return _all(PATH, dataset, out)


def _all(figures: Mapping[str, Draw], dataset: xr.Dataset, out: Path) -> list[Path]:
    make_folder(Path(out))
    return saved(drawn(figures, dataset), Path(out))
