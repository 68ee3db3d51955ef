"""Gates: rows whose outside weights are multiplied, losses of their outputs, steps and solutions on the box of gates.

Slopes that theorems predict are taken by complex steps, which have no cancellation, from the loss itself.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

Rows = dict[str, np.ndarray]
STEP = 1e-30  # of a complex step
ROWS, KEYS, D = 3, 4, 2
NODES = (8, 11)  # a panel, of the quadratures whose difference is the room for the path integrals
PANELS = (0.0, 0.001, 0.01, 0.1, 0.4, 1.0)  # a group of odds r opens by s = 1/r


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(-1)


def flag(rng: np.random.Generator, count: int, share: float = 0.1) -> np.ndarray:
    return (rng.random(count) < share).astype(float)


class Layer:
    """Rows of one layer: outputs inside the block and of each group of keys, odds of the groups, a smooth loss."""

    def __init__(self, rng: np.random.Generator, count: int, rows: int = ROWS, groups: int = KEYS) -> None:
        self.inside = rng.standard_normal((count, rows, 1, D))
        self.outside = rng.standard_normal((count, rows, groups, D))
        self.odds = np.exp(1.5 * rng.standard_normal((count, rows, groups)))
        self.along = rng.standard_normal((count, rows, D))
        self.curved = 0.3 * rng.standard_normal((count, rows, D))

    def shares(self, gates: np.ndarray) -> np.ndarray:
        """Attention mass of every group, (count, rows, groups); gates (count, groups) or (count, rows, groups)."""
        weights = self.odds * (gates[:, None] if gates.ndim == 2 else gates)
        return weights / (1 + weights.sum(-1, keepdims=True))

    def outputs(self, gates: np.ndarray) -> np.ndarray:
        return self.inside[:, :, 0] + self.moved(gates)

    def moved(self, gates: np.ndarray) -> np.ndarray:
        """eps (o_out - o_in) of every row."""
        return (self.shares(gates)[..., None] * (self.outside - self.inside)).sum(-2)

    def loss(self, outputs: np.ndarray) -> np.ndarray:
        return (np.tanh(_dot(self.along, outputs)) + _dot(self.curved, outputs) ** 2).sum(-1)

    def gradient(self, outputs: np.ndarray) -> np.ndarray:
        flat = 1 / np.cosh(_dot(self.along, outputs)) ** 2
        return flat[..., None] * self.along + 2 * _dot(self.curved, outputs)[..., None] * self.curved


def prices(rng: np.random.Generator, count: int) -> Rows:
    """The slope of the loss in one gate of several, at any gates; in some the gate is applied after the softmax."""
    layer, at = Layer(rng, count), rng.choice([0.0, 1.0, 0.3, 0.9], (count, KEYS))
    after = flag(rng, count)
    stepped = at.astype(complex)
    stepped[:, 0] += 1j * STEP
    shares = layer.shares(stepped)
    unnormalised = layer.shares(np.ones_like(at)) * stepped[:, None]  # the rest goes nowhere
    shares = np.where(after[:, None, None] > 0, unnormalised, shares)
    outputs = layer.inside[:, :, 0] + (shares[..., None] * (layer.outside - layer.inside)).sum(-2)
    real = outputs.real
    mass = layer.odds[..., 0] / (1 + (layer.odds * at[:, None]).sum(-1))
    return {
        "loss_slope": np.imag(layer.loss(outputs)) / STEP,
        "group_shares": mass,
        "pulls": _dot(layer.gradient(real), layer.outside[:, :, 0] - real),
        "after_softmax": after,
    }


def pairs(rng: np.random.Generator, count: int) -> Rows:
    """One gate over all outside pairs of a layer: minus its slope of the loss over that of the leakage."""
    layer, at = Layer(rng, count), np.where(flag(rng, count) > 0, 0.3, 0.0)
    gates = np.tile(at[:, None], (1, KEYS)) + 1j * STEP
    outputs, leakage = layer.outputs(gates), layer.shares(gates).sum(-1).mean(-1)
    gradient = layer.gradient(np.real(outputs))
    penalties = -ROWS * _dot(gradient[:, :, None], layer.outside - layer.inside)
    return {
        "critical_ratio": -np.imag(layer.loss(outputs)) / leakage.imag,
        "pair_odds": layer.odds.reshape(count, -1),
        "pair_penalties": penalties.reshape(count, -1),
        "gate": at,
    }


def shares(rng: np.random.Generator, count: int) -> Rows:
    """Shares of a loss along curved paths of the gates; in some the loss jumps on the way, as across a routing."""
    layer, jumps = Layer(rng, count), flag(rng, count)
    layer.along *= 0.5  # flat enough for the quadratures
    power = rng.choice([1.0, 2.0, 3.0], (count, KEYS))

    def integrals(nodes: int) -> np.ndarray:
        points, weights = np.polynomial.legendre.leggauss(nodes)
        found, panels = np.zeros((count, KEYS)), list(pairwise(PANELS))
        for t, w in ((a + (b - a) * (p + 1) / 2, (b - a) * w / 2) for a, b in panels for p, w in zip(points, weights)):
            gates, speed = t**power, power * t ** (power - 1)
            outputs = layer.outputs(gates)
            away = layer.outside - outputs[:, :, None]
            masses = layer.odds / (1 + (layer.odds * gates[:, None]).sum(-1, keepdims=True))
            slopes = (masses * _dot(layer.gradient(outputs)[:, :, None], away)).sum(1)
            found -= w * slopes * speed
        return found

    coarse, fine = (integrals(nodes) for nodes in NODES)
    masked, trained = (layer.loss(layer.outputs(np.full((count, KEYS), end))) for end in (0.0, 1.0))
    return {
        "loss_change": masked - trained + jumps,
        "gate_shares": fine,
        "quadrature": 10 * np.abs(coarse - fine).sum(-1) + 1e-12,
        "jumps": jumps,
    }


def staircases(rng: np.random.Generator, count: int) -> Rows:
    """Two layers of one row each; what the first says moves the logit and the value of the second's outside key."""
    odds = np.exp(rng.standard_normal((2, count)))
    coupling, reward = rng.normal(0, 4, count), rng.standard_normal((2, count))
    bend, deep_first = rng.uniform(0, 2, count), flag(rng, count, 0.2)
    ends, even = rng.choice([0.2, 1.0], (2, count)), rng.random(count) < 0.3

    def leakages(s: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        first = s * odds[0] / (1 + s * odds[0])
        second = t * odds[1] * np.exp(coupling * first)
        return first, second / (1 + second)

    def loss(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Outputs are 0 inside and 1 outside, so that a leakage is an output; with one reward every rate is it."""
        bent = np.tanh(reward[0] * first + bend * second * first) + reward[1] * second
        return -np.where(even, reward[0] * (first + second), bent)

    def point(at: float, shallow: bool, step: complex = 0) -> tuple[np.ndarray, np.ndarray]:
        """Both leakages while one layer opens: the other is shut if it comes later, else where it ended."""
        early = np.where(deep_first > 0, not shallow, shallow)
        other = np.where(early, 0.0, ends[1 if shallow else 0])
        opening = ends[0 if shallow else 1] * at + step
        return leakages(opening, other) if shallow else leakages(other, opening)

    steepest = np.full(count, -np.inf)
    for shallow in (True, False):
        before = point(0.0, shallow)
        for at in np.linspace(0, 1, 33).tolist():
            slopes, now = point(at, shallow, 1j * STEP), point(at, shallow)
            own = 0 if shallow else 1
            rate = -np.imag(loss(*slopes)) / np.imag(slopes[own])
            risen = now[own] - before[own]
            mean = np.divide(loss(*before) - loss(*now), risen, out=rate.copy(), where=risen > 0)
            steepest, before = np.maximum.reduce([steepest, rate, mean]), now
    first, second = leakages(*ends)
    return {
        "loss_change": -loss(first, second),
        "penalised_leakage": first + second,
        "steepest": steepest,
        "rate": np.where(flag(rng, count) > 0, 0.3 * steepest, steepest),
        "deep_first": deep_first,
    }


def stationary(rng: np.random.Generator, count: int) -> Rows:
    """A gate, its slope, and the residual of a projected step there and at other gates."""
    gate = rng.choice([0.0, 1.0, -1.0], count)
    gate = np.where(gate < 0, rng.random(count), gate)
    slope, step = rng.standard_normal(count) * rng.choice([0.1, 1.0], count), rng.choice([0.05, 0.5, 3.0], count)
    own = np.abs(gate - np.clip(gate - step * slope, 0, 1)) / step
    violation = np.select([gate == 0, gate == 1], [np.maximum(-slope, 0), np.maximum(slope, 0)], np.abs(slope))
    return {
        "gate": gate,
        "gate_violation": violation,
        "step": step,
        "residual": np.maximum(own, rng.choice([0.0, 0.5], count) * rng.random(count)),
    }


def first_steps(rng: np.random.Generator, count: int) -> Rows:
    """One projected step on L + lambda Omega from the mask, or from gates that are open, with slopes of their own."""
    loss, leakage = rng.standard_normal((count, KEYS)), rng.uniform(0.1, 2, (count, KEYS))
    critical = np.maximum(-loss / leakage, 0).max(-1)
    penalty = np.where(critical > 0, critical, 1.0) * rng.choice([0.5, 0.98, 0.995, 1.0, 1.02, 1.5], count)
    elsewhere = flag(rng, count, 0.15)
    start = np.where(elsewhere[:, None] > 0, rng.choice([0.01, 0.5], (count, 1)), np.zeros((count, KEYS)))
    there = np.where(elsewhere[:, None] > 0, loss + 0.5 * rng.standard_normal((count, 1)), loss)
    moved = np.clip(start - 0.1 * (there + penalty[:, None] * leakage), 0, 1)
    return {
        "open_gates": (moved > 0).sum(-1).astype(float),
        "gates_at_start": (start > 0).sum(-1).astype(float),
        "penalty": penalty,
        "critical": critical,
    }


def _shared(rng: np.random.Generator, count: int) -> Rows:
    """Loss 0 and one gate in two layers, or the gates of two layers, the deeper one held open by another row's reward.

    The first layer's leakage lowers the second's logit, so that opening a gate can lower the leakage of both.
    """
    odds, coupling = np.exp(rng.normal(1, 1, (2, count))), rng.uniform(2, 30, count)
    shared = rng.random(count) < 0.5

    def second(s: Any, t: Any) -> Any:
        weight = t * odds[1] * np.exp(-coupling * s * odds[0] / (1 + s * odds[0]))
        return weight / (1 + weight)

    first = odds[0] / (1 + odds[0])
    own = odds[0] / (1 + odds[0]) ** 2
    ones, step = np.ones(count), 1j * STEP
    together = own + second(ones + step, ones + step).imag / STEP  # dOmega/ds of the shared gate
    deeper = own + second(ones + step, ones).imag / STEP / 2  # of the first of two gates, two rows in the second layer
    slope = np.where(shared, together, deeper)
    leakage = np.where(shared, second(ones, ones).real, first)
    return {
        "open_gates": np.where(shared, 1.0, 2.0),
        "penalty": np.exp(rng.standard_normal(count)),
        "residual": np.maximum(slope, 0),
        "gates_sum": ones,
        "splits": np.stack([leakage * (1 - leakage)] + [np.zeros(count)] * (ROWS - 1), -1),
        "rates": np.zeros((count, ROWS)),
        "layers_shared": np.where(shared, 2.0, 1.0),
        "deeper_open": np.where(shared, 0.0, 1.0),
        "layer_rows": ones,
        "gradient_bound": np.where(shared, 0.0, np.inf),
        "value_diameter": ones,
    }


def points(rng: np.random.Generator, count: int) -> Rows:
    """Gates of one layer after projected steps, penalties around level A and far below; some as in `_shared`."""
    few = count // 10
    some = count - few
    layer = Layer(rng, some)
    layer.curved[:] = 0
    one = rng.random(some) < 0.3  # a single row and gate, its loss linear and along the values: level A is attained
    layer.odds[one, 1:] = layer.odds[one, :, 1:] = 0.0
    apart = np.where(one[:, None, None], layer.outside[:, :, 0] - layer.inside[:, :, 0], 0.0)
    rows = np.where(one, 1.0, ROWS)
    everything = np.concatenate([layer.inside, layer.outside], 2)
    diameter = np.sqrt(((everything[:, :, :, None] - everything[:, :, None]) ** 2).sum(-1).max((2, 3)))
    diameter = np.where(one, np.sqrt(_dot(apart, apart)[:, 0]), diameter.max(-1))
    bound = np.sqrt(_dot(layer.along, layer.along))
    linear = -apart * (bound[:, :1, None] / np.maximum(diameter, 1e-300)[:, None, None])
    bound = np.where(one, bound[:, 0], bound.max(-1))
    penalty = rows * bound * diameter * rng.choice([0.02, 0.1, 0.3, 0.995, 1.001, 1.5], some)
    gates = rng.choice([0.0, 1.0, -1.0], (some, KEYS))
    gates = np.where(gates < 0, rng.random((some, KEYS)), gates)
    step = 2.0 / np.maximum(penalty, bound)

    def state(gates: np.ndarray) -> tuple[np.ndarray, ...]:
        outputs, parts = layer.outputs(gates), layer.shares(gates)
        gradient = np.where(one[:, None, None], linear, layer.gradient(outputs))
        masses = layer.odds / (1 + (layer.odds * gates[:, None]).sum(-1, keepdims=True))
        leakage = parts.sum(-1)
        pull = _dot(gradient[:, :, None], layer.outside - outputs[:, :, None])
        slope = (masses * (pull + (penalty / rows)[:, None, None] * (1 - leakage)[..., None])).sum(1)
        some_outside = leakage[..., None] > 0
        moved = layer.moved(gates)  # not outputs less inside, of which little is left where few attend outside
        away = np.divide(moved, leakage[..., None], where=some_outside, out=np.zeros_like(outputs))
        return slope, leakage, -rows[:, None] * _dot(gradient, away)

    for _ in range(50):
        gates = np.clip(gates - step[:, None] * state(gates)[0], 0, 1)
    slope, leakage, rates = state(gates)
    lacks = np.select([gates == 0, gates == 1], [np.maximum(-slope, 0), np.maximum(slope, 0)], np.abs(slope))
    found = {
        "open_gates": (gates * layer.odds.sum(1) > 0).sum(-1).astype(float),
        "penalty": penalty,
        "residual": lacks.max(-1),
        "gates_sum": gates.sum(-1),
        "splits": leakage * (1 - leakage),
        "rates": rates,
        "layers_shared": np.ones(some),
        "deeper_open": np.zeros(some),
        "layer_rows": rows,
        "gradient_bound": bound,
        "value_diameter": diameter,
    }
    broken = _shared(rng, few)
    return {name: np.concatenate([value, broken[name]]) for name, value in found.items()}


def steps_to_zero(rng: np.random.Generator, count: int) -> Rows:
    """Projected steps with slopes of at least the stated gap, or less; some with momentum that starts upwards."""
    start, step, gap = rng.random(count), rng.choice([0.02, 0.1, 1.0], count), rng.uniform(0.3, 2, count)
    slack = rng.choice([0.0, 1.0], count)
    lie, momentum = flag(rng, count), flag(rng, count)
    gate, speed = start.copy(), -0.3 * momentum
    taken, least = np.zeros(count), np.full(count, np.inf)
    for at in range(400):
        slope = np.where(lie > 0, 0.3, 1.0) * gap * (1 + slack * rng.random(count))
        least = np.minimum(least, np.where(gate > 0, slope, np.inf))
        speed = np.where(momentum > 0, 0.9 * speed + step * slope, step * slope)
        gate = np.clip(gate - speed, 0, 1)
        taken = np.where(gate > 0, at + 2.0, taken)
    return {
        "steps_to_zero": np.maximum(taken, (start > 0).astype(float)),
        "gate": start,
        "gap": gap,
        "step": step,
        "least_slope": least,
        "accelerated": momentum > 0,
    }
