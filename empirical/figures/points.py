"""Every plotted point of the penalty figures as a line of text: configuration, bound, observed value, slack."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import bounds
from empirical.figures.against_penalty import KEYS
from empirical.figures.observed import Observed, middle
from empirical.figures.transition import share_of_zero_groups

HEADER = (
    "figure",
    "quantity",
    "penalty",
    "seed",
    "start",
    "layer",
    "head",
    "converged",
    "bound",
    "observed",
    "slack",
    "config",
)


def write_points(seen: Observed, path: Path) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(HEADER)
        table.writerows([*point, seen.digest] for point in [*_medians(seen), *_shares(seen)])
    return path


def _medians(seen: Observed) -> Iterator[list]:
    """One line a setting, layer and head: medians over its valid rows. Slack is positive inside the bound."""
    sides = (("fidelity", bounds.fidelity_floor, 1.0), ("entropy_nats", bounds.entropy_ceiling, -1.0))
    if not seen.has("margin", "entropy_nats", *KEYS.values()):
        return
    settings, layers, heads, _ = seen.valid.shape
    for name, calculator, sign in sides:
        observed, bound = seen.row(name), seen.bound(calculator, margin="margin", **KEYS)
        for layer in range(layers):
            for head in range(heads):
                value, limit = middle(observed[:, layer, head]), middle(bound[:, layer, head])
                for s in range(settings):
                    slack = sign * (value[s] - limit[s])
                    yield [
                        "fidelity_and_entropy",
                        name,
                        *_who(seen, s),
                        seen.number("layer", layer),
                        seen.number("head", head),
                        *_numbers(seen, s, limit[s], value[s], slack),
                    ]


def _shares(seen: Observed) -> Iterator[list]:
    """One line a setting: the share of zero cross blocks against the critical penalty of its seed.

    `bound` is that critical penalty, `slack` the penalty beyond it: at a positive slack a localised start stays at 1.
    """
    if not seen.has("group_norm"):
        return
    share = share_of_zero_groups(seen)
    critical = seen.values("critical").astype(float) if seen.has("critical") else np.full(share.shape, np.nan)
    for s in range(share.size):
        slack = seen.penalty[s] - critical[s]
        yield [
            "transition",
            "share_of_zero_cross_groups",
            *_who(seen, s),
            "all",
            "all",
            *_numbers(seen, s, critical[s], share[s], slack),
        ]


def _who(seen: Observed, s: int) -> list:
    return [repr(float(seen.penalty[s])), seen.seed[s].item(), seen.start[s]]


def _numbers(seen: Observed, s: int, *values: float) -> list:
    return [int(seen.converged[s]), *("" if np.isnan(v) else repr(float(v)) for v in values)]
