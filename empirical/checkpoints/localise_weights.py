"""`localist localise --weights`: weights trained with gates, from gates found for the weights as they were.

    theta <- AdamW on L + penalty Omega, a document a step;  s <- clip(s - size dJ/ds);  then gates alone, to a residual

`size` is REACH over the steepest slope at the start. Losses that compare with the model itself move along with it, and
half precision loses small steps: both are refused.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xarray as xr

from empirical.checkpoints.gate_losses import LOSSES
from empirical.errors import BadInput
from empirical.gates.coordinate import fitted
from empirical.gates.pair_map import cell_map
from empirical.gates.problem import Problem
from empirical.gates.solve import minimised
from empirical.gates.together import trained_together
from empirical.shapes import Float

if TYPE_CHECKING:
    from empirical.checkpoints.gate_texts import Asked, Texts

REACH = 0.1  # of a gate's range that a step takes at most, at the start
TOLERANCE = 1e-4  # of a residual, over the critical penalty
FOLDER = "model"


@dataclass(frozen=True)
class Training:
    """How weights are trained."""

    steps: int = 200  # of AdamW, a document each
    rate: float = 1e-4

    def __post_init__(self) -> None:
        for name, good, allowed, value in (
            ("--steps", self.steps >= 1, "at least 1", self.steps),
            ("--rate", 0 < self.rate < float("inf"), "finite and > 0", self.rate),
        ):
            if not good:
                raise BadInput(f"{name} must be {allowed}, got {value!r}")

    def refuse_early(self, asked: Asked, penalty: float | None) -> None:
        """Raises BadInput for an aim other than a penalty, half precision, a loss that compares."""
        if penalty is None:
            raise BadInput("--weights must go with --penalty, got another aim")
        if asked.request.dtype == "bfloat16":
            raise BadInput("--weights must go with --dtype float32 or float64, got 'bfloat16'")
        if asked.loss is not None:
            self._refuse_loss(asked.loss)

    def refuse(self, texts: Texts) -> None:
        self._refuse_loss(texts.loss)

    @staticmethod
    def _refuse_loss(loss: str) -> None:
        if LOSSES[loss].compares:
            raise BadInput(f"--weights must go with a loss that does not compare with the model itself, got {loss!r}")


def train_with_gates(
    problem: Problem, model: Any, gates: Float[torch.Tensor, "G"], penalty: float, training: Training
) -> tuple[Float[torch.Tensor, "G"], xr.Dataset]:
    """The gates afterwards, and every step; the model's weights are trained in place."""
    _, slope = problem.objective(gates, penalty)
    size = REACH / max(float(slope.abs().max()), 1e-12)
    optimizer = torch.optim.AdamW(model.parameters(), training.rate, weight_decay=0.0)
    at, steps = trained_together(problem, gates, penalty, optimizer, steps=training.steps, size=size, minibatch=True)
    found = cell_map(problem)
    critical = found.lambda_crit(problem)
    along = fitted(problem, found.omega_of(problem))
    solved = minimised(problem, penalty, at, coordinate=along, tolerance=TOLERANCE * (critical or 1.0))
    told = {
        "training_loss": ("L of its document", [one.value.loss for one in steps]),
        "training_omega": ("Omega of its document", [one.value.omega for one in steps]),
        "training_gradient": ("norm of dJ/dtheta", [one.gradient for one in steps]),
        "training_shut": ("share of gates at 0", [float((one.gates == 0).double().mean()) for one in steps]),
    }
    dataset = xr.Dataset(
        {name: ("step", np.array(values), {"long_name": words}) for name, (words, values) in told.items()}
    )
    return solved.gates, dataset.assign_attrs(
        steps=training.steps,
        rate=training.rate,
        lambda_crit=critical,
        residual=float(solved.residual.max()),
        gradient_first=steps[0].gradient,
        gradient_last=steps[-1].gradient,
    )


def save_weights(folder: Path, texts: Texts) -> Path:
    """The trained model and its tokenizer as a checkpoint of its own: the whole folder or none."""
    part, whole = Path(folder) / f"{FOLDER}.part", Path(folder) / FOLDER
    texts.model.save_pretrained(part, safe_serialization=True)
    texts.tokenizer.save_pretrained(part)
    os.replace(part, whole)
    return whole
