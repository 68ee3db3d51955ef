"""Both edges, the crossing and the proved levels, in one table and one figure: `blocks` as it is, `topics` frozen.

    lower edge = lambda_crit;  crossing <= lambda_glob <= proved levels;  upper edge <= lambda_stat* <= level C

`python -m empirical.studies.edges.measure CONFIG.toml ... --out DIR` writes edges.json and edges.png, every seed of every
configuration. A certificate by `empirical.dual` in DIR adds its level to the seed that it is of.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bounds import penalty_threshold_worst_case
from empirical.errors import BadInput
from empirical.laboratory.config import Config
from empirical.laboratory.continuation import as_rows, penalised_groups, query_blocks, row_groups
from empirical.laboratory.tasks import Blocks, device_of, make_task
from empirical.laboratory.training import localise
from empirical.studies.edges.bracket import Level, gradient_levels, proved_levels
from empirical.studies.edges.frozen import frozen_problem, token_ingredients
from empirical.studies.edges.transition import Edges, Problem, find_edges


def blocks_problem(config: Config, seed: int) -> tuple[Problem, list[Level]]:
    """Distributed branches are looked for from W = 0."""
    task = make_task(config, seed, device_of(config))
    assert isinstance(task, Blocks)
    data = task.training
    device, objective = data.query.device, query_blocks(data)
    localised = as_rows(torch.as_tensor(localise(config, seed)["parameter/forms"], device=device))[:, 0]
    groups = row_groups(data.blocks, config.model.d_block, device=device)
    penalised = penalised_groups(data.blocks, device=device)
    problem = Problem(objective, groups, penalised, localised, torch.zeros_like(localised))
    return problem, proved_levels(data, objective(localised)[0])


def topics_problem(config: Config, seed: int) -> tuple[Problem, list[Level]]:
    """Levels from what the frozen model bounds at every W, and level A from the caps alone."""
    problem, objective = frozen_problem(config, seed)
    known, tau = token_ingredients(objective), config.setting.temperature
    share = known["query_share"].max()
    capped = penalty_threshold_worst_case(**config.level_bounds, query_share=share, temperature=tau)
    return problem, [
        *gradient_levels(known, tau),
        ("level A, caps alone", "proved", float(capped), "above lambda_stat*"),
    ]


def measured(edges: Edges) -> list[Level]:
    """The levels that were found, of the whole problem; an edge by its end where the branch still is."""
    whole = edges.whole()
    return [
        ("lambda_crit", "exact", float(whole.critical), "largest cross gradient at the localised point"),
        ("lower edge", "followed", float(whole.lower[0, 1]), "downwards, localised to here"),
        ("crossing", "searched", float(whole.crossing), "lambda_glob is no smaller"),
        ("upper edge", "followed", float(whole.upper[0, 0]), "upwards, distributed to here"),
    ]


def study(config: Config, folder: Path | None = None) -> dict[str, Any]:
    """Every level of every seed; one that a branch does not show is null."""
    make = blocks_problem if config.task.name == "blocks" else topics_problem
    levels: dict[str, dict[str, Any]] = {}
    details = []
    for seed in config.sweep.seeds:
        problem, proved = make(config, seed)
        edges = find_edges(problem, tolerance=config.sweep.tolerance, max_evaluations=config.sweep.max_steps)
        for name, kind, value, words in (*measured(edges), *certified(config, seed, folder), *proved):
            kept = levels.setdefault(name, {"level": name, "kind": kind, "words": words, "value": {}})
            kept["value"][str(seed)] = value if value else None
        rows = {name: getattr(edges, name).tolist() for name in ("critical", "lower", "upper", "crossing", "residual")}
        details.append({"seed": seed, "evaluations": edges.evaluations, **rows})
    return {
        "task": config.task.name,
        "problem_digest": config.problem_digest(),
        "seeds": list(config.sweep.seeds),
        "levels": sorted(levels.values(), key=lambda level: np.nanmedian(np.array([*level["value"].values()], float))),
        "rows": details,
    }


def certified(config: Config, seed: int, folder: Path | None) -> list[Level]:
    """The level of quadratic majorants, where the folder holds its certificate for this problem and seed."""
    path = None if folder is None else folder / "dual.json"
    if path is None or not path.is_file():
        return []
    saved = json.loads(path.read_text(encoding="utf-8"))
    if (saved["problem_digest"], saved["seed"]) != (config.problem_digest(), seed):
        return []
    return [("quadratic majorants", "proved", saved["level"], "above lambda_glob")]


def table(saved: dict[str, Any]) -> str:
    """One line a level: its value for every seed, and the median multiple of the seed's own critical penalty."""
    seeds = [str(seed) for seed in saved["seeds"]]
    lines = [f"{saved['task']:27}{'kind':10}" + "".join(f"{'seed ' + s:>12}" for s in seeds) + "  times lambda_crit"]
    for level in saved["levels"]:
        value, known = level["value"], over_critical(saved, level["level"])
        shown = "".join(f"{value[s]:12.4g}" if value.get(s) else f"{'-':>12}" for s in seeds)
        times = f"{np.median(known):11.5g}" if known else f"{'-':>11}"
        lines.append(f"{level['level']:27}{level['kind']:10}{shown}{times}  {level['words']}")
    return "\n".join(lines)


