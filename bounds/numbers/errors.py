"""The one error for input that cannot be used."""

from __future__ import annotations


class BadInput(ValueError):
    """`NAME must be WHAT IS ALLOWED, got VALUE`, in one line; the command line prints it and exits 2."""
