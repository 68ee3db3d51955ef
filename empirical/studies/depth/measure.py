"""What dialling each layer does at the output, against the predicted sum; over-smoothing by depth and dial (`depth`).

Predicted: ||x - x'|| <= sum_l e_l prod_{k>l} (1 + Lip_k), a theorem with the pair's own Lip_k, a prediction with the
largest of other sequences; in the dialled layer itself the exact segment. Observed: every layer dialled alone, and all
together, on held-out sequences. Similarity and effective rank by depth are observations: no theorem is claimed of them;
what one layer's attention contracts is predicted (`smoothing`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from bounds.dial.calculators import kappa_of_dial
from empirical.dial.changes import turned
from empirical.dial.drift import Trace, depth_rows, depth_sum, given, secants
from empirical.errors import BadInput
from empirical.laboratory.ablation import output_rows
from empirical.laboratory.calibration import calibrate
from empirical.laboratory.config import Config
from empirical.laboratory.dialled_pass import logits_and_values, run
from empirical.laboratory.store import Store
from empirical.observe.rows import softmax
from empirical.shapes import Arrays, Int, plain
from empirical.studies.depth.smoothing import contraction, effective_rank, similarity
from empirical.studies.findings import Findings, Judged
from empirical.studies.trained import Trained, trained

SEQUENCES, JUDGED = 32, 16  # held-out: to calibrate on, and as many others to measure; of the rows of single heads
DIALS = (0.5, 0.9, 1.0)
SMOOTHED = (0.0, *DIALS)


def measure(config: Config, store: Store) -> Findings:
    if config.model.stream != "localist":
        raise BadInput(f"model.stream must be 'localist' for the study of depth, got {config.model.stream!r}")
    model = trained(config, store)
    half = min(SEQUENCES, len(model.task.heldout) // 2)
    known, fresh = (model.heldout(a, a + half)[:, :-1] for a in (0, half))
    calibrated = store.keep("calibrated", lambda: _calibrated(model, known))["lipschitz"]
    drifts = store.keep("drifts", lambda: _drifts(model, fresh))
    heads = store.keep("heads", lambda: _heads(model, fresh[:JUDGED]))
    smoothed = store.keep("smoothing", lambda: _smoothing(model, fresh))

    whole = drifts.pop("bound_whole")
    foretold = {**drifts, "lipschitz": np.broadcast_to(calibrated, drifts["secant"].shape).copy()}
    numbers = {
        "seed": config.sweep.seeds[0],
        "sequences": len(fresh),
        "layers": config.model.layers,
        "dials": list(DIALS),
        "drift": drifts["drift"].tolist(),  # (dial, case, sequence); cases: each layer alone, then all
        "bound_own": _sums(drifts).tolist(),
        "bound_whole": whole.tolist(),
        "bound_calibrated": _sums(foretold).tolist(),
        "smoothing": {key: value.tolist() for key, value in smoothed.items()},
        "smoothed": list(SMOOTHED),
    }
    cases = ("dial", "layer_alone_or_all", "sequence")
    return Findings(
        numbers,
        (
            Judged("drifts", cases, drifts, ("depth_sum",)),
            Judged("drifts, constants of other sequences", cases, foretold, ("depth_sum",)),
            Judged(
                "dialled heads", ("dial", "layer", "head", "sequence", "query"), heads, ("output_error", "dial_segment")
            ),
        ),
    )


def _traced(model: Trained, tokens: Int[Tensor, "B T"], kappas: Any) -> Trace:
    return run(model.parameters, tokens, model.layout, model.config, given(kappas))


def _calibrated(model: Trained, known: Int[Tensor, "B T"]) -> Arrays:
    return {"lipschitz": calibrate(model.parameters, known, model.layout, model.config).lipschitz}


def _drifts(model: Trained, fresh: Int[Tensor, "B T"]) -> Arrays:
    """Fields of `depth_sum`, (dial, case, sequence): each layer dialled alone, then all together."""
    layers = model.config.model.layers
    original = _traced(model, fresh, np.zeros(layers))
    cases = np.concatenate([np.eye(layers), np.ones((1, layers))]) > 0
    found = []
    for dial in DIALS:
        for case in cases:
            dialled = _traced(model, fresh, np.where(case, kappa_of_dial(dial), 0.0))
            sharper = depth_sum(dialled, secants(original, dialled, whole=True) - 1)
            found.append({**depth_rows(original, dialled), "bound_whole": sharper})
    shape = (len(DIALS), len(cases))
    return {key: np.stack([each[key] for each in found]).reshape(*shape, *found[0][key].shape) for key in found[0]}


def _sums(rows: Arrays) -> np.ndarray:
    from bounds.theorems import by_key

    return np.asarray(by_key("depth_sum").bound(rows))


def _heads(model: Trained, tokens: Int[Tensor, "B T"]) -> Arrays:
    """Fields of `output_error` and `dial_segment` in a layer dialled alone: its inputs are those of the plain model."""
    config, layers = model.config, model.config.model.layers
    trace = _traced(model, tokens, np.zeros(layers))
    step, found = len(trace.undialled) // layers, []
    for dial in DIALS:
        parts = []
        for layer in range(layers):
            inner = logits_and_values(model.parameters, trace.states[step * layer], layer, model.layout, config)
            kappa = float(kappa_of_dial(dial))
            parts.append(output_rows(*inner, ~model.layout.in_block, config.setting.temperature, kappa))
        found.append({key: torch.stack([part[key] for part in parts]) for key in parts[0]})
    return {key: plain(torch.stack([each[key] for each in found])) for key in found[0]}


def _smoothing(model: Trained, tokens: Int[Tensor, "B T"]) -> Arrays:
    """By depth, with every layer dialled alike: means over sequences, and over heads where a head has its own."""
    config, layers, layout = model.config, model.config.model.layers, model.layout
    tau, found = config.setting.temperature, []
    for dial in SMOOTHED:
        kappa = float(kappa_of_dial(dial))
        trace = _traced(model, tokens, np.full(layers, kappa))
        step = len(trace.undialled) // layers
        contracted = []
        for layer in range(layers):
            logits, values = logits_and_values(model.parameters, trace.states[step * layer], layer, layout, config)
            weights = softmax(turned(logits, logits.new_full((1,), kappa), layout.in_block, tau), tau)
            contracted.append([float(x.mean()) for x in contraction(weights, values)])
        states = trace.states[::step]
        found.append(
            {
                "similarity": plain(similarity(states).mean(-1)),
                "rank": plain(effective_rank(states).mean(-1)),
                "contraction": np.array(contracted)[:, 0],
                "contraction_at_most": np.array(contracted)[:, 1],
            }
        )
    return {key: np.stack([each[key] for each in found]) for key in found[0]}


def table(numbers: dict[str, Any]) -> str:
    drift, own, whole, foretold = (
        np.array(numbers[key]) for key in ("drift", "bound_own", "bound_whole", "bound_calibrated")
    )
    lines = [
        "means over sequences        predicted at most, by Lip of",
        "dial  layers     drift    x + f    own f   calibrated f",
    ]
    for d, dial in enumerate(numbers["dials"]):
        for case in range(numbers["layers"] + 1):
            name = f"{case} alone" if case < numbers["layers"] else "all"
            means = [each[d, case].mean() for each in (drift, whole, own, foretold)]
            lines.append("{:<4}  {:8} {:7.3f}  {:7.3f}  {:7.2f}  {:13.2f}".format(dial, name, *means))
    missed = int((drift > foretold).sum())
    lines += ["", f"beyond the sum with constants of other sequences: {missed} of {drift.size}", ""]
    lines += ["every layer dialled alike, after the last layer; contraction: mean over layers"]
    lines += ["dial  similarity  effective rank   ||o_i - o_j||/V  at most"]
    parts = numbers["smoothing"]
    for d, dial in enumerate(numbers["smoothed"]):
        found = (parts["similarity"][d][-1], parts["rank"][d][-1])
        contracted = [np.mean(parts[key][d]) for key in ("contraction", "contraction_at_most")]
        lines.append("{:<4}  {:10.3f}  {:14.2f}   {:15.3f}  {:7.3f}".format(dial, *found, *contracted))
    return "\n".join(lines)
