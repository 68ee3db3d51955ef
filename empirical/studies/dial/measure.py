"""Study `dial`: one trained model along the whole dial, a dial of each query's own, and the dial in training.

    F(dial) = F0 / (1 - dial (1 - F0));  entropy rises first iff leakage > e^H_out/(e^H_in + e^H_out) at dial 0
    in training: penalty = lambda_crit dial/(1 - dial), lambda_crit from a model whose cross blocks are held at zero

Predictions in the first layer come from the rows at dial 0 alone. Deeper layers meet other inputs as the dial turns:
there the law holds given the input, and the same prediction is drawn to show how far it carries.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.special import entr
from torch import Tensor

from bounds.dial.calculators import penalty_of_dial
from bounds.dial.closed_forms import dial_leakage, peak_entropy
from bounds.theorems import OBSERVED, Level
from empirical.dial.changes import adaptive_dial, dial, least_kappa, steer, turned
from empirical.dial.guard import Guard
from empirical.laboratory.config import Config
from empirical.laboratory.model import forward, token_losses
from empirical.laboratory.store import Store
from empirical.observe.rows import Weigh, entropy, masses
from empirical.shapes import Arrays, Bool, Float, plain
from empirical.studies.dial.rows import DIMS, dial_rows
from empirical.studies.findings import Findings, Judged
from empirical.studies.trained import Trained, trained

DIALS = (*np.linspace(0, 0.9, 10).tolist(), 0.95, 0.98, 0.99, 0.995, 0.999, 0.9999, 1.0)
CURVE = -np.expm1(-np.linspace(0, 11, 111))  # dials at which the law is drawn, evenly in kappa
TARGETS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
IN_TRAINING = (0.0, 0.2, 0.35, 0.45, 0.55, 0.7, 0.9)
HELD = 1e3  # a penalty above every level: cross blocks at zero from the first steps on
ROWS, LOSSES = 16, 64  # held-out sequences whose rows are kept; over which a loss is taken
EVERY = 4  # one query in so many is kept as logits
SMALL = 1e-3  # kappa of a first turn: a row whose entropy peaks within twice that decides nothing
DRAWN = 6  # rows whose entropy is drawn
AFTER = tuple(t.key for t in OBSERVED if t.level is Level.ROW and t.tight and t.topic != "dial")


def measure(config: Config, store: Store) -> Findings:
    model = trained(config, store)
    before, after = _rows(model, store)
    curve, adaptive = _curve(model, store), _adaptive(model, store)
    entropies, peaks = _entropy_of_rows(_logit_rows(model, store))
    rows = {name: before[name] for name in ("leakage", "fidelity", "leakage_dialled", "margin", "logit_range", "valid")}
    rows |= {name: before[name] for name in ("n_keys", "n_block", "n_anchors", "temperature", "dial")}
    numbers = {
        "seed": config.sweep.seeds[0],
        "dials": list(DIALS),
        "targets": list(TARGETS),
        **{name: values.tolist() for name, values in curve.items()},
        **_predicted(before, after),
        "curve": {"dials": CURVE.tolist(), **_law(before, CURVE[:, None, None, None])},
        "entropies": entropies,
        "adaptive": {name: values.tolist() for name, values in adaptive.items()},
        "training": _training(config, store),
    }
    along = {**{k: before[k] for k in ("entropy_inside", "entropy_outside")}, "entropy_dialled": after["entropy_nats"]}
    along["reshaped"] = (~before["valid"] | (before["dial"] == 1)).astype(float)  # a masked side has no distribution
    return Findings(
        numbers,
        (
            Judged("before", DIMS, rows, ("odds_law", "worst_case_dial")),
            Judged("after", DIMS, {k: v for k, v in after.items() if k != "dial"}, AFTER),
            Judged("along", DIMS, along, ("entropy_along_dial",)),
            peaks,
        ),
    )


def _rows(model: Trained, store: Store) -> tuple[Arrays, Arrays]:
    def both() -> dict[str, Arrays]:
        tokens = model.heldout(0, ROWS)[:, :-1]
        before, after = dial_rows(model.parameters, tokens, model.layout, model.config, DIALS)
        return {"before": before, "after": after}

    found = store.keep_parts("rows along the dial", both)
    return found["before"], found["after"]


def _loss(model: Trained, *changes: Any) -> float:
    return float(_losses(model, steer(model.config.setting.temperature, *changes))[0])


@torch.no_grad()
def _losses(model: Trained, weigh: Weigh | None = None) -> Float[np.ndarray, "S"]:
    parts = model.heldout(0, LOSSES).split(ROWS)
    losses = [token_losses(model.parameters, part, model.layout, model.config, weigh=weigh) for part in parts]
    return plain(torch.cat(losses, 1).mean((1, 2)))


@torch.no_grad()
def _curve(model: Trained, store: Store) -> Arrays:
    """Loss with every layer dialled alike, and with one layer alone."""
    inside, layers = model.layout.in_block, model.config.model.layers

    def losses() -> Arrays:
        every = [_loss(model, dial(model.config, inside, d)) for d in DIALS]
        alone = [
            [_loss(model, dial(model.config, inside, d * np.eye(layers)[layer][:, None])) for d in DIALS]
            for layer in range(layers)
        ]
        return {"loss": np.array(every), "loss_alone": np.array(alone)}

    return store.keep("losses along the dial", losses)


def _means(rows: Arrays, name: str) -> np.ndarray:
    """(dial, layer): mean over heads and the queries that are valid at every dial but 1."""
    valid = rows["valid"][0]
    values = np.where(valid, rows[name], 0.0)
    return values.sum((2, 3)) / valid.sum((1, 2))


def _predicted(before: Arrays, after: Arrays) -> dict[str, Any]:
    """Fidelity and entropy a layer, observed, and predicted from the rows at dial 0."""
    observed = {"fidelity": _means(after, "fidelity").tolist(), "entropy": _means(after, "entropy_nats").tolist()}
    return {**observed, **_law(before, before["dial"])}


def _law(before: Arrays, dials: Float[np.ndarray, "D 1 1 1"]) -> dict[str, Any]:
    """What the rows at dial 0 predict of fidelity and entropy, a layer, at each dial."""
    start = {name: values[:1] for name, values in before.items()}
    with np.errstate(all="ignore"):
        left = dial_leakage(start["leakage"], start["fidelity"], dials)
        mixed = entr(left) + entr(1 - left) + (1 - left) * start["entropy_inside"] + left * start["entropy_outside"]
    seen = {"valid": start["valid"], "fidelity": 1 - left, "entropy_nats": mixed}
    return {
        "fidelity_predicted": _means(seen, "fidelity").tolist(),
        "entropy_predicted": _means(seen, "entropy_nats").tolist(),
    }


def _logit_rows(model: Trained, store: Store) -> Rows:
    """Rows of every layer and head as the undialled model has them, one in a few queries, as logits."""
    layout, kept = model.layout, []

    def watch(layer: int, logits: torch.Tensor) -> None:
        kept.append(logits[0, :, :, EVERY - 1 :: EVERY].flatten(0, 2))

    def rows() -> Arrays:
        with torch.no_grad():
            forward(model.parameters, model.heldout(0, ROWS)[:, :-1], layout, model.config, observe=watch)
        logits = torch.cat(kept)
        inside = layout.in_block[EVERY - 1 :: EVERY].repeat(len(logits) // len(layout.in_block[EVERY - 1 :: EVERY]), 1)
        both = [(logits.isfinite() & side).any(-1) for side in (inside, ~inside)]
        return {"logits": plain(logits[both[0] & both[1]]), "inside": plain(inside[both[0] & both[1]])}

    found = store.keep("logits at dial 0", rows)
    return Rows(torch.as_tensor(found["logits"]), torch.as_tensor(found["inside"]), model.config.setting.temperature)


@dataclass(frozen=True)
class Rows:
    """Rows that can be turned by any kappa, each by its own."""

    logits: Float[Tensor, "R N"]
    inside: Bool[Tensor, "R N"]
    temperature: float

    def entropy(self, kappa: Float[Tensor, "*#K R"]) -> Float[Tensor, "*K R"]:
        return entropy(turned(self.logits, kappa, self.inside, self.temperature) / self.temperature)

    def leakage(self, kappa: Float[Tensor, "*#K R"]) -> Float[Tensor, "*K R"]:
        return masses(turned(self.logits, kappa, self.inside, self.temperature) / self.temperature, ~self.inside)[0]

    def split(self) -> tuple[Float[Tensor, "R"], Float[Tensor, "R"]]:
        """H_in and H_out."""
        scaled = self.logits / self.temperature
        within, without = (entropy(scaled.masked_fill(~side, -math.inf)) for side in (self.inside, ~self.inside))
        return within, without

    def take(self, index: Tensor) -> Rows:
        return Rows(self.logits[index], self.inside[index], self.temperature)


def _entropy_of_rows(rows: Rows) -> tuple[dict[str, Any], Judged]:
    """Which rows' entropy must rise before it falls, and does; where it peaks; some of them to be drawn."""
    zero = torch.zeros(len(rows.logits), dtype=torch.float64)
    within, without = rows.split()
    eps = rows.leakage(zero)
    kappa_peak = eps.log() - (-eps).log1p() - (without - within)  # the odds of the peak's leakage are e^(H_out - H_in)
    clear = kappa_peak.abs() > 2 * SMALL
    rises = rows.entropy(zero + SMALL) > rows.entropy(zero)
    found = (clear & (kappa_peak > 0)).nonzero().squeeze(1)
    peaked = rows.take(found)
    top = _highest(peaked, 2 * kappa_peak[found])
    judged = {
        "leakage_at_peak": plain(peaked.leakage(top)),
        "entropy_inside": plain(within[found]),
        "entropy_outside": plain(without[found]),
        "reshaped": np.zeros(len(found)),
    }
    order = kappa_peak.argsort(descending=True)
    chosen = order[torch.linspace(0, len(order) - 1, DRAWN).long()]
    grid = torch.linspace(0, 6, 61, dtype=torch.float64)[:, None].expand(-1, DRAWN)
    numbers = {
        "rows": len(eps),
        "undecided": int((~clear).sum()),
        "predicted": len(found),
        "observed": int((clear & rises).sum()),
        "agree": int((clear & (rises == (kappa_peak > 0))).sum()),
        "kappa": grid[:, 0].tolist(),
        "curves": rows.take(chosen).entropy(grid).T.tolist(),
        "peak_kappa": kappa_peak[chosen].tolist(),
        "peak_entropy": np.asarray(peak_entropy(plain(within[chosen]), plain(without[chosen]))).tolist(),
    }
    return numbers, Judged("peaks", ("row",), judged, ("entropy_turning_point",))


