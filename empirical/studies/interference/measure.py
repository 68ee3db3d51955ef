"""What tokens outside a block can change of it: nothing at dial 1, at most the depth sum below (`interference`).

Predicted: 0 changed bits at dial 1; below it, changes within D(x) + D(x'). Observed: a million outside tokens replaced
at random, the same test where a write crosses blocks or fidelity alone is high, and gradient ascent on the change.
Attention fidelity alone is not data isolation: rows of fidelity 0.99 let changes through. In the shared stream the
read-outs stand as well, since every token still reads its block alone; but other tokens hold features of the block
there, and those change.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from bounds.dial.calculators import kappa_of_dial
from empirical.dial.changes import adaptive_dial, dial, steer
from empirical.dial.guard import Guard
from empirical.laboratory.config import Config
from empirical.laboratory.store import Store
from empirical.observe.rows import Weigh
from empirical.shapes import Arrays
from empirical.studies.findings import Findings, Judged
from empirical.studies.interference.mechanism import (
    BITWISE,
    attack,
    gradient,
    leaking,
    masking,
    pair_of,
    perturbed,
    replaced,
    tokens_of,
)
from empirical.studies.trained import Trained, trained

TOKENS, PARTS = 1_000_000, 8  # outside tokens replaced at dial 1, at least; saved in so many parts
COMPARED = 256  # sequences a block that the same test takes elsewhere
DIALS = (0.0, 0.5, 0.9, 0.99, 1 - 1e-4, 1 - 1e-6, 1 - 1e-8)
PAIRS, ATTACKED = 64, 8  # sequences a block: of random replacements, of gradient ascent
STEPS = 10  # training steps for one of an attack
READ, ANYWHERE = "at the block's tokens", "in the block's features, at any token"
ISOLATED, LEAK, SHARED = "dial 1", "dial 1, one head may write across", "dial 1, shared stream"


@dataclass(frozen=True)
class Case:
    """Something to put to the same test."""

    name: str
    model: Trained
    weigh: Weigh
    least_dial: float  # of all rows; what theorem `non_interference` asks for is 1
    crossing: Callable[[int], int]  # queries that write into a block and whose relevant keys are not its own
    stream: bool = False
    guard: Guard | None = None

    @property
    def where(self) -> str:
        return ANYWHERE if self.stream else READ

    def predicted(self) -> int | None:
        """Changed bits where the theorem speaks: dial 1, and no query that writes across."""
        blocks = range(self.model.config.model.blocks)
        return 0 if self.least_dial == 1 and not any(map(self.crossing, blocks)) else None

    def rows(self, found: Arrays) -> Arrays:
        """Fields of `non_interference`, (K, sequences)."""
        change = found["output_change"]
        crossing = [[float(self.crossing(block))] for block in range(len(change))]
        return {
            "output_change": change,
            "least_dial": np.full_like(change, self.least_dial),
            "foreign_queries": np.broadcast_to(crossing, change.shape).copy(),
        }


def measure(config: Config, store: Store) -> Findings:
    local = trained(config, store)
    wide = replace(config, model=replace(config.model, stream="shared"))
    cases = _cases(local, trained(wide, store, name="model_shared"))
    found = [_perturbed(case, store, at) for at, case in enumerate(cases)]
    judged = [case.rows(each) for case, each in zip(cases, found)]
    below, rows = _below(local, store)
    numbers = {
        "seed": config.sweep.seeds[0],
        "compared": [
            {"case": case.name, "where": case.where, "predicted": case.predicted(), **_summed(each)}
            for case, each in zip(cases, found, strict=True)
        ],
        "below": below,
        "gradient": _gradients(local),
    }
    return Findings(
        numbers,
        (
            Judged("dial 1", ("block", "sequence"), judged[0], ("non_interference",)),
            Judged(
                "compared",
                ("case", "block", "sequence"),
                {key: np.stack([rows[key] for rows in judged[1:]]) for key in judged[0]},
                ("non_interference",),
            ),
            Judged("below dial 1", ("dial", "block", "of_pair", "sequence"), rows, ("depth_sum",)),
        ),
    )


def _cases(local: Trained, shared: Trained) -> list[Case]:
    """The first is the million tokens at dial 1."""
    config, layout = local.config, local.layout
    tau, target = config.setting.temperature, config.setting.fidelity or 0.99
    queries = layout.query_block.bincount(minlength=config.model.blocks).tolist()
    isolated = steer(tau, masking(config, layout))
    guard = Guard(target, layout.in_block, tau, record=True)
    faithful = steer(tau, adaptive_dial(target, layout.in_block, tau), guard)

    def none(block: int) -> int:
        return 0

    def others(block: int) -> int:
        return sum(queries) - queries[block]

    def dialled(value: float) -> Weigh:
        return steer(tau, dial(config, layout.in_block, dials=value))

    return [
        Case(ISOLATED, local, isolated, 1.0, none),
        Case(ISOLATED, local, isolated, 1.0, none, stream=True),
        Case(SHARED, shared, isolated, 1.0, none),
        Case(SHARED, shared, isolated, 1.0, others, stream=True),
        Case(LEAK, local, steer(tau, leaking(config, layout)), 1.0, lambda block: queries[block]),
        Case(f"fidelity {target:g} or more in every row", local, faithful, 0.0, none, guard=guard),
        *(Case(f"dial {value:g}", local, dialled(value), value, none) for value in (0.9, 0.5, 0.0)),
    ]


def _perturbed(case: Case, store: Store, at: int) -> Arrays:
    """Saved part by part: the million takes a while."""
    model, layout = case.model, case.model.layout
    outside = len(layout.query_block) * (model.config.model.blocks - 1)  # of one sequence for every block
    parts, count = (PARTS, -(-TOKENS // (outside * PARTS))) if at == 0 else (1, COMPARED)

    def make(part: int) -> Arrays:
        generator = torch.Generator().manual_seed(1000 * at + part)
        tokens = model.task.heldout[:, :-1]
        with nullcontext() if case.guard is None else case.guard:
            found = perturbed(model.parameters, tokens, layout, model.config, case.weigh, count, generator, case.stream)
        watched = (0, 0) if case.guard is None else (case.guard.rows, len(case.guard.misses))
        return {**found, "guarded": np.array(watched)}

    made = [store.keep(f"case {at} part {part}", lambda part=part: make(part)) for part in range(parts)]
    whole = {key: np.concatenate([each[key] for each in made], axis=1) for key in BITWISE}
    return {**whole, "guarded": np.sum([each["guarded"] for each in made], axis=0)}


def _summed(found: Arrays) -> dict[str, Any]:
    changed = found["changed_bits"]
    return {
        "perturbed_tokens": int(found["perturbed_tokens"].sum()),
        "changed_bits": int(changed.sum()),
        "bits": int(found["bits"].sum()),
        "sequences": int(changed.size),
        "changed_sequences": int((changed > 0).sum()),
        "largest_change": float(found["output_change"].max()),
        "rows_guarded": int(found["guarded"][0]),
        "rows_missed": int(found["guarded"][1]),
    }


def _below(model: Trained, store: Store) -> tuple[list[dict[str, Any]], Arrays]:
    """Changes and bounds at every dial below 1, of random replacements and of what an ascent finds."""
    blocks, tokens = model.config.model.blocks, model.heldout(0, PAIRS)[:, :-1]
    steps = max(1, model.config.sweep.max_steps // STEPS)
    place = (model.layout, model.config)

    def make(value: float) -> Arrays:
        kappa, parts = float(kappa_of_dial(value)), []
        for block in range(blocks):
            generator, chosen = torch.Generator().manual_seed(block), ~tokens_of(model.layout, block)
            drawn = replaced(tokens, chosen, model.config.task.vocabulary, generator)
            random = pair_of(model.parameters, tokens, (model.parameters, drawn), *place, kappa, block)
            few = tokens[:ATTACKED]
            sought = attack(model.parameters, few, *place, kappa, block, steps, generator)
            found = pair_of(model.parameters, few, sought, *place, kappa, block)
            parts.append(
                {
                    **{key: np.concatenate([p.rows()[key] for p in (random, found)], axis=1) for key in random.rows()},
                    "change": np.concatenate([random.change(), found.change()]),
                    "bound": np.concatenate([random.bound(), found.bound()]),
                }
            )
        return {key: np.stack([part[key] for part in parts]) for key in parts[0]}

    made = [store.keep(f"below, dial {value}", lambda value=value: make(value)) for value in DIALS]
    numbers = []
    for value, each in zip(DIALS, made):
        change, bound = each["change"], each["bound"]
        random, found = (slice(None), slice(len(tokens))), (slice(None), slice(len(tokens), None))
        numbers.append(
            {
                "dial": value,
                "random": {"change": change[random].ravel().tolist(), "bound": bound[random].ravel().tolist()},
                "attack": {"change": change[found].ravel().tolist(), "bound": bound[found].ravel().tolist()},
                "beyond_bound": int((change > bound * (1 + 1e-9)).sum()),
            }
        )
    return numbers, {key: np.stack([m[key] for m in made]) for key in made[0] if key not in ("change", "bound")}


def _gradients(model: Trained) -> list[dict[str, float]]:
    """Largest entries of the gradient of a block's read-outs in the embeddings, outside and inside, over blocks."""
    found, tokens = [], model.heldout(0, ATTACKED)[:, :-1]
    for value in (1.0, 0.9):
        weigh = steer(model.config.setting.temperature, dial(model.config, model.layout.in_block, dials=value))
        most = {"outside": 0.0, "inside": 0.0}
        for block in range(model.config.model.blocks):
            size = gradient(model.parameters, tokens, model.layout, model.config, weigh, block).abs().amax((0, 2))
            own = tokens_of(model.layout, block)
            for side, chosen in (("outside", ~own), ("inside", own)):
                most[side] = max(most[side], float(size[chosen].max()))
        found.append({"dial": value, **most})
    return found


