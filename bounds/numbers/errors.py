"""The one error for input that cannot be used, and the names that may have been meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

START, END = 1_200, 300
SHOWN = 3
"""Names that a refusal tells at most."""


class BadInput(ValueError):
    """`NAME must be WHAT IS ALLOWED, got VALUE`, in one line; the command line prints it and exits 2.

    Of a value that takes pages the start and the end are said.
    """

    def __init__(self, words: str):
        super().__init__(words if len(words) <= START + END else f"{words[:START]} ... {words[-END:]}")


def meant(name: str, known: Iterable[str]) -> str:
    """The end of a refusal of a name: the one that was meant, or those nearest to it."""
    known = tuple(known)
    if close := difflib.get_close_matches(name[:80], known, n=1, cutoff=0.5):
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(known)}" if len(known) <= SHOWN else f"; nearest: {nearest(name, known)}"


def nearest(name: str, known: Iterable[str]) -> str:
    """The known names that `name` is most like: those alike, or else the three least unlike."""
    name, known = name[:80], tuple(known)
    alike = difflib.get_close_matches(name, known, SHOWN)
    return ", ".join(alike or difflib.get_close_matches(name, known, SHOWN, cutoff=0.0))
