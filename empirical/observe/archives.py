"""The arrays of an .npz: what it claims is held against what it has before room is made for it, and all is checksummed.

directory -> bytes of each member;  its header -> shape, dtype;  entries times itemsize = the bytes that follow
"""

from __future__ import annotations

import math
import struct
import zipfile
from pathlib import Path
from typing import IO

import numpy as np

from empirical.files import foreign, unpacked_within

MUST = "FILE.npz must hold plain numeric arrays"
CHUNK = 2**22
KINDS = "biufU"  # booleans, numbers, and words: names of starts and blocks
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
Header = tuple[tuple[int, ...], bool, np.dtype]


def directory(path: Path) -> dict[str, zipfile.ZipInfo]:
    """Name -> where its array lies. Raises BadInput for what is no .npz, or unpacks to more than the limits."""
    with foreign(MUST, path), zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        unpacked_within(sum(member.file_size for member in members), path.stat().st_size)
        names = [member.filename for member in members]
        if len({*names}) < len(names) or not all(name.endswith(".npy") for name in names):
            raise ValueError("members must be NAME.npy, each once")
        return {member.filename.removesuffix(".npy"): member for member in members}


def read_arrays(path: Path, members: dict[str, zipfile.ZipInfo], mapped: bool = False) -> dict[str, np.ndarray]:
    """The arrays, none empty. With `mapped`, those that `numpy.savez` left uncompressed stay where they lie.

    Raises BadInput for an array that is not as its header says, or whose checksum is another's.
    """
    with foreign(MUST, path), zipfile.ZipFile(path) as archive:
        return {name: _read(archive, path, name, member, mapped) for name, member in members.items()}


def _read(archive: zipfile.ZipFile, path: Path, name: str, member: zipfile.ZipInfo, mapped: bool) -> np.ndarray:
    with archive.open(member) as stream:
        shape, fortran, dtype = _header(stream, name, member.file_size)
        start, order = stream.tell(), "F" if fortran else "C"
        if mapped and member.compress_type == zipfile.ZIP_STORED and dtype.isnative and dtype.kind != "U":
            while stream.read(CHUNK):  # to its end, where the checksum is
                pass
            return np.memmap(path, dtype, "r", _begins(path, member) + start, shape, order)
        flat = np.empty(math.prod(shape), dtype)
        room, at = flat.view(np.uint8), 0
        while part := stream.read(CHUNK):
            room[at : at + len(part)] = np.frombuffer(part, np.uint8)
            at += len(part)
    if at != room.size:
        raise ValueError(f"{name} ends after {at:,} of {room.size:,} bytes")
    if dtype.kind == "U":
        "".join(flat.tolist()).encode()  # raises ValueError for what is no text
    return flat.reshape(shape, order=order).astype(dtype.newbyteorder("="), copy=False)


def _header(stream: IO[bytes] | zipfile.ZipExtFile, name: str, size: int) -> Header:
    """Raises ValueError unless the entries that it claims are the bytes that follow."""
    read = HEADERS.get(np.lib.format.read_magic(stream))
    if read is None:
        raise ValueError(f"{name} is of an unknown version")
    shape, fortran, dtype = read(stream)
    if dtype.kind not in KINDS or not dtype.itemsize:
        raise ValueError(f"{name} is of {dtype}")
    entries = math.prod(shape)
    if min(shape, default=1) < 1:
        raise ValueError(f"{name} has shape {shape}, which must not be empty")
    if entries * dtype.itemsize != size - stream.tell():
        raise ValueError(f"{name} claims {entries:,} entries of {dtype.itemsize} bytes in {size:,} bytes")
    return shape, fortran, dtype


def _begins(path: Path, member: zipfile.ZipInfo) -> int:
    """Of a local header's 30 bytes the last four are the lengths of a name and of what comes before the content."""
    with path.open("rb") as file:
        file.seek(member.header_offset + 26)
        return file.tell() + 4 + sum(struct.unpack("<HH", file.read(4)))
