"""`localist schedule`: a drift budget shared out among layers, the optimum beside schedules that rise with depth (C13).

    most sum z_l with sum A_l z_l <= B:  ascending A_l = V_l prod_{k>l} (1 + Lip_k);  `bounds.schedules` has the others
    last layers first, whatever the budget, if V_{l+1} <= (1 + Lip_{l+1}) V_l in every layer

A file is study.json of `localist run --study schedule`, or the ledger's schedule.json, or any with layers.diameters,
layers.lipschitz (attention and MLP in turn) and layers.leakage, what is available. Flags win over the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bounds.depth.schedules import LAST, OPTIMUM, Layers, compare
from bounds.numbers.decimals import rounded
from empirical.errors import BadInput
from empirical.files import read_object, reason
from empirical.tables import table

FIELDS = {"diameters": "diameters", "lipschitz": "lipschitz", "available": "leakage"}  # ours: the file's


def from_file(path: Path) -> dict[str, Any]:
    """Diameters, lipschitz and available of a saved study. Raises BadInput for a file that is not one."""
    wanted = "JSON file with layers.diameters, layers.lipschitz and layers.leakage, lists of numbers"
    saved = read_object(path, "SCHEDULE.json", wanted)
    try:
        layers = saved.get("numbers", saved)["layers"]
        return {ours: [float(number) for number in layers[theirs]] for ours, theirs in FIELDS.items()}
    except (KeyError, TypeError, ValueError) as error:
        said = f"lacks {error}" if isinstance(error, KeyError) else reason(error)
    raise BadInput(f"SCHEDULE.json must be a readable {wanted}, got {str(path)!r} ({said})")


def gathered(
    path: Path | None,
    diameters: Sequence[float] | None = None,
    lipschitz: Sequence[float] | None = None,
    available: Sequence[float] | None = None,
) -> Layers:
    """The layers of the file and the flags. Raises ValueError for what is missing or does not fit."""
    values = {} if path is None else from_file(path)
    given = {"diameters": diameters, "lipschitz": lipschitz, "available": available}
    values |= {name: list(numbers) for name, numbers in given.items() if numbers is not None}
    for name in ("diameters", "lipschitz"):
        if name not in values:
            raise BadInput(f"{name} must be given, one number a layer, or a SCHEDULE.json in their place, got neither")
    values.setdefault("available", [1.0] * len(values["diameters"]))
    return Layers(**{name: np.array(numbers, np.float64) for name, numbers in values.items()})


def shared_out(layers: Layers, budget: float) -> dict[str, Any]:
    """All numbers, JSON-ready. Raises ValueError for a budget that is not positive."""
    ways = compare(layers, budget)
    last = next(way for way in ways if way.name == LAST)
    return {
        "budget": float(budget),
        "layers": {
            "diameters": layers.diameters.tolist(),
            "lipschitz": layers.lipschitz.tolist(),
            "available": layers.available.tolist(),
            "costs": layers.costs.tolist(),
        },
        "late_layers": {
            "diameter_allowed": [None if np.isinf(v) else v for v in layers.allowed.tolist()],  # None: any
            "holds": layers.late.tolist(),
            "optimum_is_last_first": bool(last.share >= 1 - 1e-12),  # at this budget; sums of L terms, to a few ulp
        },
        "schedules": [{k: v.tolist() if k == "allocation" else v for k, v in vars(way).items()} for way in ways],
    }


def text(result: dict[str, Any]) -> str:
    """Layers with the optimum and the condition, then every schedule."""
    layers, late = result["layers"], result["late_layers"]
    ways = {way["name"]: way for way in result["schedules"]}
    optimum, number = ways[OPTIMUM], len(layers["diameters"])
    lines = [
        f"Drift budget {result['budget']:g}: at most {rounded(optimum['removed'])} of leakage "
        f"{rounded(sum(layers['available']))} can be dialled away",
        "",
    ]
    lipschitz = np.reshape(layers["lipschitz"], (number, -1))
    allowed = ["", *("any" if a is None else f"<= {rounded(a, 'down')}" for a in late["diameter_allowed"])]
    verdicts = ["", *("HOLDS" if holds else "FAILS" for holds in late["holds"])]
    rows: list[tuple[str, ...]] = [
        ("layer", "V", "Lip", "A", "available", "optimum", "V may be", "late-layer condition")
    ]
    for i in range(number):
        figures = (rounded(layers[k][i]) for k in ("costs", "available"))
        lip = ", ".join(f"{value:.4g}" for value in lipschitz[i])
        best = rounded(optimum["allocation"][i])
        rows.append((str(i), rounded(layers["diameters"][i]), lip, *figures, best, allowed[i], verdicts[i]))
    lines += [*table(rows, 0), "", _condition(late), ""]
    rows = [("schedule", "leakage removed", "of the optimum", "drift", "s", "l_0")]
    for way in result["schedules"]:
        scale, knee = ("" if way[k] is None else f"{way[k]:.4g}" for k in ("scale", "knee"))
        shown = (rounded(way["removed"]), f"{way['share']:.4f}", rounded(way["drift"]))
        rows.append((way["name"], *shown, "" if knee else scale, knee))
    lines += [
        *table(rows),
        "",
        "(l/L)^beta: the share s (l/L)^beta of what the l-th layer (number l - 1) has, s <= 1; "
        "clipped: min(1, (l/l_0)^beta), l_0 the one that spends the budget.",
    ]
    return "\n".join(lines)


def _condition(late: dict[str, Any]) -> str:
    """V_{l+1} <= (1 + Lip_{l+1}) V_l, and what follows."""
    name = "V_{l+1} <= V_l prod (1 + Lip)"
    if all(late["holds"]):
        return f"{name} HOLDS in every layer: filling the last layers first is optimal, whatever the budget."
    steps = ", ".join(f"{i} to {i + 1}" for i, holds in enumerate(late["holds"]) if not holds)
    here = "all the same optimal" if late["optimum_is_last_first"] else "not optimal"
    return f"{name} fails from layer {steps}: filling the last layers first is {here} at this budget."
