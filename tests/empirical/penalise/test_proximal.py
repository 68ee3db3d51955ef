"""The proximal solver: exact zeros on the right side of the threshold, honest residuals, settings that never meet."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from empirical.penalise.proximal_gradient import cross_blocks, group_norms, shrink, solve

K, D = 2, 2
FORM = (K, D, K, D)
TARGET = torch.randn(1, *FORM, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


def quadratic(forms):
    """L = ||W - target||^2 / 2: the minimiser is the target with every cross group shrunk by the penalty."""
    gap = forms - TARGET
    return gap.flatten(1).square().sum(1) / 2, gap


def run(penalties, start=None, **options):
    penalties = torch.tensor(penalties, dtype=torch.float64)
    start = torch.zeros(len(penalties), *FORM, dtype=torch.float64) if start is None else start
    settings = {"step": 0.5, "tolerance": 1e-10, "max_steps": 500, **options}
    return solve(quadratic, start, penalties, **settings)


def cross_norm(solution):
    return group_norms(solution.forms)[..., 0, 1]


LEVEL = float(group_norms(TARGET)[0, 0, 1])  # the gradient's norm at zero


@pytest.mark.parametrize("accelerated", [True, False])
def test_both_sides_of_the_threshold(accelerated):
    at, below = run([LEVEL * (1 + 1e-12), LEVEL * 0.999], accelerated=accelerated).forms
    assert (at[0, :, 1, :] == 0).all()
    assert float(group_norms(below)[0, 1]) == pytest.approx(0.001 * LEVEL, rel=1e-6)


def test_the_penalty_is_on_the_norm_not_its_square():
    """Minimiser t (1 - lambda/|t|); a penalty on the square would give t / (1 + 2 lambda)."""
    penalty = 0.3 * LEVEL
    assert float(cross_norm(run([penalty]))) == pytest.approx(LEVEL - penalty, rel=1e-9)
    assert float(cross_norm(run([penalty]))) != pytest.approx(LEVEL / (1 + 2 * penalty), rel=1e-2)


def test_own_blocks_are_not_penalised():
    forms = run([1e3]).forms
    torch.testing.assert_close(forms[0, 0, :, 0, :], TARGET[0, 0, :, 0, :])


def test_a_group_of_one_is_a_soft_threshold():
    forms = torch.tensor([[[[[0.7]], [[-0.2]]], [[[0.1]], [[3.0]]]]], dtype=torch.float64).reshape(1, 2, 1, 2, 1)
    out, kept = shrink(forms, torch.tensor([0.15], dtype=torch.float64))
    entry = forms.reshape(2, 2)
    soft = torch.where(cross_blocks(2), entry.sign() * (entry.abs() - 0.15).clamp(min=0), entry)
    torch.testing.assert_close(out.reshape(2, 2), soft)
    assert kept.reshape(2, 2).tolist() == [[True, True], [False, True]]


def test_zero_groups_have_no_nan():
    out, _ = shrink(torch.zeros(1, *FORM, dtype=torch.float64), torch.tensor([0.0], dtype=torch.float64))
    assert (out == 0).all()
    held, _ = shrink(TARGET.clone(), torch.tensor([torch.inf], dtype=torch.float64))
    assert (held[0, 0, :, 1, :] == 0).all()
    torch.testing.assert_close(held[0, 0, :, 0, :], TARGET[0, 0, :, 0, :])


def test_the_residual_is_zero_only_at_stationary_points():
    solution = run([0.2, 0.7])
    assert solution.converged.all()
    assert (solution.residual <= 1e-10).all()
    for norms, gradient, penalty in zip(group_norms(solution.forms), solution.gradient_norm, (0.2, 0.7)):
        for b, c in ((0, 1), (1, 0)):
            if norms[b, c] > 0:
                assert float(gradient[b, c]) == pytest.approx(penalty, abs=1e-9)
            else:
                assert float(gradient[b, c]) <= penalty
    short = run([0.2], max_steps=2)
    assert not short.converged.any()
    assert float(short.residual) > 1e-10
    assert int(short.steps) == 2


def test_settings_never_interact():
    penalties = [0.0, 0.1, 0.5, 2.0]
    together = run(penalties)
    for i, penalty in enumerate(penalties):
        alone = run([penalty])
        torch.testing.assert_close(together.forms[i], alone.forms[0], rtol=1e-13, atol=1e-13)
        assert together.steps[i] == alone.steps[0]


def test_a_nan_in_one_setting_loses_no_other():
    start = torch.zeros(3, *FORM, dtype=torch.float64)
    start[1] = torch.nan
    solution = run([0.1, 0.1, 0.1], start)
    assert solution.converged.tolist() == [True, False, True]
    torch.testing.assert_close(solution.forms[0], solution.forms[2])
    torch.testing.assert_close(solution.forms[0], run([0.1]).forms[0])


def test_momentum_reaches_the_same_minimiser():
    """On a badly scaled quadratic, where momentum matters."""
    scale = torch.logspace(-2, 0, 16, dtype=torch.float64).reshape(FORM)

    def loss(forms):
        gap = forms - TARGET
        return (scale * gap.square()).flatten(1).sum(1) / 2, scale * gap

    start, penalties = torch.zeros(1, *FORM, dtype=torch.float64), torch.tensor([0.05], dtype=torch.float64)
    ends = [
        solve(loss, start, penalties, step=0.9, tolerance=1e-11, max_steps=20_000, accelerated=fast)
        for fast in (True, False)
    ]
    assert all(end.converged.all() for end in ends)
    torch.testing.assert_close(ends[0].forms, ends[1].forms, rtol=1e-6, atol=1e-8)
    assert ends[0].steps < ends[1].steps


def test_steps_to_zero_are_counted_from_the_last_time_it_was_not():
    start = torch.zeros(1, *FORM, dtype=torch.float64)
    start[0, 0, :, 1, :] = 1.0
    solution = run([3.0 * LEVEL], start, accelerated=False)
    first = float(group_norms(start)[0, 0, 1])
    assert int(solution.steps_to_zero[0, 1, 0]) == 0  # never left zero
    assert (
        1
        <= int(solution.steps_to_zero[0, 0, 1])
        <= np.ceil(first / (0.5 * (3 * LEVEL - float(solution.gradient_peak[0, 0, 1]))))
    )
    assert int(run([0.1 * LEVEL]).steps_to_zero[0, 0, 1]) == -1


def test_shapes_are_checked_in_tests():
    from jaxtyping import TypeCheckError

    with pytest.raises(TypeCheckError):
        shrink(torch.zeros(2, *FORM), torch.zeros(3))  # two settings, three penalties
