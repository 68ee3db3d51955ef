"""All cells of a run as one labelled dataset.

assemble(DIR)            cells -> DIR/observations.nc (netCDF, dims setting, layer, head, query, block_query, ...)
observations(PATH)       what `open_observations` opens; of a run's folder without observations.nc they are assembled
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import xarray as xr

from empirical.errors import BadInput
from empirical.laboratory.cells import LOCALISE, Cell, absolute_penalties, plan
from empirical.laboratory.config import Config, parse
from empirical.laboratory.store import Store, read_run
from empirical.observe.files import FILE, described, open_observations, save_dataset
from empirical.observe.schema import SCHEMA

_PENALTY = (
    {"units": "loss/norm", "long_name": "penalty on a group norm"},
    {"units": "loss", "long_name": "penalty on leakage, summed over heads"},
)


def observations(path: Path, lazy: bool = False) -> xr.Dataset:
    """`open_observations`, after assembling a run whose folder holds no observations yet."""
    path = Path(path)
    if path.is_dir() and not (path / FILE).exists() and (path / "run.json").exists():
        return assemble(path)
    return open_observations(path, lazy)


def assemble(out: Path) -> xr.Dataset:
    """All cells of the run in `out` as one dataset, saved as observations.nc; the same bits whenever it is made."""
    out = Path(out)
    run = read_run(out)
    config = parse(run["config"])
    store = Store.of(out, run)
    cells = [cell for cell in plan(config) if cell.start != LOCALISE]
    loaded = [(cell, store.load(cell.spec)) for cell in cells]
    missing = sum(arrays is None for _, arrays in loaded)
    if missing:
        raise BadInput(f"DIR must hold every cell of its run, got {missing} of {len(cells)} missing; run with --resume")
    dataset = _combine(config, store, [(cell, arrays) for cell, arrays in loaded if arrays is not None])
    dataset.attrs = {
        "title": "Observed attention of the reference model across penalties",
        "config": json.dumps(run["config"], sort_keys=True),
        "config_digest": run["config_digest"],
        "code": run["code"],
        "versions": json.dumps(run["versions"], sort_keys=True),
        "commit": run["commit"],
        **run["text"],
    }
    save_dataset(dataset, out / FILE)
    return dataset


def _combine(config: Config, store: Store, loaded: list[tuple[Cell, dict[str, np.ndarray]]]) -> xr.Dataset:
    """Settings in the order of the plan: start, seed, penalty as configured."""
    first = loaded[0][1]
    fields: dict[str, tuple[tuple[str, ...], np.ndarray]] = {}
    for name, (dims, _, _) in SCHEMA.items():
        if name not in first:
            continue
        parts = [arrays[name] for _, arrays in loaded]
        fields[name] = (dims, np.concatenate(parts) if dims[0] == "setting" else parts[0])
    localised = {seed: store.load(Cell(seed, LOCALISE).spec) for seed in config.sweep.seeds}
    for seed, solution in localised.items():
        if solution is None and config.sweep.relative_to_critical:
            raise BadInput(f"DIR must hold every cell of its run, got none localised for seed {seed}")
    penalty = [p for cell, _ in loaded for p in absolute_penalties(config, cell, localised[cell.seed])]
    seeds = np.repeat([cell.seed for cell, _ in loaded], [len(cell.penalties) for cell, _ in loaded])
    starts = np.repeat([cell.start for cell, _ in loaded], [len(cell.penalties) for cell, _ in loaded])
    return described(
        xr.Dataset(
            {name: (dims, values) for name, (dims, values) in fields.items()},
            coords={
                "penalty": (
                    "setting",
                    np.array(penalty),
                    _PENALTY[config.gated],
                ),
                "seed": ("setting", seeds),
                "start": ("setting", starts),
            },
        )
    )
