"""Attention mass and behaviour of one rule side by side: mass is guaranteed, behaviour is only measured.

    mass: least and mean attention on the target over triggered rows, beside the floor that the strength guarantees
    behaviour: share of triggered queries whose most likely next word is one of the target's, the probability of those,
               and how far the next-word distribution moves, in total variation

The words of a block are those whose share of its group's training text is larger than of any other group's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from bounds.rules import closed_forms
from empirical.dial.changes import Change, steer
from empirical.laboratory.config import Config
from empirical.laboratory.model import Layout, Parameters, forward
from empirical.laboratory.text import Corpus
from empirical.observe.rows import masses
from empirical.rules.book import RuleBook, priority_rows, rule_rows
from empirical.rules.checks import Rule, Selector, guaranteed_mass
from empirical.rules.site import Site
from empirical.shapes import Arrays, Bool, Float, Int

BELOW = 1e-9  # relative: a promise this much below what is guaranteed, whose own rounding is less


def words_of_block(corpus: Corpus, block: int) -> Bool[Tensor, "V"]:
    """Words more frequent in the block's training text than in any other; the token for all others is none."""
    size = len(corpus.vocabulary)
    shares = torch.stack([s.bincount(minlength=size).double() / len(s) for s in corpus.training])
    others = torch.cat([shares[:block], shares[block + 1 :]]).amax(0)
    chosen = shares[block] > others
    chosen[-1] = False
    return chosen


def frequent_words(corpus: Corpus, block: int, count: int) -> tuple[str, ...]:
    """The block's own words that are most frequent there."""
    size = len(corpus.vocabulary)
    counts = corpus.training[block].bincount(minlength=size) * words_of_block(corpus, block)
    return tuple(corpus.vocabulary[at] for at in counts.argsort(descending=True, stable=True)[:count].tolist())


@dataclass(frozen=True)
class Subject:
    """A model, the tokens on which it is watched, and what rules are checked against."""

    parameters: Parameters
    tokens: Int[Tensor, "B T"]
    layout: Layout
    config: Config
    site: Site
    corpus: Corpus

    def read(self, *changes: Change) -> Float[Tensor, "B T V"]:
        """Probabilities of the next word, of the first setting."""
        weigh = steer(self.site.temperature, *changes)
        read = forward(self.parameters, self.tokens, self.layout, self.config, weigh=weigh)
        return (read[0] @ self.parameters["unembedding"][0]).softmax(-1)

    def wanted(self, target: Selector) -> Bool[Tensor, "V"]:
        """Next words that comply with a rule on the target."""
        if target.block is not None:
            return words_of_block(self.corpus, target.block)
        return torch.tensor([word in target.words for word in self.corpus.vocabulary])

    def with_rules(self, book: RuleBook) -> tuple[Float[Tensor, "B T V"], dict[int, Arrays]]:
        """What is read with the rules, and every triggered row by rule."""
        found: dict[int, list[Arrays]] = {}

        def watch(layer: int, logits: Tensor) -> Tensor:
            for i, rows in rule_rows(book, self.tokens, self.layout, layer, logits).items():
                found.setdefault(i, []).append(rows)
            return logits

        read = self.read(watch, book.change(self.tokens, self.layout))
        return read, {i: joined(parts) for i, parts in found.items()}

    def least_mass(self, book: RuleBook, trigger: Selector, target: Selector) -> float:
        """Least attention on the target over rows that the trigger names and that see one, whatever rules there are."""
        probe = RuleBook((Rule("probe", trigger, target, 0.0, 1e-300),), self.site)
        triggers, targets = probe.applies(self.tokens, self.layout)
        least = 1.0

        def watch(layer: int, logits: Tensor) -> Tensor:
            nonlocal least
            keys = (logits > -torch.inf) & targets[0][:, None, :]
            (mass,) = masses(logits.double() / self.site.temperature, keys)
            here = triggers[0] & keys.any(-1)
            if here.any():
                least = min(least, float(mass[here].min()))
            return logits

        self.read(book.change(self.tokens, self.layout), watch)
        return least


def joined(parts: Sequence[Arrays]) -> Arrays:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def at_strength(rule: Rule, strength: float, site: Site, beside: tuple[Rule, ...] = ()) -> RuleBook:
    """The rule at a strength, promising what that guarantees, first of its book."""
    rule = replace(rule, strength=strength, mass=0.5)
    return RuleBook((replace(rule, mass=guaranteed_mass((rule, *beside), 0, site) * (1 - BELOW)), *beside), site)


