"""Fields of a configuration: default, what a value may be, what it means, and the task that it is of."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import field, fields
from typing import Any

from empirical.errors import BadInput


def described(default: Any, allowed: str, check: Callable[[Any], bool], meaning: str, task: str = "") -> Any:
    """A field with what it may be and what it means, and the task that it is of, where it is not of both."""
    return field(default=default, metadata={"allowed": allowed, "check": check, "meaning": meaning, "task": task})


def is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def whole(default: int, least: int, most: int, meaning: str, task: str = "") -> Any:
    allowed = f"a whole number in [{least}, {most}]"
    return described(default, allowed, lambda v: is_whole(v) and least <= v <= most, meaning, task)


def positive(default: float | None, meaning: str, task: str = "") -> Any:
    def good(value: Any) -> bool:
        return (default is None and value is None) or (is_number(value) and value > 0)

    return described(default, "a finite number > 0", good, meaning, task)


def flag(meaning: str, task: str = "") -> Any:
    return described(False, "true or false", lambda v: isinstance(v, bool), meaning, task)


def choice(default: str, *choices: str, meaning: str, task: str = "") -> Any:
    allowed = " or ".join(map(repr, choices))
    return described(default, allowed, lambda v: isinstance(v, str) and v in choices, meaning, task)


def several(default: tuple[Any, ...] | None, allowed: str, check: Callable[[Any], bool], meaning: str) -> Any:
    def each_once(values: Any) -> bool:
        good = isinstance(values, tuple) and len(values) > 0 and all(check(v) for v in values)
        return (default is None and values is None) or (good and len(set(values)) == len(values))

    return described(default, f"a list of {allowed}, not empty, each once", each_once, meaning)


class Validated:
    """Checks every field of a section against its own metadata."""

    section = ""
    __no_type_check__ = True  # by anything else, which would refuse in other words

    def __post_init__(self) -> None:
        for item in fields(self):  # pyright: ignore[reportArgumentType]
            value, good = getattr(self, item.name), item.metadata.get("check")
            if good is not None and not good(value):
                raise BadInput(f"{self.section}.{item.name} must be {item.metadata['allowed']}, got {value!r}")
