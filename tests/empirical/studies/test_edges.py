"""Edges of problems whose edges are known in closed form, of the small laboratory, and of frozen text models."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from figure_checks import own_figures
from small import SMALL, TOPICS, configured

from bounds.theorems import Verdict
from empirical.errors import BadInput
from empirical.laboratory.config import load
from empirical.laboratory.continuation import as_forms, as_rows
from empirical.laboratory.model import cross_entropy
from empirical.laboratory.store import Store
from empirical.laboratory.tasks import level_c
from empirical.laboratory.transition import PenalisedRows, find_edges
from empirical.penalise.groups import Groups
from empirical.penalise.objective import Shared
from empirical.penalise.proximal_gradient import group_norms
from empirical.studies.edges import measure as edges_study
from empirical.studies.edges.certificate import dual_level
from empirical.studies.edges.trained_forms import frozen_problem, token_ingredients
from empirical.studies.evidence import main as evidence
from empirical.studies.frame import draw_study, read_study, run_study

ROOT = Path(__file__).resolve().parents[3]
FROZEN = configured(
    TOPICS,
    model={
        "layers": 1,
        "mlp": False,
        "dtype": "float64",
        "anchor_logit": 2.0,
        "value_norm": 4.0,
        "unembedding_norm": 2.0,
    },
    sweep={"penalties": [0.0, 30.0], "max_steps": 60, "learning_rate": 0.02, "tolerance": 1e-7},
)


def test_edges_in_closed_form():
    """L(w) = -(c w + k w^2/2 - w^4/4) + (v - w)^2/2, v not penalised: for w > 0, -L' = c + k w - w^3 rises, then falls.

    critical c; upper edge max(c + k w - w^3) = c + (2k/3) sqrt(k/3); crossing max(c + k w/2 - w^3/4) = c + (k/3)
    sqrt(2k/3). With k = 0 the transition is continuous: all three are c. With c = 0 nothing leaves.
    """
    c = torch.tensor([1.0, 0.3, 2.0, 0.0], dtype=torch.float64)
    k = torch.tensor([2.0, 1.5, 0.0, -1.0], dtype=torch.float64)

    class Quartic:
        def __init__(self, c, k):
            self.c, self.k = c, k

        def __call__(self, points, /):
            w, v = points.unbind(-1)
            loss = -(self.c * w + self.k * w**2 / 2 - w**4 / 4) + (v - w) ** 2 / 2
            slope = -(self.c + self.k * w - w**3) + (w - v)
            return loss, torch.stack([slope, v - w], -1)

        def take(self, rows):
            return Quartic(self.c[rows], self.k[rows])

    zero = torch.zeros(4, 2, dtype=torch.float64)
    penalised = torch.tensor([[True, False]]).expand(4, 2)
    problem = PenalisedRows(Quartic(c, k), Groups(("w",), torch.tensor([0, 1])), penalised, zero, zero + 3.0)
    found = find_edges(problem, tolerance=1e-9, precision=1e-3)
    assert found.critical.tolist() == c.tolist()
    upper, crossing = c + 2 * k / 3 * (k / 3).sqrt(), c + k / 3 * (2 * k / 3).sqrt()
    for row in range(3):
        assert found.lower[row, 0] < c[row] <= found.lower[row, 1] * (1 + 1e-9)
        assert float(found.lower[row, 1] / found.lower[row, 0]) == pytest.approx(1, abs=1.1e-3)
        assert found.upper[row, 0] <= upper[row] * (1 + 1e-9)
        assert found.upper[row, 1] >= upper[row] * (1 - 1e-9)
        assert float(found.upper[row, 1] / found.upper[row, 0]) == pytest.approx(1, abs=1.1e-3)
    assert found.crossing[:2].tolist() == pytest.approx(crossing[:2].tolist(), rel=1e-6)
    assert float(found.crossing[2]) == pytest.approx(2.0, rel=2e-2)  # w -> 0 at the edge: approached from below
    assert found.crossing[2] <= 2.0
    assert found.lower[3].isnan().all()
    assert found.upper[3].isnan().all()
    assert found.crossing[3] == 0
    whole = found.whole()
    assert float(whole.crossing) == float(found.crossing.max())
    assert float(whole.upper[0, 0]) == float(found.upper[:3, 0].max())


def test_a_better_localised_point_found_on_the_way_lowers_the_witness():
    """w = 0 has two in-block points, v = 0 (loss 0) and v = 2 (loss -1): a witness against the first alone is none."""

    def objective(points):
        w, v = points.unbind(-1)
        pull = 0.1 * w * v  # w gains only where v is at the better point
        loss = v**2 * (v - 2.0) ** 2 - (3 * v**2 - v**3) / 4 - pull + w**2 / 2
        slope = 2 * v * (v - 2) ** 2 + 2 * v**2 * (v - 2) - (6 * v - 3 * v**2) / 4 - 0.1 * w
        return loss, torch.stack([w - 0.1 * v, slope], -1)

    start = torch.tensor([[0.0, 0.0]], dtype=torch.float64)
    other = torch.tensor([[0.5, 2.0]], dtype=torch.float64)
    problem = PenalisedRows(
        Shared(objective), Groups(("w",), torch.tensor([0, 1])), torch.tensor([[True, False]]), start, other
    )
    found = find_edges(problem, tolerance=1e-9)
    assert float(found.crossing) <= 0.21  # ||grad_w|| = 0.1 v at the better point; against v = 0 it would exceed 1


def store_of(config, folder):
    return Store.open(folder, config, {}, resume=True)


@pytest.fixture(scope="module")
def frozen(tmp_path_factory):
    return frozen_problem(FROZEN, 1, store_of(FROZEN, tmp_path_factory.mktemp("frozen")))


def test_rows_of_a_frozen_model_are_its_loss(frozen):
    problem, objective = frozen
    rows = torch.randn(problem.localised.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    forms = as_forms(rows[:, None], 2, 4)
    assert torch.equal(as_rows(forms)[:, 0], rows)
    parts, gradient = objective(rows)
    leaf = forms.clone().requires_grad_()
    loss = cross_entropy({**objective.parameters, "forms": leaf}, objective.sequences, objective.layout, FROZEN)
    (whole,) = torch.autograd.grad(loss.sum(), leaf)
    assert float(parts.sum()) == pytest.approx(float(loss.detach()), rel=1e-12)
    assert torch.allclose(as_forms(gradient[:, None], 2, 4), whole, rtol=1e-10, atol=1e-14)
    one, slope = objective.take(torch.tensor([1]))(rows[1:])
    assert torch.allclose(one, parts[1:])
    assert torch.allclose(slope, gradient[1:])
    norms = problem.groups.norms(gradient)[:, :-1].view(2, 2, 2).transpose(0, 1)  # head, block_query, block_key
    assert torch.allclose(norms, group_norms(whole)[0, 0], rtol=1e-10, atol=1e-14)


def test_the_localised_point_is_an_in_block_optimum(frozen):
    problem, objective = frozen
    assert (problem.cross_norms(problem.localised) == 0).all()
    norms = problem.groups.norms(objective(problem.localised)[1])
    assert norms[~problem.penalised].max() <= 1e-8
    assert norms[problem.penalised].max() > 1e-6


def test_no_gradient_of_a_frozen_model_exceeds_the_measured_level(frozen):
    problem, objective = frozen
    known = token_ingredients(objective)
    level = torch.as_tensor(level_c(known, FROZEN.setting.temperature))  # block_query, block_key
    generator = torch.Generator().manual_seed(3)
    largest = 0.0
    for scale in (0.01, 0.1, 1.0, 10.0):
        for _ in range(10):
            rows = scale * torch.randn(problem.localised.shape, generator=generator, dtype=torch.float64)
            norms = problem.groups.norms(objective(rows)[1])[:, :-1].view(2, 2, 2)  # block_query, head, block_key
            ratio = (norms / level[:, None])[:, :, :].amax(1)
            largest = max(largest, float(ratio[0, 1]), float(ratio[1, 0]))
    assert 1e-3 < largest <= 1


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Task -> its folder, finished when first asked for; `blocks` with a certificate on one interval of n alone."""
    configs = {
        "blocks": configured(SMALL, sweep={"seeds": [1, 2], "tolerance": 1e-8, "workers": 1}),
        "topics": configured(FROZEN.as_dict(), model={"heads": 1}, sweep={"max_steps": 400, "tolerance": 1e-6}),
    }

    @functools.cache
    def folder(task: str) -> Path:
        made = tmp_path_factory.mktemp(task)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("empirical.studies.edges.trained_forms.SEQUENCES", 8)
            patch.setattr(edges_study, "dual_level", lambda *given: dual_level(*given[:3], 2, (0.0, 0.5)))
            outcomes = run_study("edges", configs[task], made)
        assert all(outcome.verdict is Verdict.HOLDS for outcome in outcomes)
        return made

    return folder


