"""Depth and over-smoothing: sums between any two dials, parts of a sequence, and what attention contracts."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from figure_checks import own_figures
from small import TOPICS, configured

from bounds.theorems import Verdict, by_key
from empirical.check.verdicts import check
from empirical.dial.drift import depth_rows, depth_sum, drift, given, secants
from empirical.errors import BadInput
from empirical.laboratory.dialled_pass import logits_and_values, run
from empirical.laboratory.model import Layout, initial_parameters
from empirical.laboratory.tasks import make_task
from empirical.studies.depth.smoothing import contraction, effective_rank, overlaps, similarity
from empirical.studies.frame import draw_study, read_study, run_study

LAYERS = 3
ROUNDING = 1e-12  # some thousand float64 operations, none cancelling: relative to a bound


@pytest.fixture(scope="module")
def laboratory():
    config = configured(TOPICS, model={"layers": LAYERS})
    parameters = initial_parameters(config, 1, 1, torch.device("cpu"), torch.float64)
    parameters["forms"] *= 2
    task = make_task(config, 1, torch.device("cpu"))
    return parameters, task.heldout[:8, :-1], Layout(task.query_block, config, torch.float64), config


@pytest.mark.parametrize(("first", "second"), [(0.0, 1.0), (1.0, 0.0), (math.inf, 3.0), (math.inf, 0.0), (0.5, 2.0)])
def test_the_sum_holds_from_any_model_to_any_other(laboratory, first, second):
    one, other = (run(*laboratory, given([kappa] * LAYERS), original=first) for kappa in (first, second))
    assert (one.errors == 0).all()
    assert (other.errors <= other.removed * other.diameters * (1 + ROUNDING)).all()
    moved = drift(one, other)
    assert (moved > 0).all()
    assert (moved <= depth_sum(other, secants(one, other)) * (1 + ROUNDING)).all()


def test_parts_of_a_sequence_make_the_whole(laboratory):
    trace = run(*laboratory, given([1.0] * LAYERS))
    halves = [trace.on(laboratory[2].query_block == block) for block in range(2)]
    torch.testing.assert_close(sum(half.errors for half in halves) / 2, trace.errors, rtol=1e-12, atol=0)
    torch.testing.assert_close(sum(half.removed for half in halves) / 2, trace.removed, rtol=1e-12, atol=0)
    assert sum(half.states.shape[2] for half in halves) == trace.states.shape[2]


def test_rows_of_layers_are_judged(laboratory):
    one, other = (run(*laboratory, given([kappa] * LAYERS)) for kappa in (0.0, 1.0))
    rows = {key: np.stack([value, value]) for key, value in depth_rows(one, other).items()}
    outcome = check(by_key("depth_sum"), rows, ("twice", "sequence"))
    assert outcome.counts[Verdict.HOLDS] == outcome.rows == 16
    assert set(outcome.worst) == {"twice", "sequence"}
    small = {**rows, "drift": rows["drift"] * 100}
    assert check(by_key("depth_sum"), small, ("twice", "sequence")).counts[Verdict.VIOLATED] == 16
    bold = {**rows, "lipschitz": rows["lipschitz"] * 0.9}
    assert check(by_key("depth_sum"), bold, ("twice", "sequence")).counts[Verdict.VACUOUS] == 16


def test_similarity_and_rank_of_known_states():
    x = torch.randn(3, 7, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    cosines = torch.nn.functional.cosine_similarity(x.unsqueeze(-2), x.unsqueeze(-3), dim=-1)
    naive = (cosines.sum((-2, -1)) - 7) / (7 * 6)
    torch.testing.assert_close(similarity(x), naive, rtol=1e-12, atol=1e-12)
    assert float(effective_rank(torch.eye(5).double())) == pytest.approx(5)
    assert float(effective_rank(torch.ones(4, 3).double())) == pytest.approx(1)
    assert float(similarity(torch.ones(4, 3).double())) == pytest.approx(1)


def test_what_attention_contracts_is_at_most_what_its_rows_differ(laboratory):
    parameters, _, layout, config = laboratory
    states = run(*laboratory, given([0.0] * LAYERS)).states
    for layer in range(LAYERS):
        logits, values = logits_and_values(parameters, states[2 * layer], layer, layout, config)
        weights = logits.softmax(-1)
        apart, most = contraction(weights, values)
        assert (apart > 0).all()
        assert (apart <= most * (1 + ROUNDING)).all()
        torch.testing.assert_close(
            overlaps(weights),
            (weights.unsqueeze(-2) - weights.unsqueeze(-3)).abs().sum(-1) / 2,  # total variation, the other formula
            rtol=1e-12,
            atol=1e-12,
        )


def test_two_opposite_values_attain_the_contraction():
    weights = torch.tensor([[0.9, 0.1], [0.2, 0.8]], dtype=torch.float64)
    apart, most = contraction(weights, torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64))
    assert float(apart) == pytest.approx(float(most), rel=1e-12)
    assert float(most) == pytest.approx(0.7)


def test_the_study_is_of_the_localist_stream(tmp_path):
    with pytest.raises(BadInput, match=r"model.stream must be 'localist' .*, got 'shared'"):
        run_study("depth", configured(TOPICS, model={"stream": "shared"}), tmp_path)


def test_the_whole_study(tmp_path):
    config = configured(TOPICS, model={"layers": LAYERS, "anchor_logit": None}, sweep={"penalties": [0.0]})
    outcomes = run_study("depth", config, tmp_path)
    assert [o.theorem.key for o in outcomes] == ["depth_sum", "depth_sum", "output_error", "dial_segment"]
    assert all(outcome.verdict is Verdict.HOLDS for outcome in outcomes)
    numbers = read_study(tmp_path)["numbers"]
    moved, whole, own = (np.array(numbers[key]) for key in ("drift", "bound_whole", "bound_own"))
    assert moved.shape[:2] == (3, LAYERS + 1)
    assert (moved <= whole * (1 + 1e-9)).all()
    assert (whole <= own * (1 + 1e-9)).all()
    np.testing.assert_allclose(moved[:, :-1], whole[:, :-1], rtol=1e-9)  # one layer alone attains the sharper sum
    parts = {key: np.array(value) for key, value in numbers["smoothing"].items()}
    assert parts["similarity"].shape == (4, LAYERS + 1)
    assert (parts["contraction"] <= parts["contraction_at_most"]).all()
    names = own_figures(draw_study(tmp_path, tmp_path / "drawn"))
    assert names == ["depth.png", "depth.svg", "smoothing.png", "smoothing.svg"]
