"""The one error for input that cannot be used."""

from __future__ import annotations

START, END = 1_200, 300


class BadInput(ValueError):
    """`NAME must be WHAT IS ALLOWED, got VALUE`, in one line; the command line prints it and exits 2.

    Of a value that takes pages the start and the end are said.
    """

    def __init__(self, words: str):
        super().__init__(words if len(words) <= START + END else f"{words[:START]} ... {words[-END:]}")
