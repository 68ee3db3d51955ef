"""benchmarks/selection.py from end to end at sizes of a test, and the page that is printed from what it saved."""

from __future__ import annotations

import copy
import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from empirical.figures import style

pytest.importorskip("transformers")
ROOT = Path(__file__).parent.parent
MODULES = ("common", "subjects", "selection", "selection_page")


@pytest.fixture
def load(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    yield importlib.import_module
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.mark.slow
def test_every_way_is_judged_on_documents_that_did_not_choose(load, monkeypatch, tmp_path):
    subjects, selection, out = load("subjects"), load("selection"), tmp_path / "selection.json"
    trained_on = subjects.trained_on
    monkeypatch.setattr(subjects, "trained_on", lambda streams, steps: trained_on(streams, 30))
    assert selection.main(["--models", "text", "--quick", "--out", str(out)]) == 0
    found = json.loads(out.read_text())["models"]["text"]
    assert set(found["ways"]) == set(load("selection_page").LOOKS)
    assert found["documents"] == {"choose": 4, "judge": 4}
    assert max(found["solver"]["gradients"]) <= 60
    for way in found["ways"].values():
        assert len(way["removed"]) == len(way["cost"])
        assert 0 <= way["reach"] <= 1
        assert len(way["picked"]["gates"]) == 16
    whole = found["ways"]["late first"]
    assert (whole["removed"][0], whole["cost"][0]) == (0, 0)
    assert whole["cost"][-1] == pytest.approx(found["mask"]["cost"], rel=1e-4, abs=1e-6)
    assert sum(layer["removed"] for layer in found["layer_by_layer"]) == pytest.approx(1)


def test_the_committed_page_is_printed_from_the_committed_numbers(load):
    page = load("selection_page")
    saved = json.loads((ROOT / "benchmarks" / "selection.json").read_text(encoding="utf-8"))
    assert page.page(saved) == (ROOT / "docs" / "selection.md").read_text(encoding="utf-8")
    assert not saved["quick"]
    with style.drawing():
        assert len(page.figure(saved).axes) == len(saved["models"])


def test_the_page_says_when_ours_is_no_better_and_blocks_are_no_cheaper(load):
    page = load("selection_page")
    saved = json.loads((ROOT / "benchmarks" / "selection.json").read_text(encoding="utf-8"))
    model = copy.deepcopy(next(iter(saved["models"].values())))
    for way in model["ways"].values():
        way["ours_less_this"] = [-0.2, -0.1]
    assert "less far than" in page.against(model)
    for way in model["ways"].values():
        way["ours_less_this"] = [-0.2, 0.1]
    assert "for all the interval tells" in page.against(model)
    model["solver"]["omega_kept"], model["ways"][page.OURS]["cost"] = [0.5, 0.2, 0.1], [0.0, 0.01, 0.02]
    assert "80 % of leakage goes at +0.0100" in page.turned_down(model, 0.01)
    assert "no penalty" in page.turned_down(model, -0.1)
    model["null"]["p"] = [0.5, 0.5, 1.0]
    assert "**no less**" in page.permuted(model)
    model["null"]["p"] = [1 / 21] * 3
    assert "cost less than" in page.permuted(model)
    for cost, words in (
        ([3.0, 2.0, 1.0], "Late layers"),
        ([1.0, 2.0, 3.0], "Early layers"),
        ([1.0, 2.0, 1.0], "not go"),
    ):
        model["layer_by_layer"] = [{"cost": one, "removed": 1.0} for one in cost]
        assert words in page.depths(model)


def test_a_frontier_is_the_least_cost_of_what_removes_as_much(load):
    removed, cost = load("selection_page").frontier({"removed": [0.5, 0.0, 1.0, 0.5], "cost": [0.4, 0.0, 0.1, 0.2]})
    np.testing.assert_array_equal(removed, [0, 0.5, 1])
    np.testing.assert_array_equal(cost, [0, 0.1, 0.1])


def test_permuted_blocks_that_cost_as_much_have_a_large_p(load, monkeypatch):
    selection = load("selection")
    costs = iter([[0.1, 0.2, 0.3], [0.1, 0.1, 0.4], [0.2, 0.1, 0.4], [0.3, 0.1, 0.4]])
    monkeypatch.setattr(selection, "costs_of_labels", lambda subject, generator: next(costs))
    assert selection.null(None, 3)["p"] == [0.5, 1.0, 0.25]
