"""Training one cell: the critical penalty on both sides, repeatable bits, complete fields."""

from __future__ import annotations

import numpy as np
import pytest
from small import SMALL, TOPICS, configured

from bounds import steps_to_zero
from empirical.errors import BadInput
from empirical.laboratory.training import localise, train
from empirical.observe.schema import GATED, SCHEMA


@pytest.fixture(scope="module")
def localised():
    return localise(configured(SMALL), 1)


def test_the_localised_solution_is_an_in_block_optimum(localised):
    assert localised["converged"]
    assert localised["residual"] <= 1e-8
    forms = localised["parameter/forms"][0, 0, 0]
    assert (forms[0, :, 1, :] == 0).all()
    assert (forms[1, :, 0, :] == 0).all()
    gradient = localised["gradient_norm"][0, 0, 0]
    assert localised["critical"] == max(gradient[0, 1], gradient[1, 0])
    assert max(gradient[0, 0], gradient[1, 1]) <= 1e-8


def test_cross_blocks_stay_above_the_critical_penalty_and_leave_below(localised):
    critical = float(localised["critical"])
    arrays = train(configured(SMALL), 1, "localised", (1.001 * critical, 0.999 * critical), localised)
    above, below = arrays["group_norm"][:, 0, 0]
    assert above[0, 1] == 0
    assert above[1, 0] == 0
    assert below[0, 1] + below[1, 0] > 0
    assert arrays["loss_train"][0] == pytest.approx(float(localised["loss_localised"]), rel=1e-12)


def test_the_same_bits_again(localised):
    config, penalties = configured(SMALL), (1e-4, 1e-2)
    for start in ("localised", "zero", "plain"):
        one, two = (train(config, 1, start, penalties, localised) for _ in range(2))
        assert all(one[name].tobytes() == two[name].tobytes() for name in one)


def test_every_field_of_the_schema_is_there_in_its_shape(localised):
    for config, start in ((configured(SMALL), "zero"), (configured(TOPICS), "random")):
        arrays = train(config, 1, start, (0.0, 0.1, 1.0))
        fields = {name for name in arrays if not name.startswith("parameter/")}
        assert fields == {*SCHEMA} - {"kappa", *GATED}  # kappa: of a checkpoint, whose dial is rounded as its kernel is
        sizes: dict[str, int] = {}
        for name in fields:
            dims = SCHEMA[name][0]
            assert arrays[name].ndim == len(dims), name
            for dim, size in zip(dims, arrays[name].shape):
                assert sizes.setdefault(dim, size) == size, (name, dim)
        assert sizes["setting"] == 3


def test_plain_steps_are_within_the_prediction(localised):
    arrays = train(configured(SMALL), 1, "plain", (0.3, 0.03, 3.0), localised)
    decided = 0
    for i, penalty in enumerate((0.3, 0.03, 3.0)):
        for b, c in ((0, 1), (1, 0)):
            peak, first = arrays["gradient_peak"][i, 0, 0, b, c], arrays["group_norm_start"][i, 0, 0, b, c]
            if peak < penalty:
                decided += 1
                predicted = steps_to_zero(first, penalty, peak, arrays["step"][i])
                assert 0 <= arrays["steps_to_zero"][i, 0, 0, b, c] <= predicted
    assert decided >= 4


def test_topics_are_never_called_converged_and_repeat():
    config = configured(TOPICS, model={"dtype": "float32"})
    one, two = (train(config, 1, "random", (0.0, 0.1)) for _ in range(2))
    assert not one["converged"].any()
    assert all(one[name].tobytes() == two[name].tobytes() for name in one)
    assert (one["group_norm"][0] > 0).all()
    assert one["valid"].all()


def test_a_large_penalty_zeroes_every_cross_block_of_topics_and_gives_the_anchor_floor():
    arrays = train(configured(TOPICS), 1, "random", (1e6,))
    off = ~np.eye(2, dtype=bool)
    assert (arrays["group_norm"][0][..., off] == 0).all()
    n, m = arrays["n_keys"][0], arrays["n_block"][0]
    floor = 1 / (1 + (n - m) * np.exp(-4.0))
    assert (arrays["fidelity"][0] >= floor * (1 - 1e-12)).all()


def test_bad_starts_are_refused():
    with pytest.raises(BadInput, match=r"start must be one of sweep.starts .* got 'warm'"):
        train(configured(SMALL), 1, "warm", (0.1,))
    with pytest.raises(BadInput, match=r"must be .blocks. for a localised solution"):
        localise(configured(TOPICS), 1)


def test_progress_is_reported():
    seen = []
    train(configured(SMALL), 1, "zero", (0.1,), report=lambda *state: seen.append(state))
    assert seen[-1][2] == 0
    assert all(step <= steps for step, steps, _ in seen)
