"""Gates trained with the weights: what is recorded against a forward of the test's own, thresholds along training."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gated_run import CONFIG, gated_cells, gated_run
from small import GATES, TOPICS, configured

from bounds import design
from bounds.penalty.fields import Start
from empirical.errors import BadInput
from empirical.gates.pair_map import CellMap
from empirical.laboratory.cells import LOCALISE
from empirical.laboratory.model import Layout, token_losses
from empirical.laboratory.tasks import make_topics
from empirical.laboratory.training import localise, parameters_of, train

LEVEL_A = design(CONFIG.setting, CONFIG.penalty_setting)["gate_penalty_level_a"]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def dataset():
    return gated_run()


@pytest.fixture(scope="module")
def cells():
    return gated_cells()


class Own:
    """Loss and Omega by plain softmax weights times gates, renormalised: none of the merge's code."""

    def __init__(self, arrays, setting):
        task = make_topics(CONFIG, 1, CPU)
        self.sequences = task.batch(CONFIG)
        self.layout = Layout(task.query_block, CONFIG, torch.float64)
        self.parameters = {name: value[setting : setting + 1] for name, value in parameters_of(arrays).items()}

    def __call__(self, gates, parameters=None):
        """Gates: (head,)."""
        omegas = []

        def weigh(_, logits):
            weights = logits.softmax(-1) * torch.where(self.layout.in_block, 1.0, gates.view(-1, 1, 1, 1))
            weights = weights / weights.sum(-1, keepdim=True)
            omegas.append((weights * ~self.layout.in_block).sum(-1).mean((0, 2, 3)).sum())
            return weights

        given = parameters or self.parameters
        loss = token_losses(given, self.sequences, self.layout, CONFIG, weigh=weigh).mean()
        return loss, sum(omegas)


def test_losses_leakage_slopes_and_gradients_are_those_of_weights_times_gates(cells):
    arrays = cells["localised"]
    for setting, penalty in enumerate(CONFIG.sweep.penalties):
        own = Own(arrays, setting)
        gates = torch.tensor(arrays["gate"][setting]).requires_grad_()
        leaves = {name: value.clone().requires_grad_() for name, value in own.parameters.items()}
        loss, omega = own(gates, leaves)
        assert loss.item() == pytest.approx(float(arrays["loss_train"][setting]), rel=1e-12)
        assert omega.item() == pytest.approx(float(arrays["omega"][setting]), rel=1e-9, abs=1e-15)
        slope, *rest = torch.autograd.grad(loss + penalty * omega, [gates, *leaves.values()])
        np.testing.assert_allclose(arrays["gate_slope"][setting], slope, rtol=1e-8, atol=1e-10)
        norm = torch.stack([one.norm() for one in rest]).norm()
        assert float(norm) == pytest.approx(float(arrays["moment_gradient"][setting, -1]), rel=1e-9)
        assert float(own(torch.zeros(2))[0]) == pytest.approx(float(arrays["loss_shut"][setting]), rel=1e-12)


@pytest.mark.parametrize("start", CONFIG.sweep.starts)
def test_the_critical_penalty_recorded_at_the_end_is_sharp_for_differences_of_the_objective(cells, start):
    """J(t e_c) - J(0) by that forward: above it for every gate, below it for one."""
    arrays = cells[start]
    for setting in range(len(CONFIG.sweep.penalties)):
        critical = arrays["moment_critical"][setting, -1]
        assert critical == np.nan_to_num(arrays["gate_critical"][setting]).max()
        if critical < 1e-6:  # differences of a loss tell no less
            continue
        own, t = Own(arrays, setting), 1e-6 / max(1.0, float(arrays["gate_leakage_slope"][setting].max()))
        change = torch.tensor([own(t * torch.eye(2)[c].double()) for c in range(2)]) - torch.tensor(own(torch.zeros(2)))
        assert (change[:, 0] + 1.02 * critical * change[:, 1] > 0).all()
        assert (change[:, 0] + 0.98 * critical * change[:, 1] < 0).any()


def test_no_gate_opens_at_102_hundredths_of_the_current_critical_penalty_and_one_at_98(dataset):
    critical, opened = dataset["moment_critical"].values, dataset["probe_open"].values
    assert dataset["probe_ratio"].values.tolist() == [0.98, 1.02]
    assert (critical > 0).sum() > critical.size / 2
    assert (opened[critical > 0][:, 0] >= 1).all()
    assert (opened[..., 1] == 0).all()
    assert np.ptp(critical[dataset["start"].values == "random"], axis=1).min() > 0  # it moves with the weights
    assert (dataset["moment_gradient"].values > 0).all()


