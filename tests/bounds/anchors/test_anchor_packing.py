"""Anchors packed on the sphere: known optima and the proved limit."""

from __future__ import annotations

import math

import numpy as np
import pytest

import bounds
from bounds.anchors.packing import Packing, pack, search, separation


@pytest.mark.parametrize(
    ("blocks", "dim", "cosine"),
    [
        (5, 2, math.cos(2 * math.pi / 5)),
        (6, 2, 0.5),
        (7, 3, math.cos(math.radians(77.8695421554))),  # Schuette and van der Waerden 1951
        (12, 3, 1 / math.sqrt(5)),
        (16, 5, 0.2),  # Clebsch
        (24, 4, 0.5),
    ],
)
def test_the_search_finds_known_optima(blocks, dim, cosine):
    vectors = search(blocks, dim, seed=0, restarts=24)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=0, atol=4e-16)
    assert separation(vectors)[0] == pytest.approx(cosine, abs=1e-9)


@pytest.mark.parametrize("blocks", range(2, 14))
@pytest.mark.parametrize("dim", [2, 3, 4, 7])
def test_no_packing_is_below_the_proved_limit(blocks, dim):
    packing = pack(blocks, dim, restarts=1)
    assert packing.coherence >= packing.limit == bounds.coherence_floor(blocks, dim)
    constructed = blocks <= 2 * dim or dim == 2
    assert packing.optimal == constructed  # and nothing else of these meets a proved limit
    pairs = np.triu_indices(blocks, 1)
    assert (packing.vectors @ packing.vectors.T)[pairs].max() <= packing.coherence
    apart, together = (
        np.linalg.norm(packing.vectors[pairs[0]] + s * packing.vectors[pairs[1]], axis=1) for s in (-1, 1)
    )
    assert 0 <= (2 * np.arctan2(apart, together)).min() - packing.phi < 1e-12


def test_an_angle_keeps_its_digits_beside_pi():
    packing = pack(2, 3)
    assert math.pi - 1e-12 < packing.phi < math.pi
    assert pack(3, 3).phi == pytest.approx(2 * math.pi / 3, abs=1e-12)


def test_a_packing_is_optimal_only_where_it_meets_the_limit():
    near = Packing(np.eye(2), 0.3 + 2e-9, 1.2, 0.3, "search", 1)
    assert not near.optimal
    assert Packing(np.eye(2), 0.3 + 1e-10, 1.2, 0.3, "search", 1).optimal


def test_equal_seeds_give_equal_vectors():
    one, two, other = (pack(20, 4, seed=seed, restarts=3).vectors for seed in (5, 5, 6))
    assert (one == two).all()
    assert (one != other).any()


def test_larger_ones_are_well_apart():
    assert pack(64, 16, restarts=2).coherence < 0.14  # 2500 random anchors in 16 dimensions: about 0.8
    assert separation(np.eye(300)[:, :299][:1].repeat(2, 0)) == (1.0, 0.0)
