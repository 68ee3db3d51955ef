"""Files of observations: what they claim is refused before room is made for it, and a byte that changed is noticed."""

from __future__ import annotations

import struct
import zipfile

import h5py
import numpy as np
import pytest
import xarray as xr

from empirical.cli import main
from empirical.cli.exits import BAD_INPUT
from empirical.errors import BadInput
from empirical.observe.files import open_observations, save_dataset


def npz(path, shape=(2, 2), stored=32, kind="<f8", compress=zipfile.ZIP_STORED, name="leakage.npy", times=1):
    """An archive whose header claims a shape, and which holds that many bytes."""
    header = repr({"descr": kind, "fortran_order": False, "shape": shape}).encode().ljust(117) + b"\n"
    with zipfile.ZipFile(path, "w", compress) as archive:
        for _ in range(times):
            content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(stored)
            archive.writestr(name, content)
    return path


def own(path, save=np.savez):
    blocks = {"query_block": np.arange(6) % 2, "key_block": np.arange(8) % 2}
    save(path, logits=np.random.default_rng(0).normal(size=(2, 6, 8)), **blocks)
    return open_observations(path)


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"shape": (10**6, 10**6)}, "claims 1,000,000,000,000 entries"),
        ({"shape": (2**62, 2**62)}, "claims"),
        ({"shape": (-1, 4)}, "must not be empty"),
        ({"shape": (0, 10**12), "stored": 0}, "must not be empty"),
        ({"kind": "|V0", "shape": (10**12,), "stored": 0}, "leakage is of"),
        ({"kind": "<U0", "shape": (10**12,), "stored": 0}, "leakage is of <U0"),
        ({"kind": "<c16", "stored": 64}, "leakage is of complex128"),
        ({"kind": "<U2"}, "leakage must be numbers"),
        ({"shape": "(" * 4000, "kind": "("}, ""),
        ({"times": 2}, "each once"),
        ({"name": "leakage.txt"}, "must be NAME.npy"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_arrays_are_refused_by_what_they_claim(tmp_path, given, said, lazy):
    with pytest.raises(BadInput, match=f"FILE.npz must hold plain numeric arrays, got .*{said}"):
        open_observations(npz(tmp_path / "file.npz", **given), lazy)
    assert open_observations(npz(tmp_path / "good.npz"), lazy)["leakage"].size == 4


def test_an_archive_that_inflates_is_refused_before_it_does(tmp_path, monkeypatch):
    path = npz(tmp_path / "file.npz", (2**10, 2**10), 2**23, compress=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 2**15
    assert open_observations(path)["leakage"].size == 2**20
    monkeypatch.setattr("empirical.files.UNPACKED", 2**22)
    monkeypatch.setattr("empirical.observe.files.read_arrays", lambda *_: pytest.fail("unpacked"))
    with pytest.raises(BadInput, match=r"arrays must unpack to at most 4,194,304 bytes, which is 8,388,736"):
        open_observations(path)


def test_arrays_that_are_small_do_not_grow_together(tmp_path):
    np.savez_compressed(tmp_path / "file.npz", fidelity=np.zeros(2**20), penalty=np.zeros(2**20))
    with pytest.raises(BadInput, match="arrays must unpack to at most"):
        open_observations(tmp_path / "file.npz")


@pytest.mark.filterwarnings("ignore:The 'phony_dims'")
def test_a_netcdf_file_that_claims_more_than_it_holds_is_refused(tmp_path):
    with h5py.File(tmp_path / "rows.nc", "w") as file:
        file.create_dataset("leakage", (10**6, 10**6), "f8", chunks=(1000, 1000), compression="gzip")
    for lazy in (False, True):
        with pytest.raises(BadInput, match=r"netCDF file of observations, got .*must unpack to at most"):
            open_observations(tmp_path / "rows.nc", lazy)


def test_a_number_of_anchors_that_is_none_is_refused(tmp_path):
    for bad in (np.nan, np.inf, 1.5):
        np.savez(tmp_path / "own.npz", logits=np.zeros((2, 2)), query_block=[0, 1], key_block=[0, 1], n_anchors=bad)
        with pytest.raises(BadInput, match="n_anchors must be a whole number >= 1, got"):
            open_observations(tmp_path / "own.npz")


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("name", ["rows.npz", "rows.nc"])
def test_a_number_that_changed_in_the_file_is_noticed(name, tmp_path, lazy):
    """Though it is stored as it is, and mapped or read only when it is used."""
    dataset, path = own(tmp_path / "own.npz"), tmp_path / name
    if name == "rows.nc":
        save_dataset(dataset, path)
    else:
        np.savez(path, **{str(n): dataset[n].values for n in dataset.data_vars})
    assert open_observations(path, lazy)["entropy_nats"].size == dataset["entropy_nats"].size
    broken = bytearray(path.read_bytes())
    broken[broken.index(dataset["entropy_nats"].values.ravel()[3].tobytes())] ^= 1
    path.write_bytes(broken)
    with pytest.raises(BadInput, match=r"FILE.* must .*, got .*(Bad CRC-32|what its digest is of)"):
        open_observations(path, lazy)
    assert main(["check", str(path)]) == BAD_INPUT


def test_a_netcdf_file_is_read_by_others_and_one_of_others_is_read(tmp_path):
    dataset = own(tmp_path / "own.npz")
    save_dataset(dataset, tmp_path / "ours.nc")
    with xr.open_dataset(tmp_path / "ours.nc", engine="h5netcdf") as theirs:
        xr.testing.assert_identical(theirs.load(), open_observations(tmp_path / "ours.nc"))
    dataset.to_netcdf(tmp_path / "theirs.nc", engine="h5netcdf")
    xr.testing.assert_identical(open_observations(tmp_path / "theirs.nc"), open_observations(tmp_path / "ours.nc"))
