"""Files written whole or not at all, and the limits of every reader.

A file from elsewhere may ask for anything: its bytes, depth, digits and entries are limited before room is made for
them, and whatever a format's own reader raises on them is a refusal.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import tomllib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from empirical.errors import BadInput

TEMPORARY = ".part"

LARGEST_SOURCE = 2**17  # bytes of what a person writes: a configuration, rules
LARGEST_TEXT = 2**26  # bytes of what a program writes: a study, an index
LARGEST_CORPUS = 2**30  # bytes of documents, of a topic's text
MOST_PARTS = 2**22  # commas and brackets of one JSON text
DEEPEST = 64  # tables and lists within each other, and parts of a dotted key
DIGITS = 20  # of a whole number, which is below 2**63
UNPACKED, RATIO = 2**30, 100  # bytes that a file unpacks to: at most that, or that many times its own
LONGEST = 300  # letters of what a library says that are passed on
QUIET = re.compile(  # strings and comments of TOML; what is not closed ends with its line, or with the text
    r'''"""(?:\\.?|[^\\])*?(?:"{3,5}|\Z)|\'{3}.*?(?:\'{3,5}|\Z)|"(?:\\.|[^"\\\n])*"?|'[^'\n]*'?|#[^\n]*''', re.DOTALL
)
TOO_DEEP = f"nested deeper than {DEEPEST}"


def usable_folder(folder: Path, new: bool = False) -> None:
    """Raises BadInput for what no folder can be made of or written to, or (`new`) holds something; makes nothing."""
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"--out must be a folder, got the file {str(folder)!r}")
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.R_OK | os.W_OK | os.X_OK):
        reason = os.strerror(errno.EACCES if there.is_dir() else errno.ENOTDIR)
        raise BadInput(f"--out must be a writable folder, got {str(folder)!r} ({reason})")
    held = sorted(path.name for path in folder.iterdir()) if new and folder.exists() else []
    if held:
        raise BadInput(f"--out must be a new or empty folder, got {str(folder)!r} with {held[0]!r}")


