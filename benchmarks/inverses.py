"""Whether every inverse and every threshold lies on the safe side of its exact value, and next to it.

    python benchmarks/inverses.py            100,000 inputs each, in minutes: benchmarks/inverses.json

Half the inputs are drawn where rounding decides: whole numbers almost met, fidelities next to 0 and 1, sums that
cancel. The exact value is a formula typed here, apart from those of `bounds`, on Arb balls of as many bits as it takes.
`unsafe` counts values on the wrong side, `loose` those that are not the next float64 (whole number), or for the levels
of the penalty not within 1e-9 of it. Exit status 1 where there is one of either.
"""

from __future__ import annotations

import argparse
import decimal
import math
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import flint
import numpy as np
from common import quick_and_out, save
from flint import arb
from numpy.random import Generator

import bounds

Inputs = dict[str, np.ndarray]
BITS = (200, 4000)  # what the second does not decide is equal
CHUNK = 5_000
LARGEST = float(np.finfo(np.float64).max)


@dataclass(frozen=True)
class Case:
    """An inverse: inputs of some size, the exact value of one of them, and what makes a value right."""

    draw: Callable[[Generator, int], Inputs]
    exact: Callable[..., arb]
    up: bool | Callable[..., bool] = True  # the value is no less than the exact one
    whole: bool = False
    relative: float = 0.0  # how far from the exact value; 0: the next float64
    most: Callable[..., float] = lambda **entry: LARGEST  # a value beyond it is no answer


def fidelity(rng: Generator, size: int) -> np.ndarray:
    near_one, near_zero = 1 - 2.0 ** -rng.uniform(1, 53, size), 2.0 ** -rng.uniform(1, 60, size)
    plain = rng.choice([0.25, 0.5, 0.75, 0.9, 0.99], size)
    return _mixed(rng, rng.uniform(1e-3, 0.999, size), near_one, near_zero, plain)


def _mixed(rng: Generator, *kinds: np.ndarray) -> np.ndarray:
    return np.choose(rng.integers(0, len(kinds), len(kinds[0])), kinds)


def positive(rng: Generator, size: int, decades: float = 3) -> np.ndarray:
    return _mixed(rng, np.ones(size), 10 ** rng.uniform(-decades, decades, size))


def count(rng: Generator, size: int, most: float = 1e9) -> np.ndarray:
    return np.floor(np.exp(rng.uniform(0, np.log(most), size)))


