"""`localist price` and `localist localise`: what locality costs a checkpoint on a text, and gates chosen for it.

    documents 0, 2, 4, ... choose the gates, documents 1, 3, 5, ... judge them: both losses are always said
    --penalty X           a stationary point of L + X Omega, the better of those from the mask and from all open
    --loss-budget Y       the least Omega along penalties whose loss is at most Y above the model as trained
    --target-fidelity F   the least loss along penalties whose mean leakage is at most 1 - F

One document a batch; the model's weights stay as they are, unless they are trained too (`localise_weights`). What is
found along penalties are candidates, no minimum.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import torch
import xarray as xr

from empirical.checkpoints.gate_texts import Asked, Texts, read
from empirical.checkpoints.localise_weights import Training, train_with_gates
from empirical.checkpoints.promises import text_digest
from empirical.errors import BadInput
from empirical.gates.along_penalties import STARTS, penalty_path
from empirical.gates.pair_map import cell_map
from empirical.gates.price import checked_path, priced
from empirical.gates.problem import Problem
from empirical.gates.resampling import drawn_again, interval
from empirical.gates.solve import EVALUATIONS, penalties_around
from empirical.shapes import Float

RATIOS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.4, 0.7, 1.02)
Tell = Callable[[str, int, float], None]
"""(at most or at least, forward and backward passes over the documents to come, seconds each)."""


@dataclass(frozen=True)
class Aim:
    """What gates are chosen for: one of three. Raises BadInput for none or several, or a number that is no aim."""

    penalty: float | None = None
    loss_budget: float | None = None
    target_fidelity: float | None = None

    def __post_init__(self) -> None:
        aims = {
            "--penalty": (self.penalty, "finite and >= 0", lambda x: 0 <= x < math.inf),
            "--loss-budget": (self.loss_budget, "finite", math.isfinite),
            "--target-fidelity": (self.target_fidelity, "in (0, 1]", lambda x: 0 < x <= 1),
        }
        asked = [name for name, (value, _, _) in aims.items() if value is not None]
        if len(asked) != 1:
            raise BadInput(f"one of {', '.join(aims)} must be given, got {', '.join(asked) or 'none'}")
        for name, (value, allowed, good) in aims.items():
            if value is not None and not good(value):
                raise BadInput(f"{name} must be {allowed}, got {value!r}")


@dataclass(frozen=True)
class Localised:
    """Gates for a text, and what they cost on the documents that chose them and on those that did not."""

    gates: Float[torch.Tensor, "G"]
    texts: Texts
    path: xr.Dataset
    said: dict[str, Any]


def price_text(asked: Asked, path: tuple[str, ...], ablations: bool = True, tell: Tell = lambda *_: None) -> xr.Dataset:
    """Prices on all documents. Raises BadInput as `price` does, and for an encoder and decoder."""
    asked.refuse_early()
    checked_path(path, "layer" not in asked.groups)
    texts = read(asked)
    problem = texts.problem()
    start = perf_counter()
    found = priced(
        problem,
        path=path,
        ablations=ablations,
        started=lambda passes: tell("at least", passes, perf_counter() - start),
    )
    return found.assign_attrs(
        title="Prices of attention outside its block",
        model=asked.request.model,
        loss=texts.loss,
        blocks=json.dumps(texts.names),
        text=text_digest(asked.request),
        rows_gated=int(problem.counts[1].sum(0).max()),
        rows_in_blocks=texts.in_blocks,
    )


def localise_text(asked: Asked, aim: Aim, training: Training | None = None, tell: Tell = lambda *_: None) -> Localised:
    """Gates for an aim, with `training` and weights too. Raises BadInput for one that no candidate reaches."""
    if training is not None:
        training.refuse_early(asked, aim.penalty)
    asked.refuse_early(least=2)
    texts = read(asked)
    asked.refuse_few(len(texts.batches), 2)
    if training is not None:
        training.refuse(texts)
    choose, judge = texts.problem(0, 2), texts.problem(1, 2)
    start = perf_counter()
    at_mask = cell_map(choose)
    each, critical = perf_counter() - start, at_mask.lambda_crit(choose)
    if aim.penalty is None and critical == 0:
        raise BadInput("--penalty must be given where no gate wants to open at the mask, got another aim")
    penalties = [aim.penalty] if aim.penalty is not None else penalties_around(critical, RATIOS)
    more = 0 if training is None else EVALUATIONS + math.ceil(training.steps / choose.documents)
    tell("at most", len(STARTS) * len(penalties) * EVALUATIONS + more, each)
    path = penalty_path(choose, penalties, at_mask=at_mask)
    gates, at = _chosen(choose, path, aim)
    said: dict[str, Any] = {
        "documents": {"choose": choose.documents, "judge": judge.documents}, "loss": texts.loss,
        "penalty": at if math.isfinite(at) else None,  # none: the mask itself
        "lambda_crit": critical, "text": text_digest(asked.request), "attention": "self",
    }  # fmt: skip
    path = _with_ends(path, choose, judge)
    before = {"chosen_on": as_trained(choose), "held_out": as_trained(judge)}
    if training is not None:
        said["weights_as_trained"] = {"chosen_on": judged(choose, gates), "held_out": judged(judge, gates)}
        gates, told = train_with_gates(choose, texts.model, gates, at, training)
        path, said["training"] = path.merge(told), told.attrs
    said |= {
        "shut": int((gates == 0).sum()), "gates": choose.groups.count,
        "chosen_on": judged(choose, gates, before["chosen_on"]), "held_out": judged(judge, gates, before["held_out"]),
    }  # fmt: skip
    chosen = {f"{name}_chosen": said["held_out"][name] for name in ("loss", "omega")}
    return Localised(gates, texts, path.assign_attrs(chosen, title="Gates along penalties", unit=texts.loss), said)


def _with_ends(path: xr.Dataset, choose: Problem, judge: Problem) -> xr.Dataset:
    """What the judging documents say of every candidate, and what either half says of both ends."""
    flat = path["gates"].values.reshape(*path["loss"].shape, -1)
    found = [[judge.value(torch.as_tensor(gates)) for gates in line] for line in flat]
    told = {name: [[getattr(one, name) for one in line] for line in found] for name in ("loss", "omega")}
    ends = {
        f"{name}_{words}{half}": getattr(value, name)
        for half, problem in (("", choose), ("_held_out", judge))
        for words, value in (("mask", _end(problem, 0.0)), ("as_trained", _end(problem, 1.0)))
        for name in ("loss", "omega")
    }
    held_out = {f"{name}_held_out": (("start", "penalty"), np.array(values)) for name, values in told.items()}
    return path.assign(held_out).assign_attrs(ends | path.attrs, heads=choose.groups.layers * choose.groups.heads)


def _end(problem: Problem, size: float) -> Any:
    return problem.value(torch.full((problem.groups.count,), size, dtype=torch.float64))


def _chosen(problem: Problem, path: xr.Dataset, aim: Aim) -> tuple[Float[torch.Tensor, "G"], float]:
    """The gates that meet the aim, and the penalty that they were found at; the mask and all open are tried too."""
    flat = path["gates"].values.reshape(-1, problem.groups.count)
    tried = np.repeat(path["penalty"].values[None], path.sizes["start"], 0).flatten()
    loss, omega = path["loss"].values.flatten(), path["omega"].values.flatten()
    if aim.penalty is not None:
        best = int(path["objective"].values.argmin())
        return torch.as_tensor(flat[best]), float(tried[best])
    ends = {size: _end(problem, size) for size in (0.0, 1.0)}
    for size, value in ends.items():
        flat = np.vstack([flat, np.full((1, flat.shape[1]), size)])
        tried = np.append(tried, math.inf if size == 0 else 0.0)
        loss, omega = np.append(loss, value.loss), np.append(omega, value.omega)
    if aim.loss_budget is not None:
        reached, least = loss <= ends[1.0].loss + aim.loss_budget, omega
        if not reached.any():
            nearest = float(loss.min() - ends[1.0].loss)
            raise BadInput(
                f"--loss-budget must be within reach, got {aim.loss_budget!r}: at least {nearest:.6g} is lost"
            )
    else:
        assert aim.target_fidelity is not None
        heads = int((problem.per_row > 0).sum())
        reached, least = omega <= (1 - aim.target_fidelity) * heads, loss
    best = int(np.where(reached, least, math.inf).argmin())
    return torch.as_tensor(flat[best]), float(tried[best])


def as_trained(problem: Problem) -> Float[torch.Tensor, "D"]:
    """The loss of every document with all gates open, summed over its tokens."""
    return problem.sums(torch.ones(problem.groups.count, dtype=torch.float64), leakage=False)[0]


def judged(
    problem: Problem, gates: Float[torch.Tensor, "G"], trained: Float[torch.Tensor, "D"] | None = None
) -> dict[str, Any]:
    """Losses as trained, at these gates and at both ends, nats a token; the change with its 95 % interval.

    `trained` are losses as trained before weights were; the interval is none where one document is no measure of it.
    """
    scored, one = problem.counts[0], torch.ones_like(gates)
    (open_loss, leak), (loss, kept), (shut_loss, _) = (problem.sums(at) for at in (one, gates, 0 * gates))
    before = open_loss if trained is None else trained
    drawn = drawn_again(problem.documents)
    low, high = interval(((drawn @ (loss - before)) / (drawn @ scored)).numpy()).tolist()
    total, leaks = float(scored.sum()), float(problem.omega(leak.sum(0)))
    return {
        "loss_as_trained": float(before.sum()) / total,
        "loss": float(loss.sum()) / total,
        "loss_open": float(open_loss.sum()) / total,
        "loss_mask": float(shut_loss.sum()) / total,
        "change": float((loss - before).sum()) / total,
        "change_interval": [low, high] if math.isfinite(low) else None,
        "omega": float(problem.omega(kept.sum(0))),
        "leakage_kept": float(problem.omega(kept.sum(0))) / leaks if leaks else None,
    }
