"""`localist schedule`: the published powers of depth beside the optimum, and the condition for late layers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog

from bounds.depth.calculators import fill, layer_costs, schedule
from bounds.depth.schedules import FIRST, LAST, OPTIMUM, UNIFORM, Layers, compare, largest_scale
from empirical.cli import main
from empirical.cli.exits import BAD_INPUT, OK

STUDY = Path(__file__).resolve().parents[3] / "bounds" / "ledger" / "evidence" / "studies" / "schedule.json"
EIGHT = ["schedule", "--diameters", *"1" * 8, "--lipschitz", *["0.25"] * 8]
LAST_FIVE = 8.20703125  # (1.25^5 - 1) / 0.25
RELATIVE = 1e-12  # sums of some tens of terms

numbers = st.floats(0.01, 10.0)


@st.composite
def layers_and_budget(draw):
    size = draw(st.integers(1, 7))
    several = st.lists(numbers, min_size=size, max_size=size)
    layers = Layers(*(np.array(draw(several)) for _ in range(3)))
    return layers, draw(st.floats(0.01, 1.3)) * float(layers.costs @ layers.available)


def by_name(ways):
    return {way.name: way for way in ways}


def reported(capsys, arguments):
    assert main([*arguments, "--json"]) == OK
    result = json.loads(capsys.readouterr().out)
    return result, {way["name"]: way for way in result["schedules"]}


def test_powers_and_clipped_powers_of_the_depth(capsys):
    """The numbers of the ledger, there from a grid over l_0 and a scale outside the clip."""
    result, ways = reported(capsys, [*EIGHT, "--budget", str(LAST_FIVE)])
    assert ways[OPTIMUM]["removed"] == 5
    assert [ways[f"(l/L)^{b}"]["share"] for b in (1, 3, 5)] == pytest.approx([0.879, 0.506, 0.377], abs=1e-3)
    assert [ways[f"clipped, beta {b}"]["share"] for b in (1, 3, 5)] == pytest.approx([0.879, 0.978, 0.988], abs=1e-3)
    assert result["late_layers"] == {
        "diameter_allowed": [1.25] * 7,
        "holds": [True] * 7,
        "optimum_is_last_first": True,
    }


@given(layers_and_budget())
def test_every_schedule_keeps_the_budget_and_none_beats_the_linear_programme(case):
    layers, budget = case
    limits = list(zip(np.zeros(len(layers.available)), layers.available))
    best = -linprog(-np.ones(len(limits)), A_ub=[layers.costs], b_ub=[budget], bounds=limits).fun
    ways = by_name(compare(layers, budget))
    assert ways[OPTIMUM].removed == pytest.approx(best, rel=1e-7)
    for way in ways.values():
        assert way.drift == pytest.approx(layers.costs @ way.allocation)
        assert way.drift <= budget * (1 + RELATIVE), way.name
        assert (way.allocation >= 0).all()
        assert (way.allocation <= layers.available * (1 + RELATIVE)).all(), way.name
        assert way.share <= 1 + RELATIVE, way.name


@given(layers_and_budget(), st.sampled_from((1, 3, 5)))
def test_the_clipped_family_spends_the_budget_and_no_other_knee_within_it_does_better(case, beta):
    layers, budget = case
    found = by_name(compare(layers, budget))[f"clipped, beta {beta}"]
    depth = np.arange(1, len(layers.costs) + 1)
    assert found.knee is not None
    np.testing.assert_allclose(found.allocation, layers.available * np.minimum(1, (depth / found.knee) ** beta))
    if found.removed < layers.available.sum() * (1 - 1e-9):
        assert found.drift == pytest.approx(budget, rel=1e-9)
    for knee in np.geomspace(0.3, 1000, 60):
        other = layers.available * np.minimum(1, (depth / knee) ** beta)
        assert layers.costs @ other > budget * (1 - RELATIVE) or other.sum() <= found.removed * (1 + RELATIVE)


def test_a_pure_power_never_exceeds_what_the_last_layer_has():
    layers = Layers(np.ones(4), np.zeros(4), np.ones(4))
    ways = by_name(compare(layers, 100.0, powers=(2,)))
    np.testing.assert_allclose(ways["(l/L)^2"].allocation, np.array([1, 4, 9, 16]) / 16)
    np.testing.assert_array_equal(ways["clipped, beta 2"].allocation, 1)
    assert ways[UNIFORM].removed == ways[OPTIMUM].removed == 4


def test_the_largest_scale_where_some_layers_offer_nothing():
    price, shape = np.array([0.0, 2.0, 0.0, 1.0]), np.array([0.1, 0.2, 0.5, 1.0])
    assert largest_scale(price, shape, 3.0) == np.inf
    scale = largest_scale(price, shape, 1.5)
    assert price @ np.minimum(1, scale * shape) == pytest.approx(1.5)
    assert largest_scale(price, shape, 0.7) == pytest.approx(0.5)


@given(layers_and_budget())
def test_the_condition_is_that_costs_fall(case):
    layers, budget = case
    gap = np.abs(layers.costs[1:] / layers.costs[:-1] - 1)
    assert ((layers.late == (layers.costs[1:] <= layers.costs[:-1])) | (gap < RELATIVE)).all()
    np.testing.assert_allclose(layers.costs, layer_costs(layers.diameters, layers.lipschitz))
    if layers.late.all():
        assert by_name(compare(layers, budget))[LAST].share == pytest.approx(1, rel=RELATIVE)


def test_where_it_fails_the_first_layers_may_be_best(capsys):
    rising = ["schedule", "--diameters", "1", "3", "9", "--lipschitz", "0", "0.5", "0.5", "--budget", "2.5"]
    result, ways = reported(capsys, rising)
    assert result["late_layers"]["holds"] == [False, False]
    assert not result["late_layers"]["optimum_is_last_first"]
    assert ways[FIRST]["share"] == pytest.approx(1)
    assert ways[LAST]["share"] < 0.5
    assert main(rising) == OK
    out = capsys.readouterr().out
    assert "fails from layer 0 to 1, 1 to 2" in out
    assert "is not optimal at this budget" in out
    assert main([*rising[:-1], "99"]) == OK  # all there is: any order
    assert "is all the same optimal at this budget" in capsys.readouterr().out


def test_deep_stacks_keep_the_budget_too():
    """Costs over 25 decades: what was spent before a layer must not come from a sum that has its own price in it."""
    layers = Layers(np.ones(80), np.full(80, 1.1), np.ones(80))
    for budget in (1e-9, 1.0, 1e20):
        assert all(way.drift <= budget * (1 + RELATIVE) for way in compare(layers, budget))
    two = schedule([1e300, 1.0], [1.0, 1.0], 1.0)
    np.testing.assert_array_equal(two, [0, 1])
    np.testing.assert_array_equal(fill(np.array([1, 0]), np.array([1e300, 1.0]), np.ones(2), np.array(1.0)), [0, 1])


def test_a_saved_study_has_all_it_takes(capsys):
    study = json.loads(STUDY.read_text())
    result, ways = reported(capsys, ["schedule", str(STUDY), "--budget", "20"])
    np.testing.assert_allclose(result["layers"]["costs"], study["layers"]["costs"], rtol=RELATIVE)
    assert result["late_layers"]["holds"] == study["late_layers"]
    expected = schedule(study["layers"]["costs"], study["layers"]["leakage"], 20.0)
    np.testing.assert_allclose(ways[OPTIMUM]["allocation"], expected, rtol=RELATIVE)
    result, _ = reported(capsys, ["schedule", str(STUDY), "--budget", "20", "--available", *"111111"])
    assert result["layers"]["available"] == [1.0] * 6  # flags win
    assert main(["schedule", str(STUDY), "--budget", "20"]) == OK
    out = capsys.readouterr().out
    assert "HOLDS in every layer" in out
    assert "0, 2.605" in out  # attention and MLP


def test_sublayers_between_count(capsys):
    arguments = ["schedule", "--diameters", "1", "5", "--lipschitz", "9", "1", "1.5", "3", "--budget", "1"]
    result, _ = reported(capsys, arguments)
    assert result["layers"]["costs"] == [2 * 2.5 * 4, 5 * 4]
    assert result["late_layers"]["diameter_allowed"] == [2 * 2.5]
    assert result["late_layers"]["holds"] == [True]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--budget 0 --diameters 1 --lipschitz 1", "budget must be finite and > 0, got 0.0"),
        ("--budget -2 --diameters 1 --lipschitz 1", "budget must be finite and > 0, got -2.0"),
        ("--budget nan --diameters 1 --lipschitz 1", "budget must be finite and > 0, got nan"),
        ("--budget inf --diameters 1 --lipschitz 1", "budget must be finite and > 0, got inf"),
        ("--budget 1", "diameters must be given, one number a layer, or a SCHEDULE.json"),
        ("--budget 1 --diameters 1", "lipschitz must be given"),
        ("--budget 1 --diameters 1 2 3 --lipschitz 1 2", "lipschitz must be one number a layer, or the same number"),
        ("--budget 1 --diameters 1 2 3 --lipschitz 1 2", "got 2 with 3 diameters"),
        ("--budget 1 --diameters 1 2 --lipschitz 1 2 --available 1", "available must be one number a layer, got 1"),
        ("--budget 1 --diameters 1 2 --lipschitz 1 2 --available 0 0", "available must be positive in some layer"),
        ("--budget 1 --diameters 1 0 --lipschitz 1 2", "diameters must be finite and > 0, got 0.0"),
        ("--budget 1 --diameters 1 1 --lipschitz 1 -2", "lipschitz must be finite and >= 0, got -2.0"),
        ("--budget 1 --diameters 1 1 1 --lipschitz 1e200 1e200 1e200", "costs must be finite and > 0, got inf"),
        ("nowhere.json --budget 1", "got 'nowhere.json' (No such file or directory)"),
    ],
)
def test_bad_input_is_one_line(arguments, said, capsys):
    assert main(["schedule", *arguments.split()]) == BAD_INPUT
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"not JSON", "no JSON"),
        (b"\xff\xfe", "no UTF-8"),
        (b"[1, 2]", "no object"),
        (b'{"rows": []}', "lacks 'layers'"),
        (b'{"layers": {"diameters": [1], "lipschitz": [1]}}', "lacks 'leakage'"),
        (b'{"layers": {"diameters": 1, "lipschitz": [1], "leakage": [1]}}', "not iterable"),
        (b'{"layers": {"diameters": ["a"], "lipschitz": [1], "leakage": [1]}}', "could not convert"),
    ],
)
def test_files_that_are_no_study(content, said, tmp_path, capsys):
    (tmp_path / "study.json").write_bytes(content)
    assert main(["schedule", str(tmp_path / "study.json"), "--budget", "1"]) == BAD_INPUT
    error = capsys.readouterr().err
    assert "SCHEDULE.json must be a readable JSON file with layers.diameters" in error
    assert said in error
    assert error.count("\n") == 1


def test_a_budget_is_required(capsys):
    assert main(EIGHT) == BAD_INPUT
    assert "localist schedule must be given --budget" in capsys.readouterr().err


PROBE = """
import sys
from empirical.cli import main
status = main(sys.argv[1:])
print([m for m in ("sympy", "scipy", "torch", "matplotlib", "xarray", "h5py") if m in sys.modules], file=sys.stderr)
"""


@pytest.mark.parametrize("extra", ["", "import sympy\n"])
def test_it_starts_light(extra):
    """And where something heavy is loaded the probe says so."""
    command = [sys.executable, "-c", extra + PROBE, *EIGHT, "--budget", "1"]
    found = subprocess.run(command, capture_output=True, text=True).stderr.strip()
    assert found == ("['sympy']" if extra else "[]")
