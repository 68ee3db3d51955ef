"""Whether attention mass is causal use: keys inside or outside the block taken away, head by head (`ablation`).

Predicted: a head's output moves by m ||mean removed - mean rest|| <= m V, m the mass taken. Observed: that, and what
the loss makes of it, of which no theorem speaks: its rank correlation with the mass says how far fidelity means use.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from empirical.dial.drift import given
from empirical.laboratory.ablation import WAYS, ablated, output_rows
from empirical.laboratory.config import Config
from empirical.laboratory.dialled_pass import logits_and_values, run
from empirical.laboratory.model import token_losses
from empirical.laboratory.store import Store
from empirical.observe.rows import Weigh
from empirical.shapes import Arrays, Float, plain
from empirical.studies.findings import Findings, Judged
from empirical.studies.trained import Trained, trained

SEQUENCES, JUDGED = 64, 16  # held-out sequences: of the losses, of the rows that are judged
OUTSIDE, INSIDE, ANCHORS = "outside", "inside", "own anchors"


def measure(config: Config, store: Store) -> Findings:
    model = trained(config, store)
    sides = _sides(model)
    rows = store.keep("rows of heads", lambda: _rows(model, sides))
    raised = {way: store.keep(f"losses, {way}", lambda way=way: _rises(model, sides, way)) for way in WAYS}
    found = []
    for s, side in enumerate(sides):
        for layer in range(config.model.layers):
            for head in range(config.model.heads):
                mine = {key: value[s, layer, head] for key, value in rows.items()}
                found.append(
                    {
                        "side": side,
                        "layer": layer,
                        "head": head,
                        "mass": float(mine["leakage"].mean()),
                        "output_change": float(mine["output_error"].mean()),
                        "predicted": float((mine["leakage"] * mine["mean_gap"]).mean()),
                        "predicted_at_most": float((mine["leakage"] * mine["value_diameter"]).mean()),
                        **{way: float(raised[way]["rise"][s, layer, head]) for way in WAYS},
                    }
                )
    numbers = {
        "seed": config.sweep.seeds[0],
        "sequences": len(model.heldout(0, SEQUENCES)),
        "loss": _loss(model, None),
        "heads": found,
        "correlations": correlations(found),
    }
    axes = ("side", "layer", "head", "sequence", "query")
    return Findings(numbers, (Judged("heads", axes, rows, ("output_error", "dial_segment")),))


def _sides(model: Trained) -> dict[str, Tensor]:
    """Masks (T, N) of the keys that are taken away."""
    layout = model.layout
    sides = {OUTSIDE: ~layout.in_block, INSIDE: layout.in_block}
    return sides | ({ANCHORS: layout.in_block & layout.anchor} if model.config.anchors else {})


@torch.no_grad()
def _loss(model: Trained, weigh: Weigh | None) -> float:
    """Nats a token."""
    sequences = model.heldout(0, SEQUENCES)
    return float(token_losses(model.parameters, sequences, model.layout, model.config, weigh=weigh).mean())


def _rises(model: Trained, sides: dict[str, Tensor], way: str) -> Arrays:
    """Of the held-out loss, (side, layer, head), each head alone."""
    config, whole = model.config, _loss(model, None)
    layers, heads, tau = config.model.layers, config.model.heads, config.setting.temperature
    rise = [
        _loss(model, ablated(layer, head, taken, WAYS[way], tau)) - whole
        for taken in sides.values()
        for layer in range(layers)
        for head in range(heads)
    ]
    return {"rise": np.array(rise).reshape(len(sides), layers, heads)}


def _rows(model: Trained, sides: dict[str, Tensor]) -> Arrays:
    """Fields of the theorems, (side, layer, head, sequence, query), in the layers as the plain model enters them."""
    config, layers = model.config, model.config.model.layers
    tokens = model.heldout(0, JUDGED)[:, :-1]
    trace = run(model.parameters, tokens, model.layout, config, given([0.0] * layers))
    step = len(trace.undialled) // layers
    found = []
    for taken in sides.values():
        parts = []
        for layer in range(layers):
            inner = logits_and_values(model.parameters, trace.states[step * layer], layer, model.layout, config)
            parts.append(output_rows(*inner, taken, config.setting.temperature))
        found.append({key: torch.stack([part[key] for part in parts]) for key in parts[0]})
    return {key: plain(torch.stack([each[key] for each in found])) for key in found[0]}


def rank_correlation(x: Float[np.ndarray, "n"], y: Float[np.ndarray, "n"]) -> float:
    """Spearman's: the correlation of the ranks; NaN of fewer than two different values."""
    ranks = [np.argsort(np.argsort(values)) for values in (x, y)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1]) if len(x) > 1 else float("nan")


def correlations(heads: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of each of three predictors with the loss rise of removing, over the heads of every side and of both."""
    found = []
    for name, chosen in ((OUTSIDE, {OUTSIDE}), (INSIDE, {INSIDE}), ("both", {OUTSIDE, INSIDE})):
        mine = [row for row in heads if row["side"] in chosen]
        rise = np.array([row["removed"] for row in mine])
        with_rise = {
            key: rank_correlation(np.array([row[key] for row in mine]), rise)
            for key in ("mass", "predicted_at_most", "output_change")
        }
        found.append({"sides": name, "heads": len(mine), **with_rise})
    return found


def causal_shares(heads: list[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """Fidelity of every head, and the part of its use inside: rise inside / (inside + outside), no rise below 0."""
    inside, outside = ([row for row in heads if row["side"] == side] for side in (INSIDE, OUTSIDE))
    used, other = (np.array([max(row["removed"], 0.0) for row in rows]) for rows in (inside, outside))
    total = used + other
    share = np.divide(used, total, out=np.full_like(total, 0.5), where=total > 0)
    return np.array([row["mass"] for row in inside]), share


def table(numbers: dict[str, Any]) -> str:
    lines = [f"held-out loss {numbers['loss']:.4f} nats a token; its rise with keys of one head taken away:", ""]
    lines += ["layer  head  keys           mass   removed  silenced  averaged   output moved  m ||means||      m V"]
    for row in numbers["heads"]:
        lines.append(
            f"{row['layer']:5}  {row['head']:4}  {row['side']:11}  {row['mass']:6.3f}  {row['removed']:+8.4f}  "
            f"{row['silenced']:+8.4f}  {row['averaged']:+8.4f}   {row['output_change']:12.4f}  "
            f"{row['predicted']:11.4f}  {row['predicted_at_most']:7.3f}"
        )
    lines += ["", "rank correlation of the loss rise (removed) with   mass      m V   output moved"]
    for row in numbers["correlations"]:
        lines.append(
            f"  {row['heads']:3} heads, {row['sides']:36}{row['mass']:+6.2f}   {row['predicted_at_most']:+6.2f}"
            f"   {row['output_change']:+12.2f}"
        )
    return "\n".join(lines)