def top_word(read: Float[Tensor, "B T V"]) -> Int[Tensor, "B T"]:
    """The most likely next word; the token that stands for all others is no word."""
    return read[..., :-1].argmax(-1)


def behaviour(
    subject: Subject, rule: Rule, read: Float[Tensor, "B T V"], plain: Float[Tensor, "B T V"]
) -> dict[str, float]:
    """Compliance of triggered queries that see a target, as the module says; `plain` is read without rules."""
    book = RuleBook((replace(rule, strength=0.0, mass=1e-300),), subject.site)
    trigger, target = book.applies(subject.tokens, subject.layout)
    sees = (target[0][:, None, :] & subject.layout.visible).any(-1)
    here, wanted = trigger[0] & sees, subject.wanted(rule.target).to(read.device)
    return {
        "share": float(wanted[top_word(read)][here].double().mean()),
        "probability": float(read[..., wanted].sum(-1)[here].mean()),
        "moved": float((read - plain).abs().sum(-1)[here].mean() / 2),
    }


def reference(subject: Subject, rule: Rule, plain: Float[Tensor, "B T V"]) -> float:
    """The share of complying top words, without rules, where the text itself goes on in the target's block.

    For words: where the next word of the text is one of them.
    """
    following = subject.tokens[:, 1:]
    wanted = subject.wanted(rule.target).to(plain.device)
    if rule.target.block is not None:
        here = (subject.layout.query_block[1:] == rule.target.block).expand_as(following)
    else:
        here = wanted[following]
    return float(wanted[top_word(plain[:, :-1])][here].double().mean()) if here.any() else 0.0


def along_strength(subject: Subject, rule: Rule, strengths: Sequence[float]) -> tuple[Arrays, Arrays]:
    """(what is drawn, one entry a strength; every row of every strength)."""
    plain, drawn, rows = subject.read(), list[dict[str, float]](), list[Arrays]()
    for strength in strengths:
        book = at_strength(rule, float(strength), subject.site)
        read, found = subject.with_rules(book)
        seen = {name: values[~found[0]["silent"]] for name, values in found[0].items()}
        drawn.append(
            {
                "strength": float(strength),
                "floor": book.rules[0].mass,
                "least": float(seen["mass"].min()),
                "mean": float(seen["mass"].mean()),
                "floor_seen": _floor_of_ranges_seen(seen),
                "rows": float(len(seen["mass"])),
                "silent": float(found[0]["silent"].sum()),
                "missed": float((seen["mass"] < seen["promised"]).sum()),
                **behaviour(subject, rule, read, plain),
            }
        )
        rows.append(seen)
    return {name: np.array([each[name] for each in drawn]) for name in drawn[0]}, joined(rows)


def _floor_of_ranges_seen(rows: Arrays) -> float:
    """What `rule_mass` says of these very rows, the range being what each of them spans."""
    span, others = rows["observed_range"] / rows["temperature"], rows["n_keys"] - rows["n_rule"]
    return float(closed_forms.off_rule(-rows["bias"], -span, rows["temperature"], rows["n_keys"], others).min())


def along_gap(subject: Subject, upper: Rule, lower: Rule, gaps: Sequence[float]) -> tuple[Arrays, Arrays]:
    """The attention of one rule over that of another, of lower priority on the same queries, at several gaps."""
    drawn, rows = list[dict[str, float]](), list[Arrays]()
    for gap in gaps:
        book = at_strength(upper, lower.strength + float(gap), subject.site, (lower,))
        parts: list[Arrays] = []

        def watch(layer: int, logits: Tensor, book: RuleBook = book, parts: list[Arrays] = parts) -> Tensor:
            parts.append(priority_rows(book, 0, 1, subject.tokens, subject.layout, layer, logits))
            return logits

        subject.read(watch, book.change(subject.tokens, subject.layout))
        found = joined(parts)
        ratio = found["mass_ratio"]
        worst = np.exp(
            np.log(found["r_A"] / found["r_B"]) + (found["gap"] - found["logit_range"]) / found["temperature"]
        )
        drawn.append(
            {
                "gap": float(gap),
                "floor": float(worst.min()),
                "least": float(ratio.min()),
                "median": float(np.median(ratio)),
                "rows": float(len(ratio)),
            }
        )
        rows.append(found)
    return {name: np.array([each[name] for each in drawn]) for name in drawn[0]}, joined(rows)
