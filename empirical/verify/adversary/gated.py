"""Solutions on the box of gates: losses and leakages of a few, the best at one penalty or two; rows that differ."""

from __future__ import annotations

import numpy as np

from empirical.verify.adversary.gates import Rows, flag


def _mixed_rows(rng: np.random.Generator, count: int) -> Rows:
    """Mean entropy and leakage of rows of different sizes, in some alike, in some on one or two levels."""
    rows, most = 4, 8
    keys = rng.integers(2, most + 1, (count, rows))
    keys = np.where(rng.random((count, 1)) < 0.3, keys[:, :1], keys)
    blocks = np.minimum(rng.integers(1, most, (count, rows)), keys - 1)
    blocks = np.where((keys == keys[:, :1]).all(-1)[:, None], blocks[:, :1], blocks)
    place = np.arange(most)
    levels = rng.standard_normal((count, 1, 1)) * (place < blocks[..., None])
    logits = np.where(rng.random((count, 1, 1)) < 0.5, 3 * rng.standard_normal((count, rows, most)), levels)
    hot = rng.random((count, 1, 1)) < 0.1
    logits = np.where(hot, np.where(place == 0, 0.0, -np.inf), logits)
    weights = np.where(place < keys[..., None], np.exp(logits - logits.max(-1, keepdims=True)), 0.0)
    weights /= weights.sum(-1, keepdims=True)
    row_sum = np.where(flag(rng, count) > 0, 0.5, 1.0)
    weights *= row_sum[:, None, None]
    entropies = -np.where(weights > 0, weights * np.log(np.where(weights > 0, weights, 1.0)), 0.0).sum(-1)
    leakages = np.where(place >= blocks[..., None], weights, 0.0).sum(-1)
    leakage = leakages.mean(-1)
    declared = leakage * rng.choice([0.8, 1.0, 1.0, 1.0, 1.2], count)
    balance = np.log(np.maximum(1 - leakage, 1e-9) * (keys.mean(-1) - blocks.mean(-1)))
    balance -= np.log(np.maximum(leakage, 1e-9) * blocks.mean(-1))
    threshold = rng.uniform(0.05, 1, count)
    return {
        "mean_entropy": entropies.mean(-1),
        "observed_leakage": leakage,
        "leakage": np.minimum(declared, 1.0),
        "least_leakage": leakages.min(-1),
        "n_keys": keys.mean(-1),
        "n_block": blocks.mean(-1),
        "row_keys": keys.astype(float),
        "row_blocks": blocks.astype(float),
        "multiplier": np.where(flag(rng, count) > 0, -rng.random(count), np.abs(balance)),
        "row_sum": row_sum,
        "threshold": threshold,
        "share_above": (leakages >= threshold[:, None]).mean(-1),
    }


def solutions(rng: np.random.Generator, count: int) -> Rows:
    """Losses and leakages of a few solutions, the first the mask; the best at two penalties, or any of them."""
    many = 5
    at = np.arange(count)
    leakage = np.concatenate([np.zeros((count, 1)), rng.uniform(0.02, 1, (count, many))], 1)
    loss = rng.normal(2, 1, (count, many + 1))
    penalty_one = np.exp(rng.standard_normal(count))
    penalty_two = penalty_one * rng.choice([1.01, 2.0, 5.0, 0.5], count, p=[0.3, 0.3, 0.3, 0.1])
    best = [(loss + penalty[:, None] * leakage).argmin(-1) for penalty in (penalty_one, penalty_two)]
    careless = [flag(rng, count) > 0 for _ in range(2)]
    one, two = (np.where(c, rng.integers(1, many + 1, count), b) for c, b in zip(careless, best))
    reference = np.where(flag(rng, count) > 0, rng.integers(1, many + 1, count), 0)

    def objective(penalty: np.ndarray, which: np.ndarray) -> np.ndarray:
        return loss[at, which] + penalty * leakage[at, which]

    steep = ((loss[:, :1] - loss[:, 1:]) / leakage[:, 1:]).max(-1)
    sharp = ((loss[:, :1] - loss[:, 1:]) / leakage[:, 1:]).argmax(-1) + 1
    found = np.where(rng.random(count) < 0.3, sharp, one)
    return {
        "penalty": penalty_one,
        "loss_reference": loss[at, reference],
        "leakage_reference": leakage[at, reference],
        "objective_reference": objective(penalty_one, reference),
        "loss_found": loss[at, found],
        "penalised_leakage": leakage[at, found],
        "objective_found": objective(penalty_one, found),
        "loss_one": loss[at, one],
        "loss_two": loss[at, two],
        "leakage_one": leakage[at, one],
        "leakage_two": leakage[at, two],
        "penalty_one": penalty_one,
        "penalty_two": penalty_two,
        "objective_one": objective(penalty_one, one),
        "objective_one_of_two": objective(penalty_one, two),
        "objective_two": objective(penalty_two, two),
        "objective_two_of_one": objective(penalty_two, one),
        "steepest": np.where(reference == 0, np.maximum(steep, 0), np.inf),
        "global_penalty": np.maximum(steep, 0) * np.where(flag(rng, count) > 0, 0.5, 1.0),
        **_mixed_rows(rng, count),
    }


def supported(rng: np.random.Generator, count: int) -> Rows:
    """A solution whose leakage is between two others', in some outside; at its penalty no worse, in some as good."""
    penalty = np.exp(rng.standard_normal(count))
    two, between, one = np.sort(rng.random((3, count)), 0)
    outside = flag(rng, count) > 0  # on either side
    beyond = np.where(rng.random(count) < 0.5, one + rng.random(count), two * rng.random(count))
    best = np.where(outside, beyond, between)
    objective = rng.normal(2, 1, count)
    worse = rng.choice([0.0, 1.0], (2, count), p=[0.2, 0.8]) * rng.exponential(0.3, (2, count))
    worse -= (rng.random((2, count)) < 0.05) * rng.random((2, count))
    of_one, of_two = objective + worse
    return {
        "loss_best": objective - penalty * best,
        "leakage_best": best,
        "objective_best": objective,
        "objective_best_of_one": of_one,
        "objective_best_of_two": of_two,
        "loss_one": of_one - penalty * one,
        "loss_two": of_two - penalty * two,
        "leakage_one": one,
        "leakage_two": two,
        "penalty": penalty,
    }
