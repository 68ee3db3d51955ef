"""Observations too large for memory: any cut into blocks gives the same outcomes, and a block is all that is read."""

from __future__ import annotations

import json
import math
import tracemalloc
from dataclasses import replace

import h5py
import numpy as np
import pytest
import xarray as xr
from synthetic_observations import observations

from bounds.theorems import OBSERVED, Level, Theorem, Verdict, by_key
from empirical.check import requirement, verdict_counts
from empirical.check import verdicts as checking
from empirical.check.boxes import boxes
from empirical.check.requirement import meets, parse
from empirical.check.verdict_counts import Slacks
from empirical.check.verdicts import check, check_dataset, rows_of
from empirical.check.witness import Sample, sizes_of
from empirical.cli import main
from empirical.cli.exits import BAD_INPUT
from empirical.observe.files import open_observations
from empirical.observe.schema import DIMS

CUTS = [(30, 11), (100, 33)]  # rows read and rows judged at a time; no dim is a multiple of any


@pytest.fixture(scope="module")
def dataset():
    """Both tasks' fields: two layers and heads, one converged run of `blocks` groups, rows that are not valid."""
    found = observations("topics", seeds=1, queries=13)
    found["converged"] = ("setting", np.arange(found.sizes["setting"]) % 3 > 0)
    found["critical"] = ("setting", np.full(found.sizes["setting"], 1e-3))
    for name, value in {"gradient_bound": 4.0, "value_diameter": 2.0, "anchor_logit": 1e-3}.items():
        found[name] = ("setting", np.full(found.sizes["setting"], value))
    found["start"] = ("setting", np.resize(["localised", "plain"], found.sizes["setting"]))
    found["accelerated"] = found["start"] != "plain"
    return found


@pytest.fixture(scope="module")
def whole(dataset):
    assert dataset["fidelity"].size < checking.BLOCK
    return check_dataset(dataset)


def cut(monkeypatch, block: int, chunk: int) -> None:
    for module in (checking, requirement):
        monkeypatch.setattr(module, "BLOCK", block)
    monkeypatch.setattr(verdict_counts, "CHUNK", chunk)


def plain(outcomes) -> list[str]:
    """Every number of every outcome, each to its last bit; as text, in which NaN equals NaN."""
    return [json.dumps(outcome.as_dict()) for outcome in outcomes]


def saved(dataset: xr.Dataset, path, **encoding):
    names = [name for name in dataset.data_vars if dataset[name].ndim > 1] if encoding else []
    dataset.to_netcdf(path, engine="h5netcdf", encoding=dict.fromkeys(names, encoding))
    return path


def by_definition(theorem: Theorem, rows) -> dict:
    """Every sum at once, over whole arrays."""
    codes = theorem.verdicts(rows)
    slack, room = (np.broadcast_to(a, codes.shape) for a in (theorem.slack(rows), theorem.room(rows)))
    says = np.isfinite(slack) & (codes != Verdict.VACUOUS.code)
    fails = {h.statement: int((~np.broadcast_to(h.holds(rows), codes.shape)).sum()) for h in theorem.hypotheses}
    at = np.unravel_index(np.argmin(np.where(says, slack - room, np.inf)), codes.shape) if says.any() else ()
    return {
        "counts": {verdict: int((codes == verdict.code).sum()) for verdict in Verdict},
        "least": float(slack[says].min()) if says.any() else math.nan,
        "median": float(np.median(slack[says])) if says.any() else math.nan,
        "worst": dict(zip(DIMS[theorem.level], map(int, at))),
        "failed": {statement: count for statement, count in fails.items() if count},
    }


# --- the same whatever the cut ---------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("chunk", [1, 7, 10**6])
@pytest.mark.parametrize("theorem", OBSERVED, ids=lambda t: t.key)
def test_chunks_give_what_the_definition_says(monkeypatch, dataset, theorem, chunk):
    rows = rows_of(dataset, theorem)
    monkeypatch.setattr(verdict_counts, "CHUNK", chunk)
    said = by_definition(theorem, rows)
    for found in (check(theorem, rows), *check_dataset(dataset, [theorem])):
        assert found.counts == said["counts"]
        np.testing.assert_equal(found.least_slack, said["least"])
        np.testing.assert_equal(found.median_slack, said["median"])
        assert {name: at for name, at in found.worst.items() if name in DIMS[theorem.level]} == said["worst"]
        assert found.failed == said["failed"]


