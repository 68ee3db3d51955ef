"""The dial that documents support on a checkpoint: exact for one layer, judged by its audit for several; refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_checkpoints import model_of

import empirical.checkpoints.sampled as module
from bounds.numbers.search import Unreachable
from bounds.samples import least_count
from empirical.checkpoints.contexts import dial
from empirical.checkpoints.sampled import LabelledInputs, audited, needed_kappas, needed_of_grid, sampled_dial
from empirical.errors import BadInput

pytest.importorskip("transformers")
TARGET, ASKED = 0.9, {"share": 0.8, "confidence": 0.9}


def documents(count: int, seed: int, length: int = 12):
    random = torch.Generator().manual_seed(seed)
    for _ in range(count):
        ids = torch.randint(3, 40, (1, length), generator=random)
        yield LabelledInputs({"input_ids": ids}, torch.arange(length)[None] // 4)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_one_layer_is_exact_the_dial_needed_is_met_and_a_little_less_is_not(dtype):
    model = model_of("bert", dtype=dtype)
    few = list(documents(12, 0))
    needed = needed_kappas(model, few, TARGET, layers=[1])
    worst = module._rounded_up(float(needed.max()), model)
    assert worst >= needed.max() > 1
    assert audited(model, few, worst, TARGET, confidence=0.9, layers=[1]).misses == 0
    less = 0.98 * worst
    expected = int((needed > less).sum())
    assert audited(model, few, less, TARGET, confidence=0.9, layers=[1]).misses == expected >= 1


def test_the_dial_of_calibration_documents_holds_on_those_of_the_audit():
    model = model_of("gpt2", dtype=torch.float32)
    found = sampled_dial(model, documents(40, 1), TARGET, **ASKED, layers=[0])
    needed = needed_kappas(model, documents(40, 1), TARGET, layers=[0])
    assert found.kappa >= np.sort(needed)[found.rank - 1]
    assert found.kappa == pytest.approx(np.sort(needed)[found.rank - 1], rel=1e-6)
    assert found.achieved >= 0.9
    assert found.rank < 40
    seen = audited(model, documents(60, 2), found.kappa, TARGET, confidence=0.9, layers=[0])
    assert seen.count == 60
    assert seen.misses / 60 < 0.2
    assert seen.most > seen.misses / 60
    with dial(model, kappas=[[found.kappa], [0.0]], blocks=torch.arange(12)[None] // 4):
        left = needed_kappas(model, documents(60, 2), TARGET, layers=[0])
    assert (left > 1e-9).sum() == seen.misses


def test_of_several_layers_the_audit_reads_the_dialled_model():
    """Deeper rows move, so that needs read of the model as trained are not those of the dialled one."""
    model = model_of("bert", seed=34)
    few = list(documents(30, 3))
    needed = needed_kappas(model, few, TARGET)
    kappa = float(np.median(needed))
    with dial(model, kappas=[[kappa], [0.0]], blocks=few[0].blocks):
        moved = needed_kappas(model, few, TARGET, layers=[1])
    alone = needed_kappas(model, few, TARGET, layers=[1])
    assert not np.allclose(moved, alone, rtol=1e-3)
    first = needed_kappas(model, few, TARGET, layers=[0])
    expected = int((np.maximum(first, moved) > kappa).sum())
    assert audited(model, few, kappa, TARGET, confidence=0.9).misses == expected
    assert expected > int((needed > kappa).sum()) + 5  # needs read of the model as trained fall short


def test_of_several_layers_a_grid_gives_the_dial():
    model, grid = model_of("bert", seed=1), [4.0, 8.0, 12.0, 16.0, 24.0]
    few = list(documents(12, 4))
    needed = needed_of_grid(model, few, TARGET, grid)
    missed = np.array([[audited(model, [d], k, TARGET, confidence=0.5).misses for k in grid] for d in few])
    for need, misses in zip(needed, missed):
        meets = [k for i, k in enumerate(grid) if not misses[i:].any()]
        assert need == min(meets, default=np.inf)
    found = sampled_dial(model, documents(30, 5), TARGET, share=0.8, confidence=0.9, grid=grid)
    assert found.kappa in grid
    assert audited(model, documents(60, 6), found.kappa, TARGET, confidence=0.9).misses < 12
    assert needed_of_grid(model, few, TARGET, [1e-3]).max() == np.inf
    with pytest.raises(BadInput, match="grid must be given where several layers are dialled"):
        sampled_dial(model, few, TARGET, **ASKED)
    with pytest.raises(BadInput, match="grid must be finite kappas"):
        needed_of_grid(model, few, TARGET, [])


def test_too_few_documents_are_refused_by_the_count_that_is_needed():
    model, least = model_of("bert"), least_count(**ASKED)
    found = sampled_dial(model, documents(least - 1, 0), TARGET, **ASKED, layers=[0])
    assert isinstance(found, Unreachable)
    assert f"at least {least} are needed" in found.reason
    assert sampled_dial(model, documents(least, 0), TARGET, **ASKED, layers=[0]).rank == least


def test_what_cannot_be_judged_is_refused():
    model = model_of("gpt2")
    one = next(documents(1, 0))
    whole = replace(one, blocks=torch.zeros(1, 12, dtype=torch.long))
    for call, words in (
        (lambda: needed_kappas(model, [whole], TARGET), "must have a row that sees its block and something outside"),
        (lambda: needed_kappas(model, [one], 1.0), r"target must be a fidelity in \(0, 1\), got 1.0"),
        (lambda: needed_kappas(model, [one], TARGET, layers=[5]), r"layers must be some of \[0, 1\]"),
        (lambda: needed_kappas(model, [one], TARGET, kinds=("cross",)), "of kind cross"),
        (lambda: sampled_dial(model, [one], TARGET, share=1.0, confidence=0.9), r"share must be in \(0, 1\)"),
        (lambda: audited(model, [], 1.0, TARGET, confidence=0.9), "at least one for an audit"),
    ):
        with pytest.raises(BadInput, match=words):
            call()
    model.train()
    with pytest.raises(BadInput, match="must do nothing to a row but softmax, got dropout"):
        needed_kappas(model, [one], TARGET)
