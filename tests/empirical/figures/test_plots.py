"""The figures, from made-up observations that obey the bounds: complete, repeatable, honest when they do not."""

from __future__ import annotations

import csv
import functools
import json
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
import xarray as xr
from figure_checks import cut_off, words_of
from synthetic_observations import observations

import bounds
from empirical import figures
from empirical.errors import BadInput
from empirical.figures import FIGURES, VERDICTS, plot, style
from empirical.figures.against_penalty import fidelity_and_entropy
from empirical.figures.observed import Absent, Observed, middle, thinned
from empirical.figures.penalty_axis import PenaltyAxis
from empirical.figures.points import HEADER, write_points
from empirical.figures.steps import predicted_and_observed
from empirical.figures.transition import levels, share_of_zero_groups

ABSENT = {"blocks": {"masking"}, "topics": {"steps_to_zero"}}


@pytest.fixture(scope="module")
def datasets():
    return {task: observations(task) for task in ABSENT}


@pytest.fixture(params=ABSENT)
def task(request):
    return request.param


@pytest.fixture
def seen(datasets, task):
    return Observed(datasets[task])


@pytest.fixture(scope="module")
def drawn(datasets):
    """(task, name) -> the figure, made when it is first asked for."""

    @functools.cache
    def figure(task, name):
        with style.drawing():
            return FIGURES[name](Observed(datasets[task]))

    return figure


def test_every_figure_is_written_twice_alike_or_its_absence_explained(datasets, task, tmp_path, capsys, monkeypatch):
    """Once for either task; the second time each figure once, of `topics` what `blocks` lacks."""
    files = plot(datasets[task], tmp_path / "once")
    said = capsys.readouterr().out
    names = [*VERDICTS, *(name for name in FIGURES if name not in ABSENT[task])]
    expected = {f"{name}.{kind}" for name in names for kind in ("png", "svg")}
    assert files[0].name == "against_bound.png"
    assert {f.name for f in files} == expected | {"points.csv"}
    assert all(f.stat().st_size > 0 for f in files)
    assert [line.split(":")[0] for line in said.splitlines()] == [
        f"figure {name}" for name in FIGURES if name in ABSENT[task]
    ]
    assert all("<dc:date>" not in f.read_text() for f in files if f.suffix == ".svg")
    if task == "topics":
        monkeypatch.setattr(figures, "VERDICTS", {})
        monkeypatch.setattr(figures, "FIGURES", {name: FIGURES[name] for name in ABSENT["blocks"]})
    for again in plot(datasets[task], tmp_path / "twice"):
        assert again.read_bytes() == (tmp_path / "once" / again.name).read_bytes(), again.name


@pytest.mark.parametrize("name", FIGURES)
def test_nothing_is_cut_off(drawn, task, name):
    """Titles, legends and labels lie on the sheet, within a hundredth of an inch."""
    if name in ABSENT[task]:
        with pytest.raises(Absent):
            drawn(task, name)
        return
    with style.drawing():
        assert not cut_off(drawn(task, name))


@pytest.mark.parametrize("name", FIGURES)
def test_every_axis_is_labelled(drawn, task, name):
    """Each figure names its quantities, with units where they have one."""
    if name in ABSENT[task]:
        return
    figure = drawn(task, name)
    labels = [a.get_xlabel() + a.get_ylabel() for a in figure.axes] + [figure.get_supxlabel(), figure.get_supylabel()]
    assert any(labels)
    assert words_of(figure)


def test_no_panel_is_empty(drawn, task):
    """Where a run has no localised loss to compare with, the transition still shows the loss itself."""
    for axes in drawn(task, "transition").axes:
        if not axes.get_yticks().size:  # the strip of levels
            continue
        drawn = [line for line in axes.get_lines() if line.get_marker() in list("os^D") and np.size(line.get_xdata())]
        assert drawn
        assert all(np.isfinite(line.get_ydata()).all() for line in drawn)


