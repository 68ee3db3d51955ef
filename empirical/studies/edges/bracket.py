"""The bracket of the penalty thresholds of `blocks`: exact, searched from below, proved from above (claims C3, C10).

    lambda_crit <= lambda_glob <= lambda_stat*:  largest cross gradient at the localised optimum; the penalty from which
    it is a global minimiser; the largest at which a stationary point with a non-zero cross block exists
    sublevel:  lambda_glob <= max_bc ||diag(V_i D_ic / 2) X_b||_op sqrt(L_loc,b) / (tau sqrt N)

The loss is a mean over queries and the rows of W for block b touch queries of block b alone, so every threshold is a
maximum over b. Where L_b <= L_loc,b the errors e_i = ||o_i - y_i|| have sum of squares at most N L_loc,b, and
<M, grad_bc> <= (1/(N tau)) sum_i ||M^T x_i|| e_i V_i D_ic/2: Cauchy-Schwarz gives the level, theorem
`global_below_gradient` the rest. L_loc,b is the least that in-block runs reached, from the localised start, the aligned
ones and the best witness: an upper bound on the infimum, so the level stays proved, and the searched value of
lambda_glob is a value for that L_loc,b. `python -m empirical.studies.edges.dual` adds a lower level, by theorem `quadratic_dual`.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bounds import global_penalty_witness, penalty_threshold_worst_case
from bounds.penalty.fields import LEVEL_FIELDS
from empirical.errors import BadInput
from empirical.laboratory.config import Config
from empirical.laboratory.tasks import Blocks, Retrieval, device_of, level_c, level_ingredients, make_task
from empirical.laboratory.training import localise
from empirical.penalise.proximal_gradient import cross_blocks, group_norms, solve
from empirical.shapes import Float

ASCENT_STEPS, RISE, TOLERANCE = 1500, 1.06, 1e-8
LEAST_NORM = 0.5  # of the cross blocks of a witness; W has norms of some ten
STARTS = (5.0, 20.0, 60.0)  # multiples of the identity in the own block and in that of the cue
Level = tuple[str, str, float, str]
"""(level, kind, value, words)"""


def block_losses(data: Retrieval, forms: Float[Tensor, "S 1 1 K d K d"]) -> Float[Tensor, "S K"]:
    """L_b: each block's part of the mean loss; they add up to the loss."""
    error = (data.logits_and_output(forms)[2] - data.target[:, None]).square().sum(-1)  # N, S
    own = torch.nn.functional.one_hot(data.query_block, data.blocks).to(error.dtype)
    return error.T @ own / len(data.query)


def cross_norms(forms: Float[Tensor, "S 1 1 K d K d"]) -> Float[Tensor, "S K"]:
    """The sum over c of ||W_bc||, for each query block b."""
    norms = group_norms(forms)[:, 0, 0]
    return norms.masked_fill(~cross_blocks(norms.shape[-1], norms.device), 0.0).sum(-1)


def sublevel_level(known: dict[str, np.ndarray], losses: Float[Tensor, "K"], temperature: float) -> float:
    """Largest cross gradient where a block's loss is at most the given one, by Cauchy-Schwarz over its queries.

    `known` is what `level_ingredients` returned, here and below.
    """
    query = torch.as_tensor(known["query"])
    weights = torch.as_tensor(known["value_diameters"][:, None] * known["key_diameters"] / 2)  # N, blocks of keys
    roots, blocks = losses.cpu().sqrt(), range(query.shape[1])
    levels = [
        torch.linalg.matrix_norm(weights[:, c : c + 1] * query[:, b], 2) * roots[b]
        for b in blocks
        for c in blocks
        if b != c
    ]
    return float(torch.stack(levels).max()) / (temperature * len(query) ** 0.5)


def operator_level(known: dict[str, np.ndarray], temperature: float) -> float:
    """Level C by Cauchy-Schwarz over queries: no gradient exceeds it at any W."""
    from bounds import penalty_threshold_cauchy_schwarz

    query, levels = torch.as_tensor(known["query"]), []
    for b in range(query.shape[1]):
        operator = float(torch.linalg.matrix_norm(query[:, b], 2)) / len(query) ** 0.5
        own = known["query_norms"][:, b] > 0
        for c in range(query.shape[1]):
            product = known["gradient_bounds"] * known["value_diameters"] * known["key_diameters"][:, c] * own
            size = float(np.sqrt(np.mean(product**2)))
            levels += [penalty_threshold_cauchy_schwarz(operator, size, temperature)] if b != c else []
    return max(levels)


