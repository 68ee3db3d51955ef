"""What a rule must meet before it is loaded: its references exist, nothing contradicts it, its strength is enough.

    strength >= tau (D + ln(W F / (r (1 - F)))) in every row that it promises F;  W = n_0 + sum of r_B e^(b_B/tau)
    priorities: gap >= tau (D + ln(c r_B/r_A)), c = F/(1 - F): what the higher rule promises leaves the lower 1/c of it

The rows are all that the model can meet: every query position and every word there, each with the rules that these
trigger; the keys are worst where a word may stand anywhere. Theorems: rule_mass, rule_priority.
D holds layer by layer and query block by query block (`rule_site`).
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bounds.rules import closed_forms
from bounds.rules.calculators import priority_gap
from empirical.errors import BadInput
from empirical.rules.site import Site
from empirical.shapes import Float

MOST = 500.0  # strength over tau: beyond it exp underflows in float64 and other keys are lost
MOST_RULES, MOST_MEETINGS = 64, 2**14  # of a file; of a rule and a place where it is triggered: seconds to verify
ROUNDING = 8  # ulps of a strength, range and logarithm that a needed strength is raised by


@dataclass(frozen=True)
class Selector:
    """Positions: those of a block, those that hold one of some words, or every one."""

    block: int | None = None
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rule:
    """A bias on the keys of `target` for the queries of `trigger`, and the attention that it promises them."""

    name: str
    trigger: Selector
    target: Selector  # a block or words
    strength: float  # logits
    mass: float  # in (0, 1): promised to the target in every row that triggers the rule and sees a target
    priority: int = 0  # the higher wins where targets differ
    layers: tuple[int, ...] | None = None  # none: all


class Refused(BadInput):
    """A rule that is not loaded: which one, and which of its keys is to blame."""

    def __init__(self, rule: int, key: str, words: str):
        super().__init__(words)
        self.rule, self.key = rule, key


def verify(rules: Sequence[Rule], site: Site) -> None:
    """Raises Refused for the first rule that cannot be loaded."""
    most = MOST * site.temperature
    check_each(rules, site.blocks, site.layers, set(site.vocabulary), "words of the model's vocabulary", most)
    places = _few(_places(rules, site))
    for place in places:
        _contradictions(rules, place)
    for i, rule in enumerate(rules):
        need = max((n for place in places if (n := _need(rules, i, place, site)) is not None), default=None)
        gap = max((g for place in places for g in _gaps(rules, i, place, site)), default=None)
        enough = max(0.0 if need is None else need.strength, 0.0 if gap is None else gap.strength)
        if gap is not None and rule.strength < gap.strength:
            raise Refused(
                i,
                "strength",
                f"strength of rule {rule.name!r} must exceed that of {gap.words}: "
                f"{_up(enough)} does, got {rule.strength:g}",
            )
        if need is not None and rule.strength < need.strength:
            raise Refused(
                i,
                "strength",
                f"strength of rule {rule.name!r} must be at least {_up(enough)} for its mass "
                f"{rule.mass:g} ({need.words}), got {rule.strength:g}",
            )


def _few(places: Iterator[_Place]) -> list[_Place]:
    """The places, unless so many rules meet in so many that to verify them would hold up who waits for it."""
    found, meetings = [], 0
    for place in places:
        found.append(place)
        meetings += len(place.triggered)
        if meetings > MOST_MEETINGS:
            raise Refused(
                place.triggered[-1],
                "trigger",
                f"rules must be triggered in at most {MOST_MEETINGS:,} ways together, by layer, query block and word, "
                "got more",
            )
    return found


def check_each(
    rules: Sequence[Rule], blocks: int, layers: int, words: Container[str], known_as: str, most: float = math.inf
) -> None:
    """What each rule must be by itself: of blocks, layers and words that there are, of strength in [0, most] logits."""
    names: set[str] = set()
    if len(rules) > MOST_RULES:
        raise Refused(MOST_RULES, "name", f"rules must be at most {MOST_RULES}, got {len(rules):,}")
    for i, rule in enumerate(rules):
        whose = f"of rule {rule.name!r} must be"
        if rule.name in names:
            raise Refused(i, "name", f"name must differ from every other, got {rule.name!r} twice")
        names.add(rule.name)
        for key, selector in (("trigger", rule.trigger), ("target", rule.target)):
            if selector.block is not None and not 0 <= selector.block < blocks:
                raise Refused(i, key, f"{key}.block {whose} a block in [0, {blocks - 1}], got {selector.block}")
            for word in selector.words:
                if word not in words:
                    raise Refused(i, key, f"{key}.words {whose} {known_as}, got {word!r}")
        if rule.target == Selector():
            raise Refused(i, "target", f"target {whose} a block or words, got neither")
        if not 0 <= rule.strength <= most:
            allowed = f"in [0, {most:g}] logits" if most < math.inf else ">= 0"
            raise Refused(i, "strength", f"strength {whose} {allowed}, got {rule.strength!r}")
        if not 0 < rule.mass < 1:
            raise Refused(i, "mass", f"mass {whose} in (0, 1), got {rule.mass!r}")
        for layer in rule.layers or ():
            if not 0 <= layer < layers:
                raise Refused(i, "layers", f"layers {whose} in [0, {layers - 1}], got {layer}")


def differ(one: Selector, other: Selector) -> bool:
    """Whether some row can hold keys of both with neither inside the other: then both cannot have most of its mass."""
    if one.words and other.words:
        return not (set(one.words) <= set(other.words) or set(other.words) <= set(one.words))
    return bool(one.words or other.words) or one.block != other.block


def outranked(rule: Rule, other: Rule) -> bool:
    """Whether the rule is promised nothing where the other is triggered."""
    return other.priority > rule.priority and differ(rule.target, other.target)


@dataclass(frozen=True)
class _Place:
    """Query positions that trigger the same rules of a layer, and what they see."""

    layer: int
    block: int
    triggered: tuple[int, ...]
    tokens: Float[np.ndarray, "t K"]  # visible token keys by block
    anchors: Float[np.ndarray, "K"]  # visible anchor keys by block


def _places(rules: Sequence[Rule], site: Site) -> Iterator[_Place]:
    """Every set of rules that a query can trigger: by layer, by the query's block, by its word."""
    anchors = np.full(site.blocks, float(site.anchors))
    triggers: dict[str, set[int]] = {}
    for i, rule in enumerate(rules):
        for word in rule.trigger.words:
            triggers.setdefault(word, set()).add(i)
    by_word = {frozenset(found) for found in triggers.values()} | {frozenset()}  # none: a word that triggers nothing
    for layer in range(site.layers):
        acting = [i for i, rule in enumerate(rules) if rule.layers is None or layer in rule.layers]
        for block in np.unique(site.query_block):
            sets = {
                tuple(
                    i
                    for i in acting
                    if (i in met if rules[i].trigger.words else rules[i].trigger.block in (None, block))
                )
                for met in by_word
            }
            for triggered in sorted(sets - {()}):
                yield _Place(layer, int(block), triggered, site.seen[site.query_block == block], anchors)


