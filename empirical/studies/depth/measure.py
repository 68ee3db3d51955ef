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
from matplotlib.figure import Figure
from torch import Tensor

from bounds.dial.calculators import kappa_of_dial
from empirical.dial.changes import turned
from empirical.dial.drift import Trace, depth_rows, depth_sum, given, secants
from empirical.errors import BadInput
from empirical.laboratory.ablation import output_rows
from empirical.laboratory.config import Config
from empirical.laboratory.dialled_pass import logits_and_values, run
from empirical.laboratory.store import Store
from empirical.observe.rows import softmax
from empirical.shapes import Arrays, Int, plain
from empirical.studies.depth.smoothing import contraction, effective_rank, similarity
from empirical.studies.frame import Findings, Judged
from empirical.studies.schedule.measure import calibrate
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
            name = f"{case + 1} alone" if case < numbers["layers"] else "all"
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


def draw(numbers: dict[str, Any]) -> dict[str, Figure]:
    return {"depth": _draw_drift(numbers), "smoothing": _draw_smoothing(numbers)}


def _draw_drift(numbers: dict[str, Any]) -> Figure:
    from empirical.figures import style

    drift, own, foretold = (np.array(numbers[key]) for key in ("drift", "bound_own", "bound_calibrated"))
    beyond, missed = int((drift > own * (1 + 1e-9)).sum()), int((drift > foretold).sum())
    ratio = float(np.median(own[:, -1] / drift[:, -1]))
    claim = (
        f"Dialling layers moves the output within the depth sum in {drift.size - beyond:,} of {drift.size:,} cases; "
        f"with all layers dialled the sum is {ratio:.1f} times the drift"
    )
    note = (
        f"seed {numbers['seed']}, {numbers['layers']} layers of attention and MLP, {numbers['sequences']} held-out "
        f"sequences; calibrated: the largest Lip of other sequences, exceeded by {missed} drifts; median of the ratio"
    )
    figure = style.sheet(7.2, 3.8, claim, note)
    left, right = figure.subplots(1, 2)
    looks = ((style.BLUE, "o"), (style.GREEN, "s"), (style.RED, "^"))
    names, places = [*map(str, range(1, numbers["layers"] + 1)), "all"], np.arange(numbers["layers"] + 1)
    for d, (dial, (colour, marker)) in enumerate(zip(numbers["dials"], looks)):
        for part in (slice(-1), slice(-1, None)):  # no line between single layers and all of them
            left.plot(places[part], own[d].mean(-1)[part], "--", color=colour, marker=marker, mfc="white", lw=0.9)
            left.plot(places[part], drift[d].mean(-1)[part], "-", color=colour, marker=marker)
        left.plot([], [], "-", color=colour, marker=marker, label=f"dial {dial:g}")
        right.plot(drift[d].ravel(), own[d].ravel(), marker, color=colour, ms=2.4, mew=0, rasterized=True)
    left.plot([], [], "-", color=style.GREY, label="observed, mean")
    left.plot([], [], "--", color=style.GREY, label="predicted at most, mean")
    left.set_xticks(places, names)
    left.set(yscale="log", xlabel="layer dialled alone, or all", ylabel="drift at the output")
    left.set_title("layer by layer")
    right.plot(drift.ravel(), foretold.ravel(), "x", color=style.GREY, ms=2.4, mew=0.5, zorder=0, rasterized=True)
    ends = [drift.min(), drift.max()]
    right.plot(ends, ends, color=style.BLACK, lw=0.8)
    right.plot([], [], "D", color=style.BLACK, mfc="white", label="in colour, own Lip: a theorem")
    right.plot([], [], "x", color=style.GREY, label="calibrated Lip: a prediction")
    right.set(xscale="log", yscale="log", xlabel="observed drift of a sequence", ylabel="predicted at most")
    right.set_title("sequence by sequence (on the line: attained)")
    right.legend(loc="upper left")
    style.legend_below(figure, left.get_legend_handles_labels()[0], columns=5)
    return figure


def _draw_smoothing(numbers: dict[str, Any]) -> Figure:
    from empirical.figures import style

    parts = {key: np.array(value) for key, value in numbers["smoothing"].items()}
    last, reached = parts["similarity"][:, -1], (parts["contraction"] / parts["contraction_at_most"]).max()
    claim = (
        f"Tokens end at a mean cosine of {last[0]:.2f} with dial 0 and {last[-1]:.2f} with dial 1 in every layer; "
        f"outputs of one head lie at most {reached:.0%} as far apart as its attention rows allow"
    )
    note = (
        f"seed {numbers['seed']}, means over {numbers['sequences']} held-out sequences; no theorem is claimed of "
        "similarity or rank; predicted at most: the mean total variation distance of two attention rows"
    )
    figure = style.sheet(7.2, 3.3, claim, note)
    alike, rank, contracted = figure.subplots(1, 3)
    looks = ((style.BLACK, "D"), (style.BLUE, "o"), (style.GREEN, "s"), (style.RED, "^"))
    for d, (dial, (colour, marker)) in enumerate(zip(numbers["smoothed"], looks)):
        look = {"color": colour, "marker": marker, "ms": 3.4}
        alike.plot(parts["similarity"][d], "-", label=f"dial {dial:g}", **look)
        rank.plot(parts["rank"][d], "-", **look)
        layers = np.arange(1, numbers["layers"] + 1)
        contracted.plot(layers, parts["contraction"][d], "-", **look)
        contracted.plot(layers, parts["contraction_at_most"][d], "--", mfc="white", lw=0.9, **look)
    alike.set(xlabel="layers passed", ylabel="mean cosine of two tokens", title="similarity, observed")
    rank.set(xlabel="layers passed", ylabel="exp(entropy of singular values)", title="effective rank, observed")
    contracted.set(xlabel="layer", ylabel="mean distance of outputs / V", title="contraction of one head")
    contracted.set_ylim(0, 1.05)
    alike.plot([], [], "-", color=style.GREY, label="observed")
    alike.plot([], [], "--", color=style.GREY, label="predicted at most")
    style.legend_below(figure, alike.get_legend_handles_labels()[0], columns=6)
    return figure
