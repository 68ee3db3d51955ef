"""`localist price` and `localist localise`: what locality costs a checkpoint on a text, and gates chosen for it.

    documents 0, 2, 4, ... choose the gates, documents 1, 3, 5, ... judge them: both losses are always said
    --penalty X           a stationary point of L + X Omega, the better of those from the mask and from all open
    --loss-budget Y       the least Omega along penalties whose loss is at most Y above the model as trained
    --target-fidelity F   the least loss along penalties whose mean leakage is at most 1 - F

One document a batch; the model's weights stay as they are. What is found along penalties are candidates, no minimum.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from empirical.checkpoints.architecture import Task
from empirical.checkpoints.architectures import ARCHITECTURES
from empirical.checkpoints.contexts import Labels
from empirical.checkpoints.gate_prices import gate_problem, price
from empirical.checkpoints.loading import Request, Tokens, load_checkpoint, tokenised
from empirical.checkpoints.promises import requested_relation
from empirical.errors import BadInput
from empirical.gates.along_penalties import penalty_path
from empirical.gates.pair_map import cell_map
from empirical.gates.problem import Problem
from empirical.gates.solve import penalties_around
from empirical.shapes import Float

RATIOS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.4, 0.7, 1.02)
DRAWS = 1000


@dataclass(frozen=True)
class Localised:
    """Gates for a text, and what they cost on the documents that chose them and on those that did not."""

    gates: Float[Tensor, "G"]
    problem: Problem
    model: Any
    path: xr.Dataset
    said: dict[str, Any]


def price_text(
    request: Request, groups: tuple[str, ...], loss: str | None, path: tuple[str, ...], ablations: bool = True
) -> xr.Dataset:
    """Prices on all documents. Raises BadInput as `price` does, and for an encoder and decoder."""
    model, texts, names, labels, loss = _read(request, loss)
    found = price(model, _batches(texts), labels, groups=groups, loss=loss, path=path, ablations=ablations)
    return found.assign_attrs(model=request.model, blocks=", ".join(names), text=_digest(request))


def localise_text(
    request: Request,
    groups: tuple[str, ...],
    loss: str | None,
    *,
    penalty: float | None = None,
    loss_budget: float | None = None,
    target_fidelity: float | None = None,
) -> Localised:
    """Gates for one of the three aims. Raises BadInput for none or several, and for one that no candidate reaches."""
    aims = {"--penalty": penalty, "--loss-budget": loss_budget, "--target-fidelity": target_fidelity}
    asked = [name for name, value in aims.items() if value is not None]
    if len(asked) != 1:
        raise BadInput(f"one of {', '.join(aims)} must be given, got {', '.join(asked) or 'none'}")
    if target_fidelity is not None and not 0 < target_fidelity <= 1:
        raise BadInput(f"--target-fidelity must be in (0, 1], got {target_fidelity!r}")
    model, texts, names, labels, loss = _read(request, loss)
    if len(texts) < 2:
        raise BadInput(f"--text must hold documents to choose on and to judge on, got {len(texts)}")
    choose, judge = (
        gate_problem(model, _batches(texts[start::2]), labels[start::2], groups=groups, loss=loss) for start in (0, 1)
    )
    at_mask = cell_map(choose)
    critical = float(at_mask.critical(choose).nan_to_num(0.0).max())
    if penalty is None and critical == 0:
        raise BadInput("--penalty must be given where no gate wants to open at the mask, got another aim")
    path = penalty_path(
        choose, [penalty] if penalty is not None else penalties_around(critical, RATIOS), at_mask=at_mask
    )
    gates, at = _chosen(choose, path, loss_budget, target_fidelity)
    said = {
        "documents": {"choose": choose.documents, "judge": judge.documents},
        "blocks_named": names, "loss": loss, "penalty": at, "lambda_crit": critical, "text": _digest(request),
        "shut": int((gates == 0).sum()), "gates": choose.groups.count,
        "chosen_on": _judged(choose, gates), "held_out": _judged(judge, gates),
    }  # fmt: skip
    return Localised(gates, choose, model, path, said)


def _read(request: Request, loss: str | None) -> tuple[Any, list[Tokens], list[str], list[Labels], str]:
    model, tokenizer, lacks = load_checkpoint(request.model, request.device, request.dtype)
    task = ARCHITECTURES[model.config.model_type].task
    if task is Task.SEQUENCE_TO_SEQUENCE:
        raise BadInput(f"MODEL must be one stack, got a {model.config.model_type}, an encoder and a decoder")
    if lacks:
        raise BadInput(f"MODEL must have its head to have a loss, got one that lacks {lacks}")
    texts, names = tokenised(request, model, tokenizer)
    relation = requested_relation(request, names)
    labels = [Labels(text.labels, sees=relation.sees, kept=relation.kept) for text in texts]
    return model, texts, names, labels, loss or ("next_token" if task is Task.NEXT_TOKEN else "kl")


def _batches(texts: Sequence[Tokens]) -> list[dict[str, Tensor]]:
    return [{"input_ids": text.ids} for text in texts]


def _digest(request: Request) -> str:
    return hashlib.sha256(request.text.read_bytes()).hexdigest()


def _chosen(
    problem: Problem, path: xr.Dataset, loss_budget: float | None, target_fidelity: float | None
) -> tuple[Float[Tensor, "G"], float]:
    """The gates that meet the aim, and the penalty that they were found at; the mask and all open are tried too."""
    flat = path["gates"].values.reshape(-1, problem.groups.count)
    tried = np.repeat(path["penalty"].values[None], path.sizes["start"], 0).flatten()
    loss, omega = path["loss"].values.flatten(), path["omega"].values.flatten()
    if loss_budget is None and target_fidelity is None:
        best = int(path["objective"].values.argmin())
        return torch.as_tensor(flat[best]), float(tried[best])
    ends = {size: problem.value(torch.full((problem.groups.count,), size, dtype=torch.float64)) for size in (0.0, 1.0)}
    for size, value in ends.items():
        flat, tried = (
            np.vstack([flat, np.full((1, flat.shape[1]), size)]),
            np.append(tried, math.inf if size == 0 else 0.0),
        )
        loss, omega = np.append(loss, value.loss), np.append(omega, value.omega)
    if loss_budget is not None:
        reached, aim = loss <= ends[1.0].loss + loss_budget, omega
        if not reached.any():
            nearest = float(loss.min() - ends[1.0].loss)
            raise BadInput(f"--loss-budget must be within reach, got {loss_budget!r}: at least {nearest:.6g} is lost")
    else:
        assert target_fidelity is not None
        heads = problem.groups.layers * problem.groups.heads
        reached, aim = omega <= (1 - target_fidelity) * heads, loss
    best = int(np.where(reached, aim, math.inf).argmin())
    return torch.as_tensor(flat[best]), float(tried[best])


def _judged(problem: Problem, gates: Float[Tensor, "G"]) -> dict[str, float | list[float]]:
    """Losses as trained, at these gates and at the mask, nats a token; the change with its 95 % interval."""
    scored, one = problem.counts[0], torch.ones_like(gates)
    (open_loss, leak), (loss, kept), (shut_loss, _) = (problem.sums(at) for at in (one, gates, 0 * gates))
    drawn = np.random.default_rng(0).multinomial(len(scored), np.full(len(scored), 1 / len(scored)), DRAWS)
    changes = (drawn @ (loss - open_loss).numpy()) / (drawn @ scored.numpy())
    total = float(scored.sum())
    return {
        "loss_as_trained": float(open_loss.sum()) / total,
        "loss": float(loss.sum()) / total,
        "loss_mask": float(shut_loss.sum()) / total,
        "change": float((loss - open_loss).sum()) / total,
        "change_interval": [float(x) for x in np.quantile(changes, (0.025, 0.975))],
        "leakage_kept": float(problem.omega(kept.sum(0)) / problem.omega(leak.sum(0))),
    }
