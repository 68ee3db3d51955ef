"""Stacks of layers, reloads and recruitments: random ones, extreme ones, and ones that break a hypothesis."""

from __future__ import annotations

import numpy as np

from bounds.depth.calculators import amplification, fill, knapsack_optimum
from bounds.dial.closed_forms import kappa_of_dial
from empirical.verify.adversary.weights import softmax

Rows = dict[str, np.ndarray]
LAYERS = 4


def outputs(rng: np.random.Generator, count: int) -> Rows:
    """Values in the plane, or two points; the output of all keys against that of the block, and along the dial."""
    n, m = 6, 2
    values = rng.standard_normal((count, n, 2))
    tight = rng.random(count) < 0.3
    values[tight, :m], values[tight, m:] = values[tight, :1], values[tight, -1:]
    a = softmax(rng.choice([0.3, 1.0, 4.0], (count, 1)) * rng.standard_normal((count, n)))
    a[rng.random(count) < 0.03, :m] = 0.0  # nothing inside: the block's own output is not defined
    a[a.sum(-1) == 0, -1] = 1.0
    a /= a.sum(-1, keepdims=True)
    eps = a[:, m:].sum(-1)
    masked = a[:, :m].sum(-1) == 0
    mean_in = np.einsum("bk,bkd->bd", a[:, :m], values[:, :m]) / np.maximum(a[:, :m].sum(-1), 1e-300)[:, None]
    mean_out = np.einsum("bk,bkd->bd", a[:, m:], values[:, m:]) / eps[:, None]
    mean_in[masked] += 9.0  # any point may stand for a mean over nothing
    dial = rng.uniform(0, 1, count)
    turned = np.where(np.arange(n) < m, a, a * (1 - dial)[:, None])
    turned /= turned.sum(-1, keepdims=True)
    whole, after = (np.einsum("bk,bkd->bd", w, values) for w in (a, turned))
    diameter = np.linalg.norm(values[:, :, None] - values[:, None], axis=-1).max((1, 2))
    return {
        "leakage": np.where(masked, 1.0, np.minimum(eps, 1 - 2.0**-53)),
        "output_error": np.linalg.norm(whole - mean_in, axis=-1),
        "observed_diameter": diameter,
        "value_diameter": diameter * rng.choice([0.5, 1.0, 1.0], count),
        "value_size": np.abs(values).max((1, 2)) + 9.0,
        "dial": dial,
        "mean_gap": np.linalg.norm(mean_in - mean_out, axis=-1) + np.where(masked, 1.0, 0.0),
        "output_moved": np.linalg.norm(after - whole, axis=-1) + np.where(masked, 0.5, 0.0),
    }


def residual_stacks(rng: np.random.Generator, count: int) -> Rows:
    """Residual layers x <- x + A tanh(B x) and their dialled twins; one in five linear, aligned and so at the bound."""
    d = 2
    aligned = rng.random(count) < 0.2
    outer, inner = rng.standard_normal((2, LAYERS, count, d, d)) * 0.5
    nudge = rng.standard_normal((LAYERS, count, d)) * rng.choice([0.0, 0.1, 1.0], (LAYERS, count, 1))
    gain = rng.uniform(0, 1, (LAYERS, count, 1))
    nudge = np.where(aligned[:, None], np.abs(nudge[..., :1]) * np.array([1.0, 0.0]), nudge)

    def layer(at: int, x: np.ndarray) -> np.ndarray:
        curved = np.einsum("bij,bj->bi", outer[at], np.tanh(np.einsum("bij,bj->bi", inner[at], x)))
        return np.where(aligned[:, None], gain[at] * x, curved)

    plain = dialled = rng.standard_normal((count, d))
    errors, secants = np.zeros((count, LAYERS)), np.zeros((count, LAYERS))
    for at in range(LAYERS):
        f, g = layer(at, plain), layer(at, dialled)
        gap = np.linalg.norm(dialled - plain, axis=-1)
        change = np.linalg.norm(g - f, axis=-1)
        secants[:, at] = np.divide(change, gap, out=gain[at, :, 0] * aligned, where=gap > 1e-9)
        errors[:, at] = np.linalg.norm(nudge[at], axis=-1)
        plain, dialled = plain + f, dialled + g + nudge[at]
    lie = rng.integers(0, 10, count)
    return {
        "drift": np.linalg.norm(dialled - plain, axis=-1),
        "observed_errors": errors,
        "errors": np.where((lie == 0)[:, None], 0.5 * errors, errors),
        "secant": secants,
        "lipschitz": np.where((lie == 1)[:, None], 0.3 * secants, secants),
        "state_size": np.abs(plain).max(-1) + np.abs(dialled).max(-1),
    }


