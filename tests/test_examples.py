"""The documented examples run offline, and show what they say: both sides of a critical penalty, and of Adam's own."""

from __future__ import annotations

import importlib
import json
import math
import socket
import sys
from pathlib import Path

import any_module
import gpt2
import pytest
import torch

from bounds import adam_threshold
from empirical.laboratory.config import load


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    def refuse(*_):
        raise AssertionError("an example must not use the network")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)


def test_any_module_follows_both_branches_around_its_critical_penalty(capsys):
    critical, down, up = any_module.main()
    assert critical.residual <= 1e-6
    assert down.converged.all()
    assert up.converged.all()
    assert torch.allclose(up.points[0], down.points[-1], atol=1e-4)  # it starts where the other ended
    zero = (down.norms == 0).sum(1).tolist()
    above, below = any_module.SHARES.index(1.001), any_module.SHARES.index(0.999)
    assert zero[: above + 1] == [len(any_module.GROUPS)] * (above + 1)
    assert zero[below] < len(any_module.GROUPS)
    assert zero[-1] == 0
    assert torch.equal(down.points[0], down.points[above])  # the localised model, left alone
    said = capsys.readouterr().out
    for path in (down, up):
        for number, penalty in enumerate(path.penalties):
            assert f"{penalty:.4e}" in said
            assert f"{float(path.loss[number]):.6f}" in said


def test_a_head_that_is_zero_in_queries_and_keys_is_the_trap_that_the_docstring_names():
    torch.manual_seed(1)
    model, batches = any_module.Regression(), any_module.data(10, 0.3)
    any_module.module_groups(model, any_module.GROUPS).localise()
    free = any_module.critical_penalty(model, any_module.error, batches, any_module.GROUPS)
    assert min(free.gradient_norms.values()) > 1e-4
    with torch.no_grad():
        for rows in (any_module.BLOCKS["a"], any_module.KEY_ROWS["a"]):
            model.attention.in_proj_weight[rows] = 0.0
            model.attention.in_proj_bias[rows] = 0.0
    trapped = any_module.critical_penalty(model, any_module.error, batches, any_module.GROUPS)
    assert {g for g, norm in trapped.gradient_norms.items() if norm == 0} == {"query a<-b", "key a<-b"}


def test_gpt2_shows_the_penalty_that_adamw_needs(capsys):
    critical, bound, rows = gpt2.main(warm=25, steps=15, dtype=torch.float64)
    assert len(critical.gradient_norms) == 48
    assert min(critical.gradient_norms.values()) > 0
    assert bound == adam_threshold(256)
    held, above, below, *lower = rows
    assert (held.penalty, held.left, held.zero, held.residual) == (math.inf, 0, 48, 0)
    assert (above.left, above.zero, above.evaluation_loss) == (0, 48, held.evaluation_loss)
    assert below.left >= 1
    assert all(row.left > below.left for row in lower)
    assert held.pull == above.pull <= bound
    assert critical.penalty < below.penalty  # of another optimiser
    assert f"{below.penalty:.4e}" in capsys.readouterr().out


def test_gpt2_groups_are_what_heads_read_of_other_blocks():
    """Changing a group changes the queries or keys of its head alone, and only through its features."""
    torch.manual_seed(0)
    model = gpt2.gpt2(width=16, heads=2).double()
    ((name, index),) = gpt2.head_groups(model.config)["layer 1 key 0<-1"]
    attention = model.transformer.h[1].attn.c_attn
    assert name == "transformer.h.1.attn.c_attn.weight"
    x = torch.randn(3, 16, dtype=torch.float64)
    x[:, 8:] = 0.0
    before = attention(x)
    with torch.no_grad():
        attention.weight[index] += 1.0
        assert torch.equal(attention(x), before)  # nothing to read
        x[:, 8:] = 1.0
        after = attention(x)
        attention.weight[index] -= 1.0
        columns = ((after - attention(x)).abs() > 1e-9).any(0).nonzero()[:, 0]
    assert columns.tolist() == list(range(16, 24))  # the keys of head 0, behind 16 columns of queries


ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def demo(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    yield importlib.import_module("demo")
    sys.modules.pop("demo")


def decided(outcomes) -> set[str]:
    return {one["theorem"] for one in outcomes if one["verdict"] in ("HOLDS", "VIOLATED")}


def test_the_demo_says_its_conclusion_then_where_the_figures_are_then_the_time(demo, tmp_path, monkeypatch, capsys):
    def run(name, out):
        (out / name).mkdir()
        outcome = {"theorem": "kkt_zero", "verdict": "HOLDS", "counts": {"HOLDS": 1}, "least_slack": 0.5}
        (out / name / "verdicts.json").write_text(json.dumps({"outcomes": [outcome]}))
        return 3 if name == "demo_topics" else 0

    monkeypatch.setattr(demo, "run", run)
    assert demo.main(["--out", str(tmp_path), "--set-up", "70"]) == 3
    first, figures, _, times = capsys.readouterr().out.splitlines()
    assert first.startswith("Nothing is violated; 1 theorem holds, kkt_zero with the least slack, 0.5;")
    assert all(str(tmp_path / f"demo_{name}" / "figures") in figures for name in demo.RUNS)
    assert times == "Time: set-up 70 s, once; run 0 s"
    assert demo.main(["--full", "--out", str(tmp_path / "full")]) == 0
    assert str(tmp_path / "full" / "blocks" / "figures") in capsys.readouterr().out


@pytest.mark.parametrize("name", ["blocks", "topics", "topics_without_anchors"])
def test_an_example_of_the_demo_is_the_full_one_with_less_of_it(name):
    whole, small = (load(ROOT / "examples" / f"{prefix}{name}.toml").as_dict() for prefix in ("", "demo_"))
    for section in ("setting", "penalty", "model"):
        assert small[section] == whole[section]
    assert small["task"] == whole["task"] | {"queries": small["task"]["queries"]}
    assert set(small["sweep"]["starts"]) == set(whole["sweep"]["starts"])


@pytest.mark.slow
def test_the_demo_decides_what_the_full_runs_decide(demo, tmp_path):
    """Of the runs that the ledger's evidence cites, by name: what is decided there is decided here."""
    assert demo.main(["--out", str(tmp_path)]) == 0
    evidence = [json.loads(file.read_text()) for file in (ROOT / "bounds" / "ledger" / "evidence").glob("*.json")]
    for name in demo.RUNS:
        cited = [(e["theorem"], run) for e in evidence for run in e["observed"] if run["run"] == name]
        full = {theorem for theorem, run in cited if "HOLDS" in run["counts"]}
        assert full
        assert full <= decided(json.loads((tmp_path / f"demo_{name}" / "verdicts.json").read_text())["outcomes"])


def test_what_the_page_says_of_any_module_runs():
    page = (Path(__file__).parent.parent / "docs" / "how_to" / "penalties.md").read_text()
    code = page.split("```python notest\n")[1].split("```")[0]
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    torch.manual_seed(0)
    model, batches, blocks = any_module.Regression(), any_module.data(10, 0.3), any_module.BLOCKS
    any_module.error(model, batches[0]).backward()
    names = {"model": model, "loss": any_module.error, "batches": batches, "rows": blocks, "columns": blocks}
    names["optimizer"] = torch.optim.AdamW(model.parameters())
    exec(code, names)
    assert names["path"].points.shape[0] == 2
    assert names["proximal"].pulls().keys() == names["critical"].gradient_norms.keys()
