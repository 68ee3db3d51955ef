"""How annotations are checked at run time: an int is a number where a float is wanted, as type checkers have it."""

from __future__ import annotations

from typing import Any

from beartype import BeartypeConf, beartype

WANTED = True
"""Whether functions made from now on are checked; the checker keeps something of each for good."""
_check = beartype(conf=BeartypeConf(is_pep484_tower=True))


def checked(made: Any) -> Any:
    """A function or class with its annotations checked at every call."""
    return _check(made) if WANTED else made
