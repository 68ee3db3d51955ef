"""A configuration and every threshold that it determines, and no other.

    design(Setting(n_keys=64, n_block=16, fidelity=0.9, margin=3.0))["anchors_for_fidelity"]

A target is *guaranteed* where the theorems force it on every such row, *impossible* where they exclude it from every
one, *open* in between. `Design.table()` and `Design.as_dict()` say the same, in nats and bits.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import fields, replace
from functools import cache
from inspect import signature

from bounds.concentration.calculators import fidelity_floor, leakage_ceiling
from bounds.concentration.inverse import (
    anchors_for_fidelity,
    context_for_fidelity,
    margin_for_fidelity,
    temperature_for_fidelity,
)
from bounds.concentration.on_intervals import fidelity_met, leakage_above
from bounds.dial.calculators import (
    dial_bias,
    dial_for_fidelity,
    dial_leakage,
    kappa_bias,
    kappa_for_fidelity,
    worst_case_dial,
    worst_case_kappa,
)
from bounds.entropy.calculators import entropy_ceiling
from bounds.entropy.inverse import entropy_met, margin_for_entropy
from bounds.floors.calculators import entropy_floor, entropy_possible, fidelity_ceiling, fidelity_possible
from bounds.numbers.search import Unreachable
from bounds.penalty.calculators import penalty_threshold_leakage_aware, penalty_threshold_worst_case, steps_to_zero
from bounds.thresholds.ends import Ends
from bounds.thresholds.gates import GATE_INPUTS, GATE_PARTS
from bounds.thresholds.result import Design, Line, Missing, Region, said
from bounds.thresholds.setting import PenaltySetting, Setting

__all__ = ["Design", "Line", "Missing", "PenaltySetting", "Region", "Setting", "design"]

PENALTY_FIELDS = frozenset(item.name for item in fields(PenaltySetting))


def _margin_for_fidelity(
    at: Ends, n_keys: int, n_block: int, fidelity: float, n_anchors: int | None = None, temperature: float = 1.0
) -> Iterator[Line]:
    """least margin for the fidelity"""
    least = at.upper(margin_for_fidelity, fidelity, n_keys, n_block, n_anchors, temperature)
    yield Line("margin_for_fidelity", "least margin for the fidelity", least, "logits", "fidelity_floor")


def _margin_for_entropy(
    at: Ends, n_keys: int, n_block: int, entropy: float, n_anchors: int | None = None, temperature: float = 1.0
) -> Iterator[Line]:
    """least margin for the entropy"""
    least = at.upper(margin_for_entropy, entropy, n_keys, n_block, n_anchors, temperature)
    yield Line("margin_for_entropy", "least margin for the entropy", least, "logits", "entropy_ceiling")


def _dial_bias(at: Ends, dial: float, temperature: float = 1.0) -> Iterator[Line]:
    """the dial as a bias of logits"""
    bias = at.lower(dial_bias, dial, temperature)
    yield Line("dial_bias", "bias of the dial outside the block", bias, "logits", "odds_law")


def _guaranteed(
    at: Ends,
    n_keys: int,
    n_block: int,
    margin: float,
    n_anchors: int | None = None,
    temperature: float = 1.0,
    logit_range: float | None = None,
    dial: float | None = None,
) -> Iterator[Line]:
    """leakage, fidelity and entropy that the margin guarantees"""
    row = (n_keys, n_block, n_anchors, temperature)
    key = leakage_ceiling.__name__
    theorem = key if logit_range is None else "leakage_ceiling_range"
    leakage = at.upper(leakage_ceiling, margin, *row, logit_range)
    floor = at.lower(fidelity_floor, margin, *row, logit_range)
    yield Line(key, "leakage at most", leakage, "of 1", theorem)
    yield Line("fidelity_floor", "fidelity at least", floor, "of 1", theorem if logit_range else "fidelity_floor")
    ceiling = at.upper(entropy_ceiling, margin, *row)
    yield Line("entropy_ceiling", "entropy at most", ceiling, "nats", "entropy_ceiling")
    if dial is not None:
        masked = Unreachable("a row may have all its attention outside the block, and the dial at 1 masks it")
        after = at.upper(dial_leakage, leakage, dial) if leakage < 1 or dial < 1 else masked
        yield Line("leakage_dialled", "leakage at most, dialled", after, "of 1", "odds_law")


def _anchors_needed(
    at: Ends, n_keys: int, n_block: int, margin: float, fidelity: float, temperature: float = 1.0
) -> Iterator[Line]:
    """least anchors for the fidelity"""
    anchors = at.upper(anchors_for_fidelity, fidelity, margin, n_keys, n_block, temperature)
    yield Line("anchors_for_fidelity", "least anchors at this margin", anchors, "keys", "fidelity_floor")


def _context(
    at: Ends, n_block: int, margin: float, fidelity: float, n_anchors: int | None = None, temperature: float = 1.0
) -> Iterator[Line]:
    """most keys for the fidelity"""
    context = at.lower(context_for_fidelity, fidelity, margin, n_block, n_anchors, temperature)
    yield Line("context_for_fidelity", "most keys at this margin", context, "keys", "fidelity_floor")


def _temperature_and_dial(
    at: Ends,
    n_keys: int,
    n_block: int,
    margin: float,
    fidelity: float,
    n_anchors: int | None = None,
    temperature: float = 1.0,
    logit_range: float | None = None,
) -> Iterator[Line]:
    """temperature and dial for the fidelity"""
    cooler = at.lower if margin >= 0 else at.upper  # at a negative margin the least temperature is what is found
    hottest = cooler(temperature_for_fidelity, fidelity, margin, n_keys, n_block, n_anchors)
    yield Line("temperature_for_fidelity", "temperature at this margin", hottest, "", "fidelity_floor")
    leakage = leakage_above((margin, n_keys, n_block, n_anchors or n_block, temperature, logit_range))
    yield from _dial_at_margin(at, fidelity, leakage, temperature)


def _dial_at_margin(at: Ends, fidelity: float, leakage: float, tau: float) -> Iterator[Line]:
    dial = kappa = bias = Unreachable("at this margin a row may have all its attention outside the block")
    if leakage < 1:
        dial, kappa = at.upper(dial_for_fidelity, fidelity, leakage), at.upper(kappa_for_fidelity, fidelity, leakage)
        bias = at.lower(kappa_bias, kappa, tau)
    yield Line("dial_at_margin", "least dial at this margin", dial, "of 1", "odds_law")
    yield Line("kappa_at_margin", "the same as kappa", kappa, "", "odds_law")
    yield Line("bias_at_margin", "the same as a logit bias", bias, "logits", "odds_law")


def _fidelity_ceiling(
    at: Ends, n_keys: int, n_block: int, logit_range: float, temperature: float = 1.0
) -> Iterator[Line]:
    """fidelity that the range excludes"""
    best = at.upper(fidelity_ceiling, logit_range, n_keys, n_block, temperature)
    yield Line("fidelity_ceiling", "fidelity at most, by the range", best, "of 1", "fidelity_ceiling")


def _entropy_floor(at: Ends, n_keys: int, logit_range: float, temperature: float = 1.0) -> Iterator[Line]:
    """entropy that the range excludes"""
    floor = at.lower(entropy_floor, logit_range, n_keys, temperature)
    yield Line("entropy_floor", "entropy at least, by the range", floor, "nats", "entropy_floor")


def _worst_dial(
    at: Ends, n_keys: int, n_block: int, logit_range: float, fidelity: float, temperature: float = 1.0
) -> Iterator[Line]:
    """dial for every row of the range"""
    dial = at.upper(worst_case_dial, fidelity, logit_range, n_keys, n_block, temperature)
    kappa = at.upper(worst_case_kappa, fidelity, logit_range, n_keys, n_block, temperature)
    bias = at.lower(kappa_bias, kappa, temperature)
    yield Line("dial_worst_case", "least dial for every row of the range", dial, "of 1", "odds_law")
    yield Line("kappa_worst_case", "every row: the same as kappa", kappa, "", "odds_law")
    yield Line("bias_worst_case", "every row: the same as a logit bias", bias, "logits", "odds_law")


def _level_a(
    at: Ends,
    gradient_bound: float,
    value_diameter: float,
    query_norm: float,
    key_norm: float,
    key_diameter: float,
    query_share: float = 1.0,
    temperature: float = 1.0,
) -> Iterator[Line]:
    """penalty level A"""
    norms = (gradient_bound, value_diameter, query_norm, key_norm, key_diameter)
    level = at.upper(penalty_threshold_worst_case, *norms, query_share, temperature)
    yield Line("penalty_worst_case", "penalty, level A: worst case", level, "loss/norm", "worst_case_threshold")


def _level_b(
    at: Ends,
    gradient_bound: float,
    value_diameter: float,
    query_norm: float,
    key_norm: float,
    key_diameter: float,
    n_keys: int,
    n_block: int,
    margin: float,
    n_anchors: int | None = None,
    query_share: float = 1.0,
    temperature: float = 1.0,
    logit_range: float | None = None,
) -> Iterator[Line]:
    """penalty level B"""
    norms = (gradient_bound, value_diameter, query_norm, key_norm, key_diameter)
    leakage = leakage_above((margin, n_keys, n_block, n_anchors or n_block, temperature, logit_range))
    aware = at.upper(penalty_threshold_leakage_aware, *norms, query_share, temperature, leakage=leakage)
    label = "penalty, level B: at this leakage"
    yield Line("penalty_leakage_aware", label, aware, "loss/norm", "leakage_aware_gradient")


def _steps(
    at: Ends,
    gradient_bound: float,
    value_diameter: float,
    query_norm: float,
    key_norm: float,
    key_diameter: float,
    group_norm: float,
    step: float,
    penalty: float | None = None,
    query_share: float = 1.0,
    temperature: float = 1.0,
) -> Iterator[Line]:
    """steps to zero"""
    norms = (gradient_bound, value_diameter, query_norm, key_norm, key_diameter)
    level = at.upper(penalty_threshold_worst_case, *norms, query_share, temperature)
    chosen = 2 * level if penalty is None else penalty
    steps = at.upper(steps_to_zero, group_norm, chosen, level, step)
    yield Line("steps_to_zero", f"steps to zero at penalty {chosen:.6g}", steps, "steps", "steps_to_zero")


def _regions(at: Ends, s: Setting) -> Iterator[Region]:
    """A row of range D has a margin of -D at least."""
    n, m, r, tau, span = s.n_keys, s.n_block, s.n_anchors, s.temperature, s.logit_range
    if n is None or m is None or (s.margin is None and span is None):
        return
    margin = s.margin if s.margin is not None else -(span or 0.0)
    place = (margin / tau, None if span is None else span / tau)
    if s.fidelity is not None:
        met = fidelity_met(s.fidelity, (margin, n, m, r or m, tau, span))
        excluded = span is not None and not fidelity_possible(s.fidelity, span, n, m, tau)
        by = "fidelity_floor" if span is None else "leakage_ceiling_range"
        yield Region("fidelity", s.fidelity, *_place(met, excluded, by, "fidelity_ceiling"), *place)
    if s.entropy is not None:
        met = entropy_met(s.entropy, margin, n, m, r or m, tau)
        excluded = span is not None and not entropy_possible(s.entropy, span, n, tau)
        yield Region("entropy", s.entropy, *_place(met, excluded, "entropy_ceiling", "entropy_floor"), *place)


def _place(met: bool, excluded: bool, by: str, against: str) -> tuple[str, str]:
    return ("guaranteed", by) if met else ("impossible", against) if excluded else ("open", "")


PARTS: tuple[Callable[..., Iterator[Line]], ...] = (
    *(_margin_for_fidelity, _margin_for_entropy, _dial_bias, _guaranteed),
    *(_anchors_needed, _context, _temperature_and_dial, _fidelity_ceiling, _entropy_floor, _worst_dial),
    *(_level_a, _level_b, _steps),
    *GATE_PARTS,
)
"""In reading order. A parameter without a default is what a part needs, one with a default what it uses if given."""


@cache
def _inputs(part: Callable[..., Iterator[Line]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What a part needs, and what else it uses."""
    _, *inputs = signature(part).parameters.values()
    needs = tuple(item.name for item in inputs if item.default is item.empty)
    return needs, tuple(item.name for item in inputs if item.name not in needs)