def _contradictions(rules: Sequence[Rule], place: _Place) -> None:
    for j in place.triggered:
        for i in (i for i in place.triggered if i < j):
            one, other = rules[i], rules[j]
            if one.priority != other.priority or not differ(one.target, other.target):
                continue
            if one.mass + other.mass > 1:
                raise Refused(
                    j,
                    "priority",
                    f"priority of rule {other.name!r} must differ from that of rule {one.name!r}, which the same "
                    f"query can trigger, has other targets and promises {one.mass:g} beside {other.mass:g}, got "
                    f"{other.priority} for both",
                )


@dataclass(frozen=True, order=True)
class NeededStrength:
    """The strength that a promise needs, and where it needs it most."""

    strength: float
    words: str


def _gaps(rules: Sequence[Rule], i: int, place: _Place, site: Site) -> Iterator[NeededStrength]:
    """By how much the rule must exceed each lower one that the same query triggers, for what it promises."""
    rule, tau = rules[i], site.temperature
    if i not in place.triggered or any(outranked(rule, rules[j]) for j in place.triggered):
        return
    for other in (rules[j] for j in place.triggered if outranked(rules[j], rule)):
        mine, others = _fewest_and_most(rule.target, other.target, place)
        rows = (mine > 0) & (others > 0)
        if not rows.any():
            continue
        span = site.ranges[place.layer, place.block]
        most = np.argmax(others[rows] / mine[rows])  # quotients of counts: float64 orders them as they are
        gap = float(priority_gap(rule.mass / (1 - rule.mass), span, mine[rows][most], others[rows][most], tau))
        yield NeededStrength(
            other.strength + gap,
            f"rule {other.name!r} ({other.strength:g}), of lower priority, by at least {_up(gap)} for its mass "
            f"{rule.mass:g} (layer {place.layer}, queries of block {place.block})",
        )


def _fewest_and_most(target: Selector, other: Selector, place: _Place) -> tuple[np.ndarray, np.ndarray]:
    """(fewest keys of the target, most keys of the other outside it), query by query."""
    every = place.tokens.sum(-1)
    mine = np.minimum(every, 1) if target.words else place.tokens[:, target.block] + place.anchors[target.block]
    if other.block is not None:
        return mine, place.tokens[:, other.block] + place.anchors[other.block]
    return mine, every - (1 if target.words else place.tokens[:, target.block])