def table(numbers: dict[str, Any]) -> str:
    lines = [
        "outside tokens replaced                     compared                                changed bits  largest"
    ]
    for row in numbers["compared"]:
        share = f"{row['changed_bits']:,} of {row['bits']:,}"
        shown = f"{row['perturbed_tokens']:>9,}  {row['case']:35} {row['where']:38} {share:>31}"
        lines.append(f"{shown}  {row['largest_change']:.3g}")
        if row["rows_guarded"]:
            lines.append(f"{'':11}of {row['rows_guarded']:,} rows guarded, {row['rows_missed']} missed that fidelity")
    lines += ["", "dial    change: random, mean  largest   found by ascent   its bound   pairs beyond their bound"]
    for row in numbers["below"]:
        random, found = (np.array(row[k]["change"]) for k in ("random", "attack"))
        top = int(found.argmax())
        lines.append(
            f"{row['dial']:<10.10g} {random.mean():17.3g}  {random.max():7.3g}  {found[top]:16.3g}  "
            f"{row['attack']['bound'][top]:10.3g}   {row['beyond_bound']:24}"
        )
    lines += [""] + [
        f"gradient of a block's outputs at dial {row['dial']:g}: largest entry {row['outside']:.3g} outside, "
        f"{row['inside']:.3g} inside"
        for row in numbers["gradient"]
    ]
    return "\n".join(lines)
