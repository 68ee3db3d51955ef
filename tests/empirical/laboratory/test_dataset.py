"""Observations on disk: labelled, complete, readable again, and anybody's own attention beside them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr
from small import SMALL, TOPICS, configured

from bounds.theorems import Verdict
from empirical.check.verdicts import check_dataset
from empirical.errors import BadInput
from empirical.laboratory.assemble import assemble
from empirical.laboratory.sweep import sweep
from empirical.observe.files import FILE, open_observations
from empirical.observe.rows import observe_attention
from empirical.observe.schema import GATED, SCHEMA


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "blocks"
    sweep(configured(SMALL, sweep={"starts": ["localised", "plain"], "seeds": [1]}), out, progress=False)
    assemble(out)
    return out


def test_saved_observations_open_alike(run):
    opened = open_observations(run)
    again = open_observations(run / FILE)
    assert opened.identical(again)
    assert opened.identical(assemble(run))


def test_every_variable_has_its_dims_unit_and_meaning(run):
    dataset = open_observations(run)
    others = {"kappa", *GATED}  # of a checkpoint, whose kernel rounds it; of gates, where they are trained
    fields = {name: field for name, field in SCHEMA.items() if name not in others}
    assert set(dataset.data_vars) == set(fields)
    for name, (dims, unit, meaning) in fields.items():
        assert dataset[name].dims == dims
        assert dataset[name].attrs == {"units": unit, "long_name": meaning}
    assert {"penalty", "seed", "start"} <= set(dataset.coords)


def test_attributes_tell_the_run(run):
    attributes = open_observations(run).attrs
    config = configured(SMALL, sweep={"starts": ["localised", "plain"], "seeds": [1]})
    assert json.loads(attributes["config"]) == config.as_dict()
    assert attributes["config_digest"] == config.digest()
    assert set(json.loads(attributes["versions"])) >= {"python", "torch", "numpy", "localist-bounds"}
    assert "commit" in attributes
    assert not [value for value in attributes.values() if "/tmp" in str(value)]


def test_a_run_is_checked_from_its_file_alone(run):
    outcomes = {o.theorem.key: o for o in check_dataset(open_observations(run / FILE))}
    assert not [key for key, o in outcomes.items() if o.verdict is Verdict.VIOLATED]
    for key in (
        "leakage_ceiling",
        "fidelity_floor",
        "entropy_ceiling",
        "entropy_envelope",
        "frontier",
        "entropy_floor",
    ):
        assert outcomes[key].decided >= 0.9 * outcomes[key].rows
    assert outcomes["critical_stays"].counts[Verdict.HOLDS] == 3
    assert outcomes["critical_leaves"].counts[Verdict.HOLDS] == 2
    assert outcomes["steps_to_zero"].counts[Verdict.HOLDS] > 0
    assert (
        outcomes["steps_to_zero"].failed["plain proximal steps, without momentum"] == outcomes["steps_to_zero"].rows / 2
    )


def test_topics_are_observed_by_layer_and_head(tmp_path):
    sweep(configured(TOPICS), tmp_path / "run", progress=False)
    dataset = assemble(tmp_path / "run")
    assert dict(dataset.sizes) | {"layer": 2, "head": 2, "setting": 2} == dict(dataset.sizes)
    assert not dataset["converged"].any()
    assert "text_sha256" in dataset.attrs
    outcomes = {o.theorem.key: o for o in check_dataset(dataset)}
    assert not [key for key, o in outcomes.items() if o.verdict is Verdict.VIOLATED]
    assert outcomes["anchor_floor"].counts[Verdict.HOLDS] + outcomes["anchor_floor"].counts[Verdict.UNKNOWN] > 0
    assert outcomes["critical_stays"].verdict is Verdict.VACUOUS


def test_own_attention_gives_verdicts(tmp_path):
    random = np.random.default_rng(0)
    logits = random.normal(size=(2, 3, 5, 12))
    blocks = {"query_block": np.arange(5) % 3, "key_block": np.arange(12) % 3}
    np.savez(tmp_path / "logits.npz", logits=logits, **blocks, temperature=0.7)
    dataset = open_observations(tmp_path / "logits.npz")
    assert dataset["fidelity"].shape == (1, 2, 3, 5)
    direct = observe_attention(logits, **blocks, temperature=0.7)
    np.testing.assert_array_equal(dataset["entropy_nats"].values, direct["entropy_nats"])
    outcomes = check_dataset(dataset)
    assert {o.verdict for o in outcomes if o.rows and o.counts[Verdict.VACUOUS] < o.rows} == {Verdict.HOLDS}
    weights = np.exp(logits / 0.7) / np.exp(logits / 0.7).sum(-1, keepdims=True)
    np.savez(tmp_path / "weights.npz", weights=weights, **blocks, temperature=0.7)
    np.testing.assert_allclose(open_observations(tmp_path / "weights.npz")["margin"], dataset["margin"], rtol=1e-9)
    np.savez(tmp_path / "leaky.npz", weights=weights * 0.9, **blocks)
    assert not open_observations(tmp_path / "leaky.npz")["valid"].any()


def test_row_fields_may_be_given_directly(tmp_path):
    fields = {"leakage": [0.1, 0.9], "fidelity": [0.9, 0.1], "margin": [2.0, 2.0], "logit_range": [3.0, 3.0]}
    counts = {"n_keys": [4, 4], "n_block": [2, 2], "n_anchors": [1, 1], "valid": [True, True]}
    np.savez(tmp_path / "rows.npz", **fields, **counts)
    outcomes = {o.theorem.key: o for o in check_dataset(open_observations(tmp_path / "rows.npz"))}
    assert outcomes["leakage_ceiling"].counts[Verdict.HOLDS] == 1
    assert outcomes["leakage_ceiling"].counts[Verdict.VIOLATED] == 1
    assert outcomes["leakage_ceiling"].worst["query"] == 1


def test_layers_and_heads_have_the_numbers_given_or_those_from_0(run, tmp_path):
    assert open_observations(run)["layer"].values.tolist() == [0]
    assert {"layer", "head"} <= set(open_observations(run).coords)
    random = np.random.default_rng(0)
    blocks = {"query_block": np.arange(5) % 3, "key_block": np.arange(12) % 3}
    np.savez(tmp_path / "logits.npz", logits=random.normal(size=(2, 3, 5, 12)), **blocks, layer=[5, 8], head=[1, 2, 7])
    dataset = open_observations(tmp_path / "logits.npz")
    assert dataset["layer"].values.tolist() == [5, 8]
    outcome = {o.theorem.key: o for o in check_dataset(dataset)}["leakage_ceiling"]
    assert (outcome.worst["layer"], outcome.worst["head"]) in {(at, h) for at in (5, 8) for h in (1, 2, 7)}
    np.savez(tmp_path / "few.npz", logits=random.normal(size=(2, 3, 5, 12)), **blocks, layer=[5])
    with pytest.raises(BadInput, match=r"layer must be 2 whole numbers >= 0, one a layer, got \[5\]"):
        open_observations(tmp_path / "few.npz")


def arrays(**given):
    return lambda path: np.savez(path, **given)


BLOCKS = {"query_block": np.zeros(2, int), "key_block": np.zeros(3, int)}


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: path.write_bytes(b"no zip"), "FILE.npz must hold plain numeric arrays"),
        (arrays(), "without arrays"),
        (arrays(leekage=np.zeros(2)), "got 'leekage'; did you mean 'leakage'"),
        (arrays(logits=np.zeros((2, 3))), "got no block"),
        (arrays(logits=np.zeros((2, 3)), weights=np.zeros((2, 3)), **BLOCKS), "got both"),
        (arrays(logits=np.full((2, 3), np.nan), **BLOCKS), "must be free of NaN"),
        (arrays(logits=np.zeros((2, 3)), temperature=0.0, **BLOCKS), "temperature must be a finite number > 0"),
        (arrays(logits=np.zeros((2, 3)), temperature=np.ones(2), **BLOCKS), "temperature must be one number"),
        (arrays(leakage=np.array([object()])), "FILE.npz must hold plain numeric arrays"),
        (arrays(leakage=np.zeros(2), fidelity=np.zeros(3)), "arrays of matching shapes"),
        (arrays(leakage=np.zeros((1, 1, 1, 1, 2))), "leakage must have dims setting, layer, head, query"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_bad_npz_files_are_one_line(tmp_path, write, message):
    path = tmp_path / "file.npz"
    write(path)
    with pytest.raises(BadInput) as caught:
        open_observations(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_bad_paths(tmp_path):
    with pytest.raises(BadInput, match="which is not there"):
        open_observations(tmp_path / "nowhere.nc")
    with pytest.raises(BadInput, match="which is not there"):
        open_observations(tmp_path)
    (tmp_path / "broken.nc").write_bytes(b"not netCDF")
    with pytest.raises(BadInput, match="DIR\\|FILE must be a netCDF file of observations"):
        open_observations(tmp_path / "broken.nc")
    with pytest.raises(BadInput, match="DIR must be the folder of a run"):
        assemble(tmp_path)


def test_a_kill_while_saving_leaves_the_old_file(run, monkeypatch):
    before = (run / FILE).read_bytes()
    monkeypatch.setattr(xr.Dataset, "to_netcdf", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        assemble(run)
    assert (run / FILE).read_bytes() == before
