"""One labelled dataset of all that was observed, enough to check every theorem again without training.

assemble(DIR)            cells -> DIR/observations.nc (netCDF, dims setting, layer, head, query, block_query, ...)
open_observations(PATH)  a run's folder, a .nc file, or anybody's own attention in a .npz
"""

from __future__ import annotations

import difflib
import json
import os
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from empirical.check import DIMS
from empirical.config import Config, parse
from empirical.errors import BadInput
from empirical.store import Store, commit, read_run, versions, write_atomically
from empirical.sweep import LOCALISE, Cell, absolute_penalties, plan

FILE = "observations.nc"
ROW, PAIR = DIMS["row"], DIMS["pair"]
SCHEMA: dict[str, tuple[tuple[str, ...], str, str]] = {
    "entropy_nats": (ROW, "nats", "entropy of the attention row"),
    "fidelity": (ROW, "1", "attention mass on the relevant block"),
    "leakage": (ROW, "1", "attention mass outside the relevant block"),
    "log_leakage": (ROW, "1", "natural logarithm of the leakage"),
    "margin": (ROW, "logits", "r-th largest in-block logit minus the largest outside"),
    "logit_range": (ROW, "logits", "largest minus smallest visible logit"),
    "n_keys": (ROW, "keys", "visible keys"),
    "n_block": (ROW, "keys", "visible keys of the relevant block"),
    "n_anchors": (ROW, "keys", "anchors that the margin counts"),
    "anchor_mass": (ROW, "1", "attention mass on the block's own anchor keys"),
    "leakage_dialled": (ROW, "1", "leakage after the dial is turned on the stored logits"),
    "valid": (ROW, "1", "the row sums to one and sees its block and something outside"),
    "group_norm": (PAIR, "1", "Frobenius norm of W_bc, not squared"),
    "gradient_norm": (PAIR, "loss/norm", "norm of the gradient in W_bc where the run ended"),
    "group_norm_start": (PAIR, "1", "Frobenius norm of W_bc at the start"),
    "gradient_peak": (PAIR, "loss/norm", "largest norm of the gradient in W_bc on the way"),
    "steps_to_zero": (PAIR, "steps", "first step after which W_bc is zero for good; -1 never"),
    "loss_train": (("setting",), "loss", "training loss, without the penalty"),
    "loss_heldout": (("setting",), "loss", "held-out loss"),
    "loss_masked": (("setting",), "loss", "held-out loss with foreign blocks masked, the dial at 1"),
    "residual": (("setting",), "loss/norm", "stationarity residual ||W - prox(W - step grad)|| / step"),
    "converged": (("setting",), "1", "the residual is within its tolerance"),
    "steps": (("setting",), "steps", "steps taken"),
    "step": (("setting",), "norm^2/loss", "proximal step size"),
    "accelerated": (("setting",), "1", "momentum was on"),
    "critical": (("setting",), "loss/norm", "critical penalty predicted from the seed's localised model"),
    "loss_localised": (("setting",), "loss", "loss of the seed's localised model"),
    "temperature": (("setting",), "1", "softmax temperature"),
    "anchor_logit": (("setting",), "logits", "logit of a block's anchors for its own queries"),
    "dial": (("setting",), "1", "the dial of leakage_dialled"),
    "query_norm": (("setting", "block_query"), "1", "largest norm of a query's block features"),
    "query_share": (("setting", "block_query"), "1", "share of the queries that lie in the block"),
    "key_norm": (("setting", "block_key"), "1", "largest norm of a key's block features"),
    "key_diameter": (("setting", "block_key"), "1", "diameter of the block's key features over all visible keys"),
    "gradient_bound": (("setting",), "loss", "bound on a query's loss gradient at the head's output"),
    "value_diameter": (("setting",), "1", "diameter of the values"),
    "level_c": (("setting", "block_query", "block_key"), "loss/norm", "penalty level C, mean of products"),
    "localist": (("layer",), "1", "every token entering the layer holds features in its own block only"),
    "query_block": (("query",), "1", "block of the query"),
    "attention": (("setting", "layer", "head", "map_query", "map_key"), "1", "attention weights of the drawn map"),
    "map_query_block": (("map_query",), "1", "block of a query of the drawn map"),
    "map_key_block": (("map_key",), "1", "block of a key of the drawn map"),
    "map_key_anchor": (("map_key",), "1", "whether a key of the drawn map is an anchor"),
}
"""name -> dims, unit, meaning"""


def assemble(out: Path) -> xr.Dataset:
    """All cells of the run in `out` as one dataset, saved as observations.nc; the same bits whenever it is made."""
    out = Path(out)
    run = read_run(out)
    config = parse(run["config"])
    store = Store(out, run["config_digest"], run["code"])
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
                    {"units": "loss/norm", "long_name": "penalty on a group norm"},
                ),
                "seed": ("setting", seeds),
                "start": ("setting", starts),
            },
        )
    )


def described(dataset: xr.Dataset) -> xr.Dataset:
    """The dataset with the unit and meaning of every field."""
    for name in dataset.data_vars:
        _, unit, meaning = SCHEMA[str(name)]
        dataset[name].attrs = {"units": unit, "long_name": meaning}
    return dataset


def save_dataset(dataset: xr.Dataset, path: Path) -> None:
    """netCDF in memory first, so that the file appears whole or not at all."""
    encoding = {name: {"zlib": True, "complevel": 1} for name in dataset.data_vars if dataset[name].size > 10_000}
    write_atomically(path, bytes(dataset.to_netcdf(engine="h5netcdf", encoding=encoding)))


