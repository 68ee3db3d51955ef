"""Stationary points and optimisers: any point and gradient, small problems run to their end, the worst gradients."""

from __future__ import annotations

import numpy as np

from bounds.penalty.closed_forms import worst_case

Rows = dict[str, np.ndarray]


def _norm(x: np.ndarray) -> np.ndarray:
    return np.linalg.norm(x, axis=-1)


def shrink(z: np.ndarray, amount: np.ndarray) -> np.ndarray:
    norm = np.maximum(_norm(z), 1e-300)[:, None]
    return z * np.maximum(1 - amount[:, None] / norm, 0)


def points(rng: np.random.Generator, count: int) -> Rows:
    """A group and its gradient, any two vectors, and the residual of the proximal step there; half are stationary."""
    group = rng.standard_normal((count, 2)) * rng.choice([0.0, 0.0, 1e-3, 1.0], (count, 1))
    own = rng.random(count) < 0.15  # the query's own block is not penalised
    penalty, step = rng.uniform(0.1, 2, count), rng.choice([0.1, 1.0, 5.0], count)
    stationary = rng.random(count) < 0.5
    along = -penalty[:, None] * group / np.maximum(_norm(group), 1e-300)[:, None]
    free = rng.standard_normal((count, 2))
    within = free / np.maximum(_norm(free), penalty)[:, None] * penalty[:, None]
    edge = free / _norm(free)[:, None] * penalty[:, None]
    settled = np.where((_norm(group) > 0)[:, None], along, np.where(rng.random((count, 1)) < 0.5, within, edge))
    gradient = np.where(stationary[:, None], settled, free)
    gradient[own & stationary] = 0.0
    amount = np.where(own, 0.0, step * penalty)
    residual = _norm(group - shrink(group - step[:, None] * gradient, amount)) / step
    # level A: none of the gradients exceeds it, and most of the penalties do
    level = _norm(gradient) * rng.choice([1.0, 1.001, 1.5], count)
    return {
        "group_norm": _norm(group),
        "gradient_norm": _norm(gradient),
        "penalty": penalty,
        "step": step,
        "residual": residual,
        "converged": residual <= 1e-6,
        "block_query": np.zeros(count, dtype=int),
        "block_key": np.where(own, 0, 1),
        "gradient_bound": np.where(rng.random(count) < 0.05, np.nan, level),
        "value_diameter": np.ones(count),
        "query_norm": np.ones(count),
        "key_norm": np.full(count, 2.0),
        "key_diameter": np.full(count, 4.0),
        "query_share": np.ones(count),
        "temperature": np.ones(count),
    }


