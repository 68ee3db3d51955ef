"""The bound on a head's logits stays a bound where its own arithmetic cancels: against rational numbers."""

from __future__ import annotations

from fractions import Fraction

import mpmath
import numpy as np
import pytest

from bounds.logit_range import norm_bound, plain_range, side

WIDTH, SCALING = 6, 0.7


def cancelling(seed: int) -> dict[str, np.ndarray]:
    """A head of one feature, whose common part 1e6 the norm's centring takes away, shift and bias nearly cancelling."""
    rng = np.random.default_rng(seed)
    weight, shift = 1e6 + rng.normal(size=(1, WIDTH)), rng.normal(size=WIDTH)
    return {"weight": weight, "gain": np.ones(WIDTH), "shift": shift, "bias": -(weight @ shift) + rng.normal(size=1)}


def exact(head: dict[str, np.ndarray]) -> tuple[mpmath.mpf, mpmath.mpf]:
    """(||N||, |f|) of the centred row N and the offset f = W shift + b."""
    weight, shift = ([Fraction(float(v)) for v in head[name].ravel()] for name in ("weight", "shift"))
    mean = sum(weight) / WIDTH
    square = sum((w - mean) ** 2 for w in weight)
    offset = abs(sum(w * s for w, s in zip(weight, shift)) + Fraction(float(head["bias"][0])))
    return mpmath.sqrt(mpmath.mpf(square.numerator) / square.denominator), mpmath.mpf(
        offset.numerator
    ) / offset.denominator


@pytest.mark.parametrize("seed", range(8))
def test_a_bound_on_the_norm_holds_where_common_parts_cancel(seed):
    """With one feature the maximum of |N z + f| over the ball is ||N|| sqrt(d) + |f|."""
    head = cancelling(seed)
    with mpmath.workdps(60):
        row, offset = exact(head)
        truth = row * mpmath.sqrt(WIDTH) + offset
        assert truth <= norm_bound(side(**head, centred=True)) <= truth * (1 + mpmath.mpf(1e-6))


@pytest.mark.parametrize("seed", range(8))
def test_a_plain_range_holds_where_common_parts_cancel(seed):
    """2 c sqrt(d) ||K|| (||Q|| sqrt(d) + |f|), for one feature."""
    query, key = cancelling(seed), cancelling(seed + 100)
    with mpmath.workdps(60):
        (row, offset), (other, _) = exact(query), exact(key)
        radius = mpmath.sqrt(WIDTH)
        truth = 2 * mpmath.mpf(SCALING) * radius * other * (row * radius + offset)
        found = plain_range(side(**query, centred=True), side(**key, centred=True), SCALING)
        assert truth <= found <= truth * (1 + mpmath.mpf(0.1))


def test_the_size_of_an_offset_is_that_of_its_parts_not_of_what_is_left_of_them():
    """W s + b = 0 is rounded as its parts are: by ulp of |W| |s| + |b|."""
    one = side(np.array([[3.0, 4.0]]), np.ones(2), shift=np.array([3.0, 4.0]), bias=np.array([-25.0]))
    assert one.offset == 0
    assert one.offset_size == 50
