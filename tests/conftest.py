"""Tests alike on every machine: one torch thread, no deadlines, no chance; shapes and types checked at run time."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("NUMBA_DISABLE_JIT", "1")  # skglm's solver as Python: compiling takes longer than it saves here

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # so in a job in the background, and in what tests start there
    signal.signal(signal.SIGINT, signal.default_int_handler)

install_import_hook("empirical", "shape_checks.checked")


@pytest.fixture
def unsaved(monkeypatch):
    """Figures are made, but not laid out: empty files stand for them where a test is about what is beside them."""
    from empirical.figures import style

    def save(figure, folder, name):
        files = [folder / f"{name}.{kind}" for kind in ("png", "svg")]
        for file in files:
            file.touch()
        return files

    monkeypatch.setattr(style, "save", save)


settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")
