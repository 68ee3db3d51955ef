"""Rows of the theorems on gates, from a run whose gates were trained: what was recorded of them, as each theorem asks.

    told = ROWS["penalised_leakage"](dataset);   check(theorem, told.rows, told.dims)

All is of the sequences that were trained on, so that losses and leakages of one seed are of the same data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from bounds.gates.calculators import gate_penalty_level_a
from bounds.theory.theorem import Rows
from empirical.observe.schema import GATE, MOMENT, PAIR

if TYPE_CHECKING:
    import xarray as xr

FIELD = "gate"
"""Without which a dataset has no such rows."""
REFERENCES = ("localised model of the seed", "own weights, gates shut")
THRESHOLDS = np.array([0.01, 0.1, 0.5])  # of a row's leakage
MULTIPLIERS = np.array([0.0, 0.5, 1.0, 2.0, 4.0, 8.0])  # mu of mixed rows: every one is a bound
SLIGHTLY = 1e-6  # by which a residual is taken for larger, so that equality is decided; and 1e-12/step for none
SUMS = 1e-12  # within which a row sums to one
NOT_PROVED = "level A, which bounds lambda_glob, is proved of one layer without MLP under both caps alone"


@dataclass(frozen=True)
class Told:
    """Rows of one theorem; a field with one axis more than `dims` holds several values a row."""

    rows: Rows
    dims: tuple[str, ...]
    labels: Mapping[str, Sequence[Any]] = field(default_factory=dict)  # of dims that no coordinate names
    unknown: str = ""  # why some are, whatever the arithmetic


def _values(dataset: xr.Dataset, *names: str) -> list[np.ndarray]:
    return [np.asarray(dataset[name].values, dtype=float) for name in names]


def _stationarity(dataset: xr.Dataset) -> Told:
    gate, slope, residual, step = _values(dataset, "gate", "gate_slope", "gate_residual", "step")
    violation = np.where(gate == 0, -slope, np.where(gate == 1, slope, np.abs(slope)))
    least = np.maximum(residual * (1 + SLIGHTLY), 1e-12 / step[:, None])
    return Told({"gate": gate, "step": step[:, None], "residual": least, "gate_violation": violation}, GATE)


def _beside_critical(dataset: xr.Dataset) -> Told:
    """One projected step from the mask of every moment's weights, on either side of their critical penalty."""
    critical, ratio, opened = _values(dataset, "moment_critical", "probe_ratio", "probe_open")
    rows = {
        "penalty": critical[..., None] * ratio,
        "critical": critical[..., None],
        "gates_at_start": np.zeros(1),
        "open_gates": opened,
    }
    steps = [f"after {int(step):,} steps" for step in dataset["moment_step"].values]
    return Told(rows, (*MOMENT, "ratio"), {"moment": steps, "ratio": ratio.tolist()})


def _pair_law(dataset: xr.Dataset) -> Told:
    """The gates' own gradient against the pair map, both at the mask."""
    of_loss, of_leakage, weight, penalty = _values(
        dataset, "gate_loss_slope", "gate_leakage_slope", "pair_weight", "pair_penalty"
    )
    number = dataset["cell_gate"].transpose(*PAIR[1:]).values.ravel()
    cells = np.argsort(number, kind="stable").reshape(of_loss.shape[1], -1)  # every gate has as many cells
    weight, penalty = (values.reshape(len(values), -1)[:, cells] for values in (weight, penalty))
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = -of_loss / of_leakage
    odds = {"pair_odds": weight, "pair_penalties": np.where(weight > 0, penalty, 0.0)}
    return Told({"gate": np.zeros((1, 1)), "critical_ratio": ratio, **odds}, GATE, unknown="a gate without pairs")


def _shares(dataset: xr.Dataset) -> Told:
    found, shut, share, error = _values(dataset, "loss_train", "loss_shut", "gate_share", "gate_share_error")
    rows = {"loss_change": shut - found, "gate_shares": share, "quadrature": error, "jumps": np.zeros(1)}
    return Told(rows, GATE[:1])


def _penalised(dataset: xr.Dataset) -> Told:
    penalty, found, omega, localised, shut = _solutions(dataset, "loss_localised", "loss_shut")
    reference = np.stack([localised, shut], 1)
    rows = {
        "penalty": penalty[:, None],
        "loss_found": found[:, None],
        "penalised_leakage": omega[:, None],
        "objective_found": (found + penalty * omega)[:, None],
        "loss_reference": reference,
        "objective_reference": reference,
        "leakage_reference": np.zeros((1, 1)),
    }
    return Told(rows, ("setting", "reference"), {"reference": REFERENCES})


def _solutions(dataset: xr.Dataset, *more: str) -> list[np.ndarray]:
    return _values(dataset, "penalty", "loss_train", "omega", *more)


def _exchange(dataset: xr.Dataset) -> Told:
    """Every two settings of a seed at different penalties, the smaller one first."""
    penalty, loss, omega = _solutions(dataset)
    seed, start = dataset["seed"].values, dataset["start"].values
    one, two = np.nonzero((seed[:, None] == seed) & (penalty[:, None] < penalty))
    sides: dict[str, np.ndarray] = {}
    for name, at in (("one", one), ("two", two)):
        sides |= {f"{what}_{name}": values[at] for what, values in
                  (("penalty", penalty), ("loss", loss), ("leakage", omega))}  # fmt: skip

    def objective(of: str, at: str) -> np.ndarray:
        return sides[f"loss_{of}"] + sides[f"penalty_{at}"] * sides[f"leakage_{of}"]

    rows = {
        **sides,
        "objective_one": objective("one", "one"),
        "objective_one_of_two": objective("two", "one"),
        "objective_two": objective("two", "two"),
        "objective_two_of_one": objective("one", "two"),
    }
    pairs = [
        f"seed {seed[a]}, penalty {penalty[a]:.4g} from {start[a]} and {penalty[b]:.4g} from {start[b]}"
        for a, b in zip(one, two)
    ]
    return Told(rows, ("pair",), {"pair": pairs})