def gradient_levels(known: dict[str, np.ndarray], temperature: float) -> list[Level]:
    """What no gradient of a cross block exceeds, at any W: levels C and A, least first."""
    fields = {name: known[name] for name in LEVEL_FIELDS}
    fields = {k: v[:, None] if k in ("query_norm", "query_share") else v for k, v in fields.items()}
    cross = cross_blocks(known["query"].shape[1]).numpy()
    level_a = np.broadcast_to(penalty_threshold_worst_case(**fields, temperature=temperature), cross.shape)
    return [
        ("level C, Cauchy-Schwarz", "proved", operator_level(known, temperature), "above lambda_stat*"),
        ("level C, mean of products", "proved", float(level_c(known, temperature)[cross].max()), "above lambda_stat*"),
        ("level A, with query shares", "proved", float(level_a[cross].max()), "above lambda_stat*"),
    ]


def proved_levels(data: Retrieval, losses: Float[Tensor, "K"]) -> list[Level]:
    """All that is proved for the task, least first; `losses` as in `sublevel_level`."""
    known, tau = level_ingredients(data), data.temperature
    sublevel = sublevel_level(known, losses, tau)
    return [("sublevel, Cauchy-Schwarz", "proved", sublevel, "above lambda_glob"), *gradient_levels(known, tau)]


def _aligned(data: Retrieval, scale: float) -> Float[Tensor, "1 1 1 K d K d"]:
    """W that matches content in the own block, and half as strongly in the next, where the cue is."""
    d = data.query.shape[-1] // data.blocks
    forms = torch.zeros(1, 1, 1, data.blocks, d, data.blocks, d, dtype=data.query.dtype)
    for b in range(data.blocks):
        forms[0, 0, 0, b, :, b] = scale * torch.eye(d)
        forms[0, 0, 0, b, :, (b + 1) % data.blocks] = scale / 2 * torch.eye(d)
    return forms


def _ratios(data: Retrieval, forms: Tensor, localised: Float[Tensor, "K"]) -> Float[Tensor, "S K"]:
    """(L_loc,b - L_b) / sum_c ||W_bc||, the witness of each block; a better in-block part stands for L_loc,b.

    Cross norms below LEAST_NORM count as that: what they gain is the slope of lambda_crit, not the first-order gap.
    """
    in_block = torch.where(_own(data), forms, 0.0)
    least = torch.minimum(localised, block_losses(data, in_block))
    return (least - block_losses(data, forms)) / cross_norms(forms).clamp(min=LEAST_NORM)


def _own(data: Retrieval) -> Tensor:
    return ~cross_blocks(data.blocks).view(1, 1, 1, data.blocks, 1, data.blocks, 1)


def in_block_losses(data: Retrieval, config: Config, forms: Tensor, most: int) -> Float[Tensor, "K"]:
    """L_b where an in-block run from these own blocks ends."""
    end = solve(
        data.loss_and_gradient,
        torch.where(_own(data), forms, 0.0),
        torch.full((1,), torch.inf, dtype=forms.dtype),
        step=config.step,
        tolerance=TOLERANCE,
        max_steps=most,
    )
    return block_losses(data, end.forms)[0]


def follow(
    data: Retrieval, config: Config, critical: float, localised: Float[Tensor, "K"], scale: float, most: int
) -> tuple[float, float, Tensor]:
    """From an aligned start with the penalty continued upwards: (lambda_stat*, lambda_glob from below, best W).

    A penalty counts for lambda_stat* if the run converged to TOLERANCE with a cross block that is not zero.
    """
    forms, penalty, stationary, best, found = _aligned(data, scale), critical, 0.0, 0.0, _aligned(data, scale)
    while True:
        end = solve(
            data.loss_and_gradient,
            forms,
            torch.tensor([penalty], dtype=forms.dtype),
            step=config.step,
            tolerance=TOLERANCE,
            max_steps=most,
        )
        forms = end.forms
        if not bool(cross_norms(forms).any()):
            return stationary, best, found
        if bool(end.converged[0]):
            stationary = penalty
        ratio = float(_ratios(data, forms, localised).max())
        if ratio > best:
            best, found = ratio, forms.clone()
        penalty *= RISE


def ascend_ratio(data: Retrieval, forms: Tensor, localised: Float[Tensor, "K"], steps: int) -> tuple[float, Tensor]:
    """The best witness of any block found by gradient ascent from `forms`, and its W."""
    own = _own(data)
    best, found = 0.0, forms
    with torch.enable_grad():
        leaf = forms.clone().requires_grad_()
        adam = torch.optim.Adam([leaf], lr=0.05, maximize=True)
        for count in range(steps):
            adam.param_groups[0]["lr"] = 0.05 * 0.01 ** (count / steps)
            ratios = _ratios(data, leaf, localised)
            value = float(ratios.detach().max())
            if value > best:
                best, found = value, leaf.detach().clone()
            (gradient,) = torch.autograd.grad(ratios.sum(), leaf)
            active = group_norms(leaf.detach())[..., None, :, None] > 0
            leaf.grad = torch.where(active | own, gradient.nan_to_num(0.0), 0.0)  # the norm has no slope at 0
            adam.step()
    return best, found


