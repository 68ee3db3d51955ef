"""What a penalty buys, foretold before it is solved: Omega <= (L_mask - L_lower)/lambda, L_lower = 0 (theorem G6).

    foretold   penalties, critical penalty, ceilings: written to the store first
    solved     paths from both ends; holds the digest of what was foretold, which it has read

so that the order is in the files. Exchange and the cost of hard masking are judged between all solutions, on the
documents that they were chosen on and on others.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import torch

from bounds import gate_penalty_for_leakage, penalised_leakage_ceiling
from empirical.gates.along_penalties import STARTS, penalty_path
from empirical.gates.pair_map import cell_map
from empirical.gates.problem import Value
from empirical.laboratory.store import Store, content
from empirical.shapes import Arrays
from empirical.studies.gates.subjects import Subject

RATIOS = (0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.7, 0.98, 1.02)  # of the critical penalty
LEAST = 0.0  # a cross-entropy's lower bound


def foretold(subject: Subject) -> Arrays:
    """Penalties, and what each leaves at most."""
    found = cell_map(subject.chosen)
    critical = found.critical(subject.chosen).nan_to_num(0.0)
    mask = float(found.loss.sum() / subject.chosen.counts[0].sum())
    penalties = (float(critical.max()) or 1.0) * np.array(RATIOS)
    target = np.asarray(penalised_leakage_ceiling(mask, LEAST, penalties))
    return {
        "penalty": penalties,
        "critical": critical.numpy(),
        "loss_mask": np.array(mask),
        "ceiling": target,
        "penalty_for_ceiling": np.asarray(gate_penalty_for_leakage(mask, LEAST, target)),
    }


def digest_of(store: Store, cell: str, arrays: Arrays) -> np.ndarray:
    """Of a cell as it was saved."""
    return np.frombuffer(bytes.fromhex(content(store.name(cell), arrays)), dtype=np.uint8).copy()


def solved(subject: Subject, said: Arrays, digest: np.ndarray) -> Arrays:
    """Solutions by start and penalty, on the documents they were chosen on and on others."""
    path = penalty_path(subject.chosen, said["penalty"].tolist(), lower=LEAST)
    gates = path["gates"].values.reshape(len(STARTS), len(said["penalty"]), -1)
    names = ("loss", "omega", "residual", "shut", "beats_mask")
    values = [[_value(subject, one) for one in ones] for ones in gates]
    ends = [_value(subject, np.full(gates.shape[-1], end)) for end in (0.0, 1.0)]
    trained = subject.chosen.value(torch.ones(gates.shape[-1], dtype=torch.float64))
    return {
        "foretold": digest,
        "gates": gates,
        **{name: path[name].values for name in names},
        "loss_judged": np.array([[value.loss for value in ones] for ones in values]),
        "omega_judged": np.array([[value.omega for value in ones] for ones in values]),
        "ends": np.array([[path.attrs["loss_mask"], 0.0], [trained.loss, trained.omega]]),
        "ends_judged": np.array([[end.loss, end.omega] for end in ends]),
        "witness": np.array(max(path.attrs["global_witness"], float(said["critical"].max()))),
    }


def _value(subject: Subject, gates: np.ndarray) -> Value:
    return subject.judged.value(torch.as_tensor(gates))


def ceiling_rows(said: Arrays, found: Arrays) -> Arrays:
    """Of every solution against the ceiling as it was foretold: L_lower where the theorem has L_found."""
    penalty, mask = said["penalty"], said["loss_mask"]
    objective = found["loss"] + penalty * found["omega"]
    shape = objective.shape
    return {
        "penalty": np.broadcast_to(penalty, shape).copy(),
        "loss_reference": np.full(shape, mask),
        "leakage_reference": np.zeros(shape),
        "objective_reference": np.full(shape, found["ends"][0, 0]),
        "loss_found": np.full(shape, LEAST),
        "penalised_leakage": found["omega"],
        "objective_found": objective,
    }


def exchange_rows(said: Arrays, found: Arrays, judged: bool) -> Arrays:
    """Every pair of solutions at two penalties, whichever starts they came from."""
    names = ("loss_judged", "omega_judged") if judged else ("loss", "omega")
    loss, omega = (found[name] for name in names)
    every = [(start, at) for start in range(loss.shape[0]) for at in range(loss.shape[1])]
    pairs = [(a, b) for a, b in combinations(sorted(every, key=lambda one: one[1]), 2) if a[1] < b[1]]
    one, two = (tuple(np.array(part).T) for part in zip(*pairs))
    first, second = said["penalty"][one[1]], said["penalty"][two[1]]
    return {
        "penalty_one": first,
        "penalty_two": second,
        "loss_one": loss[one],
        "loss_two": loss[two],
        "leakage_one": omega[one],
        "leakage_two": omega[two],
        "objective_one": loss[one] + first * omega[one],
        "objective_one_of_two": loss[two] + first * omega[two],
        "objective_two": loss[two] + second * omega[two],
        "objective_two_of_one": loss[one] + second * omega[one],
    }


def masking_rows(found: Arrays, proved: float | None) -> Arrays:
    """L(mask) <= L(s) + lambda_glob Omega(s) on the documents judged; UNKNOWN without a proved lambda_glob there."""
    loss, omega = found["loss_judged"], found["omega_judged"]
    certified = np.full(loss.shape, np.nan if proved is None else proved)
    return {
        "loss_reference": np.full(loss.shape, found["ends_judged"][0, 0]),
        "loss_found": loss,
        "penalised_leakage": omega,
        "global_penalty": np.nan_to_num(certified),
        "steepest": np.nan_to_num(certified),
        "unknown": np.isnan(certified),
    }