def keys(rng: Generator, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(n, m, r)"""
    r = count(rng, size, 1e5)
    m = r + _mixed(rng, np.zeros(size), count(rng, size, 1e5))
    return m + count(rng, size), m, r


def odds(f: float) -> arb:
    return arb(f) / (1 - arb(f))


def _rows(rng: Generator, size: int) -> Inputs:
    n, m, r = keys(rng, size)
    return {"fidelity": fidelity(rng, size), "n_keys": n, "n_block": m, "n_anchors": r}


def _margins(rng: Generator, size: int) -> Inputs:
    return {**_rows(rng, size), "temperature": positive(rng, size)}


def _temperatures(rng: Generator, size: int) -> Inputs:
    return {**_rows(rng, size), "margin": rng.normal(0, 10 ** rng.uniform(-3, 3, size))}


def _temperature(fidelity: float, n_keys: float, n_block: float, n_anchors: float, margin: float) -> arb:
    """Infinite where every one is enough, negative where none is."""
    needed = ((arb(n_keys) - n_block) * odds(fidelity) / n_anchors).log()
    excess = (arb(n_keys) - n_block) * fidelity - n_anchors * (1 - arb(fidelity))  # exact where it is 0
    if margin >= 0 and excess <= 0:
        return arb("inf")
    return arb(margin) / needed if excess != 0 and (margin > 0) == bool(excess > 0) and margin else arb(-1)


def _anchors(rng: Generator, size: int) -> Inputs:
    n, m, _ = keys(rng, size)
    f, tau = fidelity(rng, size), positive(rng, size)
    tie = np.log((n - m) * f / (1 - f) / count(rng, size, 1e6))
    x = _mixed(rng, tie, rng.normal(0, 20, size))
    return {"fidelity": f, "margin": x * tau, "n_keys": n, "n_block": m, "temperature": tau}


def _contexts(rng: Generator, size: int) -> Inputs:
    _, m, r = keys(rng, size)
    f, tau = fidelity(rng, size), positive(rng, size)
    tie = np.log(count(rng, size, 1e6) * f / (r * (1 - f)))
    x = _mixed(rng, tie, rng.normal(0, 20, size))
    return {"fidelity": f, "margin": x * tau, "n_block": m, "n_anchors": r, "temperature": tau}


def _entropies(rng: Generator, size: int) -> Inputs:
    n, m, r = keys(rng, size)
    high, low = np.log(n), np.log(m)
    ulps = np.round(2.0 ** rng.uniform(0, 40, size))
    near_high, near_low = high - ulps * np.spacing(high), low + ulps * np.spacing(low)
    target = _mixed(rng, low + rng.uniform(0, 1, size) * (high - low), near_high, near_low)
    return {
        "entropy": np.maximum(target, 0),
        "n_keys": n,
        "n_block": m,
        "n_anchors": r,
        "temperature": positive(rng, size),
    }


def _ceiling(x: arb, n: float, m: float, r: float) -> arb:
    u = (arb(n) - m) * (-x).exp()
    return (arb(m) - r + (r + u) * (x * u / (r + u)).exp()).log()


def _leaks(rng: Generator, size: int) -> Inputs:
    f = fidelity(rng, size)
    near = (1 - f) * (1 + rng.integers(-4, 5, size) * 2.0**-52)
    return {"fidelity": f, "leakage": np.clip(_mixed(rng, near, 1 - fidelity(rng, size)), 0, 1 - 2.0**-53)}


def _worst(rng: Generator, size: int) -> Inputs:
    n, m, _ = keys(rng, size)
    f, tau = fidelity(rng, size), positive(rng, size)
    near = -np.log((n - m) * f / (m * (1 - f)))
    span = _mixed(rng, np.maximum(near, 0), rng.exponential(10, size), np.zeros(size))
    return {"fidelity": f, "logit_range": span * tau, "n_keys": n, "n_block": m, "temperature": tau}


def _kappa(fidelity: float, logit_range: float, n_keys: float, n_block: float, temperature: float) -> arb:
    needed = (odds(fidelity) * (arb(n_keys) - n_block) / n_block).log()
    return (arb(logit_range) / temperature + needed).max(arb(0))


def _dial(fidelity: float, logit_range: float, n_keys: float, n_block: float, temperature: float) -> arb:
    stays = (-arb(logit_range) / temperature).exp() / odds(fidelity) * n_block / (arb(n_keys) - n_block)
    return (1 - stays).max(arb(0))


def _rule(fidelity: float, logit_range: float, n_keys: float, n_rule: float, temperature: float) -> arb:
    needed = (odds(fidelity) * (arb(n_keys) - n_rule) / n_rule).log()
    return (logit_range + temperature * needed).max(arb(0))


def _priorities(rng: Generator, size: int) -> Inputs:
    first, second, tau = count(rng, size, 1e4), count(rng, size, 1e4), positive(rng, size)
    span = rng.exponential(20, size)
    ratio = _mixed(rng, np.exp(-span) * first / second, positive(rng, size), fidelity(rng, size))
    return {"ratio": ratio, "logit_range": span * tau, "n_first": first, "n_second": second, "temperature": tau}


def _recruitments(rng: Generator, size: int) -> Inputs:
    p, cost = _mixed(rng, np.zeros(size), count(rng, size, 1e6)), positive(rng, size)
    n = _mixed(rng, np.ones(size), count(rng, size))
    price = bounds.recruitment_price(p, n, cost)
    times = _mixed(rng, count(rng, size, 1e4), rng.exponential(100, size))
    return {"nll": times * price, "extra_parameters": p, "n_observations": n, "cost": cost}


def _steps(rng: Generator, size: int) -> Inputs:
    bound, step = _mixed(rng, np.zeros(size), positive(rng, size)), positive(rng, size)
    penalty = bound + positive(rng, size)
    norm = _mixed(rng, count(rng, size, 1e5), positive(rng, size)) * step * (penalty - bound)
    return {"group_norm": norm, "penalty": penalty, "gradient_bound": bound, "step": step}


def _adams(rng: Generator, size: int) -> Inputs:
    b1 = _mixed(rng, rng.uniform(0, 0.999, size), np.zeros(size), np.full(size, 0.9))
    room = 10.0 ** rng.uniform(-16, 0, size)
    b2 = b1**2 + (1 - b1**2) * room
    good = (b2 < 1) & (np.nextafter(b1, 1) ** 2 < b2)
    return {
        "group_size": count(rng, size, 1e6),
        "beta_1": np.where(good, b1, 0.9),
        "beta_2": np.where(good, b2, 0.999),
    }


def _adam(group_size: float, beta_1: float, beta_2: float) -> arb:
    b1, b2 = arb(beta_1), arb(beta_2)
    return (group_size * (1 - b1) ** 2 * b2 / ((1 - b2) * (b2 - b1**2))).sqrt()


def _of(*names: str, share: str | None = None, signed: str | None = None) -> Callable[[Generator, int], Inputs]:
    """Positive numbers of sixty decades by name, now and then 0; one of them in [0, 1], one of either sign."""

    def draw(rng: Generator, size: int) -> Inputs:
        found = {
            name: _mixed(rng, positive(rng, size, 30), positive(rng, size), positive(rng, size, 120)) for name in names
        }
        if share:
            found[share] = fidelity(rng, size) * rng.choice([0.0, 1.0, 1.0], size)
        if signed:
            found[signed] = found[signed] * rng.choice([-1.0, 1.0], size)
        return found

    return draw


NORMS = ("gradient_bound", "value_diameter", "query_norm", "key_norm", "key_diameter", "temperature")


def _level(gradient_bound: float, value_diameter: float, query_norm: float, temperature: float, least: arb) -> arb:
    return arb(gradient_bound) * value_diameter * query_norm / temperature * least


def _worst_level(key_norm: float, key_diameter: float, **others: float) -> arb:
    return _level(**others, least=(arb(key_diameter) / 4).min(arb(key_norm) / 2))


def _aware_level(key_norm: float, key_diameter: float, leakage: float, **others: float) -> arb:
    eps = arb(leakage)
    phi = eps * (1 - eps) if leakage <= 1 / 3 else (1 + eps) ** 2 / 8
    return _level(**others, least=(arb(key_diameter) / 4).min(key_norm * phi))


CASES: dict[str, Case] = {
    "margin_for_fidelity": Case(
        _margins,
        lambda fidelity, n_keys, n_block, n_anchors, temperature: (
            temperature * ((arb(n_keys) - n_block) * odds(fidelity) / n_anchors).log()
        ),
    ),
    "temperature_for_fidelity": Case(_temperatures, _temperature, up=lambda margin, **entry: margin < 0),
    "anchors_for_fidelity": Case(
        _anchors,
        lambda fidelity, margin, n_keys, n_block, temperature: (
            (arb(n_keys) - n_block) * odds(fidelity) * (-arb(margin) / temperature).exp()
        ).max(arb(1)),
        whole=True,
        most=lambda n_block, **entry: n_block,
    ),
    "context_for_fidelity": Case(
        _contexts,
        lambda fidelity, margin, n_block, n_anchors, temperature: (
            n_block + n_anchors / odds(fidelity) * (arb(margin) / temperature).exp()
        ),
        up=False,
        whole=True,
    ),
    "margin_for_entropy": Case(_entropies, _ceiling),
    "dial_for_fidelity": Case(
        _leaks,
        lambda fidelity, leakage: (1 - 1 / (odds(fidelity) * odds(leakage))).max(arb(0)) if leakage else arb(0),
    ),
    "kappa_for_fidelity": Case(
        _leaks, lambda fidelity, leakage: (odds(fidelity) * odds(leakage)).log().max(arb(0)) if leakage else arb(0)
    ),
    "worst_case_dial": Case(_worst, _dial),
    "worst_case_kappa": Case(_worst, _kappa),
    "dial_bias": Case(
        lambda rng, size: {"dial": fidelity(rng, size), "temperature": positive(rng, size)},
        lambda dial, temperature: temperature * (1 - arb(dial)).log(),
        up=False,
    ),
    "kappa_bias": Case(
        lambda rng, size: {"kappa": positive(rng, size), "temperature": positive(rng, size)},
        lambda kappa, temperature: -arb(kappa) * temperature,
        up=False,
    ),
    "kappa_of_dial": Case(lambda rng, size: {"dial": fidelity(rng, size)}, lambda dial: -(1 - arb(dial)).log()),
    "rule_bias": Case(
        lambda rng, size: {("n_rule" if name == "n_block" else name): v for name, v in _worst(rng, size).items()}, _rule
    ),
    "priority_gap": Case(
        _priorities,
        lambda ratio, logit_range, n_first, n_second, temperature: (
            logit_range + temperature * (arb(ratio) * n_second / n_first).log()
        ),
    ),
    "most_recruitments": Case(
        _recruitments,
        lambda nll, extra_parameters, n_observations, cost: (
            arb(nll) / (cost + arb(extra_parameters) * arb(n_observations).log() / 2)
        ),
        whole=True,
    ),
    "steps_to_zero": Case(
        _steps,
        lambda group_norm, penalty, gradient_bound, step: arb(group_norm) / (step * (arb(penalty) - gradient_bound)),
        whole=True,
    ),
    "adam_threshold": Case(_adams, _adam),
    "penalty_threshold_worst_case": Case(_of(*NORMS), _worst_level, relative=1e-9),
    "penalty_threshold_leakage_aware": Case(_of(*NORMS, share="leakage"), _aware_level, relative=1e-9),
    "penalty_threshold_cauchy_schwarz": Case(
        _of("query_operator", "covariance_bound", "temperature"),
        lambda query_operator, covariance_bound, temperature: (
            arb(query_operator) * covariance_bound / (4 * temperature)
        ),
        relative=1e-9,
    ),
    "penalty_threshold_factorised": Case(
        _of("gradient_bound", "owned_norm", "objective"),
        lambda gradient_bound, owned_norm, objective: (
            (
                arb(gradient_bound) * owned_norm
                + ((arb(gradient_bound) * owned_norm) ** 2 + 2 * arb(gradient_bound) * objective).sqrt()
            )
            / 2
        ),
        relative=1e-9,
    ),
    "global_penalty_ceiling": Case(
        _of("slope", "curvature", "gain"),
        lambda slope, curvature, gain: (slope + (arb(slope) ** 2 + 2 * arb(curvature) * gain).sqrt()) / 2,
        relative=1e-9,
    ),
    "global_penalty_dual": Case(
        _of("loss_localised", "offset", "quadratic", "cross_norm", share="eta", signed="offset"),
        lambda loss_localised, eta, offset, quadratic, cross_norm: (
            ((1 - arb(eta)) * loss_localised + offset + quadratic * arb(cross_norm) ** 2) / cross_norm
        ),
    ),
}


def _sides(case: Case, value: float, entry: dict[str, float]) -> tuple[bool | None, bool | None]:
    """(safe, next to the exact value) where these bits decide it."""
    up = case.up if isinstance(case.up, bool) else case.up(**entry)
    exact = case.exact(**entry)
    given, sign = arb(value), 1 if up else -1
    nearer = value - sign if case.whole else math.nextafter(value, -sign * math.inf)
    if case.whole and value == 2**53:  # no more keys are counted
        nearer = math.inf
    gap, further = sign * (given - exact), sign * (arb(nearer) - exact)
    if case.relative:
        further = gap - case.relative * abs(exact) - arb(2.0) ** -1073
    return _decided(gap >= 0, gap < 0), _decided(further < 0, further >= 0)


def _decided(certain: bool, excluded: bool) -> bool | None:
    return True if certain else False if excluded else None


def _entropy_sides(value: float, entry: dict[str, float]) -> tuple[bool | None, bool | None]:
    """Of a margin: the ceiling is at most the target there, and above it at the float64 before."""
    target, tau = entry["entropy"], entry["temperature"]
    here, before = (
        _ceiling(arb(v) / tau, entry["n_keys"], entry["n_block"], entry["n_anchors"]) - target
        for v in (value, math.nextafter(value, 0.0))
    )
    return _decided(here <= 0, here > 0), _decided(before > 0, before <= 0)


def _no_answer(name: str, case: Case, value: float, entry: dict[str, float]) -> bool | None:
    """Whether it is right that there is no number: nothing is enough, or (inf, -inf) everything."""
    if name == "margin_for_entropy":
        if value == -math.inf:
            gap = arb(entry["entropy"]) - arb(entry["n_keys"]).log()
            return _decided(gap >= 0, gap < 0)
        gap = arb(entry["n_block"]).log() - entry["entropy"]
        return _decided(gap >= 0, gap < 0)
    exact = case.exact(**entry)
    if value == math.inf:
        return not exact.is_finite() or _decided(exact > LARGEST, exact <= LARGEST)
    if name == "temperature_for_fidelity":
        return _decided(exact < 0 or exact > LARGEST, exact > 0)
    if name == "context_for_fidelity":
        return _decided(exact < entry["n_block"] + 1, exact >= entry["n_block"] + 1)
    most = case.most(**entry)
    return _decided(exact > most, exact <= most)


def judged(name: str, value: float, entry: dict[str, float]) -> tuple[bool, bool]:
    """(unsafe, loose) of one value; NaN stands for no answer. What 4,000 bits leave open is equality."""
    case = CASES[name]
    safe = near = None
    for bits in BITS:
        flint.ctx.prec = bits
        if not math.isfinite(value):
            safe = near = _no_answer(name, case, value, entry)
        elif name == "margin_for_entropy":
            safe, near = _entropy_sides(value, entry)
        else:
            safe, near = _sides(case, value, entry)
        if safe is not None and near is not None:
            break
    return safe is False, near is False


def measure(name: str, seed: int, size: int) -> dict[str, Any]:
    """How many of `size` values of one inverse are unsafe or loose, the first of each, and its own time."""
    inputs = CASES[name].draw(np.random.default_rng([seed, list(CASES).index(name)]), size)
    start = time.perf_counter()
    found = getattr(bounds, name)(**inputs)
    seconds = time.perf_counter() - start
    values = found.values if isinstance(found, bounds.Solutions) else found
    if name == "most_recruitments":  # the greatest number *below* the quotient: one more is the least that is not
        values = np.where((values == 0) & (inputs["nll"] == 0), 0, values + 1)
    result: dict[str, Any] = {"inputs": size, "unsafe": 0, "loose": 0, "answers": int(np.isfinite(values).sum())}
    before = flint.ctx.prec
    for at, value in enumerate(np.asarray(values).tolist()):
        entry = {key: float(v[at]) for key, v in inputs.items()}
        for word, wrong in zip(("unsafe", "loose"), judged(name, value, entry)):
            if wrong:
                result[word] += 1
                result.setdefault(f"first_{word}", {**entry, "value": value})
    flint.ctx.prec = before
    return {**result, "seconds": seconds}


def merged(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts and seconds added; of each kind the first."""
    whole: dict[str, Any] = {}
    for part in parts:
        for key, value in part.items():
            whole[key] = whole.setdefault(key, value) if isinstance(value, dict) else whole.get(key, 0) + value
    whole["microseconds_each"] = round(whole.pop("seconds") / whole["inputs"] * 1e6, 1)
    return whole


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Every inverse against exact arithmetic.")
    parser.add_argument("--inputs", type=int, default=100_000, help="inputs for each inverse (default %(default)s)")
    parser.add_argument("--workers", type=int, default=None, help="processes (default: one a core)")
    parser.add_argument("--seed", type=int, default=1)
    parsed = quick_and_out(parser, __file__, arguments)
    size = 50 if parsed.quick else parsed.inputs
    sizes = [CHUNK] * (size // CHUNK) + ([size % CHUNK] if size % CHUNK else [])
    with ProcessPoolExecutor(parsed.workers) as pool:
        tasks = {name: [pool.submit(measure, name, parsed.seed + i, s) for i, s in enumerate(sizes)] for name in CASES}
        found = {name: merged([task.result() for task in parts]) for name, parts in tasks.items()}
    for name, line in found.items():
        print(f"{name:<36}{line['inputs']:>8} inputs  {line['unsafe']:>6} unsafe  {line['loose']:>6} loose")
    kept = not any(line["unsafe"] or line["loose"] for line in found.values())
    packages = {"python-flint": version("python-flint"), "libmpdec": decimal.__libmpdec_version__}
    save({"seed": parsed.seed, "cases": found, "kept": kept, "quick": parsed.quick, "versions": packages}, parsed.out)
    return 0 if kept else 1


if __name__ == "__main__":
    raise SystemExit(main())