def test_most_theorems_decide_something_here(whole):
    """Else the comparisons compare nothing."""
    assert {o.theorem.level for o in whole if o.decided and o.worst} == set(DIMS)
    assert sum(o.decided > 0 for o in whole) >= 20
    assert sum(o.counts[Verdict.VACUOUS] > 0 and o.decided > 0 for o in whole) >= 5


@pytest.mark.parametrize(("block", "chunk"), CUTS)
def test_blocks_change_nothing(monkeypatch, dataset, whole, block, chunk):
    cut(monkeypatch, block, chunk)
    assert plain(check_dataset(dataset)) == plain(whole)


def test_groups_are_cut_along_their_blocks_too(monkeypatch, dataset, whole):
    cut(monkeypatch, 5, 3)
    expected = [outcome for outcome in whole if outcome.theorem.level is Level.PAIR]
    assert plain(check_dataset(dataset, [o.theorem for o in expected])) == plain(expected)


def test_means_over_pieces_of_queries_are_means(monkeypatch, dataset):
    monkeypatch.setattr(checking, "CHUNK", 5)
    leakage, own = dataset["leakage"].values, dataset["query_block"].values
    means = np.stack([leakage[..., own == b].mean(-1) for b in range(4)], -1)[..., None]
    np.testing.assert_allclose(
        rows_of(dataset, by_key("leakage_aware_gradient"))["mean_leakage"], means, rtol=1e-15 * 4
    )


@pytest.mark.parametrize("encoding", [{}, {"zlib": True}])
@pytest.mark.parametrize(("block", "chunk"), CUTS)
def test_a_file_read_as_it_is_used_gives_the_same(monkeypatch, tmp_path, dataset, whole, block, chunk, encoding):
    cut(monkeypatch, block, chunk)
    with open_observations(saved(dataset, tmp_path / "o.nc", **encoding), lazy=True) as lazy:
        assert plain(check_dataset(lazy)) == plain(whole)


def test_of_equally_near_rows_the_first_is_named(monkeypatch, dataset):
    flat = dataset.isel(setting=[0] * 5, query=[3] * 9)
    cut(monkeypatch, 10, 4)
    (outcome,) = check_dataset(flat, [by_key("odds_law")])
    assert (outcome.worst["setting"], outcome.worst["query"]) == (0, 0)


def test_a_dim_that_the_theorem_lacks_is_not_counted_again(monkeypatch, dataset):
    one_layer = dataset[["leakage", "margin", "valid", "n_keys", "n_block", "n_anchors", "logit_range"]].isel(layer=0)
    beside = one_layer.assign(temperature=dataset["temperature"], localist=dataset["localist"])
    (expected,) = check_dataset(beside.drop_vars("localist"), [by_key("leakage_ceiling")])
    for block in (10**6, 5):
        cut(monkeypatch, block, 3)
        assert plain(check_dataset(beside, [by_key("leakage_ceiling")])) == plain([expected])


def test_an_empty_dim_has_no_rows(dataset):
    (outcome,) = check_dataset(dataset.isel(query=slice(0)), [by_key("leakage_ceiling")])
    assert outcome.rows == 0
    assert outcome.worst == {}


@pytest.mark.parametrize("text", ["fidelity>=0.5", "fidelity<0.9", "loss_heldout<=3", "n_keys>4"])
def test_requirements_are_met_or_missed_alike(monkeypatch, tmp_path, dataset, text):
    expected = meets(parse(text), dataset)
    values = dataset[parse(text).field]
    values = values.values[dataset["valid"].values] if "query" in values.dims else values.values
    assert expected.rows == values.size
    assert expected.missed == (~requirement.COMPARISONS[parse(text).comparison](values, parse(text).number)).sum()
    cut(monkeypatch, 7, 5)
    with open_observations(saved(dataset, tmp_path / "o.nc", zlib=True), lazy=True) as lazy:
        assert meets(parse(text), lazy) == expected


