"""Study `edges`: where the transition begins and ends, and all that is known of the levels between (claims C3, C10).

    lower edge = lambda_crit;  crossing, witness <= lambda_glob <= proved levels;  upper edge <= lambda_stat* <= level C

Of every seed: both edges and the crossing, followed from penalty to penalty, and the proved levels. `blocks` is studied
as it is, `topics` with all but its forms frozen as trained. Of the first seed of `blocks` also the bracket: witnesses
searched by ascent, and the level of quadratic majorants with its certificate.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from bounds import penalty_threshold_worst_case
from bounds.penalty.fields import LEVEL_FIELDS
from empirical.laboratory.config import Config
from empirical.laboratory.penalty_levels import PenaltyLevel, blocks_problem, gradient_levels, sublevel_level
from empirical.laboratory.store import Store
from empirical.laboratory.tasks import Blocks, device_of, level_ingredients, make_task
from empirical.laboratory.training import localise
from empirical.laboratory.transition import Edges, PenalisedRows, find_edges
from empirical.shapes import Arrays, plain
from empirical.studies.edges.certificate import dual_level
from empirical.studies.edges.trained_forms import frozen_problem, token_ingredients
from empirical.studies.edges.witnesses import witnesses
from empirical.studies.findings import Findings, Judged, Numbers

USES = ("workers", "device")
FOUND = ("critical", "lower", "upper", "crossing", "residual")
SUBLEVEL, MAJORANTS = "sublevel, Cauchy-Schwarz", "quadratic majorants"


def measure(config: Config, store: Store) -> Findings:
    blocks = config.task.name == "blocks"
    levels: dict[str, dict[str, Any]] = {}
    rows, judged = [], []
    bracket = certificate = None
    for seed in config.sweep.seeds:
        problem, proved = (_blocks if blocks else _topics)(config, seed, store)
        edges = _edges(config, seed, store, problem)
        found = [*_found(edges), *proved]
        if blocks and bracket is None:
            bracket, certificate = _bracket(config, seed, store, proved)
            found.append(_certified(certificate))
        for name, kind, value, words in found:
            kept = levels.setdefault(name, {"level": name, "kind": kind, "words": words, "value": {}})
            kept["value"][str(seed)] = value if value else None
        of_rows = {name: _or_none(getattr(edges, name).tolist()) for name in FOUND}
        rows.append({"seed": seed, "evaluations": edges.evaluations, **of_rows})
        judged.append(_judged(edges, proved))
    numbers = {
        "task": config.task.name,
        "problem_digest": config.problem_digest(),
        "seeds": list(config.sweep.seeds),
        "levels": sorted(levels.values(), key=lambda level: np.nanmedian(np.array([*level["value"].values()], float))),
        "rows": rows,
        "bracket": bracket,
        "certificate": certificate,
    }
    stacked = {name: np.array([row[name] for row in judged]) for name in judged[0]}
    return Findings(numbers, (Judged("crossings", ("seed",), stacked, ("global_below_gradient",)),))


def _blocks(config: Config, seed: int, store: Store) -> tuple[PenalisedRows, list[PenaltyLevel]]:
    return blocks_problem(config, seed, store.keep(f"localised {seed}", lambda: localise(config, seed)))


def _topics(config: Config, seed: int, store: Store) -> tuple[PenalisedRows, list[PenaltyLevel]]:
    """Levels from what the frozen model bounds at every W, and level A from the caps alone."""
    problem, objective = frozen_problem(config, seed, store)
    known, tau = token_ingredients(objective), config.setting.temperature
    share = known["query_share"].max()
    ingredients = {**config.level_bounds, "query_share": float(share), "temperature": tau}
    capped = penalty_threshold_worst_case(*(ingredients[name] for name in (*LEVEL_FIELDS, "temperature")))
    return problem, [
        *gradient_levels(known, tau),
        ("level A, caps alone", "proved", float(capped), "above lambda_stat*"),
    ]


def _edges(config: Config, seed: int, store: Store, problem: PenalisedRows) -> Edges:
    def found() -> Arrays:
        edges = find_edges(problem, tolerance=config.sweep.tolerance, max_evaluations=config.sweep.max_steps)
        return {**{name: plain(getattr(edges, name)) for name in FOUND}, "evaluations": np.array(edges.evaluations)}

    kept = store.keep(f"edges {seed}", found)
    return Edges(**{name: torch.as_tensor(kept[name]) for name in FOUND}, evaluations=int(kept["evaluations"]))


def _or_none(values: Any) -> Any:
    """Nested lists of numbers, null where a branch shows no such edge."""
    if isinstance(values, list):
        return [_or_none(value) for value in values]
    return None if math.isnan(values) else values


def _found(edges: Edges) -> list[PenaltyLevel]:
    """The levels that were found, of the whole problem; an edge by its end where the branch still is."""
    whole = edges.whole()
    return [
        ("lambda_crit", "exact", float(whole.critical), "largest cross gradient at the localised point"),
        ("lower edge", "followed", float(whole.lower[0, 1]), "downwards, localised to here"),
        ("crossing", "searched", float(whole.crossing), "lambda_glob is no smaller"),
        ("upper edge", "followed", float(whole.upper[0, 0]), "upwards, distributed to here"),
    ]


def _judged(edges: Edges, proved: list[PenaltyLevel]) -> dict[str, float]:
    """Fields of `global_below_gradient`; no better in-block point than the localised one was found on the way."""
    whole = edges.whole()
    return {
        "global_witness": float(whole.crossing),
        "localised_excess": 0.0,
        "gradient_sublevel": float(whole.critical),
        "gradient_bound": proved[0][2],
    }


def _bracket(config: Config, seed: int, store: Store, proved: list[PenaltyLevel]) -> tuple[Numbers, Numbers]:
    """Every level of the seed's task and its certificate; what is proved of lambda_glob takes the least losses met."""
    task = make_task(config, seed, device_of(config))
    assert isinstance(task, Blocks)
    data, most = task.training, config.sweep.max_steps
    start = store.keep(f"localised {seed}", lambda: localise(config, seed))
    searched = store.keep(f"witnesses {seed}", lambda: witnesses(data, config, start, 3 * most // 2, 3 * most // 8))
    losses, steps = torch.as_tensor(searched["losses"]), max(1, most // 160)
    certified = store.keep(f"certificate {seed}", lambda: dual_level(data, losses.tolist(), config, steps))
    certificate = _certificate(certified)
    sublevel = sublevel_level(level_ingredients(data), losses, data.temperature)
    levels = [
        ("lambda_crit", "exact", float(start["critical"]), "largest cross gradient at the localised optimum"),
        ("lambda_glob, witness", "searched", float(searched["witness"]), "(L_loc - L)/sum of cross norms, ascended"),
        (
            *("lambda_stat*, witness", "searched", float(searched["stationary"])),
            "stationary with a cross block, penalty continued upwards",
        ),
        _certified(certificate),
        (SUBLEVEL, "proved", sublevel, "above lambda_glob"),
        *(level for level in proved if level[0] != SUBLEVEL),
    ]
    bracket = {
        "seed": seed,
        "loss_localised": losses.tolist(),
        "residual_localised": float(start["residual"]),
        "levels": [dict(zip(("level", "kind", "value", "words"), level, strict=True)) for level in levels],
    }
    return bracket, certificate


def _certificate(found: Arrays) -> Numbers:
    """The level, and for each interval of n the majorant and the level of each block."""
    columns = zip(*(found[name].tolist() for name in ("low", "high", "logs", "levels")), strict=True)
    return {
        "level": float(max(found["beyond"], found["levels"].max())),
        "beyond": float(found["beyond"]),
        "losses": found["losses"].tolist(),
        "rows": [dict(zip(("low", "high", "logs", "levels"), column, strict=True)) for column in columns],
    }


def _certified(certificate: Numbers) -> PenaltyLevel:
    return MAJORANTS, "proved", certificate["level"], "above lambda_glob"


def table(numbers: Numbers) -> str:
    """One line a level: its value for every seed, and the median multiple of the seed's own critical penalty."""
    seeds = [str(seed) for seed in numbers["seeds"]]
    lines = [f"{numbers['task']:27}{'kind':10}" + "".join(f"{'seed ' + s:>12}" for s in seeds) + "  times lambda_crit"]
    for level in numbers["levels"]:
        value, known = level["value"], over_critical(numbers, level["level"])
        shown = "".join(f"{value[s]:12.4g}" if value.get(s) else f"{'-':>12}" for s in seeds)
        times = f"{np.median(known):11.5g}" if known else f"{'-':>11}"
        lines.append(f"{level['level']:27}{level['kind']:10}{shown}{times}  {level['words']}")
    return "\n".join([*lines, *(_bracket_lines(numbers["bracket"]) if numbers["bracket"] else [])])


def _bracket_lines(bracket: Numbers) -> list[str]:
    """One line a level, and how far it lies above lambda_crit."""
    first = bracket["levels"][0]["value"]
    lines = ["", f"{'bracket of seed ' + str(bracket['seed']):28}{'kind':10}{'value':>11}  times lambda_crit"]
    for level in bracket["levels"]:
        ratio = level["value"] / first
        lines.append(f"{level['level']:28}{level['kind']:10}{level['value']:11.4g}  {ratio:9.4g}  {level['words']}")
    return lines


def over_critical(numbers: Numbers, name: str) -> list[float]:
    """A level in multiples of the critical penalty, every seed that has one."""
    by_name = {level["level"]: level["value"] for level in numbers["levels"]}
    return [value / by_name["lambda_crit"][seed] for seed, value in by_name[name].items() if value]