def make_folder(folder: Path) -> None:
    """The folder, where it is not there yet. Raises BadInput where it cannot be."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise BadInput(f"--out must be a folder, got the file {str(folder)!r}") from None
    except OSError as error:
        raise BadInput(f"--out must be a writable folder, got {str(folder)!r} ({error.strerror})") from None


def write_atomically(path: Path, content: bytes) -> None:
    """The whole file or none: written beside it, flushed to disk, renamed. Raises BadInput where the disk is full."""
    temporary = path.with_name(path.name + TEMPORARY)
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
            raise BadInput(
                f"--out must be a writable folder with room for {len(content):,} bytes, got {str(path.parent)!r} "
                f"({error.strerror})"
            ) from None
        raise


def reason(error: BaseException) -> str:
    """One line of what an error says, of a length that a terminal can show."""
    said = getattr(error, "strerror", None) or (str(error).strip().splitlines() or [""])[0] or type(error).__name__
    return said if len(said) <= LONGEST else f"{said[:LONGEST]} ..."


@contextmanager
def foreign(must: str, path: Path | str) -> Generator[None, None, None]:
    """Inside, a format's own reader meets a file from elsewhere: whatever it raises is a refusal, `must`, got the path.

    What libraries raise on broken bytes cannot be told from their bugs, so nothing of ours belongs inside.
    """
    try:
        yield
    except BadInput:
        raise
    except Exception as error:
        raise BadInput(f"{must}, got {str(path)!r} ({reason(error)})") from None


def read_bytes(path: Path, name: str, kind: str, most: int) -> bytes:
    """The content. Raises BadInput, "NAME must be a readable KIND", for a file that cannot be read or is larger."""
    try:
        with open(path, "rb") as file:
            content = file.read(most + 1)
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        raise BadInput(f"{name} must be a readable {kind}, got {str(path)!r} ({reason(error)})") from None
    if len(content) > most:
        raise BadInput(f"{name} must be a readable {kind} of at most {most:,} bytes, got more in {str(path)!r}")
    return content


def read_text(path: Path, name: str, kind: str, most: int) -> str:
    """The content as text, lines ended by a newline. Raises BadInput as `read_bytes`, and for what is no UTF-8."""
    try:
        return read_bytes(path, name, kind, most).decode().replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise BadInput(f"{name} must be a {kind}, got {str(path)!r} ({reason(error)})") from None


def read_object(path: Path, name: str, kind: str = "JSON file") -> dict[str, Any]:
    """Plain values by key. Raises BadInput for what cannot be read, is no JSON object, or is beyond the limits."""
    with foreign(f"{name} must be a readable {kind}", path):
        found = parse_json(read_bytes(path, name, kind, LARGEST_TEXT))
    if not isinstance(found, dict):
        raise BadInput(f"{name} must be a readable {kind}, got {str(path)!r} ({type(found).__name__}, no object)")
    return cast("dict[str, Any]", found)


def parse_json(text: str | bytes) -> Any:
    """Plain values. Raises ValueError for what is no JSON, or is beyond the limits."""
    try:
        said = text if isinstance(text, str) else text.decode()
        if sum(map(said.count, ",[{")) > MOST_PARTS:
            raise ValueError(f"more than {MOST_PARTS:,} parts")
        return _within_limits(json.loads(said, parse_int=_whole))
    except UnicodeDecodeError:
        raise ValueError("no UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"no JSON: {error}") from None
    except RecursionError:
        raise ValueError(TOO_DEEP) from None


def parse_toml(text: str) -> dict[str, Any]:
    """Plain values. Raises ValueError for what is no TOML, or is beyond the limits."""
    if any(key.count(".") >= DEEPEST for key in _KEY.findall(QUIET.sub('""', text))):
        raise ValueError(TOO_DEEP)  # to read a key takes as long as its parts squared
    try:
        return _within_limits(tomllib.loads(text))
    except RecursionError:
        raise ValueError(TOO_DEEP) from None


_KEY = re.compile(rf"[^=,\[\]{{}}\n]{{{2 * DEEPEST},}}")
_SURROGATE = re.compile("[\ud800-\udfff]")


def _whole(digits: str) -> int:
    if len(digits) > DIGITS:
        raise ValueError(f"a whole number of {len(digits):,} digits")
    return int(digits)


def unpacked_within(size: int, on_disk: int) -> None:
    """Raises ValueError where arrays of a file would take more room than it may ask for."""
    most = max(UNPACKED, RATIO * on_disk)
    if size > most:
        raise ValueError(f"arrays must unpack to at most {most:,} bytes, which is {size:,}")


class Beyond(ValueError):
    """A value beyond the limits, and the keys and places that lead to it, if it is one value."""

    def __init__(self, words: str, path: tuple[str | int, ...] = ()):
        super().__init__(f"{'.'.join(map(str, path))}: {words}" if path else words)
        self.path = path


def _within_limits(found: Any) -> Any:
    """The value. Raises Beyond where it is nested too deep, or holds a number or a string that nothing can take."""
    left: list[tuple[Any, int, Any]] = [(found, 0, ())]
    while left:
        value, depth, link = left.pop()
        if depth > DEEPEST:
            raise Beyond(TOO_DEEP)
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise Beyond(f"a whole number of {value.bit_length():,} bits, beyond 64", _path(link))
        if isinstance(value, str) and _SURROGATE.search(value):
            raise Beyond("half of a pair of surrogates", _path(link))
        if isinstance(value, dict):
            left += [(key, depth, link) for key in cast("dict[str, Any]", value)]
        if isinstance(value, dict | list):
            parts = (
                cast("dict[str, Any]", value).items()
                if isinstance(value, dict)
                else enumerate(cast("list[Any]", value))
            )
            left += [(part, depth + 1, (link, step)) for step, part in parts]
    return found


def _path(link: Any) -> tuple[str | int, ...]:
    return (*_path(link[0]), link[1]) if link else ()


def sealed(content: bytes) -> bytes:
    """The content, and in a last line the digest of it: readers of HDF5 stop before."""
    return content + MARK + hashlib.sha256(content).hexdigest().encode() + b"\n"


def is_broken(path: Path) -> bool:
    """Whether a last line of `sealed` is that of other content; a file without one is taken as it is."""
    with path.open("rb") as file:
        start = max(0, file.seek(0, os.SEEK_END) - 2 * SEAL)
        file.seek(start)
        end = file.read()
        at, digest = end.rfind(MARK), hashlib.sha256()
        if at < 0:
            return False
        file.seek(0)
        left = start + at
        while left and (part := file.read(min(left, 2**20))):
            digest.update(part)
            left -= len(part)
    return end[at:] != MARK + digest.hexdigest().encode() + b"\n"


def json_digest(plain: Any) -> str:
    """sha256 of plain values, whatever the order of keys."""
    return hashlib.sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def with_seal(plain: dict[str, Any]) -> dict[str, Any]:
    """The values as they are read again, and their digest as `seal`."""
    values = json.loads(json.dumps(plain, allow_nan=False))
    return {**values, "seal": json_digest(values)}


def seal_is_broken(found: dict[str, Any]) -> bool:
    """Whether values read are not those that were sealed; those of a release without seals are taken as they are."""
    return "seal" in found and found["seal"] != json_digest({k: v for k, v in found.items() if k != "seal"})


MARK = b"\nlocalist sha256 "
SEAL = len(MARK) + 65


def printable(text: str) -> str:
    """The text as a terminal or a figure can show it: what would steer either is written out."""
    return _STEERING.sub(lambda found: found[0].encode("unicode_escape", "surrogatepass").decode(), text)


def one_line(name: object) -> str:
    """A name, or what quotes names, as `printable`, in one line."""
    return printable(str(name)).replace("\n", "\\n").replace("\t", "\\t")


_STEERING = re.compile(  # control characters, what ends lines or turns their direction, halves of pairs
    "[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
