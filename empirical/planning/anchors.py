"""`localist anchors`: anchors packed on the sphere, what they guarantee, and what more of them in a block do (C7, C11).

    margin >= beta (cos theta - cos(phi - theta)),   fidelity >= r / (r + (n-m) e^-margin)
    information of a pointer >= ln K - h(eps) - eps ln(K-1) while its leakage eps <= 1 - 1/K

Guarantees are computed from the vectors as saved and rounded to the safe side. A key may lie off its block's anchor if
theta counts that angle too. Not covered: keys outside that lie anywhere.
"""

from __future__ import annotations

import io
import json
import math
import shutil
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import bounds.numbers.arguments as check
from bounds import (
    Unreachable,
    anchor_margin,
    anchors_for_fidelity,
    coherence_floor,
    fidelity_floor,
    leakage_ceiling,
    pointer_information,
)
from bounds.anchors.packing import Packing, pack, room, searched
from bounds.numbers.decimals import rounded
from bounds.thresholds.design import Line
from empirical.errors import BadInput
from empirical.planning.redundancy import COURSES, draw_redundancy, landmarks, redundancy
from empirical.tables import table

FILES = ("anchors.npy", "anchors.json", "redundancy.png", "redundancy.svg")
SIDE = {"coherence": "nearest", "coherence_limit": "nearest", "leakage_ceiling": "up", "anchors_for_fidelity": "up"}


@dataclass(frozen=True)
class AnchorPlan:
    """What is to be packed and what rows it serves."""

    blocks: int  # K anchors, one a block
    dim: int  # d
    target_fidelity: float | None = None  # F in (0, 1)
    beta: float = 10.0  # logit of two equal unit vectors, over temperature
    theta: float = 0.0  # radians: angle of a query to its anchor, plus the largest of a key to its own, at most
    n_keys: int | None = None  # n: visible keys; None: n_block in each block
    n_block: int = 64  # m: keys of the relevant block, 1 <= m < n
    n_anchors: int = 1  # r: how many of them repeat the anchor
    seed: int | None = None  # of the search; None: 0
    restarts: int | None = None  # of the search; None: 6 to 24, fewer the more blocks

    def __post_init__(self) -> None:
        for name in ("blocks", "dim"):
            if getattr(self, name) < 2:
                raise check.reject(name, "at least 2", getattr(self, name))
        if self.target_fidelity is not None:
            check.unit_open("target_fidelity", self.target_fidelity)
        check.positive("beta", self.beta)
        check.real("theta", self.theta, "an angle in [0, pi]", lambda a: (a >= 0) & (a <= np.pi))
        check.count("n_block", self.n_block)
        if self.n_keys is None:
            object.__setattr__(self, "n_keys", self.blocks * self.n_block)
        check.keys(self.keys[0], self.n_block, self.n_anchors)
        if not searched(self.blocks, self.dim):
            for name in ("seed", "restarts"):
                if (value := getattr(self, name)) is not None:
                    raise check.reject(f"--{name}", "left out where no search is needed", value, f" for dim={self.dim}")
        self.within(math.acos(coherence_floor(self.blocks, self.dim)))  # what no packing exceeds: before the search

    @property
    def keys(self) -> tuple[int, int]:
        """(n, m)"""
        assert self.n_keys is not None
        return self.n_keys, self.n_block

    def within(self, phi: float) -> None:
        """Raises ValueError where a query would be farther from its anchor than anchors are apart."""
        if self.theta > phi:
            raise check.reject("theta", "in [0, phi]", f"{self.theta:g}", f" with phi={phi:g}")


def margin_of(packing: Packing, plan: AnchorPlan) -> float:
    """The guaranteed margin over temperature, rounded down by what rounding may do to a logit."""
    plan.within(packing.phi)
    return anchor_margin(plan.theta, packing.phi, plan.beta) - plan.beta * room(plan.dim)


def guarantees(plan: AnchorPlan, packing: Packing) -> dict[str, Any]:
    """All numbers, JSON-ready. Raises ValueError for a theta beyond phi."""
    (n, m), r = plan.keys, plan.n_anchors
    margin = margin_of(packing, plan)
    leakage = leakage_ceiling(margin, n, m, r)
    informative = leakage <= 1 - 1 / plan.blocks
    information = max(0.0, pointer_information(math.log(plan.blocks), leakage, plan.blocks)) if informative else 0.0
    notes: list[str] = []
    if not informative:
        notes.append(
            "information: none is guaranteed, for a blind guess errs with probability 1 - 1/K, below the leakage"
        )
    if margin <= 0:
        notes.append("margin: none is guaranteed unless theta is below half the angle of anchors")
    lines = [
        Line("coherence", "largest cosine of two anchors", packing.coherence, "of 1", "achieved"),
        Line("coherence_limit", "least that any anchors have", packing.limit, "of 1", "coherence_floor"),
        Line("phi", "least angle of two anchors", packing.phi, "rad", "achieved"),
        Line("theta_useful", "theta is useful below", packing.phi / 2, "rad", "anchor_margin"),
        Line("anchor_margin", f"margin at theta {plan.theta:g}", margin, "logits/tau", "anchor_margin"),
        Line("leakage_ceiling", f"leakage at most, r = {r}", leakage, "of 1", "leakage_ceiling"),
        Line("fidelity_floor", "fidelity at least", fidelity_floor(margin, n, m, r), "of 1", "fidelity_floor"),
        Line("pointer_information", "information at least", information, "nats", "pointer_information"),
    ]
    fewest: Any = None
    if plan.target_fidelity is not None:
        fewest = anchors_for_fidelity(plan.target_fidelity, margin, n, m)
        label = f"least r for fidelity {plan.target_fidelity:g}"
        lines.append(Line("anchors_for_fidelity", label, fewest, "anchors", "fidelity_floor"))
    known = (r,) if fewest is None or isinstance(fewest, Unreachable) else (r, fewest)
    limit_degrees, degrees = math.degrees(math.acos(packing.limit)), math.degrees(packing.phi)
    return {
        "config": asdict(plan),
        "seed": plan.seed or 0,
        "method": packing.method,
        "restarts": packing.restarts,
        "optimal": packing.optimal,
        "angle_degrees": degrees,
        "angle_limit_degrees": limit_degrees,
        "angle_short_degrees": max(0.0, limit_degrees - degrees),
        "thresholds": [line.as_dict() for line in lines],
        "notes": notes,
        "redundancy": redundancy(margin, n, m, known),
    }