@pytest.mark.parametrize("task", ["blocks", pytest.param("topics", marks=pytest.mark.slow)])
def test_the_study_of_both_tasks(finished, task, tmp_path):
    numbers = read_study(finished(task))["numbers"]
    assert max(abs(r - 1) for r in edges_study.over_critical(numbers, "lower edge")) < 3e-3
    check_order(numbers)
    drawn = own_figures(draw_study(finished(task), tmp_path))
    names = ("edges", "bracket") if task == "blocks" else ("edges",)
    assert drawn == [f"{name}.{kind}" for name in names for kind in ("png", "svg")]


def test_the_bracket_and_its_certificate_are_of_the_first_seed(finished):
    numbers = read_study(finished("blocks"))["numbers"]
    bracket, certificate = numbers["bracket"], numbers["certificate"]
    value = {level["level"]: level["value"] for level in bracket["levels"]}
    by_name = {level["level"]: level["value"] for level in numbers["levels"]}
    assert bracket["seed"] == 1
    assert bracket["loss_localised"] == certificate["losses"]
    assert by_name["quadratic majorants"] == {"1": certificate["level"]}
    assert value["quadratic majorants"] == certificate["level"]
    assert value["lambda_crit"] == pytest.approx(by_name["lambda_crit"]["1"], rel=1e-12)
    assert 0 < value["lambda_glob, witness"] < certificate["level"]


