"""Rules as TOML, checked before they are loaded, and a rule file that is followed while a generator runs.

    [[rule]]
    name = "..."
    trigger = { block = 0 }      # or { words = ["a"] } or { always = true }: the queries that it acts on
    target = { block = 2 }       # or { words = [...] }: the keys that it raises
    strength = 41.5              # logits
    mass = 0.9                   # of attention, promised to the target
    priority = 1                 # default 0; the higher wins
    layers = [0, 1]              # default: all

    [relevance]                              # where blocks have names: what their queries may see
    sees = { answer = ["system", "user"] }   # beside their own block
    keep = ["tags", "none"]                  # visible to all; none: tokens of no block

Every refusal is a BadInput that starts with FILE:LINE: a key stands where the first statement begins that, with all
before it, defines it (in an inline array of tables: where that starts). Nothing in a file is evaluated.
"""

from __future__ import annotations

import math
import re
import sys
import tomllib
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from bounds.numbers.errors import meant
from empirical.errors import BadInput
from empirical.files import LARGEST_SOURCE, QUIET, Beyond, parse_toml, printable, read_bytes, reason
from empirical.observe.relevance import Relation, Unnamed, relation_of
from empirical.rules.book import RuleBook
from empirical.rules.checks import Refused, Rule, Selector
from empirical.rules.site import Site

KEYS = ("name", "trigger", "target", "strength", "mass", "priority", "layers")
DEFAULTS: dict[str, Any] = {"priority": 0, "layers": None}
RELEVANCE = ("sees", "keep")
KINDS = {"trigger": ("block", "words", "always"), "target": ("block", "words")}
KeyPath = tuple[str | int, ...]
Verified = TypeVar("Verified")


def load_rules(path: str | Path, site: Site) -> RuleBook:
    """The verified rules of a file. Raises BadInput for a file that cannot be read, and as `parse_rules` does."""
    return parse_rules(read_rules(Path(path)), site, str(path))


def read_rules(path: Path) -> bytes:
    """The bytes of a rule file. Raises BadInput where it cannot be read."""
    return read_bytes(path, "RULES", "TOML file", LARGEST_SOURCE)


def parse_rules(text: str | bytes, site: Site, file: str = "rules") -> RuleBook:
    """The verified rules of a text; none in an empty one. Raises BadInput: FILE:LINE, the value, what is allowed."""
    return lined(text, file, lambda rules, _: RuleBook(rules, site))


def lined(
    text: str | bytes,
    file: str,
    verified: Callable[[tuple[Rule, ...], Relation | None], Verified],
    names: Sequence[str] = (),
) -> Verified:
    """What `verified` makes of the rules of a text, and of its relevance if it has one.

    Its `Refused`, and all that is no rule, with FILE:LINE. Where blocks have `names`, a rule may speak of them by name;
    it then has their index. Relevance is of blocks that have names.
    """
    source = _decoded(text, file) if isinstance(text, bytes) else text
    source = source.replace("\r\n", "\n")
    try:
        tables = parse_toml(source)
    except ValueError as error:
        raise BadInput(f"{file}:{_line(source, error)}: rules must be TOML, got {reason(error)}") from None
    try:
        rules, relation = _rules(tables, names), _relevance(tables, names)
    except _Wrong as wrong:
        raise BadInput(f"{file}:{line_of(source, wrong.path)}: {wrong}") from None
    try:
        return verified(rules, relation)
    except Refused as refused:
        raise BadInput(f"{file}:{line_of(source, ('rule', refused.rule, refused.key))}: {refused}") from None