def open_observations(path: Path, lazy: bool = False) -> xr.Dataset:
    """The observations of a run's folder, a .nc file of this schema, or a .npz.

    A .npz holds row fields under their names, or `logits` or `weights` (..., queries, keys) with `query_block` and
    `key_block`, and whatever else `observe_attention` takes. All is in memory, unless `lazy`: then a .nc file stays
    open until the dataset is closed, and of both kinds of file what is used is read when it is; a .npz that is
    compressed, or holds logits or weights, is in memory all the same. Raises BadInput for anything else.
    """
    path = Path(path)
    if path.is_dir():
        if not (path / FILE).exists() and (path / "run.json").exists():
            return assemble(path)
        path = path / FILE
    if not path.is_file():
        raise BadInput(f"DIR|FILE must be a run's folder, a .nc or a .npz file, got {str(path)!r}, which is not there")
    if path.suffix == ".npz":
        return _from_npz(path, lazy)
    try:
        found = xr.open_dataset(path, engine="h5netcdf")
        if lazy:
            return found
        with found:
            return found.load()
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadInput(f"DIR|FILE must be a netCDF file of observations, got {str(path)!r} ({reason})") from None


OPTIONS = ("visible", "n_anchors", "temperature", "dial")


def _from_npz(path: Path, lazy: bool) -> xr.Dataset:
    try:
        with np.load(path, allow_pickle=False) as found:
            raw = [kind for kind in ("logits", "weights") if kind in found.files]
            mapped = _mapped(path) if lazy and not raw else {}
            arrays = {name: mapped[name] if name in mapped else found[name] for name in found.files}
    except (OSError, ValueError, EOFError) as error:
        raise BadInput(f"FILE.npz must hold plain numeric arrays, got {str(path)!r} ({error})") from None
    if not arrays:
        raise BadInput(f"FILE.npz must hold row fields, or logits or weights, got {str(path)!r} without arrays")
    observed = (*SCHEMA, "penalty", "seed", "start")
    known = ("logits", "weights", "query_block", "key_block", *OPTIONS) if raw else observed
    for name in arrays:
        if name not in known:
            nearest = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {nearest[0]!r}?" if nearest else f"; known: {', '.join(known)}"
            raise BadInput(f"FILE.npz must hold only known arrays, got {name!r}{hint}")
    if raw:
        arrays = _observe(path, raw, arrays)
    return _from_arrays(path, arrays)


def _mapped(path: Path) -> dict[str, np.ndarray]:
    """The arrays that a .npz holds uncompressed, as `numpy.savez` does, mapped from where they lie in the file."""
    headers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    arrays = {}
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        for member in archive.infolist():
            if member.compress_type != zipfile.ZIP_STORED:
                continue
            file.seek(member.header_offset + 26)  # of a local header's 30 bytes, the last four are two lengths
            name, extra = struct.unpack("<HH", file.read(4))
            file.seek(name + extra, os.SEEK_CUR)
            header = headers.get(np.lib.format.read_magic(file))
            if header is None:
                continue
            shape, fortran, dtype = header(file)
            if 0 not in shape and not dtype.hasobject:
                order = "F" if fortran else "C"
                arrays[member.filename.removesuffix(".npy")] = np.memmap(path, dtype, "r", file.tell(), shape, order)
    return arrays


def _observe(path: Path, raw: list[str], arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    from empirical.observe import observe_attention

    lacking = [name for name in ("query_block", "key_block") if name not in arrays]
    if len(raw) != 1 or lacking:
        said = f"no {lacking[0]}" if lacking else "both"
        raise BadInput(
            f"FILE.npz must hold logits or weights with query_block and key_block, got {said} in {str(path)!r}"
        )
    options: dict[str, Any] = {}
    for name in OPTIONS:
        if name in arrays:
            options[name] = arrays[name] if name == "visible" else _scalar(name, arrays[name])
    if "n_anchors" in options:
        options["n_anchors"] = int(options["n_anchors"])
    return observe_attention(arrays[raw[0]], arrays["query_block"], arrays["key_block"], kind=raw[0], **options)


def _scalar(name: str, value: np.ndarray) -> float:
    if value.size != 1 or value.dtype.kind not in "fiu":
        raise BadInput(f"{name} must be one number, got shape {value.shape} of {value.dtype}")
    return value.item()


def _from_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> xr.Dataset:
    """Arrays under their schema's dims; a row field may lack leading dims, which then have size 1."""
    fields: dict[str, tuple[tuple[str, ...], np.ndarray]] = {}
    for name, value in arrays.items():
        dims = SCHEMA[name][0] if name in SCHEMA else ("setting",)
        if name == "query_block" and value.ndim > 1:
            dims = ROW
        if value.ndim > len(dims):
            raise BadInput(f"{name} must have dims {', '.join(dims)}, got shape {value.shape} in {str(path)!r}")
        fields[name] = (dims, value.reshape((1,) * (len(dims) - value.ndim) + value.shape))
    if "temperature" not in fields:
        fields["temperature"] = (("setting",), np.ones(1))
    settings = max(values.shape[0] for dims, values in fields.values() if dims[0] == "setting")
    for name, (dims, values) in fields.items():
        if dims[0] == "setting" and values.shape[0] == 1:
            fields[name] = (dims, np.repeat(values, settings, 0))
    coords = {"penalty": np.nan, "seed": 0, "start": "observed"}
    given = {name: fields.pop(name) for name in coords if name in fields}
    labels = {name: given.get(name, ("setting", np.full(settings, value))) for name, value in coords.items()}
    try:
        return described(
            xr.Dataset(fields, coords=labels, attrs={"commit": commit(), "versions": json.dumps(versions())})
        )
    except ValueError as error:
        raise BadInput(f"FILE.npz must hold arrays of matching shapes, got {error} in {str(path)!r}") from None