def _need(rules: Sequence[Rule], i: int, place: _Place, site: Site) -> NeededStrength | None:
    """What rule i needs in a place; None where it is not triggered there, never sees a target, or is outranked."""
    rule, tau = rules[i], site.temperature
    if i not in place.triggered or any(outranked(rule, rules[j]) for j in place.triggered):
        return None
    top, weight, count, rows = _crowd(rules, i, place, tau)
    if not rows.any():
        return None
    span = site.ranges[place.layer, place.block]
    needed = promised_strength(rule, span, top, count[rows], weight[rows], tau)
    worst = int(np.argmax(needed))
    least = float(needed[worst])
    if not least > 0:
        return None
    least = rounded_up(least, span, top, tau)
    others = weight[rows][worst] * math.exp(top) if top < MOST else math.inf
    words = (
        f"layer {place.layer}, queries of block {place.block}: logits span up to {span:.4g}, {count[rows][worst]:.0f} "
        f"target keys against the weight of {others:.4g}"
    )
    return NeededStrength(least, words)


def promised_strength(rule: Rule, span: float, top: float, count: Any, weight: Any, tau: float = 1.0) -> Any:
    """tau (D/tau + top + ln(F W / ((1 - F) r))): `count` = r target keys against others of `weight` W in e^top."""
    odds = rule.mass / (1 - rule.mass)
    with np.errstate(divide="ignore"):
        return closed_forms.gap_needed(odds, span / tau + top, tau, count, weight)


def rounded_up(strength: float, span: float, top: float, tau: float = 1.0) -> float:
    """By what the arithmetic of `promised_strength` can err."""
    return strength + ROUNDING * float(np.spacing(abs(strength) + span + tau * abs(top)))


def _crowd(
    rules: Sequence[Rule], i: int, place: _Place, tau: float
) -> tuple[float, Float[np.ndarray, "t"], Float[np.ndarray, "t"], np.ndarray]:
    """(log of a scale, most weight off the target in it, fewest target keys, rows that can see one), query by query.

    A key of bias b weighs e^(b/tau); a word stands where it weighs most, the target's one word where it leaves most.
    """
    target, blocks = rules[i].target, place.tokens.shape[1]
    by_word: dict[str, float] = {}
    by_block = np.zeros(blocks)
    for rule in (rules[j] for j in place.triggered):
        for word in rule.target.words:
            by_word[word] = by_word.get(word, 0.0) + rule.strength
        if not rule.target.words:
            by_block[rule.target.block] += rule.strength
    heaviest = max([0.0, *(bias for word, bias in by_word.items() if word not in target.words)])
    token, anchor = (by_block + heaviest) / tau, by_block / tau
    off = np.ones(blocks) if target.block is None else (np.arange(blocks) != target.block).astype(float)
    top = float(max(token[off > 0].max(), anchor[off > 0].max()))
    token_weight, anchor_weight = off * np.exp(np.minimum(token - top, 0)), off * np.exp(np.minimum(anchor - top, 0))
    weight = place.tokens @ token_weight + float(place.anchors @ anchor_weight)
    if target.block is not None:
        count = place.tokens[:, target.block] + place.anchors[target.block]
        return top, weight, count, (count > 0) & (weight > 0)
    lightest = np.where(place.tokens > 0, token_weight, np.inf).min(-1)
    weight = np.maximum(weight - lightest, 0.0)
    return top, weight, np.ones(len(weight)), weight > 0


def guaranteed_mass(rules: Sequence[Rule], i: int, site: Site) -> float:
    """What the strength of rule i guarantees in every row where it is promised anything.

    1 - the ceiling `off_rule`, as `off_rule` of the other keys with bias and range negated: exact where it is tiny.
    """
    least, tau = 1.0, site.temperature
    for place in _places(rules, site):
        if i not in place.triggered or any(outranked(rules[i], rules[j]) for j in place.triggered):
            continue
        top, weight, count, rows = _crowd(rules, i, place, tau)
        span = site.ranges[place.layer, place.block] / tau
        n, others = (count + weight)[rows], weight[rows]
        on = closed_forms.off_rule(-rules[i].strength, -(span + top), tau, n, others)
        least = min(least, float(np.min(on, initial=1.0)))
    return least


def needed_strength(rules: Sequence[Rule], i: int, site: Site) -> float:
    """The least strength of rule i that its promise needs beside the others, rounded up; 0 where none is needed."""
    needs = (_need(rules, i, place, site) for place in _places(rules, site))
    return max((need.strength for need in needs if need is not None), default=0.0)


def _up(strength: float) -> str:
    """Rounded up to a thousandth, so that what is said is enough."""
    return f"{math.ceil(strength * 1000) / 1000:.3f}"
