"""The `blocks` laboratory in earnest, residual 1e-8: which threshold is which. `make study`, under ten minutes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bounds.theorems import Level, Verdict
from empirical.check.report import verdict_table
from empirical.check.verdicts import check_dataset
from empirical.figures import plot
from empirical.laboratory.assemble import assemble
from empirical.laboratory.config import load
from empirical.laboratory.sweep import sweep

STUDY = Path(__file__).resolve().parents[3] / "examples" / "blocks_study.toml"
FOLDER = Path(__file__).resolve().parents[3] / "runs" / "blocks_study"

pytestmark = pytest.mark.study


@pytest.fixture(scope="module")
def dataset():
    sweep(load(STUDY), FOLDER, resume=True)
    observed = assemble(FOLDER)
    plot(observed, FOLDER / "figures")
    return observed


def settings(dataset, start):
    chosen = dataset["start"].values == start
    ratio = (dataset["penalty"] / dataset["critical"]).values[chosen]
    cross = ~np.eye(dataset.sizes["block_query"], dtype=bool)
    active = ((dataset["group_norm"].values[chosen] != 0) & cross).sum(axis=(1, 2, 3, 4))
    return ratio, active, dataset["converged"].values[chosen], dataset["seed"].values[chosen]


def test_residual_and_verdicts(dataset):
    for start in ("localised", "zero", "random"):
        _, _, converged, _ = settings(dataset, start)
        assert converged.mean() >= 0.9, start
    converged = dataset["converged"].values
    assert (dataset["residual"].values[converged] <= 1e-8).all()
    outcomes = check_dataset(dataset)
    print("\n" + verdict_table(outcomes))
    assert not [o.theorem.key for o in outcomes if o.verdict is Verdict.VIOLATED]
    for outcome in outcomes:
        if outcome.theorem.level is Level.ROW and outcome.theorem.key != "anchor_floor":
            assert outcome.decided >= 0.9 * outcome.rows, outcome.theorem.key


def test_from_the_localised_solution_the_edge_is_the_critical_penalty(dataset):
    ratio, active, converged, _ = settings(dataset, "localised")
    near = np.abs(ratio - 1) < 0.03
    assert converged[near].all()
    assert (active[ratio > 1.019] == 0).all()
    assert (active[near & (ratio < 1)] > 0).all()
    assert near.sum() >= 6


def test_from_other_starts_the_edge_lies_elsewhere(dataset):
    """Hysteresis: at 1.02 times the critical penalty the same seed is localised from one start and not from another."""
    for start in ("zero", "random"):
        ratio, active, _, seed = settings(dataset, start)
        for one in np.unique(seed):
            mine = seed == one
            assert active[mine & (ratio < 1.03) & (ratio > 1.01)].min() > 0
            edge = ratio[mine & (active == 0)].min()
            print(f"{start}, seed {one}: cross blocks vanish from {edge:.3g} times the critical penalty")
            assert edge > 1.1


def test_the_loss_jumps_at_the_edge(dataset):
    """A first-order transition: crossing the edge from the localised side gains loss at once."""
    ratio, _, _, seed = settings(dataset, "localised")
    chosen = dataset["start"].values == "localised"
    gain = (dataset["loss_localised"] - dataset["loss_train"]).values[chosen]
    for one in np.unique(seed):
        mine = seed == one
        above, below = gain[mine & (ratio > 1.01)], gain[mine & (ratio < 1)]
        assert np.abs(above).max() <= 1e-10
        assert below.min() > 1e-3
    assert (FOLDER / "figures" / "transition.png").exists()


def test_levels_are_in_their_order(dataset):
    """D <= E <= C <= A: the critical penalty, the global witness, and the proved levels."""
    from bounds import global_penalty_witness, penalty_threshold_worst_case

    cross = ~np.eye(dataset.sizes["block_query"], dtype=bool)
    norms = np.where(cross, dataset["group_norm"].values[:, 0, 0], 0).reshape(dataset.sizes["setting"], -1)
    witness = global_penalty_witness(dataset["loss_localised"].values, dataset["loss_train"].values, norms).max()
    level_a = penalty_threshold_worst_case(
        dataset["gradient_bound"].values[:, None, None],
        dataset["value_diameter"].values[:, None, None],
        dataset["query_norm"].values[:, :, None],
        dataset["key_norm"].values[:, None, :],
        dataset["key_diameter"].values[:, None, :],
        dataset["query_share"].values[:, :, None],
    )
    level_c = dataset["level_c"].values
    assert dataset["critical"].values.min() < witness < level_c[:, cross].max(axis=1).min()
    assert (level_c[:, cross] <= level_a[:, cross]).all()


# --- topics ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def topics():
    """The runs of `make demo-full`, finished here where they are not: with anchors, and the counterexample without."""
    root = STUDY.parent.parent
    runs = []
    for name in ("topics", "topics_without_anchors"):
        sweep(load(root / "examples" / f"{name}.toml"), root / "runs" / name, resume=True)
        runs.append(assemble(root / "runs" / name))
    return runs


def by_penalty(dataset, values):
    """(least, largest) penalty: one value a seed."""
    penalty = dataset["penalty"].values
    return values[penalty == penalty.min()], values[penalty == penalty.max()]


def beyond_three_standard_errors(values, least):
    error = values.std(ddof=1) / np.sqrt(len(values))
    print(f"{values.mean():.3f} nats, standard error {error:.3f}")
    return values.mean() >= least and values.mean() > 3 * error


def test_foreign_blocks_matter_to_the_unpenalised_model_and_localising_costs(topics):
    dataset = topics[0]
    loss, masked = dataset["loss_heldout"].values, dataset["loss_masked"].values
    free, localised = by_penalty(dataset, loss)
    assert beyond_three_standard_errors(by_penalty(dataset, masked - loss)[0], 0.1)
    assert beyond_three_standard_errors(localised - free, 0.05)


def test_fidelity_rises_to_the_anchor_floor(topics):
    from bounds import fidelity_floor

    dataset = topics[0]
    free, localised = by_penalty(dataset, dataset["fidelity"].values)
    keys = [by_penalty(dataset, dataset[name].values)[1] for name in ("n_keys", "n_block", "n_anchors")]
    assert (localised >= fidelity_floor(6.0, *keys) * (1 - 1e-9)).all()
    assert free.mean() < localised.mean() - 0.1
    cross = ~np.eye(4, dtype=bool)
    assert (by_penalty(dataset, dataset["group_norm"].values)[1][..., cross] == 0).all()


def test_without_anchors_zero_cross_blocks_do_not_concentrate(topics):
    with_anchors, without = (by_penalty(dataset, dataset["fidelity"].values)[1].mean() for dataset in topics)
    cross = ~np.eye(4, dtype=bool)
    assert (by_penalty(topics[1], topics[1]["group_norm"].values)[1][..., cross] == 0).all()
    print(f"fidelity with every cross block zero: {with_anchors:.3f} with anchors, {without:.3f} without")
    assert without < with_anchors - 0.1