def level_a(dataset: xr.Dataset) -> np.ndarray:
    """Level A of every setting, NaN where it is not proved of the model, or a gate acts in several layers."""
    gradient, values = _values(dataset, "gradient_bound", "value_diameter")
    known = np.isfinite(gradient) & np.isfinite(values) & (_layers_shared(dataset) == 1)
    level = gate_penalty_level_a(1, np.where(known, gradient, 0.0), np.where(known, values, 0.0))
    return np.where(known, level, np.nan)


def _layers_shared(dataset: xr.Dataset) -> int:
    return dataset.sizes["layer"] if (dataset["gate_layer"].values < 0).any() else 1


def _masking(dataset: xr.Dataset) -> Told:
    """lambda_glob of the weights is at most level A: it stands for both, and what exceeds it is VIOLATED."""
    _, found, omega, shut = _solutions(dataset, "loss_shut")
    level = level_a(dataset)
    rows = {
        "loss_found": found,
        "penalised_leakage": omega,
        "loss_reference": shut,
        "global_penalty": level,
        "steepest": level,
        "unknown": np.isnan(level),
    }
    return Told(rows, GATE[:1], unknown=NOT_PROVED if np.isnan(level).any() else "")


def _rows_above(dataset: xr.Dataset) -> Told:
    (leakage,) = _values(dataset, "leakage")
    mean = leakage.mean(-1)[..., None]
    rows = {
        "leakage": mean,
        "observed_leakage": mean,
        "least_leakage": leakage.min(-1)[..., None],
        "threshold": THRESHOLDS,
        "share_above": (leakage[..., None, :] >= THRESHOLDS[:, None]).mean(-1),
    }
    return Told(rows, (*PAIR[:3], "threshold"), {"threshold": THRESHOLDS.tolist()})


def _entropy(dataset: xr.Dataset) -> dict[str, np.ndarray]:
    """Means over the rows of every head."""
    entropy, leakage, fidelity = _values(dataset, "entropy_nats", "leakage", "fidelity")
    whole = (np.abs(leakage + fidelity - 1) <= SUMS).all(-1)
    mean = leakage.mean(-1)
    return {
        "mean_entropy": entropy.mean(-1),
        "leakage": mean,
        "observed_leakage": mean,
        "row_sum": np.where(whole, 1.0, (leakage + fidelity).mean(-1)),
    }


def _entropy_split(dataset: xr.Dataset) -> Told:
    keys, block = (values.mean(-1) for values in _values(dataset, "n_keys", "n_block"))
    return Told({**_entropy(dataset), "n_keys": keys, "n_block": block}, PAIR[:3])


def _entropy_mixed(dataset: xr.Dataset) -> Told:
    keys, block = (values[..., None, :] for values in _values(dataset, "n_keys", "n_block"))
    means = {name: values[..., None] for name, values in _entropy(dataset).items()}
    rows = {**means, "n_keys": keys.mean(-1), "multiplier": MULTIPLIERS, "row_keys": keys, "row_blocks": block}
    return Told(rows, (*PAIR[:3], "multiplier"), {"multiplier": MULTIPLIERS.tolist()})


def _self_check(dataset: xr.Dataset) -> Told:
    """Of the last layer with an open gate: `open_rate` is of its rows."""
    gate, slope, leakage, rate = _values(dataset, "gate", "gate_slope", "leakage", "open_rate")
    at = dataset["open_layer"].values
    own = leakage[np.arange(len(at)), at]
    here = (dataset["gate_layer"].values == at[:, None]) | (dataset["gate_layer"].values < 0)
    active = here & (gate > 0)
    rows = {
        "penalty": dataset["penalty"].values,
        "splits": np.where(at[:, None] < 0, 0.0, (own * (1 - own)).reshape(len(at), -1)),
        "rates": rate.reshape(len(at), -1),
        "residual": np.where(active, np.maximum(slope, 0.0), 0.0).max(-1),
        "gates_sum": np.where(here, gate, 0.0).sum(-1),
        "layer_rows": np.array([rate.shape[-1]]),
        "layers_shared": np.array([_layers_shared(dataset)]),
        "deeper_open": np.zeros(1),
    }
    return Told(rows, GATE[:1])


def _level_a(dataset: xr.Dataset) -> Told:
    gate, penalty, residual, gradient, values = _values(
        dataset, "gate", "penalty", "residual", "gradient_bound", "value_diameter"
    )
    rows = {
        "penalty": penalty,
        "residual": residual,
        "open_gates": (gate > 0).sum(-1),
        "layer_rows": np.ones(1),
        "gradient_bound": gradient,
        "value_diameter": values,
        "layers_shared": np.array([_layers_shared(dataset)]),
    }
    return Told(rows, GATE[:1])


ROWS: Mapping[str, Callable[[xr.Dataset], Told]] = {
    "pair_law": _pair_law,
    "gate_shares": _shares,
    "gate_stationarity": _stationarity,
    "gates_stay": _beside_critical,
    "gates_open": _beside_critical,
    "gate_self_check": _self_check,
    "gate_level_a": _level_a,
    "penalised_leakage": _penalised,
    "exchange_leakage": _exchange,
    "exchange_rate": _exchange,
    "hard_mask_cost": _masking,
    "rows_above": _rows_above,
    "mean_entropy_split": _entropy_split,
    "mean_entropy_mixed": _entropy_mixed,
}
"""Theorem key -> its rows."""