@pytest.mark.slow
def test_the_ledger_keeps_one_file_of_both(finished, tmp_path):
    assert read_study(finished("topics"))["numbers"]["bracket"] is None
    assert evidence([str(finished("blocks")), str(finished("topics")), "--out", str(tmp_path)]) == 0
    both = json.loads((tmp_path / "edges.json").read_text())["problems"]
    assert [problem["task"] for problem in both] == ["blocks", "topics"]
    saved = read_study(finished("blocks"))["numbers"]
    for name, key in (("bracket", "bracket"), ("dual", "certificate")):
        kept = json.loads((tmp_path / f"{name}.json").read_text())
        assert saved[key].items() <= kept.items()
        assert kept["problem_digest"] == saved["problem_digest"]
    assert {file.name for file in tmp_path.glob("*.png")} == {"edges.png", "bracket.png"}
    assert evidence([str(tmp_path), "--out", str(tmp_path)]) == 2


def check_order(problem):
    """lambda_crit is the lower edge; no witness once the branch is gone; everything found is below what is proved."""
    for seed in map(str, problem["seeds"]):
        value = {level["level"]: level["value"].get(seed) for level in problem["levels"]}
        proved = [
            level["value"][seed] for level in problem["levels"] if level["kind"] == "proved" and seed in level["value"]
        ]
        found = [value[name] for name in ("lambda_crit", "lower edge", "crossing", "upper edge") if value[name]]
        assert max(found) < min(proved)
        assert value["crossing"] <= value["upper edge"] * 1.003
        assert value["lambda_crit"] <= value["lower edge"] * 1.003


def test_the_committed_study():
    """Both tasks at full size: the lower edge is the critical penalty within 1 %, and everything is in its order."""
    saved = json.loads((ROOT / "bounds" / "ledger" / "evidence" / "studies" / "edges.json").read_text())["problems"]
    assert [problem["task"] for problem in saved] == ["blocks", "topics"]
    for problem, name in zip(saved, ("blocks", "topics_edges")):
        assert problem["problem_digest"] == load(ROOT / "examples" / f"{name}.toml").problem_digest()
        assert max(abs(ratio - 1) for ratio in edges_study.over_critical(problem, "lower edge")) < 0.01
        check_order(problem)
    values = {level["level"]: np.median(list(level["value"].values())) for level in saved[0]["levels"]}
    assert values["upper edge"] > 4 * values["lambda_crit"]  # hysteresis


def test_bad_configurations_are_named(tmp_path):
    with pytest.raises(BadInput, match="one layer, no MLP and both caps"):
        run_study("edges", configured(TOPICS), tmp_path / "deep")
    free = configured(FROZEN.as_dict(), sweep={"penalties": [0.0], "max_steps": 2})
    with pytest.raises(BadInput, match=r"makes every cross block zero, got 0\.0 at most"):
        run_study("edges", free, tmp_path / "free")