def test_missing_data_skip_their_figure_with_the_reason(datasets, tmp_path, capsys, unsaved):
    lacking = datasets["blocks"].drop_vars(["attention", "group_norm"])
    names = {f.name for f in plot(lacking, tmp_path)}
    said = capsys.readouterr().out
    assert "figure attention: not drawn, the dataset has no attention\n" in said
    assert "figure transition: not drawn, the dataset has no group_norm\n" in said
    assert {"attention.png", "transition.png"}.isdisjoint(names)
    assert "phase.png" in names


def test_a_dataset_without_a_valid_row_draws_no_row_figure(datasets, tmp_path, capsys, unsaved):
    dataset = datasets["blocks"].copy()
    dataset["valid"] = dataset["valid"] & False
    plot(dataset, tmp_path)
    said = capsys.readouterr().out
    assert "figure phase: not drawn, no row is valid" in said
    assert "figure frontier: not drawn, no row is valid" in said


def test_another_dataset_is_refused_by_name(datasets, tmp_path):
    with pytest.raises(BadInput, match=r"dataset must hold observations of a run .* lacks fidelity, valid"):
        plot(datasets["blocks"].drop_vars(["fidelity", "valid"]), tmp_path / "figures")
    assert not (tmp_path / "figures").exists()
    with pytest.raises(BadInput, match="has fidelity over"):
        plot(datasets["blocks"].isel(query=0), tmp_path / "figures")


