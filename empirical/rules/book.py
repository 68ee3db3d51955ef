"""Rules at inference (claim C8): data that adds a bias to the attention logits of some keys, for some queries.

    logit of key j for query q + strength,  q triggered by the rule, j a target of it;  several rules add up
    mass off the target <= W / (W + r e^(strength/tau - D)),  W = n_0 + sum of r_B e^(b_B/tau)

A key that other rules raise by b counts as e^(b/tau) keys, so `rule_mass` holds of conflicting rules too, with the real
number n = r + W. Only a verified `RuleBook` exists: making one checks it (`rule_checks`). Without a rule that triggers
the logits come back as the same tensor. What is guaranteed is attention mass, given that the logits before the rules
span at most D; it is not behaviour, and no change that comes after the rules is in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from empirical.dial.changes import Change
from empirical.observe.rows import masses
from empirical.observe.streaming import widened
from empirical.rules.checks import Rule, Selector, outranked, verify
from empirical.rules.site import Labelled, Site
from empirical.shapes import Arrays, Bool, Float, Int, plain


@dataclass(frozen=True, eq=False)
class RuleBook:
    """Rules that have been verified for a model. Raises BadInput (`Refused`) for rules that cannot be loaded."""

    rules: tuple[Rule, ...]
    site: Site

    def __post_init__(self) -> None:
        verify(self.rules, self.site)

    @cached_property
    def _words(self) -> dict[str, int]:
        return {word: at for at, word in enumerate(self.site.vocabulary)}

    def _chosen(self, selector: Selector, tokens: Tensor, blocks: Tensor) -> Bool[Tensor, "B T"]:
        if selector.words:
            known = torch.tensor([self._words[word] for word in selector.words], device=tokens.device)
            return torch.isin(tokens, known)
        if selector.block is not None:
            return (blocks == selector.block).expand(len(tokens), -1)
        return torch.ones_like(tokens, dtype=torch.bool)

    def applies(
        self, tokens: Int[Tensor, "B T"], layout: Labelled
    ) -> tuple[Bool[Tensor, "R B T"], Bool[Tensor, "R B N"]]:
        """Which queries trigger each rule, and which keys are its targets, seen or not. Anchors hold no word."""
        none = torch.zeros((0, *tokens.shape), dtype=torch.bool, device=tokens.device)
        anchors = len(layout.key_block) - tokens.shape[1]
        trigger = [self._chosen(rule.trigger, tokens, layout.query_block)[None] for rule in self.rules]
        target = []
        for rule in self.rules:
            if rule.target.words:
                found = self._chosen(rule.target, tokens, layout.query_block)
                target.append(torch.nn.functional.pad(found, (0, anchors))[None])
            else:
                target.append((layout.key_block == rule.target.block).expand(1, len(tokens), -1))
        return torch.cat([none, *trigger]), torch.cat([torch.nn.functional.pad(none, (0, anchors)), *target])

    def acting(self, layer: int) -> tuple[int, ...]:
        return tuple(i for i, rule in enumerate(self.rules) if rule.layers is None or layer in rule.layers)

    def biases(self, tokens: Int[Tensor, "B T"], layout: Labelled) -> Callable[[int], Float[Tensor, "B T N"] | None]:
        """layer -> what the rules add to its logits, float64; None where no rule of the layer triggers."""
        made: dict[tuple[int, ...], Tensor | None] = {}

        def bias(layer: int) -> Tensor | None:
            acting = self.acting(layer)
            if acting not in made:
                trigger, target = self.applies(tokens, layout)
                pairs = [(trigger[i][:, :, None] & target[i][:, None, :], self.rules[i].strength) for i in acting]
                total = sum((pair.double() * strength for pair, strength in pairs if pair.any()), torch.zeros(()))
                made[acting] = total if total.ndim else None
            return made[acting]

        return bias

    def change(self, tokens: Int[Tensor, "B T"], layout: Labelled) -> Change:
        """The rules as a change of logits, for `steer`: the same for every setting and head of a layer.

        A key that is not seen (-inf) stays so. A dial belongs before the rules, and its kappa into their `Site`; what
        comes after them may undo what they promise.
        """
        bias = self.biases(tokens, layout)

        def change(layer: int, logits: Float[Tensor, "S H B T N"]) -> Float[Tensor, "S H B T N"]:
            added = bias(layer)
            if added is None:
                return logits
            wide = logits.to(widened(logits.dtype))
            return wide + added.to(wide)

        return change


@torch.no_grad()
def rule_rows(
    book: RuleBook, tokens: Int[Tensor, "B T"], layout: Labelled, layer: int, logits: Float[Tensor, "S H B T N"]
) -> dict[int, Arrays]:
    """By rule, every row of a layer that triggers it: the fields of `rule_mass`, what was promised, whether it is
    silent, which is to say sees no target key and is promised nothing.

    `logits` are those that the rules change. Nothing is promised where a rule of higher priority on other keys is
    triggered either. `n_keys` is r + W, a real number, and `logit_range` the certified one.
    """
    found: dict[int, Arrays] = {}
    trigger, target = book.applies(tokens, layout)
    added = book.biases(tokens, layout)(layer)
    if added is None:
        return found
    temperature, seen = book.site.temperature, logits > -torch.inf
    scaled = (logits.double() + added) / temperature
    weight = (added / temperature).exp()
    span = logits.double().where(seen, -torch.inf).amax(-1) - logits.double().where(seen, torch.inf).amin(-1)
    certified = torch.as_tensor(book.site.ranges[layer], device=logits.device)[layout.query_block]
    for i in book.acting(layer):
        rule, here = book.rules[i], trigger[i].expand(*logits.shape[:2], -1, -1)
        if not here.any():
            continue
        keys = seen & target[i][:, None, :]
        count = keys.sum(-1)
        void = torch.zeros_like(trigger[i])
        for j in book.acting(layer):
            if outranked(rule, book.rules[j]):
                void = void | trigger[j]
        silent = count == 0
        off, on = masses(scaled, seen & ~target[i][:, None, :], keys)
        others = torch.where(seen & ~keys, weight, 0.0).sum(-1)
        rows = {
            "off_rule": off,
            "mass": on,
            "promised": torch.full_like(off, rule.mass).masked_fill(silent | void, 0.0),
            "silent": silent,
            "bias": torch.full_like(off, rule.strength),
            "observed_range": span,
            "logit_range": certified.expand_as(off),
            "temperature": torch.full_like(off, temperature),
            "n_keys": count + others,
            "n_rule": count,
            "head": torch.arange(logits.shape[1], device=logits.device).view(-1, 1, 1).expand_as(off),
            "query": torch.arange(tokens.shape[1], device=logits.device).expand_as(off),
        }
        found[i] = {name: plain(value[here]) for name, value in rows.items()}
        found[i]["layer"] = np.full(len(found[i]["query"]), layer)
    return found


@torch.no_grad()
def priority_rows(
    book: RuleBook, first: int, second: int, tokens: Tensor, layout: Labelled, layer: int, logits: Tensor
) -> Arrays:
    """Rows that trigger both rules and see keys of both: the fields of `rule_priority`.

    `gap` is the least bias on a key of the first less the largest on one of the second, other rules included.
    """
    trigger, target = book.applies(tokens, layout)
    added = book.biases(tokens, layout)(layer)
    if added is None:
        return {}
    seen, temperature = logits > -torch.inf, book.site.temperature
    a, b = (seen & target[i][:, None, :] for i in (first, second))
    here = (trigger[first] & trigger[second]) & a.any(-1) & b.any(-1)
    mass_a, mass_b = masses((logits.double() + added) / temperature, a, b)
    span = logits.double().where(seen, -torch.inf).amax(-1) - logits.double().where(seen, torch.inf).amin(-1)
    certified = torch.as_tensor(book.site.ranges[layer], device=logits.device)[layout.query_block]
    rows = {
        "mass_ratio": mass_a / mass_b,
        "gap": added.where(a, torch.inf).amin(-1) - added.where(b, -torch.inf).amax(-1),
        "observed_range": span,
        "logit_range": certified.expand_as(mass_a),
        "temperature": torch.full_like(mass_a, temperature),
        "r_A": a.sum(-1),
        "r_B": b.sum(-1),
        "shared_keys": (a & b).sum(-1),
    }
    return {name: plain(value[here]) for name, value in rows.items()}