def _highest(rows: Rows, most: Float[Tensor, "R"]) -> Float[Tensor, "R"]:
    """The kappa in [0, most] of largest entropy, row by row, by golden section: entropy rises to it and falls after."""
    ratio = (math.sqrt(5) - 1) / 2
    low, high = torch.zeros_like(most), most
    for _ in range(60):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        rising = rows.entropy(left) < rows.entropy(right)
        low, high = torch.where(rising, left, low), torch.where(rising, high, right)
    return (low + high) / 2


@torch.no_grad()
def _adaptive(model: Trained, store: Store) -> Arrays:
    """Loss where each query takes the least dial that meets a target, beside the one dial that meets it everywhere."""
    config, inside, tau = model.config, model.layout.in_block, model.config.setting.temperature

    def one(target: float) -> tuple[float, ...]:
        chosen: list[Tensor] = []
        with Guard(target, inside, tau) as guard:  # raises where a row misses
            adaptive = _loss(model, adaptive_dial(target, inside, tau, lambda _, kappa: chosen.append(kappa)), guard)
        kappas = torch.cat([kappa.flatten() for kappa in chosen])
        fixed = _fixed_kappa(model, target)
        with Guard(target, inside, tau) as guard:
            everywhere = _loss(model, dial(config, inside, kappas=fixed), guard)
        return adaptive, everywhere, fixed, float(kappas.mean()), float((kappas == 0).double().mean()), guard.rows

    def costs() -> Arrays:
        names = ("loss", "loss_fixed", "kappa_fixed", "kappa_mean", "untouched", "rows")
        return dict(zip(names, np.array([one(target) for target in TARGETS]).T))

    return store.keep("adaptive dial", costs)


