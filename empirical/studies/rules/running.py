"""A rule file that changes while a model runs: token by token beside its promise, and a thousand times over.

running:  attention of the newest token on the rule's block, least over layers and heads, as the file is loaded,
          broken, reloaded, broken again and emptied
cycling:  injected, reloaded, refused and removed in one process: the same bits every time, nothing that piles up
"""

from __future__ import annotations

import gc
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from empirical.laboratory.generation import generate, next_scores
from empirical.laboratory.model import Layout
from empirical.observe.rows import masses
from empirical.rules.book import RuleBook
from empirical.rules.checks import Rule, Selector, needed_strength
from empirical.rules.files import RuleFile
from empirical.rules.site import Site
from empirical.shapes import Arrays
from empirical.studies.rules.compliance import Subject
from empirical.studies.trained import Trained

REQUIRED = 0.9  # of the attention, by the rule that files are about
CYCLES = 1000


def rule_text(
    name: str, target: int, strength: float, mass: float, priority: int = 0, trigger: str = "block = 0"
) -> str:
    return (
        f'[[rule]]\nname = "{name}"\ntrigger = {{ {trigger} }}\ntarget = {{ block = {target} }}\n'
        f"strength = {strength!r}\nmass = {mass!r}\npriority = {priority}\n\n"
    )


def rule_files_for(site: Site) -> tuple[dict[str, str], dict[str, str], str]:
    """(files that remove the violation, files that are refused, one that is accepted and does not) by what they are."""
    blocks = site.blocks
    far, other = blocks // 2, blocks - 1 if blocks > 2 else 0
    base = Rule("keep", Selector(block=0), Selector(block=far), 0.0, REQUIRED)
    need = needed_strength((base,), 0, site)
    lower = Rule("aside", Selector(block=0), Selector(block=other), 1.0, 0.5)
    beside = needed_strength((replace(base, priority=1), lower), 0, site)
    good = {
        "just strong enough": rule_text("keep", far, need, REQUIRED),
        "stronger": rule_text("keep", far, need + 5, REQUIRED),
        "above a lower rule": rule_text("keep", far, beside, REQUIRED, 1) + rule_text("aside", other, 1.0, 0.5),
    }
    keep = good["stronger"]
    bad = {
        "too weak": rule_text("keep", far, round(need / 2, 1), REQUIRED),
        "contradiction": keep + rule_text("against", other, need + 5, REQUIRED),
        "no such block": rule_text("keep", blocks, need, REQUIRED),
        "no such word": keep.replace("block = 0", 'words = ["unheard-of"]'),
        "unknown key": keep.replace("strength", "strenght"),
        "syntax": keep.replace("mass = ", "mass : "),
        "outranked too closely": keep.replace("priority = 0", "priority = 1") + rule_text("aside", other, need, 0.5),
    }
    elsewhere = replace(base, trigger=Selector(block=blocks - 1))
    idle = rule_text("keep", far, needed_strength((elsewhere,), 0, site), REQUIRED, trigger=f"block = {blocks - 1}")
    return good, bad, idle


def running(model: Trained, site: Site) -> dict[str, Any]:
    """Attention of the newest token on the rule's block, token by token, while the rule file changes."""
    far, config = site.blocks // 2, model.config
    given = config.task.queries // 4 + 1
    steps = config.task.queries - given + 1
    some, most = (
        needed_strength((Rule("x", Selector(), Selector(block=far), 0.0, mass),), 0, site) for mass in (0.5, 0.95)
    )
    weak = rule_text("keep", far, some, 0.5, trigger="always = true")
    strong = rule_text("keep", far, most, 0.95, trigger="always = true")
    events = {
        0: ("no rules", ""),
        steps // 6: ("loaded:\n50 %", weak),
        2 * steps // 6: ("refused:\nsyntax error", weak.replace("mass = ", "mass : ")),
        3 * steps // 6: ("reloaded:\n95 %", strong),
        4 * steps // 6: ("refused:\ntoo weak", rule_text("keep", far, some, 0.95, trigger="always = true")),
        5 * steps // 6: ("removed", ""),
    }
    prompt = model.heldout(0, 1)[:, :given]
    with tempfile.TemporaryDirectory() as folder:
        path, said = Path(folder) / "rules.toml", list[str]()
        path.write_text("")
        file = RuleFile(path, site, said.append)
        seen: list[Tensor] = []

        def changes(tokens: Tensor, layout: Layout) -> list[Any]:
            seen.append(tokens)
            return [file.current().change(tokens, layout)]

        tokens = generate(model.parameters, prompt, config, steps, changes, temperature=1.0, seed=1)
        promise, mass, without = [], [], []
        for at in range(steps):
            if at in events:
                path.write_text(events[at][1])
            next(tokens)
            book = file.book
            promise.append(book.rules[0].mass if book.rules else 0.0)
            mass.append(_newest(model, seen[-1], far, book))
            without.append(_newest(model, seen[-1], far, RuleBook((), site)))
        said = [text.replace(str(path), path.name) for text in said]
    return {
        "promise": promise,
        "mass": mass,
        "without": without,
        "events": [[at, words] for at, (words, _) in events.items()],
        "refusals": said,
        "same_without_rules": all(m == w for m, w, p in zip(mass, without, promise) if p == 0),
    }


def _newest(model: Trained, tokens: Tensor, block: int, book: RuleBook) -> float:
    """Least attention on the block of the last token, over layers and heads."""
    least: list[float] = []

    def changes(tokens: Tensor, layout: Layout) -> list[Any]:
        def watch(layer: int, logits: Tensor) -> Tensor:
            keys = (layout.key_block == block) & (logits[..., -1:, :] > -torch.inf)
            (mass,) = masses(logits[..., -1:, :] / model.config.setting.temperature, keys)
            least.append(float(mass.min()))
            return logits

        return [book.change(tokens, layout), watch]

    next_scores(model.parameters, tokens, model.config, changes)
    return min(least)


def cycling(subject: Subject) -> Arrays:
    """Injected, reloaded, refused and removed in one process: differences of outputs to the first, objects alive."""
    one = replace(subject, tokens=subject.tokens[:1])
    good, bad, _ = rule_files_for(subject.site)
    texts = (good["just strong enough"], good["above a lower rule"], bad["contradiction"], "")
    plain, first, refusals = one.read(), list[Tensor](), 0
    largest, after_removal, alive = 0.0, 0, list[int]()

    def refuse(_: str) -> None:
        nonlocal refusals
        refusals += 1

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rules.toml"
        path.write_text("")
        file = RuleFile(path, subject.site, refuse)
        for cycle in range(CYCLES):
            outputs = []
            for text in texts:
                path.write_text(text)
                outputs.append(one.read(file.current().change(one.tokens, one.layout)))
            first = first or outputs
            largest = max(largest, *(float((a - b).abs().max()) for a, b in zip(outputs, first)))
            after_removal += int(not torch.equal(outputs[-1], plain))
            if cycle in (CYCLES // 10, CYCLES - 1):
                gc.collect()
                alive.append(len(gc.get_objects()))
    return {
        "cycles": np.array(CYCLES),
        "largest_difference": np.array(largest),
        "differ_after_removal": np.array(after_removal),
        "refusals": np.array(refusals),
        "moved_by_rules": np.array(float((first[0] - plain).abs().max())),
        "objects_grown": np.array(alive[1] - alive[0]),
    }