# --- and only a block at a time --------------------------------------------------------------------------------------


def many_queries(queries: int) -> xr.Dataset:
    """One setting, layer and head, so that only the queries can be cut."""
    one = observations("blocks", seeds=1, queries=16).isel(setting=[0])
    return one.isel(query=np.arange(queries) % 16).drop_vars(["attention", "map_query_block"])


def test_nothing_is_read_that_is_larger_than_a_block(monkeypatch, tmp_path):
    path, read = saved(many_queries(300), tmp_path / "o.nc"), []
    cut(monkeypatch, 64, 20)
    monkeypatch.setattr(checking, "CHUNK", 50)
    values = checking._values
    monkeypatch.setattr(checking, "_values", lambda *a: read.append(values(*a)) or read[-1])
    with open_observations(path, lazy=True) as lazy:
        check_dataset(lazy)
    assert max(part.size for part in read) == 64


def test_memory_does_not_grow_with_the_rows(monkeypatch, tmp_path):
    """Slacks counted in bins, so that nothing at all is kept of a row."""
    cut(monkeypatch, 2**12, 2**12)
    monkeypatch.setattr(checking, "CHUNK", 2**12)
    monkeypatch.setattr(verdict_counts, "EXACT", 2**13)  # more than a block has, fewer than either file
    monkeypatch.setattr("empirical.check.witness.SAMPLED", 2**6)
    theorems = [by_key("leakage_ceiling"), by_key("leakage_aware_gradient")]
    check_dataset(many_queries(16), theorems)  # what is imported is not counted

    def peak(queries: int) -> int:
        with open_observations(saved(many_queries(queries), tmp_path / f"{queries}.nc"), lazy=True) as lazy:
            tracemalloc.start()
            try:
                check_dataset(lazy, theorems)
                return tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

    assert peak(2**16) < peak(2**14) + 2**18  # a field of 2**16 rows alone is 2**19 bytes


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_of_an_npz_are_mapped_where_they_can_be(monkeypatch, tmp_path, dataset, save):
    names = ("leakage", "fidelity", "entropy_nats", "margin", "logit_range", "n_keys", "n_block", "n_anchors", "valid")
    rows = {name: dataset[name].values for name in names} | {"temperature": dataset["temperature"].values}
    save(tmp_path / "rows.npz", **rows, leakage_dialled=np.asfortranarray(dataset["leakage_dialled"].values))
    opened, lazy = (open_observations(tmp_path / "rows.npz", lazy=lazy) for lazy in (False, True))
    assert opened.identical(lazy)
    mapped = isinstance(base(lazy["leakage"].values), np.memmap)
    assert mapped == (save is np.savez)
    cut(monkeypatch, 7, 5)
    assert plain(check_dataset(lazy)) == plain(check_dataset(opened))


def base(array):
    """What an array is a view of."""
    while not isinstance(array, np.memmap) and isinstance(array.base, np.ndarray):
        array = array.base
    return array


def test_damage_within_a_file_is_one_line(tmp_path, dataset, capsys):
    path = saved(many_queries(3000), tmp_path / "o.nc", zlib=True)
    with h5py.File(path) as file:
        chunk = file["leakage"].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset : chunk.byte_offset + chunk.size] = bytes(chunk.size)
    path.write_bytes(content)
    assert main(["check", str(path)]) == BAD_INPUT
    error = capsys.readouterr().err
    assert error.startswith(f"localist: DIR|FILE must be readable to its end, got {str(path)!r}")
    assert error.count("\n") == 1


