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

from bounds.concentration.on_intervals import fidelity_met
from bounds.entropy.inverse import entropy_met
from bounds.floors.calculators import entropy_possible, fidelity_possible
from bounds.thresholds.ends import Ends
from bounds.thresholds.gates import GATE_INPUTS, GATE_PARTS
from bounds.thresholds.lines import Line, Missing, Region
from bounds.thresholds.parts import PARTS
from bounds.thresholds.result import Design, said
from bounds.thresholds.setting import PenaltySetting, Setting

__all__ = ["Design", "Line", "Missing", "PenaltySetting", "Region", "Setting", "design"]

PENALTY_FIELDS = frozenset(item.name for item in fields(PenaltySetting))


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
    return any(name in told for name in own) and (part in GATE_PARTS) == any(name in told for name in of_gates())


@cache
def of_gates() -> frozenset[str]:
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
