"""What each threshold of rows and of penalties follows from: a function a few lines, its parameters what they take."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from bounds.concentration.calculators import fidelity_floor, leakage_ceiling
from bounds.concentration.inverse import (
    anchors_for_fidelity,
    context_for_fidelity,
    margin_for_fidelity,
    temperature_for_fidelity,
)
from bounds.concentration.on_intervals import leakage_above
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
from bounds.entropy.inverse import margin_for_entropy
from bounds.floors.calculators import entropy_floor, fidelity_ceiling
from bounds.numbers.search import Unreachable
from bounds.penalty.calculators import penalty_threshold_leakage_aware, penalty_threshold_worst_case, steps_to_zero
from bounds.thresholds.ends import Ends
from bounds.thresholds.gates import GATE_PARTS
from bounds.thresholds.lines import Line


def _margin_for_fidelity(
    at: Ends, n_keys: int, n_block: int, fidelity: float, n_anchors: int | None = None, temperature: float = 1.0
) -> Iterator[Line]:
    """least margin for the fidelity"""
    least = at.upper(margin_for_fidelity, fidelity, n_keys, n_block, n_anchors, temperature)
    yield Line(
        *("margin_for_fidelity", "least margin for the fidelity", least, "logits", "fidelity_floor"),
        phrase="a margin of {up}",
        meets="fidelity",
    )


def _margin_for_entropy(
    at: Ends, n_keys: int, n_block: int, entropy: float, n_anchors: int | None = None, temperature: float = 1.0
) -> Iterator[Line]:
    """least margin for the entropy"""
    least = at.upper(margin_for_entropy, entropy, n_keys, n_block, n_anchors, temperature)
    yield Line(
        *("margin_for_entropy", "least margin for the entropy", least, "logits", "entropy_ceiling"),
        phrase="a margin of {up}",
        meets="entropy",
    )


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
    yield Line(
        *("fidelity_floor", "fidelity at least", floor, "of 1", theorem if logit_range else "fidelity_floor"),
        phrase="fidelity {down}",
        guarantees="fidelity",
    )
    ceiling = at.upper(entropy_ceiling, margin, *row)
    yield Line(
        *("entropy_ceiling", "entropy at most", ceiling, "nats", "entropy_ceiling"),
        phrase="entropy of at most {up} nats",
        guarantees="entropy",
    )
    if dial is not None:
        masked = Unreachable("a row may have all its attention outside the block, and the dial at 1 masks it")
        after = at.upper(dial_leakage, leakage, dial) if leakage < 1 or dial < 1 else masked
        yield Line("leakage_dialled", "leakage at most, dialled", after, "of 1", "odds_law")


def _anchors_needed(
    at: Ends, n_keys: int, n_block: int, margin: float, fidelity: float, temperature: float = 1.0
) -> Iterator[Line]:
    """least anchors for the fidelity"""
    anchors = at.upper(anchors_for_fidelity, fidelity, margin, n_keys, n_block, temperature)
    yield Line(
        *("anchors_for_fidelity", "least anchors at this margin", anchors, "keys", "fidelity_floor"),
        phrase="1 anchor" if anchors == 1 else "{up} anchors",
        meets="fidelity",
    )


def _context(
    at: Ends, n_block: int, margin: float, fidelity: float, n_anchors: int | None = None, temperature: float = 1.0
) -> Iterator[Line]:
    """most keys for the fidelity"""
    context = at.lower(context_for_fidelity, fidelity, margin, n_block, n_anchors, temperature)
    yield Line(
        *("context_for_fidelity", "most keys at this margin", context, "keys", "fidelity_floor"),
        phrase="a context of {down} keys",
        meets="fidelity",
    )


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
    yield Line(
        *("temperature_for_fidelity", "temperature at this margin", hottest, "", "fidelity_floor"),
        phrase="a temperature of {down}" if margin >= 0 else "a temperature of {up}",
        meets="fidelity",
    )
    leakage = leakage_above((margin, n_keys, n_block, n_anchors or n_block, temperature, logit_range))
    yield from _dial_at_margin(at, fidelity, leakage, temperature)


def _dial_at_margin(at: Ends, fidelity: float, leakage: float, tau: float) -> Iterator[Line]:
    dial = kappa = bias = Unreachable("at this margin a row may have all its attention outside the block")
    if leakage < 1:
        dial, kappa = at.upper(dial_for_fidelity, fidelity, leakage), at.upper(kappa_for_fidelity, fidelity, leakage)
        bias = at.lower(kappa_bias, kappa, tau)
    yield Line(
        *("dial_at_margin", "least dial at this margin", dial, "of 1", "odds_law"),
        phrase="a dial of {up}",
        meets="fidelity",
    )
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
    yield Line(
        *("dial_worst_case", "least dial for every row of the range", dial, "of 1", "odds_law"),
        phrase="for every row of the range a dial of {up}",
        meets="fidelity",
    )
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


PARTS: tuple[Callable[..., Iterator[Line]], ...] = (
    *(_margin_for_fidelity, _margin_for_entropy, _dial_bias, _guaranteed),
    *(_anchors_needed, _context, _temperature_and_dial, _fidelity_ceiling, _entropy_floor, _worst_dial),
    *(_level_a, _level_b, _steps),
    *GATE_PARTS,
)
"""In reading order. A parameter without a default is what a part needs, one with a default what it uses if given."""
