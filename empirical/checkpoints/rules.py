"""Rules on a checkpoint: the rule file of `rules.files`, blocks by name, checked for the texts that they are used on.

    strength >= D + ln(W F / (r (1 - F))) in every row of the texts that triggers a rule and sees its target
    r target keys seen; W = sum over the other keys seen of e^(their own bias); D certified from the weights, a layer

Theorem: rule_mass. What is promised is attention mass in the texts given, of any model state: D holds whatever the
layer's input. New tokens of a generation are of their block and of no word, and are promised nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from empirical.checkpoints.attach import routed
from empirical.checkpoints.call import Call
from empirical.checkpoints.contexts import Labels
from empirical.observe.relevance import Relation
from empirical.rules.checks import Refused, Rule, Selector, check_each, outranked, promised_strength, rounded_up
from empirical.rules.files import lined, read_rules
from empirical.shapes import Bool, Float, Int


@dataclass(frozen=True)
class Text:
    """The tokens of a text, one sequence: their words and the indices of their blocks (below 0: none)."""

    words: tuple[str, ...]
    blocks: Int[np.ndarray, "T"]


@dataclass(frozen=True)
class CheckpointRules:
    """Verified rules, and the names of the blocks that they speak of."""

    rules: tuple[Rule, ...]
    names: tuple[str, ...]

    def chosen(self, selector: Selector, text: Text) -> Bool[np.ndarray, "T"]:
        if selector.words:
            return np.isin(np.array(text.words), selector.words)
        if selector.block is not None:
            return np.asarray(text.blocks == selector.block)
        return np.ones(len(text.words), dtype=bool)


def load_checkpoint_rules(
    path: Path, names: Sequence[str], texts: Sequence[Text], ranges: Float[np.ndarray, "L"], causal: bool
) -> CheckpointRules:
    """The rules of a file, verified for the texts; `ranges`: the largest logit range of each layer, over its heads.

    Raises BadInput with FILE:LINE for what is no rule, a block or word that no text has, a contradiction at equal
    priority, or a strength that does not keep its promise.
    """

    def verified(rules: tuple[Rule, ...], _: Relation | None) -> CheckpointRules:
        book = CheckpointRules(rules, tuple(names))
        check_each(rules, len(names), len(ranges), {w for text in texts for w in text.words}, "tokens of the text")
        _kept(rules, [need for text in texts for need in _promises(book, text, ranges, causal)], ranges)
        return book

    return lined(read_rules(Path(path)), str(path), verified, names)


def _promises(book: CheckpointRules, text: Text, ranges: Float[np.ndarray, "L"], causal: bool) -> Iterator[Needed]:
    """What every row of the text needs of the rules that it triggers, in every layer."""
    rules, layers, length = book.rules, range(len(ranges)), len(text.words)
    trigger = np.array([book.chosen(rule.trigger, text) for rule in rules]).reshape(len(rules), length)
    target = np.array([book.chosen(rule.target, text) for rule in rules]).reshape(len(rules), length)
    position = np.arange(length)
    for row in np.flatnonzero(trigger.any(0)):
        seen = position <= row if causal else position >= 0
        for layer in layers:
            here = [i for i in range(len(rules)) if trigger[i, row] and layer in (rules[i].layers or layers)]
            bias = sum((rules[i].strength * target[i] for i in here), np.zeros(length))
            for i in here:
                _contradicted(rules, i, here, target)
                mine, others = seen & target[i], seen & ~target[i]
                outranks = any(outranked(rules[i], rules[j]) for j in here)
                if outranks or not mine.any() or not others.any():
                    continue
                top = float(bias[others].max())
                weight = float(np.exp(bias[others] - top).sum())
                added = float(bias[mine].min()) - rules[i].strength  # what other rules add to the same keys
                span = float(ranges[layer])
                least = float(promised_strength(rules[i], span, top, mine.sum(), weight)) - added
                yield Needed(rounded_up(least, span, top), i, layer)


@dataclass(frozen=True, order=True)
class Needed:
    """The strength that a promise needs of a rule somewhere."""

    strength: float
    rule: int
    layer: int


def _kept(rules: Sequence[Rule], needs: Sequence[Needed], ranges: Float[np.ndarray, "L"]) -> None:
    """Raises Refused for a rule that is weaker than its worst row needs."""
    for i, rule in enumerate(rules):
        worst = max((need for need in needs if need.rule == i), default=None)
        if worst is not None and rule.strength < worst.strength:
            raise Refused(
                i,
                "strength",
                f"strength of rule {rule.name!r} must be at least {math.ceil(1000 * worst.strength) / 1000:.3f} for "
                f"its mass {rule.mass:g} (layer {worst.layer}, where logits may span {ranges[worst.layer]:.4g}), got "
                f"{rule.strength:g}",
            )


def _contradicted(rules: Sequence[Rule], i: int, here: Sequence[int], target: Bool[np.ndarray, "R T"]) -> None:
    for j in here:
        apart = not (target[i] & target[j]).any()
        if j < i and apart and rules[i].priority == rules[j].priority and rules[i].mass + rules[j].mass > 1:
            raise Refused(
                i,
                "priority",
                f"priority of rule {rules[i].name!r} must differ from that of rule {rules[j].name!r}, which the same "
                f"query triggers and which promises {rules[j].mass:g} to other keys, got {rules[i].priority} for both",
            )


def _standing(text: Text, positions: range, labels: Int[np.ndarray, "N"]) -> Text:
    """What stands at some positions: words and blocks of the text, and after it new tokens of no word."""
    known = len(text.words)
    words = tuple(text.words[at] if at < known else "" for at in positions)
    at = np.arange(positions.start, positions.stop)
    return Text(words, np.where(at < known, np.append(text.blocks, -1)[np.minimum(at, known)], labels))


def ruled(model: Any, book: CheckpointRules, text: Text, labels: Labels, kinds: tuple[str, ...] = ("self",)) -> Any:
    """The rules on the attention of the model inside a context; nothing of them is left after it."""

    def bias(call: Call) -> Tensor | None:
        acting = [rule for rule in book.rules if rule.layers is None or call.layer in rule.layers]
        if call.kind not in kinds or not acting:
            return None
        queries, keys = (_standing(text, at, labels.at(at, call)[0].cpu().numpy()) for at in call.positions)
        total = np.zeros(call.shape)
        for rule in acting:
            total += rule.strength * np.outer(book.chosen(rule.trigger, queries), book.chosen(rule.target, keys))
        return torch.as_tensor(total, device=call.query.device)[None, None] if total.any() else None

    return routed(model, bias)
