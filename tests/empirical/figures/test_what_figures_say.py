"""What figures say is what they draw: axes without empty stretches, legends of everything, titles of what is there."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from figure_checks import words_of
from matplotlib.collections import PathCollection
from synthetic_observations import observations

from bounds.dial.closed_forms import dial_leakage
from bounds.theorems import by_key
from bounds.theory.theorem import Verdict
from empirical.check.verdicts import check_dataset
from empirical.figures import FIGURES, UNSWEPT, style
from empirical.figures.observed import Observed
from empirical.studies.frame import draws

MARKERS = set("os^Dv")
ROOT = Path(__file__).parents[3]
FAR = 1e4  # times the critical penalty


@pytest.fixture(scope="module")
def blocks():
    """With a setting far beyond the others, as the demo has one."""
    dataset = observations("blocks", seeds=2, queries=16)
    penalty = dataset["penalty"].values.copy()
    largest = penalty == [penalty[dataset["seed"].values == seed].max() for seed in dataset["seed"].values]
    penalty[largest] = FAR * dataset["critical"].values[largest]
    return dataset.assign_coords(penalty=("setting", penalty))


@pytest.fixture(scope="module")
def one_seed():
    return observations("blocks", seeds=1, queries=8)


@pytest.fixture(scope="module")
def dialled():
    """As a checkpoint is observed: no penalty, one setting a dial."""
    dataset = observations("topics", seeds=1, queries=24).isel(setting=[0, 1, 2])
    dataset = dataset.assign_coords(
        penalty=("setting", np.full(3, np.nan)), start=("setting", ["dial 0", "dial 0.5", "dial 0.9"])
    )
    return dataset.assign_attrs(dials=json.dumps([0.0, 0.5, 0.9]), config=json.dumps({"task": {"name": "topics"}}))


def drawn(name, dataset):
    with style.drawing():
        return (FIGURES | UNSWEPT)[name](Observed(dataset))


def markers(axes):
    """(x, y, hollow, shape) of the settings drawn as markers."""
    found = [
        (x, y, line.get_markerfacecolor() == "white", line.get_marker())
        for line in axes.get_lines()
        if line.get_marker() in MARKERS
        for x, y in zip(np.atleast_1d(line.get_xdata()), np.atleast_1d(line.get_ydata()))
    ]
    return [mark for mark in found if np.isfinite(mark[0])]


def legend(figure):
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def panel(figure, words):
    return next(axes for axes in figure.axes if words in axes.get_title("left") + axes.get_title("center"))


def scattered(axes):
    return np.concatenate([np.asarray(c.get_offsets()) for c in axes.collections if isinstance(c, PathCollection)])


@pytest.mark.parametrize("name", ["transition", "fidelity_and_entropy"])
def test_no_third_of_a_penalty_axis_is_empty(blocks, name):
    axes = drawn(name, blocks).axes[0]
    places = np.array([[x, 0.5] for x, *_ in markers(axes)])
    shares = np.sort(axes.transLimits.transform(axes.transScale.transform(places))[:, 0])
    assert shares[0] >= 0
    assert shares[-1] <= 1
    assert np.diff([0, *shares, 1]).max() < 1 / 3


@pytest.mark.parametrize("name", ["transition", "fidelity_and_entropy"])
def test_starts_at_one_penalty_stand_side_by_side_also_in_the_close_up(blocks, name):
    figure = drawn(name, blocks)
    for axes in (figure.axes[0], panel(figure, "close-up")):
        shapes = {}
        for x, _, _, shape in markers(axes):
            shapes.setdefault(shape, set()).add(round(float(x), 9))
        assert len(shapes) == 3
        assert sum(len(places) for places in shapes.values()) == len(set.union(*shapes.values()))


@pytest.mark.parametrize("name", ["transition", "fidelity_and_entropy"])
def test_hollow_markers_are_the_settings_that_did_not_converge_and_the_legend_says_so(blocks, name):
    converged = blocks["converged"].values.astype(bool)
    figure = drawn(name, blocks)
    hollow = [mark[2] for mark in markers(figure.axes[0])]
    assert (sum(hollow), len(hollow)) == ((~converged).sum(), converged.size)
    assert "hollow: not converged" in legend(figure)
    every = drawn(name, blocks.assign(converged=xr.ones_like(blocks["converged"])))
    assert not any(mark[2] for mark in markers(every.axes[0]))
    assert "hollow: not converged" not in legend(every)


def test_a_loss_that_is_below_the_localised_one_is_not_called_above_it(blocks):
    figure = drawn("transition", blocks)
    labels = " ".join(axes.get_ylabel() for axes in figure.axes)
    assert min(y for axes in figure.axes for _, y, *_ in markers(axes)) < 0
    assert "above" not in labels
    assert "less that of the localised model" in labels


def test_every_level_that_the_dataset_determines_is_drawn_b_too(blocks):
    said = " ".join(text.get_text() for axes in drawn("transition", blocks).axes for text in axes.texts)
    for words in ("critical, predicted", "witness", "level A", "level B", "level C"):
        assert words in said
    theorem = by_key("leakage_aware_gradient")
    outcome = next(o for o in check_dataset(blocks, [theorem], witnesses=False))
    low, high = map(float, re.search(r"level B[^:]*: (\S+) to (\S+)", said).groups())
    assert 0 < low < high
    assert outcome.counts[Verdict.HOLDS]
    assert high <= float(re.search(r"level A[^:]*: (\S+)", said).group(1))


def test_the_letter_d_means_the_range_alone(blocks):
    for name in ("transition", "fidelity_and_entropy"):
        figure = drawn(name, blocks)
        said = [words_of(figure), *legend(figure), *(t.get_text() for axes in figure.axes for t in axes.texts)]
        said += [axes.get_title("left") + axes.get_title("center") for axes in figure.axes]
        assert not any(re.search(r"\bD\b", words) for words in said)
    assert "$D$" in drawn("phase", blocks).axes[0].get_ylabel()


def test_one_seed_is_not_called_seeds(one_seed):
    for name in ("transition", "fidelity_and_entropy", "loss_and_fidelity"):
        assert not re.search(r"\b1 (seed|setting|row|head|layer|theorem)s\b", words_of(drawn(name, one_seed)))
    assert "1 seed," in words_of(drawn("transition", one_seed))
    assert [style.counted(n, "query") for n in (1, 1200)] == ["1 query", "1,200 queries"]


def test_lines_whiskers_and_seeds_of_fidelity_are_in_the_legend(blocks):
    figure = drawn("fidelity_and_entropy", blocks)
    words = legend(figure)
    for said in ("critical penalty, median of the seeds", "10 % to 90 % of the rows", "seed 1", "seed 2"):
        assert said in words
    dashes = {handle.get_linestyle() for handle in figure.legends[0].get_lines() if handle.get_label()[:4] == "seed"}
    assert len(dashes) == 2


def test_a_target_is_drawn_only_where_one_was_asked_for(blocks):
    config = json.dumps({"setting": {}, "task": {"name": "blocks"}})
    silent = blocks.assign_attrs(config=config)
    assert "asked fidelity 0.9" in legend(drawn("fidelity_and_entropy", blocks))
    assert not any("asked" in words for words in legend(drawn("fidelity_and_entropy", silent)))
    assert "none was asked for" not in words_of(drawn("phase", blocks))
    assert "none was asked for" in words_of(drawn("phase", silent))


def test_rows_lie_in_the_panel_of_their_margin_below_its_frontiers(blocks):
    figure = drawn("frontier", blocks)
    panels = [axes for axes in figure.axes if axes.get_title("left").startswith("margin / temperature")]
    ends = [tuple(map(float, re.findall(r"-?[\d.]+", axes.get_title("left")))) for axes in panels]
    assert len(panels) == 4
    assert all(a[1] == b[0] for a, b in pairwise(ends))
    margin, leakage, entropy = (blocks[n].values.ravel() for n in ("margin", "leakage", "entropy_nats"))
    assert sum(len(scattered(axes)) for axes in panels) == margin.size
    assert ends[0][0] <= margin.min() + 0.01
    assert ends[-1][1] >= margin.max() - 0.01
    for axes in panels:
        split, upper, lower = (np.array(line.get_xydata()) for line in axes.get_lines())
        mine = scattered(axes)
        assert upper[:, 0].max() >= lower[:, 0].max()
        assert (mine[:, 1] <= np.interp(mine[:, 0], *upper.T) + 1e-3).all()
        assert (mine[:, 1] <= np.interp(mine[:, 0], *split.T) + 1e-3).all()
    assert set(map(tuple, np.concatenate([scattered(axes) for axes in panels]))) == set(zip(leakage, entropy))


@pytest.mark.parametrize("name", ["loss_and_fidelity", "phase"])
def test_colours_are_spread_over_the_penalties_that_most_settings_have(blocks, name):
    figure = drawn(name, blocks)
    low, high = next(axes for axes in figure.axes if "penalty" in axes.get_ylabel()).get_ylim()
    assert np.log10(blocks["penalty"].values.max() / blocks["penalty"].values.min()) > 4
    assert np.log10(high / low) < 2


def test_open_is_not_drawn_as_impossible_and_no_row_is_cut_at_an_edge(blocks, dialled):
    for name, dataset in (("phase", blocks), ("regions", dialled)):
        figure = drawn(name, dataset)
        axes = figure.axes[0]
        looks = {
            handle.get_label().split(":")[0].split(" ")[0]: handle.get_facecolor()
            for handle in figure.legends[0].get_patches()
        }
        assert looks["open"] != looks["impossible"]
        assert axes.get_facecolor() == looks["open"]
        (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
        places = scattered(axes)
        assert ((left < places[:, 0]) & (places[:, 0] < right)).all()
        assert ((bottom < places[:, 1]) & (places[:, 1] < top)).all()
        assert "the others are open" in words_of(figure)
        assert "met by" not in words_of(figure)


def test_steps_are_drawn_of_the_blocks_that_the_table_counts(blocks):
    """A block that vanished in a run shorter than predicted is VACUOUS for the theorem."""
    dataset = blocks.copy(deep=True)
    predicted = by_key("steps_to_zero")
    dataset["steps"].values[:] = 40
    outcome = next(o for o in check_dataset(dataset, [predicted], witnesses=False))
    decided = outcome.rows - outcome.counts[Verdict.VACUOUS]
    assert 0 < decided < (blocks["steps_to_zero"].values >= 0).sum()
    figure = drawn("steps_to_zero", dataset)
    assert f"Of {decided:,} cross blocks" in words_of(figure)
    assert len(scattered(figure.axes[0])) == decided


def test_slacks_stand_on_one_axis_grouped_with_undecided_rows_shown(blocks):
    from empirical.figures import VERDICTS

    dataset = blocks.copy(deep=True)
    dataset["unknown"] = xr.zeros_like(dataset["valid"])
    dataset["unknown"].values[..., :4] = True
    outcomes = check_dataset(dataset, cloud=True, witnesses=False)
    with style.drawing():
        figure = VERDICTS["slack"](outcomes)
    assert len(figure.axes) == 3
    bars = {patch.get_gid(): patch.get_width() for axes in figure.axes for patch in axes.patches if patch.get_gid()}
    for outcome in outcomes:
        for verdict in Verdict:
            share = bars.get(f"{verdict.name} {outcome.theorem.key}", 0)
            assert share == pytest.approx(outcome.counts[verdict] / outcome.rows)
    assert bars["UNKNOWN fidelity_floor"] == pytest.approx(0.25)
    meshes = {c.get_gid(): float(c.get_array().filled(0).sum()) for c in figure.axes[0].collections if c.get_gid()}
    assert meshes["UNKNOWN fidelity_floor"] + meshes["HOLDS fidelity_floor"] == pytest.approx(1)


def test_attention_of_many_heads_shows_every_layer_and_says_how_many_it_leaves_out(dialled):
    dataset = observations("topics", seeds=1, queries=16).isel(layer=[0, 1, 0, 1], head=[0, 1, 0, 1])
    maps = dataset["attention"].copy(deep=True)
    maps.values[:, :, 1:] = np.nan
    figure = drawn("attention", dataset.assign(attention=maps))
    titles = [axes.get_title("left") for axes in figure.axes if axes.get_title("left")]
    assert titles == [f"layer {layer}, head 0" for layer in range(4)]
    assert "4 of 16 heads drawn, 4 layers in all" in words_of(figure)
    own = (dataset["map_query_block"].values[:, None] == dataset["map_key_block"].values[None]) * 1.0
    shares = [float((maps.values[s, :, 0] * own).sum(-1).mean()) for s in (0, -1)]
    assert f"{100 * shares[0]:.0f} % of it at the least penalty, {100 * shares[1]:.0f} %" in words_of(figure)


def test_the_law_along_the_dial_is_a_curve_through_what_it_predicts(dialled):
    figure = drawn("along_the_dial", dialled)
    axes = figure.axes[-1]
    seen = Observed(dialled)
    laws = [line.get_xydata() for line in axes.get_lines() if len(line.get_xdata()) > 100]
    assert len(laws) == 2
    for layer, law in enumerate(laws):
        x, y = law.T
        valid = seen.valid[0, layer]
        for dial in (0.0, 0.5, 0.9):
            leakage, fidelity = (seen.row(name)[0, layer][valid] for name in ("leakage", "fidelity"))
            mean = np.mean(1 - dial_leakage(leakage, fidelity, dial))
            assert np.interp(style.dial_places([dial]), x, y) == pytest.approx(mean, abs=1e-4)
    assert all(line.get_linestyle() == "None" for line in figure.axes[0].get_lines())


def test_a_model_without_a_loss_is_not_told_of_one_that_is_nan(dialled):
    for dataset in (dialled.assign(loss_heldout=dialled["loss_heldout"] * np.nan), dialled.drop_vars("loss_heldout")):
        figure = drawn("along_the_dial", dataset)
        assert "nan" not in words_of(figure)
        assert "loss" not in words_of(figure)
        assert len(figure.axes) == 1
    assert "loss from" in words_of(drawn("along_the_dial", dialled))


def test_heads_have_the_same_colours_at_every_dial(dialled):
    figure = drawn("heads", dialled)
    limits = {}
    for axes in figure.axes:
        for image in axes.get_images():
            limits.setdefault(axes.get_title("left").split(",")[0], set()).add(image.get_clim())
    assert len(limits) == 3
    assert all(len(each) == 1 for each in limits.values())


def test_layers_count_from_0_in_the_figure_of_schedules():
    numbers = json.loads((ROOT / "bounds" / "ledger" / "evidence" / "studies" / "schedule.json").read_text())
    costs = draws("schedule").draw(numbers)["schedule"].axes[0]
    layers = len(numbers["layers"]["costs"])
    assert all(list(line.get_xdata()) == list(range(layers)) for line in costs.get_lines())


def test_a_loss_that_hardly_moves_does_not_fill_its_axis(dialled):
    flat = dialled.assign(loss_heldout=("setting", np.array([3.0, 3.0003, 3.0006])))
    low, high = drawn("along_the_dial", flat).axes[0].get_ylim()
    assert high - low > 90 * 0.0006
    low, high = drawn("along_the_dial", dialled).axes[0].get_ylim()
    assert np.ptp(dialled["loss_heldout"].values) > 0.5 * (high - low)