def test_points_carry_configuration_bound_observed_and_slack(datasets, tmp_path):
    dataset = datasets["topics"]
    with write_points(Observed(dataset), tmp_path / "points.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == HEADER
    medians = [r for r in rows if r["figure"] == "fidelity_and_entropy"]
    sizes = dataset.sizes
    assert len(medians) == 2 * sizes["setting"] * sizes["layer"] * sizes["head"]
    assert len(rows) - len(medians) == sizes["setting"]
    assert {r["config"] for r in rows} == {dataset.attrs["config_digest"]}
    for row in medians:
        sign = 1 if row["quantity"] == "fidelity" else -1
        assert float(row["slack"]) == sign * (float(row["observed"]) - float(row["bound"])) >= 0


def test_layers_heads_and_blocks_count_from_0_in_figures_and_points(datasets, tmp_path):
    with write_points(Observed(datasets["topics"]), tmp_path / "points.csv").open(newline="") as file:
        rows = [r for r in csv.DictReader(file) if r["figure"] == "fidelity_and_entropy"]
    assert {(r["layer"], r["head"]) for r in rows} == {("0", "0"), ("0", "1"), ("1", "0"), ("1", "1")}
    numbered = Observed(datasets["topics"].assign_coords(layer=[4, 9]))
    assert numbered.head_words(1, 0) == "layer 9, head 0"
    assert Observed(datasets["topics"].isel(head=[0] * 4)).heads()[0][0] == "layer 0, 4 heads pooled"
    labels = [t.get_text() for t in FIGURES["attention"](numbered).legends[0].get_texts()]
    assert labels[:4] == [f"block {at}" for at in range(4)]


def test_blocks_have_the_names_of_the_run(datasets):
    named = datasets["topics"].assign_attrs(blocks=json.dumps(["numbers and 9 more", "$lists$", "strings"]))
    labels = [t.get_text() for t in FIGURES["attention"](Observed(named)).legends[0].get_texts()]
    assert labels[:4] == ["numbers and 9 more", r"\$lists\$", "strings", "block 3"]


def test_the_median_of_row_bounds_bounds_the_median(seen):
    sizes = {n: n for n in ("n_keys", "n_block", "n_anchors", "temperature")}
    floor = seen.bound(bounds.fidelity_floor, margin="margin", **sizes)
    for percent in (0, 10, 50, 90, 100):
        assert (middle(seen.row("fidelity"), percent) >= middle(floor, percent) - 1e-12).all()


def test_a_median_beyond_its_bound_is_shouted(datasets):
    dataset = datasets["blocks"].copy()
    dataset["fidelity"] = dataset["fidelity"] * 0.5
    assert "no median passes its bound" in words_of(fidelity_and_entropy(Observed(datasets["blocks"])))
    assert "PASS THEIR BOUND" in words_of(fidelity_and_entropy(Observed(dataset)))


def test_a_row_above_its_frontier_is_shouted(datasets):
    dataset = datasets["blocks"].copy()
    dataset["entropy_nats"] = dataset["entropy_nats"] + 1
    assert "No row lies above" in words_of(FIGURES["frontier"](Observed(datasets["blocks"])))
    assert "ROWS LIE above" in words_of(FIGURES["frontier"](Observed(dataset)))


def test_a_late_block_is_shouted(datasets):
    dataset = datasets["blocks"].copy()
    dataset["steps_to_zero"] = dataset["steps_to_zero"] * 2
    assert "none is late" in words_of(FIGURES["steps_to_zero"](Observed(datasets["blocks"])))
    assert "ARE LATE" in words_of(FIGURES["steps_to_zero"](Observed(dataset)))


def test_levels_are_those_of_the_dataset(datasets):
    seen = Observed(datasets["blocks"])
    found = {level.key: level.values for level in levels(seen)}
    assert found["critical"].tolist() == np.unique(seen.values("critical")).tolist()
    assert found["C"].tolist() == [0.74] * 3
    worst = bounds.penalty_threshold_worst_case(
        gradient_bound=4.0, value_diameter=2.0, query_norm=1.0, key_norm=1.0, key_diameter=2.0, query_share=0.25
    )
    assert found["A"].tolist() == pytest.approx([worst] * 3, rel=1e-14)
    assert "A" not in {level.key for level in levels(Observed(datasets["topics"]))}


def test_only_cross_blocks_count_and_only_exact_zeros(datasets):
    dataset = datasets["blocks"].copy(deep=True)
    dataset["group_norm"][:] = 0.0
    assert (share_of_zero_groups(Observed(dataset)) == 1).all()
    dataset["group_norm"][..., 0, 1] = 1e-300
    assert share_of_zero_groups(Observed(dataset)) == pytest.approx(11 / 12)
    dataset["group_norm"][..., 0, 0] = 1.0
    assert share_of_zero_groups(Observed(dataset)) == pytest.approx(11 / 12)


def test_steps_are_compared_on_plain_settings_above_their_gradients_that_ran_as_long_as_predicted(datasets):
    seen = Observed(datasets["blocks"])
    predicted, taken, penalty = predicted_and_observed(seen)
    plain = (seen.start == "plain")[:, None, None, None]
    peak, done = seen.pairs("gradient_peak"), seen.pairs("steps_to_zero")
    above = seen.penalty[:, None, None, None] - peak
    lasted = seen.pairs("group_norm_start") <= 500 * 40.0 * above  # steps x step size
    use = plain & (above > 0) & lasted & (done >= 0)
    assert predicted.shape == taken.shape == penalty.shape == (use.sum(),)


def test_a_block_that_outlives_a_long_enough_run_is_late(datasets):
    dataset = datasets["blocks"].copy()
    dataset["steps_to_zero"] = xr.full_like(dataset["steps_to_zero"], -1)
    dataset["steps"] = xr.full_like(dataset["steps"], 10**6)
    predicted, taken, _ = predicted_and_observed(Observed(dataset))
    assert predicted.size
    assert (taken == 10**6 + 1).all()
    assert (taken > predicted).all()


def test_zero_has_a_place_on_the_penalty_axis():
    axis = PenaltyAxis(np.array([0.0, 1e-4, 1e-2]))
    places = axis.place([0.0, 1e-4, 1e-2])
    assert places[0] < places[1] == -4.0
    assert axis.has_zero
    assert not PenaltyAxis(np.array([1e-4])).has_zero


def test_thinning_keeps_few_and_always_the_same():
    mask = np.ones(50_001, dtype=bool)
    few = thinned(mask, 20_000)
    assert few.size <= 20_000
    assert (np.diff(few) == 3).all()
    assert thinned(np.zeros(5, dtype=bool)).size == 0


def test_style_leaves_the_callers_settings_alone(seen, tmp_path):
    before = dict(matplotlib.rcParams)
    with style.drawing():
        assert matplotlib.rcParams["svg.hashsalt"] == "localist-bounds"
    assert dict(matplotlib.rcParams) == before


def test_drawing_needs_neither_torch_nor_pyplot():
    code = "import sys, empirical.figures; print(*sorted({'torch', 'matplotlib.pyplot'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""