def _decoded(content: bytes, file: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise BadInput(f"{file}:{line}: rules must be UTF-8 text, got byte 0x{content[error.start]:02x}") from None


def _line(source: str, error: ValueError) -> int:
    """Where the text is no TOML, or beyond the limits; its end where that is not known."""
    if isinstance(error, Beyond) and error.path:
        return line_of(source, error.path)
    place = re.search(r"at line (\d+)", str(error))
    return int(place[1]) if place else source.rstrip("\n").count("\n") + 1


def line_of(source: str, path: KeyPath) -> int:
    """The line, from 1, of the key at the path; of what holds it where it is not given itself."""
    whole = tomllib.loads(source)
    while not _holds(whole, path):
        path = path[:-1]
    starts = _statements(source)
    ends = [*starts[1:], len(source)]
    first = bisect_left(range(len(starts)), True, key=lambda at: _holds(tomllib.loads(source[: ends[at]]), path))
    return source.count("\n", 0, starts[first]) + 1


def _statements(source: str) -> list[int]:
    """Where the statements of TOML begin: at the start of a line that is not inside a value."""
    starts, depth = [0], 0
    for token in _TOKEN.finditer(source):
        depth += (token[0] in "[{") - (token[0] in "]}")
        if token[0] == "\n" and not depth:
            starts.append(token.end())
    return starts


_TOKEN = re.compile(rf"{QUIET.pattern}|[\[\]{{}}\n]", QUIET.flags)


def _holds(found: Any, path: KeyPath) -> bool:
    for step in path:
        try:
            found = found[step]
        except (KeyError, IndexError, TypeError):
            return False
    return True


class _Wrong(Exception):
    """A value that is no rule's, and where it stands."""

    def __init__(self, path: KeyPath, words: str):
        super().__init__(words)
        self.path = path


def _rules(tables: Mapping[str, Any], names: Sequence[str]) -> tuple[Rule, ...]:
    _known(tables, ("rule", "relevance"), (), "rules")
    given = tables.get("rule", [])
    if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
        raise _Wrong(("rule",), f"rule must be an array of tables, each [[rule]], got {given!r}")
    return tuple(_rule(i, each, names) for i, each in enumerate(given))


def _relevance(tables: Mapping[str, Any], names: Sequence[str]) -> Relation | None:
    """Of blocks by name; none where nothing is said of it."""
    if "relevance" not in tables:
        return None
    given, path = tables["relevance"], ("relevance",)
    if not names:
        raise _Wrong(
            path, "relevance must be of blocks that have names, those of a checkpoint's text, got a model's own"
        )
    if not isinstance(given, dict):
        raise _Wrong(path, f"relevance must be a table, got {given!r}")
    _known(given, RELEVANCE, path, "relevance")
    sees, keep = given.get("sees", {}), given.get("keep", [])
    if not isinstance(sees, dict):
        raise _Wrong((*path, "sees"), f"sees must be a table of lists of blocks, got {sees!r}")
    for place, listed in [((*path, "sees", block), keys) for block, keys in sees.items()] + [((*path, "keep"), keep)]:
        if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
            raise _Wrong(place, f"{'.'.join(map(str, place[1:]))} must be a list of blocks, got {listed!r}")
    try:
        return relation_of(sees, keep, names)
    except Unnamed as error:
        raise _Wrong((*path, error.key), str(error)) from None


def _known(given: Mapping[str, Any], known: Sequence[str], path: KeyPath, whose: str) -> None:
    for key in given:
        if key not in known:
            raise _Wrong((*path, key), f"{whose} must have only known keys, got {key!r}{meant(key, known)}")


def _is_number(value: Any) -> bool:
    whole = _is_whole(value) and abs(value) < 2**53  # larger ones need not be a float
    return whole or (isinstance(value, float) and math.isfinite(value))


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _each(value: Any, good: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and len(value) > 0 and all(good(v) for v in value) and len(set(value)) == len(value)


CHECKS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "name": ("words, not empty", lambda v: isinstance(v, str) and v.strip() != ""),
    "strength": ("a finite number", _is_number),
    "mass": ("a finite number", _is_number),
    "priority": ("a whole number", _is_whole),
    "layers": ("a list of whole numbers, not empty, each once", lambda v: _each(v, _is_whole)),
    "block": ("a whole number", _is_whole),
    "words": ("a list of words, not empty, each once", lambda v: _each(v, lambda w: isinstance(w, str))),
    "always": ("true", lambda v: v is True),
}


def _checked(value: Any, key: str, path: KeyPath, whose: str) -> Any:
    allowed, good = CHECKS[key]
    if not good(value):
        raise _Wrong((*path, key), f"{whose} must be {allowed}, got {value!r}")
    return value


def _rule(i: int, given: Mapping[str, Any], names: Sequence[str]) -> Rule:
    name, path = given.get("name"), ("rule", i)
    called = f"rule {name!r}" if isinstance(name, str) else f"rule {i + 1} of the file"
    _known(given, KEYS, path, called)
    for key in KEYS:
        if key not in given and key not in DEFAULTS:
            raise _Wrong(path, f"{called} must have a {key}, got {', '.join(given) or 'an empty table'}")
    values: dict[str, Any] = {**DEFAULTS, **given}
    for key in KEYS:
        if key in KINDS:
            values[key] = _selector(values[key], key, (*path, key), called, names)
        elif key in given:
            _checked(values[key], key, path, f"{key} of {called}")
    layers: list[int] | None = values["layers"]
    values |= {"strength": float(values["strength"]), "mass": float(values["mass"])}
    values["layers"] = None if layers is None else tuple(sorted(layers))
    return Rule(**values)


def _selector(given: Any, key: str, path: KeyPath, called: str, names: Sequence[str]) -> Selector:
    kinds = KINDS[key]
    allowed = " or ".join(f"{{ {kind} = ... }}" for kind in kinds)
    if not isinstance(given, dict):
        raise _Wrong(path, f"{key} of {called} must be {allowed}, got {given!r}")
    _known(given, kinds, path, f"{key} of {called}")
    if len(given) != 1:
        raise _Wrong(
            path, f"{key} of {called} must be {allowed}, one of them, got {', '.join(given) or 'an empty table'}"
        )
    kind = next(iter(given))
    value: Any = given[kind]
    if kind == "block" and names and isinstance(value, str):
        if value not in names:
            raise _Wrong((*path, kind), f"{key}.block of {called} must be one of {', '.join(names)}, got {value!r}")
        value = list(names).index(value)
    _checked(value, kind, path, f"{key}.{kind} of {called}")
    if kind == "block":
        return Selector(block=value)
    return Selector(words=tuple(value)) if kind == "words" else Selector()


def _to_stderr(refusal: str) -> None:
    print(printable(refusal), file=sys.stderr)


class RuleFile:
    """The rules that a file holds now, or held when it last held rules that could be verified.

    `current()` reads the bytes and compares them with those it knows, so that no clock decides. A refusal is reported
    once for each content that is refused; an empty file removes every rule. Whoever writes the file should write it
    elsewhere and rename it: half a file may be verified too. Raises BadInput where the first content is refused.
    """

    def __init__(self, path: str | Path, site: Site, report: Callable[[str], Any] = _to_stderr):
        self.path, self.site, self.report = Path(path), site, report
        self.refusal: str | None = None  # of the content that the file has now
        self._found = read_rules(self.path), ""
        self.book = parse_rules(self._found[0], site, str(path))

    def current(self) -> RuleBook:
        found = self._read()
        if found != self._found:
            self._found, self.refusal = found, None
            content, unreadable = found
            try:
                if unreadable:
                    raise BadInput(unreadable)
                self.book = parse_rules(content, self.site, str(self.path))
            except BadInput as error:
                self.refusal = f"{error}; the rules before stay"
                self.report(self.refusal)
        return self.book

    def _read(self) -> tuple[bytes, str]:
        """What the file holds, or why it cannot be read."""
        try:
            return read_rules(self.path), ""
        except BadInput as error:
            return b"", str(error)