# --- the pieces ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 4, 7, 8, 24, 1000])
@pytest.mark.parametrize("chunks", [{}, {"a": 2, "c": 3}, {"c": 5}])
def test_boxes_tile_the_grid(limit, chunks):
    sizes = {"a": 3, "b": 4, "c": 5}
    seen = np.zeros(tuple(sizes.values()), int)
    for box in boxes(sizes, limit, chunks):
        part = seen[tuple(box.values())]
        assert part.size <= max(limit, math.prod(chunks.values()))
        assert all(s.start % chunks.get(name, 1) == 0 for name, s in box.items())
        part += 1
    assert (seen == 1).all()
    assert list(boxes({"a": 0}, 3)) == []


def test_boxes_without_chunks_come_in_c_order():
    grid = np.arange(60).reshape(3, 4, 5)
    places = [grid[tuple(box.values())].ravel() for box in boxes({"a": 3, "b": 4, "c": 5}, 10)]
    assert np.array_equal(np.concatenate(places), np.arange(60))


@pytest.mark.parametrize(
    ("limit", "chunks", "count"), [(60, {}, 1), (20, {}, 3), (10, {}, 6), (4, {}, 24), (59, {"a": 2}, 2)]
)
def test_boxes_are_as_large_as_the_limit_allows(limit, chunks, count):
    assert len(list(boxes({"a": 3, "b": 4, "c": 5}, limit, chunks))) == count


@pytest.mark.parametrize("size", [1, 2, 99, 100, 101, 5000])
def test_the_median_is_exact_while_slacks_are_kept_and_within_half_a_bin_beyond(monkeypatch, size):
    monkeypatch.setattr(verdict_counts, "EXACT", 100)
    random = np.random.default_rng(size)
    for values in (
        random.normal(size=size) * 10.0 ** random.integers(-300, 300, size),
        -random.exponential(size=size),
        np.zeros(size),
        np.full(size, 0.1),
    ):
        slacks = Slacks()
        for part in np.array_split(values, 7):
            slacks.add(part)
        if size <= 100:
            assert slacks.median() == np.median(values)
        else:
            low, high = (np.sort(values)[i] for i in ((size - 1) // 2, size // 2))
            assert (
                min(low, high) - abs(low) / 512 <= slacks.median() <= max(low, high) + abs(high) / 512 + 5e-324 * 2**44
            )
    assert math.isnan(Slacks().median())


def test_the_sample_of_rows_does_not_depend_on_the_blocks(dataset, monkeypatch):
    monkeypatch.setattr("empirical.check.witness.SAMPLED", 50)
    rows = rows_of(dataset, by_key("leakage_ceiling"))
    shape = dataset["leakage"].shape
    found = []
    for limit in (7, 60, 10**6):
        sample = Sample(shape)
        for box in reversed(list(boxes({str(i): n for i, n in enumerate(shape)}, limit))):
            at = tuple(box.values())
            part = {
                n: v[tuple(s if v.shape[i] > 1 else slice(None) for i, s in enumerate(at))] for n, v in rows.items()
            }
            sample.add(part, tuple(s.start for s in at))
        found.append(sample.sizes())
    assert found[0] == found[1] == found[2]
    assert len(found[0]) == 6
    assert set(found[0]) <= set(every_size(rows))


def every_size(rows):
    n, m, r, x, tau = np.broadcast_arrays(
        *(rows[k] for k in ("n_keys", "n_block", "n_anchors", "margin", "temperature"))
    )
    return zip(n.ravel().tolist(), m.ravel().tolist(), r.ravel().tolist(), (x / tau).ravel().tolist())


def test_without_a_field_the_sample_is_empty(dataset):
    rows = rows_of(dataset, by_key("leakage_ceiling"))
    sample = Sample(dataset["leakage"].shape)
    sample.add({name: values for name, values in rows.items() if name != "margin"}, (0, 0, 0, 0))
    assert sample.sizes() == ()
    assert sizes_of({}) == ()


def test_a_judgement_evaluates_the_bound_once(dataset):
    theorem, calls = by_key("leakage_ceiling"), []
    counted = replace(theorem, bound=lambda rows: calls.append(1) or theorem.bound(rows))
    codes, slack, room, holds = counted.judge(rows_of(dataset, theorem))[:4]
    assert len(calls) == 1
    assert codes.shape == slack.shape == room.shape == holds[0].shape
