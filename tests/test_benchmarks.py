"""Benchmarks run, save what they say, and end with status 1 where a limit is missed; no number is judged here."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from browsers import chromium_path

FOLDER = Path(__file__).parent.parent / "benchmarks"
NAMES = (
    *("startup", "rows", "sweep", "steps", "closed_forms", "growth", "studies", "streaming", "observe", "weights"),
    *("pages", "selection", "gates", "mutants"),
)


@pytest.fixture
def load(monkeypatch):
    """Benchmarks as modules; they find each other as scripts of one folder do."""
    monkeypatch.syspath_prepend(FOLDER)
    yield importlib.import_module
    for name in ("common", "table", *NAMES):
        sys.modules.pop(name, None)


def test_steps(tmp_path, load, monkeypatch, capsys):
    steps, out = load("steps"), tmp_path / "steps.json"
    quick = ["--quick", "--out", str(out)]
    assert steps.main([*quick, "--limit", "0", "--gpu-limit", "0"]) == 0
    saved, said = json.loads(out.read_text()), capsys.readouterr().out
    assert saved["kept"] is True
    assert saved["quick"] is True
    assert saved["ratio"] > 0
    assert saved["quartiles"][0] <= saved["ratio"] <= saved["quartiles"][1]
    assert saved["better_loop"] in saved["rates"]
    assert saved["share_of_peak"] > 0
    assert saved["commit"]
    if torch.cuda.is_available():
        assert (tmp_path / saved["gpu"]).exists()
    else:
        assert saved["gpu"] is None
        assert "no CUDA device" in saved["gpu_skipped"]
        assert "skipped" in said
    monkeypatch.setattr(steps, "measure", lambda quick: saved)
    monkeypatch.setattr(steps, "no_gpu", lambda: "not asked for")
    assert steps.main([*quick, "--limit", "1e9"]) == 1
    assert json.loads(out.read_text())["kept"] is False
    assert "MISSED" in capsys.readouterr().out


def test_both_sides_of_the_comparison_take_the_same_steps(load):
    """Gradients are the same, steps are counted, and so are the flops that PyTorch counts, two settings at a time."""
    from torch.utils.flop_counter import FlopCounterMode

    laboratory = load("steps").Laboratory(2)
    _, gradient = laboratory.data.loss_and_gradient(laboratory.start)
    leaf = laboratory.start.clone().requires_grad_()
    (same,) = torch.autograd.grad(laboratory.data.loss(leaf).sum(), leaf)
    torch.testing.assert_close(gradient, same, rtol=1e-10, atol=1e-16)
    assert laboratory.batched(2) == 2 * 3
    assert laboratory.loop(3) == 3
    with FlopCounterMode(display=False) as counter:
        laboratory.data.loss_and_gradient(laboratory.start)
    assert counter.get_total_flops() == 2 * laboratory.flops()


def test_a_large_batch_is_measured_without_a_graph_where_there_is_no_gpu(load):
    found = load("steps").measure_batch("cpu", quick=True)
    assert found["pays"] == "eager"
    assert found["not_captured"] == "not a CUDA device"
    assert set(found["rates"]) == {"eager", "loop", "product"}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_a_large_batch_on_a_gpu(load):
    found = load("steps").measure_batch("cuda", quick=True)
    assert found["pays"] in ("eager", "captured")
    assert ("captured" in found["rates"]) == (found["not_captured"] is None)
    assert found["ratio"] > 0


def test_closed_forms(tmp_path, load, monkeypatch, capsys):
    """As a command, which misses the limit given; then the same measurement against other limits."""
    closed_forms, out = load("closed_forms"), tmp_path / "closed_forms.json"
    quick = ["--quick", "--out", str(out)]
    command = [sys.executable, str(FOLDER / "closed_forms.py"), *quick, "--limit", "1e9"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done.stderr
    assert "MISSED" in done.stdout
    saved = json.loads(out.read_text())
    assert saved["kept"] is False
    assert set(saved["cases"]) == set(closed_forms.CASES)
    assert 0 <= saved["difference"] <= 1e-14
    monkeypatch.setattr(closed_forms, "measure", lambda quick: saved)
    assert closed_forms.main([*quick, "--limit", "0", "--limit-difference", "1e-30"]) == 1
    assert closed_forms.main([*quick, "--limit", "0"]) == 0
    assert json.loads(out.read_text())["kept"] is True


def test_a_wrong_closed_form_shows_as_a_difference(load, monkeypatch):
    import bounds

    right = bounds.fidelity_floor
    monkeypatch.setattr(bounds, "fidelity_floor", lambda *rows: right(*rows) * (1 + 1e-12))
    found = load("closed_forms").measure_case("fidelity_floor", rows=50, sample=5, rounds=2)
    assert found["difference"] == pytest.approx(1e-12, rel=1e-2, abs=0)


def test_growth(tmp_path, load, monkeypatch):
    """Without the worker processes, which `test_steps` has started: what they are asked for is done here."""
    growth, out = load("growth"), tmp_path / "growth.json"

    class Here:
        laboratory = growth.Laboratory(2)

        def send(self, asked):
            self.answer = getattr(self.laboratory, asked[0])(asked[1])

        def recv(self):
            return self.answer

    monkeypatch.setattr(growth, "worker", lambda threads: nullcontext(Here()))
    assert growth.main(["--quick", "--out", str(out)]) == 0
    saved = json.loads(out.read_text())
    assert set(saved["exponents"]) == {"settings", "keys", "blocks", "rows"}
    for found in saved["exponents"].values():
        assert np.isfinite(found["exponent"])
        assert len(found["seconds"]) == len(found["sizes"])
    assert saved["cores"]["ratio"] > 0


def test_the_exponent_of_a_power_is_its_exponent(load):
    growth = load("growth")
    sizes = (1, 2, 4, 8)
    assert growth.slope(sizes, [3.0 * s**1.7 for s in sizes]) == pytest.approx((1.7, 1.0))
    assert growth.slope(sizes, [1.0, 9.0, 2.0, 8.0])[1] < 0.5  # not a line
    for dimension, size, shape in (("settings", 3, (3, 4)), ("keys", 16, (8, 4)), ("blocks", 2, (8, 2))):
        laboratory = growth.laboratory(dimension, size)
        assert laboratory.start.shape[0] == shape[0]
        assert laboratory.start.shape[3] == shape[1]
    assert growth.laboratory("keys", 16).data.keys.shape[1] == 16


@pytest.mark.parametrize("name", ["steps", "closed_forms", "growth"])
def test_a_quick_run_never_replaces_a_measured_one(name, load, capsys):
    with pytest.raises(SystemExit) as error:
        load(name).main(["--quick"])
    assert error.value.code == 2
    assert "--quick needs --out" in capsys.readouterr().err


SPREAD = {"median": 600.0, "quartiles": [500.0, 700.0]}
SAVED = {
    "startup": {"ratio": 1.5, "quartiles": [1.4, 1.6], "limit": 3.5},
    "rows": {
        "rows": 10**7, "seconds": 40.0, "limit_seconds": 60.0, "peak_gib": 1.0, "limit_gib": 4.0,
        "exps_per_verdict": 9.0,
    },
    "sweep": {"ratio": 12.0, "ratios": {"plain": 90.0, "accelerated": 12.0}, "limit": 10.0},
    "steps": {
        "ratio": 2.0, "quartiles": [1.9, 2.1], "limit": 1.6, "share_of_peak": 0.2, "share_quartiles": [0.1, 0.3],
        "gpu_skipped": "no CUDA device on this machine",
    },
    "closed_forms": {
        "limit": 100.0, "difference": 2e-15, "limit_difference": 1e-14,
        "cases": {"a": {"judged": True, "ratios": {"15": SPREAD}}, "b": {"judged": False, "ratios": {"15": SPREAD}}},
    },
    "growth": {
        "exponents": {"keys": {"exponent": 0.9, "quartiles": [0.8, 1.0]}},
        "cores": {"ratio": 1.9, "quartiles": [1.8, 2.0]},
    },
    "studies": {"seconds": 100.0, "limit_seconds": 200.0, "studies": {"dial": {"rows": {"VIOLATED": 0}}}},
    "streaming": {
        "longest": 32768, "peak_gib": 0.2, "limit_gib": 2.0, "memory_ratio": 30.0, "time_ratio": 2.0,
        "compared_at": 4096,
    },
    "observe": {
        "ratios": {"1,024": SPREAD | {"median": 1.2}, "4,096": SPREAD | {"median": 1.4}},
        "limits": {"1,024": 1.5, "4,096": 2.5},
        "memory_ratio": 0.1, "limit_memory": 0.25, "imports": 3.0, "figures": 5.0,
    },
    "weights": {
        "parameters": 10**9, "peak_gib": 1.0, "limit_gib": 8.0, "seconds": 60.0, "attack_reaches": 0.9, "outside": 0,
    },
    "pages": {
        "paint": SPREAD | {"median": 0.3}, "slider": SPREAD | {"median": 0.02},
        "limits": {"paint": 1.0, "slider": 0.05}, "bytes": 3e5, "limit_bytes": 6e6,
    },
    "selection": {
        "budget": 0.01,
        "models": {
            "text": {
                "ways": {"penalty path": {"reach": 0.8, "reach_interval": [0.7, 0.9]}},
                "solver": {"residual_over_critical": [1e-5, 2e-5], "gradients": [20, 30]},
            },
        },
    },
    "gates": {
        "map": {"ratio": SPREAD | {"median": 1.2}, "limit": 1.3}, "price": {"ratio": 1.4, "limit": 1.5},
        "memory": {"exponent": 1.0, "limit": 1.3}, "llama": {"peak": 2**33},
        "solver": {"residual": 1e-5, "limit_residual": 1e-4, "gradients": 20, "limit_gradients": 60},
    },
    "mutants": {"drawn": 150, "judged": 150, "ratio": 0.96, "limit": 0.95},
}  # fmt: skip


@pytest.mark.slow
def test_pages(tmp_path, load, capsys):
    pytest.importorskip("playwright")
    pages, out = load("pages"), tmp_path / "pages.json"
    if chromium_path() is None:
        pytest.skip("no Chromium is installed")
    assert pages.main(["--runs", "2", "--limit-paint", "60", "--limit-slider", "60", "--out", str(out)]) == 0
    saved = json.loads(out.read_text())
    assert saved["kept"] is True
    assert len(saved["slider"]["runs"]) == 20
    assert pages.main(["--runs", "2", "--limit-paint", "0", "--out", str(out)]) == 1
    assert "MISSED" in capsys.readouterr().out


@pytest.fixture
def table(load, tmp_path, monkeypatch):
    """The table of a folder in which every benchmark has saved something that keeps its limits."""
    module = load("table")
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    for name, saved in SAVED.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(saved))
    return module


def change(folder: Path, name: str, **values) -> None:
    (folder / f"{name}.json").write_text(json.dumps({**SAVED[name], **values}))


def test_the_table_of_what_was_saved(table, tmp_path, capsys):
    assert tuple(table.READERS) == NAMES
    assert table.main(["--read"]) == 0
    said = capsys.readouterr().out
    assert "MISSED" not in said
    assert "steps: not on a GPU, no CUDA device on this machine" in said
    saved = json.loads((tmp_path / "table.json").read_text())
    assert saved["kept"] is True
    assert set(saved["lines"]) == set(NAMES)
    assert saved["lines"]["startup"][0]["kept"] is True
    assert saved["lines"]["growth"][0]["kept"] is None


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("startup", {"ratio": 4.0}, "MISSED"),
        ("rows", {"peak_gib": 4.5}, "MISSED"),
        ("sweep", {"ratios": {"plain": 90.0, "accelerated": 9.9}}, "MISSED"),
        ("steps", {"ratio": 1.5}, "MISSED"),
        ("closed_forms", {"difference": 1e-12}, "MISSED"),
        ("observe", {"memory_ratio": 0.3}, "MISSED"),
        ("pages", {"bytes": 7e6}, "MISSED"),
        ("gates", {"map": {"ratio": SPREAD | {"median": 1.4}, "limit": 1.3}}, "MISSED"),
        ("mutants", {"judged": 149}, "MISSED"),
        ("mutants", {"ratio": 0.94}, "MISSED"),
        ("rows", {"kept": False}, "rows.json says that a limit is missed"),
        ("growth", {"quick": True}, "growth.json is of a quick run"),
    ],
)
def test_what_is_missed_is_said_and_is_the_exit_status(table, tmp_path, capsys, name, values, words):
    change(tmp_path, name, **values)
    assert table.main(["--read"]) == 1
    assert words in capsys.readouterr().out
    assert json.loads((tmp_path / "table.json").read_text())["kept"] is False


def test_what_is_not_there_is_said(table, tmp_path, capsys):
    (tmp_path / "sweep.json").unlink()
    (tmp_path / "startup.json").write_text(json.dumps({"ratio": 1.0}))
    assert table.main(["--read"]) == 1
    said = capsys.readouterr().out
    assert "sweep: not measured, there is no sweep.json" in said
    assert "startup: startup.json has no 'limit'" in said


def test_a_device_of_its_own_has_lines_of_its_own(table, tmp_path, capsys):
    (tmp_path / "steps-Some-GPU.json").write_text(json.dumps({**SAVED["steps"], "device": "Some GPU", "limit": 50.0}))
    assert table.main(["--read"]) == 1
    assert "plain loop, Some GPU" in capsys.readouterr().out


def test_the_table_runs_the_benchmarks_that_it_is_asked_for(table, tmp_path, capfd):
    saves = "import json, pathlib; pathlib.Path(__file__).with_suffix('.json').write_text(json.dumps({}))\n"
    (tmp_path / "startup.py").write_text(saves.replace("{}", repr(SAVED["startup"])))
    (tmp_path / "growth.py").write_text("raise SystemExit(3)")
    assert table.main(["--only", "startup"]) == 0
    assert table.main(["--only", "startup", "growth"]) == 1
    assert "growth: ended with status 3 and saved nothing" in capfd.readouterr().out
    (tmp_path / "startup.py").write_text(saves.replace("{}", repr(SAVED["startup"])) + "raise SystemExit(1)")
    assert table.main(["--only", "startup"]) == 1
    assert "startup: ended with status 1" in capfd.readouterr().out


def test_gates_miss_a_limit_by_any_part_and_keep_what_was_measured_of_others(tmp_path, load, monkeypatch, capsys):
    gates, out = load("gates"), tmp_path / "gates.json"
    for part, kept, status in (("map", True, 0), ("solver", False, 1), ("price", True, 1)):
        monkeypatch.setitem(gates.PARTS, part, lambda quick, kept=kept: {"kept": kept})
        assert gates.main(["--quick", "--only", part, "--out", str(out)]) == status
    saved = json.loads(out.read_text())
    assert {part: saved[part]["kept"] for part in ("map", "solver", "price")} == {
        "map": True,
        "solver": False,
        "price": True,
    }
    assert saved["kept"] is False


def test_studies_miss_their_limit_by_time_by_a_violated_row_or_by_failing(tmp_path, load, monkeypatch, capsys):
    studies, out = load("studies"), tmp_path / "studies.json"
    rows = {"HOLDS": 5, "VIOLATED": 0, "VACUOUS": 1, "UNKNOWN": 0}
    good = {"seconds": 10.0, "status": 0, "killed": True, "cells_when_killed": 1, "rows": rows}
    for found, limit, status in (
        (good, 11, 0),
        (good, 9, 1),
        ({**good, "rows": {**rows, "VIOLATED": 1}}, 11, 1),
        ({"seconds": 1.0, "status": 2}, 11, 1),
    ):
        monkeypatch.setattr(studies, "run", lambda name, folder, killed_after, found=found: found)
        assert studies.main(["--quick", "--out", str(out), "--limit-seconds", str(limit)]) == status
        assert json.loads(out.read_text())["kept"] is (status == 0)
        assert ("MISSED" in capsys.readouterr().out) is (status == 1)


def test_streaming_misses_its_limit_by_memory_and_by_a_difference(tmp_path, load, monkeypatch):
    streaming, out = load("streaming"), tmp_path / "streaming.json"

    def found(way, tokens, difference=0.0):
        size = tokens**2 if way == "matrices" else tokens
        return {"seconds": 1.0, "bytes": 1000 * size, "sums": [tokens, tokens + difference * (way == "matrices")]}

    monkeypatch.setattr(streaming, "alone", found)
    assert streaming.main(["--quick", "--out", str(out)]) == 0
    assert json.loads(out.read_text())["memory_exponent"] == pytest.approx(2)
    assert streaming.main(["--quick", "--out", str(out), "--limit-gib", "0.0001"]) == 1
    monkeypatch.setattr(streaming, "alone", lambda way, tokens: found(way, tokens, 1.0))
    assert streaming.main(["--quick", "--out", str(out)]) == 1
    assert json.loads(out.read_text())["kept"] is False


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="elsewhere a child begins with its parent's peak")
def test_the_peak_of_a_process_is_its_own_whoever_started_it(load):
    held = np.ones(2**27, dtype=np.uint8)
    code = f"import sys; sys.path.insert(0, {str(FOLDER)!r}); from common import peak; print(peak())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 2**24 < int(done.stdout) < load("common").peak() - held.nbytes


def test_observe_misses_its_limits_by_time_and_by_memory(tmp_path, load, monkeypatch):
    observe, out = load("observe"), tmp_path / "observe.json"
    monkeypatch.setattr(observe, "in_process", lambda *_: {"eager": [1.0, 2.0], "observed": [1.2, 2.6]})

    def found(way, *_, seconds=2.0, size=10):
        own = way == "observed"
        return {"seconds": seconds if own else 1.0, "bytes": size if own else 100, "imports": 1.0, "figures": 1.0}

    for values, status in (({}, 0), ({"seconds": 2.6}, 1), ({"size": 26}, 1)):
        monkeypatch.setattr(observe, "alone", lambda *given, values=values: found(*given, **values))
        assert observe.main(["--quick", "--out", str(out)]) == status
        assert json.loads(out.read_text())["kept"] is (status == 0)
    assert json.loads(out.read_text())["ratios"]["1,024"]["median"] == pytest.approx(1.25)


def test_weights(tmp_path, load, monkeypatch, capsys):
    """A small checkpoint, built and certified in processes of their own; then the same measurement, spoilt."""
    weights, out = load("weights"), tmp_path / "weights.json"
    quick = ["--quick", "--out", str(out)]
    assert weights.main(quick) == 0
    saved = json.loads(out.read_text())
    assert saved["kept"] is True
    assert saved["heads"] == saved["heads_expected"] == 8
    assert 0 < saved["attack_reaches"] < 1
    assert 0 < saved["peak_gib"] < 2
    assert "kept" in capsys.readouterr().out
    for spoilt in ({"outside": 1}, {"heads": 7}, {"peak_gib": 8.1}, {"attacked": 0}):
        monkeypatch.setattr(weights, "measure", lambda quick, spoilt=spoilt: {**saved, **spoilt})
        assert weights.main(quick) == 1
        assert json.loads(out.read_text())["kept"] is False
        assert "MISSED" in capsys.readouterr().out


def test_a_mutant_is_found_again_where_its_line_stands_now(load, tmp_path, monkeypatch):
    pytest.importorskip("cosmic_ray")
    mutants = load("mutants")
    monkeypatch.setattr(mutants, "ROOT", tmp_path)
    (tmp_path / "bounds").mkdir()
    (tmp_path / "bounds" / "one.py").write_text("def f(a: int = 1 + 2) -> int:\n    return a + 1\n")
    (drawn,) = (one for one in mutants.candidates() if one.difference() == ["-    return a + 1", "+    return a - 1"])
    case = mutants.Case(drawn, drawn.difference())
    assert case.today() == drawn
    (tmp_path / "bounds" / "one.py").rename(tmp_path / "bounds" / "two.py")
    mutants.nodes_of.cache_clear()
    assert case.today() == mutants.Mutant("bounds/two.py", drawn.operator, drawn.occurrence)
    (tmp_path / "bounds" / "two.py").write_text("def f(a):\n    return a + 3\n")
    mutants.nodes_of.cache_clear()
    assert case.today() is None


def test_what_survives_counts_unless_no_test_can_tell_it_and_what_is_not_judged_is_no_kill(load, monkeypatch):
    pytest.importorskip("cosmic_ray")
    mutants = load("mutants")
    one = mutants.Mutant("bounds/one.py", "core/AddNot", 0)
    monkeypatch.setattr(mutants, "EQUIVALENT", {"same": "why"})
    cases = [mutants.Case(one, ["-x", "+y"], killed) for killed in (True,) * 19 + (False,)]
    alike = mutants.Case(one, ["-x", "+same"], False)
    assert mutants.summary([*cases, alike], {})["kept"] is True
    assert mutants.summary([*cases, alike], {})["ratio"] == 0.95
    assert mutants.summary([*cases, mutants.Case(one, ["-x", "+y"], False)], {})["kept"] is False
    assert mutants.summary([*cases, mutants.Case(one, ["-x", "+y"])], {})["kept"] is False