def test_gates_are_exactly_shut_above_level_a_where_a_plain_penalty_leaves_leakage(dataset):
    above = dataset["penalty"].values > LEVEL_A
    ungated = dataset["start"].values == Start.UNGATED
    assert above.any()
    assert (dataset["gate"].values[above & ~ungated] == 0).all()
    assert (dataset["omega"].values[above & ~ungated] == 0).all()
    assert (dataset["residual"].values[above & ~ungated] == 0).all()
    assert (dataset["gate"].values[ungated] == 1).all()
    assert (dataset["omega"].values[ungated] > 0).all()
    free = (dataset["penalty"].values == 0) & (dataset["start"].values == "random")
    assert (dataset["gate"].values[free] > 0).any()


def test_omega_is_the_sum_over_heads_of_the_mean_leakage_of_the_rows_that_are_saved(dataset):
    np.testing.assert_allclose(dataset["leakage"].mean("query").sum(("layer", "head")), dataset["omega"], atol=1e-15)


def test_settings_side_by_side_equal_separate_ones_and_the_same_bits_come_again(cells):
    config, penalties = configured(GATES, sweep={"max_steps": 2}), (0.3, 10.0)
    found = cells[LOCALISE]
    once, again = (train(config, 1, "random", penalties, found) for _ in range(2))
    alone = train(config, 1, "random", penalties[1:], found)
    for name, value in once.items():
        assert again[name].tobytes() == value.tobytes(), name
    for name in ("gate", "omega", "loss_train", "parameter/forms", "moment_critical"):
        np.testing.assert_allclose(alone[name][0], once[name][1], rtol=1e-9, atol=1e-12)


def test_penalties_in_multiples_of_the_gates_critical_one_and_none_where_no_gate_wants_to_open(monkeypatch):
    relative = configured(GATES, sweep={"relative_to_critical": True, "max_steps": 1})
    assert relative.digest() != configured(GATES, sweep={"max_steps": 1}).digest()
    assert float(localise(relative, 1)["critical"]) > 0
    monkeypatch.setattr(CellMap, "lambda_crit", lambda found, problem: 0.0)
    with pytest.raises(BadInput, match="critical penalty above 0, got 0 for seed 1: no gate wants to open"):
        localise(relative, 1)


def test_groups_are_those_of_localise_and_change_the_digest():
    config = configured(GATES, penalty={"groups": ["block_query", "head"]}, sweep={"max_steps": 2, "penalties": [0.1]})
    assert config.digest() != CONFIG.digest()
    arrays = train(
        configured(GATES, penalty={"groups": ["head", "block_query"]}, sweep={"max_steps": 2}), 1, "random", (0.1,)
    )
    assert arrays["gate"].shape == (1, 4)
    assert arrays["gate_layer"].tolist() == [-1] * 4
    assert arrays["gate_head"].tolist() == [0, 0, 1, 1]
    assert arrays["gate_block_query"].tolist() == [0, 1, 0, 1]
    assert arrays["cell_gate"].shape == (1, 2, 2, 2)


REFUSED = [
    ({"penalty": {"kind": "gate"}}, "penalty.kind must be 'norms' or 'gates', got 'gate'"),
    ({"penalty": {"groups": ["heads"]}}, "penalty.groups must be a list of 'layer' or 'head'"),
    ({"penalty": {"groups": ["head", "head"]}}, "penalty.groups must be a list of"),
    ({"penalty": {"key_norm": 1.0}}, "penalty.key_norm must go with penalty.kind='norms', got 1.0"),
    ({"penalty": {"kind": "norms", "groups": ["head"]}}, "penalty.groups must go with penalty.kind='gates'"),
    ({"penalty": {"kind": "norms"}}, "sweep.starts must go with penalty.kind='gates' to hold 'ungated', got 'norms'"),
    (
        {"sweep": {"starts": ["zero"]}},
        "sweep.starts must be 'localised' or 'random' or 'ungated' with penalty.kind='gates'",
    ),
    ({"sweep": {"starts": ["downwards"]}}, "with penalty.kind='gates', got 'downwards'"),
    ({"penalty": {"loss_reference": -1.0}}, "loss_reference must be at least loss_least, got -1 with 0"),
    ({"penalty": {"target_leakage": 0}}, "target_leakage must be finite and > 0, got 0"),
]


@pytest.mark.parametrize(("sections", "said"), REFUSED)
def test_what_does_not_go_with_gates_is_refused_by_name(sections, said):
    with pytest.raises(BadInput, match=said.replace("[", "\\[")):
        configured(GATES, **sections)


def test_gates_on_the_blocks_task_and_relative_penalties_without_a_critical_one_are_refused():
    with pytest.raises(BadInput, match=r"penalty\.kind='gates' must go with task\.name='topics', got 'blocks'"):
        configured({"schema_version": 1, "penalty": {"kind": "gates"}, "task": {"name": "blocks"}})
    with pytest.raises(BadInput, match=r"must go with penalty\.kind='gates' or task\.name='blocks'"):
        configured(TOPICS, sweep={"relative_to_critical": True})
