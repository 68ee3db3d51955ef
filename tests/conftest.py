"""Tests are the same on every machine: one torch thread, hypothesis without deadlines and without chance."""

from __future__ import annotations

import os

from hypothesis import settings

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("MPLBACKEND", "Agg")

settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")