def lacking(setting: Setting, penalty: PenaltySetting | None, name: str) -> Missing:
    """Of the thresholds that depend on an input, the one that is nearest to being determined, and what it lacks."""
    told = {**said(setting), **said(penalty)}
    parts = ((part, *_inputs(part)) for part in PARTS)
    wanting = [
        Missing((part.__doc__ or "").strip(), tuple(need for need in needs if need not in told))
        for part, needs, uses in parts
        if name in (*needs, *uses)
    ]
    return min(wanting, key=lambda missing: len(missing.needs))


def _evaluated(setting: Setting, penalty: PenaltySetting | None, rigorous: bool) -> Design:
    at = Ends(rigorous)
    told = {**said(setting), **said(penalty)}
    lines: list[Line] = []
    missing: list[Missing] = []
    used: set[str] = set()
    for part in PARTS:
        needs, uses = _inputs(part)
        absent = tuple(name for name in needs if name not in told)
        if not absent:
            used |= {*needs, *uses}
            lines += part(at, **{name: told[name] for name in (*needs, *uses) if name in told})
        elif _within_reach(part, absent, told):
            missing.append(Missing((part.__doc__ or "").strip(), absent))
    regions = tuple(_regions(at, setting))
    return Design(setting, penalty, tuple(lines), regions, rigorous, frozenset(used), tuple(missing))


