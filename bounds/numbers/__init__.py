"""Argument checks, search on the safe side, the one error for bad input, where the repository is."""
