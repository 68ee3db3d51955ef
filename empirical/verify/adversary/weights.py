"""Rows of weights for the theorems beside softmax rows: published bounds, kernels, rules, anchors, the dial."""

from __future__ import annotations

import numpy as np

Rows = dict[str, np.ndarray]


def softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def entropy(a: np.ndarray) -> np.ndarray | np.floating:
    """-sum a ln a to relative accuracy: the largest weight is 1 minus the sum of the others."""
    top = np.arange(a.shape[-1]) == a.argmax(-1)[..., None]
    others = np.where(top, 0.0, a)
    missing = others.sum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return -np.where(others > 0, others * np.log(others), 0.0).sum(-1) - (1 - missing) * np.log1p(-missing)


def _stack(parts: list[Rows]) -> Rows:
    return {name: np.concatenate([np.asarray(part[name], np.float64) for part in parts]) for name in parts[0]}


def _change(rng: np.random.Generator, logits: np.ndarray) -> Rows:
    """The same rows before and after a change of every logit; the worst change, of two masses, in half of them."""
    share, n = logits.shape
    d, first = 10 ** rng.uniform(-2, 1, share), np.arange(n) == 0
    worst = rng.random((share, 1)) < 0.5
    before = np.where(worst, first * (np.log(n - 1) - d)[:, None], logits)
    step = d[:, None] * np.where(worst, np.where(first, 1.0, -1.0), rng.uniform(-1, 1, (share, n)))
    after = before + step
    reach = np.maximum(np.abs(before).max(-1), np.abs(after).max(-1))
    return {
        "l1_change": np.abs(softmax(after) - softmax(before)).sum(-1),
        "observed_change": np.abs(step).max(-1),
        "logit_change": np.abs(step).max(-1) * rng.choice([0.8, 1.0, 1.0, 1.2], share),
        "reach": reach,
    }


def published(rng: np.random.Generator, count: int) -> Rows:
    """Random logits, and centred one-hots; some with a norm or a range declared too small."""
    parts = []
    for n in (2, 3, 8, 40):
        share = count // 4
        scale = 10 ** rng.uniform(-1, 1.3, (share, 1))
        logits = scale * rng.standard_normal((share, n))
        hot = rng.random(share) < 0.2
        logits[hot] = np.sign(rng.standard_normal((hot.sum(), 1))) * scale[hot] * (np.arange(n) == 0)
        norm = np.linalg.norm(logits - logits.mean(-1, keepdims=True), axis=-1)
        span, declared, a = np.ptp(logits, axis=-1), rng.choice([0.8, 1.0, 1.0, 1.2], share), softmax(logits)
        declared[hot] = np.minimum(declared[hot], 1.0)
        parts.append(
            {
                "observed_norm": norm,
                "logit_norm": norm * declared,
                "observed_range": span,
                "logit_range": span * declared,
                "n_keys": np.full(share, n),
                "entropy_nats": entropy(a),
                "most_attention": a.max(-1),
                "least_attention": a.min(-1),
                **_change(rng.spawn(1)[0], logits),
            }
        )
    return _stack(parts)


