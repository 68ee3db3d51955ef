"""The depth sum on checkpoints: above the drift of every sequence, attained where the last block alone is dialled."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_checkpoints import FAMILIES, LAYERS, architecture_of, inputs, network

from bounds.depth.calculators import drift_bound
from bounds.theorems import Verdict, by_key
from empirical.check.verdicts import check
from empirical.checkpoints.contexts import dial
from empirical.checkpoints.depth import depth_rows, stack_of
from empirical.errors import BadInput

pytest.importorskip("transformers")
BLOCKS = (torch.arange(16) // 3 % 2).expand(2, 16)
DIMS = ("sequence",)


@pytest.mark.parametrize("name", [name for name in FAMILIES if architecture_of(name).blocks])
@pytest.mark.parametrize("value", [0.3, 0.9, 1.0])
def test_no_sequence_drifts_beyond_its_sum(name, value):
    model = network(name)
    rows = depth_rows(model, inputs(name), dial(model, value, blocks=BLOCKS))
    assert check(by_key("depth_sum"), rows, DIMS).verdict is Verdict.HOLDS
    assert rows["errors"].shape == (2, LAYERS)
    assert (rows["errors"] > 0).all()
    assert (rows["drift"] > 0).all()
    assert rows["secant"][:, 0].max() == 0  # both read the same


def test_the_last_block_alone_attains_it_and_dial_0_drifts_nowhere():
    model = network("gpt2")
    cells = np.zeros((LAYERS, 4))
    cells[-1] = 0.8
    rows = depth_rows(model, inputs("gpt2"), dial(model, cells, blocks=BLOCKS))
    np.testing.assert_allclose(drift_bound(rows["errors"], rows["lipschitz"]), rows["drift"], rtol=1e-10)
    none = depth_rows(model, inputs("gpt2"), dial(model, 0.0, blocks=BLOCKS))
    assert none["drift"].max() == none["errors"].max() == 0


def test_a_sum_that_forgets_a_block_is_violated():
    model = network("gpt2")
    rows = depth_rows(model, inputs("gpt2"), dial(model, 0.9, blocks=BLOCKS))
    less = {**rows, "errors": rows["errors"] * [0.0, 1.0], "observed_errors": rows["errors"] * [0.0, 1.0]}
    less["lipschitz"] = less["secant"] = 0 * rows["secant"]
    assert check(by_key("depth_sum"), less, DIMS).verdict is Verdict.VIOLATED


def test_a_model_of_two_stacks_is_refused():
    with pytest.raises(BadInput, match=r"model must be one of bert, .* got 'bart'"):
        stack_of(network("bart"))
