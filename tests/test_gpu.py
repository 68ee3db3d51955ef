"""On a CUDA device: the same numbers as on the CPU, to float64 rounding amplified by some hundred steps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small import SMALL, TOPICS, configured

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine"),
]


def test_blocks_agree_with_the_cpu():
    from empirical.laboratory.training import localise, train

    on_cpu, on_gpu = configured(SMALL), configured(SMALL, sweep={"device": "cuda"})
    one, two = localise(on_cpu, 1), localise(on_gpu, 1)
    np.testing.assert_allclose(one["critical"], two["critical"], rtol=1e-7)
    penalties = (0.9 * float(one["critical"]), 1.1 * float(one["critical"]))
    a, b = train(on_cpu, 1, "localised", penalties, one), train(on_gpu, 1, "localised", penalties, two)
    for name in ("fidelity", "entropy_nats", "group_norm", "loss_train"):
        np.testing.assert_allclose(a[name], b[name], rtol=1e-5, atol=1e-7)
    assert ((a["group_norm"] == 0) == (b["group_norm"] == 0)).all()


@pytest.mark.parametrize("start", ["downwards", "upwards"])
def test_branches_agree_with_the_cpu(start):
    """Both points are stationary to 1e-9, and so within that over the least curvature of each other, not equal."""
    from empirical.laboratory.continuation import follow_branch
    from empirical.laboratory.tasks import make_task
    from empirical.laboratory.training import localise

    config = configured(SMALL)
    localised = localise(config, 1)
    forms = torch.as_tensor(localised["parameter/forms"])[0]
    forms, ratios = (forms, (3.0, 1.02, 0.9, 0.5)) if start == "downwards" else (0 * forms, (0.5, 0.9, 1.02, 3.0))
    penalties = float(localised["critical"]) * torch.tensor(ratios, dtype=forms.dtype)
    (first, one), (second, two) = (
        follow_branch(
            make_task(config, 1, torch.device(device)).training,
            forms.to(device),
            penalties.to(device),
            tolerance=1e-9,
            max_steps=2000,
        )
        for device in ("cpu", "cuda")
    )
    assert one.converged.all()
    assert all(value.is_cuda for value in (second, *vars(two).values()))
    assert two.converged.all()
    torch.testing.assert_close(second.cpu(), first, rtol=0, atol=1e-5)
    torch.testing.assert_close(two.forms.cpu(), one.forms, rtol=0, atol=1e-5)
    torch.testing.assert_close(two.loss.cpu(), one.loss, rtol=1e-9, atol=0)
    assert torch.equal(two.steps_to_zero.cpu() < 0, one.steps_to_zero < 0)  # the same blocks are zero


def test_edges_agree_with_the_cpu():
    """To the precision that they are looked for; the critical penalty, which is exact, to that of the start."""
    from empirical.laboratory.penalty_levels import blocks_problem
    from empirical.laboratory.training import localise
    from empirical.laboratory.transition import find_edges

    configs = [configured(SMALL, sweep={"device": device}) for device in ("cpu", "cuda")]
    one, two = (find_edges(blocks_problem(config, 1, localise(config, 1))[0]) for config in configs)
    torch.testing.assert_close(two.critical.cpu(), one.critical, rtol=1e-6, atol=0)
    for name in ("lower", "upper", "crossing"):
        torch.testing.assert_close(getattr(two, name).cpu(), getattr(one, name), rtol=4e-3, atol=0, equal_nan=True)


def test_topics_run_in_single_precision():
    from empirical.laboratory.training import train

    arrays = train(configured(TOPICS, model={"dtype": "float32"}, sweep={"device": "cuda"}), 1, "random", (0.0, 0.1))
    assert np.isfinite(arrays["loss_heldout"]).all()
    assert arrays["valid"].all()


def test_rows_are_observed_alike():
    from empirical.observe.rows import row_statistics

    logits = torch.randn(64, 33, dtype=torch.float64) * 20
    own = torch.arange(33) < 8
    one = row_statistics(logits, own, torch.ones_like(own), 3, 0.7)
    two = row_statistics(logits.cuda(), own.cuda(), torch.ones_like(own).cuda(), 3, 0.7)
    for name, value in one.items():
        torch.testing.assert_close(value, two[name].cpu(), rtol=1e-12, atol=1e-300)


def test_dials_guards_and_rows_agree_with_the_cpu():
    from empirical.dial.changes import adaptive_dial, dial, steer
    from empirical.dial.guard import Guard
    from empirical.laboratory.model import Layout, forward, initial_parameters
    from empirical.laboratory.tasks import make_task
    from empirical.studies.dial.rows import dial_rows

    config, found = configured(TOPICS), {}
    tau = config.setting.temperature
    for device in (torch.device("cpu"), torch.device("cuda")):
        task = make_task(config, 1, device)
        parameters = initial_parameters(config, 1, 2, device, torch.float64)
        tokens, layout = task.heldout[:4, :-1], Layout(task.query_block, config, torch.float64)
        plain = forward(parameters, tokens, layout, config)
        assert torch.equal(
            plain, forward(parameters, tokens, layout, config, weigh=steer(tau, dial(config, layout.in_block, 0.0)))
        )
        with Guard(0.9, layout.in_block, tau) as guard:
            turned = forward(
                parameters, tokens, layout, config, weigh=steer(tau, adaptive_dial(0.9, layout.in_block, tau), guard)
            )
        before, after = dial_rows(parameters, tokens, layout, config, [0.0, 0.5, 1.0])
        found[device.type] = (turned.cpu().numpy(), before["leakage_dialled"], after["entropy_nats"])
    for one, two in zip(found["cpu"], found["cuda"]):
        np.testing.assert_allclose(one, two, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_checkpoints_are_observed_and_dialled_as_on_the_cpu(name):
    pytest.importorskip("transformers")
    import copy

    from small_checkpoints import inputs, network

    from empirical.checkpoints.contexts import dial, observing
    from empirical.observe.streaming import causal, entropy_and_leakage, stream_rows

    blocks, found = (torch.arange(16) // 3 % 2).expand(2, 16), {}
    for device in ("cpu", "cuda"):
        model = copy.deepcopy(network(name)).to(device)
        given = {key: value.to(device) for key, value in inputs(name).items()}
        known = blocks.to(device)
        with torch.no_grad(), dial(model, 0.8, blocks=known), observing(model, known) as rows:
            logits = model(**given).logits
        found[device] = (logits.cpu(), *(fields["entropy_nats"] for fields in rows.rows.values()))
        generator = torch.Generator().manual_seed(1)
        query, key = (torch.randn(2, 4, 16, 8, generator=generator).to(device, torch.float64) for _ in range(2))
        arguments = {"scaling": 0.5, "visible": causal(16, 16, torch.device(device))}
        streamed = stream_rows(query, key, known, known, **arguments)
        entropy, leakage = entropy_and_leakage(query, key, known, known, **arguments)
        torch.testing.assert_close(entropy.cpu(), streamed["entropy_nats"], rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(leakage.cpu(), streamed["leakage"], rtol=1e-9, atol=1e-9)
    for one, two in zip(found["cpu"], found["cuda"]):
        torch.testing.assert_close(one, two, rtol=1e-8, atol=1e-8)


def test_rules_and_isolation_hold_there_too(tmp_path, monkeypatch):
    from empirical.studies.frame import run_study
    from empirical.studies.interference import measure as interference
    from empirical.studies.rules import running as rule_runs

    monkeypatch.setattr(rule_runs, "CYCLES", 20)
    monkeypatch.setattr(interference, "TOKENS", 2000)
    config = configured(
        TOPICS, setting={"n_anchors": 1, "fidelity": 0.99}, sweep={"penalties": [0.0], "device": "cuda"}
    )
    for name in ("rules", "interference"):
        for outcome in run_study(name, config, tmp_path / name):
            assert outcome.verdict.name in ("HOLDS", "VACUOUS"), outcome.theorem.key


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_gates_prices_and_masks_agree_with_the_cpu(name):
    pytest.importorskip("transformers")
    import copy

    from small_checkpoints import HEADS, inputs, network

    from empirical.checkpoints.gate_masks import gate_mask
    from empirical.checkpoints.gate_prices import price
    from empirical.checkpoints.gates import gating

    blocks = (torch.arange(16) // 3 % 3).expand(2, -1)
    gates = torch.linspace(0, 1, HEADS).double()
    found = []
    for device in ("cpu", "cuda"):
        model = copy.deepcopy(network(name)).to(device)
        given = {key: value.to(device) for key, value in inputs(name).items()}
        mask = gate_mask(model, gates, blocks=blocks.to(device), groups=("head",))
        with torch.no_grad(), gating(model, gates, blocks=blocks, groups=("head",)) as rows:
            logits = model(**given).logits
        stock = model(**given, attention_mask=mask).logits.detach()
        prices = price(model, given, blocks, ablations=False)
        found.append((logits.cpu(), stock.cpu(), rows.leakage.cpu(), prices))
    (*one, priced), (*two, again) = found
    for a, b in zip(one, two):
        torch.testing.assert_close(b, a, rtol=1e-6, atol=1e-8)
    for field in ("critical_penalty", "share", "stair_share", "price_as_trained"):
        np.testing.assert_allclose(again[field], priced[field], rtol=1e-5, atol=1e-8)