def draw(saved: list[dict[str, Any]]) -> Any:
    """One panel a problem, a marker a seed."""
    from empirical.figures import style
    from empirical.figures.levels import draw_levels

    off = max(abs(ratio - 1) for problem in saved for ratio in over_critical(problem, "lower edge"))
    further = ", ".join(f"{np.median(over_critical(p, 'upper edge')):.2g} times that ({p['task']})" for p in saved)
    with style.drawing():
        figure = style.sheet(
            7.2,
            0.8 + sum(0.5 + 0.25 * len(problem["levels"]) for problem in saved),
            f"The localised branch ends at the critical penalty, within {100 * off:.1g} %; the other at {further}",
            "followed from penalty to penalty; searched values bound lambda_glob from below, proved ones from above",
        )
        panels = figure.subplots(
            len(saved), 1, squeeze=False, height_ratios=[1 + len(problem["levels"]) for problem in saved]
        )
        for axes, problem in zip(panels[:, 0], saved):
            shown = [
                {**level, "value": [v for v in level["value"].values() if v]}
                for level in problem["levels"]
                if any(level["value"].values())
            ]
            draw_levels(axes, shown)
            seeds = len(problem["seeds"])
            axes.set_title(f"{problem['task']}, {seeds} seed{'s' if seeds > 1 else ''}")
        figure.align_ylabels(panels[:, 0])
    return figure


def over_critical(saved: dict[str, Any], name: str) -> list[float]:
    """A level in multiples of the critical penalty, every seed that has one."""
    by_name = {level["level"]: level["value"] for level in saved["levels"]}
    return [value / by_name["lambda_crit"][seed] for seed, value in by_name[name].items() if value]


def main(arguments: list[str] | None = None) -> int:
    from empirical.files import commit, versions, write_atomically
    from empirical.laboratory.config import load

    parser = argparse.ArgumentParser(
        prog="python -m empirical.studies.edges.measure", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("config", metavar="CONFIG.toml", type=Path, nargs="+")
    parser.add_argument("--out", required=True, metavar="DIR", type=Path)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    try:
        found = [study(load(path), options.out) for path in options.config]
    except BadInput as error:
        print(error, file=sys.stderr)
        return 2
    options.out.mkdir(parents=True, exist_ok=True)
    saved = {"problems": found, "commit": commit(), "versions": versions()}
    path = options.out / "edges.json"
    write_atomically(path, (json.dumps(saved, indent=1) + "\n").encode())
    draw(found).savefig(path.with_suffix(".png"), dpi=160, metadata={"Software": None})
    print("\n\n".join(table(problem) for problem in found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