def _within_reach(part: Callable[..., Iterator[Line]], absent: Sequence[str], told: Container[str]) -> bool:
    """Whether a part is worth naming: one input is missing, or some of a penalty's own were given; of gates, theirs."""
    needs, _ = _inputs(part)
    own = [name for name in needs if name in PENALTY_FIELDS]
    if not own:
        return len(absent) == 1 and len(needs) > 1
    return any(name in told for name in own) and (part in GATE_PARTS) == any(name in told for name in _of_gates())


@cache
def _of_gates() -> frozenset[str]:
    """Inputs that parts of gates alone ask for."""
    return GATE_INPUTS - {name for part in PARTS if part not in GATE_PARTS for names in _inputs(part) for name in names}


def _beside(design: Design, one: Design) -> Design:
    """The design, and what it would be with one anchor a block where that differs."""
    lines = [replace(a, one_anchor=None if a.value == b.value else b.value) for a, b in zip(design.lines, one.lines)]
    regions = [
        replace(a, one_anchor=None if a.region == b.region else b.region) for a, b in zip(design.regions, one.regions)
    ]
    return replace(design, lines=tuple(lines), regions=tuple(regions))


def design(setting: Setting, penalty: PenaltySetting | None = None, rigorous: bool = False) -> Design:
    """Every threshold that the configuration determines, each by its calculator, and the region of each target.

    `rigorous` takes the safe end of each rigorous enclosure: what is needed rounds up, what is guaranteed is never more
    than is proved. It needs python-flint. Without `n_anchors` the whole block is taken for anchors, and what one anchor
    would give stands beside each number.
    """
    result = _evaluated(setting, penalty, rigorous)
    if setting.n_anchors is not None or setting.n_block is None:
        return result
    return _beside(result, _evaluated(replace(setting, n_anchors=1), penalty, rigorous))