def penalised_heads(rng: np.random.Generator, count: int) -> Rows:
    """Half are groups of whole attention heads, after proximal steps from anywhere; half are `points`, up to level A.

    A head of queries x_i, keys y_j, values v_j has logits <x_i, W y_j>, W its one group, and the loss mean <g_i, o_i>:
    every step takes its gradient. Penalties are around the head's own level A, and far below it, where groups stay.
    """
    half = count // 2
    x, y, v, g = (rng.standard_normal((half, size, 2)) for size in (3, 4, 4, 3))
    known = {
        "gradient_bound": _norm(g).max(-1),
        "value_diameter": _norm(v[:, :, None] - v[:, None]).max((1, 2)),
        "query_norm": _norm(x).max(-1),
        "key_norm": _norm(y).max(-1),
        "key_diameter": _norm(y[:, :, None] - y[:, None]).max((1, 2)),
        "query_share": np.ones(half),
        "temperature": np.ones(half),
    }
    level = worst_case(*known.values())
    penalty, step = level * rng.choice([0.005, 0.05, 0.5, 1.001, 1.2], half), 5 / level
    group = rng.standard_normal((half, 2, 2)) * rng.choice([0.0, 0.1, 1.0], (half, 1, 1))
    u = g @ v.swapaxes(1, 2)
    for _ in range(100):
        logits = x @ group @ y.swapaxes(1, 2)
        weights = np.exp(logits - logits.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        pull = weights * (u - (weights * u).sum(-1, keepdims=True))
        gradient = x.swapaxes(1, 2) @ pull @ y / x.shape[1]
        before, moved = group, (group - step[:, None, None] * gradient).reshape(half, 4)
        group = shrink(moved, step * penalty).reshape(half, 2, 2)
    residual = _norm((before - group).reshape(half, 4)) / step
    heads = {
        **known,
        "group_norm": _norm(before.reshape(half, 4)),
        "gradient_norm": _norm(gradient.reshape(half, 4)),
        "penalty": penalty,
        "step": step,
        "residual": residual,
        "converged": residual <= 1e-6,
        "block_query": np.zeros(half, dtype=int),
        "block_key": np.ones(half, dtype=int),
    }
    return {name: np.concatenate([part, heads[name]]) for name, part in points(rng, count - half).items()}


def steps_to_zero(rng: np.random.Generator, count: int, momentum: bool = False) -> Rows:
    """Groups shrunk step by step against gradients of a stated norm; the outward ones are the worst.

    With Nesterov's extrapolation in some (`steps_to_zero`), or heavy ball in all (`momentum`).
    """
    length = 250
    group = rng.standard_normal((count, 2))
    start = _norm(group)
    step, penalty = rng.choice([0.02, 0.2], count), rng.uniform(0.5, 2, count)
    mu = rng.choice([0.0, 0.5, 0.9], count) if momentum else np.zeros(count)
    bound = penalty * (1 - mu) * rng.choice([0.0, 0.5, 0.8, 1.3], count)
    nesterov = np.zeros(count, bool) if momentum else rng.random(count) < 0.1
    own = (rng.random(count) < 0.05) & ~momentum
    outward = (rng.random(count) < 0.6)[:, None]
    buffer = np.where((rng.random(count) < (0.1 if momentum else 0))[:, None], -60.0 * group, 0.0)
    first_moment = _norm(buffer)
    lie = (rng.random(count) < 0.08) & momentum
    before, last = group, np.zeros(count)
    for at in range(length):
        ahead = group + np.where(nesterov, 0.98 * (at > 0), 0.0)[:, None] * (group - before)
        random = rng.standard_normal((count, 2))
        moving = before - group  # against the velocity: a step along it keeps the swing alive
        speed = np.maximum(_norm(moving), 1e-300)[:, None]
        unit = np.where(outward, -ahead / np.maximum(_norm(ahead), 1e-300)[:, None], random / _norm(random)[:, None])
        unit = np.where((nesterov & (at > 0))[:, None], moving / speed, unit)
        gradient = unit * (bound * np.where(lie, 4.0, 1.0))[:, None]
        buffer = mu[:, None] * buffer + gradient
        before, group = group, shrink(ahead - step[:, None] * buffer, np.where(own, 0.0, step * penalty))
        last = np.where(_norm(group) > 0, at + 1, last)
    seen = np.where(_norm(group) > 0, length + 1, last + 1) if momentum else np.where(_norm(group) > 0, -1, last + 1)
    return {
        "steps_to_zero": seen.astype(float),
        "steps": np.full(count, float(length)),
        "group_norm": start,
        "group_norm_start": start,
        "penalty": penalty,
        "gradient_bound": bound,
        "gradient_peak": bound * np.where(lie, 4.0, 1.0),
        "step": step,
        "momentum": mu,
        "accelerated": nesterov,
        "first_moment": first_moment,
        "block_query": np.zeros(count, dtype=int),
        "block_key": np.where(own, 0, 1),
    }


def critical(rng: np.random.Generator, count: int) -> Rows:
    """L(I, C) = f(I) - a(I) C + C^2/2 with a double well f: proximal gradient from the localised solution or not.

    The slope a at the in-block optimum is the critical penalty; for some draws the run falls into a better well.
    """
    well, tilt = rng.uniform(0.02, 1, count), rng.uniform(-0.3, 0.3, count)
    a0, a1, a2 = rng.uniform(0.2, 1, count), rng.uniform(0, 1.5, count), rng.uniform(0, 1.2, count)

    def slope(i: np.ndarray) -> np.ndarray:
        return a0 + a1 * i - a2 * i**2

    def in_block(i: np.ndarray) -> np.ndarray:
        return well * i**2 * (i - 2) ** 2 - tilt * i**3 / 3

    def d_in_block(i: np.ndarray) -> np.ndarray:
        return well * (2 * i * (i - 2) ** 2 + 2 * i**2 * (i - 2)) - tilt * i**2

    optimum = np.zeros(count)
    crit = np.abs(slope(optimum))
    penalty = crit * rng.choice([0.3, 0.7, 0.98, 0.995, 1.0, 1.02, 1.5], count)
    elsewhere = rng.random(count) < 0.15
    i = optimum + np.where(elsewhere, rng.uniform(0, 2.5, count), 0.0)
    c = np.where(elsewhere, rng.uniform(0, 2, count), 0.0)
    run = rng.choice([0, 1200], count, p=[0.05, 0.95])
    step, residual = 0.05, np.full(count, np.inf)
    for at in range(1200):
        d_i, d_c = d_in_block(i) - (a1 - 2 * a2 * i) * c, c - slope(i)
        new_i, z = np.clip(i - step * d_i, -3, 4), c - step * d_c
        new_c = np.sign(z) * np.maximum(np.abs(z) - step * penalty, 0)
        go = at < run
        residual = np.where(go, np.hypot(new_i - i, new_c - c) / step, residual)
        i, c = np.where(go, new_i, i), np.where(go, new_c, c)
    return {
        "active_cross_blocks": (c != 0).astype(float),
        "start": np.where(elsewhere, "zero", "localised"),
        "converged": residual <= 1e-6,
        "penalty": penalty,
        "critical": crit,
        "loss_train": in_block(i) - slope(i) * c + c**2 / 2 + 10,
        "loss_localised": np.full(count, 10.0),
    }


def landscapes(rng: np.random.Generator, count: int) -> Rows:
    """Losses along one cross direction whose slope is piecewise linear, so slopes, curvatures and gains are exact."""
    nodes, width = 24, rng.uniform(0.02, 0.3, (count, 1))
    slope = np.cumsum(rng.standard_normal((count, nodes)) * rng.choice([0.1, 1.0], (count, 1)) * width, axis=1)
    slope -= rng.uniform(0, 2, (count, 1)) * rng.choice([0.0, 1.0], (count, 1))
    extreme = rng.random(count) < 0.2  # the least slope that the curvature allows, then flat: at the bound
    steep, bend = rng.uniform(0, 1, (count, 1)), rng.uniform(0.1, 2, (count, 1))
    ramp = -(steep + bend * width * np.arange(nodes))
    stop = rng.integers(2, nodes, (count, 1))
    slope = np.where(extreme[:, None], np.where(np.arange(nodes) <= stop, ramp, 0.0), slope)
    loss = np.concatenate([np.zeros((count, 1)), np.cumsum((slope[:, 1:] + slope[:, :-1]) / 2 * width, axis=1)], 1)
    loss = np.where(extreme[:, None] & (np.arange(nodes) > stop), np.take_along_axis(loss, stop, 1), loss)
    at = width * np.arange(1, nodes)
    witness = np.maximum(-loss[:, 1:] / at, 0).max(-1)
    lie = rng.integers(0, 10, count)
    raised = np.where(lie == 0, 1.0, 0.0)  # L_loc overstated
    negative = np.where(
        np.arange(1, nodes) <= np.where(extreme[:, None], stop, nodes), -(slope[:, 1:] - slope[:, :-1]) / width, 0.0
    )
    curvature, gain = np.maximum(negative.max(-1), 0), np.maximum(-loss.min(-1), 0)
    start = np.maximum(-slope[:, 0], 0)
    # gradients where the loss is at most the localised one: the ends of the pieces that touch that set
    below = loss <= 1e-12
    touches = below | np.roll(below, 1, 1) | np.roll(below, -1, 1)
    largest = np.where(touches, np.abs(slope), 0).max(-1)
    return {
        "global_witness": witness + raised * witness / 2 + raised,
        "localised_excess": raised,
        "gradient_sublevel": largest,
        "gradient_bound": largest * np.where(lie == 1, 0.3, 1.0),
        "slope": start,
        "slope_bound": start * np.where(lie == 2, 0.3, 1.0),
        "curvature": curvature,
        "curvature_bound": curvature * np.where(lie == 3, 0.1, 1.0),
        "gain": gain + raised * (1e-9 + np.abs(gain)),
        "gain_bound": gain * np.where(lie == 4, 0.1, 1.0),
    }


def factors(rng: np.random.Generator, count: int) -> Rows:
    """Stationary points of one head with factors q, k of another block beside owned ones, built from their equations.

    lambda = g_1 k + g_2 K_own = g_1 q + g_3 Q_own, g_j the gradients of the block forms q k, q K_own, Q_own k.
    """
    gamma, cap = rng.uniform(0.2, 2, count), rng.choice([0.0, 0.3, 1.0], count)
    penalty = rng.uniform(0.05, 2, count)
    owned = cap * rng.choice([1.0, 1.0, 0.5, 1.8], count) * rng.uniform(0.9, 1, count)
    g_1, g_2 = (gamma * rng.choice([1.0, 1.0, 0.6, 1.7], count) for _ in range(2))
    one = np.maximum((penalty - g_2 * owned) / g_1, 0)  # of either side
    off = np.where(rng.random(count) < 0.1, rng.uniform(0.2, 1, count), 0.0)
    size = one * (1 + off) + off
    loss = rng.choice([0.0, 0.0, 0.5, -0.8], count) * (2 * penalty * size)
    active, drifted = rng.random(count) > 0.05, rng.random(count) < 0.08
    return {
        "penalty": penalty * np.where(drifted, 2.0, 1.0) + np.where(active, 0.0, 3.0),
        "objective": np.maximum(np.where(active, loss + 2 * penalty * size, np.abs(loss)), 0.0),
        "loss": loss,
        "stationarity": np.where(active, np.abs(g_1 * size + g_2 * owned - penalty * np.where(drifted, 2.0, 1.0)), 0.0),
        "owned_norm": owned,
        "cap": cap,
        "form_gradient": np.maximum(g_1, g_2),
        "gradient_bound": gamma,
        "active_factors": np.where(active, 2.0 * (size > 0), 0.0),
    }


def adam(rng: np.random.Generator, count: int) -> Rows:
    """Adam's update at step t by its recursion: random gradients, and those that grow like (b2/b1)^s."""
    b1, b2 = rng.choice([0.0, 0.5, 0.9], count), rng.choice([0.9, 0.99, 0.999], count)
    steps = rng.integers(1, 80, count)
    worst = rng.random(count) < 0.4
    m = np.where(rng.random(count) < 0.1, rng.uniform(1, 5, count), 0.0)
    first, v, update = np.abs(m), np.zeros(count), np.zeros(count)
    for t in range(1, 81):
        growth = np.where(b1 > 0, np.where(b1 > 0, b1 / b2, 1.0) ** (steps - t), (t == steps) * 1.0)
        g = np.where(worst, growth, rng.standard_normal(count))
        go = t <= steps
        m, v = np.where(go, b1 * m + (1 - b1) * g, m), np.where(go, b2 * v + (1 - b2) * g**2, v)
        value = np.abs(m) / (1 - b1**t) / np.sqrt(np.where(v > 0, v, np.inf) / (1 - b2**t))
        update = np.where(go, value, update)
    return {"update": update, "b1": b1, "b2": b2, "steps": steps.astype(float), "first_moment": first}


def adam_groups(rng: np.random.Generator, count: int) -> Rows:
    """A zero group under Adam with a decoupled proximal step: the largest penalty at which the gradients moved it."""
    size = rng.choice([1.0, 4.0, 64.0], count)
    b1, b2 = rng.choice([0.5, 0.9, 0.99], count), rng.choice([0.95, 0.99, 0.9], count)
    aligned = rng.random(count) < 0.7  # every coordinate has the same gradients
    length = 400
    m = np.where(rng.random(count) < 0.1, rng.uniform(1, 5, count), 0.0)
    first, v, most = np.abs(m), np.zeros(count), np.zeros(count)
    for t in range(1, length + 1):
        g = np.where(aligned, (b1 / b2) ** (length - t), rng.standard_normal(count))
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        with np.errstate(divide="ignore", invalid="ignore"):
            most = np.maximum(most, np.nan_to_num(np.abs(m) / (1 - b1**t) / np.sqrt(v / (1 - b2**t)), posinf=0.0))
    return {
        "penalty_that_left": most * np.sqrt(size),
        "b1": b1,
        "b2": b2,
        "group_size": size,
        "first_moment": first,
    }
