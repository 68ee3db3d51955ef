"""Files of observations: one labelled dataset, enough to check every theorem again without training.

open_observations(PATH)                      a run's folder, a .nc file, or anybody's own attention in a .npz
observations(attention=..., block=...)       the same of arrays at hand
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from empirical.errors import BadInput
from empirical.files import foreign, is_broken, parse_json, sealed, unpacked_within, write_atomically
from empirical.observe.archives import MUST, directory, read_arrays
from empirical.observe.own import is_own, observed
from empirical.observe.schema import COORDINATES, NUMBERED, ROW, SCHEMA
from empirical.provenance import commit, versions

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
    """netCDF in memory first, so that the file appears whole or not at all; sealed, so that no byte may change."""
    encoding = {name: {"zlib": True, "complevel": 1} for name in dataset.data_vars if dataset[name].size > 10_000}
    write_atomically(path, sealed(bytes(dataset.to_netcdf(engine="h5netcdf", encoding=encoding))))


def open_observations(path: Path, lazy: bool = False) -> xr.Dataset:
    """The observations of a run's folder, a .nc file of this schema, or a .npz.

    A .npz holds row fields under their names, or attention as `npz_format.FORMAT` says. All is in memory, unless
    `lazy`: then a .nc file stays open until the dataset is closed, and of both kinds of file what is used is read when
    it is; a .npz that is compressed, or holds attention, is in memory all the same. Raises BadInput for anything else.
    """
    path = Path(path)
    if path.is_dir():
        path = path / FILE
    if not path.is_file():
        raise BadInput(f"DIR|FILE must be a run's folder, a .nc or a .npz file, got {str(path)!r}, which is not there")
    if path.suffix == ".npz":
        return _from_npz(path, lazy)
    return _from_nc(path, lazy)


def _from_nc(path: Path, lazy: bool) -> xr.Dataset:
    def checked(found: xr.Dataset) -> None:
        _check_attributes(found.attrs)
        _check_kinds({str(name): variable.dtype for name, variable in found.variables.items()})

    return open_sealed(path, "DIR|FILE must be a netCDF file of observations", checked, lazy)


def open_sealed(
    path: Path, must: str, checked: Callable[[xr.Dataset], None] = lambda _: None, lazy: bool = False
) -> xr.Dataset:
    """A netCDF file that `save_dataset` wrote, whole, or `lazy` and open. Raises BadInput, which begins as `must`, for
    one that is damaged, none, or what `checked` raises ValueError for."""
    with foreign(must, path):
        if is_broken(path):
            raise ValueError("its content is not what its digest is of")
        found = xr.open_dataset(path, engine="h5netcdf", decode_times=False)
        try:
            unpacked_within(sum(v.size * v.dtype.itemsize for v in found.variables.values()), path.stat().st_size)
            checked(found)
            if lazy:
                return found
            with found:
                return found.load()
        except BaseException:
            found.close()
            raise


JSON: dict[str, type] = {"config": dict, "relation": dict, "unknown": dict, "blocks": list, "dials": list}


def _check_attributes(given: Mapping[str, Any]) -> None:
    """Raises ValueError for an attribute in JSON that is of another kind."""
    for name, kind in JSON.items():
        if name in given and not isinstance(parse_json(str(given[name])), kind):
            raise ValueError(f"attribute {name} is no JSON {'object' if kind is dict else 'array'}")


def _check_kinds(dtypes: Mapping[str, np.dtype]) -> None:
    """Raises ValueError for a field of what is no number, but for the names of starts."""
    for name, dtype in dtypes.items():
        allowed, words = ("OU", "words") if name == "start" else ("biuf", "numbers")
        if (name in SCHEMA or name in COORDINATES) and dtype.kind not in allowed:
            raise ValueError(f"{name} must be {words}, which is {dtype}")


def observations(**arrays: ArrayLike) -> xr.Dataset:
    """Observations of attention that is at hand, for `check_dataset` and `plot`: arrays as a FILE.npz holds them.

    `attention` (..., queries, keys) or `logits`, and `block` (tokens,) suffice; `npz_format.FORMAT` says what else may
    be there. Leading axes are setting (a text each, say), layer, head. Raises BadInput as the command does of a file.
    """
    return _dataset("your arrays", {name: np.asarray(value) for name, value in arrays.items()})


def _from_npz(path: Path, lazy: bool) -> xr.Dataset:
    members = directory(path)
    if not members:
        raise BadInput(f"FILE.npz must hold attention, logits or row fields, got {str(path)!r} without arrays")
    return _dataset(path, read_arrays(path, members, lazy and not is_own(members)))


def _dataset(path: Path | str, arrays: Mapping[str, np.ndarray]) -> xr.Dataset:
    """Of row fields, or of attention."""
    blocks = ""
    if is_own(arrays):
        arrays, blocks = observed(arrays)
    dataset = _from_arrays(path, arrays)
    return dataset.assign_attrs(blocks=blocks) if blocks else dataset


UNSWEPT = {"penalty": np.nan, "seed": 0, "start": "observed"}
"""The setting of observations that do not say theirs."""


def _check_numbers(name: str, values: np.ndarray, sizes: set[int]) -> None:
    size = max(sizes, default=1)
    whole = values.dtype.kind in "iu" and values.shape == (size,) and bool((values >= 0).all())
    if not whole or np.unique(values).size != size:
        allowed = f"{size} whole numbers >= 0, one a {name}" + (", each once" if whole else "")
        raise BadInput(f"{name} must be {allowed}, got {values.tolist()}")


def _check_room(path: Path | str, fields: Mapping[str, tuple[tuple[str, ...], np.ndarray]]) -> None:
    """Raises BadInput where small arrays span dims together that are not small, a setting each and a query each say."""
    sizes: dict[str, int] = {}
    for dims, values in fields.values():
        for dim, size in zip(dims, values.shape):
            sizes[dim] = max(size, sizes.get(dim, 1))
    laid_out = 8 * sum(math.prod(sizes[dim] for dim in dims) for dims, _ in fields.values())
    with foreign(MUST, path):
        unpacked_within(laid_out, sum(values.nbytes for _, values in fields.values()))
        _check_kinds({name: values.dtype for name, (_, values) in fields.items()})


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
    _check_room(path, fields)
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
