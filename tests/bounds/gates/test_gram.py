"""The Gram theorem, against differences of the divergence itself to 60 digits, its logits bent along the gates."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

from bounds.gates.theorems.gram import THEOREMS
from bounds.theory.theorem import Verdict
from empirical.verify.adversary.divergences import gram

TOKENS, CLASSES = 2, 5
(THEOREM,) = THEOREMS


def divergence(reference, levels, slopes, bends, t):
    """Sum over tokens of KL(reference || softmax(levels + t slopes + t^2 bends + t^3))."""
    found = mpmath.mpf(0)
    for token in range(TOKENS):
        logits = [
            mpmath.mpf(level) + t * mpmath.mpf(slope) + t**2 * mpmath.mpf(bend) + t**3 * at
            for at, (level, slope, bend) in enumerate(zip(levels[token], slopes[token], bends[token]))
        ]
        total = mpmath.log(sum(map(mpmath.exp, logits)))
        found += sum(mpmath.mpf(p) * (mpmath.log(p) - z + total) for p, z in zip(reference[token], logits))
    return found


def differences(reference, levels, slopes, bends):
    """Value, slope and curvature at t = 0; 60 digits leave 20 of a step of 1e-20."""
    with mpmath.workdps(60):
        h = mpmath.mpf(10) ** -20
        below, there, above = (divergence(reference, levels, slopes, bends, t) for t in (-h, mpmath.mpf(0), h))
        return float(there), float((above - below) / (2 * h)), float((above - 2 * there + below) / h**2)


def softmax(levels):
    with mpmath.workdps(60):
        weights = [[mpmath.exp(mpmath.mpf(level)) for level in row] for row in levels]
        return [[w / sum(row) for w in row] for row in weights]


def rows(levels, slopes, curvature, **changed):
    found = {
        "divergence_curvature": curvature,
        "probabilities": np.array(softmax(levels), dtype=float),
        "logit_slopes": slopes,
        "gate": 1.0,
        "of_labels": 0.0,
        "kinks": 0.0,
    }
    return {name: np.asarray(value) for name, value in (found | changed).items()}


def verdict(rows):
    return list(Verdict)[int(THEOREM.verdicts(rows))]


@pytest.mark.theorem("gate_gram")
def test_a_divergence_from_itself_is_flat_and_bends_by_the_variances_however_the_logits_bend():
    random = np.random.default_rng(0)
    levels, slopes, bends = random.normal(size=(3, TOKENS, CLASSES))
    value, slope, curvature = differences(softmax(levels), levels, slopes, bends)
    assert abs(value) < 1e-50
    assert abs(slope) < 1e-18
    assert verdict(rows(levels, slopes, curvature)) == Verdict.HOLDS
    assert verdict(rows(levels, slopes, 1.001 * curvature)) == Verdict.VIOLATED
    assert verdict(rows(levels, slopes + 3, curvature)) == Verdict.HOLDS  # a shift of all logits is none
    for without in ({"gate": 0.9}, {"of_labels": 1.0}, {"kinks": 1.0}):
        assert verdict(rows(levels, slopes, curvature, **without)) == Verdict.VACUOUS


@pytest.mark.theorem("gate_gram")
def test_from_other_labels_it_is_not_flat_and_the_bend_of_the_logits_is_in_its_curvature():
    random = np.random.default_rng(1)
    levels, slopes, bends = random.normal(size=(3, TOKENS, CLASSES))
    _, slope, curvature = differences(softmax(slopes), levels, slopes, bends)
    assert abs(slope) > 0.1
    assert verdict(rows(levels, slopes, curvature)) == Verdict.VIOLATED


@pytest.mark.theorem("gate_gram")
def test_one_class_and_equal_slopes_cost_nothing():
    levels = np.zeros((TOKENS, 1))
    assert THEOREM.bound(rows(levels, np.ones((TOKENS, 1)), 0.0)) == 0
    assert THEOREM.bound(rows(np.zeros((TOKENS, 4)), np.full((TOKENS, 4), 7.0), 0.0)) == 0


@pytest.mark.theorem("gate_gram")
def test_the_attack_gives_what_its_gates_do_and_breaks_each_hypothesis_alone():
    drawn = gram(np.random.default_rng(2), 2_000)
    found = THEOREM.judge(drawn)
    assert not (found.codes == Verdict.VIOLATED.code).any()
    assert (found.codes == Verdict.HOLDS.code).mean() > 0.5
    held = np.array(found.holds)
    for at in range(len(held)):
        alone = ~held[at] & np.delete(held, at, 0).all(0)
        assert (-found.slack > 1e3 * found.room)[alone].mean() > 0.9