def text(result: dict[str, Any]) -> str:
    """Aligned tables: guarantees rounded to the safe side, then the redundancy curve at some r."""
    plan, curve = AnchorPlan(**result["config"]), result["redundancy"]
    (n, m), how = plan.keys, result["method"]
    how += f", best of {result['restarts']} starts, seed {result['seed']}" if result["restarts"] else ""
    apart = f"{rounded(result['angle_degrees'], 'down', 7)} degrees apart at least"
    best = (
        "optimal: the coherence meets the proved limit"
        if result["optimal"]
        else f"no packing exceeds {rounded(result['angle_limit_degrees'], 'up', 7)}, "
        f"{rounded(result['angle_short_degrees'], 'up', 3)} more; whether this one is best is not known"
    )
    lines = [f"{plan.blocks} anchors in {plan.dim} dimensions ({how}): {apart}; {best}"]
    lines += [f"Setting: n_keys {n}, n_block {m}, n_anchors {plan.n_anchors}, beta {plan.beta:g}", ""]
    rows = [("guarantee", "value", "unit", "theorem")]
    for line in result["thresholds"]:
        side = SIDE.get(line["key"], "down")
        exact = round(line["value"], 12) if side == "nearest" else line["value"]  # 0 of an orthoplex, not its rounding
        value = "unreachable" if exact is None else rounded(exact, side, 9)
        bits = f" = {rounded(line['bits'], side)} bits" if "bits" in line else ""
        rows.append((line["label"], value, line["unit"] + bits, line["theorem"]))
    lines += table(rows, 4)
    lines += [f"{line['label']}: {line['reason']}" for line in result["thresholds"] if line["reason"]]
    lines += [*result["notes"], ""]
    lines.append("Redundancy: r equal anchors against the keys outside, the row that attains the fidelity floor.")
    lines.append(f"Its entropy {COURSES[curve['course']].format(curve['bottom'])}; its fidelity always rises.")
    rows = [("r", "fidelity >=", "entropy (nats)", "dH/dr (nats)", "")]
    fewest = next((line["value"] for line in result["thresholds"] if line["key"] == "anchors_for_fidelity"), None)
    said = {curve["bottom"]: "least entropy", m: "the whole block"}
    shown = landmarks(m) | {plan.n_anchors, *said, *(() if fewest is None else (fewest,))}
    columns = (curve[key] for key in ("n_anchors", "fidelity_floor", "entropy_nats", "slope_nats"))
    for r, fidelity, entropy, slope in zip(*columns):
        if r in shown:
            words = [said[r]] if r in said else []
            words += [f"least r for fidelity {plan.target_fidelity:g}"] if r == fewest else []
            rows.append((str(r), rounded(fidelity, "down"), rounded(entropy), f"{slope:+.3g}", "; ".join(words)))
    width = max(len(row[4]) for row in rows)
    return "\n".join([*lines, *table([(*row[:4], row[4].ljust(width)) for row in rows], 0)])


def save(folder: Path, vectors: NDArray[np.float64], result: dict[str, Any]) -> list[Path]:
    """anchors.npy, anchors.json and the figure, all of them or none. Raises BadInput where that cannot be."""
    from empirical.files import write_atomically

    made = not folder.exists()
    array = io.BytesIO()
    np.save(array, vectors, allow_pickle=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / "anchors.npy", array.getvalue())
        saved = (json.dumps(result, indent=2, allow_nan=False) + "\n").encode()
        write_atomically(folder / "anchors.json", saved)
        draw_redundancy(folder / "anchors.json")
    except BaseException as error:
        if made:
            shutil.rmtree(folder, ignore_errors=True)
        elif folder.is_dir():
            for name in FILES:
                (folder / name).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise BadInput(f"--out must be a writable folder, got {str(folder)!r} ({error.strerror})") from None
        raise
    return [folder / name for name in FILES]


def run(plan: AnchorPlan, out: Path | None = None) -> tuple[dict[str, Any], list[Path]]:
    """Packs, reports, and where `out` is given saves: (result, files)."""
    from empirical.files import usable_folder
    from empirical.provenance import commit, versions

    if out is not None:
        usable_folder(out, new=True)
    packing = pack(plan.blocks, plan.dim, plan.seed or 0, plan.restarts)
    result = guarantees(plan, packing)
    result |= {"versions": {**versions(), "scipy": version("scipy")}, "commit": commit()}
    return result, [] if out is None else save(out, packing.vectors, result)
