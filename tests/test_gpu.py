"""On a CUDA device: the same numbers as on the CPU, to float64 rounding amplified by some hundred steps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small import SMALL, TOPICS, configured

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine"),
]


def test_blocks_agree_with_the_cpu():
    from empirical.train import localise, train

    on_cpu, on_gpu = configured(SMALL), configured(SMALL, sweep={"device": "cuda"})
    one, two = localise(on_cpu, 1), localise(on_gpu, 1)
    np.testing.assert_allclose(one["critical"], two["critical"], rtol=1e-7)
    penalties = (0.9 * float(one["critical"]), 1.1 * float(one["critical"]))
    a, b = train(on_cpu, 1, "localised", penalties, one), train(on_gpu, 1, "localised", penalties, two)
    for name in ("fidelity", "entropy_nats", "group_norm", "loss_train"):
        np.testing.assert_allclose(a[name], b[name], rtol=1e-5, atol=1e-7)
    assert ((a["group_norm"] == 0) == (b["group_norm"] == 0)).all()


def test_topics_run_in_single_precision():
    from empirical.train import train

    arrays = train(configured(TOPICS, model={"dtype": "float32"}, sweep={"device": "cuda"}), 1, "random", (0.0, 0.1))
    assert np.isfinite(arrays["loss_heldout"]).all()
    assert arrays["valid"].all()


def test_rows_are_observed_alike():
    from empirical.observe import row_statistics

    logits = torch.randn(64, 33, dtype=torch.float64) * 20
    own = torch.arange(33) < 8
    one = row_statistics(logits, own, torch.ones_like(own), 3, 0.7)
    two = row_statistics(logits.cuda(), own.cuda(), torch.ones_like(own).cuda(), 3, 0.7)
    for name, value in one.items():
        torch.testing.assert_close(value, two[name].cpu(), rtol=1e-12, atol=1e-300)
