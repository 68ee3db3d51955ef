"""Observed against bound: every decided row is drawn on its side of the diagonal, one beyond it is shown as such."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest
from figure_checks import cut_off, words_of
from synthetic_observations import observations

import bounds
from bounds.theory.theorem import Judgement, Relation, Verdict
from empirical.check.clouds import Cloud
from empirical.check.verdicts import check_dataset
from empirical.cli import main
from empirical.figures import style
from empirical.figures.against_bound import against_bound, groups

LAST = (-1, 0, 0, -1)


def outcomes_of(dataset):
    return check_dataset(dataset, cloud=True, witnesses=False)


def drawn(outcomes):
    with style.drawing():
        return against_bound(outcomes)


def marks(figure, verdict):
    """(panel title, artist) of everything drawn as that verdict."""
    found = [(axes.get_title("left") or axes.get_title(), a) for axes in figure.axes for a in axes.collections]
    return [(title, artist) for title, artist in found if artist.get_gid() == verdict.name]


def own_attention(path):
    logits = np.random.default_rng(1).normal(size=(12, 18)) * 3
    np.savez(path, logits=logits, query_block=np.arange(12) % 3, key_block=np.arange(18) % 3)


@pytest.fixture(scope="module")
def dataset():
    return observations("blocks", seeds=1, queries=24)


@pytest.fixture
def planted(dataset):
    """One row whose entropy is 1 % above its ceiling."""
    changed = dataset.copy(deep=True)
    sizes = {n: changed[n].values[LAST] for n in ("n_keys", "n_block", "n_anchors")}
    bound = bounds.entropy_ceiling(changed["margin"].values[LAST], **sizes)
    changed["entropy_nats"].values[LAST] = 1.01 * bound
    return changed, float(bound)


def test_a_row_one_per_cent_beyond_its_bound_is_drawn_as_violated(dataset, planted):
    assert not marks(drawn(outcomes_of(dataset)), Verdict.VIOLATED)
    changed, bound = planted
    figure = drawn(outcomes_of(changed))
    (title, crosses), *others = marks(figure, Verdict.VIOLATED)
    assert not others
    assert title == "entropy (nats), at most"
    places = np.asarray(crosses.get_offsets())
    assert (places[:, 1] > places[:, 0]).all()
    assert any(np.allclose(place, [bound, 1.01 * bound], rtol=1e-12) for place in places)
    assert "BEYOND THE BOUND: 2 VIOLATED (entropy_ceiling, frontier)" in words_of(figure)
    assert "No decided row lies beyond its bound" in words_of(drawn(outcomes_of(dataset)))


def test_every_row_that_is_not_vacuous_is_drawn_under_its_verdict(dataset):
    outcomes = outcomes_of(dataset)
    figure = drawn(outcomes)
    flat = [group for group in groups(outcomes) if not group.spread]
    for verdict in (Verdict.HOLDS, Verdict.UNKNOWN):
        shown = sum(artist.get_array().sum() for _, artist in marks(figure, verdict))
        still = sum(int(group.points[verdict].rows.sum()) for group in flat)
        assert shown + still == sum(outcome.counts[verdict] for outcome in outcomes)


def test_rows_that_no_panel_can_show_are_counted_in_words(dataset):
    """A row without a finite value is UNKNOWN and has no place in the plane."""
    assert "without a finite value" not in words_of(drawn(outcomes_of(dataset)))
    changed = dataset.copy(deep=True)
    changed["entropy_nats"].values[LAST] = np.inf
    figure = drawn(outcomes_of(changed))
    assert re.search(r"UNKNOWN without a finite value: \d+ rows", words_of(figure))


def test_the_trivial_bound_and_the_share_on_which_the_bound_says_more_are_drawn(dataset):
    figure = drawn(outcomes_of(dataset))
    panel = next(axes for axes in figure.axes if axes.get_title("left") == "fidelity, at least")
    assert any(np.allclose(line.get_xdata(), 8 / 32) for line in panel.get_lines())
    assert any("fidelity floor" in text.get_text() and "%" in text.get_text() for text in panel.texts)


def test_the_figure_fits_its_sheet_and_names_its_axes(dataset, planted):
    every = outcomes_of(dataset)
    few = [outcome for outcome in every if outcome.theorem.key == "leakage_ceiling"]
    for outcomes in (every, few, outcomes_of(planted[0])):
        figure = drawn(outcomes)
        with style.drawing():
            assert not cut_off(figure)
        assert any(axes.get_xlabel() == "bound" for axes in figure.axes)
        assert any(axes.get_ylabel() == "observed" for axes in figure.axes)


def test_a_cloud_moves_no_pair_by_more_than_a_256th_and_counts_every_one():
    """Of any size and order of blocks; exact zeros stay zeros."""
    random = np.random.default_rng(3)
    bound = np.exp(random.normal(size=4000) * 20) * random.choice([-1.0, 0.0, 1.0], 4000)
    clouds = [Cloud(), Cloud()]
    for cloud, parts in zip(clouds, (1, 7)):
        for part in np.array_split(bound, parts):
            none = np.zeros(part.size)
            holds = np.full(part.size, Verdict.HOLDS.code)
            cloud.add(Judgement(holds, none, none, (), 0.5 * part, part, None, None))
    one, other = (cloud.points(Verdict.HOLDS) for cloud in clouds)
    for a, b in zip(one, other):
        assert np.array_equal(a, b)
    assert one.rows.sum() == 4000
    nearest = np.abs(one.bound[None] - bound[:, None]).min(1)
    assert (nearest <= np.abs(bound) / 256).all()
    assert 0.0 in one.bound
    assert np.allclose(one.observed, 0.5 * one.bound, rtol=1 / 256)


def test_groups_share_a_quantity_and_a_side(dataset):
    found = groups(outcomes_of(dataset))
    assert len({(group.quantity, group.relation) for group in found}) == len(found)
    entropies = next(g for g in found if g.quantity == "entropy_nats" and g.relation is Relation.AT_MOST)
    assert {o.theorem.key for o in entropies.outcomes} >= {"entropy_ceiling", "frontier", "entropy_split"}


def test_anybodys_attention_is_drawn_by_check_and_by_plot(tmp_path, capsys):
    """A .npz of logits: in figures/ beside it; with --json, which prints JSON alone, only where --out says."""
    own_attention(tmp_path / "own.npz")
    path, picture = str(tmp_path / "own.npz"), tmp_path / "figures" / "against_bound.png"
    assert main(["check", path, "--json"]) == 0
    assert not picture.exists()
    assert main(["check", path]) == 0
    assert str(picture) in capsys.readouterr().out
    by_check = picture.read_bytes()
    shutil.rmtree(picture.parent)
    assert main(["plot", path]) == 0
    assert picture.read_bytes() == by_check
    assert main(["check", path, "--json", "--out", str(tmp_path / "other")]) == 0
    assert (tmp_path / "other" / "against_bound.svg").exists()


def test_a_folder_that_cannot_be_written_takes_no_verdict_back(tmp_path, capsys):
    own_attention(tmp_path / "own.npz")
    (tmp_path / "figures").write_text("a file")
    assert main(["check", str(tmp_path / "own.npz")]) == 0
    assert "figure not drawn" in capsys.readouterr().err