def bracket(config: Config, seed: int, quick: bool = False) -> dict[str, Any]:
    """Every level of the seed's task, each with its kind: exact, searched (from below) or proved (from above)."""
    task = make_task(config, seed, device_of(config))
    if not isinstance(task, Blocks):
        raise BadInput(f"task.name must be 'blocks' for a bracket, got {config.task.name!r}")
    data = task.training
    start = localise(config, seed)
    critical = float(start["critical"])
    losses = block_losses(data, torch.as_tensor(start["parameter/forms"]))[0]
    most, ascent = (400, 100) if quick else (6000, ASCENT_STEPS)
    for scale in STARTS:
        losses = torch.minimum(losses, in_block_losses(data, config, _aligned(data, scale), most))
    stationary, witness, best = 0.0, 0.0, _aligned(data, STARTS[0])
    for scale in STARTS[:1] if quick else STARTS:
        found, ratio, forms = follow(data, config, critical, losses, scale, most)
        stationary = max(stationary, found)
        if ratio > witness:
            witness, best = ratio, forms
    ratio, best = ascend_ratio(data, best, losses, ascent)
    losses = torch.minimum(losses, in_block_losses(data, config, best, most))
    reached, norms = block_losses(data, best)[0], cross_norms(best)[0]
    witness = max(
        global_penalty_witness(float(losses[b]), float(reached[b]), [float(norms[b])]) for b in range(data.blocks)
    )
    levels = [
        ("lambda_crit", "exact", critical, "largest cross gradient at the localised optimum"),
        ("lambda_glob, witness", "searched", witness, "(L_loc - L)/sum of cross norms, ascended"),
        ("lambda_stat*, witness", "searched", stationary, "stationary with a cross block, penalty continued upwards"),
        *proved_levels(data, losses),
    ]
    names = ("level", "kind", "value", "words")
    return {
        "seed": seed,
        "quick": quick,
        "loss_localised": losses.tolist(),
        "residual_localised": float(start["residual"]),
        "levels": [dict(zip(names, level)) for level in levels],
    }


def table(saved: dict[str, Any]) -> str:
    """One line a level, and how far it lies above lambda_crit."""
    first = saved["levels"][0]["value"]
    lines = [f"{'level':28}{'kind':10}{'value':>11}  times lambda_crit"]
    for level in saved["levels"]:
        ratio = level["value"] / first
        lines.append(f"{level['level']:28}{level['kind']:10}{level['value']:11.4g}  {ratio:9.4g}  {level['words']}")
    return "\n".join(lines)


def draw(saved: dict[str, Any]) -> Any:
    """One row a level on a logarithmic penalty axis; the kind by marker and in words."""
    from empirical.figures import style
    from empirical.figures.levels import draw_levels

    levels = saved["levels"]
    values = {level["level"]: level["value"] for level in levels}
    best = min((level for level in levels if level["kind"] == "proved"), key=lambda level: level["value"])
    gap = best["value"] / values["lambda_glob, witness"]
    gain = values["level A, with query shares"] / best["value"]
    with style.drawing():
        figure = style.sheet(
            7.2,
            2.9,
            f"lambda_glob is known to a factor {gap:.0f}: {best['level']}, {gain:.0f} times below level A",
            f"task blocks, seed {saved['seed']}; searched values bound from below, proved ones from above",
        )
        draw_levels(figure.subplots(), levels)
    return figure


def save_figure(path: Path) -> None:
    """bracket.png beside the saved bracket.json."""
    figure = draw(json.loads(path.read_text(encoding="utf-8")))
    figure.savefig(path.with_suffix(".png"), dpi=160, metadata={"Software": None})


def main(arguments: list[str] | None = None) -> int:
    from empirical.files import commit, versions, write_atomically
    from empirical.laboratory.config import load

    parser = argparse.ArgumentParser(
        prog="python -m empirical.studies.edges.bracket", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("config", metavar="CONFIG.toml", type=Path)
    parser.add_argument("--out", required=True, metavar="DIR", type=Path)
    parser.add_argument("--quick", action="store_true", help="one start and few steps: the searched values are lower")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    try:
        config = load(options.config)
        found = bracket(config, config.sweep.seeds[0], options.quick)
    except BadInput as error:
        print(error, file=sys.stderr)
        return 2
    options.out.mkdir(parents=True, exist_ok=True)
    saved = {**found, "problem_digest": config.problem_digest(), "commit": commit(), "versions": versions()}
    path = options.out / "bracket.json"
    write_atomically(path, (json.dumps(saved, indent=1) + "\n").encode())
    save_figure(path)
    print(table(saved))
    return 0


if __name__ == "__main__":
    sys.exit(main())
