"""Entropy floors side by side: ours from the logit range, the published one from the norm, and rows that attain them.

`python -m empirical.studies.floors.measure --out evidence` writes floors.json and draws floors.png from it: for rows of 64 keys
the least entropy that the range D allows, Specht's floor, and sigma-Reparam's floor at the norm of each row beside it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

KEYS = 64
SEED = 1


def _rows(rng: np.random.Generator, count: int) -> np.ndarray:
    """Rows of one range each: k keys at the top, the others at the bottom, or anywhere between."""
    span = rng.uniform(0.5, 14, (count, 1))
    top = np.arange(KEYS) < rng.integers(1, KEYS // 2, (count, 1))
    between = rng.random((count, KEYS)) ** rng.choice([0.5, 1.0, 4.0], (count, 1))
    between = (between - between.min(1, keepdims=True)) / np.ptp(between, axis=1, keepdims=True)
    return span * np.where(rng.random((count, 1)) < 0.4, top, between)


def compare() -> dict[str, Any]:
    """The curves over D, and rows with their entropy, range and norm."""
    from bounds import entropy_floor, sigma_reparam_floor, specht_floor
    from empirical.files import commit, versions
    from empirical.verify.adversary.weights import entropy, softmax

    span = np.linspace(0.05, 14, 280)
    one_hot = span * np.sqrt((KEYS - 1) / KEYS)  # the norm of a centred one-hot of that range
    logits = _rows(np.random.default_rng(SEED), 600)
    norm = np.linalg.norm(logits - logits.mean(1, keepdims=True), axis=1)
    rows = {
        "range": np.ptp(logits, axis=1),
        "norm": norm,
        "entropy_nats": entropy(softmax(logits)),
        "range_floor": entropy_floor(np.ptp(logits, axis=1), KEYS),
        "norm_floor": sigma_reparam_floor(norm, KEYS),
    }
    curves = {
        "range": span,
        "range_floor": entropy_floor(span, KEYS),
        "specht_floor": specht_floor(span, KEYS),
        "norm_floor_one_hot": sigma_reparam_floor(one_hot, KEYS),
        "norm_floor_half": sigma_reparam_floor(span * np.sqrt(KEYS) / 2, KEYS),
        "entropy_one_hot": entropy(softmax(span[:, None] * (np.arange(KEYS) == 0))),
    }
    plain = {
        kind: {k: np.asarray(v).tolist() for k, v in group.items()}
        for kind, group in (("curves", curves), ("rows", rows))
    }
    return {"n_keys": KEYS, "seed": SEED, "commit": commit(), "versions": versions(), **plain}


def draw(saved: dict[str, Any]) -> Any:
    """Two panels: what a range allows, and each row against either floor."""
    from empirical.figures import style

    curves, rows = ({k: np.asarray(v) for k, v in saved[kind].items()} for kind in ("curves", "rows"))
    tighter = float(np.mean(rows["range_floor"] > rows["norm_floor"]))
    with style.drawing():
        figure = style.sheet(
            7.2,
            4.0,
            "Neither floor replaces the other: the norm is sharper for one spike, the range for the rest",
            f"{saved['n_keys']} keys; a floor excludes every row below it. Of {rows['range'].size} random rows the "
            f"range "
            f"gives the higher floor for {100 * tighter:.0f} %.",
        )
        left, right = figure.subplots(1, 2)
        left.plot(curves["range"], curves["range_floor"], color=style.BLUE, label="ours, exact from the range")
        left.plot(curves["range"], curves["specht_floor"], color=style.SKY, ls="--", label="Specht, from the range")
        left.plot(
            curves["range"],
            curves["norm_floor_one_hot"],
            color=style.RED,
            ls="-.",
            label="sigma-Reparam, norm of one spike",
        )
        left.plot(
            curves["range"],
            curves["norm_floor_half"],
            color=style.ORANGE,
            ls=":",
            label="sigma-Reparam, norm of half up, half down",
        )
        some = slice(None, None, 28)
        left.plot(
            curves["range"][some],
            curves["entropy_one_hot"][some],
            "o",
            color=style.BLACK,
            ms=3,
            label="one spike, observed",
        )
        left.set(
            xlabel="logit range over temperature, D",
            ylabel="entropy (nats)",
            ylim=(-0.1, np.log(saved["n_keys"]) + 0.1),
        )
        top = np.log(saved["n_keys"])
        for name, marker, colour, words in (
            ("range_floor", "o", style.BLUE, "ours, from its range"),
            ("norm_floor", "^", style.RED, "sigma-Reparam, from its norm"),
        ):
            right.plot(rows["entropy_nats"], rows[name], marker, color=colour, ms=2.2, alpha=0.6, mew=0, label=words)
        right.plot([0, top], [0, top], color=style.GREY, lw=0.8)
        right.text(top * 0.3, top * 0.34, "floor = entropy", rotation=40, color=style.GREY, size=7)
        right.set(
            xlabel="entropy of a row (nats)", ylabel="its floor (nats)", xlim=(0, top * 1.02), ylim=(-0.1, top * 1.02)
        )
        for axes in (left, right):
            axes.legend(loc="upper left", bbox_to_anchor=(0, -0.17), handlelength=2.4, markerscale=1.5)
    return figure


def main(arguments: list[str] | None = None) -> int:
    from empirical.files import write_atomically

    parser = argparse.ArgumentParser(prog="python -m empirical.studies.floors.measure", description=__doc__)
    parser.add_argument("--out", required=True, type=Path, metavar="DIR")
    folder = parser.parse_args(arguments).out
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "floors.json", (json.dumps(compare(), indent=1) + "\n").encode())
    draw(json.loads((folder / "floors.json").read_text())).savefig(
        folder / "floors.png", dpi=160, metadata={"Software": None}
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
