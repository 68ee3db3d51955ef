"""Files of observations: one labelled dataset, enough to check every theorem again without training.

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

from empirical.errors import BadInput
from empirical.files import commit, versions, write_atomically
from empirical.observe.schema import COORDINATES, NUMBERED, ROW, SCHEMA

FILE = "observations.nc"


def described(dataset: xr.Dataset) -> xr.Dataset:
    """The dataset with the unit and meaning of every field, layers and heads numbered from 0 where it does not say."""
    for name in dataset.data_vars:
        _, unit, meaning = SCHEMA[str(name)]
        dataset[name].attrs = {"units": unit, "long_name": meaning}
    for name in NUMBERED:
        if name in dataset.dims and name not in dataset.coords:
            dataset.coords[name] = np.arange(dataset.sizes[name])
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
    known = ("logits", "weights", "query_block", "key_block", *OPTIONS, *NUMBERED) if raw else (*SCHEMA, *COORDINATES)
    for name in arrays:
        if name not in known:
            nearest = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {nearest[0]!r}?" if nearest else f"; known: {', '.join(known)}"
            raise BadInput(f"FILE.npz must hold only known arrays, got {name!r}{hint}")
    if raw:
        numbers = {name: arrays[name] for name in NUMBERED if name in arrays}
        arrays = _observe(path, raw, arrays) | numbers
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
    from empirical.observe.rows import observe_attention

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


UNSWEPT = {"penalty": np.nan, "seed": 0, "start": "observed"}
"""The setting of observations that do not say theirs."""


def _check_numbers(name: str, values: np.ndarray, sizes: set[int]) -> None:
    size = max(sizes, default=1)
    whole = values.dtype.kind in "iu" and values.shape == (size,) and bool((values >= 0).all())
    if not whole or np.unique(values).size != size:
        allowed = f"{size} whole numbers >= 0, one a {name}" + (", each once" if whole else "")
        raise BadInput(f"{name} must be {allowed}, got {values.tolist()}")


def _from_arrays(path: Path | str, arrays: Mapping[str, np.ndarray]) -> xr.Dataset:
    """Arrays under their schema's dims; a row field may lack leading dims, which then have size 1."""
    fields: dict[str, tuple[tuple[str, ...], np.ndarray]] = {}
    for name, value in arrays.items():
        dims = SCHEMA[name][0] if name in SCHEMA else COORDINATES[name]
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
    labels = {name: ("setting", np.full(settings, value)) for name, value in UNSWEPT.items()}
    labels |= {name: fields.pop(name) for name in COORDINATES if name in fields}
    for name in NUMBERED:
        if name in labels:
            _check_numbers(name, labels[name][1], {v.shape[d.index(name)] for d, v in fields.values() if name in d})
    try:
        return described(
            xr.Dataset(fields, coords=labels, attrs={"commit": commit(), "versions": json.dumps(versions())})
        )
    except ValueError as error:
        raise BadInput(f"FILE.npz must hold arrays of matching shapes, got {error} in {str(path)!r}") from None