def _fixed_kappa(model: Trained, target: float) -> float:
    """The least kappa found with which every row meets the target: raised to what the rows need until none misses.

    Deeper rows change with it, so that it is reached from below, by what the worst row still lacks.
    """
    inside, tau, kappa = model.layout.in_block, model.config.setting.temperature, 0.0
    while True:
        lacking: list[float] = []
        turn = dial(model.config, inside, kappas=kappa)

        def watch(layer: int, logits: Tensor, lacking: list[float] = lacking) -> Tensor:
            lacking.append(float(least_kappa(logits, inside, target, tau).max()))
            return logits

        _loss(model, turn, watch)
        if max(lacking) <= 1e-9:  # what `least_kappa` adds for rounding
            return kappa
        kappa += max(lacking)


def _training(config: Config, store: Store) -> dict[str, Any]:
    """Models trained at dials in training: penalties relative to the critical one of a localised model."""
    held = trained(config, store, (HELD,), "localised")
    cross = ~np.eye(config.model.blocks, dtype=bool)
    critical = float(held.arrays["gradient_norm"][..., cross].max())
    penalties = tuple(np.asarray(penalty_of_dial(IN_TRAINING, critical)).tolist())
    models = trained(config, store, penalties, "in_training")
    norms = models.arrays["group_norm"][..., cross]
    return {
        "critical": critical,
        "dials": list(IN_TRAINING),
        "active": (norms > 0).mean((1, 2, 3)).tolist(),
        "loss": _losses(models).tolist(),
    }


