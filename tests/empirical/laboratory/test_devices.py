"""Devices of a sweep: what a GPU takes side by side, less where memory ends, the faster one by a probe; NaN apart."""

from __future__ import annotations

import numpy as np
import pytest
from small import SMALL, TOPICS, configured

from empirical.errors import BadInput
from empirical.laboratory import sweep as sweeps
from empirical.laboratory.assemble import assemble
from empirical.laboratory.cells import LOCALISE, plan
from empirical.laboratory.store import Store
from empirical.laboratory.sweep import sweep


@pytest.fixture(scope="module")
def zero_starts(tmp_path_factory):
    """A run of zero starts alone."""
    out = tmp_path_factory.mktemp("runs") / "zero"
    sweep(configured(SMALL, sweep={"starts": ["zero"], "seeds": [1], "workers": 1}), out, progress=False)
    return assemble(out)


def test_without_memory_for_all_settings_half_are_trained_at_a_time(zero_starts, tmp_path, monkeypatch, capsys):
    """The same settings in the same places; only the rounding of sums differs, and what was done is said."""
    import torch

    from empirical.laboratory import training as train

    config = configured(SMALL, sweep={"starts": ["zero"], "seeds": [1], "workers": 1})
    whole, sizes = train.train, []

    def greedy(config, seed, start, penalties, localised=None, report=None):
        sizes.append(len(penalties))
        if len(penalties) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return whole(config, seed, start, penalties, localised, report)

    monkeypatch.setattr(train, "train", greedy)
    store = Store.open(tmp_path / "halved", config, {}, resume=False)
    for cell in plan(config):
        sweeps.train_cells(config, store, [cell])
    assert sizes == [5, 2, 3, 1, 2]
    assert capsys.readouterr().err.count("half at a time") == 2
    halved = store.load(plan(config)[-1].spec)
    assert (halved["query_block"] == zero_starts["query_block"].values).all()
    for name in ("fidelity", "group_norm", "loss_train", "converged"):
        np.testing.assert_allclose(halved[name], zero_starts[name].values, rtol=1e-9, atol=1e-9)

    def hopeless(*_):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory")

    monkeypatch.setattr(train, "train", hopeless)
    with pytest.raises(BadInput, match="must fit into memory"):
        sweeps.train_cells(config, store, plan(config)[-1:])
    monkeypatch.setattr(train, "train", lambda *_: (_ for _ in ()).throw(RuntimeError("shapes")))
    with pytest.raises(RuntimeError, match="shapes"):
        sweeps.train_cells(config, store, plan(config)[-1:])


def test_cells_of_a_seed_and_start_are_one_batch_on_a_gpu(tmp_path, monkeypatch):
    config = configured(SMALL, sweep={"penalties": [0.3 * i for i in range(1, 20)], "starts": ["zero", "upwards"]})
    cells = [cell for cell in plan(config) if cell.start != LOCALISE]
    groups = list(sweeps._side_by_side(cells))
    assert [cell for group in groups for cell in group] == cells
    assert [len(group) for group in groups] == [3, 3, 1, 1]
    monkeypatch.setattr(sweeps, "GPU_SETTINGS", 16)
    assert [len(group) for group in sweeps._side_by_side(cells)] == [2, 1, 2, 1, 1, 1]

    single = configured(SMALL, sweep={"penalties": [0.3 * i for i in range(1, 12)], "starts": ["zero"], "seeds": [1]})
    stores = [Store.open(tmp_path / name, single, {}, resume=False) for name in ("one", "two")]
    first, *rest = plan(single)
    for store in stores:
        sweeps.train_cells(single, store, [first])
    sweeps.train_cells(single, stores[0], rest)  # what a GPU does
    for cell in rest:
        sweeps.train_cells(single, stores[1], [cell])
        one, two = (store.load(cell.spec) for store in stores)
        assert set(one) == set(two)
        for name in one:
            assert one[name].shape == two[name].shape, name
        np.testing.assert_allclose(one["group_norm"], two["group_norm"], rtol=1e-9, atol=1e-9)


def test_the_faster_device_is_chosen(monkeypatch, capsys):
    import torch

    from empirical.laboratory import devices as probe

    config = configured(SMALL, sweep={"device": "auto", "workers": 2})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert probe.choose_device(config).sweep.device == "cpu"
    assert probe.choose_device(configured(SMALL)) == configured(SMALL)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for rate, chosen in ((199.0, "cpu"), (201.0, "cuda")):
        monkeypatch.setattr(
            probe, "settings_a_second", lambda c, s, rate=rate: {"cpu": 100.0, "cuda": rate}[c.sweep.device]
        )
        assert probe.choose_device(config).sweep.device == chosen
        assert f"device {chosen}" in capsys.readouterr().err


@pytest.mark.parametrize("base", [SMALL, TOPICS])
def test_the_probe_measures_the_work_of_a_sweep(base):
    from empirical.laboratory.devices import settings_a_second

    assert settings_a_second(configured(base), 2) > 0


def test_a_setting_that_is_not_finite_is_marked_and_loses_no_other(monkeypatch):
    from empirical.laboratory import training as train

    config = configured(SMALL, sweep={"starts": ["zero"], "seeds": [1]})
    localised = train.localise(config, 1)
    begin = train._start_forms

    def spoilt(*arguments):
        forms = begin(*arguments).clone()
        forms[1] = float("nan")
        return forms

    penalties = (1e-3, 2e-3, 4e-3)
    sound = train.train(config, 1, "zero", penalties, localised)
    monkeypatch.setattr(train, "_start_forms", spoilt)
    arrays = train.train(config, 1, "zero", penalties, localised)
    assert arrays["converged"].tolist() == [True, False, True]
    assert np.isnan(arrays["loss_train"][1])
    for name in ("fidelity", "group_norm", "loss_train"):
        np.testing.assert_allclose(arrays[name][[0, 2]], sound[name][[0, 2]], rtol=1e-9, atol=1e-9)