def scalable(rng: np.random.Generator, count: int) -> Rows:
    """Anchors at delta or a little more, outsiders at 0 or less, free keys anywhere; logits times s ln n."""
    parts = []
    for n, m, r in ((3, 1, 1), (9, 3, 2), (50, 5, 1)):
        share = -(-count // 3)
        delta, s = rng.uniform(-1, 3, share), rng.choice([0.0, 0.5, 1.0], share)
        loose = rng.choice([0.0, 1.0], (share, 1))
        logits = -loose * rng.exponential(1, (share, n))
        logits[:, :r] = delta[:, None] + loose * rng.exponential(1, (share, r))
        logits[:, r:m] = rng.choice([-30.0, 0.0], (share, m - r))
        observed = logits[:, :r].min(-1) - logits[:, m:].max(-1)
        claimed = delta + rng.choice([0.0, 0.0, 0.5], share)
        a = softmax(logits * (s * np.log(n))[:, None])
        counts = {"n_keys": n, "n_block": m, "n_anchors": r}
        parts.append(
            {
                "observed_margin": observed + 1e-12,
                "margin": claimed,
                "scale": s,
                "fidelity": a[:, :m].sum(-1),
                "exponent": np.abs(s * delta * np.log(n)) + 40,
                **{k: np.full(share, v) for k, v in counts.items()},
            }
        )
    return _stack(parts)


def retrieval(rng: np.random.Generator, count: int) -> Rows:
    """Patterns on a line, where the bound is met, or in space; a state near the first; some hypotheses untrue."""
    parts = []
    for patterns, d in ((2, 1), (2, 3), (5, 3)):
        share = -(-count // 3)
        x = rng.standard_normal((share, patterns, d))
        x /= np.linalg.norm(x, axis=-1, keepdims=True) if d > 1 else np.abs(x)
        if d == 1:
            x[:, 1] = -x[:, 0]
        radius = np.linalg.norm(x, axis=-1).max(-1)
        beta, away = rng.uniform(0.5, 8, share), rng.choice([0.0, 0.05, 0.3], share)
        direction = rng.standard_normal((share, d))
        direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
        towards = rng.random(share) < 0.5
        direction[towards] = (x[:, 1] - x[:, 0])[towards]
        direction /= np.maximum(np.linalg.norm(direction, axis=-1, keepdims=True), 1e-300)
        state = x[:, 0] + away[:, None] * direction
        a = softmax(beta[:, None] * np.einsum("bpd,bd->bp", x, state))
        found = np.einsum("bp,bpd->bd", a, x)
        inner = np.einsum("bd,bpd->bp", x[:, 0], x)
        separation = (inner[:, :1] - inner[:, 1:]).min(-1)
        lie = rng.integers(0, 12, share)
        parts.append(
            {
                "retrieval_error": np.linalg.norm(found - x[:, 0], axis=-1),
                "patterns": np.full(share, patterns),
                "beta": beta,
                "observed_separation": separation,
                "separation": np.maximum(separation, 0) + np.where(lie == 0, 1.5, 0.0),
                "observed_radius": radius,
                "radius": radius * np.where(lie == 1, 0.4, 1.0),
                "observed_distance": away,
                "distance": np.where(lie == 2, 0.0, away),
                "exponent": 4 * beta,
            }
        )
    return _stack(parts)


def kernels(rng: np.random.Generator, count: int) -> Rows:
    """Positive features, exponentials, weights on two levels, and signed features."""
    parts = []
    for n, m, r in ((2, 1, 1), (8, 3, 3), (12, 4, 1)):
        share = -(-count // 3)
        query, keys = rng.standard_normal((share, 1, 4)), rng.standard_normal((share, n, 4))
        elu = lambda z: np.where(z > 0, z + 1, np.exp(np.minimum(z, 0)))  # noqa: E731
        positive = (elu(query) * elu(keys)).sum(-1)
        signed = 3 + (query * keys).sum(-1)
        level = 10 ** rng.uniform(-2, 3, (share, 1))
        two = np.where(np.arange(n) < m, level, 1.0)
        two[:, r:m] = np.where(rng.random((share, 1)) < 0.5, 1e-12, level)
        exponential = np.exp(3 * rng.standard_normal((share, n)))
        kind = rng.integers(0, 10, (share, 1))
        w = np.select([kind < 3, kind < 6, kind < 9], [positive, two, exponential], signed)
        w = np.where(np.abs(w.sum(-1, keepdims=True)) < 1e-3, np.abs(w) + 1, w)
        a = w / w.sum(-1, keepdims=True)
        ratio = w.max(-1) / np.where(w.min(-1) == 0, 1e-300, w.min(-1))
        counts = {"n_keys": n, "n_block": m, "n_anchors": r}
        outside = w[:, m:].max(-1)
        anchors = np.sort(w[:, :m], -1)[:, m - r]
        parts.append(
            {
                "leakage": a[:, m:].sum(-1),
                "fidelity": a[:, :m].sum(-1),
                "weight_ratio": np.abs(anchors / np.where(outside == 0, 1e-300, outside)),
                "least_weight": w.min(-1),
                "observed_ratio": ratio,
                "kernel_ratio": np.abs(ratio) * rng.choice([0.7, 1.0, 1.0, 1.5], share),
                **{k: np.full(share, v) for k, v in counts.items()},
            }
        )
    return _stack(parts)


def rule_mass(rng: np.random.Generator, count: int) -> Rows:
    """Rows of a range with the rule's keys biased: random, or the rule at the bottom of the range."""
    parts = []
    for n, rule in ((2, 1), (9, 2), (30, 5)):
        share = -(-count // 3)
        span, tau = rng.uniform(0, 8, share), rng.choice([0.5, 1.0, 2.0], share)
        worst = rng.random((share, 1)) < 0.4
        logits = span[:, None] * np.where(worst, np.arange(n) >= rule, rng.random((share, n)))
        bias = rng.uniform(0, 20, share)
        declared = span * rng.choice([0.7, 1.0, 1.0], share)
        a = softmax((logits + bias[:, None] * (np.arange(n) < rule)) / tau[:, None])
        parts.append(
            {
                "off_rule": a[:, rule:].sum(-1),
                "bias": bias,
                "observed_range": np.ptp(logits, axis=-1),
                "logit_range": declared,
                "temperature": tau,
                "n_keys": np.full(share, n),
                "n_rule": np.full(share, rule),
            }
        )
    return _stack(parts)


def rule_priority(rng: np.random.Generator, count: int) -> Rows:
    """Two rules, A at the bottom of the range and B at the top or anywhere; at times they share a key."""
    parts = []
    for n, r_a, r_b in ((4, 1, 2), (12, 3, 3)):
        share = -(-count // 2)
        span, tau = rng.uniform(0, 6, share), rng.choice([0.5, 1.0], share)
        worst = rng.random((share, 1)) < 0.4
        logits = span[:, None] * np.where(worst, np.arange(n) >= r_a, rng.random((share, n)))
        gap, low = rng.uniform(-3, 15, share), rng.uniform(0, 2, share)
        shared = (rng.random(share) < 0.15).astype(int)
        position = np.arange(n)
        in_a = position < r_a
        in_b = (position >= (r_a - shared)[:, None]) & (position < (r_a - shared + r_b)[:, None])
        weights = softmax(
            (logits + np.where(in_a, (low + gap)[:, None], 0) + np.where(in_b, low[:, None], 0)) / tau[:, None]
        )
        parts.append(
            {
                "mass_ratio": weights[:, :r_a].sum(-1) / np.where(in_b, weights, 0).sum(-1),
                "gap": gap,
                "observed_range": np.ptp(logits, axis=-1),
                "logit_range": span * rng.choice([0.7, 1.0, 1.0], share),
                "temperature": tau,
                "r_A": np.full(share, r_a),
                "r_B": np.full(share, r_b),
                "shared_keys": shared,
            }
        )
    return _stack(parts)


def anchor_floor(rng: np.random.Generator, count: int) -> Rows:
    """Rows of a localist head: outsiders at 0 once cross blocks are zero and tokens local, else anywhere."""
    parts = []
    for n, m, r in ((2, 1, 1), (9, 3, 3), (20, 6, 2)):
        share = -(-count // 3)
        local, active = rng.random(share) < 0.8, rng.random(share) < 0.2
        anchor, tau = rng.uniform(-1, 8, share), rng.choice([0.5, 1.0, 2.0], share)
        outside = np.where((local & ~active)[:, None], 0.0, 3 * rng.standard_normal((share, n)))
        excess = rng.choice([0.0, 1.0], (share, 1)) * rng.exponential(1, (share, n))
        free = rng.choice([-80.0, 1.0], (share, 1))
        summed = rng.random(share) > 0.05  # else the row does not sum to one
        missing = rng.random(share) < 0.1  # anchors below what is claimed
        position = np.arange(n)
        inside = np.where(position < r, np.where(missing, -3, anchor)[:, None] + excess, free)
        a = softmax(np.where(position < m, inside, outside) / tau[:, None])
        counts = {"n_keys": n, "n_block": m, "n_anchors": r}
        parts.append(
            {
                "fidelity": a[:, :m].sum(-1) * np.where(summed, 1.0, 0.5),
                "localist": local,
                "active_cross_blocks": active,
                "anchor_logit": anchor,
                "least_anchor": np.where(missing, -3, anchor),
                "temperature": tau,
                "margin": np.zeros(share),
                "logit_range": np.full(share, 90.0),
                "valid": summed,
                **{k: np.full(share, v) for k, v in counts.items()},
            }
        )
    return _stack(parts)


def along_dial(rng: np.random.Generator, count: int) -> Rows:
    """Fixed distributions inside and outside; the leakage swept finely, and the entropy's peak located by bisection."""
    m, k = 3, 5
    inside, outside = (
        softmax(rng.choice([0.0, 1.0, 3.0], (count, 1)) * rng.standard_normal((count, size))) for size in (m, k)
    )
    h_in, h_out = entropy(inside), entropy(outside)
    reshaped = (rng.random(count) < 0.1).astype(float)  # something else than the dial moved the row
    used_in, used_out = (np.where(reshaped > 0, np.log(size), h) for size, h in ((m, h_in), (k, h_out)))

    def slope(eps: np.ndarray) -> np.ndarray:
        row = np.concatenate([inside * (1 - eps)[:, None], outside * eps[:, None]], -1)
        moved = np.concatenate([-inside, outside], -1)
        even = np.concatenate(
            [np.full((count, m), 1 / m) * (1 - eps)[:, None], np.full((count, k), 1 / k) * eps[:, None]], -1
        )
        shift = np.concatenate([np.full((count, m), -1 / m), np.full((count, k), 1 / k)], -1)
        wide = reshaped[:, None] > 0
        return -(np.where(wide, shift, moved) * np.log(np.where(wide, even, row))).sum(-1)

    low, high = np.full(count, 1e-9), np.full(count, 1 - 1e-9)
    for _ in range(60):
        middle = (low + high) / 2
        rising = slope(middle) > 0
        low, high = np.where(rising, middle, low), np.where(rising, high, middle)
    eps = np.where(rng.random(count) < 0.5, low, rng.uniform(1e-6, 1 - 1e-6, count))
    mixed = -eps * np.log(eps) - (1 - eps) * np.log1p(-eps) + (1 - eps) * used_in + eps * used_out
    return {
        "entropy_dialled": mixed,
        "entropy_inside": np.asarray(h_in),
        "entropy_outside": np.asarray(h_out),
        "leakage_at_peak": low,
        "reshaped": reshaped,
    }