def allocations(rng: np.random.Generator, count: int) -> Rows:
    """Ways to spend a drift budget: random ones, every order of filling, and ones that overspend or overdraw."""
    diameters, lipschitz = rng.uniform(0.3, 3, (count, LAYERS)), rng.choice([0.0, 0.5, 2.0], (count, LAYERS))
    falling = rng.random(count) < 0.5
    steps = (1 + lipschitz) * rng.uniform(0.2, 1, (count, LAYERS))
    diameters[falling] = (diameters[:, :1] * np.cumprod(np.concatenate([np.ones((count, 1)), steps[:, 1:]], 1), 1))[
        falling
    ]
    costs = diameters * amplification(lipschitz)
    available = rng.uniform(0, 1, (count, LAYERS))
    budget = rng.uniform(0.01, 1, count) * (costs * available).sum(-1)
    order = np.where(
        rng.random((count, 1)) < 0.4,
        np.argsort(costs, -1),
        rng.permuted(np.tile(np.arange(LAYERS), (count, 1)), axis=-1),
    )
    allocation = fill(order, costs, available, budget) * rng.choice([1.0, 1.0, 0.7], (count, 1))
    lie = rng.integers(0, 12, count)
    allocation = np.where((lie == 0)[:, None], available, allocation)  # overspends
    cheapest = np.arange(LAYERS) == np.argmin(costs, -1)[:, None]
    overdrawn = np.where(cheapest, (budget / costs.min(-1))[:, None], 0.0)
    allocation = np.where((lie == 1)[:, None], overdrawn, allocation)
    last_first = fill(np.tile(np.arange(LAYERS)[::-1], (count, 1)), costs, available, budget)
    return {
        "costs": costs,
        "available": available,
        "budget": budget,
        "allocation": allocation,
        "locality": allocation.sum(-1),
        "diameters": diameters,
        "lipschitz": lipschitz,
        "locality_last_first": last_first.sum(-1),
        "optimum": knapsack_optimum(costs, available, budget),
    }


def interference(rng: np.random.Generator, count: int) -> Rows:
    """Two layers of attention over two blocks of tokens; the foreign block's are replaced, outputs compared."""
    tokens, d = 6, 3
    block = np.arange(tokens) // 3
    dial = np.where(rng.random((2, count)) < 0.8, 1.0, rng.uniform(0.2, 0.999, (2, count)))
    foreign = (rng.random(count) < 0.1).astype(float)  # the block's queries are told that another block is relevant
    relevant = np.where(foreign[:, None] > 0, 1 - block, block)
    form, value = rng.standard_normal((2, 2, count, d, d))
    masked = relevant[:, :, None] != block

    def forward(x: np.ndarray) -> np.ndarray:
        for at in range(2):
            logits = np.einsum("bid,bde,bje->bij", x, form[at], x)
            with np.errstate(divide="ignore"):
                logits = np.where(masked, logits - kappa_of_dial(dial[at])[:, None, None], logits)
            x = np.tanh(x + np.einsum("bij,bjd,bde->bie", softmax(logits), x, value[at]))
        return x

    first = rng.standard_normal((count, tokens, d))
    second = np.where((block == 0)[:, None], first, rng.standard_normal((count, tokens, d)) * 5)
    change = np.abs(forward(first) - forward(second))[:, block == 0].max((1, 2))
    return {"output_change": change, "least_dial": dial.min(0), "foreign_queries": foreign}


def reloads(rng: np.random.Generator, count: int) -> Rows:
    """Markov reloads: removal given persistence, at times below the promise (correlated), at times brought back."""
    length = 6
    promised = rng.uniform(0, 1, (count, length)) ** rng.choice([1.0, 4.0], (count, 1))
    extra = rng.choice([0.0, 0.2], (count, 1))
    given = promised + extra * (1 - promised)
    correlated = rng.random(count) < 0.1
    given[correlated, 1:] = 0.0  # the first reload decides all: each removes with its marginal probability, or never
    back = np.where(rng.random(count) < 0.1, rng.uniform(0, 0.5, count), 0.0)
    violating = np.ones(count)
    for at in range(length):
        violating = violating * (1 - given[:, at]) + (1 - violating) * back
    return {
        "violating": violating,
        "promised": promised,
        "removal_given_persisting": given,
        "reintroduced": back,
        "survival_product": np.prod(1 - promised, axis=-1),
    }


def recruitments(rng: np.random.Generator, count: int) -> Rows:
    """Runs of the rule: drops just above the price or far above, rules that recruit for less, data of negative NLL."""
    cost, extra = rng.uniform(0.1, 5, count), rng.integers(0, 20, count).astype(float)
    observations = rng.choice([1.0, 10.0, 1000.0], count)
    price = cost + 0.5 * extra * np.log(observations)
    excess = rng.choice([1e-9, 0.05, 1.0], count)
    drop = price * (1 + excess)
    lie = rng.integers(0, 12, count)
    drop = np.where(lie == 0, 0.5 * price, drop)  # recruits for less than the price
    refit = np.where(lie == 1, 0.4 * drop, 0.0)  # refitting gives some back
    first = price * rng.integers(1, 200, count) * rng.choice([1.0, 1.05], count) * (1 + 1e-7)
    below = np.where(lie == 2, 0.5 * first, 0.0)  # continuous data: the NLL may fall below zero
    made = np.floor((first + below) / (drop - refit))
    single = price * rng.uniform(0, 1, count) ** rng.choice([1e-3, 1.0], count)
    ended = (rng.random(count) > 0.1).astype(float)
    return {
        "recruitments": made,
        "first_nll": first,
        "final_nll": first - made * (drop - refit),
        "least_drop": drop,
        "worst_refit": refit,
        "extra": extra,
        "observations": observations,
        "cost": cost,
        "best_single_drop": np.where(ended > 0, single, price * 1.5),
        "ended": ended,
    }
