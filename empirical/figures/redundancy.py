"""What more equal anchors in a block do: entropy and fidelity against their number (claims C7, C11)."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from empirical.figures import style


def redundancy_curve(result: dict[str, Any], course: str) -> Figure:
    """The curve of a saved plan of anchors; `course` says what its entropy does."""
    plan, curve = result["config"], result["redundancy"]
    r, fidelity, entropy = (np.array(curve[k]) for k in ("n_anchors", "fidelity_floor", "entropy_nats"))
    known = {line["key"]: line["value"] for line in result["thresholds"]}
    target, fewest = plan["target_fidelity"], known.get("anchors_for_fidelity")
    note = (
        f"{plan['blocks']} anchors in {plan['dim']} dimensions, {result['angle_degrees']:.4g} degrees apart at "
        f"least, beta {plan['beta']:g}, theta {plan['theta']:g}: margin {known['anchor_margin']:.4g} over "
        f"temperature; n = {plan['n_keys']:,} keys, m = {plan['n_block']:,} in the block. Row: r equal anchors "
        "against n - m keys outside, where the floor is attained"
    )
    figure = style.sheet(7.2, 3.2, f"Entropy {course}; fidelity always rises", note)
    left, right = figure.subplots(1, 2, sharex=True)
    for axes, values, colour in ((left, entropy, style.BLUE), (right, fidelity, style.GREEN)):
        axes.plot(r, values, "." if len(r) == 1 else "-", color=colour)
        axes.set(xscale="log", xlabel="equal anchors r in the block")
        axes.xaxis.set_major_formatter("{x:g}")
    least_entropy = f"least at r = {curve['bottom']}: {curve['bottom_entropy_nats']:.3f} nats"
    left.plot(curve["bottom"], curve["bottom_entropy_nats"], "o", color=style.RED, label=least_entropy)
    left.set(ylabel="entropy of the row (nats)")
    right.set(ylabel="fidelity at least")
    if target is not None:
        words = f"target {target:g}" + (", out of reach" if fewest is None else "")
        right.axhline(target, color=style.GREY, ls="--", lw=0.8, label=words)
    if fewest is not None:
        right.plot(fewest, fidelity[r == fewest], "s", color=style.RED, label=f"met from r = {fewest}")
    left.legend(loc="best")
    if target is not None:
        right.legend(loc="best")
    return figure
