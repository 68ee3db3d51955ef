"""The joint frontier says -inf where no row has the leakage, and only there."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest

from bounds import frontier


def exact_ceiling(margin: float, n: int, m: int, r: int, tau: float) -> mpmath.mpf:
    return (n - m) / (n - m + r * mpmath.exp(mpmath.mpf(margin) / mpmath.mpf(tau)))


def test_a_leakage_that_some_row_has_is_attainable_at_any_margin():
    """The largest float64 not above the exact ceiling, at scaled margins up to 740, for free keys or none."""
    rng = np.random.default_rng(0)
    for _ in range(600):
        m = int(rng.integers(1, 200))
        n, r = m + int(rng.integers(1, 400)), int(rng.integers(1, m + 1))
        tau = float(rng.uniform(0.2, 4))
        margin = float(rng.choice([-1, 1], p=[0.2, 0.8]) * rng.choice([1, 20, 60, 300, 740]) * rng.random() * tau)
        with mpmath.workdps(40):
            ceiling = exact_ceiling(margin, n, m, r, tau)
            leakage = float(ceiling)
            leakage = leakage if mpmath.mpf(leakage) <= ceiling else math.nextafter(leakage, 0)
        found = frontier(leakage, margin, n, m, r, tau)
        assert np.isfinite(found), (leakage, margin, n, m, r, tau)
        if leakage < (beyond := leakage * (1 + 1e-11)) < 1:
            assert frontier(beyond, margin, n, m, r, tau) == -math.inf


def test_the_reported_leakage_has_its_entropy():
    reported = (2.8048728604561707e-08, 32.0905822623329, 292, 102, 74, 1.7504958284746704)
    assert frontier(*reported) == pytest.approx(4.304, abs=1e-3)