def table(found: dict[str, Any]) -> str:
    """The curve, the costs of a promise, the dial in training."""
    lines = [f"{'dial':>8}{'loss':>9}" + "".join(f"  F{k:<7}H{k:<5}" for k in range(len(found["fidelity"][0])))]
    for at, value in enumerate(found["dials"]):
        layers = "".join(f"  {f:.4f}  {h:.3f}" for f, h in zip(found["fidelity"][at], found["entropy"][at]))
        lines.append(f"{value:8.4g}{found['loss'][at]:9.4f}{layers}")
    lines += ["", "fidelity promised  own dials: loss  mean kappa  untouched  one dial: loss  kappa"]
    cost = found["adaptive"]
    for at, target in enumerate(found["targets"]):
        lines.append(
            f"{target:17g}{cost['loss'][at]:17.4f}{cost['kappa_mean'][at]:12.3f}{100 * cost['untouched'][at]:9.1f} %"
            f"{cost['loss_fixed'][at]:16.4f}{cost['kappa_fixed'][at]:7.2f}"
        )
    rising, training = found["entropies"], found["training"]
    lines += [
        "",
        f"entropy must first rise in {rising['predicted']:,} of {rising['rows']:,} rows and does in "
        f"{rising['observed']:,}; prediction and observation agree in {rising['agree']:,}, "
        f"{rising['undecided']:,} peak too near 0 to tell",
        f"dial in training (critical penalty {training['critical']:.4g}): "
        + ", ".join(f"{d:g}: {100 * a:.0f} % active" for d, a in zip(training["dials"], training["active"])),
    ]
    return "\n".join(lines)
